//! The front of a snapshot file: what it is, so that it can be told from any other.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `RaftSnap` |
//! | 8..12 | format, 1 |
//! | 12..16 | CRC-32C of all the rest of the front |
//! | 16..24, 24..32 | term and index of the last entry that it covers |
//! | 32..40, 40..44 | how many bytes its content has, and their CRC-32C |
//! | 44..48 | how long the membership is |
//! | 48.. | the membership, as JSON |
//!
//! Numbers begin with their lowest byte. The content follows. Every bit of the front is checked, and
//! the file ends where the content does: there is no place for a bit that nobody looks at.

use std::io;

use crate::{
    raft::{Index, Position, SnapshotMeta, Term},
    storage::{files::File, members},
};

const MAGIC: [u8; 8] = *b"RaftSnap";
const FORMAT: u32 = 1;
/// Where the membership begins.
const FIXED_BYTES: usize = 48;
/// No membership is longer. It is checked before memory is reserved for one.
const MEMBERSHIP_BYTES_MAX: u32 = 16 << 20;

/// Why a front is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not what was written.
    Damaged,
    /// It says that it is of another format.
    Format(u32),
}

/// The front of a snapshot file. Its length depends on the membership alone, so that its place is
/// known before the content is.
pub(super) fn encode(meta: &SnapshotMeta) -> Vec<u8> {
    let membership = members::to_json(&meta.membership).to_string();
    let mut body = Vec::with_capacity(FIXED_BYTES + membership.len());
    body.extend(meta.at.term.0.to_le_bytes());
    body.extend(meta.at.index.0.to_le_bytes());
    body.extend(meta.bytes.to_le_bytes());
    body.extend(meta.checksum.to_le_bytes());
    body.extend(u32::try_from(membership.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend(membership.bytes());

    let mut front = Vec::with_capacity(FIXED_BYTES + membership.len());
    front.extend(MAGIC);
    front.extend(FORMAT.to_le_bytes());
    front.extend(checksum(FORMAT, &body).to_le_bytes());
    front.extend(body);
    front
}

fn checksum(format: u32, body: &[u8]) -> u32 {
    let front = crc32c::crc32c_append(crc32c::crc32c(&MAGIC), &format.to_le_bytes());
    crc32c::crc32c_append(front, body)
}

/// Reads the front of a file: what it holds, and where its content begins.
pub(super) fn read(file: &dyn File) -> io::Result<Result<(SnapshotMeta, u64), Flaw>> {
    let fixed = file.read_up_to(0, FIXED_BYTES)?;
    let Some(length) = fixed.get(44..48).and_then(number) else { return Ok(Err(Flaw::Damaged)) };
    if fixed.get(..8) != Some(&MAGIC) {
        return Ok(Err(Flaw::Damaged));
    }
    match fixed.get(8..12).and_then(number) {
        Some(FORMAT) => {}
        other => return Ok(Err(Flaw::Format(other.unwrap_or_default()))),
    }
    if length > MEMBERSHIP_BYTES_MAX {
        return Ok(Err(Flaw::Damaged));
    }
    let front = file.read_up_to(0, FIXED_BYTES + length as usize)?;
    Ok(decode(&front).map(|meta| (meta, front.len() as u64)).ok_or(Flaw::Damaged))
}

fn decode(front: &[u8]) -> Option<SnapshotMeta> {
    let (said, body) = (number(front.get(12..16)?)?, front.get(16..)?);
    if checksum(FORMAT, body) != said {
        return None;
    }
    let long = |from: usize| Some(u64::from_le_bytes(*body.get(from..)?.first_chunk()?));
    let membership = serde_json::from_slice(body.get(FIXED_BYTES - 16..)?).ok()?;
    Some(SnapshotMeta {
        at: Position { term: Term(long(0)?), index: Index(long(8)?) },
        membership: members::from_json(&membership)?.into(),
        bytes: long(16)?,
        checksum: number(body.get(24..28)?)?,
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?))
}
