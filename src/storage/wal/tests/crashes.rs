//! Stopped between any two calls, and every call failing: what was acknowledged is there, what is
//! there is a beginning of what was written, and after a failure nothing is acknowledged any more.

use super::*;
use crate::{
    raft::{PeerId, Term},
    storage::files::{Call, Fault, Loss, SimulatedFiles},
};

const TURNS: usize = 24;
const SEGMENT_BYTES: u64 = 512;

/// A script of turns, and what each beginning of its records comes to.
struct Script {
    turns: Vec<Vec<Record>>,
    /// By how many records.
    prefixes: Vec<String>,
    /// Spares are made of zeros, or reserved.
    few_turns: u64,
}

impl Script {
    fn new(seed: u64) -> Script {
        let (mut rng, mut author) = (ChaCha8Rng::seed_from_u64(seed), Author::default());
        let mut turns = Vec::new();
        while turns.len() < TURNS {
            turns.extend(Some(author.write(Step::draw(&mut rng))).filter(|turn| !turn.is_empty()));
        }
        let records: Vec<Record> = turns.iter().flatten().cloned().collect();
        let prefixes = (0..=records.len()).map(|count| folded(records.iter().take(count).cloned())).collect();
        Script { turns, prefixes, few_turns: if seed.is_multiple_of(2) { 0 } else { keeper::FEW_TURNS } }
    }

    fn rig_on(&self, files: &SimulatedFiles) -> Rig {
        Rig { few_turns: self.few_turns, ..rig_on(files) }
    }

    fn records_of(&self, turns: usize) -> usize {
        self.turns.iter().take(turns).map(Vec::len).sum()
    }

    /// Writes turn after turn, also when one fails. Says how many were acknowledged: all those before
    /// the first that failed, and none behind it.
    fn run(&self, rig: &Rig) -> usize {
        let mut wal = rig.open();
        if wal.replay().is_err() {
            return 0;
        }
        let acknowledged: Vec<bool> = self
            .turns
            .iter()
            .enumerate()
            .map(|(place, turn)| {
                let is_written = wal.write(turn).is_ok();
                // Others get their mark with the turn behind them, or from whoever comes back.
                if place % 3 == 0 {
                    let _ = wal.after_turn();
                } else if is_written {
                    wal.purge();
                }
                is_written
            })
            .collect();
        let count = acknowledged.iter().take_while(|&&acknowledged| acknowledged).count();
        assert!(
            !acknowledged.iter().skip(count).any(|&acknowledged| acknowledged),
            "acknowledged after a failure"
        );
        count
    }

    /// How many records survived. At least those of the acknowledged turns must have, and no more than
    /// those of one turn more can.
    fn survivors(&self, rig: &Rig, acknowledged: usize, what: &str) -> usize {
        let replay = rig.open().replay().unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = folded(replay.records);
        let (least, most) = (self.records_of(acknowledged), self.records_of(acknowledged + 1));
        (least..=most)
            .find(|&count| self.prefixes[count] == found)
            .unwrap_or_else(|| panic!("{what}: {acknowledged} turns were acknowledged, and there is {found}"))
    }

    /// After a crash: it comes back, comes back the same, and goes on.
    fn check(&self, rig: &Rig, files: &SimulatedFiles, acknowledged: usize, what: &str) {
        let ballot = Record::Ballot { term: Term(1_000), vote: Some(PeerId(3)) };
        let at_once = files.copy();
        self.rig_on(&at_once).go_on(&ballot);
        let survivors = self.survivors(rig, acknowledged, what);
        let records = self.turns.iter().flatten().take(survivors).cloned().chain([ballot.clone()]);
        let gone_on = folded(records);
        at_once.power_cut(Loss::Everything);
        let found = folded(self.rig_on(&at_once).open().replay().unwrap().records);
        assert_eq!(found, gone_on, "{what}: it goes on at once");
        for how in [Loss::Nothing, Loss::Everything] {
            files.power_cut(how);
            let again = folded(rig.open().replay().unwrap().records);
            assert_eq!(again, self.prefixes[survivors], "{what}: it comes back the same after {how:?}");
        }
        rig.go_on(&ballot);
        files.power_cut(Loss::Everything);
        assert_eq!(folded(rig.open().replay().unwrap().records), gone_on, "{what}: it goes on");
    }
}

pub(super) fn rig_on(files: &SimulatedFiles) -> Rig {
    let dir = PathBuf::from("/log");
    Rig {
        files: Arc::new(files.clone()),
        dir,
        segment_bytes: SEGMENT_BYTES,
        few_turns: keeper::FEW_TURNS,
        turns: Vec::new(),
    }
}

/// A disk with a log that was made and never used.
fn fresh() -> SimulatedFiles {
    let files = SimulatedFiles::new();
    Rig::new(Arc::new(files.clone()), PathBuf::from("/log"), SEGMENT_BYTES);
    files.sync_dir(Path::new("/")).unwrap();
    files
}

fn losses(seed: u64) -> [Loss; 4] {
    [Loss::Nothing, Loss::Everything, Loss::Sectors { seed }, Loss::Sectors { seed: seed + 1 }]
}

/// How many calls a whole run of the script makes.
fn calls(script: &Script) -> u64 {
    let files = fresh();
    let before = files.calls().total();
    assert_eq!(script.run(&script.rig_on(&files)), TURNS);
    files.calls().total() - before
}

#[test]
fn a_crash_between_any_two_calls_loses_nothing_that_was_acknowledged() {
    for seed in 0..4 {
        let script = Script::new(seed);
        for stop in 1..=calls(&script) {
            let files = fresh();
            files.stop_at(stop);
            let acknowledged = script.run(&script.rig_on(&files));
            for how in losses(seed * 1_000 + stop) {
                let files = files.copy();
                files.power_cut(how);
                let what = format!("seed {seed}, stopped at call {stop}, {how:?}");
                script.check(&script.rig_on(&files), &files, acknowledged, &what);
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing_either() {
    for script in [11, 12].map(Script::new) {
        for stop in (1..=calls(&script)).step_by(2) {
            let files = fresh();
            files.stop_at(stop);
            let acknowledged = script.run(&script.rig_on(&files));
            files.power_cut(Loss::Sectors { seed: stop });
            for again in 1.. {
                let files = files.copy();
                files.stop_at(again);
                let _ = script.rig_on(&files).open().replay();
                let is_through = !files.is_stopped();
                for how in losses(stop * 1_000 + again) {
                    let files = files.copy();
                    files.power_cut(how);
                    let what = format!("stopped at call {stop}, in recovery at {again}, {how:?}");
                    script.survivors(&script.rig_on(&files), acknowledged, &what);
                }
                if is_through {
                    break;
                }
            }
        }
    }
}

#[test]
fn after_a_call_that_failed_nothing_is_acknowledged() {
    for seed in 20..22 {
        let script = Script::new(seed);
        for call in 1..=calls(&script) {
            for fault in [Fault::EIO, Fault::ENOSPC] {
                let files = fresh();
                files.fail_at(call, fault);
                let acknowledged = script.run(&script.rig_on(&files));
                files.clear_faults();
                for how in losses(seed * 1_000 + call) {
                    let files = files.copy();
                    files.power_cut(how);
                    let what = format!("seed {seed}, call {call} failed with {fault:?}, {how:?}");
                    script.check(&script.rig_on(&files), &files, acknowledged, &what);
                }
            }
        }
    }
}

#[test]
fn a_sync_that_failed_is_never_tried_again() {
    let script = Script::new(30);
    for sync in 1..=TURNS as u64 {
        let files = fresh();
        files.fail_call_at(Call::Sync, sync, Fault::EIO);
        let acknowledged = script.run(&script.rig_on(&files));
        files.power_cut(Loss::Everything);
        script.survivors(&script.rig_on(&files), acknowledged, &format!("sync {sync}"));
    }
}

/// A process is killed before it marks a turn. The next one copies the turn into a new segment, and loses
/// its power before that has its name: the copy is on the spare, and a part of the turn is not where it
/// was. The third one must not read the rest of the copy behind what it writes over it.
#[test]
fn what_was_written_to_a_spare_is_not_read() {
    let ballot = |term| Record::Ballot { term: Term(term), vote: None };
    let turn = [ballot(1), ballot(2), ballot(3)];
    let files = fresh();
    let mut wal = rig_on(&files).open();
    wal.replay().unwrap();
    wal.write(&turn).unwrap();
    files.power_cut(Loss::Nothing);
    files.fail_call_at(Call::Rename, 1, Fault::EIO);
    assert!(rig_on(&files).open().replay().is_err(), "it does not come as far as the name");
    files.clear_faults();
    files.power_cut(Loss::Everything);
    let segment = Path::new("/log").join(segment_name(1));
    let second = Header::FRAME_BYTES + frame::MARK_BYTES;
    files.damage(&segment, |bytes| bytes[second..].fill(0)).unwrap();
    for _ in 0..3 {
        let records = rig_on(&files).open().replay().unwrap().records;
        assert_eq!(records, [ballot(1)], "the others are lost, and stay so");
    }
}

/// The mark behind it is lost with the power, and the segments that it covers are gone for good: with
/// one of these trails the very entry that it names is among them, and nobody could find out any more
/// whether the log held it.
#[test]
fn a_marker_that_no_mark_covers_keeps_what_is_behind_it() {
    for trail in 1..=24 {
        let (files, mut author, mut written) = (fresh(), Author::default(), Vec::new());
        let rig = rig_on(&files);
        let mut wal = rig.open();
        wal.replay().unwrap();
        for step in [APPEND; 30].into_iter().chain([Step::Compact { trail }]) {
            let turn = author.write(step);
            wal.write(&turn).unwrap();
            wal.after_turn().unwrap();
            written.extend(turn);
        }
        assert!(files.read(&rig.dir.join(segment_name(1))).is_err(), "its segment went");
        files.sync_dir(&rig.dir).unwrap();
        files.power_cut(Loss::Everything);
        for _ in 0..2 {
            let found = folded(rig.open().replay().unwrap().records);
            assert_eq!(found, folded(written.clone()), "trail {trail}");
        }
    }
}

#[test]
fn short_writes_are_written_on() {
    for seed in 0..10 {
        let script = Script::new(40 + seed);
        let files = fresh();
        files.short_writes(seed);
        assert_eq!(script.run(&script.rig_on(&files)), TURNS);
        files.power_cut(Loss::Everything);
        script.check(&script.rig_on(&files), &files, TURNS, &format!("seed {seed}"));
    }
}

#[test]
fn a_full_disk_is_met_before_it_hurts_and_forgotten_when_there_is_room() {
    for few_turns in [0, keeper::FEW_TURNS] {
        let files = fresh();
        let rig = Rig { few_turns, ..rig_on(&files) };
        let mut wal = rig.open();
        let mut author = Author::default();
        let mut written = Vec::new();
        wal.replay().unwrap();
        files.set_capacity(Some(files.used() + 3 * SEGMENT_BYTES));
        while !wal.keeper.room().is_full() {
            let turn = author.write(APPEND);
            wal.write(&turn).unwrap();
            wal.after_turn().unwrap();
            written.extend(turn);
            assert!(written.len() < 1_000, "a disk has an end");
        }
        // What was under way still fits, and so do votes.
        for term in 1..=4 {
            let turn = vec![Record::Ballot { term: Term(term), vote: None }];
            wal.write(&turn).unwrap();
            wal.after_turn().unwrap();
            written.extend(turn);
        }
        wal.keeper.retry();
        assert!(wal.keeper.room().is_full(), "there is no more room than before");
        files.set_capacity(None);
        wal.keeper.retry();
        assert!(!wal.keeper.room().is_full(), "there is room again");
        for _ in 0..20 {
            let turn = author.write(APPEND);
            wal.write(&turn).unwrap();
            wal.after_turn().unwrap();
            written.extend(turn);
        }
        files.power_cut(Loss::Everything);
        assert_eq!(folded(rig.open().replay().unwrap().records), folded(written));
    }
}
