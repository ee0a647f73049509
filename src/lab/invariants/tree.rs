//! All logs of a cluster as one tree, in which a log is known by its end.
//!
//! Only the leader of a term creates its entries, one behind the other. So in every log the entries of
//! a term begin at the same index, behind the same entry: that is Log Matching (§5.3), said of runs and
//! not of entries. As long as it holds, the last position of a log tells everything in it: what is
//! before a run is the same wherever the run is. No log has to be kept, or compared entry by entry.

use crate::raft::{Index, Position, Term};

/// The entries of one term, as far as any log has shown them.
#[derive(Clone, Copy, Debug)]
struct Run {
    term: Term,
    /// Where it begins, and behind what. The entry before is of an earlier term.
    first: Index,
    before: Position,
    /// The last entry that is known to exist.
    end: Index,
    /// Whether the leader itself was seen to create it: then nobody has more of it.
    authored: bool,
}

/// What a log with new entries has shown to be wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The run begins elsewhere than in other logs: where there, and behind what.
    Elsewhere(Index, Position),
    /// The leader of that term has not created so many: the last it did create.
    Uncreated(Index),
}

/// Every run that was ever seen, in the order of terms. It only grows, by one for each term.
#[derive(Debug)]
pub(super) struct Tree {
    runs: Vec<Run>,
}

impl Tree {
    /// Knows the first membership only: entry 1, of term 0.
    pub(super) fn new() -> Tree {
        let (term, first) = (Term(0), Index(1));
        Tree { runs: vec![Run { term, first, before: Position::ZERO, end: first, authored: false }] }
    }

    /// Where the run of a term is, or belongs. The newest is asked for most.
    fn place(&self, term: Term) -> Result<usize, usize> {
        match self.runs.last() {
            Some(run) if run.term == term => Ok(self.runs.len() - 1),
            Some(run) if run.term < term => Err(self.runs.len()),
            _ => self.runs.binary_search_by_key(&term, |run| run.term),
        }
    }

    fn run(&self, term: Term) -> Option<&Run> {
        self.runs.get(self.place(term).ok()?)
    }

    /// The entry at `index` in the log that ends at `last`; `None` if nothing tells.
    pub(super) fn at(&self, last: Position, index: Index) -> Option<Position> {
        let mut end = last;
        loop {
            if index >= end.index || index == Index(0) {
                let position = if index == Index(0) { Position::ZERO } else { end };
                return (index <= end.index).then_some(position);
            }
            let run = self.run(end.term)?;
            if index >= run.first {
                return Some(Position { term: end.term, index });
            }
            end = run.before;
        }
    }

    /// Whether the log that ends at `last` holds this very entry; `None` if nothing tells.
    pub(super) fn holds(&self, last: Position, entry: Position) -> Option<bool> {
        if entry.index > last.index {
            return Some(false);
        }
        self.at(last, entry.index).map(|position| position == entry)
    }

    /// Whether anybody can have this entry.
    pub(super) fn exists(&self, entry: Position) -> bool {
        entry == Position::ZERO
            || self.run(entry.term).is_none_or(|run| run.first <= entry.index && entry.index <= run.end)
    }

    /// Entries of one term follow `before` in some log. `author`: it is the log of that term's leader.
    pub(super) fn grow(
        &mut self,
        before: Position,
        first: Index,
        last: Position,
        author: bool,
    ) -> Result<(), Fault> {
        let term = last.term;
        let run = match self.place(term) {
            Ok(place) => self.runs.get_mut(place),
            Err(place) if before.term < term => {
                self.runs.insert(place, Run { term, first, before, end: last.index, authored: author });
                None
            }
            Err(_) => None,
        };
        let Some(run) = run else { return Ok(()) };
        if before.term != term && (run.first, run.before) != (first, before) {
            return Err(Fault::Elsewhere(run.first, run.before));
        }
        if run.authored && !author && last.index > run.end {
            return Err(Fault::Uncreated(run.end));
        }
        run.authored |= author;
        run.end = run.end.max(last.index);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> Position {
        Position::new(term, index)
    }

    /// Term 1 holds 2 to 5, term 2 forks off behind 3, term 4 follows 5@1.
    fn tree() -> Tree {
        let mut tree = Tree::new();
        assert_eq!(tree.grow(at(0, 1), Index(2), at(1, 5), true), Ok(()));
        assert_eq!(tree.grow(at(1, 5), Index(6), at(4, 8), true), Ok(()));
        assert_eq!(tree.grow(at(1, 3), Index(4), at(2, 9), true), Ok(()));
        tree
    }

    #[test]
    fn the_end_of_a_log_tells_everything_in_it() {
        let tree = tree();
        assert_eq!(tree.at(at(4, 8), Index(7)), Some(at(4, 7)));
        assert_eq!(tree.at(at(4, 8), Index(5)), Some(at(1, 5)));
        assert_eq!(tree.at(at(4, 8), Index(1)), Some(at(0, 1)));
        assert_eq!(tree.at(at(4, 8), Index(0)), Some(Position::ZERO));
        assert_eq!(tree.at(at(4, 8), Index(9)), None);
        assert_eq!(tree.at(at(2, 9), Index(4)), Some(at(2, 4)));
        assert_eq!(tree.at(at(2, 9), Index(3)), Some(at(1, 3)));
        assert_eq!(tree.at(at(3, 9), Index(9)), Some(at(3, 9)), "the end itself needs no run");
        assert_eq!(tree.at(at(3, 9), Index(8)), None, "nobody has seen term 3");
    }

    #[test]
    fn a_log_holds_what_is_on_its_way_to_the_root() {
        let tree = tree();
        assert_eq!(tree.holds(at(4, 8), at(1, 5)), Some(true));
        assert_eq!(tree.holds(at(2, 9), at(1, 5)), Some(false));
        assert_eq!(tree.holds(at(2, 9), at(1, 3)), Some(true));
        assert_eq!(tree.holds(at(2, 9), at(2, 10)), Some(false));
        assert_eq!(tree.holds(at(2, 9), Position::ZERO), Some(true));
        assert_eq!(tree.holds(at(3, 9), at(1, 3)), None);
        assert!(tree.exists(at(2, 9)) && !tree.exists(at(2, 10)) && !tree.exists(at(4, 5)));
    }

    #[test]
    fn a_run_begins_at_one_place_and_has_one_author() {
        let mut tree = tree();
        assert_eq!(tree.grow(at(1, 4), Index(5), at(2, 5), false), Err(Fault::Elsewhere(Index(4), at(1, 3))));
        assert_eq!(tree.grow(at(1, 3), Index(4), at(2, 9), false), Ok(()));
        assert_eq!(tree.grow(at(2, 9), Index(10), at(2, 10), false), Err(Fault::Uncreated(Index(9))));
        assert_eq!(tree.grow(at(2, 9), Index(10), at(2, 10), true), Ok(()));
        assert_eq!(tree.grow(at(2, 9), Index(10), at(2, 10), false), Ok(()));
    }
}
