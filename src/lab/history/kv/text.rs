//! Keys, values, operations and answers as text: for people who look for what went wrong, among many.

use std::fmt;

use bytes::Bytes;

use super::{KvAnswer, KvOp};
use crate::machine::kv::{Answer, Command, Query, Response};

/// A key, in order of its bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub Bytes);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Quoted(&self.0), f)
    }
}

/// Bytes for people: printable, and not too long.
pub(super) struct Quoted<'a>(pub &'a [u8]);

const QUOTED_BYTES_MAX: usize = 48;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end of a value says more: it is where one appends.
        let skipped = self.0.len().saturating_sub(QUOTED_BYTES_MAX);
        let end = self.0.get(skipped..).unwrap_or_default().escape_ascii();
        match skipped {
            0 => write!(f, "\"{end}\""),
            skipped => write!(f, "({skipped} bytes and then) \"{end}\""),
        }
    }
}

pub(super) struct OrNothing<'a>(pub &'a Option<Bytes>);

impl fmt::Display for OrNothing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => fmt::Display::fmt(&Quoted(value), f),
            None => f.write_str("nothing"),
        }
    }
}

/// `set "x" to "1"`: short, for lists of many.
impl fmt::Debug for KvOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvOp::Command(Command::Set { key, value } | Command::Put { key, value }) => {
                write!(f, "set {} to {}", Quoted(key), Quoted(value))
            }
            KvOp::Command(Command::Delete { key }) => write!(f, "delete {}", Quoted(key)),
            KvOp::Command(Command::CompareAndSet { key, expected, new }) => {
                write!(f, "if {} is {} set it to {}", Quoted(key), OrNothing(expected), OrNothing(new))
            }
            KvOp::Command(Command::Append { key, value }) => {
                write!(f, "append to {} {}", Quoted(key), Quoted(value))
            }
            KvOp::Query(Query::Get { key }) => write!(f, "get {}", Quoted(key)),
            KvOp::Query(Query::Read { key, offset, limit }) => {
                write!(f, "read {} from {offset}, {limit} bytes", Quoted(key))
            }
            KvOp::Query(query) => query.fmt(f),
        }
    }
}

/// `before: "1"`.
impl fmt::Debug for KvAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvAnswer::Answer(Answer::Before(value)) => write!(f, "before: {}", OrNothing(value)),
            KvAnswer::Answer(Answer::Swapped | Answer::Done) => f.write_str("done"),
            KvAnswer::Answer(Answer::Different(value)) => write!(f, "it is {}", OrNothing(value)),
            KvAnswer::Answer(Answer::Length(length)) => write!(f, "{length} bytes"),
            KvAnswer::Response(Response::Value(value)) => write!(f, "{}", OrNothing(value)),
            KvAnswer::Response(Response::Part { bytes, total }) => {
                write!(f, "{} of {total} bytes", OrNothing(bytes))
            }
            KvAnswer::Response(response) => response.fmt(f),
        }
    }
}
