//! What is on a memory disk, and what may become of what is on its way there.
//!
//! Records are folded as they become durable: the ballot is one value, and the log is the views of
//! the batches that the peer's own log holds too. So a replay costs no more than the log it gives
//! back, and memory is bounded by what bounds the log: its snapshots.
//!
//! All chance of a disk is one stream, drawn in the order of the calls: times when something
//! begins, and what survives when it is cut.

use std::{collections::VecDeque, io, ops::RangeInclusive};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{SimulatedDisk, Tail, snapshots::Shelf};
use crate::{
    raft::{
        Batch, Index, PeerId, Position, Record, Term,
        leaving::{self, Leaving},
    },
    storage::{Incarnation, Replay, StorageError, TailLost},
};

/// The fold of all durable records.
///
/// Invariant: replaying [`Folded::records`] into an empty log gives what replaying the records
/// themselves would.
#[derive(Default)]
pub(super) struct Folded {
    ballot: Option<(Term, Option<PeerId>)>,
    /// The last entry that is gone from the front; `ZERO` if none is.
    base: Position,
    batches: VecDeque<Batch>,
    /// What is gone, and only not freed yet.
    leaving: Leaving<Batch>,
}

impl Folded {
    pub(super) fn fold(&mut self, record: Record) {
        match record {
            Record::Ballot { term, vote } => self.ballot = Some((term, vote)),
            // Entries that leave a hole are kept too: recovery finds it, and says so.
            Record::Entries(batch) => {
                self.leaving.make_room(leaving::cost(&batch), leaving::cost);
                self.batches.push_back(batch);
            }
            Record::Truncate { from } => self.cut_back(from),
            Record::Compact { upto } => self.cut_front(upto),
        }
    }

    fn cut_back(&mut self, from: Index) {
        while let Some(batch) = self.batches.pop_back() {
            if let Some(rest) = batch.within(batch.first(), from.prev()) {
                self.batches.push_back(rest);
                break;
            }
        }
    }

    fn cut_front(&mut self, upto: Position) {
        if upto.index <= self.base.index {
            return;
        }
        let behind = upto.index.next();
        let whole = match self.holds(upto) {
            true => self.batches.partition_point(|batch| batch.last().index < behind),
            false => self.batches.len(),
        };
        self.leaving.take_front(&mut self.batches, whole);
        if let Some(cut) = self.batches.front_mut()
            && let Some(rest) = cut.within(behind, Index(u64::MAX))
        {
            *cut = rest;
        }
        self.base = upto;
    }

    /// Whether the entry behind the front at this position is here: batches leave no gap, so only
    /// the term can differ.
    fn holds(&self, position: Position) -> bool {
        let number = self.batches.partition_point(|batch| batch.last().index < position.index);
        self.batches.get(number).is_some_and(|batch| batch.term() == position.term)
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let ballot = self.ballot.map(|(term, vote)| Record::Ballot { term, vote });
        let base = Some(self.base).filter(|&base| base != Position::ZERO);
        let entries = self.batches.iter().cloned().map(Record::Entries);
        ballot.into_iter().chain(base.map(|upto| Record::Compact { upto })).chain(entries).collect()
    }
}

/// One write, told from all others on the same disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct WriteId(u64);

struct InFlight {
    id: WriteId,
    records: Vec<Record>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    FailsNext,
    Failed,
}

/// The life of a disk, out of another stream than everything else that its seed decides.
fn draw_incarnation(seed: [u8; 32]) -> Incarnation {
    let mut rng = ChaCha8Rng::from_seed(seed);
    rng.set_stream(1);
    Incarnation(rng.random())
}

/// The disk itself.
pub(super) struct Platter {
    incarnation: Incarnation,
    rng: ChaCha8Rng,
    pace: SimulatedDisk,
    hanging: bool,
    health: Health,
    /// How often it was opened: the number of its present owner.
    opens: u64,
    /// How many writes were begun.
    begun: u64,
    writes: u64,
    records: u64,
    folded: Folded,
    in_flight: Option<InFlight>,
    /// The last write that was cut, until a replay has told of it.
    tail: Option<TailLost>,
    /// What the next cut leaves.
    leaves: Tail,
    pub(super) shelf: Shelf,
}

impl Platter {
    pub(super) fn new(seed: [u8; 32], pace: SimulatedDisk) -> Platter {
        Platter {
            incarnation: draw_incarnation(seed),
            rng: ChaCha8Rng::from_seed(seed),
            pace,
            hanging: false,
            health: Health::Sound,
            opens: 0,
            begun: 0,
            writes: 0,
            records: 0,
            folded: Folded::default(),
            in_flight: None,
            tail: None,
            leaves: Tail::Seeded,
            shelf: Shelf::default(),
        }
    }

    /// Another disk, with nothing on it. Owners and writes are counted on, so that none of those before
    /// is taken for one of it.
    pub(super) fn wipe(&mut self) {
        let fresh = Platter::new(self.rng.random(), self.pace.clone());
        let (opens, begun) = (self.opens + 1, self.begun);
        *self = Platter { opens, begun, hanging: self.hanging, ..fresh };
    }

    /// The life of this disk.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) fn set_sync_ms(&mut self, sync_ms: RangeInclusive<u64>) {
        self.pace.sync_ms = sync_ms;
    }

    pub(super) fn set_hanging(&mut self, hanging: bool) {
        self.hanging = hanging;
    }

    pub(super) fn is_hanging(&self) -> bool {
        self.hanging
    }

    pub(super) fn fail_next_write(&mut self) {
        if self.health == Health::Sound {
            self.health = Health::FailsNext;
        }
    }

    /// Takes back what was to fail, too.
    pub(super) fn repair(&mut self) {
        self.health = Health::Sound;
        self.shelf.set_failing(false);
    }

    pub(super) fn set_tail(&mut self, tail: Tail) {
        self.leaves = tail;
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn is_syncing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// How long the next sync takes, if it carries this many bytes of a snapshot.
    pub(super) fn draw_ms(&mut self, snapshot_bytes: usize) -> u64 {
        let (start, end) = (*self.pace.sync_ms.start(), *self.pace.sync_ms.end());
        let sync_ms = self.rng.random_range(start..=end.max(start));
        let snapshot_ms = self.pace.snapshot_ms_per_mib.saturating_mul(snapshot_bytes as u64) >> 20;
        sync_ms.saturating_add(snapshot_ms)
    }

    /// Whether the disk takes anything in.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        match self.health {
            Health::Failed => Err(refused("disk", io::Error::other("a write failed before"))),
            Health::Sound | Health::FailsNext => Ok(()),
        }
    }

    fn check_owner(&self, owner: u64) -> Result<(), StorageError> {
        self.check()?;
        if owner != self.opens {
            return Err(refused("log", io::Error::other("another has opened this disk since")));
        }
        if self.in_flight.is_some() {
            return Err(refused("log", io::Error::other("a write is still under way")));
        }
        Ok(())
    }

    /// Opens the disk for a new owner, and returns its number.
    pub(super) fn open(&mut self) -> Result<u64, StorageError> {
        self.check()?;
        if let Some(write) = self.in_flight.take() {
            self.lose_in_a_cut(write.records);
        }
        self.shelf.forget_incoming();
        self.opens += 1;
        Ok(self.opens)
    }

    pub(super) fn replay(&mut self, owner: u64) -> Result<Replay, StorageError> {
        self.check_owner(owner)?;
        Ok(Replay { records: self.folded.records(), tail: self.tail.take(), warnings: Vec::new() })
    }

    /// Begins a write: which one it is, and how many milliseconds it takes.
    pub(super) fn begin(&mut self, owner: u64, records: Vec<Record>) -> Result<(WriteId, u64), StorageError> {
        self.check_owner(owner)?;
        if self.health == Health::FailsNext {
            self.health = Health::Failed;
        }
        self.begun += 1;
        let id = WriteId(self.begun);
        self.in_flight = Some(InFlight { id, records });
        Ok((id, self.draw_ms(0)))
    }

    /// The time of a write has passed: all of it is durable, unless the disk fails.
    pub(super) fn finish(&mut self, id: WriteId) -> Result<(), StorageError> {
        let Some(write) = self.in_flight.take_if(|write| write.id == id) else {
            return Err(refused("log", io::Error::other("another has opened this disk since")));
        };
        // Only the very write under way can have made it fail: there is one at a time.
        if self.health == Health::Failed {
            let what = format!("write of {} records", write.records.len());
            self.lose(write.records, Tail::Seeded);
            return Err(StorageError::Io { what, cause: io::Error::other("injected fault") });
        }
        self.writes += 1;
        self.records += write.records.len() as u64;
        write.records.into_iter().for_each(|record| self.folded.fold(record));
        Ok(())
    }

    /// The power is cut, if this write is still under way.
    pub(super) fn cut(&mut self, id: WriteId) {
        if let Some(write) = self.in_flight.take_if(|write| write.id == id) {
            self.lose_in_a_cut(write.records);
        }
    }

    /// What was asked for waits for a write that has something to lose.
    fn lose_in_a_cut(&mut self, records: Vec<Record>) {
        let leaves = if records.is_empty() { Tail::Seeded } else { std::mem::take(&mut self.leaves) };
        self.lose(records, leaves);
    }

    /// Keeps a prefix of a write that did not complete.
    fn lose(&mut self, records: Vec<Record>, leaves: Tail) {
        let count = records.len();
        if count == 0 {
            return;
        }
        let (kept, torn) = match leaves {
            Tail::Seeded => {
                let kept = self.rng.random_range(0..=count);
                (kept, kept < count && self.rng.random_bool(0.5))
            }
            Tail::Kept => (count, false),
            Tail::Lost => (0, false),
            Tail::Torn => (self.rng.random_range(0..count), true),
        };
        records.into_iter().take(kept).for_each(|record| self.folded.fold(record));
        self.tail = Some(TailLost { records: count, kept, torn });
    }
}

fn refused(what: &str, cause: io::Error) -> StorageError {
    StorageError::Io { what: format!("{what} in memory"), cause }
}
