//! `log.rs` against a plain list of entries (§5.3).

use proptest::{collection::vec, prelude::*};

use super::*;

/// The oracle: every entry from index 1 on, and how many are gone from the front. Its terms stay
/// known, which makes it easy to see what a compacted log has to answer.
#[derive(Clone, Debug, Default)]
struct Plain {
    entries: Vec<(u64, Command)>,
    gone: usize,
}

impl Plain {
    fn term(&self, index: u64) -> Option<u64> {
        match index {
            0 if self.gone == 0 => Some(0),
            _ if index < self.gone as u64 => None,
            _ => self.entries.get(index.checked_sub(1)? as usize).map(|&(term, _)| term),
        }
    }

    fn last(&self) -> Position {
        Position::new(self.entries.last().map_or(0, |&(term, _)| term), self.entries.len() as u64)
    }

    fn base(&self) -> Position {
        Position::new(self.term(self.gone as u64).unwrap_or(0), self.gone as u64)
    }
}

fn batch(term: u64, first: u64, commands: &[u64]) -> Option<Batch> {
    Batch::new(Term(term), Index(first), commands.iter().map(data).collect())
}

/// Entries `first..` as a leader of some other history would send them.
fn batches(first: u64, runs: &[(u64, Vec<u64>)]) -> Vec<Batch> {
    let mut index = first;
    let mut batches = Vec::new();
    for (term, commands) in runs {
        batches.extend(batch(*term, index, commands));
        index += commands.len() as u64;
    }
    batches
}

#[derive(Clone, Debug)]
enum Step {
    /// A leader appends in a term so much later.
    Append(u64, Vec<u64>),
    /// A leader's entries, behind the entry so far from our end: it holds so many of ours, then
    /// others of its own.
    Splice { back: u64, same: u64, later: u64, runs: Vec<(u64, Vec<u64>)> },
    /// A snapshot of so many of our entries.
    Compact(u64),
    /// A snapshot of somebody else's, so far beyond our end.
    Beyond(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let commands = || vec(0..1_000u64, 1..4);
    prop_oneof![
        4 => (0..2u64, commands()).prop_map(|(later, commands)| Step::Append(later, commands)),
        4 => (0..8u64, 0..8u64, 0..2u64, vec((0..2u64, commands()), 0..3))
            .prop_map(|(back, same, later, runs)| Step::Splice { back, same, later, runs }),
        1 => (0..12u64).prop_map(Step::Compact),
        1 => (1..4u64).prop_map(Step::Beyond),
    ]
}

/// Does one step to both; returns the records that the log yields.
fn apply(step: Step, log: &mut Log, plain: &mut Plain) -> Vec<Record> {
    match step {
        Step::Append(later, commands) => {
            let term = plain.last().term.0 + later;
            log.append(Term(term), commands.iter().map(data).collect());
            plain.entries.extend(commands.iter().map(|command| (term, data(command))));
        }
        Step::Splice { back, same, later, runs } => splice(log, plain, back, same, later, &runs),
        Step::Compact(back) => {
            let index = plain.last().index.0.saturating_sub(back);
            if let Some(term) = plain.term(index) {
                assert_eq!(log.compact(Position::new(term, index)), index > plain.gone as u64);
                plain.gone = plain.gone.max(index as usize);
            }
        }
        Step::Beyond(ahead) => {
            let at = Position::new(plain.last().term.0 + 1, plain.last().index.0 + ahead);
            assert!(log.compact(at));
            plain.entries.resize(at.index.0 as usize, (at.term.0, Command::Noop));
            plain.gone = at.index.0 as usize;
        }
    }
    log.take_records()
}

/// AppendEntries, receiver, steps 2 to 4, in the words of Figure 2.
fn splice(log: &mut Log, plain: &mut Plain, back: u64, same: u64, later: u64, runs: &[(u64, Vec<u64>)]) {
    let prev = plain.last().index.0.saturating_sub(back);
    let Some(prev_term) = plain.term(prev) else { return };
    // What the leader sends: some of our own entries, then its own in terms of its own.
    let mut sent: Vec<(u64, Command)> =
        plain.entries[prev as usize..].iter().take(same as usize).cloned().collect();
    let mut term = sent.last().map_or(prev_term, |&(term, _)| term);
    let mut slice: Vec<Batch> = Vec::new();
    for (offset, (term, command)) in sent.iter().enumerate() {
        let index = Index(prev + 1 + offset as u64);
        slice.extend(Batch::new(Term(*term), index, vec![command.clone()]));
    }
    let own_terms = plain.last().term.0 + 1 + later;
    let mut own = Vec::new();
    for (later, commands) in runs {
        term = term.max(own_terms) + later;
        own.push((term, commands.clone()));
        sent.extend(commands.iter().map(|command| (term, data(command))));
    }
    slice.extend(batches(prev + 1 + slice.len() as u64, &own));

    assert_eq!(log.check(Position::new(prev_term, prev)), Ok(()));
    let conflicts =
        |&(index, (term, _)): &(u64, &(u64, Command))| plain.term(index).is_some_and(|ours| ours != *term);
    let conflict = (prev + 1..).zip(&sent).find(conflicts).map(|(index, _)| index);
    assert_eq!(log.conflict(&slice), conflict.map(Index));
    let before = plain.entries.len() as u64;
    if let Some(index) = conflict {
        plain.entries.truncate(index as usize - 1);
    }
    let fresh: Vec<_> =
        (prev + 1..).zip(sent).skip_while(|&(index, _)| index <= plain.entries.len() as u64).collect();
    plain.entries.extend(fresh.iter().map(|(_, entry)| entry.clone()));
    let new: u64 = log.splice(&slice).iter().map(Batch::count).sum();
    assert_eq!(new, fresh.len() as u64);
    if conflict.is_none() {
        assert!(plain.entries.len() as u64 >= before, "nothing that matches is cut off");
    }
}

/// Everything that can be asked about a log.
fn compare(log: &Log, plain: &Plain) {
    assert_eq!((log.last(), log.base()), (plain.last(), plain.base()));
    let end = plain.last().index.0 + 2;
    for index in 0..=end {
        assert_eq!(log.term_at(Index(index)), plain.term(index).map(Term), "term at {index}");
        for term in [plain.term(index).unwrap_or(0), 999] {
            let has = plain.term(index) == Some(term);
            assert_eq!(log.has(Position::new(term, index)), has);
            assert_eq!(log.check(Position::new(term, index)).is_ok(), has || index < plain.gone as u64);
        }
        let weight: usize =
            plain.entries.iter().skip(plain.gone.max(index as usize)).map(|(_, c)| c.weight()).sum();
        // A batch that is cut counts whole, so the log may say a little more.
        assert!(log.weight_after(Index(index)) >= weight as u64);
    }
    let whole: usize = plain.entries.iter().skip(plain.gone).map(|(_, command)| command.weight()).sum();
    assert_eq!(log.weight_after(plain.base().index), whole as u64);
    compare_entries(log, plain, end);
    compare_floor(log, plain, end);
}

fn compare_entries(log: &Log, plain: &Plain, end: u64) {
    let flat = |batches: &[Batch]| -> Vec<(Position, Command)> {
        batches
            .iter()
            .flat_map(Batch::entries)
            .map(|(position, command)| (position, command.clone()))
            .collect()
    };
    let expect = |from: u64, to: u64| -> Vec<(Position, Command)> {
        let here = (1u64..).zip(&plain.entries).skip(plain.gone);
        here.filter(|&(index, _)| index >= from && index <= to)
            .map(|(index, (term, command))| (Position::new(*term, index), command.clone()))
            .collect()
    };
    for (from, to) in [(0, end), (plain.gone as u64 + 1, end), (plain.gone as u64 + 3, end - 2)] {
        assert_eq!(flat(&log.all(Index(from), Index(to))), expect(from, to));
    }
    for from in plain.gone as u64 + 1..=end {
        for (entries_max, bytes_max) in [(1, 1 << 20), (3, 1 << 20), (99, 1), (99, 130), (2, 95)] {
            let slice = log.slice(Index(from), Index(end), entries_max, bytes_max);
            let mut room = bytes_max;
            let fits =
                expect(from, end).into_iter().take(entries_max).enumerate().take_while(|(number, entry)| {
                    let weight = entry.1.weight();
                    let fits = weight <= room || *number == 0;
                    room = room.saturating_sub(weight);
                    fits
                });
            assert_eq!(
                flat(&slice),
                fits.map(|(_, entry)| entry).collect::<Vec<_>>(),
                "{from} {entries_max} {bytes_max}"
            );
        }
    }
}

/// "The last position at or below `index` whose term is at most `term`."
fn compare_floor(log: &Log, plain: &Plain, end: u64) {
    for index in 0..=end {
        for term in 0..=plain.last().term.0 + 1 {
            let found = (0..=index).rev().find_map(|index| {
                plain.term(index).filter(|&ours| ours <= term).map(|ours| Position::new(ours, index))
            });
            assert_eq!(log.floor(Index(index), Term(term)), found, "floor {index} {term}");
        }
    }
}

/// What stands behind an index weighs what its batches weigh, whether they stand near the end or not; one
/// that is cut counts whole.
#[test]
fn what_stands_behind_an_index_weighs_its_batches() {
    let mut log = Log::default();
    for _ in 0..9 {
        log.append(Term(1), vec![data("a"), data("b")]);
    }
    let (batch, last) = (2 * data("a").weight() as u64, 18);
    let expect = |base: u64, index: u64| (last - index.clamp(base, last)).div_ceil(2) * batch;
    for index in 0..=last + 2 {
        assert_eq!(log.weight_after(Index(index)), expect(0, index), "behind {index}");
    }
    log.compact(Position::new(1, 6));
    for index in 0..=last + 2 {
        assert_eq!(log.weight_after(Index(index)), expect(6, index), "behind {index}, without 1..=6");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The log answers as the list does, after every step; its records, replayed, make the same log,
    /// also from any shorter beginning of them: a crash keeps a part of a turn.
    #[test]
    fn the_log_is_a_list_of_entries(steps in vec(step(), 0..25)) {
        let (mut log, mut plain) = (Log::default(), Plain::default());
        let mut again = Log::default();
        for step in steps {
            for record in apply(step, &mut log, &mut plain) {
                again.replay(record).unwrap();
            }
            compare(&log, &plain);
            prop_assert!(again.take_records().is_empty(), "what is replayed is durable already");
            compare(&again, &plain);
        }
    }
}

/// The log on the bench: 1@0 and then these terms.
fn log_of(terms: &[u64]) -> Log {
    let mut log = Log::default();
    disk(3, (0, None), terms).into_iter().for_each(|record| log.replay(record).unwrap());
    log
}

/// "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm", with
/// "the term of the conflicting entry and the first index it stores for that term" (§5.3).
#[test]
fn a_refusal_carries_the_conflicting_term_and_its_first_index() {
    let log = log_of(&[1, 1, 4, 4, 4, 6]);
    let conflict = |term, index| log.check(Position::new(term, index)).unwrap_err();
    let prev = Position::new(5, 6);
    assert_eq!(conflict(5, 6), Conflict { prev, term: Some(Term(4)), first: Index(4) });
    let prev = Position::new(9, 7);
    assert_eq!(conflict(9, 7), Conflict { prev, term: Some(Term(6)), first: Index(7) });
    let prev = Position::new(9, 30);
    assert_eq!(conflict(9, 30), Conflict { prev, term: None, first: Index(8) });
    let prev = Position::new(1, 1);
    assert_eq!(conflict(1, 1), Conflict { prev, term: Some(Term(0)), first: Index(1) });
}

/// What a snapshot covers is committed, hence the same everywhere: it needs no check. But an entry
/// that contradicts its very last one is of a deposed leader, and its tail does not belong here.
#[test]
fn what_reaches_over_a_snapshot_must_agree_with_its_last_entry() {
    let mut log = log_of(&[1, 1, 2, 2]);
    log.compact(Position::new(2, 4));
    assert_eq!(log.check(Position::new(1, 2)), Ok(()));
    let ours = batches(3, &[(1, vec![0]), (2, vec![0, 0, 0])]);
    assert_eq!(log.conflict(&ours), None);
    let theirs = batches(3, &[(1, vec![0, 0, 0, 0])]);
    assert_eq!(log.conflict(&theirs), Some(Index(4)));
}

/// A stored log with a hole is not guessed at.
#[test]
fn a_hole_in_what_storage_gives_back_is_an_error() {
    let hole = Record::Entries(batch(1, 3, &[0]).unwrap());
    let fallen = [batch(2, 1, &[0]).unwrap(), batch(1, 2, &[0]).unwrap()].map(Record::Entries);
    let mut log = Log::default();
    let error = log.replay(hole).unwrap_err();
    assert!(error.to_string().contains("can't follow 0@0"), "{error}");
    let mut log = Log::default();
    let results: Vec<_> = fallen.into_iter().map(|record| log.replay(record).is_ok()).collect();
    assert_eq!(results, [true, false], "terms do not decrease");
}

/// Only the marker of a snapshot promises nothing to anybody.
#[test]
fn only_compaction_can_wait_for_the_next_sync() {
    let mut log = log_of(&[1, 1]);
    log.compact(Position::new(1, 2));
    assert!(!log.has_urgent_records());
    log.append(Term(1), vec![Command::Noop]);
    assert!(log.has_urgent_records());
    assert_eq!(log.take_records().len(), 2);
    assert!(!log.has_urgent_records());
}
