//! The frame: the piece of which segments are made.
//!
//! The format is in `frames.md`, and in the documentation of the [log](super).

use bytes::Bytes;

use crate::{
    binary::{put_varint, varint_at},
    raft::{Batch, Command, Index, PeerId, Position, Record, Term},
    storage::members,
};

/// Length, kind and checksum.
pub(super) const PREFIX_BYTES: usize = 9;

/// Where frames may begin.
pub(super) const ALIGN: usize = 8;

/// A whole synced-mark.
pub(super) const MARK_BYTES: usize = 16;

/// The zeros behind each turn, by which the end of what was written is known from the beginning of what was written in
/// part: room for a prefix. Behind a mark that nobody has synced yet they may be lost with the power, and the mark not:
/// then a start takes what stands there for a torn turn, and drops it, though there was none.
pub(super) const STOP_BYTES: usize = PREFIX_BYTES.next_multiple_of(ALIGN);

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// What was true when the segment was begun.
    Header,
    /// Entries at the end of the log.
    Entries,
    /// Term and vote.
    Ballot,
    /// The log's end goes.
    Truncate,
    /// The log's front goes: a snapshot covers it.
    Compact,
    /// Everything before it was synced.
    SyncedMark,
    /// Another segment follows.
    Continued,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Header,
        Kind::Entries,
        Kind::Ballot,
        Kind::Truncate,
        Kind::Compact,
        Kind::SyncedMark,
        Kind::Continued,
    ];

    fn code(self) -> u8 {
        self as u8 + 1
    }

    fn of(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// As `wal inspect` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Header => "header",
            Kind::Entries => "entries",
            Kind::Ballot => "ballot",
            Kind::Truncate => "truncate",
            Kind::Compact => "compact",
            Kind::SyncedMark => "synced-mark",
            Kind::Continued => "continued",
        }
    }
}

/// A frame that was read, and is what was written.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub kind: Kind,
    pub payload: Bytes,
    /// Where the next one begins.
    pub end: usize,
}

/// What stands where a frame might.
#[derive(Debug)]
pub(super) enum Found {
    Frame(Frame),
    /// Nothing was written here.
    Nothing,
    /// Something, and no frame; why.
    Bad(&'static str),
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// What makes the frames of one segment its own: their checksums cover it, so that nothing that stood in the file before
/// passes for one of them, whoever wrote it and whatever is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    /// The number of the segment.
    pub segment: u64,
    /// Its key: drawn when it was begun, and kept in its header.
    pub key: u64,
}

impl Seal {
    /// What a header is read with, for the key is in it.
    pub fn of_header(segment: u64) -> Seal {
        Seal { segment, key: 0 }
    }

    fn checksum(self, offset: u64, length: u32, kind: u8, payload: &[u8]) -> u32 {
        let key = if kind == Kind::Header.code() { 0 } else { self.key };
        let words = [self.segment, key, offset].map(u64::to_le_bytes);
        let place = crc32c::crc32c_append(crc32c::crc32c(words.as_flattened()), &length.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(place, &[kind]), payload)
    }
}

/// Length, kind and checksum of the frame at `offset`.
fn prefix(bytes: &[u8], offset: usize) -> Option<(u32, u8, u32)> {
    let prefix = bytes.get(offset..)?.first_chunk::<PREFIX_BYTES>()?;
    let [a, b, c, d, kind, e, f, g, h] = *prefix;
    Some((u32::from_le_bytes([a, b, c, d]), kind, u32::from_le_bytes([e, f, g, h])))
}

/// What stands at `offset` of a segment.
pub(super) fn read(seal: Seal, bytes: &Bytes, offset: usize) -> Found {
    let Some((length, code, crc)) = prefix(bytes, offset) else {
        let rest = bytes.get(offset..).unwrap_or_default();
        return if is_zero(rest) { Found::Nothing } else { Found::Bad("a frame is cut short") };
    };
    if (length, code, crc) == (0, 0, 0) {
        return Found::Nothing;
    }
    let Some(kind) = Kind::of(code) else { return Found::Bad("a frame of no known kind") };
    let start = offset + PREFIX_BYTES;
    let end = start.saturating_add(length as usize);
    let Some(payload) = bytes.get(start..end) else { return Found::Bad("a frame is cut short") };
    if seal.checksum(offset as u64, length, code, payload) != crc {
        return Found::Bad("a frame's checksum does not match");
    }
    if !bytes.get(end..padded(end)).is_some_and(is_zero) {
        return Found::Bad("a frame's padding is not zero");
    }
    Found::Frame(Frame { kind, payload: bytes.slice(start..end), end: padded(end) })
}

/// The first synced-mark at `offset` or behind it.
pub(super) fn find_mark(seal: Seal, bytes: &Bytes, offset: usize) -> Option<usize> {
    let mut at = padded(offset);
    while at + MARK_BYTES <= bytes.len() {
        let looks_like_one = prefix(bytes, at).is_some_and(|(length, code, _)| {
            (length as usize, code) == (MARK_BYTES - PREFIX_BYTES, Kind::SyncedMark.code())
        });
        if looks_like_one && matches!(read(seal, bytes, at), Found::Frame(_)) {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}

/// Whether all of it is zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Frames on their way to a segment. Checksums are filled in by [`Frames::seal`], for they depend on
/// the place.
#[derive(Default)]
pub(super) struct Frames {
    /// And behind them, if there are any, the stop.
    bytes: Vec<u8>,
    /// One of them is longer than its length can say.
    has_giant: bool,
}

impl Frames {
    /// How long they are, without the stop.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(STOP_BYTES)
    }

    /// Whether one of them could not be read back: they must not be written.
    pub fn has_giant(&self) -> bool {
        self.has_giant
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.has_giant = false;
    }

    fn put(&mut self, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.len();
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        payload(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start - PREFIX_BYTES);
        self.has_giant |= length.is_err();
        let length = length.unwrap_or_default();
        let prefix = length.to_le_bytes().into_iter().chain([kind.code()]);
        self.bytes.iter_mut().skip(start).zip(prefix).for_each(|(to, from)| *to = from);
        self.bytes.resize(start + padded(self.bytes.len() - start) + STOP_BYTES, 0);
    }

    pub fn put_header(&mut self, header: &Header) {
        self.put(Kind::Header, |into| header.put(into));
    }

    /// Takes the mark away that was put first.
    pub fn skip_mark(&mut self) {
        self.bytes.drain(..MARK_BYTES.min(self.len()));
    }

    pub fn put_mark(&mut self, offset: u64) {
        self.put(Kind::SyncedMark, |into| into.extend(offset.to_le_bytes().into_iter().take(7)));
    }

    pub fn put_continued(&mut self) {
        self.put(Kind::Continued, |_| {});
    }

    /// A record. `keeps_rest` says of a [`Record::Compact`] whether the log holds that very entry.
    pub fn put_record(&mut self, record: &Record, keeps_rest: bool) {
        match record {
            Record::Ballot { term, vote } => self.put(Kind::Ballot, |into| put_ballot(*term, *vote, into)),
            Record::Entries(batch) => self.put(Kind::Entries, |into| put_entries(batch, into)),
            Record::Truncate { from } => self.put(Kind::Truncate, |into| put_varint(from.0, into)),
            Record::Compact { upto } => self.put(Kind::Compact, |into| {
                put_varints([upto.term.0, upto.index.0, u64::from(keeps_rest)], into);
            }),
        }
    }

    /// Fills in the checksums for this place, and gives the bytes to be written there: the frames and the stop.
    pub fn seal(&mut self, seal: Seal, offset: u64) -> &[u8] {
        let mut at = 0;
        while at < self.len()
            && let Some((length, kind, _)) = prefix(&self.bytes, at)
        {
            let start = at + PREFIX_BYTES;
            let end = start + length as usize;
            let payload = self.bytes.get(start..end).unwrap_or_default();
            let crc = seal.checksum(offset + at as u64, length, kind, payload);
            if let Some(place) = self.bytes.get_mut(at + 5..start) {
                place.copy_from_slice(&crc.to_le_bytes());
            }
            at += padded(end - at);
        }
        &self.bytes
    }
}

fn put_varints(numbers: [u64; 3], into: &mut Vec<u8>) {
    numbers.into_iter().for_each(|number| put_varint(number, into));
}

fn put_ballot(term: Term, vote: Option<PeerId>, into: &mut Vec<u8>) {
    put_varint(term.0, into);
    put_varint(u64::from(vote.is_some()), into);
    if let Some(peer) = vote {
        put_varint(peer.0, into);
    }
}

fn put_entries(batch: &Batch, into: &mut Vec<u8>) {
    put_varints([batch.term().0, batch.first().0, batch.count()], into);
    for command in batch.commands() {
        match command {
            Command::Noop => into.push(0),
            Command::Membership(membership) => {
                let text = members::to_json(membership).to_string();
                into.push(1);
                put_varint(text.len() as u64, into);
                into.extend_from_slice(text.as_bytes());
            }
            Command::Data(data) => {
                into.push(2);
                put_varint(data.len() as u64, into);
                data.pieces().iter().for_each(|piece| into.extend_from_slice(piece));
            }
        }
    }
}

/// Takes a payload apart; never panics, whatever is in it.
struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn varint(&mut self) -> Option<u64> {
        let (value, bytes) = varint_at(self.bytes.get(self.at..)?)?;
        self.at += bytes;
        Some(value)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A view, without a copy.
    fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (start, end) = (self.at, self.at.checked_add(length)?);
        let bytes = (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))?;
        self.at = end;
        Some(bytes)
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position::new(self.varint()?, self.varint()?))
    }

    fn ballot(&mut self) -> Option<(Term, Option<PeerId>)> {
        let term = Term(self.varint()?);
        match self.varint()? {
            0 => Some((term, None)),
            1 => Some((term, Some(PeerId(self.varint()?)))),
            _ => None,
        }
    }

    fn command(&mut self) -> Option<Command> {
        match self.byte()? {
            0 => Some(Command::Noop),
            1 => {
                let text = self.bytes()?;
                let membership = serde_json::from_slice(&text).ok().as_ref().and_then(members::from_json)?;
                Some(Command::Membership(membership.into()))
            }
            2 => self.bytes().map(|bytes| Command::Data(bytes.into())),
            _ => None,
        }
    }

    fn batch(&mut self) -> Option<Batch> {
        let (term, first, count) = (Term(self.varint()?), Index(self.varint()?), self.varint()?);
        // An entry takes a byte at least: a count is only a claim.
        let room = usize::try_from(count).ok().filter(|&count| count <= self.bytes.len())?;
        let mut commands = Vec::with_capacity(room);
        for _ in 0..count {
            commands.push(self.command()?);
        }
        Batch::new(term, first, commands)
    }
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Header(Header),
    Record {
        record: Record,
        /// Of a [`Record::Compact`]: whether the log held that very entry.
        keeps_rest: bool,
    },
    Mark,
    Continued,
}

/// What a frame says; `None`: its checksum is right, and yet it makes no sense.
pub(super) fn decode(frame: &Frame) -> Option<Said> {
    let mut cursor = Cursor { bytes: &frame.payload, at: 0 };
    let mut keeps_rest = true;
    let record = match frame.kind {
        Kind::Header => return Header::take(&frame.payload).map(Said::Header),
        Kind::SyncedMark => return Some(Said::Mark),
        Kind::Continued => return Some(Said::Continued),
        Kind::Entries => Record::Entries(cursor.batch()?),
        Kind::Ballot => cursor.ballot().map(|(term, vote)| Record::Ballot { term, vote })?,
        Kind::Truncate => Record::Truncate { from: Index(cursor.varint()?) },
        Kind::Compact => {
            let upto = cursor.position()?;
            keeps_rest = cursor.varint()? == 1;
            Record::Compact { upto }
        }
    };
    cursor.is_at_end().then_some(Said::Record { record, keeps_rest })
}

/// What was true when a segment was begun: with it the segments before can go once all their
/// entries are covered by a snapshot, and take no vote along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The number of the segment.
    pub number: u64,
    /// The disk that it belongs to.
    pub incarnation: u128,
    /// Drawn when the segment was begun: the checksums of its frames cover it.
    pub(super) key: u64,
    /// Where the segment before ends: what stands behind was never acknowledged, or was copied.
    pub before_bytes: u64,
    /// The term.
    pub term: Term,
    /// Who got the vote in it.
    pub vote: Option<PeerId>,
    /// The last entry that had gone from the front of the log.
    pub base: Position,
    /// The last index of the log.
    pub last: Index,
}

/// What a segment begins with, so that people and tools know it; the last byte is the format.
const MAGIC: [u8; 8] = *b"raftwal\x02";

impl Header {
    /// How long the payload is: always the same, so that a new header covers an old one.
    const PAYLOAD_BYTES: usize = 8 + 8 + 16 + 8 + 8 + 8 + 1 + 8 + 16 + 8;

    /// The format that a file says it has, if it begins as segments do and in another one than this.
    pub(super) fn other_format(bytes: &[u8]) -> Option<u8> {
        let (format, magic) = bytes.get(PREFIX_BYTES..)?.first_chunk::<{ MAGIC.len() }>()?.split_last()?;
        let (ours, name) = MAGIC.split_last()?;
        (magic == name && format != ours).then_some(*format)
    }

    /// What makes the frames behind it its own.
    pub(super) fn seal(&self) -> Seal {
        Seal { segment: self.number, key: self.key }
    }

    /// How long the frame is.
    pub(super) const FRAME_BYTES: usize = (PREFIX_BYTES + Header::PAYLOAD_BYTES).next_multiple_of(ALIGN);

    fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&MAGIC);
        into.extend_from_slice(&self.number.to_le_bytes());
        into.extend_from_slice(&self.incarnation.to_le_bytes());
        into.extend_from_slice(&self.key.to_le_bytes());
        into.extend_from_slice(&self.before_bytes.to_le_bytes());
        into.extend_from_slice(&self.term.0.to_le_bytes());
        into.push(u8::from(self.vote.is_some()));
        let vote = self.vote.unwrap_or_default().0;
        for number in [vote, self.base.term.0, self.base.index.0, self.last.0] {
            into.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn take(payload: &Bytes) -> Option<Header> {
        use crate::binary::{take_array, take_byte};
        if payload.len() != Header::PAYLOAD_BYTES {
            return None;
        }
        let mut rest = payload.clone();
        let rest = &mut rest;
        let number = |rest: &mut Bytes| take_array(rest).map(u64::from_le_bytes);
        if take_array(rest)? != MAGIC {
            return None;
        }
        let (segment, incarnation) = (number(rest)?, u128::from_le_bytes(take_array(rest)?));
        let (key, before_bytes) = (number(rest)?, number(rest)?);
        let (term, votes) = (Term(number(rest)?), take_byte(rest)?);
        let vote = PeerId(number(rest)?);
        Some(Header {
            number: segment,
            incarnation,
            key,
            before_bytes,
            term,
            vote: (votes == 1).then_some(vote),
            base: Position::new(number(rest)?, number(rest)?),
            last: Index(number(rest)?),
        })
    }
}
