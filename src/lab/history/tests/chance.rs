//! Small histories by chance, against a judge that tries every order on a real store.

use proptest::prelude::*;

use super::*;
use crate::{
    machine::{Kv, StateMachine},
    raft::Position,
};

/// Whether any order of all answered and some of the other operations explains the answers of a real
/// store. Nothing is remembered, nothing is left out.
pub fn explained(history: &KvHistory) -> bool {
    let operations: Vec<_> = history.operations().iter().collect();
    try_all(&Kv::default(), &operations)
}

fn try_all(store: &Kv, rest: &[&Operation<KvOp, KvAnswer>]) -> bool {
    let returns = |one: &&Operation<_, _>| one.returned.as_ref().map_or(u64::MAX, |returned| returned.at);
    let first = rest.iter().map(returns).min().unwrap_or(u64::MAX);
    if rest.iter().all(|one| one.returned.is_none()) {
        return true;
    }
    (0..rest.len()).filter(|at| rest[*at].invoked_at <= first).any(|at| {
        let mut next = store.clone();
        let answer = perform(&mut next, &rest[at].op);
        let fits = rest[at].answer().is_none_or(|seen| *seen == answer);
        let others = [&rest[..at], &rest[at + 1..]].concat();
        fits && try_all(&next, &others)
    })
}

pub fn perform(store: &mut Kv, op: &KvOp) -> KvAnswer {
    match op.clone() {
        KvOp::Command(command) => store.apply(Position::new(1, 1), command).into(),
        KvOp::Query(query) => store.query(query).into(),
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("x"), 1 => Just("y")]
}

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("ab"), Just("c"), Just("")]
}

fn some_text() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![1 => Just(None), 3 => text().prop_map(Some)]
}

/// `parts`: also queries that show a part of a value, which make a model look more closely.
fn op(parts: bool) -> impl Strategy<Value = KvOp> {
    let part = (key(), 0..3u64, 0..4u64).prop_map(|(key, from, limit)| Query::read(key, from, limit).into());
    prop_oneof![
        3 => (key(), text()).prop_map(|(key, value)| Command::set(key, value).into()),
        1 => key().prop_map(|key| Command::delete(key).into()),
        2 => (key(), some_text(), some_text())
            .prop_map(|(key, expected, new)| Command::compare_and_set(key, expected, new).into()),
        3 => (key(), text()).prop_map(|(key, value)| Command::append(key, value).into()),
        3 => key().prop_map(|key| Query::get(key).into()),
        u32::from(parts) => part,
    ]
}

/// What became of an operation.
#[derive(Clone, Debug)]
enum Fate {
    Answered,
    DoneInSilence,
    NeverDone,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![5 => Just(Fate::Answered), 1 => Just(Fate::DoneInSilence), 1 => Just(Fate::NeverDone)]
}

/// Operations in the order in which they take effect, with how long they were under way before and after.
fn plan(length: usize) -> impl Strategy<Value = Vec<(KvOp, u64, u64, Fate)>> {
    any::<bool>().prop_flat_map(move |parts| {
        prop::collection::vec((op(parts), 0..25u64, 0..25u64, fate()), 1..=length)
    })
}

/// A history that is linearizable: a real store did it.
fn perform_all(plan: &[(KvOp, u64, u64, Fate)]) -> KvHistory {
    let mut store = Kv::default();
    let mut history = KvHistory::new();
    for (number, (op, earlier, later, fate)) in plan.iter().enumerate() {
        let (now, client) = (10 * number as u64 + 30, number as u64 % 3);
        match fate {
            Fate::Answered => {
                let answer = perform(&mut store, op);
                history.answered(client, op.clone(), now - earlier, now + later, answer);
            }
            Fate::DoneInSilence => {
                perform(&mut store, op);
                history.unknown(client, op.clone(), now - earlier);
            }
            Fate::NeverDone => history.unknown(client, op.clone(), now - earlier),
        }
    }
    history
}

/// What the operation could have been answered by another store.
fn other_answer(op: &KvOp, with: Option<&'static str>) -> KvAnswer {
    let mut store = Kv::default();
    for key in ["x", "y"] {
        if let Some(value) = with {
            perform(&mut store, &Command::set(key, value).into());
        }
    }
    perform(&mut store, op)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// What a store did is never called wrong.
    #[test]
    fn what_was_done_passes(plan in plan(40)) {
        let history = perform_all(&plan);
        if let Err(failure) = kv::check(&Checker::default(), &history) {
            panic!("{failure}");
        }
    }

    /// With another answer or two the judge that tries everything decides.
    #[test]
    fn both_judges_agree(
        plan in plan(7),
        changes in prop::collection::vec((any::<prop::sample::Index>(), some_text()), 1..=2),
    ) {
        let mut history = perform_all(&plan);
        for (at, with) in changes {
            let operation = &mut history.operations[at.index(plan.len())];
            if let Some(returned) = &mut operation.returned {
                returned.answer = other_answer(&operation.op, with);
            }
        }
        prop_assert_eq!(is_linearizable(&history), explained(&history));
    }

    /// What no store did in this order: answers of any store, at any time.
    #[test]
    fn both_judges_agree_on_nonsense(
        lines in prop::collection::vec((op(true), some_text(), 0..6u64, 0..6u64, fate()), 1..=7),
    ) {
        let mut history = KvHistory::new();
        for (op, with, from, time, fate) in lines {
            match fate {
                Fate::Answered => {
                    let answer = other_answer(&op, with);
                    history.answered(1, op, from, from + time, answer);
                }
                _ => history.unknown(1, op, from),
            }
        }
        prop_assert_eq!(is_linearizable(&history), explained(&history));
    }
}
