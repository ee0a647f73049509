//! What a peer last published of itself: read by anybody, at any time, without asking an actor.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::drag::Drag;
pub use crate::observe::status::{FollowerStatus, PeerStatus, Stopped};
use crate::raft::{Index, PeerId, Position, Role, RoleKind, State, Term, Why};

/// The published figures of one peer. Written by its actors, each figure by one of them.
#[derive(Debug, Default)]
pub struct Gauges {
    leader: AtomicU64,
    /// Published once it is durable.
    term: AtomicU64,
    last_term: AtomicU64,
    last_index: AtomicU64,
    commit: AtomicU64,
    /// Whether the last committed entry is of the peer's own term.
    settled: AtomicBool,
    log_base: AtomicU64,
    violations: AtomicU64,
    /// Those that no role saw.
    more_violations: AtomicU64,
    /// Written by the machine.
    applied: AtomicU64,
    /// The entries the machine is applying right now; `0` is none. Outlives it, so that its parent
    /// knows at which entry it fell.
    applying: AtomicU64,
    applying_last: AtomicU64,
    snapshot: AtomicU64,
    poisoned: AtomicU64,
    disk_full: AtomicBool,
    /// Whether a sync is under way.
    syncing: AtomicBool,
    /// As the leader last saw them, at its last heartbeat.
    followers: Mutex<Vec<FollowerStatus>>,
    /// Why the peer gave up by itself.
    stopped: Mutex<Option<Stopped>>,
    /// The one figure that is written from outside: its actors read it.
    drag: Drag,
}

impl Gauges {
    /// The role publishes what changed in a turn. Says whether there were violations in it.
    pub(super) fn publish<R: Role>(&self, role: &R) -> bool {
        let state: &State = role.state();
        let last = state.log().last();
        self.leader.store(role.leader().map_or(0, |leader| leader.0), Relaxed);
        self.term.store(state.term().0, Relaxed);
        self.last_term.store(last.term.0, Relaxed);
        self.last_index.store(last.index.0, Relaxed);
        self.commit.store(state.commit().0, Relaxed);
        self.settled.store(state.log().term_at(state.commit()) == Some(state.term()), Relaxed);
        self.disk_full.store(state.is_disk_full(), Relaxed);
        self.log_base.store(state.log().base().index.0, Relaxed);
        self.violations.swap(state.violations(), Relaxed) < state.violations()
    }

    /// The leader publishes its followers; anybody else that it has none.
    pub fn publish_followers(&self, followers: Vec<FollowerStatus>) {
        *self.followers.lock().unwrap_or_else(PoisonError::into_inner) = followers;
    }

    /// The machine has applied everything up to here.
    pub fn set_applied(&self, applied: Index) {
        self.applied.store(applied.0, Relaxed);
    }

    /// The last entry the machine has applied.
    pub fn applied(&self) -> Index {
        Index(self.applied.load(Relaxed))
    }

    /// The machine begins with these entries, or is done.
    pub fn set_applying(&self, entries: Option<(Index, Index)>) {
        let (first, last) = entries.unwrap_or_default();
        self.applying_last.store(last.0, Relaxed);
        self.applying.store(first.0, Relaxed);
    }

    /// The entries the machine is applying.
    pub fn applying(&self) -> Option<(Index, Index)> {
        let first = Index(self.applying.load(Relaxed));
        (first > Index(0)).then(|| (first, Index(self.applying_last.load(Relaxed))))
    }

    /// A snapshot is in force.
    pub fn set_snapshot(&self, at: Index) {
        self.snapshot.fetch_max(at.0, Relaxed);
    }

    /// The last entry that a snapshot covers.
    pub fn snapshot(&self) -> Index {
        Index(self.snapshot.load(Relaxed))
    }

    /// The machine stands still, or applies again.
    pub fn set_poisoned(&self, poisoned: Option<Index>) {
        self.poisoned.store(poisoned.map_or(0, |index| index.0), Relaxed);
    }

    /// A sync begins or ends.
    pub fn set_syncing(&self, syncing: bool) {
        self.syncing.store(syncing, Relaxed);
    }

    /// Whether a sync is under way.
    pub fn is_syncing(&self) -> bool {
        self.syncing.load(Relaxed)
    }

    /// Another peer broke the protocol, and no role saw it.
    pub fn add_violation(&self) {
        self.more_violations.fetch_add(1, Relaxed);
    }

    /// Who leads, as far as the role last knew.
    pub fn leader(&self) -> Option<PeerId> {
        Some(PeerId(self.leader.load(Relaxed))).filter(|&leader| leader != PeerId(0))
    }

    /// The term, once it is durable.
    pub fn term(&self) -> Term {
        Term(self.term.load(Relaxed))
    }

    /// The commit index that was last published.
    pub fn commit(&self) -> Index {
        Index(self.commit.load(Relaxed))
    }

    /// The peer gives up, for good.
    pub fn set_stopped(&self, why: Why, cause: String) -> Stopped {
        let stopped = Stopped { why, cause };
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopped.clone());
        stopped
    }

    /// What holds its actors up.
    pub(super) fn drag(&self) -> &Drag {
        &self.drag
    }

    /// Something that rises whenever the peer gets on.
    pub fn progress(&self) -> u64 {
        self.commit().0.saturating_add(self.applied().0)
    }

    /// Everything at once.
    pub fn status(&self, peer: PeerId, up: bool, role: Option<RoleKind>, term: Term) -> PeerStatus {
        let id = |value: u64| (value > 0).then_some(value);
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PeerStatus {
            peer,
            up,
            stopped,
            role,
            term,
            leader: id(self.leader.load(Relaxed)).map(PeerId),
            last: Position::new(self.last_term.load(Relaxed), self.last_index.load(Relaxed)),
            commit: self.commit(),
            settled: self.settled.load(Relaxed),
            applied: self.applied(),
            snapshot: self.snapshot(),
            compacted: Index(self.log_base.load(Relaxed)),
            poisoned: id(self.poisoned.load(Relaxed)).map(Index),
            disk_full: self.disk_full.load(Relaxed),
            violations: self.violations.load(Relaxed) + self.more_violations.load(Relaxed),
            followers,
        }
    }
}
