//! Writes a log as a peer would: every record follows from those before it.
//!
//! The records come from a real [`Log`], so what storage is checked with is what it will be given:
//! appends, conflicts that truncate, snapshots that compact, in any order in which they can happen.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::raft::{Batch, Command, Data, Index, Log, Membership, PeerId, Position, Record, Term};

/// Something that happens to a peer. Distances are cut to what its log has.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Step {
    /// It votes in the next term.
    Campaign { peer: u64 },
    /// It follows into the next term.
    Follow,
    /// It appends entries in its own term.
    Append { count: u64 },
    /// A new leader replaces the last entries.
    Conflict { back: u64, count: u64 },
    /// It takes a snapshot that covers all but the last entries.
    Compact { trail: u64 },
    /// It installs a snapshot that is ahead of its log.
    Install { ahead: u64 },
    /// It installs a snapshot that contradicts its log.
    Contradict { back: u64 },
}

impl Step {
    pub(in crate::storage) fn draw(rng: &mut ChaCha8Rng) -> Step {
        let number = rng.random_range(0..6);
        match rng.random_range(0..16) {
            0 => Step::Campaign { peer: number },
            1 => Step::Follow,
            2..=4 => Step::Conflict { back: number, count: number / 2 + 1 },
            5 | 6 => Step::Compact { trail: number },
            7 => Step::Install { ahead: number },
            8 => Step::Contradict { back: number },
            _ => Step::Append { count: number + 1 },
        }
    }
}

#[derive(Default)]
pub(in crate::storage) struct Author {
    log: Log,
    term: Term,
    /// Tells every command from all others.
    commands: u64,
}

impl Author {
    /// The records of one step; none if it changes nothing.
    pub(in crate::storage) fn write(&mut self, step: Step) -> Vec<Record> {
        let mut records = Vec::new();
        let last = self.log.last();
        match step {
            Step::Campaign { peer } => records.push(self.next_term(Some(PeerId(peer)))),
            Step::Follow => records.push(self.next_term(None)),
            Step::Append { count } => {
                let commands = self.draw_commands(count);
                self.log.append(self.term, commands);
            }
            Step::Conflict { back, count } => {
                records.push(self.next_term(None));
                let first = self.back(back).next();
                let commands = self.draw_commands(count);
                let batches: Vec<_> = Batch::new(self.term, first, commands).into_iter().collect();
                self.log.splice(&batches);
            }
            Step::Compact { trail } => {
                let index = self.back(trail);
                if let Some(term) = self.log.term_at(index) {
                    self.log.compact(Position { term, index });
                }
            }
            Step::Install { ahead } => {
                self.log.compact(Position { term: last.term, index: last.index.plus(ahead).next() });
            }
            Step::Contradict { back } => {
                records.push(self.next_term(None));
                self.log.compact(Position { term: self.term, index: self.back(back) });
            }
        }
        records.extend(self.log.take_records());
        records
    }

    fn next_term(&mut self, vote: Option<PeerId>) -> Record {
        self.term = self.term.next();
        Record::Ballot { term: self.term, vote }
    }

    /// The index that is `back` entries before the last, but not below the front.
    fn back(&self, back: u64) -> Index {
        Index(self.log.last().index.0.saturating_sub(back)).max(self.log.base().index)
    }

    fn draw_commands(&mut self, count: u64) -> Vec<Command> {
        (0..count)
            .map(|_| {
                self.commands += 1;
                match self.commands % 7 {
                    0 => Command::Noop,
                    1 => Command::Membership(Membership::of([PeerId(self.commands)]).into()),
                    _ => Command::Data(Data::from(format!("command {}", self.commands))),
                }
            })
            .collect()
    }
}
