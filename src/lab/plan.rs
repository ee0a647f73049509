//! What a seed draws before a storm begins: how many peers, which limits, how fast disks and links are, who uses the
//! cluster, and the script of everything that goes wrong.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    fault::{Fault, FaultKind, Who},
    script::{Moment, Script, Step},
};
use crate::{
    cluster::Crash,
    config::Config,
    raft::{ActorKind, MessageKind, PeerId},
    storage::Tail,
    transport::faults::Rule,
};

/// Streams of chance, one for each part of a storm.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Plan = 1,
    Nemesis = 2,
    Clients = 100,
}

pub(super) fn chance(seed: u64, part: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ part)
}

/// Everything about one storm that is known before it begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// How many peers.
    pub peers: u64,
    /// Their limits: some are so small that they are met.
    pub config: Config,
    /// Whether an actor takes the machine's place.
    pub hired: bool,
    /// How long a sync takes, in milliseconds.
    pub sync_ms: RangeInclusive<u64>,
    /// How long a message takes, in milliseconds.
    pub latency_ms: RangeInclusive<u64>,
    /// How many clients read and write keys that all share.
    pub plain: u64,
    /// How many clients append to a key of their own, in a session.
    pub sessions: u64,
    /// What goes wrong.
    pub script: Script,
}

impl Plan {
    /// Draws a plan. `peers`: as many, or 3, 5 or 7.
    pub fn draw(seed: u64, peers: Option<u64>, seconds: u64, faults: &[FaultKind]) -> Plan {
        let mut rng = chance(seed, Part::Plan as u64);
        let rng = &mut rng;
        let drawn = pick(rng, &[3, 5, 7]);
        let peers = peers.unwrap_or(drawn);
        let mut plan = Plan {
            peers,
            hired: rng.random_bool(0.3),
            config: config(rng),
            sync_ms: pick(rng, &[1..=5, 1..=5, 1..=20, 5..=30]),
            latency_ms: pick(rng, &[0..=1, 1..=3, 1..=3, 1..=10]),
            plain: rng.random_range(2..=4),
            sessions: rng.random_range(1..=2),
            script: Script::default(),
        };
        plan.script = Draw { rng, peers, sync_ms: &plan.sync_ms.clone() }.script(seconds * 1_000, faults);
        plan
    }
}

fn pick<T: Clone>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    let at = rng.random_range(0..from.len().max(1));
    from.get(at).or(from.first()).cloned().unwrap_or_else(|| unreachable!("there is something to pick from"))
}

/// Limits so small that they are met, yet not so small that a healed cluster can't recover in time.
fn config(rng: &mut ChaCha8Rng) -> Config {
    // A nemesis spends any budget.
    let mut config = Config { restarts_max: u32::MAX, pre_vote: rng.random_bool(0.8), ..Config::default() };
    if rng.random_bool(0.3) {
        config.election_timeout_ms = 300..600;
        config.heartbeat_ms = rng.random_range(10..=120);
    }
    // So that whoever was away for long needs a snapshot.
    config.snapshot_entries = pick(rng, &[5, 20, 50, 200, 1_000]);
    config.trail_entries = pick(rng, &[0, 1, 10]);
    config.snapshot_chunk_bytes = pick(rng, &[300, 4 << 10, 1 << 17]);
    if rng.random_bool(0.4) {
        config.batch_entries_max = rng.random_range(1..=8);
        config.window_batches_max = rng.random_range(1..=3);
    }
    if rng.random_bool(0.2) {
        config.batch_bytes_max = rng.random_range(1..=300);
        config.window_bytes_max = rng.random_range(1..=300);
    }
    if rng.random_bool(0.3) {
        config.turn_messages_max = rng.random_range(1..=4);
    }
    if rng.random_bool(0.2) {
        config.turn_bytes_max = rng.random_range(1..=200);
    }
    if rng.random_bool(0.2) {
        config.uncommitted_entries_max = rng.random_range(1..=8);
    }
    if rng.random_bool(0.2) {
        config.unapplied_bytes_max = rng.random_range(1..=800);
    }
    if rng.random_bool(0.2) {
        config.inbox_entries_max = rng.random_range(2..=8);
    }
    if rng.random_bool(0.2) {
        config.replicator_silence_ms = config.election_timeout_ms.end;
    }
    config.session_window = pick(rng, &[1, 2, 8, 64]);
    let goes_one_by_one = config.batch_bytes_max <= 300
        || config.turn_bytes_max <= 200
        || config.batch_entries_max * config.window_batches_max <= 3;
    if goes_one_by_one {
        // What waits when all has healed has to be through in time, before a fresh write.
        config.session_window = config.session_window.min(8);
    }
    config.deadline_ms = pick(rng, &[300, 1_000, 2_000]);
    config
}

/// Draws a script.
struct Draw<'a> {
    rng: &'a mut ChaCha8Rng,
    peers: u64,
    sync_ms: &'a RangeInclusive<u64>,
}

/// How often a kind of fault comes in a storm, at least: it may find nobody to strike, and nobody feels a cut between
/// peers that have nothing to say to each other.
fn times(kind: FaultKind) -> usize {
    match kind {
        // Nobody feels it if the bridge leads.
        FaultKind::Bridge => 5,
        FaultKind::Halves | FaultKind::Loss | FaultKind::Transfer => 3,
        FaultKind::KeepTail | FaultKind::LoseTail | FaultKind::TearTail => 3,
        _ => 2,
    }
}

impl Draw<'_> {
    /// Each kind of fault as often as any other, spread over the time.
    fn script(mut self, chaos_ms: u64, faults: &[FaultKind]) -> Script {
        let rounds = (chaos_ms as usize / 1_000 / faults.len().max(1)).max(1);
        let often = |&kind: &FaultKind| std::iter::repeat_n(kind, times(kind).max(rounds));
        let mut kinds: Vec<FaultKind> = faults.iter().flat_map(often).collect();
        kinds.shuffle(self.rng);
        // The last ones are over before the end; nothing is asked of a cluster that was just begun.
        let (first_ms, last_ms) = (chaos_ms / 50, chaos_ms * 9 / 10);
        let slot_ms = (last_ms - first_ms) / (kinds.len() as u64).max(1);
        let mut steps = Vec::new();
        for (slot, kind) in (0..).zip(kinds) {
            let at_ms = first_ms + slot * slot_ms + self.rng.random_range(0..=slot_ms);
            let mut step = self.step(kind);
            step.at_ms = at_ms;
            // It ends with the chaos.
            step.for_ms = step.for_ms.min(chaos_ms.saturating_sub(at_ms));
            steps.push(step);
        }
        steps.sort_by_key(|step| step.at_ms);
        Script { steps }
    }

    fn step(&mut self, kind: FaultKind) -> Step {
        let for_ms = self.length_ms(kind);
        let fault = self.fault(kind);
        let on = self.moment(kind, &fault);
        Step { at_ms: 0, on, for_ms, fault }
    }

    fn length_ms(&mut self, kind: FaultKind) -> u64 {
        use FaultKind::*;
        let range = match kind {
            Kill | KeepTail | LoseTail | TearTail | Blackout | FailDisk => {
                pick(self.rng, &[0..=1, 30..=100, 200..=1_500])
            }
            Lag => 800..=2_000,
            Clock | SlowDisk => 500..=4_000,
            Snapshot | Transfer | CrashRole | CrashReplicator | CrashTimer | CrashStorage | CrashMachine => {
                0..=0
            }
            _ => pick(self.rng, &[50..=300, 200..=2_000]),
        };
        self.rng.random_range(range)
    }

    /// Half of what falls does so while a disk is at work; a tail is there to be lost only then.
    fn moment(&mut self, kind: FaultKind, fault: &Fault) -> Option<Moment> {
        use FaultKind::*;
        let needs_sync = matches!(kind, KeepTail | LoseTail | TearTail | HangDisk);
        let falls =
            matches!(kind, Kill | CrashRole | CrashReplicator | CrashTimer | CrashStorage | CrashMachine);
        let of = match fault.who() {
            Some(Who::Peer(peer)) => Some(peer),
            _ => None,
        };
        match self.rng.random_range(0..10) {
            _ if needs_sync => Moment::of("SyncBegun", of, 2_000),
            0..5 if falls => Moment::of("SyncBegun", of, 500),
            5..7 if falls => {
                let moment = pick(
                    self.rng,
                    &["Elected", "Campaigned", "SnapshotBegun", "SnapshotInstalled", "Replayed", "Truncated"],
                );
                Moment::of(moment, None, 500)
            }
            _ => None,
        }
    }

    fn fault(&mut self, kind: FaultKind) -> Fault {
        use FaultKind::*;
        let who = self.who();
        let rng = &mut *self.rng;
        match kind {
            Halves | Bridge | OneWay | Ring => self.parts(kind),
            Isolate => Fault::Isolate(who),
            Cut => Fault::Network(Rule::new().cut()),
            Loss => Fault::Network(rule(rng).loss(tenths(rng, 1..=4))),
            Delay => Fault::Network(rule(rng).delay_ms(0..=rng.random_range(1..=100))),
            Duplicate => Fault::Network(rule(rng).duplicate(tenths(rng, 1..=6))),
            Reorder => Fault::Network(rule(rng).reorder(tenths(rng, 1..=4), 1..=60)),
            Kill => Fault::Kill(who, Tail::Seeded),
            KeepTail => Fault::Kill(who, Tail::Kept),
            LoseTail => Fault::Kill(who, Tail::Lost),
            TearTail => Fault::Kill(who, Tail::Torn),
            Blackout => Fault::Blackout,
            CrashRole => Fault::Crash(ActorKind::Role, who, how(rng)),
            CrashReplicator => Fault::Crash(ActorKind::Replicator, Who::Leader, how(rng)),
            CrashTimer => Fault::Crash(ActorKind::Timer, who, how(rng)),
            CrashStorage => Fault::Crash(ActorKind::Storage, who, how(rng)),
            CrashMachine => Fault::Crash(ActorKind::Machine, who, how(rng)),
            Stall => Fault::Stall(actor(rng), who),
            Slow => Fault::Slow(actor(rng), who, rng.random_range(1..=20)),
            Pause => Fault::Pause(who),
            SlowDisk => {
                let least = self.sync_ms.end() + rng.random_range(10..=100);
                Fault::SlowDisk(who, least..=least * 2)
            }
            HangDisk => Fault::HangDisk(who),
            FullDisk => Fault::FullDisk(who),
            FailDisk => Fault::FailDisk(who),
            Clock => Fault::Clock(who, pick(rng, &[500, 700, 900, 1_100, 1_500, 2_000])),
            Snapshot => Fault::Snapshot(who),
            Lag => Fault::Lag(Who::Follower),
            Transfer => Fault::Transfer(Some(who).filter(|_| rng.random_bool(0.5))),
        }
    }

    fn who(&mut self) -> Who {
        match self.rng.random_range(0..10) {
            0..4 => Who::Leader,
            4 => Who::Follower,
            _ => Who::Peer(PeerId(self.rng.random_range(1..=self.peers))),
        }
    }

    /// A partition of all peers, whatever their order.
    fn parts(&mut self, kind: FaultKind) -> Fault {
        let mut peers: Vec<PeerId> = (1..=self.peers).map(PeerId).collect();
        peers.shuffle(self.rng);
        let half = peers.len() / 2;
        let (small, large) = peers.split_at(half);
        match kind {
            FaultKind::Ring => Fault::Ring(peers),
            FaultKind::OneWay if self.rng.random_bool(0.5) => Fault::OneWay(small.into(), large.into()),
            FaultKind::OneWay => Fault::OneWay(large.into(), small.into()),
            FaultKind::Bridge => match large.split_first() {
                Some((bridge, rest)) => Fault::Bridge(small.into(), (*bridge).into(), rest.into()),
                None => Fault::Halves(small.into(), large.into()),
            },
            _ => Fault::Halves(small.into(), large.into()),
        }
    }
}

/// About all messages, or those of one kind that is always on its way.
fn rule(rng: &mut ChaCha8Rng) -> Rule {
    let kinds = [MessageKind::AppendEntries, MessageKind::Appended, MessageKind::Heartbeat];
    if rng.random_bool(0.3) { Rule::new().kind(pick(rng, &kinds)) } else { Rule::new() }
}

fn tenths(rng: &mut ChaCha8Rng, range: RangeInclusive<u8>) -> f64 {
    f64::from(rng.random_range(range)) / 10.0
}

fn how(rng: &mut ChaCha8Rng) -> Crash {
    pick(rng, &[Crash::Panic, Crash::Stop])
}

fn actor(rng: &mut ChaCha8Rng) -> ActorKind {
    use ActorKind::*;
    pick(rng, &[Role, Role, Replicator, Timer, Storage, Machine])
}
