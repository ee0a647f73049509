//! A peer that is heard over the network: what all its connections have in common.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    budget::Budget,
    meter::{Bounds, Meter},
    tls::Tls,
    turnstile::Turnstile,
};
use crate::{
    config::{Config, NetworkConfig},
    observe::Hub,
    raft::{Event, PeerId, Why},
    transport::{Desk, faults::FaultGuard, local::Local},
};

/// What a peer needs to be heard. Made anywhere; the rest lives on the thread of its peer.
pub struct Open {
    /// Who it is.
    pub me: PeerId,
    /// The name of its cluster.
    pub cluster: Arc<str>,
    /// All peers, and where they listen.
    pub members: Arc<BTreeMap<PeerId, String>>,
    /// What passes its messages on.
    pub local: Arc<Local>,
    /// What it offers to clients and operators.
    pub desk: Arc<dyn Desk>,
    /// How it behaves.
    pub config: Arc<Config>,
    /// What it takes from the network.
    pub limits: NetworkConfig,
    /// Who vouches for whom.
    pub tls: Option<Tls>,
    /// Whether operators may lay faults.
    pub allow_faults: bool,
    /// Who is told what happens.
    pub hub: Arc<Hub>,
    /// Which of the others are reached.
    pub reached: Arc<BTreeMap<PeerId, AtomicBool>>,
}

/// What all connections of a peer have in common.
pub(super) struct House {
    pub(super) open: Open,
    /// Memory for long frames of clients.
    pub(super) budget: Budget,
    pub(super) turnstile: Turnstile,
    /// Memory for answers that wait to be sent to clients.
    pub(super) answers: Budget,
    /// Connections from clients that have shaken hands.
    pub(super) clients: Cell<usize>,
    /// Connections from other peers, the oldest first.
    peers: RefCell<VecDeque<(PeerId, Meter)>>,
    /// How often a peer spoke in the name of another.
    pub(super) violations: Cell<u64>,
    pub(super) refused: Cell<u64>,
    refusals: RefCell<BTreeMap<&'static str, Refusals>>,
    /// The faults that operators laid.
    pub(super) isolation: RefCell<Option<FaultGuard>>,
}

/// Refusals of one kind, so that a flood of them is a line now and then.
struct Refusals {
    told_at: Instant,
    untold: u64,
}

/// How often a kind of refusal is told, at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl House {
    pub(super) fn new(open: Open) -> Rc<House> {
        Rc::new(House {
            budget: Budget::new(open.limits.client_bytes_max),
            turnstile: Turnstile::new(),
            // As much as the longest answer.
            answers: Budget::new(open.limits.frame_bytes_max.saturating_mul(ANSWER_FRAMES)),
            open,
            clients: Cell::default(),
            peers: RefCell::default(),
            violations: Cell::default(),
            refused: Cell::default(),
            refusals: RefCell::default(),
            isolation: RefCell::default(),
        })
    }

    pub(super) fn me(&self) -> PeerId {
        self.open.me
    }

    pub(super) fn limits(&self) -> &NetworkConfig {
        &self.open.limits
    }

    /// Where a peer listens; empty if it is not known.
    pub(super) fn address(&self, peer: PeerId) -> &str {
        self.open.members.get(&peer).map_or("", String::as_str)
    }

    pub(super) fn is_reached(&self, peer: PeerId) -> bool {
        self.open.reached.get(&peer).is_some_and(|reached| reached.load(Relaxed))
    }

    /// What a connection may cost; next to nothing before it is known who is there.
    pub(super) fn bounds(&self, is_known: bool) -> Bounds {
        let limits = self.limits();
        if !is_known {
            let bytes = limits.greeting_bytes_max;
            return Bounds {
                frame_bytes: bytes,
                calls: GREETING_CALLS,
                queued_bytes: bytes,
                kept_bytes: bytes,
            };
        }
        Bounds {
            frame_bytes: limits.frame_bytes_max,
            calls: limits.calls_max,
            queued_bytes: limits.answer_bytes_max,
            kept_bytes: limits.answer_bytes_max.saturating_mul(8),
        }
    }

    /// Another peer has come. It needs two connections, and may have some that are lost and do not know it yet.
    pub(super) fn remember_peer(&self, peer: PeerId, meter: &Meter) {
        let mut peers = self.peers.borrow_mut();
        peers.push_back((peer, meter.clone()));
        if peers.iter().filter(|(other, _)| *other == peer).count() > PEER_CONNECTIONS
            && let Some((_, oldest)) = peers.iter().find(|(other, _)| *other == peer)
        {
            oldest.end("it has newer connections");
        }
    }

    pub(super) fn forget_peer(&self, peer: PeerId, meter: &Meter) {
        self.peers.borrow_mut().retain(|(other, known)| *other != peer || !known.is(meter));
    }

    /// How many connections there are that have shaken hands.
    pub(super) fn connections(&self) -> usize {
        self.clients.get() + self.peers.borrow().len()
    }

    /// The longest frame that is sent to a client.
    pub(super) fn answer_frame_bytes(&self) -> usize {
        self.limits().frame_bytes_max.saturating_mul(ANSWER_FRAMES)
    }

    /// Somebody was turned away. `kind` groups what is told together.
    pub(super) fn turn_away(&self, kind: &'static str, from: SocketAddr, what: &str, why: Why) {
        self.refused.set(self.refused.get() + 1);
        let now = Instant::now();
        let mut refusals = self.refusals.borrow_mut();
        let known = refusals.entry(kind).or_insert(Refusals { told_at: now - TELL_EVERY, untold: 0 });
        known.untold += 1;
        if now - known.told_at < TELL_EVERY {
            return;
        }
        let count = std::mem::take(&mut known.untold);
        known.told_at = now;
        let (from, what) = (from.to_string(), harmless(what));
        self.open.local.note(self.me(), || Event::ConnectionRefused { from, what, count, why });
    }
}

/// What strangers say ends in logs: in one line, and not a long one.
fn harmless(what: &str) -> String {
    const CHARS_MAX: usize = 300;
    let shown = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    what.chars().map(shown).take(CHARS_MAX).collect()
}

/// How many calls a connection may have under way before its handshake.
const GREETING_CALLS: usize = 8;

/// How many connections another peer may have.
const PEER_CONNECTIONS: usize = 8;

/// An answer may be so many times as long as a question: a batch of short commands may have long answers.
const ANSWER_FRAMES: usize = 4;
