//! A look into a log that changes nothing, for people and tools.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    damaged, failed,
    frame::{self, Found, Frame, Header, Kind, Said, Seal},
    recovery::{self, Recovered},
    segment_name, segment_number,
};
use crate::{
    raft::{Index, PeerId, Position, Record, Term},
    storage::{StorageError, files::Files},
};

/// One segment of a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its file.
    pub path: PathBuf,
    /// Its number.
    pub number: u64,
    /// How long the file is, in bytes; a good part of it may be zeros, or what stood there before.
    pub bytes: u64,
    /// The frames in it, up to the first that is none.
    pub frames: Vec<FrameReport>,
    /// What stands behind the last frame.
    pub end: SegmentEnd,
}

/// What stands behind the last frame of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SegmentEnd {
    /// Nothing, or what stood there before the file was this segment.
    Clean {
        /// Where.
        offset: u64,
    },
    /// Something that is no frame, and was not known to be synced: a write that was cut short, or
    /// what was left behind when a copy of it was made.
    Torn {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A frame was here, was synced, and is no more.
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameReport {
    /// Where it begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// How long it is with its padding, in bytes.
    pub bytes: u64,
    /// What it holds; never the payload of an entry.
    pub content: FrameContent,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum FrameContent {
    /// What was true when the segment was begun.
    Header(Header),
    /// Entries at the end of the log.
    Entries { first: Index, last: Position },
    /// Term and vote.
    Ballot { term: Term, vote: Option<PeerId> },
    /// The log's end goes, from this entry on.
    Truncate { from: Index },
    /// The log's front goes: a snapshot covers it.
    Compact { upto: Position, keeps_rest: bool },
    /// Everything before it was synced.
    SyncedMark,
    /// Another segment follows.
    Continued,
}

impl FrameContent {
    fn of(frame: &Frame) -> Option<FrameContent> {
        Some(match frame::decode(frame)? {
            Said::Header(header) => FrameContent::Header(header),
            Said::Mark => FrameContent::SyncedMark,
            Said::Continued => FrameContent::Continued,
            Said::Record { record: Record::Ballot { term, vote }, .. } => FrameContent::Ballot { term, vote },
            Said::Record { record: Record::Entries(batch), .. } => {
                FrameContent::Entries { first: batch.first(), last: batch.last() }
            }
            Said::Record { record: Record::Truncate { from }, .. } => FrameContent::Truncate { from },
            Said::Record { record: Record::Compact { upto }, keeps_rest } => {
                FrameContent::Compact { upto, keeps_rest }
            }
        })
    }

    /// The kind of the frame.
    pub fn kind(&self) -> Kind {
        match self {
            FrameContent::Header(_) => Kind::Header,
            FrameContent::Entries { .. } => Kind::Entries,
            FrameContent::Ballot { .. } => Kind::Ballot,
            FrameContent::Truncate { .. } => Kind::Truncate,
            FrameContent::Compact { .. } => Kind::Compact,
            FrameContent::SyncedMark => Kind::SyncedMark,
            FrameContent::Continued => Kind::Continued,
        }
    }
}

/// What a log comes to: what a peer would begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogReport {
    /// `currentTerm`.
    pub term: Term,
    /// `votedFor`.
    pub vote: Option<PeerId>,
    /// The last entry that is gone from the front.
    pub base: Position,
    /// The last index.
    pub last: Index,
    /// What would be said at a start.
    pub warnings: Vec<String>,
}

/// Looks at the segments in a folder, one after the other, and at what they come to. Only reads, and
/// may look while a peer writes; then the end may be a write that is under way.
///
/// # Errors
/// [`StorageError::Damaged`]: the first thing at which a peer would refuse to start. All segments
/// were shown before.
pub fn inspect(
    files: &dyn Files,
    dir: &Path,
    mut visit: impl FnMut(SegmentReport),
) -> Result<LogReport, StorageError> {
    let names = files.list(dir).map_err(|cause| failed("list", dir, cause))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut incarnation = None;
    for number in numbers {
        let report = look(files, dir, number)?;
        if let Some(FrameContent::Header(header)) = report.frames.first().map(|frame| &frame.content) {
            incarnation = incarnation.or(Some(header.incarnation));
        }
        visit(report);
    }
    let Some(incarnation) = incarnation else {
        return Err(damaged(dir, "there is no segment with a header in it".into()));
    };
    let Recovered { shape, warnings, .. } = recovery::recover(files, dir, incarnation)?;
    let (term, vote, base, last) = (shape.term, shape.vote, shape.base, shape.last);
    Ok(LogReport { term, vote, base, last, warnings })
}

fn look(files: &dyn Files, dir: &Path, number: u64) -> Result<SegmentReport, StorageError> {
    let path = dir.join(segment_name(number));
    let bytes = files.open_to_read(&path).and_then(|file| file.read_whole());
    let bytes = Bytes::from(bytes.map_err(|cause| failed("read", &path, cause))?);
    let (mut frames, mut at, mut seal) = (Vec::new(), 0, Seal::of_header(number));
    let end = loop {
        match frame::read(seal, &bytes, at) {
            Found::Frame(frame) => match FrameContent::of(&frame) {
                Some(content) => {
                    if let FrameContent::Header(header) = &content {
                        seal = header.seal();
                    }
                    let (offset, bytes) = (at as u64, (frame.end - at) as u64);
                    frames.push(FrameReport { offset, bytes, content });
                    at = frame.end;
                }
                None => break SegmentEnd::Damaged { offset: at as u64, why: "a frame that makes no sense" },
            },
            Found::Nothing => break end_of(seal, &bytes, at, None),
            Found::Bad(why) => break end_of(seal, &bytes, at, Some(why)),
        }
    };
    Ok(SegmentReport { path, number, bytes: bytes.len() as u64, frames, end })
}

/// `why`: what is wrong with the frame that was begun here, if one was.
fn end_of(seal: Seal, bytes: &Bytes, at: usize, why: Option<&'static str>) -> SegmentEnd {
    let offset = at as u64;
    // Without its header a segment is nothing: it was synced before it had its name.
    if at == 0 || frame::find_mark(seal, bytes, at).is_some() {
        return SegmentEnd::Damaged { offset, why: why.unwrap_or("nothing is written here") };
    }
    why.map_or(SegmentEnd::Clean { offset }, |why| SegmentEnd::Torn { offset, why })
}
