//! An entry that the machine can't apply: found out, quarantined, got over.

use actix::{Context, Handler, Message};

use super::{peer::Peer, role_addr::Rewire, supervision::End};
use crate::raft::{Event, Health, Index, Why};

/// The machine has got over the entry that it could not apply.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Healed;

impl Peer {
    /// The machine fell. If it fell at an entry, and at the same one before, that entry is poison:
    /// then the machine comes back as it was before it, and goes no further.
    pub(super) fn machine_down(&mut self, end: &End, ctx: &mut Context<Self>) {
        let at = self.parts.gauges.applying().filter(|_| *end != End::Injected);
        if let Some((first, last)) = at {
            // A batch of a machine that is an actor may hold the bad entry anywhere: only an entry
            // that fell alone is known to be the one.
            if first == last && self.suspects.is_some_and(|(from, to)| from <= first && first <= to) {
                self.poison(first);
            }
            self.suspects = Some((first, last));
        }
        self.parts.gauges.set_applying(None);
        self.machine = None;
        self.parts.gauges.set_applied(Index(0));
        self.start_machine(ctx);
        if let (Some((role, _)), Some(machine)) = (&self.role, &self.machine) {
            role.rewire(Rewire::Machine(machine.addr.clone()));
        }
    }

    fn poison(&mut self, index: Index) {
        self.poisoned = Some(index);
        self.parts.gauges.set_poisoned(self.poisoned);
        self.parts.witness.note(|| Event::Poisoned { index, why: Why::FailedTwice });
        self.deliver(Health { poisoned: self.poisoned });
    }
}

impl Handler<Healed> for Peer {
    type Result = ();

    fn handle(&mut self, _: Healed, _: &mut Self::Context) {
        (self.poisoned, self.suspects) = (None, None);
        self.parts.gauges.set_poisoned(None);
        let applied = self.parts.gauges.applied();
        self.parts.witness.note(|| Event::Healthy { applied, why: Why::SnapshotCovers });
        self.deliver(Health { poisoned: None });
    }
}
