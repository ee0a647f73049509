//! Stopped between any two calls, and every call failing: the old snapshot is whole or the new one is,
//! what was said to be in force is, and a transfer goes on, whichever piece it was cut at.

use super::*;
use crate::storage::files::{Fault, Loss, SimulatedFiles};

const PIECE: usize = 512;

/// What is saved, comes in, and is saved again; each with the index that it covers.
fn contents() -> [(u64, Bytes); 3] {
    let bytes = |seed: u32, count: u32| -> Bytes {
        (0..count).map(|number| (number.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
    };
    [(5, bytes(1, 3_000)), (9, bytes(2, 2_700)), (12, bytes(3, 10))]
}

fn shelf(files: &SimulatedFiles) -> Shelf {
    Shelf::new(Arc::new(files.clone()), "/snapshots".into())
}

fn save_at(shelf: &Shelf, index: u64, content: &Bytes) -> bool {
    let content = content.clone();
    let write = Box::new(move |out: &mut dyn Write| out.write_all(&content));
    shelf.save(Position::new(3, index), members(), write, &|| true).is_ok()
}

/// Sends pieces from where it stands, as a leader does. Says whether it is in force, and how many bytes
/// were sent.
fn send(shelf: &Shelf, index: u64, content: &Bytes) -> (bool, usize) {
    let (meta, mut offset, mut sent) = (meta(index, content), 0, 0);
    // Some pieces change nothing: the first only asks, and what is whole and damaged begins anew.
    for _ in 0..2 + 2 * content.len().div_ceil(PIECE) {
        let piece = content.slice(offset..content.len().min(offset + PIECE));
        sent += piece.len();
        match shelf.receive(&meta, offset as u64, &piece, &|| true) {
            Ok(held) if held == meta.bytes => return (true, sent),
            Ok(held) => offset = held as usize,
            Err(_) => break,
        }
    }
    (false, sent)
}

/// Runs the script as far as it goes: the last index that was said to be in force.
fn run(files: &SimulatedFiles) -> u64 {
    let shelf = shelf(files);
    let [(a, first), (b, second), (c, third)] = contents();
    if shelf.load().is_err() {
        return 0;
    }
    let mut in_force = 0;
    if save_at(&shelf, a, &first) {
        in_force = a;
    }
    if send(&shelf, b, &second).0 {
        in_force = b;
    }
    if save_at(&shelf, c, &third) {
        in_force = c;
    }
    in_force
}

/// The index of the snapshot that is in force, every byte of it checked.
fn latest(shelf: &Shelf, what: &str) -> u64 {
    let Some(latest) = shelf.latest() else { return 0 };
    let mut content = Vec::new();
    Reader::new(shelf.find(latest.at).unwrap()).read_to_end(&mut content).unwrap();
    let expected = contents().into_iter().find(|(index, _)| *index == latest.at.index.0);
    assert_eq!(content, expected.expect(what).1, "{what}");
    latest.at.index.0
}

/// Comes back, and goes on with whatever is left to do.
fn check(files: &SimulatedFiles, in_force: u64, what: &str) {
    let back = shelf(files);
    back.load().unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = latest(&back, what);
    assert!(found >= in_force, "{what}: {in_force} was in force, and {found} is");
    let again = shelf(files);
    again.load().unwrap();
    assert_eq!(latest(&again, what), found, "{what}: it comes back the same");
    let [_, (b, second), (c, third)] = contents();
    if found < b {
        assert!(send(&again, b, &second).0, "{what}: the transfer comes to its end");
        assert_eq!(latest(&again, what), b, "{what}");
    }
    assert!(save_at(&again, c, &third), "{what}: it goes on");
    files.power_cut(Loss::Everything);
    let last = shelf(files);
    last.load().unwrap();
    assert_eq!(latest(&last, what), c, "{what}");
    assert_eq!(files.list(Path::new("/snapshots")).unwrap().len(), 1, "{what}: nothing is left behind");
}

fn fresh() -> SimulatedFiles {
    let files = SimulatedFiles::new();
    files.create_dir(Path::new("/snapshots")).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    files
}

fn calls() -> u64 {
    let files = fresh();
    let before = files.calls().total();
    assert_eq!(run(&files), 12);
    files.calls().total() - before
}

#[test]
fn a_crash_between_any_two_calls_leaves_a_whole_snapshot() {
    for stop in 1..=calls() {
        let files = fresh();
        files.stop_at(stop);
        let in_force = run(&files);
        let sectors = (0..4).map(|seed| Loss::Sectors { seed: stop * 10 + seed });
        for how in [Loss::Nothing, Loss::Everything].into_iter().chain(sectors) {
            let files = files.copy();
            files.power_cut(how);
            check(&files, in_force, &format!("stopped at call {stop}, {how:?}"));
        }
    }
}

#[test]
fn a_call_that_fails_harms_nothing_that_was_in_force() {
    for call in 1..=calls() {
        for (fault, for_good) in [(Fault::EIO, false), (Fault::ENOSPC, false), (Fault::ENOSPC, true)] {
            let files = fresh();
            if for_good {
                files.fail_from(call, fault);
            } else {
                files.fail_at(call, fault);
            }
            let in_force = run(&files);
            files.clear_faults();
            for how in [Loss::Nothing, Loss::Everything, Loss::Sectors { seed: call }] {
                let files = files.copy();
                files.power_cut(how);
                check(&files, in_force, &format!("call {call} failed with {fault:?}, {how:?}"));
            }
        }
    }
}

#[test]
fn short_writes_are_written_on() {
    for seed in 0..8 {
        let files = fresh();
        files.short_writes(seed);
        assert_eq!(run(&files), 12);
        files.power_cut(Loss::Everything);
        check(&files, 12, &format!("seed {seed}"));
    }
}

#[test]
fn a_transfer_that_is_cut_at_any_piece_sends_no_byte_twice() {
    let [_, (index, content), _] = contents();
    let meta = meta(index, &content);
    for pieces in 0..content.len().div_ceil(PIECE) {
        let files = fresh();
        let before = shelf(&files);
        before.load().unwrap();
        for number in 0..pieces {
            let piece = content.slice(number * PIECE..content.len().min((number + 1) * PIECE));
            assert_eq!(
                before.receive(&meta, (number * PIECE) as u64, &piece, &|| true).unwrap() as usize,
                (number + 1) * PIECE
            );
        }
        assert_eq!(before.latest(), None, "half a snapshot is none");
        files.power_cut(Loss::Nothing);
        let after = shelf(&files);
        after.load().unwrap();
        assert_eq!(latest(&after, "a process was killed"), 0);
        let (in_force, sent) = send(&after, index, &content);
        let asked = if pieces == 0 { 0 } else { PIECE };
        assert!(
            in_force && sent == content.len() - pieces * PIECE + asked,
            "{pieces} pieces: {sent} more bytes"
        );
    }
}
