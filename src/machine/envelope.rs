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
//! A header is written first and the command right behind it, into one vector; but the one byte in front of a command
//! outside of any session stands apart ([`Data::behind`]), so that the command is not copied. Either is read without a
//! copy. What can't be read is answered `Rejected` by every peer alike: the format is closed, and a peer that does not
//! know a tag must not guess.
//!
//! ```
//! use raft_actors::machine::{Codec, Envelope, Raw, SessionId, envelope};
//!
//! let mut entry = Vec::new();
//! envelope::put_in_session(SessionId(7), 3, 2, &mut entry);
//! Raw::from("x = 1").encode(&mut entry)?;
//!
//! let Envelope::InSession { session, sequence, command, .. } = Envelope::parse(entry)? else { panic!() };
//! assert_eq!((session, sequence), (SessionId(7), 3));
//! assert_eq!(command, "x = 1");
//! # Ok::<(), raft_actors::machine::CodecError>(())
//! ```

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{codec::CodecError, session::SessionId};
use crate::{
    binary::{VARINT_BYTES_MAX, put_varint, varint_at},
    raft::Data,
};

/// The most bytes that an envelope adds to a command.
pub const OVERHEAD_BYTES_MAX: usize = 1 + SESSION_BYTES + 2 * VARINT_BYTES_MAX;

/// How long the id of a session is.
const SESSION_BYTES: usize = 16;

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
    pub fn parse(data: impl Into<Data>) -> Result<Envelope, CodecError> {
        let data = data.into();
        let (header, length) = Header::parse(&data).map_err(CodecError::new::<Envelope>)?;
        let command = || data.skip(length);
        Ok(match header {
            Header::Plain => Envelope::Plain { command: command() },
            Header::Open { session } => Envelope::Open { session },
            Header::Close { session } => Envelope::Close { session },
            Header::InSession { session, sequence, lowest_unanswered } => {
                Envelope::InSession { session, sequence, lowest_unanswered, command: command() }
            }
        })
    }
}

/// An [`Envelope`] without its command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub(crate) enum Header {
    Plain,
    Open { session: SessionId },
    Close { session: SessionId },
    InSession { session: SessionId, sequence: u64, lowest_unanswered: u64 },
}

impl Header {
    /// Reads the header of an entry's data, and how long it is: the command is right behind it.
    ///
    /// # Errors
    /// Why it is no envelope. Never panics.
    #[inline]
    pub fn parse(data: &Data) -> Result<(Header, usize), Cow<'static, str>> {
        match data.split_first() {
            Some((PLAIN, _)) => Ok((Header::Plain, 1)),
            Some((tag, rest)) => Header::of_session(tag, rest),
            None => Err("empty".into()),
        }
    }

    /// Reads what is behind any other tag. Not inlined, so that what most entries need is.
    #[inline(never)]
    fn of_session(tag: u8, rest: &[u8]) -> Result<(Header, usize), Cow<'static, str>> {
        let whole = 1 + rest.len();
        match tag {
            OPEN => last_session(rest).map(|session| (Header::Open { session }, whole)),
            CLOSE => last_session(rest).map(|session| (Header::Close { session }, whole)),
            IN_SESSION => in_session(rest).map(|(header, length)| (header, 1 + length)),
            unknown => Err(format!("tag {unknown} is unknown").into()),
        }
    }
}

fn in_session(data: &[u8]) -> Result<(Header, usize), Cow<'static, str>> {
    let (session, rest) = session(data)?;
    let (sequence, sequence_bytes) = varint_at(rest).ok_or("no sequence")?;
    let rest = rest.get(sequence_bytes..).unwrap_or_default();
    let (lowest_unanswered, lowest_bytes) = varint_at(rest).ok_or("no lowest unanswered sequence")?;
    if sequence == 0 {
        return Err("sequences count from 1".into());
    }
    if lowest_unanswered > sequence {
        return Err("the lowest unanswered sequence is above its own".into());
    }
    let length = SESSION_BYTES + sequence_bytes + lowest_bytes;
    Ok((Header::InSession { session, sequence, lowest_unanswered }, length))
}

fn session(data: &[u8]) -> Result<(SessionId, &[u8]), Cow<'static, str>> {
    let (id, rest) = data.split_first_chunk::<SESSION_BYTES>().ok_or("no session")?;
    Ok((SessionId(u128::from_le_bytes(*id)), rest))
}

fn last_session(data: &[u8]) -> Result<SessionId, Cow<'static, str>> {
    match session(data)? {
        (session, []) => Ok(session),
        (_, rest) => Err(format!("{} bytes too many", rest.len()).into()),
    }
}

/// A command outside of any session, which is shared.
pub fn plain(command: Bytes) -> Data {
    Data::behind(PLAIN, command)
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
            Envelope::Plain { command } => bytes.extend(plain(command.clone()).pieces().concat()),
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
            Envelope::parse(bytes).map_err(|error| error.cause)
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
                    prop_assert!(Envelope::parse([&bytes[..], &[0]].concat()).is_err());
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
            let _ = Envelope::parse([&[tag][..], &garbage].concat());
        }
    }
}
