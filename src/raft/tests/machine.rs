//! A state machine that remembers what it applied, and the clients that wait for it.

use super::*;

/// What was applied, and who waits.
#[derive(Default, Debug)]
pub struct Machine {
    /// Every entry from the first on: applied means applied once, in order.
    pub applied: Vec<(Position, Command)>,
    waiting: Vec<Waiting>,
    reads: Vec<(Index, Vec<Query>)>,
    /// A machine that does not apply, for tests of the backlog; what it would have applied waits.
    pub stalled: Option<Vec<Work>>,
}

impl Machine {
    /// The last applied entry.
    pub fn index(&self) -> Index {
        Index(self.applied.len() as u64)
    }

    /// Does one piece of work; `restore` finds the content of a snapshot.
    pub fn work(&mut self, work: Work, restore: impl Fn(Position) -> Vec<(Position, Command)>) {
        if let Some(later) = &mut self.stalled {
            return later.push(work);
        }
        match work {
            Work::Apply { batches, waiting } => {
                self.waiting.extend(waiting);
                for (at, command) in batches.iter().flat_map(Batch::entries) {
                    self.apply(at, command);
                }
            }
            Work::Orphans(waiting) => self.waiting.extend(waiting),
            Work::Restore(meta) => self.applied = restore(meta.at),
            Work::Read { index, queries } => self.reads.push((index, queries)),
        }
        self.answer();
    }

    fn apply(&mut self, at: Position, command: &Command) {
        if at.index <= self.index() {
            assert_eq!(self.applied[at.index.0 as usize - 1], (at, command.clone()), "State Machine Safety");
            return;
        }
        assert_eq!(at.index, self.index().next(), "entries are applied in order");
        self.applied.push((at, command.clone()));
    }

    /// Answers a client with the index that was applied for it. Once an entry of a later term is
    /// applied all that still waits is lost: terms in a log do not decrease.
    fn answer(&mut self) {
        let last = self.index();
        let term = self.applied.last().map_or(Term(0), |(at, _)| at.term);
        for group in std::mem::take(&mut self.waiting) {
            let mut later = Waiting { ports: Vec::new(), ..group };
            for (index, port) in (group.first.0..).zip(group.ports) {
                match self.applied.get(index as usize - 1) {
                    Some((at, _)) if at.term == group.term => port.answer(applied(at.index)),
                    Some(_) => port.answer(Outcome::Lost),
                    None if group.term < term => port.answer(Outcome::Lost),
                    None => later.ports.push(port),
                }
            }
            later.first = later.first.max(last.next());
            if !later.ports.is_empty() {
                self.waiting.push(later);
            }
        }
        for (index, queries) in std::mem::take(&mut self.reads) {
            if index > last {
                self.reads.push((index, queries));
                continue;
            }
            queries.into_iter().for_each(|query| query.port.answer(applied(last)));
        }
    }
}

/// The outcome of what was applied at `index`, or of a read that saw everything up to it.
pub fn applied(index: Index) -> Outcome {
    Outcome::Applied(Bytes::from(index.to_string()))
}

/// The other way around.
pub fn applied_at(outcome: &Outcome) -> Option<Index> {
    let Outcome::Applied(bytes) = outcome else { return None };
    std::str::from_utf8(bytes).ok()?.parse().ok().map(Index)
}
