//! What a log looks like from outside: where it begins and ends, in which terms, and the ballot.
//!
//! The writer needs it for the header of the next segment; recovery folds records into it, and finds
//! those that can't follow the ones before.

use std::collections::VecDeque;

use super::frame::Header;
use crate::raft::{Batch, Index, PeerId, Position, Record, Term};

/// Ends, terms and ballot of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub term: Term,
    pub vote: Option<PeerId>,
    /// The last entry that is gone from the front.
    pub base: Position,
    pub last: Index,
    /// Of the entries before this one nothing is known but that they were there: they stood in
    /// segments that are gone. Once all records are folded none of them may be left.
    pub known_from: Index,
    /// Where each term begins, of the known entries.
    runs: VecDeque<(Index, Term)>,
}

impl Shape {
    /// As it was when a segment was begun.
    pub fn of(header: &Header) -> Shape {
        let Header { term, vote, base, last, .. } = *header;
        Shape { term, vote, base, last, known_from: last.next(), runs: VecDeque::new() }
    }

    /// Whether a segment with this header may follow.
    pub fn is_followed_by(&self, header: &Header) -> bool {
        let Header { term, vote, base, last, .. } = *header;
        (self.term, self.vote, self.base, self.last) == (term, vote, base, last)
    }

    /// Whether this very entry is there.
    pub fn holds(&self, at: Position) -> bool {
        let before = self.runs.partition_point(|&(first, _)| first <= at.index);
        let run = before.checked_sub(1).and_then(|number| self.runs.get(number));
        at.index <= self.last && run.is_some_and(|&(_, term)| term == at.term)
    }

    /// Folds a record in. `keeps_rest` is what the disk says of a [`Record::Compact`]; who writes
    /// finds out here.
    pub fn fold(&mut self, record: &Record, keeps_rest: Option<bool>) -> Result<bool, &'static str> {
        match record {
            Record::Ballot { term, .. } if *term < self.term => return Err("a term that is older"),
            Record::Ballot { term, vote } => (self.term, self.vote) = (*term, *vote),
            Record::Entries(batch) => self.append(batch)?,
            Record::Truncate { from } => self.truncate(*from),
            Record::Compact { upto } => {
                let keeps_rest = keeps_rest.unwrap_or_else(|| self.holds(*upto));
                self.compact(*upto, keeps_rest)?;
                return Ok(keeps_rest);
            }
        }
        Ok(true)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), &'static str> {
        if batch.first() != self.last.next() {
            return Err("entries that do not follow those before");
        }
        let before = self.runs.back().map(|&(_, term)| term);
        if before.is_some_and(|before| batch.term() < before) {
            return Err("entries of a term that is older");
        }
        if before != Some(batch.term()) {
            self.runs.push_back((batch.first(), batch.term()));
        }
        self.last = batch.last().index;
        Ok(())
    }

    fn truncate(&mut self, from: Index) {
        let from = from.max(self.base.index.next());
        while self.runs.back().is_some_and(|&(first, _)| first >= from) {
            self.runs.pop_back();
        }
        self.last = self.last.min(from.prev());
        self.known_from = self.known_from.min(from);
    }

    fn compact(&mut self, upto: Position, keeps_rest: bool) -> Result<(), &'static str> {
        if upto.index <= self.base.index {
            return Ok(());
        }
        if keeps_rest && upto.index > self.last {
            return Err("a snapshot of entries that are not there");
        }
        if !keeps_rest {
            self.runs.clear();
            (self.last, self.known_from) = (upto.index, upto.index.next());
        }
        // The run that covers the first entry behind the front stays.
        while self.runs.get(1).is_some_and(|&(first, _)| first <= upto.index.next()) {
            self.runs.pop_front();
        }
        self.base = upto;
        Ok(())
    }

    /// The entries behind the front that should be there and are not.
    pub fn missing(&self) -> Option<(Index, Index)> {
        let from = self.base.index.next();
        (self.known_from > from && self.last >= from).then(|| (from, self.known_from.prev().min(self.last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Command;

    fn entries(term: u64, first: u64, count: usize) -> Record {
        Record::Entries(Batch::new(Term(term), Index(first), vec![Command::Noop; count]).unwrap())
    }

    fn compact(term: u64, index: u64) -> Record {
        Record::Compact { upto: Position::new(term, index) }
    }

    fn folded(records: &[Record]) -> Shape {
        let mut shape = Shape::default();
        for record in records {
            shape.fold(record, None).unwrap();
        }
        shape
    }

    #[test]
    fn a_log_knows_what_it_holds() {
        let mut shape = folded(&[entries(1, 1, 3), entries(2, 4, 2)]);
        for (term, index, holds) in [(1, 3, true), (2, 3, false), (2, 5, true), (2, 6, false), (1, 0, false)]
        {
            assert_eq!(shape.holds(Position::new(term, index)), holds, "{index}@{term}");
        }
        assert_eq!(shape.fold(&compact(1, 3), None), Ok(true));
        assert!(shape.holds(Position::new(2, 4)));
        assert_eq!(shape.fold(&compact(3, 4), None), Ok(false));
        assert_eq!((shape.base, shape.last), (Position::new(3, 4), Index(4)));
        assert_eq!(shape.fold(&compact(1, 2), None), Ok(false), "what is older changes nothing");
        assert_eq!(shape.base, Position::new(3, 4));
    }

    #[test]
    fn what_cannot_follow_is_refused() {
        let shape = folded(&[Record::Ballot { term: Term(2), vote: None }, entries(2, 1, 3)]);
        for record in [entries(2, 5, 1), entries(1, 4, 1), Record::Ballot { term: Term(1), vote: None }] {
            assert!(shape.clone().fold(&record, None).is_err(), "{record:?}");
        }
        assert!(shape.clone().fold(&compact(2, 4), Some(true)).is_err());
    }

    #[test]
    fn entries_of_lost_segments_are_missed_unless_a_snapshot_covers_them() {
        let header = Header {
            number: 2,
            incarnation: 0,
            key: 0,
            before_bytes: 0,
            term: Term(1),
            vote: None,
            base: Position::new(1, 3),
            last: Index(9),
        };
        let mut shape = Shape::of(&header);
        assert_eq!(shape.missing(), Some((Index(4), Index(9))));
        shape.fold(&entries(1, 10, 1), None).unwrap();
        assert_eq!(shape.missing(), Some((Index(4), Index(9))));
        let mut cut = shape.clone();
        cut.fold(&Record::Truncate { from: Index(6) }, None).unwrap();
        assert_eq!(cut.missing(), Some((Index(4), Index(5))));
        shape.fold(&compact(1, 9), Some(true)).unwrap();
        assert_eq!((shape.missing(), shape.last), (None, Index(10)));
    }
}
