//! Reading the segments back: a fold over their records, and where writing goes on.
//!
//! Of all segments but the last the header of the next one says where they end, and everything up to
//! there was synced: a bad frame is damage. In the last one that holds up to the last synced-mark.
//! What follows the mark may have been acknowledged or not, may be there or not; it counts up to the
//! first frame that is not whole. It is never trusted in place: after a failed sync the operating
//! system may show what is not on the disk. So it is copied into a new segment, and synced there.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    Closed, damaged, failed,
    frame::{self, Found, Header, Said, Seal},
    segment_name, segment_number,
    shape::Shape,
};
use crate::{
    raft::{Batch, Index, Position, Record},
    storage::{StorageError, TailLost, files::Files},
};

/// What the segments say.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The fold of all records.
    pub records: Vec<Record>,
    /// The log at the end of it.
    pub shape: Shape,
    /// The segments before the last.
    pub closed: Vec<Closed>,
    pub last: Last,
    /// Segments that nobody needs.
    pub leftovers: Vec<u64>,
    pub tail: Option<TailLost>,
    pub warnings: Vec<String>,
}

/// The last segment.
#[derive(Debug)]
pub(super) struct Last {
    pub seal: Seal,
    /// Up to where it is known to be synced: behind the header, or behind the last synced-mark.
    pub synced: u64,
    /// The same without that mark, which is not known to be synced itself.
    pub before_mark: u64,
    /// How long the file is.
    pub bytes: u64,
    /// Whether there are only zeros from there on, and no remains of what the file was before.
    pub is_blank_behind: bool,
    pub last_appended: Index,
    /// What follows, as far as it is whole, and the log before it. `None`: nothing at all does, and
    /// writing goes on in place. A snapshot marker says whether it keeps the rest of the log: here
    /// nobody could find out any more, for the segments that it covers may be gone.
    pub unmarked: Option<(Shape, Vec<(Record, bool)>)>,
}

/// Folds records into what is left of them.
struct Fold {
    shape: Shape,
    batches: std::collections::VecDeque<Batch>,
}

impl Fold {
    fn fold(&mut self, record: Record, keeps_rest: bool) -> Result<(), &'static str> {
        let base = self.shape.base;
        self.shape.fold(&record, Some(keeps_rest))?;
        match record {
            Record::Entries(batch) => self.batches.push_back(batch),
            Record::Truncate { .. } => self.cut(Index(0), self.shape.last),
            Record::Compact { .. } if self.shape.base == base => {}
            Record::Compact { .. } if keeps_rest => self.cut(self.shape.base.index.next(), Index(u64::MAX)),
            Record::Compact { .. } => self.batches.clear(),
            Record::Ballot { .. } => {}
        }
        Ok(())
    }

    /// Keeps `from..=to`.
    fn cut(&mut self, from: Index, to: Index) {
        while self.batches.front().is_some_and(|batch| batch.last().index < from) {
            self.batches.pop_front();
        }
        while self.batches.back().is_some_and(|batch| batch.first() > to) {
            self.batches.pop_back();
        }
        if let Some(batch) = self.batches.front_mut()
            && let Some(rest) = batch.within(from, Index(u64::MAX))
        {
            *batch = rest;
        }
        if let Some(batch) = self.batches.back_mut()
            && let Some(rest) = batch.within(Index(0), to)
        {
            *batch = rest;
        }
    }

    fn records(self) -> Vec<Record> {
        let Shape { term, vote, base, .. } = self.shape;
        let ballot = (term, vote) != Default::default();
        let ballot = ballot.then_some(Record::Ballot { term, vote });
        let compact = (base != Position::ZERO).then_some(Record::Compact { upto: base });
        ballot.into_iter().chain(compact).chain(self.batches.into_iter().map(Record::Entries)).collect()
    }
}

/// Reads a log back.
pub(super) fn recover(files: &dyn Files, dir: &Path, incarnation: u128) -> Result<Recovered, StorageError> {
    let (numbers, leftovers) = segments(files, dir)?;
    let headers = numbers.iter().map(|&number| read_header(files, dir, number, incarnation));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let (Some(first), Some(end)) = (headers.first(), headers.last()) else {
        return Err(damaged(dir, "there is no log in it, and there was one".into()));
    };
    let mut fold = Fold { shape: Shape::of(first), batches: Default::default() };
    let mut closed = Vec::new();
    for (header, next) in headers.iter().zip(headers.iter().skip(1)) {
        closed.push(read_closed(files, dir, header, next, &mut fold)?);
    }
    let mut walk = Walk::open(files, dir, end)?;
    let last = read_last(&mut walk, &mut fold)?;
    let (tail, warnings) = walk.tail(last.unmarked.as_ref().map_or(0, |(_, records)| records.len()));
    if let Some((from, to)) = fold.shape.missing() {
        let what = format!("the segments that held entries {from} to {to} are missing");
        return Err(damaged(dir, what));
    }
    let shape = fold.shape.clone();
    Ok(Recovered { records: fold.records(), shape, closed, last, leftovers, tail, warnings })
}

/// The segments that follow each other without a gap up to the last one; and those before, which the
/// power was cut from while they were removed.
fn segments(files: &dyn Files, dir: &Path) -> Result<(Vec<u64>, Vec<u64>), StorageError> {
    let names = files.list(dir).map_err(|cause| failed("list", dir, cause))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let gap = numbers.windows(2).rposition(|pair| matches!(pair, [a, b] if a + 1 != *b));
    let run = numbers.split_off(gap.map_or(0, |gap| gap + 1));
    Ok((run, numbers))
}

fn read_header(
    files: &dyn Files,
    dir: &Path,
    number: u64,
    incarnation: u128,
) -> Result<Header, StorageError> {
    let path = dir.join(segment_name(number));
    let file = files.open_to_read(&path).map_err(|cause| failed("open", &path, cause))?;
    let bytes = file.read_up_to(0, Header::FRAME_BYTES).map_err(|cause| failed("read", &path, cause))?;
    if let Some(format) = Header::other_format(&bytes) {
        let why = "this version reads another one: open the folder with the version that wrote it";
        return Err(damaged(&path, format!("offset 0: its format is {format}, and {why}")));
    }
    let why = match frame::read(Seal::of_header(number), &Bytes::from(bytes), 0) {
        Found::Frame(frame) => match frame::decode(&frame) {
            Some(Said::Header(header)) if header.incarnation != incarnation => "it belongs to another disk",
            Some(Said::Header(header)) if header.number == number => return Ok(header),
            _ => "it does not begin with a header",
        },
        Found::Nothing => "it does not begin with a header",
        Found::Bad(why) => why,
    };
    Err(damaged(&path, format!("offset 0: {why}")))
}

/// Reads a segment that another one follows.
fn read_closed(
    files: &dyn Files,
    dir: &Path,
    header: &Header,
    next: &Header,
    fold: &mut Fold,
) -> Result<Closed, StorageError> {
    let mut walk = Walk::open(files, dir, header)?;
    let end = usize::try_from(next.before_bytes).unwrap_or(usize::MAX);
    while walk.at < end {
        match walk.next()? {
            Step::Record(record, keeps_rest) => walk.fold(fold, record, keeps_rest)?,
            Step::Mark => {}
            Step::End { why, .. } => return Err(walk.damaged(why)),
        }
    }
    if walk.at > end {
        return Err(walk.damaged("a frame that the next segment knows nothing of"));
    }
    if !fold.shape.is_followed_by(next) {
        let path = dir.join(segment_name(next.number));
        return Err(damaged(&path, "offset 0: it does not continue the segment before it".into()));
    }
    Ok(Closed { number: header.number, last_appended: walk.last_appended })
}

/// Reads the segment that was written to last.
fn read_last(walk: &mut Walk, fold: &mut Fold) -> Result<Last, StorageError> {
    let (mut synced, mut before_mark) = (walk.at, walk.at);
    let mut unmarked = Vec::new();
    let (why, is_torn) = loop {
        let at = walk.at;
        match walk.next()? {
            Step::Record(record, keeps_rest) => unmarked.push((at, record, keeps_rest)),
            Step::Mark => {
                (synced, before_mark) = (walk.at, at);
                for (at, record, keeps_rest) in unmarked.drain(..) {
                    walk.fold_at(at, fold, record, keeps_rest)?;
                }
            }
            Step::End { why, is_torn } => break (why, is_torn),
        }
    };
    if let Some(mark) = frame::find_mark(walk.seal, &walk.bytes, walk.at) {
        let path = walk.path.display();
        let what = format!("{path}: offset {}: {why}, and offset {mark} says that it was synced", walk.at);
        return Err(StorageError::Damaged { what });
    }
    walk.torn = is_torn.then_some(why);
    let is_clean = unmarked.is_empty() && !is_torn;
    let before = (!is_clean).then(|| fold.shape.clone());
    let mut records = Vec::new();
    for (at, record, keeps_rest) in unmarked {
        records.push((record.clone(), keeps_rest));
        walk.fold_at(at, fold, record, keeps_rest)?;
    }
    Ok(Last {
        seal: walk.seal,
        synced: synced as u64,
        before_mark: before_mark as u64,
        bytes: walk.bytes.len() as u64,
        is_blank_behind: walk.bytes.get(walk.at..).is_some_and(frame::is_zero),
        last_appended: walk.last_appended,
        unmarked: before.map(|shape| (shape, records)),
    })
}

/// What comes next in a segment.
enum Step {
    Record(Record, bool),
    Mark,
    /// No frame; why, and whether one was begun.
    End {
        why: &'static str,
        is_torn: bool,
    },
}

/// A walk through the frames of one segment.
struct Walk {
    path: PathBuf,
    seal: Seal,
    bytes: Bytes,
    at: usize,
    last_appended: Index,
    /// Of the segment that was written to last: what is wrong with a frame that was begun at its end.
    torn: Option<&'static str>,
}

impl Walk {
    /// Opens a segment, and stands behind its header.
    fn open(files: &dyn Files, dir: &Path, header: &Header) -> Result<Walk, StorageError> {
        let path = dir.join(segment_name(header.number));
        let file = files.open_to_read(&path).map_err(|cause| failed("open", &path, cause))?;
        let bytes = file.read_whole().map_err(|cause| failed("read", &path, cause))?.into();
        let (seal, at) = (header.seal(), Header::FRAME_BYTES);
        Ok(Walk { path, seal, bytes, at, last_appended: Index(0), torn: None })
    }

    fn next(&mut self) -> Result<Step, StorageError> {
        let frame = match frame::read(self.seal, &self.bytes, self.at) {
            Found::Frame(frame) => frame,
            Found::Nothing => return Ok(Step::End { why: "nothing is written here", is_torn: false }),
            Found::Bad(why) => return Ok(Step::End { why, is_torn: true }),
        };
        let step = match frame::decode(&frame) {
            Some(Said::Record { record, keeps_rest }) => Step::Record(record, keeps_rest),
            Some(Said::Mark) => Step::Mark,
            Some(Said::Header(_)) => return Err(self.damaged("a header within a segment")),
            Some(Said::Continued) => return Err(self.damaged("the segment that follows is missing")),
            None => return Err(self.damaged("a frame that makes no sense")),
        };
        self.at = frame.end;
        if let Step::Record(Record::Entries(batch), _) = &step {
            self.last_appended = self.last_appended.max(batch.last().index);
        }
        Ok(step)
    }

    fn fold(&self, fold: &mut Fold, record: Record, keeps_rest: bool) -> Result<(), StorageError> {
        self.fold_at(self.at, fold, record, keeps_rest)
    }

    fn fold_at(&self, at: usize, fold: &mut Fold, record: Record, keeps: bool) -> Result<(), StorageError> {
        fold.fold(record, keeps).map_err(|why| damaged(&self.path, format!("offset {at}: {why}")))
    }

    fn damaged(&self, why: &str) -> StorageError {
        damaged(&self.path, format!("offset {}: {why}", self.at))
    }

    /// What is cut off, and the sentence that says so.
    fn tail(&self, kept: usize) -> (Option<TailLost>, Vec<String>) {
        let Some(why) = self.torn else { return (None, Vec::new()) };
        let warning = format!(
            "{}: offset {}: {why}: what was written here was never synced, is no whole record, and is dropped; \
             {kept} records before it, which were not known to be synced either, are kept",
            self.path.display(),
            self.at
        );
        (Some(TailLost { records: kept + 1, kept, torn: true }), vec![warning])
    }
}
