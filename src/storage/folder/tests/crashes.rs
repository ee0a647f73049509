//! Making a folder, meeting a peer and saving a snapshot, stopped between any two calls, and each call
//! failing: what was answered holds, and what is there after one cut is there after the next.

use std::{io::Read, sync::Arc};

use super::*;
use crate::{
    raft::Position,
    storage::{
        Register, SnapshotStore,
        conformance::arrived,
        files::{Fault, Loss, SimulatedFiles},
    },
};

const DATA: &str = "/var/data";

/// A disk with the folder that the data folder is made in.
fn fresh() -> SimulatedFiles {
    let files = SimulatedFiles::new();
    files.create_dir(Path::new("/var")).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    files
}

fn open(files: &SimulatedFiles) -> Result<FolderDisk, StorageError> {
    let mut options = options(1);
    (options.segment_bytes, options.files) = (512, Arc::new(files.clone()));
    FolderDisk::open(Path::new(DATA), options)
}

fn incarnation(disk: &FolderDisk) -> Incarnation {
    Incarnation(disk.0.stamp.incarnation)
}

fn losses(seed: u64) -> [Loss; 4] {
    [Loss::Nothing, Loss::Everything, Loss::Sectors { seed }, Loss::Sectors { seed: seed + 1 }]
}

/// The whole suite, on a disk whose writes write a part at a time.
#[tokio::test]
async fn a_folder_conforms_whatever_a_write_writes() {
    let mut folders = 0;
    conformance::check(|| {
        folders += 1;
        let files = fresh();
        files.short_writes(folders);
        Box::new(open(&files).unwrap())
    })
    .await;
}

/// How many calls something makes.
fn calls(files: &SimulatedFiles, what: impl FnOnce(&SimulatedFiles)) -> u64 {
    let files = files.copy();
    let before = files.calls().total();
    what(&files);
    files.calls().total() - before
}

/// Runs something on a copy of a disk: stopped at each of its calls, and with each of them failing. Gives
/// what it answered, and the disk after each loss.
fn spoil<T>(
    files: &SimulatedFiles,
    what: impl Fn(&SimulatedFiles) -> T,
    mut judge: impl FnMut(&T, &SimulatedFiles, &str),
) {
    let count = calls(files, |files| drop(what(files)));
    assert!(count > 3, "{count} calls");
    for call in 1..=count + 1 {
        for stops in [true, false] {
            let files = files.copy();
            match stops {
                true => files.stop_at(call),
                false => files.fail_at(call, Fault::EIO),
            }
            let answer = what(&files);
            files.clear_faults();
            // A folder whose sync failed looks whole until the power is cut: nobody could tell after a kill.
            for how in losses(call * 10).into_iter().filter(|&how| stops || how != Loss::Nothing) {
                let files = files.copy();
                files.power_cut(how);
                judge(&answer, &files, &format!("call {call}, stopped: {stops}, {how:?}"));
            }
        }
    }
}

/// A folder that can be used is the same one from then on, also if whoever made it did not come as far as
/// to say so.
#[test]
fn a_folder_is_made_whole_or_made_again() {
    spoil(
        &fresh(),
        |files| open(files).ok().map(|disk| incarnation(&disk)),
        |made, files, what| {
            let disk = open(files).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = incarnation(&disk);
            assert!(made.is_none_or(|made| made == found), "{what}: it is another one");
            drop(disk);
            files.power_cut(Loss::Everything);
            let again = open(files).unwrap_or_else(|error| panic!("{what}, and again: {error}"));
            assert_eq!(incarnation(&again), found, "{what}: it was used, and is gone");
        },
    );
}

fn meet(files: &SimulatedFiles, peer: u64, theirs: u128) -> Option<Meeting> {
    let disk = open(files).ok()?;
    let meeting = disk.0.register.meet(PeerId(peer), Incarnation(theirs));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(arrived(meeting)).ok()
}

/// Who was let in is known for good, and so is whom another was told apart from.
#[test]
fn who_was_let_in_is_known_after_a_crash() {
    let files = fresh();
    assert_eq!(meet(&files, 2, 20), Some(Meeting::Known));
    files.power_cut(Loss::Nothing);
    spoil(
        &files,
        |files| meet(files, 3, 30),
        |met, files, what| {
            let stranger = |known| Some(Meeting::Stranger { known: Incarnation(known) });
            assert_eq!(meet(&files.copy(), 2, 21), stranger(20), "{what}: it was known before");
            files.power_cut(Loss::Nothing);
            let second = meet(files, 3, 31);
            match met {
                Some(Meeting::Known) => assert_eq!(second, stranger(30), "{what}"),
                _ => assert!(second == stranger(30) || second == Some(Meeting::Known), "{what}"),
            }
            files.power_cut(Loss::Everything);
            let expected = if second == Some(Meeting::Known) { 31 } else { 30 };
            assert_eq!(meet(files, 3, 32), stranger(expected), "{what}: it was answered so before");
        },
    );
}

fn saved(files: &SimulatedFiles, index: u64) -> Option<Position> {
    let disk = open(files).ok()?;
    disk.0.snapshots.load().ok()?;
    let membership = Arc::new(Membership::of([PeerId(1)]));
    let write = Box::new(move |to: &mut dyn io::Write| to.write_all(&vec![index as u8; 3_000]));
    let saved = disk.0.snapshots.save(Position::new(1, index), membership, write);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(arrived(saved)).ok().map(|meta| meta.at)
}

/// The latest snapshot, read to its end.
fn latest(files: &SimulatedFiles, what: &str) -> Option<u64> {
    let disk = open(files).unwrap_or_else(|error| panic!("{what}: {error}"));
    disk.0.snapshots.load().unwrap_or_else(|error| panic!("{what}: {error}"));
    let at = disk.0.snapshots.latest()?.at;
    let mut bytes = Vec::new();
    disk.0.snapshots.open(at).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, vec![at.index.0 as u8; 3_000], "{what}: half of it");
    Some(at.index.0)
}

/// [44] After a cut anywhere the snapshot is the old one or the new one, never none; one that was answered
/// is there, and one that was found is there the next time.
#[test]
fn a_snapshot_is_the_old_one_or_the_new_one() {
    let files = fresh();
    assert_eq!(saved(&files, 5), Some(Position::new(1, 5)));
    files.power_cut(Loss::Nothing);
    spoil(
        &files,
        |files| saved(files, 9),
        |answer, files, what| {
            let found = latest(files, what);
            assert!(found == Some(9) || found == Some(5) && answer.is_none(), "{what}: {answer:?} {found:?}");
            files.power_cut(Loss::Everything);
            assert_eq!(latest(files, what), found, "{what}: it was relied on, and is gone");
        },
    );
}
