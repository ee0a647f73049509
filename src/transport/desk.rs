//! What a peer has to offer to those who come over a network and are no peers: the port that the rooms
//! above implement, and through which a transport reaches them.

use bytes::Bytes;

use crate::{
    observe::PeerStatus,
    raft::{PeerId, Port},
};

/// What a client wants to have applied. The payload is still in the frame that it came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Submission<'a> {
    /// A command outside of any session.
    Plain(&'a [u8]),
    /// A command in a session.
    InSession {
        /// Which.
        session: u128,
        /// The command's place in it, from 1.
        sequence: u64,
        /// The client has the answers to all before this one.
        lowest_unanswered: u64,
        /// The command.
        payload: &'a [u8],
    },
    /// Opens a session. Answered with the sequence that was applied last in it: eight bytes, the lowest
    /// first.
    Open(u128),
    /// Counts as a use of a session. Answered with [`Outcome::Gap`](crate::raft::Outcome::Gap) if it is there.
    Keep(u128),
    /// Closes a session.
    Close(u128),
}

/// What a peer offers to clients and operators.
pub trait Desk: Send + Sync {
    /// Proposes something to the machine, if this peer leads.
    fn propose(&self, submission: Submission<'_>, port: Port);

    /// Asks the machine, and sees everything that was done before, if this peer leads.
    fn read(&self, question: Bytes, port: Port);

    /// Asks this peer's own machine, as it is now.
    fn ask_local(&self, question: Bytes, port: Port);

    /// How the peer does.
    fn status(&self) -> PeerStatus;

    /// Hands leadership over. `Applied` when it has left, `Busy` when a transfer is under way, `Lost` when it
    /// did not succeed in time, `Rejected` when the target does not vote.
    fn transfer(&self, target: Option<PeerId>, port: Port);

    /// Takes a snapshot. `Applied` with the last entry that it covers (eight bytes, the lowest first) when it is
    /// durable.
    fn take_snapshot(&self, port: Port);
}
