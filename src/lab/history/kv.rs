//! What one key of a [`Kv`] answers: the model for histories of the library's
//! key-value machine.
//!
//! What looks at many keys at once ([`Query::Keys`], [`Query::Count`], [`Query::Digest`]) is beyond a
//! check of single keys: [`check`] leaves it out, and counts it in
//! [`Checked::beyond`](super::Checked::beyond).
//!
//! ```
//! use raft_actors::lab::history::{Checker, Failure, History, kv::{self, KvAnswer, KvOp}};
//! use raft_actors::machine::kv::{Answer, Command, Query, Response};
//!
//! let mut history: History<KvOp, KvAnswer> = History::new();
//! history.answered(1, Command::set("x", "old"), 0, 10, Answer::Before(None));
//! history.answered(1, Command::set("x", "new"), 20, 30, Answer::Before(Some("old".into())));
//! history.answered(2, Query::get("x"), 40, 50, Response::Value(Some("old".into())));
//!
//! let Err(failure) = kv::check(&Checker::default(), &history) else { panic!("a stale read") };
//! assert_eq!(failure.to_string(), r#"key "x": not linearizable: no order explains all answers
//! placed, in this order:
//!   [0, 10] client 1: set "x" to "old" -> before: nothing
//!   [20, 30] client 1: set "x" to "new" -> before: "old"
//! then the state is "new", and none of these fits:
//!   [40, 50] client 2: get "x" -> "old"
//! 0 began later"#);
//! ```
//!
//! # How it keeps searches short
//!
//! A model of a key first looks at everything that is known of it. A value that no answer shows, that no
//! command compares with, and that nothing can be appended to in order to come to one that is, can't be told
//! from another such: all of these are one state, with the length if lengths are answered. So a search
//! does not distinguish unknown writes that nobody ever saw.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
};

use bytes::Bytes;

mod text;

use self::text::{Key, Quoted};
use super::{Checked, Checker, Failure, History, Model, Operation};
use crate::machine::kv::{Answer, Command, Kv, Query, Response};

/// What a client does to a store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KvOp {
    /// It proposes a command.
    Command(Command),
    /// It asks a query.
    Query(Query),
}

/// What it is answered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KvAnswer {
    /// To a command.
    Answer(Answer),
    /// To a query.
    Response(Response),
}

impl From<Command> for KvOp {
    fn from(command: Command) -> KvOp {
        KvOp::Command(command)
    }
}

impl From<Query> for KvOp {
    fn from(query: Query) -> KvOp {
        KvOp::Query(query)
    }
}

impl From<Answer> for KvAnswer {
    fn from(answer: Answer) -> KvAnswer {
        KvAnswer::Answer(answer)
    }
}

impl From<Response> for KvAnswer {
    fn from(response: Response) -> KvAnswer {
        KvAnswer::Response(response)
    }
}

impl KvOp {
    /// The key it is about; `None` if it is about many.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            KvOp::Command(
                Command::Set { key, .. }
                | Command::Delete { key }
                | Command::CompareAndSet { key, .. }
                | Command::Append { key, .. }
                | Command::Put { key, .. },
            )
            | KvOp::Query(Query::Get { key } | Query::Read { key, .. }) => Some(key),
            KvOp::Query(Query::Keys { .. } | Query::Count | Query::Digest) => None,
        }
    }
}

/// Checks what was done to a store that was empty: each key alone, in their order.
///
/// # Errors
/// See [`Checker::check_keyed`].
pub fn check(
    checker: &Checker,
    history: &History<KvOp, KvAnswer>,
) -> Result<Checked, Failure<KvOp, KvAnswer>> {
    check_from(checker, &Kv::default(), history)
}

/// Checks what was done to a store that had this in it before.
///
/// # Errors
/// See [`Checker::check_keyed`].
pub fn check_from(
    checker: &Checker,
    before: &Kv,
    history: &History<KvOp, KvAnswer>,
) -> Result<Checked, Failure<KvOp, KvAnswer>> {
    checker.check_keyed(
        history,
        |op: &KvOp| op.key().cloned().map(Key),
        |Key(key), operations| KvModel::of(before.get(key).cloned(), operations),
    )
}

type Op<'a> = &'a Operation<KvOp, KvAnswer>;

/// One key of a store. It takes each operation to be about that key.
#[derive(Clone, Debug)]
pub struct KvModel {
    begin: Option<Bytes>,
    /// All values that can be told from others, in order, without those that others begin with. `None`:
    /// parts of values were read, so each value counts.
    shown: Option<Vec<Bytes>>,
    /// The longest length that was answered to an append, if any was.
    longest: Option<u64>,
    /// How many answered operations show what was there before.
    showing: usize,
    /// Whether anything without an answer may put another value in the place of one.
    may_replace: bool,
    /// What was appended without an answer, and is part of nothing that was seen.
    hidden: HashSet<Bytes>,
}

/// What is known of a key at a moment of a search.
#[derive(Clone, Debug)]
pub struct KvState {
    value: Value,
    /// How many answered operations that show what was there are still to come.
    showing: usize,
}

/// By the value alone: `showing` follows from what was placed, and a read has to change nothing.
impl PartialEq for KvState {
    fn eq(&self, other: &KvState) -> bool {
        self.value == other.value
    }
}

impl Eq for KvState {}

impl Hash for KvState {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    Nothing,
    Known(Bytes),
    /// Nobody ever sees what it is; perhaps how long. 0 if not even that.
    Unseen(u64),
}

/// By the length and the end: values that grow are long, begin alike, and are hashed at each step.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        const END_BYTES: usize = 32;
        std::mem::discriminant(self).hash(state);
        length(self).hash(state);
        if let Value::Known(value) = self {
            value.get(value.len().saturating_sub(END_BYTES)..).hash(state);
        }
    }
}

impl KvModel {
    /// A key that had a value, or none, before these operations. The model knows no other ones.
    pub fn of(begin: Option<Bytes>, operations: &[&Operation<KvOp, KvAnswer>]) -> KvModel {
        let mut model = KvModel {
            begin,
            shown: None,
            longest: operations.iter().filter_map(length_told).max(),
            showing: operations.iter().filter(|one| shows_all(one)).count(),
            may_replace: operations.iter().any(|one| one.returned.is_none() && replaces(&one.op)),
            hidden: HashSet::new(),
        };
        if operations.iter().any(shows_part) {
            return model;
        }
        let mut shown: Vec<Bytes> = operations.iter().flat_map(values_told).cloned().collect();
        shown.sort_unstable();
        // What another begins with stands directly before it, or before others that begin with it.
        shown.reverse();
        shown.dedup_by(|shorter, longer| longer.starts_with(shorter));
        shown.reverse();
        let appended =
            operations.iter().filter(|one| one.returned.is_none()).filter_map(|one| match &one.op {
                KvOp::Command(Command::Append { value, .. }) if !value.is_empty() => Some(value),
                _ => None,
            });
        model.hidden = appended
            .filter(|more| !shown.iter().any(|one| one.windows(more.len()).any(|part| part == **more)))
            .cloned()
            .collect();
        model.shown = Some(shown);
        model
    }

    /// The longer value that was seen and that `value` is, or is the beginning of.
    fn shown(&self, value: &[u8]) -> Option<&Bytes> {
        self.shown_beyond(value).next()
    }

    /// Those that were seen and that begin with `value`.
    fn shown_beyond(&self, value: &[u8]) -> impl Iterator<Item = &Bytes> {
        let shown = self.shown.as_deref().unwrap_or_default();
        let first = shown.partition_point(|one| one.as_ref() < value);
        shown.iter().skip(first).take_while(move |one| one.starts_with(value))
    }

    /// A value, as far as it matters.
    fn value(&self, value: Bytes) -> Value {
        match (&self.shown, self.shown(&value)) {
            (None, _) => Value::Known(value),
            // A slice of what is there anyway takes no memory.
            (_, Some(shown)) => Value::Known(shown.slice(..value.len())),
            (_, None) => self.unseen(value.len() as u64),
        }
    }

    fn unseen(&self, length: u64) -> Value {
        Value::Unseen(self.longest.map_or(0, |_| length))
    }

    fn value_or_nothing(&self, value: Option<&Bytes>) -> Value {
        value.map_or(Value::Nothing, |value| self.value(value.clone()))
    }

    fn appended(&self, value: &Value, more: &Bytes) -> Value {
        match value {
            Value::Nothing => self.value(more.clone()),
            Value::Known(value) => {
                let grown = value.len() + more.len();
                // The one it would be, if it is one that was seen: then nothing is copied.
                let seen = self
                    .shown_beyond(value)
                    .find(|one| one.get(value.len()..grown).is_some_and(|end| end == more));
                match (seen, &self.shown) {
                    (Some(seen), _) => Value::Known(seen.slice(..grown)),
                    (None, Some(_)) => self.unseen(grown as u64),
                    (None, None) => Value::Known([value.as_ref(), more.as_ref()].concat().into()),
                }
            }
            Value::Unseen(length) => self.unseen(length + more.len() as u64),
        }
    }

    /// The value after a command, and what is answered to it as far as that shows more than `showing`
    /// does; `None` if it would be answered something else.
    fn apply(&self, value: &Value, command: &Command, answer: Option<&Answer>) -> Option<Value> {
        match (command, answer) {
            (Command::Set { value: new, .. }, None) => Some(self.value(new.clone())),
            (Command::Set { value: new, .. }, Some(Answer::Before(before))) => {
                is(value, before.as_ref()).then(|| self.value(new.clone()))
            }
            (Command::Put { value: new, .. }, None | Some(Answer::Done)) => Some(self.value(new.clone())),
            (Command::Delete { .. }, None) => Some(Value::Nothing),
            (Command::Delete { .. }, Some(Answer::Before(before))) => {
                is(value, before.as_ref()).then_some(Value::Nothing)
            }
            (Command::CompareAndSet { expected, new, .. }, None) => {
                Some(match is(value, expected.as_ref()) {
                    true => self.value_or_nothing(new.as_ref()),
                    false => value.clone(),
                })
            }
            (Command::CompareAndSet { expected, new, .. }, Some(Answer::Swapped)) => {
                is(value, expected.as_ref()).then(|| self.value_or_nothing(new.as_ref()))
            }
            (Command::CompareAndSet { expected, .. }, Some(Answer::Different(present))) => {
                (present != expected && is(value, present.as_ref())).then(|| value.clone())
            }
            (Command::Append { value: more, .. }, None) => Some(self.appended(value, more)),
            (Command::Append { value: more, .. }, Some(Answer::Length(told))) => {
                (length(value) + more.len() as u64 == *told).then(|| self.appended(value, more))
            }
            _ => None,
        }
    }

    /// Whether nothing that was answered can come of an unknown operation that led to this. An unseen value
    /// explains lengths only. What shows it can't be placed any more; and if something unknown replaced it
    /// directly, it would not matter that it was there.
    fn is_dead_end(&self, state: &KvState) -> bool {
        let Value::Unseen(length) = state.value else { return false };
        self.longest.is_none_or(|longest| length > longest) || (state.showing > 0 && !self.may_replace)
    }
}

impl Model for KvModel {
    type State = KvState;
    type Op = KvOp;
    type Answer = KvAnswer;

    fn begin(&self) -> KvState {
        KvState { value: self.value_or_nothing(self.begin.as_ref()), showing: self.showing }
    }

    fn step(&self, state: &KvState, op: &KvOp, answer: Option<&KvAnswer>) -> Option<KvState> {
        let value = match (op, answer) {
            (KvOp::Command(command), None) => self.apply(&state.value, command, None)?,
            (KvOp::Command(command), Some(KvAnswer::Answer(answer))) => {
                self.apply(&state.value, command, Some(answer))?
            }
            (KvOp::Query(_), None) => state.value.clone(),
            (KvOp::Query(query), Some(KvAnswer::Response(response))) => {
                tells(&state.value, query, response).then(|| state.value.clone())?
            }
            _ => return None,
        };
        let shows = answer.is_some_and(|answer| shows_before(op, answer));
        let after = KvState { value, showing: state.showing.saturating_sub(usize::from(shows)) };
        (answer.is_some() || !self.is_dead_end(&after)).then_some(after)
    }

    fn is_read(&self, op: &KvOp, answer: &KvAnswer) -> bool {
        matches!((op, answer), (KvOp::Query(_), _) | (_, KvAnswer::Answer(Answer::Different(_))))
    }

    fn likeness(&self, op: &KvOp) -> Option<u64> {
        let told = |length: usize| self.longest.map_or(0, |_| length as u64);
        match op {
            KvOp::Command(Command::Set { value, .. } | Command::Put { value, .. })
                if self.shown.is_some() && self.shown(value).is_none() =>
            {
                Some(2 * told(value.len()))
            }
            KvOp::Command(Command::Append { value, .. }) if self.hidden.contains(value) => {
                Some(2 * told(value.len()) + 1)
            }
            _ => None,
        }
    }

    /// The true value, also where the search did not need to know it.
    fn describe(&self, _: &KvState, placed: &[Operation<KvOp, KvAnswer>]) -> String {
        let exact = KvModel::of(self.begin.clone(), &[]).exact();
        let mut value = exact.begin().value;
        for operation in placed {
            if let KvOp::Command(command) = &operation.op {
                value = exact.apply(&value, command, None).unwrap_or(value);
            }
        }
        match value {
            Value::Known(value) => Quoted(&value).to_string(),
            _ => "nothing".to_string(),
        }
    }
}

impl KvModel {
    fn exact(self) -> KvModel {
        KvModel { shown: None, ..self }
    }
}

/// Whether the value of the key is this.
fn is(value: &Value, seen: Option<&Bytes>) -> bool {
    match (value, seen) {
        (Value::Nothing, None) => true,
        (Value::Known(value), Some(seen)) => value == seen,
        _ => false,
    }
}

fn length(value: &Value) -> u64 {
    match value {
        Value::Nothing => 0,
        Value::Known(value) => value.len() as u64,
        Value::Unseen(length) => *length,
    }
}

/// Whether a query is answered like this when the value is that.
fn tells(value: &Value, query: &Query, response: &Response) -> bool {
    match (query, response) {
        (Query::Get { .. }, Response::Value(seen)) => is(value, seen.as_ref()),
        (Query::Read { .. }, Response::Part { bytes: None, total: 0 }) => *value == Value::Nothing,
        (Query::Read { offset, limit, .. }, Response::Part { bytes: Some(seen), total }) => {
            let Value::Known(value) = value else { return false };
            let at = |place: u64| usize::try_from(place).map_or(value.len(), |place| place.min(value.len()));
            let part = at(*offset)..at(offset.saturating_add(*limit));
            value.len() as u64 == *total && value.get(part).is_some_and(|part| part == seen)
        }
        _ => false,
    }
}

/// Whether an answer says exactly what was there when the operation took effect.
fn shows_before(op: &KvOp, answer: &KvAnswer) -> bool {
    !matches!(answer, KvAnswer::Answer(Answer::Length(_) | Answer::Done)) && part_told(op, answer).is_none()
}

/// What a query read, if that is not the whole value.
fn part_told<'a>(op: &KvOp, answer: &'a KvAnswer) -> Option<&'a Bytes> {
    match (op, answer) {
        (
            KvOp::Query(Query::Read { .. }),
            KvAnswer::Response(Response::Part { bytes: Some(bytes), total }),
        ) => (bytes.len() as u64 != *total).then_some(bytes),
        _ => None,
    }
}

fn shows_all(operation: &Op<'_>) -> bool {
    operation.answer().is_some_and(|answer| shows_before(&operation.op, answer))
}

fn shows_part(operation: &Op<'_>) -> bool {
    operation.answer().is_some_and(|answer| part_told(&operation.op, answer).is_some())
}

fn length_told(operation: &Op<'_>) -> Option<u64> {
    match operation.answer() {
        Some(KvAnswer::Answer(Answer::Length(length))) => Some(*length),
        _ => None,
    }
}

/// Whether it may take a value away without regard to what it is.
fn replaces(op: &KvOp) -> bool {
    !matches!(op, KvOp::Query(_) | KvOp::Command(Command::Append { .. }))
}

/// The values an operation tells from all others.
fn values_told<'a>(operation: &Op<'a>) -> impl Iterator<Item = &'a Bytes> + use<'a> {
    let operation: Op<'a> = operation;
    let compared = match &operation.op {
        KvOp::Command(Command::CompareAndSet { expected, .. }) => expected.as_ref(),
        _ => None,
    };
    let answered = match operation.answer() {
        Some(KvAnswer::Answer(Answer::Before(value) | Answer::Different(value))) => value.as_ref(),
        Some(KvAnswer::Response(Response::Value(value) | Response::Part { bytes: value, .. })) => {
            value.as_ref()
        }
        _ => None,
    };
    compared.into_iter().chain(answered)
}
