//! What a peer offers to those who come over a network: its door, its machine, its figures.

use bytes::Bytes;

use super::{gauges::PeerStatus, host::Seat};
use crate::{
    machine::{SessionId, envelope},
    raft::{Command, PeerId, Port, Query, Transfer},
    transport::{Desk, Submission},
};

impl Desk for Seat {
    /// The payload is copied once: out of the frame that it came in, behind its header.
    fn propose(&self, submission: Submission<'_>, port: Port) {
        let mut bytes = Vec::new();
        match submission {
            Submission::Plain(payload) => {
                let command = envelope::plain(Bytes::copy_from_slice(payload));
                return drop(self.door().propose(Command::Data(command), port));
            }
            Submission::InSession { session, sequence, lowest_unanswered, payload } => {
                bytes.reserve(envelope::OVERHEAD_BYTES_MAX + payload.len());
                envelope::put_in_session(SessionId(session), sequence, lowest_unanswered, &mut bytes);
                bytes.extend_from_slice(payload);
            }
            Submission::Open(session) => envelope::put_open(SessionId(session), &mut bytes),
            // No command has this sequence: it is a use of the session, and changes nothing.
            Submission::Keep(session) => {
                envelope::put_in_session(SessionId(session), u64::MAX, 0, &mut bytes);
            }
            Submission::Close(session) => envelope::put_close(SessionId(session), &mut bytes),
        }
        drop(self.door().propose(Command::Data(bytes.into()), port));
    }

    fn read(&self, question: Bytes, port: Port) {
        drop(self.door().read(Query { question, port }));
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
