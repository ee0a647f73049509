//! The log of a peer in memory, as the rules see it.

use divan::{Bencher, counter::ItemsCount};
use raft_actors::raft::{Index, Log, Term};

use crate::commands;

/// How many entries are in a log that is looked at.
const RETAINED: u64 = 20_000;

/// Takes in a batch, and passes its record on.
#[divan::bench(args = [1, 64, 1024])]
fn append(bencher: Bencher, entries: usize) {
    let log = || (Log::default(), commands(entries));
    bencher.counter(ItemsCount::new(entries)).with_inputs(log).bench_values(|(mut log, commands)| {
        let batch = log.append(Term(1), commands);
        (log.take_records(), batch, log)
    });
}

/// A log of so many entries in each batch.
fn filled(batch: usize) -> Log {
    let mut log = Log::default();
    for _ in 0..RETAINED / batch as u64 {
        log.append(Term(1), commands(batch));
    }
    log.take_records();
    log
}

/// Asks for the term of an entry near the end, where those are who keep up.
#[divan::bench(args = [1, 64, 1024])]
fn term_at_the_tail(bencher: Bencher, batch: usize) {
    let log = filled(batch);
    let index = log.last().index.prev();
    bencher.bench(|| divan::black_box(&log).term_at(divan::black_box(index)));
}

/// Asks for the term of any entry.
#[divan::bench(args = [1, 64, 1024])]
fn term_anywhere(bencher: Bencher, batch: usize) {
    let log = filled(batch);
    let mut index = 0;
    bencher.bench_local(|| {
        index = (index + 7_919) % RETAINED;
        log.term_at(Index(index))
    });
}
