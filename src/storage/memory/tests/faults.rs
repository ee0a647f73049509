//! Faults that are asked for by name: what a cut leaves, snapshots that fail.

use super::*;

/// What a cut of 4 records leaves.
fn tail_of(disk: &MemoryDisk, opened: &mut Opened, first: u64) {
    assert!(cut_short(opened.log.write(entries(first, 4))).is_none());
    assert!(!disk.is_syncing());
}

#[tokio::test(start_paused = true)]
async fn the_next_cut_leaves_what_was_asked_for() {
    let mut torn = std::collections::BTreeSet::new();
    for seed in 0..50 {
        for (tail, kept) in [(Tail::Kept, 4), (Tail::Lost, 0)] {
            let disk = simulated(seed);
            let mut opened = open(&disk);
            disk.set_tail(tail);
            tail_of(&disk, &mut opened, 1);
            let found = replay(&disk).await;
            assert_eq!(found.tail, Some(TailLost { records: 4, kept, torn: false }), "{tail:?}");
            assert_eq!(last(&found), kept as u64);
        }
        let disk = simulated(seed);
        let mut opened = open(&disk);
        disk.set_tail(Tail::Torn);
        // One that completes, one that is refused and one without records are no cuts of anything.
        worked(write(&mut opened, &entries(1, 2)).await);
        assert!(cut_short(opened.log.write(Vec::new())).is_none());
        tail_of(&disk, &mut opened, 3);
        let found = replay(&disk).await;
        let tail = found.tail.unwrap();
        assert!(tail.torn && tail.kept < 4, "{tail:?}");
        torn.insert(tail.kept);
    }
    assert_eq!(torn, [0, 1, 2, 3].into());
}

#[tokio::test(start_paused = true)]
async fn the_cut_after_that_is_left_to_the_seed_again() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = simulated(seed);
        disk.set_tail(Tail::Lost);
        tail_of(&disk, &mut open(&disk), 1);
        replay(&disk).await;
        tail_of(&disk, &mut open(&disk), 1);
        seen.insert(replay(&disk).await.tail.unwrap().kept);
        let disk = simulated(seed);
        disk.set_tail(Tail::Lost);
        disk.set_tail(Tail::Seeded);
        tail_of(&disk, &mut open(&disk), 1);
        assert_eq!(replay(&disk).await.tail.unwrap(), of_seed(seed).await, "taken back");
    }
    assert_eq!(seen, [0, 1, 2, 3, 4].into());
}

async fn of_seed(seed: u8) -> TailLost {
    let disk = simulated(seed);
    tail_of(&disk, &mut open(&disk), 1);
    replay(&disk).await.tail.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cut_by_the_next_owner_leaves_what_was_asked_for_and_a_failed_write_does_not() {
    let disk = simulated(1);
    let mut former = open(&disk);
    let under_way = former.log.write(entries(1, 4));
    disk.set_tail(Tail::Kept);
    assert_eq!(replay(&disk).await.tail.unwrap().kept, 4);
    drop(under_way);

    let kept: std::collections::BTreeSet<_> = (0..30).map(|seed| failed(simulated(seed))).collect();
    assert!(kept.len() > 1, "{kept:?}");
}

fn failed(disk: MemoryDisk) -> usize {
    disk.set_sync_ms(0..=0);
    let mut opened = open(&disk);
    disk.set_tail(Tail::Kept);
    disk.fail_next_write();
    assert!(opened.log.write(entries(1, 4)).is_refused());
    disk.repair();
    match open(&disk).log.replay() {
        Wait::Now(replay) => worked(replay).tail.unwrap().kept,
        Wait::Later(_) => panic!("this disk takes no time"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_fails_leaves_the_former_one() {
    let disk = simulated(1);
    let mut opened = open(&disk);
    worked(arrived(save(&opened, 1, 10)).await);
    disk.fail_next_snapshot();
    assert!(ms_of(save(&opened, 2, 20)).await > 0, "a fault takes its time, too");
    assert_eq!(opened.snapshots.latest(), Some(meta(1, 10)));
    worked(write(&mut opened, &entries(1, 1)).await);
    worked(arrived(save(&opened, 2, 20)).await);
    assert_eq!(opened.snapshots.latest(), Some(meta(2, 20)), "once only");

    disk.fail_next_snapshot();
    disk.repair();
    worked(arrived(save(&opened, 3, 20)).await);
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_fails_begins_anew() {
    let disk = simulated(1);
    let opened = open(&disk);
    let receive = |offset, bytes| opened.snapshots.receive(meta(7, 10), offset, vec![7; bytes].into());
    disk.fail_next_snapshot();
    assert!(matches!(receive(0, 6), Wait::Now(Ok(6))));
    assert!(!disk.is_installing());
    let last = receive(6, 4);
    assert!(disk.is_installing());
    assert!(arrived(last).await.is_err() && !disk.is_installing());
    assert_eq!(opened.snapshots.latest(), None);
    assert!(matches!(receive(6, 4), Wait::Now(Ok(0))), "from the start");
    assert!(matches!(receive(0, 6), Wait::Now(Ok(6))));
    assert_eq!(worked(arrived(receive(6, 4)).await), 10);
    assert_eq!(opened.snapshots.latest(), Some(meta(7, 10)));
}

#[tokio::test(start_paused = true)]
async fn an_installation_hangs_with_its_disk_and_is_cut_with_it() {
    let disk = simulated(1);
    let opened = open(&disk);
    disk.hang();
    let last = tokio::spawn(arrived(opened.snapshots.receive(meta(7, 4), 0, vec![7; 4].into())));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(disk.is_installing() && !last.is_finished());
    last.abort();
    assert!(last.await.is_err());
    disk.resume();
    assert!(!disk.is_installing());
    assert_eq!(opened.snapshots.latest(), None);
}
