//! The log: has, append, splice, slice, compact. Every change also yields a [`Record`].
//!
//! Entries stay in memory, shared, since the last snapshot; storage is read at recovery only, by
//! replaying records into an empty log. So rules never meet a read error.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{
    leaving::{self, Leaving},
    message::Conflict,
    types::{Batch, Command, Index, PeerId, Position, Term},
};

/// One step of what has to survive. Recovery is a fold over them, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Record {
    /// `currentTerm` and `votedFor`.
    Ballot {
        /// The term.
        term: Term,
        /// Who got our vote in it.
        vote: Option<PeerId>,
    },
    /// Entries at the end of the log.
    Entries(Batch),
    /// The log ends before `from`.
    Truncate {
        /// The first entry that goes.
        from: Index,
    },
    /// A durable snapshot covers everything up to here. A log that holds this very entry keeps what
    /// is behind it; any other log goes whole.
    Compact {
        /// The last entry that goes.
        upto: Position,
    },
}

impl Record {
    /// Whether it promises nothing to anybody, so that it can wait for the next sync.
    pub fn can_wait(&self) -> bool {
        matches!(self, Record::Compact { .. })
    }
}

/// A batch, and the weight of the log from its beginning of time to the batch's end.
#[derive(Clone, Debug)]
struct Held {
    batch: Batch,
    weight_upto: u64,
}

/// The entries that no snapshot has replaced, and the records of changes not handed to storage yet.
///
/// Invariants: batches are contiguous, and their terms do not decrease; the first follows `base`;
/// `last` is the position of the last entry, or `base` if there is none.
#[derive(Clone, Debug, Default)]
pub struct Log {
    held: VecDeque<Held>,
    /// The last entry that is gone from the front; `ZERO` if none is.
    base: Position,
    last: Position,
    /// What the first batch's `weight_upto` builds on.
    base_weight: u64,
    /// What is gone, and only not freed yet.
    leaving: Leaving<Held>,
    records: Vec<Record>,
}

impl Log {
    /// The position of the last entry.
    pub fn last(&self) -> Position {
        self.last
    }

    /// The last position that is gone from the front.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The weight of the entries behind `index`, in bytes; a batch that `index` cuts counts whole.
    pub fn weight_after(&self, index: Index) -> u64 {
        let total = self.weight();
        match self.find(index.next()).checked_sub(1).and_then(|before| self.held.get(before)) {
            Some(before) => total - before.weight_upto,
            None => total - self.base_weight,
        }
    }

    fn weight(&self) -> u64 {
        self.held.back().map_or(self.base_weight, |held| held.weight_upto)
    }

    /// The number of the batch that holds `index`, or of the first behind it. Looks at the tail
    /// first: that is where everybody is who keeps up.
    fn find(&self, index: Index) -> usize {
        const TAIL: usize = 4;
        let from_tail =
            self.held.iter().enumerate().rev().take(TAIL).find(|(_, held)| held.batch.first() <= index);
        match from_tail {
            Some((number, held)) if index <= held.batch.last().index => number,
            Some((number, _)) => number + 1,
            None => self.held.partition_point(|held| held.batch.last().index < index),
        }
    }

    fn batch_at(&self, index: Index) -> Option<&Batch> {
        self.held.get(self.find(index)).map(|held| &held.batch).filter(|batch| batch.first() <= index)
    }

    /// The term of the entry at `index`, if it is here or is the last that went.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.batch_at(index).map(Batch::term)
    }

    /// Whether this very entry is here, or is the last that went.
    pub fn has(&self, position: Position) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The last position at or below `index` whose term is at most `term`: where a leader looks next
    /// when a follower's log parts from its own (§5.3). `None`: it is gone from the front.
    pub fn floor(&self, index: Index, term: Term) -> Option<Position> {
        // Terms do not decrease, so the batches of a small enough term are a prefix.
        let upto = self.held.partition_point(|held| held.batch.term() <= term && held.batch.first() <= index);
        match upto.checked_sub(1).and_then(|number| self.held.get(number)) {
            Some(held) => {
                Some(Position { term: held.batch.term(), index: held.batch.last().index.min(index) })
            }
            None => Some(self.base).filter(|base| base.index <= index && base.term <= term),
        }
    }

    /// Appends commands as entries of `term`; `None` if there are none.
    pub fn append(&mut self, term: Term, commands: Vec<Command>) -> Option<Batch> {
        let batch = Batch::new(term, self.last.index.next(), commands)?;
        self.push(batch.clone());
        Some(batch)
    }

    fn push(&mut self, batch: Batch) {
        debug_assert!(batch.first() == self.last.index.next() && batch.term() >= self.last.term);
        self.last = batch.last();
        self.records.push(Record::Entries(batch.clone()));
        let weight_upto = self.weight() + batch.weight() as u64;
        self.leaving.make_room(leaving::cost(&batch), |held| leaving::cost(&held.batch));
        self.held.push_back(Held { batch, weight_upto });
    }

    /// AppendEntries, receiver, step 2: whether the log holds the entry before the new ones. What
    /// a snapshot covers is committed, hence the same everywhere.
    pub fn check(&self, prev: Position) -> Result<(), Conflict> {
        let first = match self.term_at(prev.index) {
            _ if prev.index < self.base.index => return Ok(()),
            Some(term) if term == prev.term => return Ok(()),
            None => return Err(Conflict { prev, term: None, first: self.last.index.next() }),
            Some(term) => self.first_of(term, prev.index),
        };
        Err(Conflict { prev, term: self.term_at(prev.index), first })
    }

    /// The first index of the run of `term` that ends at `index`.
    fn first_of(&self, term: Term, index: Index) -> Index {
        let before = self.held.partition_point(|held| held.batch.term() < term);
        self.held.get(before).map_or(index, |held| held.batch.first()).min(index)
    }

    /// AppendEntries, receiver, step 3: the first index at which `batches` contradict this log, or
    /// the entry that was the last to leave its front.
    pub fn conflict(&self, batches: &[Batch]) -> Option<Index> {
        batches.iter().find_map(|batch| {
            let mut from = batch.first().max(self.base.index);
            let to = batch.last().index.min(self.last.index);
            while from <= to {
                if self.term_at(from) != Some(batch.term()) {
                    return Some(from);
                }
                from = self.batch_at(from).map_or(from, |ours| ours.last().index).next();
            }
            None
        })
    }

    /// AppendEntries, receiver, steps 3 and 4: removes what contradicts `batches` and appends what
    /// is not here yet. Entries that are here already stay: an old, shorter message must not cut
    /// off what came after it (§5.3). Returns what is new.
    pub fn splice(&mut self, batches: &[Batch]) -> SmallVec<[Batch; 2]> {
        let conflict = self.conflict(batches);
        #[cfg(raft_actors_planted)]
        let conflict = conflict.or_else(|| crate::planted::behind(batches, self.base.index, self.last.index));
        if let Some(from) = conflict {
            self.truncate(from);
        }
        let mut new = SmallVec::new();
        for batch in batches {
            if let Some(rest) = batch.within(self.last.index.next(), Index(u64::MAX)) {
                self.push(rest.clone());
                new.push(rest);
            }
        }
        new
    }

    fn truncate(&mut self, from: Index) {
        self.cut_tail(from);
        self.records.push(Record::Truncate { from });
    }

    fn cut_tail(&mut self, from: Index) {
        while let Some(held) = self.held.pop_back() {
            if let Some(batch) = held.batch.within(held.batch.first(), from.prev()) {
                let weight_upto = self.weight() + batch.weight() as u64;
                self.held.push_back(Held { batch, weight_upto });
                break;
            }
        }
        self.last = self.held.back().map_or(self.base, |held| held.batch.last());
    }

    /// The entries `from..=to`, at most `entries_max` of them and `bytes_max` of their weight, but
    /// at least one if there is one.
    pub fn slice(
        &self,
        from: Index,
        to: Index,
        entries_max: usize,
        bytes_max: usize,
    ) -> SmallVec<[Batch; 2]> {
        let mut batches = SmallVec::new();
        let to = to.min(from.prev().plus(entries_max as u64));
        let mut room = bytes_max;
        for held in self.held.range(self.find(from).min(self.held.len())..) {
            let Some(batch) = held.batch.within(from, to) else { break };
            let (weight, end) = fitting(&batch, room, batches.is_empty());
            let Some(cut) = batch.within(batch.first(), end) else { break };
            let whole = cut.last() == batch.last();
            batches.push(cut);
            room = room.saturating_sub(weight);
            if !whole || room == 0 {
                break;
            }
        }
        batches
    }

    /// Everything in `from..=to` that is here.
    pub fn all(&self, from: Index, to: Index) -> SmallVec<[Batch; 2]> {
        let from_batch = self.find(from).min(self.held.len());
        self.held.range(from_batch..).map_while(|held| held.batch.within(from, to)).collect()
    }

    /// Removes the front, now that a snapshot covers everything up to `upto`. A log that does not
    /// hold that very entry is not worth keeping: it goes whole, and begins anew there. Returns
    /// whether anything changed.
    pub fn compact(&mut self, upto: Position) -> bool {
        let changed = self.cut_front(upto);
        if changed {
            self.records.push(Record::Compact { upto });
        }
        changed
    }

    fn cut_front(&mut self, upto: Position) -> bool {
        if upto.index <= self.base.index {
            return false;
        }
        let worth_keeping = self.has(upto);
        let behind = upto.index.next();
        let whole = if worth_keeping { self.find(behind) } else { self.held.len() };
        self.leaving.take_front(&mut self.held, whole);
        if !worth_keeping {
            self.last = upto;
        } else if let Some(cut) = self.held.front_mut()
            && let Some(rest) = cut.batch.within(behind, Index(u64::MAX))
        {
            self.base_weight = cut.weight_upto - rest.weight() as u64;
            cut.batch = rest;
        }
        self.base = upto;
        true
    }

    /// The records of all changes since the last call, for storage.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Whether there are changes that somebody may rely on once they are durable.
    pub fn has_urgent_records(&self) -> bool {
        self.records.iter().any(|record| !record.can_wait())
    }

    /// Adds a record that is not about entries, in order with those that are.
    pub(super) fn record_ballot(&mut self, term: Term, vote: Option<PeerId>) {
        self.records.push(Record::Ballot { term, vote });
    }

    /// Recovery: folds one record into the log.
    ///
    /// # Errors
    /// The record does not fit behind those before it: what storage gave back is damaged.
    pub(crate) fn replay(&mut self, record: Record) -> Result<(), Unfit> {
        match record {
            Record::Ballot { .. } => {}
            Record::Entries(batch) => {
                if batch.first() != self.last.index.next() || batch.term() < self.last.term {
                    return Err(Unfit { last: self.last, batch });
                }
                self.push(batch);
            }
            Record::Truncate { from } => self.cut_tail(from.max(self.base.index.next())),
            Record::Compact { upto } => drop(self.cut_front(upto)),
        }
        self.records.clear();
        Ok(())
    }
}

/// How much of `batch` fits into `room`: its weight and its last index. If `must`, at least the
/// first entry does.
fn fitting(batch: &Batch, room: usize, must: bool) -> (usize, Index) {
    if batch.weight() <= room {
        return (batch.weight(), batch.last().index);
    }
    let mut weight = 0;
    let mut end = batch.first().prev();
    for (position, command) in batch.entries() {
        let next = weight + command.weight();
        if next > room && !(must && weight == 0) {
            break;
        }
        weight = next;
        end = position.index;
    }
    (weight, end)
}

/// Recovered entries that do not follow those before them.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "entries {batch} can't follow {last}: the storage gave back a log with a hole; restore this peer from a backup, or remove it and add it again"
)]
pub struct Unfit {
    last: Position,
    batch: Batch,
}
