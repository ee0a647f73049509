//! How a role is reached: two kinds of mail, the address of whichever role is present, and where that is
//! found.

use std::sync::{PoisonError, RwLock};

use actix::{Addr, Message};

use super::{
    door::Ring,
    machine::MachineActor,
    role_actor::RoleActor,
    timer::{Alarm, Timer},
};
use crate::raft::*;

/// Mail for the peer, whichever role it plays: every role receives it, and after a hand-over it is
/// forwarded.
#[derive(Debug)]
pub struct Deliver<M>(pub M);

impl<M> Message for Deliver<M> {
    type Result = ();
}

/// An answer to what this very role actor asked: never forwarded, and dropped once its time in
/// office is over.
#[derive(Debug)]
pub struct Answer<M>(pub M);

impl<M> Message for Answer<M> {
    type Result = ();
}

/// An actor that the role sends to was rebuilt.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Rewire {
    /// The timer.
    Timer(Addr<Timer>),
    /// The machine.
    Machine(Addr<MachineActor>),
}

/// The address of the present role, whichever it is.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum RoleAddr {
    Follower(Addr<RoleActor<Follower>>),
    PreCandidate(Addr<RoleActor<PreCandidate>>),
    Candidate(Addr<RoleActor<Candidate>>),
    Leader(Addr<RoleActor<Leader>>),
}

macro_rules! to_present {
    ($addr:expr, $message:expr) => {
        match $addr {
            RoleAddr::Follower(addr) => addr.do_send($message),
            RoleAddr::PreCandidate(addr) => addr.do_send($message),
            RoleAddr::Candidate(addr) => addr.do_send($message),
            RoleAddr::Leader(addr) => addr.do_send($message),
        }
    };
}

impl RoleAddr {
    /// Delivers mail for the peer.
    pub fn deliver<M: Mail>(&self, message: M)
    where
        Follower: Receive<M>,
        PreCandidate: Receive<M>,
        Candidate: Receive<M>,
        Leader: Receive<M>,
    {
        to_present!(self, Deliver(message))
    }

    /// Somebody waits at the door.
    pub fn open_door(&self) {
        to_present!(self, Ring)
    }

    /// The timer has rung.
    pub fn ring(&self, alarm: Alarm) {
        to_present!(self, alarm)
    }

    /// An actor was rebuilt.
    pub fn rewire(&self, rewire: Rewire) {
        to_present!(self, rewire)
    }
}

/// Where the present role of a peer is found by those who send it most of its mail, so that each piece takes one
/// hop and not two. The peer alone writes it, with each role that it presents: until then the one before
/// forwards. Nobody is found between roles.
#[derive(Default)]
pub struct Front(RwLock<Option<RoleAddr>>);

impl Front {
    /// Another role is present, or none.
    pub fn present(&self, role: Option<RoleAddr>) {
        let mut front = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *front, role);
        drop(front);
        // The last address of an actor that is gone takes its mail with it, and what is in that may be anything.
        drop(before);
    }

    /// Says something to the present role. `false`: there is none.
    pub fn tell(&self, tell: impl FnOnce(&RoleAddr)) -> bool {
        let front = self.0.read().unwrap_or_else(PoisonError::into_inner);
        front.as_ref().map(tell).is_some()
    }
}
