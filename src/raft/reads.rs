//! Read rounds: linearizable reads without a log entry (§8, thesis §6.4).
//!
//! A leader may have been deposed without knowing. So all reads of a turn are stamped with a new
//! *round*, which travels on heartbeats and is echoed by every answer: once a quorum has echoed it,
//! no other leader can have committed anything before the reads came in.

use std::collections::VecDeque;

use super::message::Query;

/// The reads that wait for their round.
#[derive(Debug, Default)]
pub struct Reads {
    /// The last round that was begun. Only ever rises.
    round: u64,
    /// Came in during this turn.
    asked: Vec<Query>,
    /// By round, in order.
    waiting: VecDeque<(u64, Vec<Query>)>,
    /// How many queries wait in all.
    count: usize,
}

impl Reads {
    /// The last round that was begun.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// How many queries wait.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes in the queries of a turn.
    pub fn ask(&mut self, queries: Vec<Query>) {
        self.count += queries.len();
        self.asked.extend(queries);
    }

    /// Begins one round for all queries of the turn. `false`: there are none.
    pub fn begin_round(&mut self) -> bool {
        if self.asked.is_empty() {
            return false;
        }
        self.round += 1;
        self.waiting.push_back((self.round, std::mem::take(&mut self.asked)));
        true
    }

    /// A quorum echoed `round`: what waited for it or an earlier one is confirmed.
    pub fn confirm(&mut self, round: u64) -> Vec<Query> {
        let confirmed = self.waiting.partition_point(|&(begun, _)| begun <= round);
        let queries: Vec<Query> = self.waiting.drain(..confirmed).flat_map(|(_, queries)| queries).collect();
        self.count -= queries.len();
        queries
    }

    /// Everything that waits, unconfirmed: this leader can't answer it any more.
    pub fn give_up(&mut self) -> Vec<Query> {
        self.count = 0;
        let waiting = self.waiting.drain(..).flat_map(|(_, queries)| queries);
        waiting.chain(self.asked.drain(..)).collect()
    }
}
