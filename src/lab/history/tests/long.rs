//! How many steps long searches take: figures that no busy machine changes.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{chance::perform, *};
use crate::machine::Kv;

/// What clients do next: from their number, and a counter that makes values unique.
type Habit = fn(&mut ChaCha8Rng, u64) -> KvOp;

fn registers(rng: &mut ChaCha8Rng, unique: u64) -> KvOp {
    match rng.random_range(0..10u8) {
        0..4 => Query::get("x").into(),
        4..8 => Command::set("x", unique.to_string()).into(),
        8 => Command::delete("x").into(),
        _ => Command::compare_and_set("x", Some(unique.to_string()), None::<String>).into(),
    }
}

fn appends(rng: &mut ChaCha8Rng, unique: u64) -> KvOp {
    match rng.random_range(0..4u8) {
        0 => Query::get("x").into(),
        _ => Command::append("x", format!("{unique:05},")).into(),
    }
}

fn blind_counters(rng: &mut ChaCha8Rng, _: u64) -> KvOp {
    match rng.random_range(0..4u8) {
        0 => Query::get("x").into(),
        _ => Command::append("x", "+").into(),
    }
}

/// Clients, each of which waits for one answer before it does the next thing, on one key of a real store.
/// One in `unknown_one_in` operations is not answered: half of them are done, somewhat later.
fn clients(seed: u64, count: u64, length: usize, unknown_one_in: u32, habit: Habit) -> KvHistory {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut store = Kv::default();
    let mut history = KvHistory::new();
    // When something takes effect: then, whose it is, whether it is answered, and since when it was under way.
    let mut agenda = std::collections::BTreeMap::new();
    let begin = |rng: &mut ChaCha8Rng, agenda: &mut std::collections::BTreeMap<_, _>, client, now: u64| {
        let is_unknown = unknown_one_in > 0 && rng.random_ratio(1, unknown_one_in);
        let delay = rng.random_range(1..100u64) * if is_unknown { 10 } else { 1 };
        agenda.insert((now + delay, rng.next_u64()), (client, is_unknown, now));
    };
    (0..count).for_each(|client| begin(&mut rng, &mut agenda, client, 0));
    while history.len() < length {
        let ((now, unique), (client, is_unknown, since)) = agenda.pop_first().unwrap();
        let op = habit(&mut rng, unique % 100_000);
        let back = now + rng.random_range(1..100u64);
        if !is_unknown {
            let answer = perform(&mut store, &op);
            history.answered(client, op, since, back, answer);
        } else {
            if rng.random_bool(0.5) {
                perform(&mut store, &op);
            }
            history.unknown(client, op, since);
        }
        begin(&mut rng, &mut agenda, client, back);
    }
    history
}

/// The steps of a search that has to succeed.
#[track_caller]
fn steps(history: &KvHistory) -> u64 {
    match kv::check(&Checker::default(), history) {
        Ok(checked) => checked.steps,
        Err(failure) => panic!("{failure}"),
    }
}

/// The steps of a search that has to fail, for a read at the end of what nobody wrote.
#[track_caller]
fn steps_to_fail(mut history: KvHistory) -> u64 {
    history.answered(99, get(), u64::MAX - 1, u64::MAX, read("nobody wrote this"));
    let mut range = (0, Checker::default().steps_max);
    let failed = |steps_max| match kv::check(&Checker::default().with_steps_max(steps_max), &history) {
        Ok(_) => panic!("it passed"),
        Err(failure) => matches!(failure, Failure::Violation(_)),
    };
    assert!(failed(range.1), "given up");
    while range.0 + 1 < range.1 {
        let middle = range.0.midpoint(range.1);
        *(if failed(middle) { &mut range.1 } else { &mut range.0 }) = middle;
    }
    range.1
}

#[test]
fn ten_thousand_operations_of_eight_clients() {
    for (name, habit) in
        [("registers", registers as Habit), ("appends", appends), ("blind counters", blind_counters)]
    {
        for unknown_one_in in [0, 100] {
            let history = clients(1, 8, 10_000, unknown_one_in, habit);
            let steps = steps(&history);
            assert!(steps < 100_000, "{name}, one in {unknown_one_in} unknown: {steps} steps");
        }
    }
}

#[test]
fn thirty_unknown_writes_that_nobody_reads() {
    let mut history = history(&[(1, set("a"), 0, 1, Some(before("")))]);
    for client in 0..30 {
        history.unknown(client, Command::set("x", format!("u{client}")), 2);
    }
    for at in 0..10 {
        history.answered(1, get(), 10 + 2 * at, 11 + 2 * at, read("a"));
    }
    assert!(steps(&history) < 100);
    let steps = steps_to_fail(history);
    assert!(steps < 2_000, "{steps}");
}

#[test]
fn thirty_unknown_writes_that_are_read_once_each() {
    let mut history = history(&[(1, set("a"), 0, 1, Some(before("")))]);
    for client in 0..30 {
        history.unknown(client, Command::set("x", format!("u{client}")), 2);
    }
    for at in 0..30 {
        let seen = Response::Value(Some(format!("u{}", 29 - at).into()));
        history.answered(1, get(), 10 + 2 * at, 11 + 2 * at, seen);
    }
    let passed = steps(&history);
    assert!(passed < 60_000, "{passed}");
    let steps = steps_to_fail(history);
    assert!(steps < 120_000, "{steps}");
}

#[test]
fn thirty_unknown_appends_of_which_some_are_read() {
    let mut history = KvHistory::new();
    for client in 0..30 {
        history.unknown(client, Command::append("x", format!("u{client:02},")), 0);
    }
    let mut text = String::new();
    for at in 0..40 {
        if at % 8 == 3 {
            text += &format!("u{:02},", 29 - at / 8);
        }
        text += &format!("a{at:02},");
        let length = Answer::Length(text.len() as u64);
        history.answered(1, Command::append("x", format!("a{at:02},")), 10 * at, 10 * at + 2, length);
        if at % 10 == 9 {
            let seen = Response::Value(Some(text.clone().into()));
            history.answered(2, get(), 10 * at + 4, 10 * at + 6, seen);
        }
    }
    let passed = steps(&history);
    assert!(passed < 3_000, "{passed}");
    let steps = steps_to_fail(history);
    assert!(steps < 200_000, "{steps}");
}
