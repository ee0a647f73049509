//! A data folder: whose it is, and what it gives back.

use std::{fs, path::Path};

use super::*;
use crate::{
    raft::{Record, Term},
    storage::{Meeting, conformance},
};

mod crashes;

fn options(peer: u64) -> FolderOptions {
    let mut options = FolderOptions::new("cluster", PeerId(peer), Membership::of((1..=3).map(PeerId)));
    options.segment_bytes = 1 << 20;
    options
}

fn refusal(path: &Path, options: FolderOptions) -> String {
    FolderDisk::open(path, options).unwrap_err().to_string()
}

#[tokio::test]
async fn a_folder_conforms() {
    let place = tempfile::tempdir().unwrap();
    let mut folders = 0;
    conformance::check(|| {
        folders += 1;
        let mut options = options(1);
        // So small that segments end all the time.
        options.segment_bytes = [64 << 10, 4 << 10, 512][folders % 3];
        Box::new(FolderDisk::open(&place.path().join(folders.to_string()), options).unwrap())
    })
    .await;
}

/// Damage to the last turn is told from a torn one, too, once nothing came for a while.
#[tokio::test]
async fn what_was_written_last_gets_its_mark() {
    use crate::storage::{
        conformance::arrived,
        wal::{Kind, inspect},
    };
    let place = tempfile::tempdir().unwrap();
    let mut disk = FolderDisk::open(place.path(), options(1)).unwrap();
    let mut log = disk.open().unwrap().log;
    arrived(log.replay()).await.unwrap();
    for term in 1..=20 {
        let ballot = Record::Ballot { term: Term(term), vote: None };
        arrived(log.write(vec![ballot])).await.unwrap();
    }
    let begun = std::time::Instant::now();
    let is_marked = || {
        let mut last = None;
        inspect(&RealFiles, &place.path().join("log"), |segment| last = segment.frames.last().cloned())
            .unwrap();
        last.is_some_and(|frame| frame.content.kind() == Kind::SyncedMark)
    };
    while !is_marked() {
        assert!(begun.elapsed().as_secs() < 10, "no mark");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[test]
fn a_folder_is_for_one_peer_of_one_cluster_and_one_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let disk = FolderDisk::open(&path, options(1)).unwrap();
    let text = refusal(&path, options(1));
    assert!(text.contains("in use by process") && text.contains("stop that one first"), "{text}");
    drop(disk);

    let text = refusal(&path, options(2));
    assert!(text.contains("belongs to peer 1, not to peer 2"), "{text}");
    let mut other = options(1);
    other.cluster = "other".into();
    let text = refusal(&path, other);
    assert!(text.contains("belongs to the cluster `cluster`, not to `other`"), "{text}");

    let mut larger = options(1);
    larger.first_membership = Membership::of((1..=5).map(PeerId));
    let disk = FolderDisk::open(&path, larger).unwrap();
    assert_eq!(disk.first_membership(), &options(1).first_membership, "the folder wins");
    assert!(disk.warnings()[0].contains("{1 2 3 4 5} was asked for and is ignored"), "{:?}", disk.warnings());
    drop(disk);

    let stamp = path.join("stamp.json");
    let newer = fs::read_to_string(&stamp).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&stamp, newer).unwrap();
    let text = refusal(&path, options(1));
    assert!(text.contains("format 2") && text.contains("start a newer version"), "{text}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.txt"), "precious").unwrap();
    let text = refusal(place.path(), options(1));
    assert!(text.contains("`thesis.txt`") && text.contains("new or empty folder"), "{text}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_folder_that_lost_its_stamp_or_its_log_is_damaged() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let mut disk = FolderDisk::open(&path, options(1)).unwrap();
    let mut opened = disk.open().unwrap();
    let ballot = Record::Ballot { term: Term(4), vote: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(conformance::arrived(opened.log.replay())).unwrap();
    runtime.block_on(conformance::arrived(opened.log.write(vec![ballot]))).unwrap();
    drop((opened, disk));

    let stamp = fs::read(path.join("stamp.json")).unwrap();
    fs::remove_file(path.join("stamp.json")).unwrap();
    let text = refusal(&path, options(1));
    assert!(text.contains("no stamp.json"), "{text}");
    fs::write(path.join("stamp.json"), stamp).unwrap();

    for entry in fs::read_dir(path.join("log")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let mut disk = FolderDisk::open(&path, options(1)).unwrap();
    let mut opened = disk.open().unwrap();
    let text = runtime.block_on(conformance::arrived(opened.log.replay())).unwrap_err().to_string();
    assert!(text.contains("there is no log in it"), "{text}");
}

#[test]
fn a_flipped_bit_in_a_stamp_is_seen() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    drop(FolderDisk::open(&path, options(1)).unwrap());
    let stamp = path.join("stamp.json");
    let before = fs::read(&stamp).unwrap();
    for bit in 0..before.len() * 8 {
        let mut flipped = before.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&stamp, &flipped).unwrap();
        if let Ok(disk) = FolderDisk::open(&path, options(1)) {
            assert_eq!(disk.first_membership(), &options(1).first_membership, "bit {bit}");
            assert!(flipped[bit / 8].is_ascii_whitespace(), "bit {bit} makes no difference");
        }
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look_in() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let _disk = FolderDisk::open(&path, options(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [path.clone(), path.join("log"), path.join("snapshots")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in ["lock", "stamp.json", "log/0000000000000001.wal"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn who_was_met_is_remembered_for_good() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..2 {
        let mut disk = FolderDisk::open(&path, options(1)).unwrap();
        let register = disk.open().unwrap().register;
        let meet = |peer, incarnation| {
            let met = register.meet(PeerId(peer), Incarnation(incarnation));
            runtime.block_on(conformance::arrived(met)).unwrap()
        };
        assert_eq!(meet(2, 22), Meeting::Known);
        assert_eq!(meet(2, 23), Meeting::Stranger { known: Incarnation(22) });
        assert_eq!(meet(2, 22), Meeting::Known);
        assert_eq!(meet(3, 33), Meeting::Known);
    }
}
