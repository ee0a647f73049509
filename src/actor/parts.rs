//! What the actors of one peer share, and none of them changes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    clock::Clock,
    gauges::Gauges,
    supervision::{ChildDown, End},
    vigil::Vigil,
};
use crate::{
    observe::Witness,
    raft::{Event, Identity, Role, Why},
    transport::Transport,
};

/// What all actors of a peer share.
pub struct Parts {
    /// Who the peer is.
    pub identity: Identity,
    /// The name of its cluster.
    pub cluster: Arc<str>,
    /// Where chance comes from: cluster seed, peer and incarnation.
    pub seed: [u64; 3],
    /// Whether it has the real clock and other threads beside it; a simulation has neither.
    pub is_live: bool,
    /// What time it is, for everything that the peer measures itself.
    pub clock: Arc<Clock>,
    /// Who is told what happens.
    pub witness: Witness,
    /// What it publishes.
    pub gauges: Arc<Gauges>,
    /// What carries its messages.
    pub transport: Arc<dyn Transport>,
    /// What went wrong that nobody had injected.
    pub failures: Failures,
    /// How its thread stays awake, if nothing but this peer is on it.
    pub vigil: Option<Arc<Vigil>>,
    /// When it last warned of a slow disk, in milliseconds of its clock.
    pub warned_ms: AtomicU64,
}

/// What went wrong that nobody had injected: recovery must not launder bugs.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<Vec<String>>>);

impl Failures {
    /// Something went wrong.
    pub fn push(&self, failure: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    /// Everything so far.
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Parts {
    /// An actor of this peer fell.
    pub fn note_crash(&self, down: &ChildDown) {
        let (actor, during_sync) = (down.child.kind, down.during_sync);
        let (cause, why) = match &down.end {
            End::Injected => (String::new(), Why::Injected),
            End::Panicked(cause) => (cause.clone(), Why::Panicked),
            End::Stopped => (String::new(), Why::Ended),
        };
        if why != Why::Injected {
            self.failures.push(format!("peer {}: {actor} fell: {why}: {cause}", self.identity.id));
        }
        self.witness.note(|| Event::Crashed { actor, cause, during_sync, why });
    }

    /// Something is going on: more of it is likely to come soon.
    pub fn stay_awake(&self) {
        if let Some(vigil) = &self.vigil {
            vigil.keep();
        }
    }

    /// The role publishes what changed in a turn. A peer that broke the protocol is no failure of
    /// ours, but one that is to be seen: in a lab there should be none.
    pub fn publish<R: Role>(&self, role: &R) {
        if self.gauges.publish(role) {
            self.failures.push(format!("peer {}: another peer broke the protocol", self.identity.id));
        }
    }

    /// A sync that takes a good part of an election timeout endangers leadership. Says so at most
    /// every ten seconds.
    pub fn warn_of_slow_sync(&self, took_ms: u64, now_ms: u64) {
        const PAUSE_MS: u64 = 10_000;
        let election_ms = self.identity.config.election_timeout_ms.start;
        let warned_ms = self.warned_ms.load(Relaxed);
        if took_ms.saturating_mul(4) >= election_ms && (warned_ms == 0 || now_ms >= warned_ms + PAUSE_MS) {
            self.warned_ms.store(now_ms.max(1), Relaxed);
            let what = format!("a sync took {took_ms} ms, the shortest election timeout is {election_ms} ms");
            self.witness.note(|| Event::Warned { what, why: Why::SlowDisk });
        }
    }
}
