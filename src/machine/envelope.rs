//! What the data of an entry holds: a command, alone or in a session, or a session's own coming
//! and going.
//!
//! Raft moves the bytes of `Command::Data` without a look at them. The machine's side needs to
//! know a little more than the command: whose it is, and its place in that session's order. That
//! is a header of a few bytes in front of it:
//!
//! | tag | then | means |
//! |---|---|---|
//! | 0 | the command | a command outside of any session: applied as often as it is in the log |
//! | 1 | session, 16 bytes, the lowest first | open the session, or find out how far it got |
//! | 2 | session | close it |
//! | 3 | session, sequence, lowest unanswered, the command | a command in a session |
//!
//! Sequences count from 1, as LEB128 varints. The lowest unanswered sequence is the client's
//! receipt: it has the answers to all before it, and the peers may forget them. It is never above
//! the command's own sequence.
//!
//! A header is written first and the command right behind it, into one vector; it is read without
//! a copy. What can't be read is answered `Rejected` by every peer alike: the format is closed, and
//! a peer that does not know a tag must not guess.
//!
//! ```
//! use raft_actors::machine::{Codec, Envelope, Raw, SessionId, envelope};
//!
//! let mut entry = Vec::new();
//! envelope::put_in_session(SessionId(7), 3, 2, &mut entry);
//! Raw::from("x = 1").encode(&mut entry)?;
//!
//! let Envelope::InSession { session, sequence, command, .. } = Envelope::parse(entry.into())? else { panic!() };
//! assert_eq!((session, sequence), (SessionId(7), 3));
//! assert_eq!(command, "x = 1");
//! # Ok::<(), raft_actors::machine::CodecError>(())
//! ```

use std::fmt;

use bytes::Bytes;

use super::{codec::CodecError, session::SessionId};
use crate::binary::{VARINT_BYTES_MAX, put_varint, take_array, take_byte, take_varint};

/// The most bytes that an envelope adds to a command.
pub const OVERHEAD_BYTES_MAX: usize = 1 + 16 + 2 * VARINT_BYTES_MAX;

const PLAIN: u8 = 0;
const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const IN_SESSION: u8 = 3;

/// What the data of one entry holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Envelope {
    /// A command outside of any session.
    Plain {
        /// The command.
        command: Bytes,
    },
    /// A session begins, or its client comes back and asks how far it got.
    Open {
        /// Which.
        session: SessionId,
    },
    /// A session ends: its client has all answers.
    Close {
        /// Which.
        session: SessionId,
    },
    /// A command in a session.
    InSession {
        /// Which.
        session: SessionId,
        /// The command's place in the session's order, from 1.
        sequence: u64,
        /// The client has all answers before this one; at most `sequence`.
        lowest_unanswered: u64,
        /// The command.
        command: Bytes,
    },
}

impl Envelope {
    /// Reads an entry's data. The command shares its bytes.
    ///
    /// # Errors
    /// It is no envelope. Never panics.
    pub fn parse(mut data: Bytes) -> Result<Envelope, CodecError> {
        let tag = take_byte(&mut data).ok_or_else(|| CodecError::new::<Envelope>("empty"))?;
        match tag {
            PLAIN => Ok(Envelope::Plain { command: data }),
            OPEN => take_last_session(data).map(|session| Envelope::Open { session }),
            CLOSE => take_last_session(data).map(|session| Envelope::Close { session }),
            IN_SESSION => parse_in_session(data),
            unknown => Err(CodecError::new::<Envelope>(format!("tag {unknown} is unknown"))),
        }
    }
}

fn parse_in_session(mut data: Bytes) -> Result<Envelope, CodecError> {
    let session = take_session(&mut data)?;
    let sequence = take_varint(&mut data).ok_or_else(|| CodecError::new::<Envelope>("no sequence"))?;
    let lowest_unanswered =
        take_varint(&mut data).ok_or_else(|| CodecError::new::<Envelope>("no lowest unanswered sequence"))?;
    if sequence == 0 {
        return Err(CodecError::new::<Envelope>("sequences count from 1"));
    }
    if lowest_unanswered > sequence {
        return Err(CodecError::new::<Envelope>("the lowest unanswered sequence is above its own"));
    }
    Ok(Envelope::InSession { session, sequence, lowest_unanswered, command: data })
}

fn take_session(data: &mut Bytes) -> Result<SessionId, CodecError> {
    let id = take_array(data).ok_or_else(|| CodecError::new::<Envelope>("no session"))?;
    Ok(SessionId(u128::from_le_bytes(id)))
}

fn take_last_session(mut data: Bytes) -> Result<SessionId, CodecError> {
    let session = take_session(&mut data)?;
    if data.is_empty() {
        return Ok(session);
    }
    Err(CodecError::new::<Envelope>(format!("{} bytes too many", data.len())))
}

/// Writes the header of a command outside of any session. The command goes right behind it.
pub fn put_plain(into: &mut Vec<u8>) {
    into.push(PLAIN);
}

/// Writes the whole envelope that opens a session.
pub fn put_open(session: SessionId, into: &mut Vec<u8>) {
    put_session(OPEN, session, into);
}

/// Writes the whole envelope that closes a session.
pub fn put_close(session: SessionId, into: &mut Vec<u8>) {
    put_session(CLOSE, session, into);
}

/// Writes the header of a command in a session. The command goes right behind it.
pub fn put_in_session(session: SessionId, sequence: u64, lowest_unanswered: u64, into: &mut Vec<u8>) {
    put_session(IN_SESSION, session, into);
    put_varint(sequence, into);
    put_varint(lowest_unanswered, into);
}

fn put_session(tag: u8, session: SessionId, into: &mut Vec<u8>) {
    into.push(tag);
    into.extend_from_slice(&session.0.to_le_bytes());
}

/// Commands are payload: only their length is shown.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Envelope::Plain { command } => write!(f, "Plain({} bytes)", command.len()),
            Envelope::Open { session } => write!(f, "Open({session:?})"),
            Envelope::Close { session } => write!(f, "Close({session:?})"),
            Envelope::InSession { session, sequence, lowest_unanswered, command } => write!(
                f,
                "InSession({session:?} #{sequence}, unanswered from #{lowest_unanswered}, {} bytes)",
                command.len()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> impl Strategy<Value = Envelope> {
        let session = || any::<u128>().prop_map(SessionId);
        let command = || any::<Vec<u8>>().prop_map(Bytes::from);
        prop_oneof![
            command().prop_map(|command| Envelope::Plain { command }),
            session().prop_map(|session| Envelope::Open { session }),
            session().prop_map(|session| Envelope::Close { session }),
            (session(), 1..=u64::MAX, any::<u64>(), command()).prop_map(
                |(session, sequence, low, command)| {
                    Envelope::InSession { session, sequence, lowest_unanswered: low.min(sequence), command }
                }
            ),
        ]
    }

    fn encode(envelope: &Envelope) -> Vec<u8> {
        let mut bytes = Vec::new();
        match envelope {
            Envelope::Plain { command } => {
                put_plain(&mut bytes);
                bytes.extend_from_slice(command);
            }
            Envelope::Open { session } => put_open(*session, &mut bytes),
            Envelope::Close { session } => put_close(*session, &mut bytes),
            Envelope::InSession { session, sequence, lowest_unanswered, command } => {
                put_in_session(*session, *sequence, *lowest_unanswered, &mut bytes);
                assert!(bytes.len() <= OVERHEAD_BYTES_MAX);
                bytes.extend_from_slice(command);
            }
        }
        bytes
    }

    /// The format is on disks and on wires: these bytes must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let session = SessionId(0x0102);
        let id = [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let command = Bytes::from_static(b"c");
        let plain = Envelope::Plain { command: command.clone() };
        assert_eq!(encode(&plain), [0, b'c']);
        assert_eq!(encode(&Envelope::Open { session }), [&[1][..], &id].concat());
        assert_eq!(encode(&Envelope::Close { session }), [&[2][..], &id].concat());
        let within = Envelope::InSession { session, sequence: 300, lowest_unanswered: 2, command };
        assert_eq!(encode(&within), [&[3][..], &id, &[0xac, 0x02, 2, b'c']].concat());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let in_session = |sequence, lowest_unanswered| {
            let mut bytes = Vec::new();
            put_in_session(SessionId(1), sequence, lowest_unanswered, &mut bytes);
            Envelope::parse(bytes.into()).map_err(|error| error.cause)
        };
        assert_eq!(in_session(0, 0), Err("sequences count from 1".into()));
        assert_eq!(in_session(4, 5), Err("the lowest unanswered sequence is above its own".into()));
        assert!(in_session(5, 5).is_ok());
        assert!(in_session(1, 0).is_ok());
        assert!(Envelope::parse(Bytes::new()).is_err());
        assert!(Envelope::parse(Bytes::from_static(&[4])).is_err());
    }

    #[test]
    fn neither_commands_nor_whole_session_ids_are_shown() {
        let session = SessionId(u128::MAX);
        let command = Bytes::from_static(b"secret");
        let envelope = Envelope::InSession { session, sequence: 2, lowest_unanswered: 1, command };
        assert_eq!(format!("{envelope:?}"), "InSession(ffffffff.. #2, unanswered from #1, 6 bytes)");
    }

    proptest! {
        #[test]
        fn envelopes_come_back_without_a_copy(envelope in envelope()) {
            let bytes = Bytes::from(encode(&envelope));
            let parsed = Envelope::parse(bytes.clone()).unwrap();
            prop_assert_eq!(&parsed, &envelope);
            if let Envelope::Plain { command } | Envelope::InSession { command, .. } = parsed {
                prop_assert!(command.is_empty() || bytes.as_ptr_range().contains(&command.as_ptr()));
            }
        }

        #[test]
        fn headers_cut_short_and_tails_behind_opens_are_refused(envelope in envelope(), cut: prop::sample::Index) {
            let bytes = Bytes::from(encode(&envelope));
            match envelope {
                Envelope::Open { .. } | Envelope::Close { .. } => {
                    prop_assert!(Envelope::parse([&bytes[..], &[0]].concat().into()).is_err());
                    prop_assert!(Envelope::parse(bytes.slice(..cut.index(bytes.len()))).is_err());
                }
                Envelope::InSession { command, .. } => {
                    let header = bytes.len() - command.len();
                    prop_assert!(Envelope::parse(bytes.slice(..cut.index(header))).is_err());
                }
                Envelope::Plain { .. } => {}
            }
        }

        #[test]
        fn garbage_never_panics(tag in 0..6_u8, garbage: Vec<u8>) {
            let _ = Envelope::parse([&[tag][..], &garbage].concat().into());
        }
    }
}
