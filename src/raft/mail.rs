//! The rules for all servers (Figure 2): they settle the term of a message, once, before any role
//! sees it.

use std::cmp::Ordering;

use super::{
    event::{Event, Why},
    message::*,
    role::{Letters, Role},
    state::State,
    types::{PeerId, Term},
};

/// What a message claims about terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Nothing: it is said within the peer, or is a canvass, which never changes a term.
    Nothing,
    /// It is a request of this term: a stale one is answered with ours.
    Request(Term),
    /// It is a reply of this term: a stale one is dropped.
    Reply(Term),
}

/// What the rules for all servers need to know of a message.
pub trait Mail: Sized + Send + 'static {
    /// What it claims about terms.
    fn claim(&self) -> Claim {
        Claim::Nothing
    }

    /// Whether it would depose a living leader (thesis §4.2.3).
    fn is_disruptive(&self) -> bool {
        false
    }

    /// The peer that sent it.
    fn sender(&self) -> Option<PeerId> {
        None
    }

    /// Refuses it: its term is over, or a leader is alive.
    fn refuse(self, _state: &mut State, _letters: &mut Letters, _why: Why) {}

    /// What it counts for in the limits of a turn, in bytes.
    fn weight(&self) -> usize {
        0
    }
}

/// What the rules for all servers make of a message.
pub enum Settled<M> {
    /// It is of our term, or of none: the role has it.
    Ours(M),
    /// It is of a newer term: follow into it, and let the follower have the message.
    Newer(Term, M),
    /// It is settled.
    Done,
}

/// How far a term may be ahead of ours to be believed. Terms rise one election at a time.
const TERM_JUMP_MAX: u64 = 1 << 40;

/// All servers (Figure 2): settles the term of a message before the role sees it. A stale request is
/// answered with our term, a stale reply dropped; a candidate is turned down while a leader is
/// alive, before terms are compared (thesis §4.2.3).
pub fn settle<R: Role, M: Mail>(role: &mut R, message: M, letters: &mut Letters) -> Settled<M> {
    let ours = role.state().term();
    let (theirs, is_request) = match message.claim() {
        Claim::Nothing => return Settled::Ours(message),
        Claim::Request(term) => (term, true),
        Claim::Reply(term) => (term, false),
    };
    if message.is_disruptive() && role.holds_on() {
        message.refuse(role.state_mut(), letters, Why::LeaderAlive);
        return Settled::Done;
    }
    match theirs.cmp(&ours) {
        Ordering::Equal => Settled::Ours(message),
        Ordering::Greater if theirs.0 - ours.0 > TERM_JUMP_MAX => {
            let by = message.sender().unwrap_or(role.state().id());
            role.state_mut().note_violation(by, || format!("a message of term {theirs}"), Why::Implausible);
            Settled::Done
        }
        Ordering::Greater => Settled::Newer(theirs, message),
        Ordering::Less => {
            if is_request {
                message.refuse(role.state_mut(), letters, Why::StaleTerm);
            }
            Settled::Done
        }
    }
}

impl Mail for PreVote {
    fn sender(&self) -> Option<PeerId> {
        Some(self.candidate)
    }
}

impl Mail for PreVoted {
    /// A grant echoes the term it was asked about, which nobody has reached yet.
    fn claim(&self) -> Claim {
        if self.granted { Claim::Nothing } else { Claim::Reply(self.term) }
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.from)
    }
}

impl Mail for RequestVote {
    fn claim(&self) -> Claim {
        Claim::Request(self.term)
    }

    fn is_disruptive(&self) -> bool {
        !self.transfer
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.candidate)
    }

    /// A vote that is not given is a vote all the same, and is told like any other.
    fn refuse(self, state: &mut State, letters: &mut Letters, why: Why) {
        state.note(|| Event::Voted { candidate: self.candidate, granted: false, why });
        let answer = Voted { from: state.id(), term: state.term(), granted: false };
        letters.replies.push((self.reply, answer).into());
    }
}

impl Mail for Voted {
    fn claim(&self) -> Claim {
        Claim::Reply(self.term)
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.from)
    }
}

impl Mail for AppendEntries {
    fn claim(&self) -> Claim {
        Claim::Request(self.term)
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.leader)
    }

    fn refuse(self, state: &mut State, letters: &mut Letters, _: Why) {
        let answer = Appended {
            from: state.id(),
            term: state.term(),
            round: self.slice.round,
            result: Err(Refusal::Stale),
            healthy: state.is_healthy(),
        };
        letters.replies.push((self.reply, answer).into());
    }

    fn weight(&self) -> usize {
        self.slice.weight()
    }
}

impl Mail for Installed {
    fn claim(&self) -> Claim {
        Claim::Request(self.term)
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.leader)
    }

    fn refuse(self, state: &mut State, letters: &mut Letters, _: Why) {
        let answer = ChunkTaken { from: state.id(), term: state.term(), taken: Taken::Failed };
        letters.replies.push((self.reply, answer).into());
    }
}

impl Mail for TimeoutNow {
    fn claim(&self) -> Claim {
        Claim::Request(self.term)
    }

    fn sender(&self) -> Option<PeerId> {
        Some(self.leader)
    }
}

impl Mail for Outran {
    fn claim(&self) -> Claim {
        Claim::Reply(self.term)
    }
}

impl Mail for Propose {
    fn weight(&self) -> usize {
        self.commands.iter().map(super::Command::weight).sum()
    }
}

impl Mail for Tick {}
impl Mail for ReadIndex {}
impl Mail for Transfer {}
impl Mail for Matched {}
impl Mail for Refused {}
impl Mail for Pull {}
impl Mail for Receiving {}
impl Mail for CatchUp {}
impl Mail for Snapshotted {}
impl Mail for Health {}
