//! What spares are made of: with few long turns in a segment, or with a segment that is used up, nothing is written
//! twice.

use bytes::Bytes;

use super::{crashes::rig_on, *};
use crate::{
    raft::{Command, Term},
    storage::files::{Call, Calls, Fault, Loss, SimulatedFiles},
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
    while wal.active.as_ref().unwrap().seal.segment <= segments {
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

/// A log that is cut at its front now and then, until the segment that it writes to was another one before.
struct Recycled {
    files: SimulatedFiles,
    wal: Wal,
    author: Author,
    written: Vec<Record>,
}

impl Recycled {
    fn new() -> Recycled {
        let files = SimulatedFiles::new();
        Rig::new(Arc::new(files.clone()), PathBuf::from("/log"), SEGMENT_BYTES);
        files.sync_dir(Path::new("/")).unwrap();
        let mut wal = Recycled::rig(&files).open();
        wal.replay().unwrap();
        let mut recycled = Recycled { files, wal, author: Author::default(), written: Vec::new() };
        for round in 0.. {
            assert!(round < 2_000, "no segment is ever used again");
            recycled.write(APPEND);
            recycled.write(Step::Compact { trail: 5 });
            let end = recycled.wal.active.as_ref().unwrap().end as usize;
            let (is_begun, is_left) = (end < 1_000, end + 1_000);
            if is_begun && recycled.segment().get(is_left..).is_some_and(|rest| !frame::is_zero(rest)) {
                break;
            }
        }
        recycled
    }

    fn rig(files: &SimulatedFiles) -> Rig {
        Rig { segment_bytes: SEGMENT_BYTES, few_turns: 0, ..rig_on(files) }
    }

    fn write(&mut self, step: Step) {
        let turn = self.author.write(step);
        self.wal.write(&turn).unwrap();
        self.wal.after_turn().unwrap();
        self.written.extend(turn);
    }

    fn segment(&self) -> Vec<u8> {
        self.files.read(&self.wal.active.as_ref().unwrap().path).unwrap()
    }
}

#[test]
fn a_segment_that_is_used_up_is_written_over_as_it_is() {
    let mut log = Recycled::new();
    let before = log.files.calls().bytes_written;
    let begun = log.wal.active.as_ref().unwrap().seal.segment;
    let mut turns = 0;
    while log.wal.active.as_ref().unwrap().seal.segment < begun + 20 {
        log.write(APPEND);
        log.write(Step::Compact { trail: 5 });
        turns += 1;
        let found = recovery::recover(&log.files, Path::new("/log"), INCARNATION).unwrap();
        assert_eq!(found.warnings, [""; 0], "what stood there before is nothing that got lost");
        assert_eq!(found.tail, None);
        assert_eq!(folded(found.records), folded(log.written.clone()), "turn {turns}");
    }
    let times = (log.files.calls().bytes_written - before) as f64 / (20 * SEGMENT_BYTES) as f64;
    // Marks and stops are most of what is written more than once, for these turns are short.
    assert!(times < 1.8, "each byte was written {times} times");
}

/// It goes on in place, and what it does not write over is zero from then on: a piece of a turn whose beginning was
/// lost must not stand there.
#[test]
fn what_stood_there_before_goes_when_a_log_is_opened_again() {
    let log = Recycled::new();
    let end = log.wal.active.as_ref().unwrap().end as usize;
    let mut again = Recycled::rig(&log.files).open();
    again.replay().unwrap();
    assert_eq!(again.active.as_ref().unwrap().seal.segment, log.wal.active.as_ref().unwrap().seal.segment);
    assert!(frame::is_zero(&log.segment()[end..]));
    log.files.power_cut(Loss::Everything);
    assert!(frame::is_zero(&log.segment()[end..]), "it is synced");
}

#[test]
fn a_torn_turn_is_told_from_what_stood_there_before() {
    let mut log = Recycled::new();
    let (end, whole) = (log.wal.active.as_ref().unwrap().end as usize, folded(log.written.clone()));
    let path = log.wal.active.as_ref().unwrap().path.clone();
    let before = log.segment();
    log.write(APPEND);
    let after = log.segment();
    // Of the turn and the mark behind it so many bytes reached the disk.
    let turn = log.wal.active.as_ref().unwrap().end as usize - end - frame::MARK_BYTES;
    for bytes in 1..turn {
        let torn = [&after[..end + bytes], &before[end + bytes..]].concat();
        log.files.damage(&path, |segment| segment.copy_from_slice(&torn)).unwrap();
        let found = recovery::recover(&log.files, Path::new("/log"), INCARNATION).unwrap();
        let is_whole = folded(found.records) == folded(log.written.clone());
        // The last bytes are padding.
        assert!(is_whole || found.tail.is_some_and(|tail| tail.torn), "{bytes} of {turn} bytes");
        assert!(!is_whole || bytes > turn - frame::STOP_BYTES);
        if is_whole {
            continue;
        }
        let copy = log.files.copy();
        let replay = Recycled::rig(&copy).open().replay().unwrap();
        assert_eq!(folded(replay.records), whole, "{bytes} of {turn} bytes");
        assert_eq!(replay.warnings.len(), 1);
    }
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

/// A file may be begun twice as one segment, and may hold the very bytes of a frame that a client made up.
#[test]
fn a_frame_is_read_with_the_seal_that_it_got() {
    let mut frames = frame::Frames::default();
    frames.put_mark(64);
    let seal = Seal { segment: 5, key: 1 };
    let bytes = Bytes::copy_from_slice(frames.seal(seal, 0));
    assert!(matches!(frame::read(seal, &bytes, 0), frame::Found::Frame(_)));
    assert!(frame::find_mark(seal, &bytes, 0).is_some());
    for other in [Seal { segment: 6, key: 1 }, Seal { segment: 5, key: 2 }] {
        assert!(matches!(frame::read(other, &bytes, 0), frame::Found::Bad(_)), "{other:?}");
        assert!(frame::find_mark(other, &bytes, 0).is_none(), "{other:?}");
    }
    let keys = [(); 2].map(|()| header(1, INCARNATION, 0, &Shape::default()).seal().key);
    assert_ne!(keys[0], keys[1], "each segment draws its own");
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
