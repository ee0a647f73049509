//! What a peer offers to those who come over a network: its door, its machine, its figures.

use bytes::Bytes;

use super::{gauges::PeerStatus, host::Seat};
use crate::{
    machine::{SessionId, envelope},
    raft::{Command, PeerId, Port, Query, Transfer},
    transport::{Desk, Submission},
};

impl Desk for Seat {
    /// The payload is copied once: behind its header, out of the frame that it came in.
    fn propose(&self, submission: Submission<'_>, port: Port) {
        let payload = match submission {
            Submission::Plain(payload) | Submission::InSession { payload, .. } => payload,
            _ => &[],
        };
        let mut bytes = Vec::with_capacity(envelope::OVERHEAD_BYTES_MAX + payload.len());
        match submission {
            Submission::Plain(_) => envelope::put_plain(&mut bytes),
            Submission::InSession { session, sequence, lowest_unanswered, .. } => {
                envelope::put_in_session(SessionId(session), sequence, lowest_unanswered, &mut bytes);
            }
            Submission::Open(session) => envelope::put_open(SessionId(session), &mut bytes),
            // No command has this sequence: it is a use of the session, and changes nothing.
            Submission::Keep(session) => {
                envelope::put_in_session(SessionId(session), u64::MAX, 0, &mut bytes);
            }
            Submission::Close(session) => envelope::put_close(SessionId(session), &mut bytes),
        }
        bytes.extend_from_slice(payload);
        self.door().propose(Command::Data(Bytes::from(bytes)), port);
    }

    fn read(&self, question: Bytes, port: Port) {
        self.door().read(Query { question, port });
    }

    fn ask_local(&self, question: Bytes, port: Port) {
        Seat::ask_local(self, Query { question, port });
    }

    fn status(&self) -> PeerStatus {
        Seat::status(self)
    }

    fn transfer(&self, target: Option<PeerId>, port: Port) {
        Seat::transfer(self, Transfer { target, port });
    }

    fn take_snapshot(&self, port: Port) {
        Seat::take_snapshot(self, port);
    }
}
