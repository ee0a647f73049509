//! A machine that does nothing, for those who measure or test everything around it.
//!
//! A benchmark of a log should not be one of a map; a test of elections needs something to
//! propose. [`Discard`] takes any bytes and answers how many they were: enough to see that the
//! answer belongs to the command.

use std::io::{self, Read};

use super::{CodecError, Lent, Raw, StateMachine};
use crate::binary::read_end;
use crate::{raft::Position, storage::SnapshotWriter};

/// Takes any bytes, keeps nothing, and answers commands and queries alike with their length.
///
/// ```
/// use raft_actors::machine::{Discard, StateMachine};
/// use raft_actors::raft::Position;
///
/// assert_eq!(Discard.apply(Position::new(1, 2), "hello".into()), 5);
/// assert_eq!(Discard.query("anybody there?".into()), 14);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discard;

impl StateMachine for Discard {
    type Command = Raw;
    type Answer = u64;
    type Query = Raw;
    type Response = u64;

    fn apply(&mut self, _: Position, command: Raw) -> u64 {
        command.0.len() as u64
    }

    fn apply_lent(&mut self, _: Position, command: Lent<'_>) -> Result<u64, CodecError> {
        Ok(command.len() as u64)
    }

    fn query(&self, query: Raw) -> u64 {
        query.0.len() as u64
    }

    fn snapshot(&self) -> SnapshotWriter {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        read_end(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn it_answers_alike_whether_bytes_are_lent_or_given() {
        for command in ["", "hello"].map(Bytes::from) {
            let lent = Discard.apply_lent(Position::new(1, 2), Lent::from(&command));
            assert_eq!(lent, Ok(Discard.apply(Position::new(1, 2), Raw(command))));
        }
    }

    #[test]
    fn its_snapshot_is_empty() {
        let mut bytes = Vec::new();
        Discard.snapshot()(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        assert!(Discard.restore(&mut bytes.as_slice()).is_ok());
        assert!(Discard.restore(&mut b"another machine's".as_slice()).is_err());
    }
}
