//! A key-value store, ready made: for applications that need no more, for examples, and for tests
//! that check what clients saw against what a store may do.
//!
//! Keys and values are any bytes, also none. Commands answer what was there before, so that a
//! client, or a judge of a history, learns where in the order its command stood; but for a put, which
//! spares those who do not care the way of the old value. Reading is a query: it needs no place in the log.
//!
//! What it costs: a value that is set is copied once, so that no small value keeps a large entry
//! alive, or the message it came in. A snapshot's view clones the map, not the bytes in it: for a
//! million keys between a quarter and three quarters of a second, during which commands wait. Many
//! millions of keys want a machine of their own, with a structure that shares.
//!
//! Its encoding is written by hand (in `kv/format.rs`, with a table): it needs no feature, decodes
//! without a copy, and is simple enough for a client in another language.
//!
//! ```
//! use raft_actors::machine::{Kv, StateMachine, kv::{Answer, Command, Query, Response}};
//! use raft_actors::raft::Position;
//!
//! let mut kv = Kv::default();
//! let first = kv.apply(Position::new(1, 2), Command::set("colour", "red"));
//! assert_eq!(first, Answer::Before(None));
//! let swap = Command::compare_and_set("colour", Some("red"), Some("blue"));
//! assert_eq!(kv.apply(Position::new(1, 3), swap), Answer::Swapped);
//! assert_eq!(kv.query(Query::get("colour")), Response::Value(Some("blue".into())));
//! ```

use crate::binary::{invalid, read_byte, read_bytes, read_end, read_u64};
use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Read, Write},
    mem,
    ops::Bound,
};

use bytes::{Bytes, BytesMut};

use super::StateMachine;
use crate::{raft::Position, storage::SnapshotWriter};

mod format;

/// What changes a [`Kv`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Sets the value of a key, and tells what was there before. Answers [`Answer::Before`].
    Set {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Takes a key away. Answers [`Answer::Before`].
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Sets the value of a key if it is what the client expects. Answers [`Answer::Swapped`] or
    /// [`Answer::Different`].
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// What should be there; `None`: nothing should.
        expected: Option<Bytes>,
        /// What should be there from now on; `None`: nothing.
        new: Option<Bytes>,
    },
    /// Puts bytes behind the value of a key; a key that is not there is as good as empty. Answers
    /// [`Answer::Length`].
    Append {
        /// The key.
        key: Bytes,
        /// What goes behind.
        value: Bytes,
    },
    /// Sets the value of a key, whatever was there: for those who do not want to have it sent to them. Answers
    /// [`Answer::Done`].
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
}

impl Command {
    /// Sets the value of `key`.
    pub fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
        Command::Set { key: key.into(), value: value.into() }
    }

    /// Takes `key` away.
    pub fn delete(key: impl Into<Bytes>) -> Command {
        Command::Delete { key: key.into() }
    }

    /// Makes the value of `key` the `new` one if it is the `expected` one. `None` is no value.
    pub fn compare_and_set<V: Into<Bytes>>(
        key: impl Into<Bytes>,
        expected: Option<V>,
        new: Option<V>,
    ) -> Command {
        Command::CompareAndSet {
            key: key.into(),
            expected: expected.map(Into::into),
            new: new.map(Into::into),
        }
    }

    /// Puts `value` behind what `key` has.
    pub fn append(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
        Command::Append { key: key.into(), value: value.into() }
    }

    /// Sets the value of `key`, and is not told what was there before.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
        Command::Put { key: key.into(), value: value.into() }
    }
}

/// What a [`Command`] is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// It happened: this was there before.
    Before(Option<Bytes>),
    /// It happened: what was expected was there.
    Swapped,
    /// It did not happen: this is there instead.
    Different(Option<Bytes>),
    /// It happened: the value is this long now, in bytes.
    Length(u64),
    /// It happened.
    Done,
}

/// What one can ask a [`Kv`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Query {
    /// The value of a key: [`Response::Value`].
    Get {
        /// The key.
        key: Bytes,
    },
    /// Keys, in order: [`Response::Keys`].
    Keys {
        /// What they begin with.
        prefix: Bytes,
        /// Only keys beyond this one: the last of the answer before.
        after: Option<Bytes>,
        /// How many at most.
        limit: u64,
    },
    /// How many keys there are: [`Response::Count`].
    Count,
    /// A number that is the same for the same keys and values: [`Response::Digest`]. Reads all of
    /// them: a second or two for a gigabyte, during which commands wait.
    Digest,
    /// A piece of the value of a key: [`Response::Part`]. For values that are too long for one answer.
    Read {
        /// The key.
        key: Bytes,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// How long it is at most, in bytes.
        limit: u64,
    },
}

impl Query {
    /// The value of `key`.
    pub fn get(key: impl Into<Bytes>) -> Query {
        Query::Get { key: key.into() }
    }

    /// The first `limit` keys that begin with `prefix`. To go on set `after` to the last of them.
    pub fn keys(prefix: impl Into<Bytes>, limit: u64) -> Query {
        Query::Keys { prefix: prefix.into(), after: None, limit }
    }

    /// At most `limit` bytes of the value of `key`, from `offset` on.
    pub fn read(key: impl Into<Bytes>, offset: u64, limit: u64) -> Query {
        Query::Read { key: key.into(), offset, limit }
    }
}

/// What a [`Query`] is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Response {
    /// The value, if the key is there.
    Value(Option<Bytes>),
    /// The keys, in ascending order.
    Keys(Vec<Bytes>),
    /// How many keys there are.
    Count(u64),
    /// FNV-1a, 64 bits, over all keys and values in order, each behind its length.
    Digest(u64),
    /// A piece of a value.
    Part {
        /// The piece, if the key is there: none of the value's bytes beyond its end.
        bytes: Option<Bytes>,
        /// How long the whole value is, in bytes; 0 if the key is not there.
        total: u64,
    },
}

/// A key-value store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kv {
    entries: BTreeMap<Bytes, Bytes>,
}

impl Kv {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.entries.iter()
    }

    /// See [`Response::Digest`].
    pub fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for bytes in self.entries.iter().flat_map(|(key, value)| [key, value]) {
            add(&(bytes.len() as u64).to_le_bytes());
            add(bytes);
        }
        digest
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<Bytes> {
        let value = Bytes::copy_from_slice(value);
        match self.entries.get_mut(key) {
            Some(present) => Some(mem::replace(present, value)),
            None => self.entries.insert(Bytes::copy_from_slice(key), value),
        }
    }

    fn compare_and_set(&mut self, key: &[u8], expected: Option<Bytes>, new: Option<Bytes>) -> Answer {
        let present = self.entries.get(key);
        if present != expected.as_ref() {
            return Answer::Different(present.cloned());
        }
        match new {
            Some(new) => self.set(key, &new),
            None => self.entries.remove(key),
        };
        Answer::Swapped
    }

    fn append(&mut self, key: &[u8], more: &[u8]) -> Answer {
        let Some(value) = self.entries.get_mut(key) else {
            self.set(key, more);
            return Answer::Length(more.len() as u64);
        };
        // Grows in place, unless a snapshot or an answer on its way still looks at the old value.
        let mut grown =
            mem::take(value).try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        grown.extend_from_slice(more);
        *value = grown.freeze();
        Answer::Length(value.len() as u64)
    }

    fn read(&self, key: &[u8], offset: u64, limit: u64) -> Response {
        let Some(value) = self.get(key) else { return Response::Part { bytes: None, total: 0 } };
        let start = usize::try_from(offset).map_or(value.len(), |offset| offset.min(value.len()));
        let rest = value.len() - start;
        let length = usize::try_from(limit).map_or(rest, |limit| limit.min(rest));
        Response::Part { bytes: Some(value.slice(start..start + length)), total: value.len() as u64 }
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: u64) -> Vec<Bytes> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<[u8], _>((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .cloned()
            .collect()
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Answer = Answer;
    type Query = Query;
    type Response = Response;

    fn apply(&mut self, _: Position, command: Command) -> Answer {
        match command {
            Command::Set { key, value } => Answer::Before(self.set(&key, &value)),
            Command::Delete { key } => Answer::Before(self.entries.remove(&key)),
            Command::CompareAndSet { key, expected, new } => self.compare_and_set(&key, expected, new),
            Command::Append { key, value } => self.append(&key, &value),
            Command::Put { key, value } => {
                self.set(&key, &value);
                Answer::Done
            }
        }
    }

    fn query(&self, query: Query) -> Response {
        match query {
            Query::Get { key } => Response::Value(self.get(&key).cloned()),
            Query::Keys { prefix, after, limit } => {
                Response::Keys(self.keys(&prefix, after.as_deref(), limit))
            }
            Query::Count => Response::Count(self.len() as u64),
            Query::Digest => Response::Digest(self.digest()),
            Query::Read { key, offset, limit } => self.read(&key, offset, limit),
        }
    }

    fn snapshot(&self) -> SnapshotWriter {
        let view = self.clone();
        Box::new(move |into| view.write_to(into))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        *self = Kv::read_from(snapshot)?;
        Ok(())
    }
}

/// The version of the snapshot's format, as its first byte.
const VERSION: u8 = 1;

/// Snapshots: the version, how many keys; keys and values in ascending order, each behind its
/// length. Numbers are of eight bytes, the lowest first. Equal stores have equal bytes.
impl Kv {
    fn write_to(&self, into: &mut dyn Write) -> io::Result<()> {
        let mut into = BufWriter::new(into);
        into.write_all(&[VERSION])?;
        into.write_all(&(self.len() as u64).to_le_bytes())?;
        for bytes in self.entries.iter().flat_map(|(key, value)| [key, value]) {
            into.write_all(&(bytes.len() as u64).to_le_bytes())?;
            into.write_all(bytes)?;
        }
        into.flush()
    }

    fn read_from(from: &mut dyn Read) -> io::Result<Kv> {
        if read_byte(from)? != VERSION {
            return Err(invalid("kv: the version of the snapshot is unknown"));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..read_u64(from)? {
            let key = read_bytes(from)?;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(invalid("kv: the keys of the snapshot are out of order"));
            }
            let value = read_bytes(from)?;
            entries.insert(key, value);
        }
        read_end(from)?;
        Ok(Kv { entries })
    }
}

#[cfg(test)]
#[path = "tests/kv.rs"]
mod tests;
