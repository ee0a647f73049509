//! Small classical histories, each with its verdict; what recorders write; what people read.

use super::{
    kv::{KvAnswer, KvOp},
    *,
};
use crate::machine::kv::{Answer, Command, Query, Response};

mod chance;
mod long;

type KvHistory = History<KvOp, KvAnswer>;

fn value(text: &'static str) -> Option<bytes::Bytes> {
    (!text.is_empty()).then(|| text.into())
}

fn before(text: &'static str) -> KvAnswer {
    Answer::Before(value(text)).into()
}

fn read(text: &'static str) -> KvAnswer {
    Response::Value(value(text)).into()
}

fn set(text: &'static str) -> KvOp {
    Command::set("x", text).into()
}

fn append(text: &'static str) -> KvOp {
    Command::append("x", text).into()
}

fn get() -> KvOp {
    Query::get("x").into()
}

fn swap(from: &'static str, to: &'static str) -> KvOp {
    Command::CompareAndSet { key: "x".into(), expected: value(from), new: value(to) }.into()
}

fn length(bytes: u64) -> KvAnswer {
    Answer::Length(bytes).into()
}

/// Who, what, from when to when, and what was answered; without an answer the outcome is unknown.
type Line = (u64, KvOp, u64, u64, Option<KvAnswer>);

fn history(lines: &[Line]) -> KvHistory {
    let mut history = KvHistory::new();
    for (client, op, from, to, answer) in lines.iter().cloned() {
        match answer {
            Some(answer) => history.answered(client, op, from, to, answer),
            None => history.unknown(client, op, from),
        }
    }
    history
}

fn is_linearizable(history: &KvHistory) -> bool {
    match kv::check(&Checker::default(), history) {
        Ok(_) => true,
        Err(Failure::Violation(_)) => false,
        Err(failure) => panic!("{failure}"),
    }
}

#[track_caller]
fn passes(lines: &[Line]) {
    let history = history(lines);
    if let Err(failure) = kv::check(&Checker::default(), &history) {
        panic!("{failure}");
    }
    assert!(chance::explained(&history), "the reference disagrees");
}

#[track_caller]
fn fails(lines: &[Line]) {
    let history = history(lines);
    assert!(!is_linearizable(&history), "it passed");
    assert!(!chance::explained(&history), "the reference disagrees");
}

#[test]
fn nothing_and_one_after_another() {
    passes(&[]);
    passes(&[(1, get(), 0, 1, Some(read("")))]);
    passes(&[(1, set("a"), 0, 1, Some(before(""))), (1, get(), 2, 3, Some(read("a")))]);
}

#[test]
fn a_stale_read() {
    let writes = [(1, set("a"), 0, 1, Some(before(""))), (1, set("b"), 2, 3, Some(before("a")))];
    let [first, second] = writes;
    fails(&[first.clone(), second.clone(), (2, get(), 4, 5, Some(read("a")))]);
    // At the same instant, or while the write is under way, either value is right.
    passes(&[first.clone(), second.clone(), (2, get(), 3, 5, Some(read("a")))]);
    passes(&[first.clone(), second.clone(), (2, get(), 2, 5, Some(read("b")))]);
    // But nobody sees the new one and then the old one.
    let new = (2, get(), 2, 2, Some(read("b")));
    let old = (3, get(), 3, 3, Some(read("a")));
    fails(&[first.clone(), second.clone(), new.clone(), old.clone()]);
    passes(&[first, (1, set("b"), 2, 9, Some(before("a"))), old.clone(), (2, get(), 4, 5, Some(read("b")))]);
}

#[test]
fn a_value_that_was_never_written() {
    fails(&[(1, set("a"), 0, 1, Some(before(""))), (2, get(), 2, 3, Some(read("b")))]);
    fails(&[(1, get(), 0, 1, Some(read("a"))), (1, set("a"), 2, 3, Some(before("")))]);
}

#[test]
fn a_lost_update() {
    // Both saw the same value before them.
    let first = (1, set("a"), 0, 5, Some(before("")));
    fails(&[first.clone(), (2, set("b"), 0, 5, Some(before("")))]);
    passes(&[first, (2, set("b"), 0, 5, Some(before("a")))]);
    // One of two appends is gone.
    let appends = [(1, append("a"), 0, 1, Some(length(1))), (2, append("b"), 2, 3, Some(length(2)))];
    let [first, second] = appends;
    fails(&[first.clone(), second.clone(), (3, get(), 4, 5, Some(read("b")))]);
    passes(&[first, second, (3, get(), 4, 5, Some(read("ab")))]);
}

#[test]
fn a_write_of_unknown_outcome() {
    let unknown = (1, set("b"), 2, 0, None);
    let known = (1, set("a"), 0, 1, Some(before("")));
    // Never seen; seen later, for good.
    passes(&[known.clone(), unknown.clone(), (2, get(), 5, 6, Some(read("a")))]);
    passes(&[known.clone(), unknown.clone(), (2, get(), 5, 6, Some(read("b")))]);
    let (old, new) = ((2, get(), 5, 6, Some(read("a"))), (2, get(), 7, 8, Some(read("b"))));
    passes(&[known.clone(), unknown.clone(), old, new]);
    // Once seen it can't be undone, and it is not seen before it was invoked.
    let (new, old) = ((2, get(), 5, 6, Some(read("b"))), (2, get(), 7, 8, Some(read("a"))));
    fails(&[known.clone(), unknown, new.clone(), old]);
    fails(&[known, (1, set("b"), 7, 0, None), new]);
}

#[test]
fn an_unknown_one_takes_effect_long_after_it_was_given_up() {
    let unknown = (1, set("b"), 0, 0, None);
    let later = (2, set("a"), 10, 11, Some(before("")));
    passes(&[unknown.clone(), later.clone(), (2, get(), 12, 13, Some(read("b")))]);
    passes(&[unknown.clone(), later.clone(), (2, set("c"), 12, 13, Some(before("b")))]);
    // It takes effect once only.
    let again = (2, set("d"), 14, 15, Some(before("b")));
    fails(&[unknown, later, (2, set("c"), 12, 13, Some(before("b"))), again]);
}

#[test]
fn an_append_that_is_done_twice() {
    let once = (1, append("a"), 0, 1, Some(length(1)));
    fails(&[once.clone(), (2, get(), 2, 3, Some(read("aa")))]);
    let unknown = (1, append("a"), 0, 0, None);
    fails(&[unknown.clone(), (2, get(), 2, 3, Some(read("aa")))]);
    // A client that sends it again has itself to blame.
    passes(&[unknown.clone(), unknown.clone(), (2, get(), 2, 3, Some(read("aa")))]);
    // It is in the length, too.
    passes(&[unknown.clone(), (2, append("b"), 2, 3, Some(length(2)))]);
    fails(&[unknown, (2, append("b"), 2, 3, Some(length(3)))]);
}

/// It changes nothing where it fits first, and is needed where it does.
#[test]
fn an_append_of_nothing() {
    let nothing = |from, to| (1, append(""), from, to, Some(length(0)));
    let is_there = Some(Answer::Before(Some(bytes::Bytes::new())).into());
    let delete = (2, Command::delete("x").into(), 23, 46, is_there.clone());
    passes(&[nothing(27, 35), nothing(30, 67), delete, (3, set("c"), 52, 69, is_there)]);
}

#[test]
fn two_swaps_of_the_same_value() {
    let first = (1, set("a"), 0, 1, Some(before("")));
    let (won, lost) = (Some(Answer::Swapped.into()), Some(Answer::Different(value("b")).into()));
    let swapped = (1, swap("a", "b"), 2, 5, won.clone());
    fails(&[first.clone(), swapped.clone(), (2, swap("a", "c"), 2, 5, won.clone())]);
    passes(&[first.clone(), swapped.clone(), (2, swap("a", "c"), 2, 5, lost)]);
    // It can't be different from what it is.
    let absurd = Some(Answer::Different(value("a")).into());
    fails(&[first.clone(), (2, swap("a", "c"), 2, 5, absurd)]);
    // An unknown one may have been the one that made the difference, or may not.
    passes(&[first.clone(), (1, swap("a", "b"), 2, 0, None), (2, swap("b", "c"), 3, 5, won.clone())]);
    passes(&[first, (1, swap("a", "b"), 2, 0, None), (2, swap("a", "c"), 3, 5, won)]);
}

#[test]
fn a_delete() {
    let delete = || KvOp::from(Command::delete("x"));
    let first = (1, set("a"), 0, 1, Some(before("")));
    passes(&[first.clone(), (1, delete(), 2, 3, Some(before("a"))), (2, get(), 4, 5, Some(read("")))]);
    fails(&[first.clone(), (1, delete(), 2, 3, Some(before("a"))), (2, get(), 4, 5, Some(read("a")))]);
    passes(&[first.clone(), (1, delete(), 2, 0, None), (2, append("b"), 4, 5, Some(length(1)))]);
    fails(&[first, (1, append("b"), 2, 3, Some(length(1)))]);
}

#[test]
fn parts_of_a_value() {
    let part = |text: &'static str, total| Some(Response::Part { bytes: value(text), total }.into());
    let ask = |offset, limit| KvOp::from(Query::read("x", offset, limit));
    let first = (1, set("abc"), 0, 1, Some(before("")));
    passes(&[first.clone(), (2, ask(1, 1), 2, 3, part("b", 3))]);
    passes(&[first.clone(), (2, ask(0, 9), 2, 3, part("abc", 3))]);
    fails(&[first.clone(), (2, ask(1, 1), 2, 3, part("c", 3))]);
    fails(&[first.clone(), (2, ask(1, 1), 2, 3, part("b", 4))]);
    fails(&[first, (2, ask(1, 1), 2, 3, part("", 0))]);
}

#[test]
fn keys_are_checked_alone_and_in_order() {
    let mut history = KvHistory::new();
    for key in ["z", "m", "a"] {
        history.answered(1, Command::set(key, "1"), 0, 1, before(""));
        history.answered(1, Query::get(key), 2, 3, read(if key == "z" { "1" } else { "2" }));
    }
    history.answered(1, Query::Count, 0, 1, Response::Count(77));
    let Err(Failure::Violation(violation)) = kv::check(&Checker::default(), &history) else { panic!() };
    assert_eq!(violation.key.as_deref(), Some("\"a\""));
    assert_eq!((violation.placed.len(), violation.stuck.len(), violation.later), (1, 1, 0));

    let mut store = kv_with("y", "1");
    history = KvHistory::new();
    history.answered(1, Query::get("y"), 0, 1, read("1"));
    history.answered(1, Query::Count, 0, 1, Response::Count(1));
    let checked = kv::check_from(&Checker::default(), &store, &history).unwrap();
    assert_eq!((checked.keys, checked.operations, checked.beyond), (1, 1, 1));
    store = kv_with("y", "2");
    assert!(kv::check_from(&Checker::default(), &store, &history).is_err());
}

fn kv_with(key: &'static str, value: &'static str) -> crate::machine::Kv {
    use crate::{machine::StateMachine, raft::Position};
    let mut store = crate::machine::Kv::default();
    store.apply(Position::new(1, 1), Command::set(key, value));
    store
}

#[test]
fn a_search_that_is_given_up_never_passes() {
    let mut history = KvHistory::new();
    for key in ["a", "b"] {
        history.answered(1, Command::set(key, "1"), 0, 1, before(""));
        history.answered(1, Query::get(key), 2, 3, read("1"));
    }
    let checker = Checker::default().with_steps_max(1);
    let failure = kv::check(&checker, &history).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "key \"a\": not decided: 1 steps placed 1 of 2 operations; \
         more steps, or a shorter history, may decide"
    );
    // Another key's violation says more.
    history.answered(1, Query::get("c"), 2, 3, read("1"));
    assert!(matches!(kv::check(&checker, &history), Err(Failure::Violation(_))));
}

#[test]
fn a_violation_shows_where_it_went_wrong() {
    let mut lines = vec![(9, set("late"), 900, 0, None)];
    for at in 0..10 {
        lines.push((1, append("x"), 10 * at, 10 * at + 5, Some(length(at + 1))));
    }
    lines.push((2, get(), 200, 300, Some(read("xx"))));
    lines.push((3, append("y"), 250, 400, Some(length(4))));
    lines.push((3, get(), 350, 400, Some(read("z"))));
    let text = kv::check(&Checker::default(), &history(&lines)).unwrap_err().to_string();
    assert_eq!(
        text,
        "key \"x\": not linearizable: no order explains all answers\n\
         placed, in this order, after 5 others:\n  \
           [50, 55] client 1: append to \"x\" \"x\" -> 6 bytes\n  \
           [60, 65] client 1: append to \"x\" \"x\" -> 7 bytes\n  \
           [70, 75] client 1: append to \"x\" \"x\" -> 8 bytes\n  \
           [80, 85] client 1: append to \"x\" \"x\" -> 9 bytes\n  \
           [90, 95] client 1: append to \"x\" \"x\" -> 10 bytes\n\
         then the state is \"xxxxxxxxxx\", and none of these fits:\n  \
           [200, 300] client 2: get \"x\" -> \"xx\"\n  \
           [250, 400] client 3: append to \"x\" \"y\" -> 4 bytes\n\
         1 began later"
    );
}

#[test]
fn a_recorder_writes_down_what_clients_say() {
    let recorder = Recorder::<KvOp, KvAnswer>::new();
    let (first, second) = (recorder.invoke(1, set("a")), recorder.invoke(2, set("b")));
    first.returned(Ok(Answer::Before(None)));
    second.returned(Err::<Answer, _>(ClientError::Busy));
    recorder.invoke(1, set("c")).returned(Err::<Answer, _>(ClientError::Unknown));
    drop(recorder.invoke(2, set("d")));
    recorder.invoke(1, get()).returned(Outcome::Answered(read("a")));

    let history = recorder.history();
    let ops: Vec<_> = history.operations().iter().map(|one| one.op.clone()).collect();
    assert_eq!(ops, [set("a"), set("c"), set("d"), get()], "what was not done is left out");
    let answers: Vec<_> = history.operations().iter().map(|one| one.answer().cloned()).collect();
    assert_eq!(answers, [Some(before("")), None, None, Some(read("a"))]);
    // No two moments are the same, whatever the clock says.
    let mut moments: Vec<u64> = history
        .operations()
        .iter()
        .flat_map(|one| [Some(one.invoked_at), one.returned.as_ref().map(|returned| returned.at)])
        .flatten()
        .collect();
    let count = moments.len();
    moments.sort_unstable();
    moments.dedup();
    assert_eq!(moments.len(), count);
    assert!(is_linearizable(&history));
}

#[test]
fn what_is_taken_is_gone() {
    let recorder = Recorder::<KvOp, KvAnswer>::new();
    let under_way = recorder.invoke(1, set("a"));
    assert_eq!(recorder.take().len(), 1);
    let next = recorder.invoke(2, set("b"));
    under_way.returned(Outcome::Answered(before("")));
    next.returned(Outcome::Answered(before("")));
    let history = recorder.take();
    assert_eq!((history.len(), history.operations()[0].op.clone()), (1, set("b")));
    assert!(recorder.history().is_empty());
}
