//! The conformance suite, and what a memory disk promises beyond it: times, cuts, faults.

use std::{io::Read, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{MemoryDisk, SimulatedDisk, Tail, platter::Folded};
use crate::{
    raft::{Command, Index, Log, Membership, Position, Record, SnapshotMeta, Term},
    storage::{
        Disk, Opened, Replay, StorageError, TailLost, Wait,
        conformance::{
            self, arrived,
            author::{Author, Step},
            cut_short, recovered, worked,
        },
    },
};

mod faults;
mod leaving;

fn simulated(seed: u8) -> MemoryDisk {
    MemoryDisk::simulated([seed; 32], SimulatedDisk::default())
}

fn open(disk: &MemoryDisk) -> Opened {
    worked(disk.clone().open())
}

/// One record for each entry, so that a cut can fall between any two.
fn entries(first: u64, count: u64) -> Vec<Record> {
    let mut log = Log::default();
    if first > 1 {
        log.compact(Position::new(1, first - 1));
        log.take_records();
    }
    for _ in 0..count {
        log.append(Term(1), vec![Command::Noop]);
    }
    log.take_records()
}

async fn write(opened: &mut Opened, records: &[Record]) -> Result<(), StorageError> {
    arrived(opened.log.write(records.to_vec())).await
}

async fn replay(disk: &MemoryDisk) -> Replay {
    worked(arrived(open(disk).log.replay()).await)
}

fn last(replay: &Replay) -> u64 {
    match replay.records.last() {
        Some(Record::Entries(batch)) => batch.last().index.0,
        _ => 0,
    }
}

async fn ms_of<T>(wait: Wait<T>) -> u64 {
    let start = Instant::now();
    arrived(wait).await;
    start.elapsed().as_millis() as u64
}

#[tokio::test]
async fn an_instant_disk_conforms() {
    conformance::check(|| Box::new(MemoryDisk::new())).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_disk_conforms() {
    let mut seed = 0;
    conformance::check(|| {
        seed += 1;
        Box::new(simulated(seed))
    })
    .await;
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0..6_u64;
    let step = prop_oneof![
        1 => number().prop_map(|peer| Step::Campaign { peer }),
        1 => Just(Step::Follow),
        4 => number().prop_map(|count| Step::Append { count }),
        3 => (number(), number()).prop_map(|(back, count)| Step::Conflict { back, count }),
        2 => number().prop_map(|trail| Step::Compact { trail }),
        1 => number().prop_map(|ahead| Step::Install { ahead }),
        1 => number().prop_map(|back| Step::Contradict { back }),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn the_fold_recovers_what_the_records_would(steps in steps()) {
        let mut author = Author::default();
        let (mut raw, mut folded) = (Vec::new(), Folded::default());
        for record in steps.into_iter().flat_map(|step| author.write(step)) {
            raw.push(record.clone());
            folded.fold(record);
            // Every prefix, as a power cut may leave any.
            prop_assert_eq!(recovered(folded.records()), recovered(raw.clone()));
        }
    }
}

#[tokio::test]
async fn a_replay_costs_what_the_log_holds_and_not_what_was_written() {
    let disk = MemoryDisk::new();
    let mut opened = open(&disk);
    for index in 1..=1_000 {
        let ballot = Record::Ballot { term: Term(1), vote: None };
        let compact = Record::Compact { upto: Position::new(1, index) };
        let records =
            [&entries(index, 2)[..], &[Record::Truncate { from: Index(index + 1) }, ballot, compact]];
        worked(write(&mut opened, &records.concat()).await);
    }
    let replay = replay(&disk).await;
    let ballot = Record::Ballot { term: Term(1), vote: None };
    assert_eq!(replay.records, [ballot, Record::Compact { upto: Position::new(1, 1_000) }]);
    assert_eq!((disk.writes(), disk.records()), (1_000, 5_000));
}

#[tokio::test(start_paused = true)]
async fn a_sync_takes_a_seeded_time() {
    async fn times(disk: &MemoryDisk) -> Vec<u64> {
        let mut opened = open(disk);
        let mut times = Vec::new();
        for index in 1..=50 {
            times.push(ms_of(opened.log.write(entries(index, 1))).await);
        }
        times
    }
    let first = times(&simulated(1)).await;
    assert!((1..=5).all(|ms| first.contains(&ms)) && first.iter().all(|ms| (1..=5).contains(ms)));
    assert_eq!(first, times(&simulated(1)).await);
    assert_ne!(first, times(&simulated(2)).await);
}

#[tokio::test(start_paused = true)]
async fn a_disk_can_become_slow_and_fast_again() {
    let disk = simulated(1);
    let mut opened = open(&disk);
    disk.set_sync_ms(200..=200);
    assert_eq!(ms_of(opened.log.write(entries(1, 1))).await, 200);
    assert_eq!(ms_of(opened.log.replay()).await, 200);
    #[allow(clippy::reversed_empty_ranges)]
    disk.set_sync_ms(7..=3);
    assert_eq!(ms_of(opened.log.write(entries(2, 1))).await, 7);
    disk.set_sync_ms(0..=0);
    assert!(matches!(opened.log.write(entries(3, 1)), Wait::Now(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_goes_on_where_it_was() {
    for disk in [simulated(1), MemoryDisk::new()] {
        let mut opened = open(&disk);
        disk.hang();
        let write = tokio::spawn(arrived(opened.log.write(entries(1, 1))));
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert!(!write.is_finished() && disk.is_syncing() && disk.writes() == 0);
        disk.resume();
        worked(write.await.unwrap());
        assert!(!disk.is_syncing());
        assert_eq!((disk.writes(), last(&replay(&disk).await)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_can_begin_to_hang_during_a_sync() {
    let disk = simulated(1);
    let mut opened = open(&disk);
    let write = tokio::spawn(arrived(opened.log.write(entries(1, 1))));
    tokio::task::yield_now().await;
    disk.hang();
    tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
    assert!(!write.is_finished());
    disk.resume();
    worked(write.await.unwrap());
}

/// What a cut of 4 records behind 10 durable ones leaves, by seed.
async fn cut(seed: u8) -> TailLost {
    let disk = simulated(seed);
    let mut opened = open(&disk);
    worked(write(&mut opened, &entries(1, 10)).await);
    let under_way = cut_short(opened.log.write(entries(11, 4)));
    assert!(under_way.is_none() && !disk.is_syncing());
    let before = replay(&disk).await;
    let tail = before.tail.unwrap();
    assert_eq!((tail.records, last(&before)), (4, 10 + tail.kept as u64));
    let again = replay(&disk).await;
    assert_eq!((again.records, again.tail), (before.records, None), "told once, and kept");
    assert_eq!((disk.writes(), disk.records()), (1, 10));
    tail
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_leaves_every_prefix_torn_or_not() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let tail = cut(seed).await;
        assert_eq!(tail, cut(seed).await, "the same seed, the same cut");
        seen.insert((tail.kept, tail.torn));
    }
    let all = (0..4).flat_map(|kept| [(kept, false), (kept, true)]).chain([(4, false)]);
    assert_eq!(seen, all.collect(), "nothing of a whole write can be torn");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_never_waited_for_is_cut_too() {
    let disk = simulated(3);
    drop(open(&disk).log.write(entries(1, 5)));
    let replay = replay(&disk).await;
    assert_eq!(replay.tail.unwrap().kept as u64, last(&replay));
    assert_eq!(disk.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cut_write_of_nothing_loses_nothing() {
    let disk = simulated(3);
    assert!(cut_short(open(&disk).log.write(Vec::new())).is_none());
    assert_eq!(replay(&disk).await, Replay::default());
}

#[tokio::test(start_paused = true)]
async fn a_replay_cut_short_has_not_told_of_the_tail() {
    let disk = simulated(3);
    drop(open(&disk).log.write(entries(1, 5)));
    assert!(cut_short(open(&disk).log.replay()).is_none());
    assert!(replay(&disk).await.tail.is_some());
}

#[tokio::test(start_paused = true)]
async fn opening_cuts_off_the_former_owner() {
    for seed in 0..20 {
        let disk = simulated(seed);
        let mut former = open(&disk);
        let under_way = former.log.write(entries(1, 5));
        let mut owner = open(&disk);
        let found = worked(arrived(owner.log.replay()).await);
        assert_eq!(found.tail.unwrap().kept as u64, last(&found), "settled before the replay");

        assert!(arrived(under_way).await.is_err(), "it was not acknowledged, and can't be any more");
        assert!(former.log.write(entries(1, 1)).is_refused());
        assert!(arrived(former.log.replay()).await.is_err());
        let again = worked(arrived(owner.log.replay()).await);
        assert_eq!((again.records, again.tail), (found.records, None), "nothing landed since");
    }
}

#[tokio::test(start_paused = true)]
async fn a_former_owner_can_not_end_the_write_of_the_next() {
    let disk = simulated(1);
    let mut former = open(&disk);
    let waited_for = former.log.write(entries(1, 5));
    let mut next = open(&disk);
    let dropped = next.log.write(entries(1, 5));
    let mut owner = open(&disk);
    let first = last(&worked(arrived(owner.log.replay()).await)) + 1;
    disk.set_sync_ms(100..=100);
    let write = owner.log.write(entries(first, 5));
    assert!(arrived(waited_for).await.is_err());
    drop(dropped);
    assert!(disk.is_syncing());
    worked(arrived(write).await);
    assert_eq!((disk.writes(), disk.records()), (1, 5));
}

trait Refused {
    fn is_refused(&self) -> bool;
}

impl<T> Refused for Wait<Result<T, StorageError>> {
    fn is_refused(&self) -> bool {
        matches!(self, Wait::Now(Err(StorageError::Io { .. })))
    }
}

#[tokio::test(start_paused = true)]
async fn one_write_at_a_time() {
    let disk = simulated(1);
    let mut opened = open(&disk);
    let under_way = opened.log.write(entries(1, 1));
    assert!(opened.log.write(entries(2, 1)).is_refused());
    worked(arrived(under_way).await);
    worked(write(&mut opened, &entries(2, 1)).await);
    assert_eq!(last(&replay(&disk).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_ends_the_disk_until_it_is_repaired() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let disk = simulated(seed);
        let mut opened = open(&disk);
        worked(write(&mut opened, &entries(1, 3)).await);
        disk.fail_next_write();
        assert!(ms_of(opened.log.write(entries(4, 2))).await > 0, "a fault takes its time, too");
        assert!(opened.log.write(entries(4, 1)).is_refused());
        assert!(arrived(opened.log.replay()).await.is_err());
        assert!(disk.clone().open().is_err());
        disk.fail_next_write();
        assert!(disk.clone().open().is_err(), "a second fault does not heal the first");
        let save = opened.snapshots.save(Position::new(1, 3), Arc::default(), Box::new(|_| Ok(())));
        assert!(save.is_refused());
        assert!(opened.snapshots.receive(meta(3, 0), 0, Bytes::new()).is_refused());

        disk.repair();
        let found = replay(&disk).await;
        let tail = found.tail.unwrap();
        assert_eq!((tail.records, last(&found)), (2, 3 + tail.kept as u64));
        assert_eq!((disk.writes(), disk.records()), (1, 3));
        kept.insert(tail.kept);
    }
    assert_eq!(kept, [0, 1, 2].into());
}

#[test]
fn a_fault_waits_for_the_next_write() {
    let disk = MemoryDisk::new();
    disk.fail_next_write();
    let mut opened = open(&disk);
    assert!(matches!(opened.log.replay(), Wait::Now(Ok(_))));
    assert!(opened.log.write(entries(1, 1)).is_refused());
}

fn meta(index: u64, bytes: u64) -> Arc<SnapshotMeta> {
    let checksum = crc32c::crc32c(&vec![index as u8; bytes as usize]);
    SnapshotMeta { at: Position::new(1, index), membership: Arc::default(), bytes, checksum }.into()
}

fn save(opened: &Opened, index: u64, bytes: usize) -> Wait<Result<Arc<SnapshotMeta>, StorageError>> {
    let content = vec![index as u8; bytes];
    let membership: Arc<Membership> = Arc::default();
    opened.snapshots.save(Position::new(1, index), membership, Box::new(move |out| out.write_all(&content)))
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_takes_longer_the_larger_it_is() {
    let disk = simulated(1);
    let opened = open(&disk);
    assert!((1..=5).contains(&ms_of(save(&opened, 1, 100)).await));
    assert!((51..=55).contains(&ms_of(save(&opened, 2, 5 << 20)).await));
    let received = opened.snapshots.receive(meta(3, 2 << 20), 0, vec![3; 2 << 20].into());
    assert!((21..=25).contains(&ms_of(received).await));
}

#[tokio::test(start_paused = true)]
async fn a_save_cut_short_leaves_the_former_snapshot() {
    let disk = simulated(1);
    let opened = open(&disk);
    worked(arrived(save(&opened, 1, 10)).await);
    assert!(cut_short(save(&opened, 2, 20)).is_none());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(opened.snapshots.latest(), Some(meta(1, 10)));
}

#[tokio::test(start_paused = true)]
async fn of_two_saves_that_overlap_the_later_stays() {
    let disk = simulated(1);
    let opened = open(&disk);
    disk.set_sync_ms(50..=50);
    let older = save(&opened, 1, 10);
    disk.set_sync_ms(1..=1);
    worked(arrived(save(&opened, 2, 20)).await);
    assert_eq!(worked(arrived(older).await), meta(2, 20));
    assert_eq!(opened.snapshots.latest(), Some(meta(2, 20)));
}

#[test]
fn a_save_of_what_is_covered_does_not_even_ask_the_machine() {
    let opened = open(&MemoryDisk::new());
    assert!(matches!(save(&opened, 3, 1), Wait::Now(Ok(_))));
    let writer = Box::new(|_: &mut dyn std::io::Write| panic!("nobody needs this snapshot"));
    let saved = opened.snapshots.save(Position::new(1, 2), Arc::default(), writer);
    assert!(matches!(saved, Wait::Now(Ok(latest)) if latest == meta(3, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_takes_no_snapshot_that_was_under_way() {
    let disk = simulated(1);
    let mut opened = open(&disk);
    disk.set_sync_ms(50..=50);
    let saved = save(&opened, 1, 10);
    let received = opened.snapshots.receive(meta(2, 3), 0, vec![2; 3].into());
    disk.set_sync_ms(1..=1);
    disk.fail_next_write();
    assert!(write(&mut opened, &entries(1, 1)).await.is_err());
    assert!(arrived(saved).await.is_err() && arrived(received).await.is_err());
    assert_eq!(opened.snapshots.latest(), None);
}

#[tokio::test(start_paused = true)]
async fn the_last_piece_counts_once_it_is_durable() {
    let disk = simulated(1);
    let opened = open(&disk);
    let receive = |offset, bytes| opened.snapshots.receive(meta(7, 10), offset, vec![7; bytes].into());
    assert!(matches!(receive(0, 6), Wait::Now(Ok(6))));
    assert!(cut_short(receive(6, 4)).is_none(), "not before its sync");
    assert_eq!(opened.snapshots.latest(), None, "a cut leaves what was in force");
    for (offset, bytes) in [(6, 4), (0, 6), (3, 1)] {
        assert!(cut_short(receive(offset, bytes)).is_none(), "all is said to be there only when it is");
    }
    assert_eq!(worked(arrived(receive(6, 4)).await), 10);
    assert_eq!(opened.snapshots.latest(), Some(meta(7, 10)));
    assert!(matches!(receive(6, 4), Wait::Now(Ok(10))));
}

#[tokio::test(start_paused = true)]
async fn opening_forgets_what_came_in() {
    let disk = simulated(1);
    let opened = open(&disk);
    let store = &opened.snapshots;
    assert!(matches!(store.receive(meta(7, 10), 0, vec![7; 6].into()), Wait::Now(Ok(6))));
    let last = store.receive(meta(7, 10), 6, vec![7; 4].into());
    drop(open(&disk));
    assert_eq!(worked(arrived(last).await), 0, "its sender has to begin anew");
    assert_eq!(store.latest(), None);
}

#[test]
fn a_save_ends_what_came_in_for_less() {
    let disk = MemoryDisk::new();
    let opened = open(&disk);
    let piece = |index| opened.snapshots.receive(meta(index, 10), 0, vec![index as u8; 6].into());
    assert!(matches!(piece(7), Wait::Now(Ok(6))));
    assert!(matches!(save(&opened, 5, 1), Wait::Now(Ok(_))));
    let more = opened.snapshots.receive(meta(7, 10), 6, vec![7; 1].into());
    assert!(matches!(more, Wait::Now(Ok(7))), "what covers more still comes in");
    assert!(matches!(save(&opened, 8, 1), Wait::Now(Ok(_))));
    assert!(disk.shared.lock().shelf.is_expecting_nothing());
}

#[test]
fn only_one_snapshot_comes_in_at_a_time() {
    let opened = open(&MemoryDisk::new());
    let piece =
        |index, offset| opened.snapshots.receive(meta(index, 10), offset, vec![index as u8; 6].into());
    assert!(matches!(piece(9, 0), Wait::Now(Ok(6))));
    assert!(matches!(piece(8, 6), Wait::Now(Ok(0))));
    assert!(matches!(piece(9, 0), Wait::Now(Ok(6))), "what is no first piece takes no place");
    assert!(matches!(piece(8, 0), Wait::Now(Ok(6))));
    assert!(matches!(piece(9, 6), Wait::Now(Ok(0))));
}

#[test]
fn a_reader_that_is_open_goes_on() {
    let opened = open(&MemoryDisk::new());
    let at = |index| Position::new(1, index);
    assert!(matches!(save(&opened, 1, 3), Wait::Now(Ok(_))));
    let mut reader = worked(opened.snapshots.open(at(1)));
    assert!(matches!(save(&opened, 2, 3), Wait::Now(Ok(_))));
    assert!(matches!(opened.snapshots.open(at(1)), Err(StorageError::Gone { at: which }) if which == at(1)));
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!(content, [1; 3]);
}

#[test]
fn reading_copies_nothing() {
    let opened = open(&MemoryDisk::new());
    assert!(matches!(save(&opened, 1, 100), Wait::Now(Ok(_))));
    let read = |offset| match opened.snapshots.read(Position::new(1, 1), offset, 10) {
        Wait::Now(Ok(piece)) => piece,
        _ => panic!("memory is read at once"),
    };
    assert_eq!(read(0).as_ptr().wrapping_add(50), read(50).as_ptr());
}

#[test]
fn a_machine_writes_its_snapshot_outside_the_lock() {
    let disk = MemoryDisk::new();
    let opened = open(&disk);
    let clone = disk.clone();
    let writer = Box::new(move |_: &mut dyn std::io::Write| {
        assert!(clone.shared.platter.try_lock().is_ok());
        Ok(())
    });
    assert!(matches!(opened.snapshots.save(Position::new(1, 1), Arc::default(), writer), Wait::Now(Ok(_))));
}
