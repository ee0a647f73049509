//! Counts what happens, by watching.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use raft_actors::{
    observe::{Observer, Report},
    raft::{ActorKind, Event, Index, PeerId, Term},
};

/// What has happened so far, as far as this example wants to know.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub elections: u64,
    pub terms: Term,
    pub crashes: BTreeMap<(PeerId, ActorKind), u64>,
    pub restarts: BTreeMap<(PeerId, ActorKind), u64>,
    /// Crashes and kills that landed while the peer's disk was writing.
    pub during_sync: u64,
    pub kills: u64,
    pub tails_lost: u64,
    pub snapshots: u64,
    /// The peers whose disks are writing just now.
    pub writing: BTreeSet<PeerId>,
    /// Who was elected last, in which term, and how long its log was then.
    pub elected: Option<(PeerId, Term, Index)>,
    /// The entry that the machines can't apply.
    pub poisoned: Option<Index>,
}

/// An observer, and whoever wants to read it: clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything at once.
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// Who was elected last, in which term, and how long its log was then.
    pub fn elected(&self) -> Option<(PeerId, Term, Index)> {
        self.counts().elected
    }

    /// How often this actor of a peer has fallen.
    pub fn crashes(&self, peer: PeerId, kind: ActorKind) -> u64 {
        self.counts().crashes.get(&(peer, kind)).copied().unwrap_or_default()
    }

    /// Whether the disk of a peer is writing just now.
    pub fn is_writing(&self, peer: PeerId) -> bool {
        self.counts().writing.contains(&peer)
    }

    /// The latest term, how many actors came back, and how many peers were killed.
    pub fn glance(&self) -> (u64, u64, u64) {
        let counts = self.counts();
        (counts.terms.0, counts.restarts.values().sum(), counts.kills)
    }
}

impl Observer for Tally {
    fn observe(&mut self, report: &Report) {
        let mut counts = self.counts();
        counts.terms = counts.terms.max(report.term);
        match &report.event {
            Event::Elected { last, .. } => {
                counts.elections += 1;
                counts.elected = Some((report.peer, report.term, last.index));
            }
            Event::SyncBegun { .. } => drop(counts.writing.insert(report.peer)),
            Event::Synced { .. } | Event::Opened { .. } | Event::Replayed { .. } => {
                counts.writing.remove(&report.peer);
            }
            Event::Crashed { actor, during_sync, .. } => {
                *counts.crashes.entry((report.peer, *actor)).or_default() += 1;
                counts.during_sync += u64::from(*during_sync);
            }
            Event::Recovered { actor, .. } => *counts.restarts.entry((report.peer, *actor)).or_default() += 1,
            Event::Killed { during_sync, .. } => {
                counts.kills += 1;
                counts.writing.remove(&report.peer);
                counts.during_sync += u64::from(*during_sync);
            }
            Event::TailLost { .. } => counts.tails_lost += 1,
            Event::SnapshotTaken { .. } => counts.snapshots += 1,
            Event::Poisoned { index, .. } => counts.poisoned = Some(*index),
            _ => {}
        }
    }
}
