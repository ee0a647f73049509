//! What is in a file, and what a power cut leaves of it.
//!
//! The operating system's cache holds whole sectors, and writes each of them back when it likes. So a
//! cut shows each sector as it was after some of the writes to it, in the order in which they were
//! made; which ones is another question for each sector. The length is told by its own rule, in the
//! same way: it is one value, and the disk has one of those that it had.

use std::{collections::BTreeSet, io};

use super::luck::Luck;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// A longer file is a mistake of the test, and would take its memory.
const BYTES_MAX: usize = 1 << 32;

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// A file: what the disk has, and what whoever reads it sees.
///
/// Invariant: `now` is `durable` after all of `unsynced`, but for what a failed sync gave up.
#[derive(Clone, Default)]
pub(super) struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.now.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset).ok().and_then(|offset| self.now.get(offset..)).unwrap_or_default();
        into.iter_mut().zip(from).map(|(into, from)| *into = *from).count()
    }

    /// The end of a write, if there can be such a file.
    pub(super) fn end_of(offset: u64, bytes: usize) -> io::Result<(usize, usize)> {
        let offset = usize::try_from(offset).ok();
        let end = offset.and_then(|offset| offset.checked_add(bytes));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= BYTES_MAX => Ok((offset, end)),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], offset: usize) {
        put(&mut self.now, offset, bytes);
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, bytes: usize) {
        self.now.resize(bytes, 0);
        self.unsynced.push(Change::SetLen(bytes));
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::SetLen(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// What was to be synced counts as clean, as on Linux after EIO: it can be read, but no later sync
    /// will write it.
    pub(super) fn give_up(&mut self) {
        self.unsynced.clear();
    }

    /// Damage: the disk itself has something else.
    pub(super) fn damage(&mut self, how: impl FnOnce(&mut Vec<u8>)) {
        how(&mut self.now);
        self.durable.clone_from(&self.now);
        self.unsynced.clear();
    }

    pub(super) fn cut(&mut self, luck: &mut Luck) {
        let mut left = Remains { bytes: std::mem::take(&mut self.durable), ..Remains::default() };
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => left.write(offset, &bytes, luck),
                Change::SetLen(bytes) => left.set_len(bytes, luck),
            }
        }
        self.durable = left.bytes;
        self.now.clone_from(&self.durable);
    }
}

/// Writes, and fills a gap with zeros.
fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if into.len() < end {
        into.resize(end, 0);
    }
    for (into, from) in into.iter_mut().skip(offset).zip(bytes) {
        *into = *from;
    }
}

/// What is left of a file after a cut, one unsynced change after the other.
#[derive(Default)]
struct Remains {
    bytes: Vec<u8>,
    /// The sectors whose later writes are lost, because an earlier one is.
    settled: BTreeSet<usize>,
    /// Whether later lengths are lost, because an earlier one is.
    len_settled: bool,
}

impl Remains {
    fn write(&mut self, offset: usize, bytes: &[u8], luck: &mut Luck) {
        let end = offset.saturating_add(bytes.len());
        if end > self.bytes.len() {
            self.grow(end, luck);
        }
        let mut at = offset;
        while at < end {
            let sector = at / SECTOR;
            let stop = sector.saturating_add(1).saturating_mul(SECTOR).min(end);
            if self.settled.contains(&sector) || !luck.survives() {
                self.settled.insert(sector);
            } else {
                let part = bytes.iter().skip(at - offset);
                // What lies behind the length that survived is not there.
                let into = self.bytes.iter_mut().take(stop).skip(at);
                into.zip(part).for_each(|(into, from)| *into = *from);
            }
            at = stop;
        }
    }

    /// A file may also have grown in part, sector by sector, while it was written.
    fn grow(&mut self, end: usize, luck: &mut Luck) {
        if self.len_settled {
            return;
        }
        if luck.survives() {
            self.bytes.resize(end, 0);
            return;
        }
        self.len_settled = true;
        if luck.survives() {
            let sectors = (end - self.bytes.len()) / SECTOR;
            let part = luck.up_to(sectors).saturating_mul(SECTOR);
            self.bytes.resize(self.bytes.len().saturating_add(part), 0);
        }
    }

    fn set_len(&mut self, bytes: usize, luck: &mut Luck) {
        if self.len_settled || !luck.survives() {
            self.len_settled = true;
        } else {
            self.bytes.resize(bytes, 0);
        }
    }
}
