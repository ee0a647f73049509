use std::{collections::BTreeSet, path::PathBuf};

use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn root() -> &'static Path {
    Path::new("/")
}

/// A file with this in it, all of it durable.
fn durable(files: &SimulatedFiles, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = files.create(&path(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    files.sync_dir(root()).unwrap();
    file
}

/// What may be in a file after a cut, over many seeds.
fn outcomes(files: &SimulatedFiles, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..400)
        .map(|seed| {
            let cut = files.copy();
            cut.power_cut(Loss::Sectors { seed });
            cut.read(&path(name)).ok()
        })
        .collect()
}

#[test]
fn what_was_not_synced_is_lost() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"one");
    file.write_all_at(b"two", 1).unwrap();
    file.set_len(9).unwrap();
    assert_eq!(file.read_whole().unwrap(), b"otwo\0\0\0\0\0");
    files.power_cut(Loss::Everything);
    assert_eq!(files.read(&path("a")).unwrap(), b"one");
}

#[test]
fn a_file_whose_folder_was_not_synced_is_lost() {
    let files = SimulatedFiles::new();
    let file = files.create(&path("a")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    files.power_cut(Loss::Everything);
    assert_eq!(files.list(root()).unwrap(), Vec::<String>::new());
    assert_eq!(outcomes(&files, "a"), [None].into());
}

#[test]
fn a_folder_that_was_not_synced_into_its_parent_takes_all_with_it() {
    let files = SimulatedFiles::new();
    files.create_dir(&path("x/y")).unwrap();
    files.sync_dir(root()).unwrap();
    let file = files.create(&path("x/y/a")).unwrap();
    file.sync().unwrap();
    files.sync_dir(&path("x/y")).unwrap();
    let whole = files.copy();
    whole.sync_dir(&path("x")).unwrap();

    files.power_cut(Loss::Everything);
    assert_eq!(files.list(&path("x")).unwrap(), Vec::<String>::new());
    whole.power_cut(Loss::Everything);
    assert_eq!(whole.list(&path("x/y")).unwrap(), ["a"]);
}

#[test]
fn a_killed_process_loses_nothing_but_its_handles() {
    let files = SimulatedFiles::new();
    let file = files.create(&path("a")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    files.power_cut(Loss::Nothing);
    assert_eq!(files.read(&path("a")).unwrap(), b"one");
    assert!(file.read_whole().is_err());
    assert!(file.write_at(b"two", 0).is_err());
    assert!(file.sync().is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.len().is_err());
    files.power_cut(Loss::Everything);
    assert!(files.read(&path("a")).is_err(), "it is no more durable than before");
}

#[test]
fn sectors_survive_each_for_itself_and_each_in_order() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", &[0; 1024]);
    file.write_all_at(&[1; 1024], 0).unwrap();
    file.write_all_at(&[2; 100], 0).unwrap();
    let (mut seen, mut torn) = (BTreeSet::new(), 0);
    for outcome in outcomes(&files, "a") {
        let bytes = outcome.unwrap();
        let (first, second) = bytes.split_at(512);
        assert!(second.iter().all(|byte| *byte == second[0]), "a sector is never torn");
        let (head, rest) = first.split_at(100);
        assert!(rest.iter().all(|byte| *byte == rest[0]));
        seen.insert((head[0], rest[0], second[0]));
        torn += usize::from(rest[0] != second[0]);
    }
    // The second write is there only where the first is.
    let expected = [(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 1, 1)];
    assert_eq!(seen, expected.into());
    assert!(torn > 0);
}

#[test]
fn a_file_may_have_grown_or_not_or_in_part() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"x");
    file.write_all_at(&[1; 2048], 1).unwrap();
    let lengths: BTreeSet<usize> =
        outcomes(&files, "a").into_iter().map(|outcome| outcome.unwrap().len()).collect();
    assert!(lengths.contains(&1) && lengths.contains(&2049) && lengths.contains(&1025), "{lengths:?}");
}

#[test]
fn a_shorter_length_survives_or_not() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"abcd");
    file.set_len(2).unwrap();
    file.set_len(3).unwrap();
    let expected = [&b"abcd"[..], b"ab", b"ab\0"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(outcomes(&files, "a"), expected.into());
}

#[test]
fn a_rename_is_the_old_name_or_the_new_one() {
    let files = SimulatedFiles::new();
    durable(&files, "current", b"old");
    durable(&files, "aside", b"new");
    files.rename(&path("aside"), &path("current")).unwrap();
    files.create(&path("other")).unwrap();
    assert_eq!(files.list(root()).unwrap(), ["current", "other"]);
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let cut = files.copy();
        cut.power_cut(Loss::Sectors { seed });
        let names = cut.list(root()).unwrap();
        seen.insert((
            cut.read(&path("current")).unwrap(),
            names.contains(&"aside".to_owned()),
            names.contains(&"other".to_owned()),
        ));
    }
    let old = b"old".to_vec();
    let new = b"new".to_vec();
    let expected =
        [(old.clone(), true, false), (old, true, true), (new.clone(), false, false), (new, false, true)];
    assert_eq!(seen, expected.into());
}

#[test]
fn a_name_that_is_used_again_keeps_its_order() {
    let files = SimulatedFiles::new();
    durable(&files, "a", b"first");
    files.rename(&path("a"), &path("b")).unwrap();
    files.create(&path("a")).unwrap();
    for seed in 0..200 {
        let cut = files.copy();
        cut.power_cut(Loss::Sectors { seed });
        let found = [path("a"), path("b")].map(|path| cut.read(&path).unwrap_or_default());
        assert!(found.contains(&b"first".to_vec()), "{found:?}");
    }
}

#[test]
fn what_is_removed_may_come_back_until_the_folder_is_synced() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"one");
    files.remove(&path("a")).unwrap();
    assert!(files.read(&path("a")).is_err());
    assert_eq!(file.read_whole().unwrap(), b"one", "who has it open keeps it");
    drop(file);
    assert_eq!(outcomes(&files, "a"), [None, Some(b"one".to_vec())].into());
    files.sync_dir(root()).unwrap();
    assert_eq!(outcomes(&files, "a"), [None].into());
}

#[test]
fn what_a_failed_sync_gave_up_is_lost_though_it_can_be_read() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"one");
    file.write_all_at(b"two", 3).unwrap();
    files.fail_call_at(Call::Sync, 1, Fault::EIO);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.write_all_at(b"!", 6).unwrap();
    file.sync().unwrap();
    assert_eq!(file.read_whole().unwrap(), b"onetwo!");
    files.power_cut(Loss::Nothing);
    assert_eq!(files.read(&path("a")).unwrap(), b"onetwo!");
    files.power_cut(Loss::Sectors { seed: 0 });
    assert_eq!(files.read(&path("a")).unwrap(), b"one\0\0\0!");
}

#[test]
fn what_a_failed_sync_of_a_folder_left_undone_a_later_one_does() {
    let files = SimulatedFiles::new();
    durable(&files, "a", b"one");
    files.rename(&path("a"), &path("b")).unwrap();
    files.fail_call_at(Call::SyncDir, 1, Fault::EIO);
    assert!(files.sync_dir(root()).is_err());
    let cut = files.copy();
    cut.power_cut(Loss::Everything);
    assert_eq!(cut.list(root()).unwrap(), ["a"]);
    files.sync_dir(root()).unwrap();
    files.power_cut(Loss::Everything);
    assert_eq!(files.list(root()).unwrap(), ["b"]);
}

#[test]
fn a_fault_strikes_at_its_call_once_or_for_good() {
    let files = SimulatedFiles::new();
    files.fail_at(2, Fault::ENOSPC);
    let file = files.create(&path("a")).unwrap();
    assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 0);
    file.write_all_at(b"x", 0).unwrap();

    files.fail_call_from(Call::SetLen, 2, Fault::Kind(io::ErrorKind::PermissionDenied));
    file.set_len(1).unwrap();
    for _ in 0..3 {
        assert_eq!(file.set_len(2).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
    file.sync().unwrap();
    files.clear_faults();
    file.set_len(2).unwrap();

    files.fail_from(1, Fault::EIO);
    assert!(files.create(&path("b")).is_err());
    assert!(files.create_dir(&path("c")).is_err());
    assert!(files.rename(&path("a"), &path("b")).is_err());
    assert!(files.remove(&path("a")).is_err());
    assert!(files.sync_dir(root()).is_err());
    assert_eq!(files.list(root()).unwrap(), ["a"]);
}

#[test]
fn the_world_stops_between_two_calls() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"one");
    files.stop_at(2);
    file.write_all_at(b"two", 0).unwrap();
    let before = files.copy();
    assert!(file.sync().is_err());
    assert!(files.is_stopped());
    assert!(file.read_whole().is_err());
    assert!(files.open(&path("a")).is_err());
    assert!(files.list(root()).is_err());
    assert!(files.lock(&path("lock")).is_err());
    assert!(files.create_dir(root()).is_err());
    assert_eq!(outcomes(&files, "a"), outcomes(&before, "a"), "and nothing changes");
    files.power_cut(Loss::Everything);
    assert_eq!(files.open(&path("a")).unwrap().read_whole().unwrap(), b"one");
}

#[test]
fn short_writes_write_a_part() {
    let files = SimulatedFiles::new();
    files.short_writes(7);
    let file = files.create(&path("a")).unwrap();
    let lengths: BTreeSet<usize> = (0..100).map(|_| file.write_at(b"abcd", 0).unwrap()).collect();
    assert_eq!(lengths, [1, 2, 3, 4].into());
    file.write_all_at(b"abcdefghijklmnopqrstuvwxyz", 0).unwrap();
    assert_eq!(file.read_whole().unwrap(), b"abcdefghijklmnopqrstuvwxyz");

    files.fail_call_from(Call::Write, 1, Fault::EIO);
    let after: BTreeSet<u64> = (0..100)
        .map(|_| {
            file.set_len(0).unwrap();
            assert!(file.write_at(b"ab", 0).is_err());
            file.len().unwrap()
        })
        .collect();
    assert_eq!(after, [0, 1, 2].into(), "a write that fails may have written a part");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let files = SimulatedFiles::new();
    files.set_capacity(Some(10));
    let file = files.create(&path("a")).unwrap();
    assert_eq!(file.write_at(b"12345678", 0).unwrap(), 8);
    assert_eq!(file.write_at(b"9abc", 8).unwrap(), 2);
    assert_eq!(file.write_at(b"b", 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(b"again", 0).unwrap(), 5, "what is there can be written over");
    assert_eq!(file.set_len(11).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let other = files.create(&path("b")).unwrap();
    assert!(other.write_at(b"x", 0).is_err());
    files.remove(&path("a")).unwrap();
    assert!(other.write_at(b"x", 0).is_err(), "it is still open");
    drop(file);
    assert_eq!(files.used(), 0);
    assert_eq!(other.write_at(b"x", 0).unwrap(), 1);
    files.set_capacity(None);
    other.set_len(1000).unwrap();
    assert_eq!(files.used(), 1000);
}

#[test]
fn a_lock_holds_until_it_is_dropped_or_the_power_is_cut() {
    let files = SimulatedFiles::new();
    let lock = files.lock(&path("lock")).unwrap();
    let busy = files.lock(&path("lock")).err().unwrap();
    assert_eq!(busy.kind(), io::ErrorKind::WouldBlock);
    lock.leave_note("process 7").unwrap();
    assert_eq!(files.read(&path("lock")).unwrap(), b"process 7");
    drop(lock);
    let lock = files.lock(&path("lock")).unwrap();
    files.power_cut(Loss::Nothing);
    let other = files.lock(&path("lock")).unwrap();
    drop(lock);
    assert!(files.lock(&path("lock")).is_err(), "a dead lock frees nothing");
    drop(other);
}

#[test]
fn names_lead_where_they_should() {
    let files = SimulatedFiles::new();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    files.create_dir(&path("x")).unwrap();
    files.create_dir(&path("x")).unwrap();
    files.create(&path("a")).unwrap();
    files.create(&path("x/a")).unwrap();
    assert_eq!(files.list(root()).unwrap(), ["a", "x"]);
    assert_eq!(kind(files.create(&path("a")).map(drop)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(files.create(&path("y/a")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(files.create(&path("a/b")).map(drop)), io::ErrorKind::NotADirectory);
    assert_eq!(kind(files.create_dir(&path("a"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(files.open(&path("x")).map(drop)), io::ErrorKind::IsADirectory);
    assert_eq!(kind(files.open(&path("z")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(files.list(&path("z")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(files.rename(&path("a"), &path("x/b"))), io::ErrorKind::CrossesDevices);
    assert_eq!(kind(files.rename(&path("a"), &path("x"))), io::ErrorKind::IsADirectory);
    assert_eq!(kind(files.remove(&path("x"))), io::ErrorKind::IsADirectory);
    assert_eq!(kind(files.remove(&path("z"))), io::ErrorKind::NotFound);
    let file = files.open_to_read(&path("a")).unwrap();
    assert_eq!(kind(file.write_at(b"x", 0).map(drop)), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(file.set_len(1)), io::ErrorKind::PermissionDenied);
    let file = files.open(&path("a")).unwrap();
    assert_eq!(kind(file.set_len(u64::MAX)), io::ErrorKind::FileTooLarge);
    assert_eq!(kind(file.write_at(b"x", u64::MAX).map(drop)), io::ErrorKind::FileTooLarge);
}

#[test]
fn damage_is_durable() {
    let files = SimulatedFiles::new();
    let file = files.create(&path("a")).unwrap();
    file.write_all_at(b"abcdef", 0).unwrap();
    files.sync_dir(root()).unwrap();
    files.flip_bit(&path("a"), 9).unwrap();
    files.zero(&path("a"), 2..4).unwrap();
    files.corrupt(&path("a"), 4, b"XYZ").unwrap();
    assert_eq!(file.read_whole().unwrap(), b"a\x60\0\0XY");
    files.cut_off(&path("a"), 5).unwrap();
    assert!(files.flip_bit(&path("a"), 40).is_err());
    files.power_cut(Loss::Everything);
    assert_eq!(files.read(&path("a")).unwrap(), b"a\x60\0\0X");
    assert!(files.zero(&path("b"), 0..1).is_err());
}

#[test]
fn calls_are_counted() {
    let files = SimulatedFiles::new();
    files.create_dir(&path("x/y")).unwrap();
    let file = durable(&files, "a", b"one");
    file.set_len(1).unwrap();
    files.rename(&path("a"), &path("b")).unwrap();
    files.remove(&path("b")).unwrap();
    let expected = Calls {
        create_dirs: 2,
        creates: 1,
        writes: 1,
        bytes_written: 3,
        set_lens: 1,
        syncs: 1,
        renames: 1,
        removes: 1,
        sync_dirs: 1,
    };
    assert_eq!((files.calls(), files.calls().total()), (expected, 9));
}

#[test]
fn the_same_seed_loses_the_same() {
    let files = SimulatedFiles::new();
    let file = durable(&files, "a", b"");
    file.write_all_at(&[1; 5000], 0).unwrap();
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| {
            let cut = files.copy();
            cut.power_cut(Loss::Sectors { seed });
            cut.read(&path("a")).unwrap()
        });
        assert_eq!(one, other);
    }
}

#[test]
fn debug_shows_lengths_alone() {
    let files = SimulatedFiles::new();
    files.create_dir(&path("x")).unwrap();
    let file = files.create(&path("x/a")).unwrap();
    file.write_all_at(b"secret", 0).unwrap();
    assert_eq!(format!("{files:?}"), r#"{"/x/a": 6}"#);
}
