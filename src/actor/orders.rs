//! What a cluster asks of one of its peers, beside Raft: to let an actor fall, to answer from its own
//! machine, to take a snapshot, to look at its clock.

use actix::{Handler, Message};

use super::{
    clock::ClockChanged,
    door::refuse,
    machine::{Ask, SaveNow},
    peer::Peer,
    supervision::Fall,
};
use crate::raft::{ActorKind, Port, Query};

/// Makes an actor fall, for whoever wants to see it heal.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Trip {
    /// Which one.
    pub actor: ActorKind,
    /// How.
    pub fall: Fall,
}

/// A question to the machine of this very peer, as it is now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskLocal(pub Query);

/// Takes a snapshot now, whatever the policy says.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeSnapshot(pub Port);

impl Handler<Trip> for Peer {
    type Result = ();

    fn handle(&mut self, Trip { actor, fall }: Trip, _: &mut Self::Context) {
        let leash = match actor {
            ActorKind::Role => self.role.as_ref().map(|(_, leash)| leash),
            ActorKind::Storage => self.storage.as_ref().map(|kept| &kept.leash),
            ActorKind::Machine => self.machine.as_ref().map(|kept| &kept.leash),
            ActorKind::Timer => self.timer.as_ref().map(|kept| &kept.leash),
            ActorKind::Replicator => {
                let _ = self.crew.iter().any(|tripwire| tripwire.trip(fall));
                None
            }
            _ => None,
        };
        if let Some(leash) = leash {
            leash.trip(fall);
        }
    }
}

impl Handler<AskLocal> for Peer {
    type Result = ();

    fn handle(&mut self, AskLocal(query): AskLocal, _: &mut Self::Context) {
        match &self.machine {
            Some(machine) => machine.addr.do_send(Ask(query)),
            None => refuse([query.port]),
        }
    }
}

impl Handler<TakeSnapshot> for Peer {
    type Result = ();

    fn handle(&mut self, TakeSnapshot(port): TakeSnapshot, _: &mut Self::Context) {
        match &self.machine {
            Some(machine) => machine.addr.do_send(SaveNow(port)),
            None => refuse([port]),
        }
    }
}

impl Handler<ClockChanged> for Peer {
    type Result = ();

    /// Whatever is not a timer looks at the clock when it has something to do.
    fn handle(&mut self, _: ClockChanged, _: &mut Self::Context) {
        if let Some(timer) = &self.timer {
            timer.addr.do_send(ClockChanged);
        }
    }
}
