//! Snapshots on a disk that forgets what was not synced, is stopped between any two calls, fails, and
//! fills up.

use super::*;
use crate::storage::files::{Fault, Loss, SimulatedFiles};

const DIR: &str = "/snapshots";

fn on(files: &SimulatedFiles) -> FileSnapshots {
    FileSnapshots::open(Arc::new(files.clone()), DIR.into())
}

/// What the snapshot at an index holds: several buffers and sectors, and no two alike.
fn content(index: u64) -> Vec<u8> {
    (0..3_000 + index * 100).map(|place| (place * index % 251) as u8).collect()
}

/// A life: snapshots are saved, and come in. Answers which one was in force at last, as far as
/// somebody was told.
async fn live(files: &SimulatedFiles) -> u64 {
    let store = on(files);
    if store.load().is_err() {
        return 0;
    }
    let mut told = 0;
    for index in [4, 7, 9, 12] {
        let content = content(index);
        let done = if index % 2 == 0 {
            save(&store, index, &content).await.is_ok()
        } else {
            let meta = meta(index, &content);
            let mut done = false;
            for (offset, piece) in content.chunks(1_000).enumerate() {
                let piece = Bytes::copy_from_slice(piece);
                let held = arrived(store.receive(meta.clone(), offset as u64 * 1_000, piece)).await;
                done = held.is_ok_and(|held| held == meta.bytes);
            }
            done
        };
        if done {
            told = index;
        }
        if files.is_stopped() {
            return told;
        }
        assert_sound(&store, told);
    }
    let half = meta(15, &content(15));
    let _ = arrived(store.receive(half, 0, Bytes::from(content(15)).slice(..2_000))).await;
    told
}

/// What is in force is whole, and not older than what somebody was told.
fn assert_sound(store: &FileSnapshots, told: u64) {
    let latest = store.latest().map_or(0, |meta| meta.at.index.0);
    assert!(latest >= told, "{latest} is in force, {told} was promised");
    if let Some(meta) = store.latest() {
        assert_eq!(*meta, *self::meta(latest, &content(latest)));
        assert!(read(store, meta.at).unwrap() == content(latest));
    }
}

/// The next start, and all it does, work; and what the last one left is gone.
async fn assert_goes_on(files: &SimulatedFiles, told: u64) {
    let store = on(files);
    store.load().unwrap();
    assert_sound(&store, told);
    save(&store, 20, &content(20)).await.unwrap();
    files.power_cut(Loss::Everything);
    let store = on(files);
    store.load().unwrap();
    assert_sound(&store, 20);
    let names = files.list(Path::new(DIR)).unwrap();
    assert_eq!(names, ["00000000000000000020-00000000000000000003.snapshot"]);
}

fn changes(files: &SimulatedFiles) -> u64 {
    let calls = files.calls();
    calls.create_dirs
        + calls.creates
        + calls.writes
        + calls.syncs
        + calls.renames
        + calls.removes
        + calls.sync_dirs
        + calls.set_lens
}

#[tokio::test]
async fn a_life_without_trouble() {
    let files = SimulatedFiles::new();
    assert_eq!(live(&files).await, 12);
    assert!(changes(&files) > 35, "{:?}", files.calls());
    assert_goes_on(&files, 12).await;
}

#[tokio::test]
async fn the_world_stops_between_any_two_calls() {
    let whole = SimulatedFiles::new();
    live(&whole).await;
    for call in 1..=changes(&whole) {
        let files = SimulatedFiles::new();
        files.stop_at(call);
        let told = live(&files).await;
        let seeds = (1..=3).map(|seed| Loss::Sectors { seed: seed + call * 10 });
        for loss in [Loss::Everything, Loss::Nothing].into_iter().chain(seeds) {
            let after = files.copy();
            after.power_cut(loss);
            assert_goes_on(&after, told).await;
        }
    }
}

#[tokio::test]
async fn any_call_fails() {
    let whole = SimulatedFiles::new();
    live(&whole).await;
    for fault in [Fault::EIO, Fault::ENOSPC] {
        for call in 1..=changes(&whole) {
            let files = SimulatedFiles::new();
            files.fail_at(call, fault);
            let told = live(&files).await;
            for loss in [Loss::Everything, Loss::Nothing, Loss::Sectors { seed: call }] {
                let after = files.copy();
                after.power_cut(loss);
                assert_goes_on(&after, told).await;
            }
        }
    }
}

/// A disk without room: nothing is left of the attempt, and what was there is unharmed.
#[tokio::test]
async fn a_full_disk_harms_nothing() {
    let files = SimulatedFiles::new();
    let store = on(&files);
    store.load().unwrap();
    save(&store, 4, &content(4)).await.unwrap();
    let used = files.used();
    files.set_capacity(Some(used + 2_000));
    let error = save(&store, 6, &content(6)).await.unwrap_err().to_string();
    assert!(error.contains("unharmed"), "{error}");
    assert_eq!(files.used(), used, "no half of it is left");
    let meta = meta(7, &content(7));
    let piece = |range: std::ops::Range<usize>| {
        let data = Bytes::from(content(7)).slice(range.clone());
        arrived(store.receive(meta.clone(), range.start as u64, data))
    };
    assert_eq!(piece(0..1_000).await.unwrap(), 1_000);
    assert!(piece(1_000..3_000).await.is_err());
    assert_eq!(files.used(), used, "no half of it is left");
    assert_sound(&store, 4);
    files.set_capacity(None);
    assert_eq!(piece(0..3_700).await.unwrap(), 3_700);
    save(&store, 9, &content(9)).await.unwrap();
    assert_sound(&store, 9);
}
