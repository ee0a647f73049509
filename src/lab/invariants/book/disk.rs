//! What is on a peer's disk, and what it finds there when it comes back.

use super::{Ballot, Book, Invariant};
use crate::{
    lab::invariants::{violation::Allowed, world::World},
    observe::Report,
    raft::{Index, PeerId, Position, RoleKind},
};

impl Book {
    /// Everything that its role holds is on its disk.
    pub(super) fn sync(&mut self, report: &Report, durable: Position, world: &mut World) {
        self.ends(report, durable, world);
        (self.synced, self.surviving) = (Some(durable), Some(durable));
        (self.synced_ballot, self.unsynced) = (self.ballot, None);
    }

    /// `Restart` of the specification: what is on the disk, and nothing else.
    pub(super) fn replay(
        &mut self,
        report: &Report,
        last: Position,
        vote: PeerId,
        snapshot: Position,
        world: &mut World,
    ) {
        let ballot = (report.term, Some(vote).filter(|&vote| vote != PeerId::default()));
        if let Some(what) = self.lost(last, ballot, snapshot, world) {
            if !world.allows(Allowed::LostDisks) {
                world.accuse(report, Invariant::Survival, what);
            }
            // Another disk: what is asked of it from now on is what is on it.
            (self.restores, self.committed, self.purged) = (snapshot.index, Index(0), Index(0));
            (self.spoken, self.promised) = (report.term, ballot);
        }
        if last.index < snapshot.index {
            world.accuse(
                report,
                Invariant::Bounds,
                format!("its log ends before its snapshot at {snapshot}"),
            );
        }
        if !world.tree.exists(last) {
            world.accuse(report, Invariant::LogMatching, format!("nobody has ever created {last}"));
        }
        (self.log, self.synced, self.surviving) = (Some(last), Some(last), Some(last));
        (self.ballot, self.synced_ballot, self.unsynced) = (ballot, ballot, None);
        self.snapshot = snapshot;
        // It was committed before it was covered, or applied.
        self.commit = snapshot.index.max(self.applied).min(last.index);
        self.committed = self.committed.max(self.commit);
        self.restoring |= self.applied < snapshot.index;
        world.covered(report, snapshot);
    }

    /// What was synced, and is not there any more. A truncation that was under way may have been the last
    /// thing to reach the disk; and what a snapshot covers is there.
    fn lost(&self, last: Position, ballot: Ballot, snapshot: Position, world: &World) -> Option<String> {
        // A log that does not hold what a snapshot ends with goes whole (§7).
        if let Some(surviving) = self.surviving
            && world.tree.holds(surviving, snapshot) == Some(true)
            && world.tree.holds(last, surviving) == Some(false)
        {
            return Some(format!("{surviving} was synced, and the log that is read back ends with {last}"));
        }
        if snapshot.index < self.snapshot.index {
            return Some(format!("the snapshot at {} was durable, {snapshot} is read back", self.snapshot));
        }
        let (term, vote) = self.synced_ballot;
        if ballot.0 < term {
            return Some(format!("term {term} was synced, and term {} is read back", ballot.0));
        }
        if let Some(vote) = vote.filter(|_| ballot.0 == term)
            && ballot.1 != Some(vote)
        {
            return Some(format!("a vote for n{vote} in term {term} was synced, and is not read back"));
        }
        None
    }

    /// A leader's snapshot, durable before its role hears of it, takes the place of the log (§7).
    pub(super) fn install(&mut self, report: &Report, at: Position, kept: bool, world: &mut World) {
        if report.role == Some(RoleKind::Leader) {
            world.accuse(report, Invariant::LeaderAppendOnly, "a leader puts a snapshot in place of its log");
        }
        if at.index <= self.commit {
            world.accuse(report, Invariant::OneWay, format!("the commit index was {} before", self.commit));
        }
        let holds = |end: Option<Position>| end.map(|end| world.tree.holds(end, at));
        if holds(self.log) == Some(Some(!kept)) {
            let what = format!("what is behind {at} {} in its log", if kept { "was not" } else { "was" });
            world.accuse(report, Invariant::LogMatching, what);
        }
        if !kept {
            self.log = Some(at);
        }
        let holds = |end: Option<Position>| end.and_then(|end| world.tree.holds(end, at));
        if holds(self.synced) != Some(true) {
            self.synced = Some(at);
        }
        world.covered(report, at);
        self.snapshot = self.snapshot.max(at);
        (self.commit, self.committed) = (at.index, self.committed.max(at.index));
        self.purged = self.purged.max(at.index);
        self.restoring |= self.applied < at.index;
    }
}
