//! What a peer's machine does, and from where it begins anew.

use super::{Book, Invariant};
use crate::{
    lab::invariants::world::World,
    observe::Report,
    raft::{Index, Position},
};

impl Book {
    /// It will be rebuilt, from what is durable now or from something newer.
    pub(super) fn machine_fell(&mut self) {
        (self.applied, self.restoring, self.restores) = (Index(0), true, self.snapshot.index);
    }

    /// State Machine Safety, as one machine shows it: in order, each once, and nothing that is not
    /// committed and on its own disk.
    pub(super) fn apply(&mut self, report: &Report, first: Index, last: Index, world: &mut World) {
        if first != self.applied.next() || last < first {
            let what = format!("{} was applied before", self.applied);
            world.accuse(report, Invariant::StateMachineSafety, what);
        }
        if last > self.committed {
            let what = format!("it knows what is committed up to {} only", self.committed);
            world.accuse(report, Invariant::Bounds, what);
        }
        let entry = world.tree.at(world.committed(), last);
        if entry.is_some_and(|entry| self.has_synced(entry, world) == Some(false)) {
            let what = format!("{last} is applied, its disk ends with {}", self.synced.unwrap_or_default());
            world.accuse(report, Invariant::SyncedFirst, what);
        }
        self.applied = last;
        self.restoring &= last < self.snapshot.index;
    }

    /// Nobody but the machine writes down what a snapshot covers, so it has applied that; unless another
    /// was installed meanwhile, and it is about to begin anew from it.
    pub(super) fn take_snapshot(&mut self, report: &Report, at: Position, world: &mut World) {
        if at.index > self.committed {
            let what = format!("the snapshot covers {at}, committed is {}", self.committed);
            world.accuse(report, Invariant::Bounds, what);
        }
        if at.index > self.applied && !self.restoring {
            let what = format!("the snapshot covers {at}, the machine has applied {}", self.applied);
            world.accuse(report, Invariant::Bounds, what);
        }
        world.covered(report, at);
        self.snapshot = self.snapshot.max(at);
    }

    /// The machine stands here: behind the latest snapshot, or where it was if none is ahead of it.
    pub(super) fn restored(&mut self, report: &Report, applied: Index, world: &mut World) {
        if applied < self.applied {
            world.accuse(report, Invariant::OneWay, format!("{} was applied before", self.applied));
        }
        if applied < self.restores {
            let what = format!("the snapshot at {} was durable before", self.restores);
            world.accuse(report, Invariant::Bounds, what);
        }
        if applied > world.committed().index && world.knows_leader(report.term) {
            let what = format!("what is committed ends with {}", world.committed());
            world.accuse(report, Invariant::StateMachineSafety, what);
        }
        self.applied = applied;
        self.committed = self.committed.max(applied);
        self.restoring = applied < self.snapshot.index;
        // The next restore begins after this one.
        self.restores = self.snapshot.index;
    }
}
