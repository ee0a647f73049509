//! The bytes of commands, answers, queries and responses.
//!
//! | tag | command | answer | query | response |
//! |---|---|---|---|---|
//! | 0 | set: key, value | before: value? | get: key | value: value? |
//! | 1 | delete: key | swapped | keys: prefix, after?, limit | keys: how many, keys |
//! | 2 | compare and set: key, expected?, new? | different: value? | count | count: number |
//! | 3 | append: key, value | length: number | digest | digest: 8 bytes, the lowest first |
//! | 4 | put: key, value | done | read: key, offset, limit | part: value?, number |
//!
//! Keys and values stand behind their length, numbers and lengths are LEB128 varints, and what may
//! be missing (`?`) is 0, or 1 and the thing itself. Nothing may follow. The log holds these bytes:
//! new things get new tags, and no tag ever changes its meaning.

use bytes::Bytes;

use super::{Answer, Command, Query, Response};
use crate::binary::{put_bytes, put_varint, take_array, take_byte, take_bytes, take_varint};
use crate::machine::codec::{Codec, CodecError};

fn put_option(option: Option<&Bytes>, into: &mut Vec<u8>) {
    into.push(u8::from(option.is_some()));
    if let Some(bytes) = option {
        put_bytes(bytes, into);
    }
}

fn take_option(from: &mut Bytes) -> Option<Option<Bytes>> {
    match take_byte(from)? {
        0 => Some(None),
        1 => take_bytes(from).map(Some),
        _ => None,
    }
}

/// Decodes all of the bytes with a function that takes the value off their front.
fn whole<T>(mut bytes: Bytes, take: fn(&mut Bytes) -> Option<T>) -> Result<T, CodecError> {
    let value = take(&mut bytes).ok_or_else(|| CodecError::new::<T>("cut short, or of no known kind"))?;
    if !bytes.is_empty() {
        return Err(CodecError::new::<T>(format!("{} bytes too many", bytes.len())));
    }
    Ok(value)
}

impl Codec for Command {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Command::Set { key, value } => {
                into.push(0);
                put_bytes(key, into);
                put_bytes(value, into);
            }
            Command::Delete { key } => {
                into.push(1);
                put_bytes(key, into);
            }
            Command::CompareAndSet { key, expected, new } => {
                into.push(2);
                put_bytes(key, into);
                put_option(expected.as_ref(), into);
                put_option(new.as_ref(), into);
            }
            Command::Append { key, value } => {
                into.push(3);
                put_bytes(key, into);
                put_bytes(value, into);
            }
            Command::Put { key, value } => {
                into.push(4);
                put_bytes(key, into);
                put_bytes(value, into);
            }
        }
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Command, CodecError> {
        whole(bytes, |from| {
            let tag = take_byte(from)?;
            let key = take_bytes(from)?;
            Some(match tag {
                0 => Command::Set { key, value: take_bytes(from)? },
                1 => Command::Delete { key },
                2 => {
                    let expected = take_option(from)?;
                    Command::CompareAndSet { key, expected, new: take_option(from)? }
                }
                3 => Command::Append { key, value: take_bytes(from)? },
                4 => Command::Put { key, value: take_bytes(from)? },
                _ => return None,
            })
        })
    }
}

impl Codec for Answer {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Answer::Before(before) => {
                into.push(0);
                put_option(before.as_ref(), into);
            }
            Answer::Swapped => into.push(1),
            Answer::Different(present) => {
                into.push(2);
                put_option(present.as_ref(), into);
            }
            Answer::Length(length) => {
                into.push(3);
                put_varint(*length, into);
            }
            Answer::Done => into.push(4),
        }
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Answer, CodecError> {
        whole(bytes, |from| match take_byte(from)? {
            0 => take_option(from).map(Answer::Before),
            1 => Some(Answer::Swapped),
            2 => take_option(from).map(Answer::Different),
            3 => take_varint(from).map(Answer::Length),
            4 => Some(Answer::Done),
            _ => None,
        })
    }
}

impl Codec for Query {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Query::Get { key } => {
                into.push(0);
                put_bytes(key, into);
            }
            Query::Keys { prefix, after, limit } => {
                into.push(1);
                put_bytes(prefix, into);
                put_option(after.as_ref(), into);
                put_varint(*limit, into);
            }
            Query::Count => into.push(2),
            Query::Digest => into.push(3),
            Query::Read { key, offset, limit } => {
                into.push(4);
                put_bytes(key, into);
                put_varint(*offset, into);
                put_varint(*limit, into);
            }
        }
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Query, CodecError> {
        whole(bytes, |from| {
            Some(match take_byte(from)? {
                0 => Query::Get { key: take_bytes(from)? },
                1 => {
                    let (prefix, after) = (take_bytes(from)?, take_option(from)?);
                    Query::Keys { prefix, after, limit: take_varint(from)? }
                }
                2 => Query::Count,
                3 => Query::Digest,
                4 => {
                    let (key, offset) = (take_bytes(from)?, take_varint(from)?);
                    Query::Read { key, offset, limit: take_varint(from)? }
                }
                _ => return None,
            })
        })
    }
}

impl Codec for Response {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Response::Value(value) => {
                into.push(0);
                put_option(value.as_ref(), into);
            }
            Response::Keys(keys) => {
                into.push(1);
                put_varint(keys.len() as u64, into);
                for key in keys {
                    put_bytes(key, into);
                }
            }
            Response::Count(count) => {
                into.push(2);
                put_varint(*count, into);
            }
            Response::Digest(digest) => {
                into.push(3);
                into.extend_from_slice(&digest.to_le_bytes());
            }
            Response::Part { bytes, total } => {
                into.push(4);
                put_option(bytes.as_ref(), into);
                put_varint(*total, into);
            }
        }
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Response, CodecError> {
        whole(bytes, |from| match take_byte(from)? {
            0 => take_option(from).map(Response::Value),
            1 => {
                // Each key is a byte at least, so a lie about how many ends with the bytes.
                let count = take_varint(from)?;
                (0..count).map(|_| take_bytes(from)).collect::<Option<_>>().map(Response::Keys)
            }
            2 => take_varint(from).map(Response::Count),
            3 => take_array(from).map(u64::from_le_bytes).map(Response::Digest),
            4 => {
                let bytes = take_option(from)?;
                Some(Response::Part { bytes, total: take_varint(from)? })
            }
            _ => None,
        })
    }
}
