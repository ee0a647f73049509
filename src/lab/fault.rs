//! What a nemesis can do, and the name of each kind of it.

use std::{fmt, ops::RangeInclusive};

use crate::{
    cluster::Crash,
    raft::{ActorKind, PeerId, kinds::names},
    storage::Tail,
    transport::faults::{Peers, Rule},
};

names! {
    /// A kind of fault: what a storm is asked for, and what it counts.
    FaultKind {
        /// The cluster falls into two halves that don't hear each other.
        Halves = "halves",
        /// One peer is cut off from all others.
        Isolate = "isolate",
        /// Some peers are not heard by others, whom they hear.
        OneWay = "one-way",
        /// Two halves that hear each other through one peer only.
        Bridge = "bridge",
        /// Each peer hears a majority, and no two the same.
        Ring = "ring",
        /// Links are cut by a rule of one's own.
        Cut = "cut",
        /// Messages are lost.
        Loss = "loss",
        /// Messages take longer.
        Delay = "delay",
        /// Messages arrive twice.
        Duplicate = "duplicate",
        /// Messages overtake each other.
        Reorder = "reorder",
        /// A peer's power is cut; what its disk was writing survives or not, as its seed decides.
        Kill = "kill",
        /// The same, and everything that was being written survives.
        KeepTail = "keep-tail",
        /// The same, and nothing of it survives.
        LoseTail = "lose-tail",
        /// The same, and one record of it survives in part.
        TearTail = "tear-tail",
        /// The power of all peers is cut at once.
        Blackout = "blackout",
        /// A role falls.
        CrashRole = "crash-role",
        /// The replicators of a leader fall.
        CrashReplicator = "crash-replicator",
        /// A timer falls.
        CrashTimer = "crash-timer",
        /// A storage falls.
        CrashStorage = "crash-storage",
        /// A machine falls.
        CrashMachine = "crash-machine",
        /// One actor stands still.
        Stall = "stall",
        /// One actor is slow.
        Slow = "slow",
        /// All actors of a peer stand still, as if its process were stopped.
        Pause = "pause",
        /// Syncs of a disk take long.
        SlowDisk = "slow-disk",
        /// A disk does nothing.
        HangDisk = "hang-disk",
        /// A disk has no room.
        FullDisk = "full-disk",
        /// A write fails, its peer stops, and is started again once the disk is repaired.
        FailDisk = "fail-disk",
        /// A peer's clock runs at another rate than those of the others.
        Clock = "clock",
        /// A peer is told to take a snapshot.
        Snapshot = "snapshot",
        /// A peer is cut off until it needs a snapshot.
        Lag = "lag",
        /// Leadership is handed over.
        Transfer = "transfer",
    }
}

impl FaultKind {
    /// Those that a storm draws from: all but a rule of one's own.
    pub fn drawn() -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.iter().copied().filter(|&kind| kind != FaultKind::Cut)
    }

    /// Those that a word names: a kind, or a group of them (`all`, `network`, `power`, `crashes`, `pace`, `disks`,
    /// `orders`).
    pub fn named(word: &str) -> Option<Vec<FaultKind>> {
        let group = |kind: FaultKind| match kind as usize {
            n if n <= FaultKind::Reorder as usize => "network",
            n if n <= FaultKind::Blackout as usize => "power",
            n if n <= FaultKind::CrashMachine as usize => "crashes",
            n if n <= FaultKind::Pause as usize => "pace",
            n if n <= FaultKind::FailDisk as usize => "disks",
            n if n <= FaultKind::Clock as usize => "pace",
            _ => "orders",
        };
        let kinds: Vec<_> = FaultKind::drawn()
            .filter(|&kind| word == "all" || word == kind.name() || word == group(kind))
            .collect();
        (!kinds.is_empty()).then_some(kinds)
    }

    /// The kind of what becomes of an actor that falls.
    fn of_crash(actor: ActorKind) -> FaultKind {
        match actor {
            ActorKind::Replicator => FaultKind::CrashReplicator,
            ActorKind::Timer => FaultKind::CrashTimer,
            ActorKind::Storage => FaultKind::CrashStorage,
            ActorKind::Machine => FaultKind::CrashMachine,
            ActorKind::Peer | ActorKind::Role => FaultKind::CrashRole,
        }
    }
}

/// To which peer something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Who {
    /// This one.
    Peer(PeerId),
    /// Whoever leads then.
    Leader,
    /// The first that is up and does not lead then.
    Follower,
    /// The peer whose moment was waited for.
    It,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Peer(peer) => peer.fmt(f),
            Who::Leader => f.write_str("leader"),
            Who::Follower => f.write_str("follower"),
            Who::It => f.write_str("it"),
        }
    }
}

/// One fault, as data.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Two halves.
    Halves(Peers, Peers),
    /// One peer alone.
    Isolate(Who),
    /// The first are not heard by the second.
    OneWay(Peers, Peers),
    /// Two halves, and in between the peers that hear both.
    Bridge(Peers, Peers, Peers),
    /// In the order of the ring: each hears those behind it, as many as make a majority with it.
    Ring(Vec<PeerId>),
    /// A rule.
    Network(Rule),
    /// A power cut of one peer, and what it leaves of what was being written.
    Kill(Who, Tail),
    /// A power cut of all.
    Blackout,
    /// An actor falls.
    Crash(ActorKind, Who, Crash),
    /// An actor stands still.
    Stall(ActorKind, Who),
    /// Each time an actor has something to do it takes this much longer, in milliseconds.
    Slow(ActorKind, Who, u64),
    /// All actors of a peer stand still.
    Pause(Who),
    /// A sync takes so many milliseconds.
    SlowDisk(Who, RangeInclusive<u64>),
    /// A disk does nothing.
    HangDisk(Who),
    /// A disk has no room.
    FullDisk(Who),
    /// The next write fails.
    FailDisk(Who),
    /// A clock runs at this rate, in thousandths.
    Clock(Who, u32),
    /// A snapshot is taken.
    Snapshot(Who),
    /// A peer is cut off, and all others take a snapshot before it is back.
    Lag(Who),
    /// Leadership is handed over, to this peer or to the best.
    Transfer(Option<Who>),
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Halves(..) => FaultKind::Halves,
            Fault::Isolate(_) => FaultKind::Isolate,
            Fault::OneWay(..) => FaultKind::OneWay,
            Fault::Bridge(..) => FaultKind::Bridge,
            Fault::Ring(_) => FaultKind::Ring,
            Fault::Network(rule) => kind_of(rule),
            Fault::Kill(_, Tail::Kept) => FaultKind::KeepTail,
            Fault::Kill(_, Tail::Lost) => FaultKind::LoseTail,
            Fault::Kill(_, Tail::Torn) => FaultKind::TearTail,
            Fault::Kill(..) => FaultKind::Kill,
            Fault::Blackout => FaultKind::Blackout,
            Fault::Crash(actor, ..) => FaultKind::of_crash(*actor),
            Fault::Stall(..) => FaultKind::Stall,
            Fault::Slow(..) => FaultKind::Slow,
            Fault::Pause(_) => FaultKind::Pause,
            Fault::SlowDisk(..) => FaultKind::SlowDisk,
            Fault::HangDisk(_) => FaultKind::HangDisk,
            Fault::FullDisk(_) => FaultKind::FullDisk,
            Fault::FailDisk(_) => FaultKind::FailDisk,
            Fault::Clock(..) => FaultKind::Clock,
            Fault::Snapshot(_) => FaultKind::Snapshot,
            Fault::Lag(_) => FaultKind::Lag,
            Fault::Transfer(_) => FaultKind::Transfer,
        }
    }

    /// The rules that it puts in force. `peers`: all of the cluster; `who`: the peer that it names.
    pub fn rules(&self, peers: &[PeerId], who: Option<PeerId>) -> Vec<Rule> {
        match self {
            Fault::Halves(one, other) => vec![Rule::new().between(one.clone(), other.clone()).cut()],
            Fault::Isolate(_) | Fault::Lag(_) => who.map(|who| alone(peers, who)).into_iter().collect(),
            Fault::OneWay(from, to) => vec![Rule::new().from(from.clone()).to(to.clone()).cut()],
            Fault::Bridge(one, _, other) => vec![Rule::new().between(one.clone(), other.clone()).cut()],
            Fault::Ring(order) => ring(order),
            Fault::Network(rule) => vec![rule.clone()],
            _ => Vec::new(),
        }
    }
}

impl Fault {
    /// The peer to which it is done, if it is done to one.
    pub(super) fn who(&self) -> Option<Who> {
        match self {
            Fault::Isolate(who)
            | Fault::Kill(who, _)
            | Fault::Crash(_, who, _)
            | Fault::Stall(_, who)
            | Fault::Slow(_, who, _)
            | Fault::Pause(who)
            | Fault::SlowDisk(who, _)
            | Fault::HangDisk(who)
            | Fault::FullDisk(who)
            | Fault::FailDisk(who)
            | Fault::Clock(who, _)
            | Fault::Snapshot(who)
            | Fault::Lag(who) => Some(*who),
            Fault::Transfer(who) => *who,
            _ => None,
        }
    }

    /// The peers that it names by number; those of a rule aside.
    pub(super) fn named(&self) -> Vec<PeerId> {
        match (self, self.who()) {
            (_, Some(Who::Peer(peer))) => vec![peer],
            (Fault::Halves(one, other) | Fault::OneWay(one, other), _) => {
                one.iter().chain(other.iter()).collect()
            }
            (Fault::Bridge(one, bridge, other), _) => {
                one.iter().chain(bridge.iter()).chain(other.iter()).collect()
            }
            (Fault::Ring(order), _) => order.clone(),
            _ => Vec::new(),
        }
    }
}

/// A rule is counted for what it does first.
fn kind_of(rule: &Rule) -> FaultKind {
    let text = rule.to_string();
    let first = text.split(' ').next().and_then(FaultKind::from_name);
    first.unwrap_or(FaultKind::Cut)
}

fn alone(peers: &[PeerId], who: PeerId) -> Rule {
    let others: Vec<_> = peers.iter().copied().filter(|&peer| peer != who).collect();
    Rule::new().between(who, others).cut()
}

/// Each is deaf to those that are not among the next few.
fn ring(order: &[PeerId]) -> Vec<Rule> {
    let heard = order.len() / 2;
    let deaf_to = |at: usize| {
        let behind = order.iter().cycle().skip(at + 1 + heard);
        behind.take(order.len().saturating_sub(1 + heard)).copied().collect::<Vec<_>>()
    };
    let rules = order.iter().enumerate().map(|(at, &peer)| Rule::new().from(deaf_to(at)).to(peer).cut());
    rules.collect()
}

/// As in a script.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Fault::Halves(one, other) => write!(f, "{kind} {one}|{other}"),
            Fault::OneWay(from, to) => write!(f, "{kind} {from}>{to}"),
            Fault::Bridge(one, bridge, other) => write!(f, "{kind} {one}|{bridge}|{other}"),
            Fault::Ring(order) => {
                let order: Vec<_> = order.iter().map(PeerId::to_string).collect();
                write!(f, "{kind} {}", order.join(","))
            }
            Fault::Network(rule) => rule.fmt(f),
            Fault::Blackout | Fault::Transfer(None) => kind.fmt(f),
            Fault::Crash(actor, who, how) => {
                let how = if *how == Crash::Stop { " stop" } else { "" };
                write!(f, "crash {actor} {who}{how}")
            }
            Fault::Stall(actor, who) => write!(f, "{kind} {actor} {who}"),
            Fault::Slow(actor, who, ms) => write!(f, "{kind} {actor} {who} {ms}"),
            Fault::SlowDisk(who, ms) => write!(f, "{kind} {who} {}..={}", ms.start(), ms.end()),
            Fault::Clock(who, rate) => write!(f, "{kind} {who} {rate}"),
            Fault::Kill(who, _)
            | Fault::Isolate(who)
            | Fault::Pause(who)
            | Fault::HangDisk(who)
            | Fault::FullDisk(who)
            | Fault::FailDisk(who)
            | Fault::Snapshot(who)
            | Fault::Lag(who)
            | Fault::Transfer(Some(who)) => write!(f, "{kind} {who}"),
        }
    }
}
