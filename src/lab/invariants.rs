//! The oracle: the properties of Figure 3, and the one-way rules that keep them, after every event.
//!
//! An [`Oracle`] looks on at a whole cluster, and says which [`Invariant`] did not hold, when, and what
//! was the case instead. It sees events only, so it is the same judge for a simulation, for a live
//! cluster and for a recording. It is cheap enough to be on in every run: all logs are kept as one
//! [tree](self#how-it-is-cheap) of runs.
//!
//! ```
//! use std::time::Duration;
//! use raft_actors::{Cluster, lab::invariants::Oracle, machine::closure, raft::ActorKind};
//!
//! let oracle = Oracle::new();
//! Cluster::of(|_| closure(0u64, |sum: &mut u64, more: u64| { *sum += more; *sum }))
//!     .observe(oracle.clone())
//!     .simulate(7, async |cluster: Cluster<_>| {
//!         let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
//!         let session = cluster.client().session().await?;
//!         session.propose(&40).await?;
//!         cluster.crash(leader, ActorKind::Role);
//!         session.propose(&2).await
//!     })??;
//!
//! oracle.assert_clean();
//! assert_eq!(oracle.counts().crashes, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is cheap
//!
//! Only the leader of a term creates its entries. So a log is known by its last position, as long as
//! Log Matching holds, and whether it does costs one look at each change of terms in a log. There is no
//! map of indexes, and an event allocates nothing.
//!
//! # What it can't see
//!
//! Payloads: that two peers hold the same bytes at one position only their machines show. And whatever
//! happens before it looks on: a peer is judged from the first time that it is seen to be
//! [opened](crate::raft::Event::Opened), so it is to be attached before a cluster starts. Peers of other
//! processes report elsewhere; what only they could have done is not held against those who are seen.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

mod book;
mod counts;
#[cfg(test)]
mod tests;
mod tree;
mod violation;
mod world;

use book::Book;
pub use counts::Counts;
use counts::Tally;
pub use violation::{Allowed, Invariant, Violation};
use world::World;

use crate::{
    observe::{Observer, Report},
    raft::{Event, Index, PeerId, RoleKind},
};

/// Judges a run while it goes on. Clones are the same oracle: one is attached, another is asked.
#[derive(Clone, Debug)]
pub struct Oracle(
    /// Around what was seen only; held for one event.
    Arc<Mutex<Judge>>,
);

#[derive(Debug)]
struct Judge {
    peers: BTreeMap<PeerId, Book>,
    /// Who counts for a majority; `None`: whoever was seen.
    voters: Option<Vec<PeerId>>,
    world: World,
    tally: Tally,
}

impl Default for Oracle {
    fn default() -> Self {
        Oracle::new()
    }
}

impl Oracle {
    /// Takes for voters whoever it sees: right also where it sees some of the peers only.
    pub fn new() -> Oracle {
        Oracle::with(None)
    }

    /// Knows who votes, and that all of them report here: who was never seen holds nothing.
    pub fn of(voters: impl IntoIterator<Item = PeerId>) -> Oracle {
        Oracle::with(Some(voters.into_iter().collect()))
    }

    fn with(voters: Option<Vec<PeerId>>) -> Oracle {
        let (peers, world, tally) = (BTreeMap::new(), World::new(), Tally::default());
        Oracle(Arc::new(Mutex::new(Judge { peers, voters, world, tally })))
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is expected. Returns itself, so that it can be said where an oracle is made.
    pub fn allow(&self, allowed: Allowed) -> &Oracle {
        self.judge().world.allow(allowed);
        self
    }

    /// What did not hold so far: the first hundred, which most often bring about the rest.
    pub fn violations(&self) -> Vec<Violation> {
        self.judge().world.violations.clone()
    }

    /// Whether everything has held so far.
    pub fn is_clean(&self) -> bool {
        self.judge().world.violated == 0
    }

    /// What did not hold, at the end of a run in which everything has healed: also what fell and never
    /// came back.
    pub fn verdict(&self) -> Vec<Violation> {
        let judge = self.judge();
        let fallen = judge.peers.iter().flat_map(|(peer, book)| {
            book.fallen.iter().map(move |(actor, seq, report)| Violation {
                invariant: Invariant::Recovery,
                what: format!("the {actor} of n{peer} fell, and never came back"),
                seq: *seq,
                report: report.clone(),
            })
        });
        judge.world.violations.iter().cloned().chain(fallen).collect()
    }

    /// How much happened.
    pub fn counts(&self) -> Counts {
        self.judge().tally.counts()
    }

    /// Ends a test in which something did not hold: see [`Oracle::verdict`].
    ///
    /// # Panics
    /// With the first ten of what did not hold.
    #[track_caller]
    pub fn assert_clean(&self) {
        let verdict = self.verdict();
        if !verdict.is_empty() {
            let mut text = String::new();
            for violation in verdict.iter().take(10) {
                let _ = write!(text, "\n  {violation}");
            }
            panic!("{} invariants did not hold:{text}", verdict.len());
        }
    }
}

impl Observer for Oracle {
    fn observe(&mut self, report: &Report) {
        self.judge().see(report);
    }
}

impl Judge {
    fn see(&mut self, report: &Report) {
        self.tally.add(&report.event);
        if matches!(report.event, Event::Opened { .. }) {
            self.peers.entry(report.peer).or_default();
        }
        let Some(book) = self.peers.get_mut(&report.peer) else { return };
        book.read(report, &mut self.world);
        if let Event::Committed { index, .. } = report.event
            && report.role == Some(RoleKind::Leader)
        {
            self.count_disks(report, index);
        }
    }

    /// A leader's commit rests on the disks of a majority (§5.3): they hold that very entry, index and term.
    fn count_disks(&mut self, report: &Report, index: Index) {
        let Judge { peers, voters, world, .. } = self;
        let Some(entry) = peers.get(&report.peer).and_then(|leader| leader.entry(index, world)) else {
            return;
        };
        let has = |book: &Book| book.has_synced(entry, world) != Some(false);
        let (held, all) = match voters {
            Some(voters) => (
                voters.iter().filter_map(|peer| peers.get(peer)).filter(|book| has(book)).count(),
                voters.len(),
            ),
            None => (peers.values().filter(|book| has(book)).count(), peers.len()),
        };
        if held * 2 <= all {
            let what = format!("{entry} is on the disks of {held} of {all} only");
            self.world.accuse(report, Invariant::QuorumHolds, what);
        }
    }
}
