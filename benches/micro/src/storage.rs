//! Writes that have to be durable before anybody hears of them, and their like in memory.

use divan::{Bencher, counter::ItemsCount};
use raft_actors::{
    raft::{Batch, Index, Membership, PeerId, Record, Term},
    storage::{Disk, FolderDisk, FolderOptions, LogStorage, MemoryDisk, Wait},
};
use tokio::runtime::{Builder, Runtime};

use crate::commands;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime of one thread")
}

fn done<T>(runtime: &Runtime, wait: Wait<T>) -> T {
    match wait {
        Wait::Now(value) => value,
        Wait::Later(later) => runtime.block_on(later),
    }
}

/// Writes a batch behind the other, and cuts the front of the log now and then.
fn write(bencher: Bencher, mut log: Box<dyn LogStorage>, entries: usize) {
    let runtime = runtime();
    done(&runtime, log.replay()).expect("a log that can be read");
    let (mut next, mut base) = (Index(1), Index(0));
    bencher.counter(ItemsCount::new(entries)).bench_local(move || {
        let batch = Batch::new(Term(1), next, commands(entries)).expect("it is not empty");
        let last = batch.last();
        next = last.index.next();
        let mut records = vec![Record::Entries(batch)];
        if last.index.since(base) > 50_000 {
            base = last.index;
            records.push(Record::Compact { upto: last });
        }
        done(&runtime, log.write(records)).expect("a disk with room");
    });
}

/// One write and one sync for each batch.
#[divan::bench(args = [1, 64, 1024])]
fn write_ahead_log(bencher: Bencher, entries: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = FolderOptions::new("micro", PeerId(1), Membership::of([PeerId(1)]));
    let mut disk = FolderDisk::open(folder.path(), options).expect("a new disk");
    write(bencher, disk.open().expect("a disk of our own").log, entries);
}

#[divan::bench(args = [1, 64, 1024])]
fn memory(bencher: Bencher, entries: usize) {
    write(bencher, MemoryDisk::new().open().expect("memory").log, entries);
}
