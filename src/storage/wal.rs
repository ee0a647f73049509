//! The write-ahead log: everything that a peer has promised, in the order in which it did.
//!
//! The log is a row of *segments*, files that are numbered and written one after the other, each made
//! of [frames](self#frames). Terms, votes, entries, truncations and snapshot markers stand in one
//! order, so that one sync orders them all. No record is changed where it stands: an entry that a new
//! leader replaces stays where it is, behind it a `truncate`, and behind that the new one.
//!
//! **A turn** is one write, [past the operating system's cache](super::files::Files::open_direct) if it is long, and one
//! `fdatasync`. Segments are as long as they get, and synced before they are used, so that neither has to do with the
//! length of a file. After the sync a *synced-mark* is
//! written, by itself or in front of the next turn, and the next sync carries it: a bad frame with a mark
//! anywhere behind it is damage, and only what no mark covers can be the torn end of a write that nobody
//! relied on.
//!
//! **Who writes** is the log's own thread, so that a slow disk stops nobody else.
//!
//! **One spare** segment is always there. When it is put to use the next one is made, on another
//! thread: of a segment that is used up if there is one, with what stands in it; as long as that fails the disk is
//! [full](super::Room), which is met before anything has to fail.
//!
//! **A segment goes** when a snapshot covers everything in it. Each begins with the term, the vote and
//! the front of the log, so that none takes along what another needs.
//!
#![doc = include_str!("wal/frames.md")]

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

mod frame;
mod inspect;
mod keeper;
mod log;
mod recovery;
mod shape;
#[cfg(test)]
mod tests;

pub use frame::{Header, Kind};
pub use inspect::{FrameContent, FrameReport, LogReport, SegmentEnd, SegmentReport, inspect};
pub(super) use log::{Fence, Plan, WalLog};

use self::{
    frame::{Frames, Seal},
    keeper::Keeper,
    recovery::{Last, Recovered},
    shape::Shape,
};
use super::{
    Replay, StorageError,
    files::{File, Files},
};
use crate::raft::{Index, Record};

/// Default length of a segment, in bytes.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// The name of a segment's file.
fn segment_name(number: u64) -> String {
    format!("{number:016}.wal")
}

/// The number that a file's name gives, if it is that of a segment.
fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".wal")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

fn failed(what: &str, path: &Path, cause: io::Error) -> StorageError {
    StorageError::Io { what: format!("{what} {}", path.display()), cause }
}

fn damaged(path: &Path, why: String) -> StorageError {
    StorageError::Damaged { what: format!("{}: {why}", path.display()) }
}

/// A segment that is written to no more.
#[derive(Clone, Copy, Debug)]
struct Closed {
    number: u64,
    /// The highest index of its entries.
    last_appended: Index,
}

/// The segment that is written to.
struct Active {
    seal: Seal,
    path: PathBuf,
    file: Box<dyn File>,
    /// Where the next frame goes.
    end: u64,
    /// Up to where everything is synced.
    synced: u64,
    /// Whether there was a turn since the last mark.
    is_unmarked: bool,
    /// How long it is.
    bytes: u64,
    /// How many turns were written to it since it was opened.
    turns: u64,
    last_appended: Index,
}

/// The log of one data folder; every call blocks. Who calls is decided in [`WalLog`].
struct Wal {
    files: Arc<dyn Files>,
    dir: PathBuf,
    incarnation: u128,
    keeper: Keeper,
    shape: Shape,
    closed: VecDeque<Closed>,
    active: Option<Active>,
    frames: Frames,
    /// The first call that failed: from then on nothing is known of what is on the disk.
    poisoned: Option<String>,
}

/// Makes the first segment of a new log: durable, but for the folder's own entry in its parent.
pub(super) fn create(
    files: &dyn Files,
    dir: &Path,
    incarnation: u128,
    segment_bytes: u64,
) -> Result<(), StorageError> {
    keeper::make_first(files, dir, segment_bytes).map_err(|cause| failed("make a segment in", dir, cause))?;
    let mut frames = Frames::default();
    let header = header(1, incarnation, 0, &Shape::default());
    frames.put_header(&header);
    begin_segment(files, dir, header.seal(), &mut frames).map(drop)
}

/// Whether a folder holds the beginning of a log that was never used.
pub(super) fn is_unused(files: &dyn Files, dir: &Path) -> Result<bool, StorageError> {
    let names = files.list(dir).map_err(|cause| failed("list", dir, cause))?;
    let numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    match numbers.as_slice() {
        [] => Ok(true),
        [1] => {
            let path = dir.join(segment_name(1));
            let bytes = files.open_to_read(&path).and_then(|file| file.read_whole());
            let bytes = bytes.map_err(|cause| failed("read", &path, cause))?;
            Ok(frame::is_zero(bytes.get(Header::FRAME_BYTES..).unwrap_or_default()))
        }
        _ => Ok(false),
    }
}

fn header(number: u64, incarnation: u128, before_bytes: u64, shape: &Shape) -> Header {
    let Shape { term, vote, base, last, .. } = *shape;
    Header { number, incarnation, key: rand::random(), before_bytes, term, vote, base, last }
}

/// Puts the spare to use as this segment, which begins with these frames. They are durable before
/// the segment has its name: there is none without a header. What else stands on the spare does not count: it is
/// sealed otherwise, also if a segment of this very number was begun on it before.
fn begin_segment(
    files: &dyn Files,
    dir: &Path,
    seal: Seal,
    frames: &mut Frames,
) -> Result<(PathBuf, Box<dyn File>), StorageError> {
    let (spare, path) = (dir.join(keeper::SPARE), dir.join(segment_name(seal.segment)));
    let file = files.open_direct(&spare).map_err(|cause| failed("open", &spare, cause))?;
    file.write_all_at(frames.seal(seal, 0), 0).map_err(|cause| failed("write", &spare, cause))?;
    file.sync().map_err(|cause| failed("sync", &spare, cause))?;
    files.rename(&spare, &path).map_err(|cause| failed("rename to", &path, cause))?;
    files.sync_dir(dir).map_err(|cause| failed("sync folder", dir, cause))?;
    Ok((path, file))
}

impl Wal {
    fn new(files: Arc<dyn Files>, dir: PathBuf, incarnation: u128, keeper: Keeper) -> Wal {
        Wal {
            files,
            dir,
            incarnation,
            keeper,
            shape: Shape::default(),
            closed: VecDeque::new(),
            active: None,
            frames: Frames::default(),
            poisoned: None,
        }
    }

    /// Does something that must not be tried again once it has failed.
    fn once<T>(&mut self, what: impl FnOnce(&mut Wal) -> Result<T, StorageError>) -> Result<T, StorageError> {
        if let Some(before) = &self.poisoned {
            let cause = io::Error::other(format!("a call before this one failed: {before}"));
            return Err(failed("use", &self.dir, cause));
        }
        let result = what(self);
        self.poisoned = result.as_ref().err().map(StorageError::to_string);
        result
    }

    /// Reads everything back, and makes what was read durable.
    fn replay(&mut self) -> Result<Replay, StorageError> {
        self.once(|wal| {
            // A segment that is on its way out must not vanish while it is read.
            wal.keeper.settle();
            let Recovered { records, shape, closed, last, leftovers, tail, warnings } =
                recovery::recover(&*wal.files, &wal.dir, wal.incarnation)?;
            (wal.shape, wal.closed) = (shape, closed.into());
            wal.keeper.begin(leftovers);
            wal.go_on(last)?;
            wal.purge();
            Ok(Replay { records, tail, warnings })
        })
    }

    /// Goes on writing where the last segment ends; or in a new one, if there is something behind the
    /// last mark.
    fn go_on(&mut self, last: Last) -> Result<(), StorageError> {
        let Last { seal, synced, before_mark, bytes, is_blank_behind, last_appended, unmarked } = last;
        let number = seal.segment;
        let Some((before, records)) = unmarked else {
            let path = self.dir.join(segment_name(number));
            let file = self.files.open_direct(&path).map_err(|cause| failed("open", &path, cause))?;
            if is_blank_behind {
                file.sync().map_err(|cause| failed("sync", &path, cause))?;
            } else {
                // Of a turn whose beginning is lost whole frames may be there, which must not come to stand behind others.
                keeper::fill_with_zeros(&*file, synced, bytes, keeper::Pieces::Few)
                    .map_err(|cause| failed("write zeros to", &path, cause))?;
            }
            // Whoever began this segment may not have come as far.
            self.files.sync_dir(&self.dir).map_err(|cause| failed("sync folder", &self.dir, cause))?;
            self.active = Some(Active {
                seal,
                path,
                file,
                end: synced,
                synced,
                is_unmarked: false,
                bytes,
                turns: 0,
                last_appended,
            });
            return Ok(());
        };
        self.frames.clear();
        let next = header(number + 1, self.incarnation, before_mark, &before);
        self.frames.put_header(&next);
        let mut shape = before;
        for (record, keeps_rest) in &records {
            self.put(&mut shape, record, Some(*keeps_rest))?;
        }
        self.begin(next.seal(), last_appended)?;
        self.close(seal, last_appended, before_mark);
        self.mark()
    }

    fn put(
        &mut self,
        shape: &mut Shape,
        record: &Record,
        keeps_rest: Option<bool>,
    ) -> Result<(), StorageError> {
        let keeps_rest = shape.fold(record, keeps_rest).map_err(|why| {
            let what =
                format!("{}: asked to write {why}: this is a mistake of the program", self.dir.display());
            StorageError::Damaged { what }
        })?;
        self.frames.put_record(record, keeps_rest);
        Ok(())
    }

    /// Puts the spare to use, with the frames that are waiting.
    fn begin(&mut self, seal: Seal, last_appended: Index) -> Result<(), StorageError> {
        let turns = self.active.as_ref().map_or(u64::MAX, |active| active.turns);
        self.keeper.take_spare(turns).map_err(|cause| failed("make a segment in", &self.dir, cause))?;
        let (path, file) = begin_segment(&*self.files, &self.dir, seal, &mut self.frames)?;
        let end = self.frames.len() as u64;
        self.active = Some(Active {
            seal,
            path,
            file,
            end,
            synced: end,
            is_unmarked: true,
            bytes: self.keeper.segment_bytes(),
            turns: 0,
            last_appended,
        });
        self.keeper.order_spare();
        Ok(())
    }

    /// Makes records durable, with one write and one sync.
    fn write(&mut self, records: &[Record]) -> Result<(), StorageError> {
        if records.is_empty() {
            return Ok(());
        }
        self.once(|wal| {
            wal.frames.clear();
            let is_marked = wal.put_mark();
            let before = wal.next_header();
            let mut shape = std::mem::take(&mut wal.shape);
            let put = records.iter().try_for_each(|record| wal.put(&mut shape, record, None));
            wal.shape = shape;
            put?;
            if wal.frames.has_giant() {
                let cause = io::Error::new(io::ErrorKind::InvalidInput, "a batch of more than 4 GiB");
                return Err(failed("write", &wal.dir, cause));
            }
            wal.make_room(before, is_marked)?;
            wal.append()?;
            let appended = records.iter().filter_map(|record| match record {
                Record::Entries(batch) => Some(batch.last().index),
                _ => None,
            });
            if let Some(active) = &mut wal.active {
                active.last_appended = appended.fold(active.last_appended, Index::max);
            }
            Ok(())
        })
    }

    /// Begins another segment if the waiting frames, and a mark behind them, do not fit into this one.
    fn make_room(&mut self, next: Option<Header>, is_marked: bool) -> Result<(), StorageError> {
        let (Some(next), Some(active)) = (next, &self.active) else {
            let cause = io::Error::other("it was not read yet");
            return Err(failed("write", &self.dir, cause));
        };
        let needed = (self.frames.len() + frame::MARK_BYTES + frame::STOP_BYTES) as u64;
        // A turn that is longer than a whole segment makes its segment longer.
        if active.end + needed <= active.bytes || active.end as usize == Header::FRAME_BYTES {
            return Ok(());
        }
        let (closed, last_appended) = (active.seal, active.last_appended);
        let mut frames = std::mem::take(&mut self.frames);
        if is_marked {
            // The header says as much, and the mark's place is not there.
            frames.skip_mark();
        }
        self.frames.put_header(&next);
        self.begin(next.seal(), Index(0))?;
        self.frames = frames;
        self.close(closed, last_appended, next.before_bytes);
        Ok(())
    }

    /// The header of the next segment, if it were begun now.
    fn next_header(&self) -> Option<Header> {
        let active = self.active.as_ref()?;
        Some(header(active.seal.segment + 1, self.incarnation, active.synced, &self.shape))
    }

    /// A segment is written to no more: what stands behind its end is of no use.
    fn close(&mut self, seal: Seal, last_appended: Index, bytes: u64) {
        self.closed.push_back(Closed { number: seal.segment, last_appended });
        self.keeper.close(seal, bytes);
    }

    fn append(&mut self) -> Result<(), StorageError> {
        let Some(Active { seal, path, file, end, synced, is_unmarked, turns, .. }) = &mut self.active else {
            return Ok(());
        };
        *turns += 1;
        let bytes = self.frames.seal(*seal, *end);
        file.write_all_at(bytes, *end).map_err(|cause| failed("write", path, cause))?;
        file.sync().map_err(|cause| failed("sync", path, cause))?;
        *end += self.frames.len() as u64;
        (*synced, *is_unmarked) = (*end, true);
        Ok(())
    }

    /// Puts a mark in front of what is about to be written, if there is none behind the last turn yet.
    fn put_mark(&mut self) -> bool {
        let unmarked = self.active.as_ref().filter(|active| active.is_unmarked);
        if let Some(active) = unmarked {
            self.frames.put_mark(active.end);
        }
        unmarked.is_some()
    }

    /// Writes behind a synced turn that it is; the next sync carries it.
    fn mark(&mut self) -> Result<(), StorageError> {
        self.frames.clear();
        if !self.put_mark() {
            return Ok(()); // There is one already.
        }
        let Some(Active { seal, path, file, end, is_unmarked, .. }) = &mut self.active else {
            return Ok(());
        };
        let bytes = self.frames.seal(*seal, *end);
        file.write_all_at(bytes, *end).map_err(|cause| failed("write", path, cause))?;
        *end += self.frames.len() as u64;
        *is_unmarked = false;
        Ok(())
    }

    /// What can be done once a turn has been answered.
    fn after_turn(&mut self) -> Result<(), StorageError> {
        self.once(Wal::mark)?;
        self.purge();
        Ok(())
    }

    /// Removes the segments that a snapshot covers, from the oldest on.
    fn purge(&mut self) {
        while let Some(first) =
            self.closed.front().filter(|first| first.last_appended <= self.shape.base.index)
        {
            self.keeper.remove(first.number);
            self.closed.pop_front();
        }
    }
}
