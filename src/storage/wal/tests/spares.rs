//! What spares are made of: with few long turns in a segment nothing is written twice.

use bytes::Bytes;

use super::{crashes::rig_on, *};
use crate::{
    raft::{Command, Term},
    storage::files::{Call, Calls, Fault, SimulatedFiles},
};

const SEGMENT_BYTES: u64 = 4_096;

/// Fills segments by turns of so many bytes, and says what all of it took the disk.
fn fill(files: &SimulatedFiles, segments: u64, turn_bytes: usize) -> Calls {
    files.create_dir(Path::new("/log")).unwrap();
    create(files, Path::new("/log"), INCARNATION, SEGMENT_BYTES).unwrap();
    let rig = Rig { segment_bytes: SEGMENT_BYTES, few_turns: 8, ..rig_on(files) };
    let mut wal = rig.open();
    wal.replay().unwrap();
    let (mut log, mut written) = (Log::default(), Vec::new());
    while wal.active.as_ref().unwrap().number <= segments {
        log.append(Term(1), vec![Command::Data(Bytes::from(vec![7; turn_bytes]).into())]);
        let turn = log.take_records();
        wal.write(&turn).unwrap();
        wal.after_turn().unwrap();
        written.extend(turn);
    }
    let calls = files.calls();
    assert_eq!(folded(rig.open().replay().unwrap().records), folded(written));
    calls
}

/// How often each byte of the segments was written, all in all.
fn times_written(calls: Calls, segments: u64) -> f64 {
    calls.bytes_written as f64 / (segments * SEGMENT_BYTES) as f64
}

#[test]
fn segments_of_few_turns_are_not_written_twice() {
    let long = fill(&SimulatedFiles::new(), 40, 1_000);
    assert!(times_written(long, 40) < 1.2, "{long:?}");
    let short = fill(&SimulatedFiles::new(), 40, 100);
    assert!(times_written(short, 40) > 1.8, "{short:?}");
}

#[test]
fn where_nothing_can_be_reserved_there_are_zeros() {
    for why in [Fault::Kind(io::ErrorKind::Unsupported), Fault::Errno(22)] {
        let files = SimulatedFiles::new();
        files.fail_call_from(Call::SetLen, 1, why);
        let calls = fill(&files, 40, 1_000);
        assert!(times_written(calls, 40) > 1.8, "{why:?}: {calls:?}");
    }
}

/// The disk has no room for another segment, and segments that nobody needs any more.
#[test]
fn a_segment_that_is_used_up_makes_room_on_a_full_disk() {
    for few_turns in [0, u64::MAX] {
        let files = SimulatedFiles::new();
        Rig::new(Arc::new(files.clone()), PathBuf::from("/log"), SEGMENT_BYTES);
        let rig = Rig { segment_bytes: SEGMENT_BYTES, few_turns, ..rig_on(&files) };
        let mut wal = rig.open();
        wal.replay().unwrap();
        let (mut author, mut written) = (Author::default(), Vec::new());
        for round in 0..2_000 {
            if round == 1_000 {
                files.set_capacity(Some(files.used() + SEGMENT_BYTES / 2));
            }
            for step in [APPEND, Step::Compact { trail: 5 }] {
                let turn = author.write(step);
                wal.write(&turn).unwrap();
                wal.after_turn().unwrap();
                written.extend(turn);
            }
            assert!(!wal.keeper.room().is_full(), "round {round}, few turns: {few_turns}");
        }
        assert_eq!(folded(rig.open().replay().unwrap().records), folded(written));
    }
}

#[test]
fn what_is_reserved_are_zeros_that_have_their_room() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("reserved");
    let file = RealFiles.create(&path).unwrap();
    match file.reserve(100_000) {
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert_eq!(file.len().unwrap(), 0);
        }
        Ok(()) => {
            assert!(frame::is_zero(&file.read_whole().unwrap()) && file.len().unwrap() == 100_000);
            #[cfg(target_os = "linux")]
            assert!(
                std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap()) * 512 >= 100_000
            );
        }
    }
}
