//! Is what the clients saw linearizable?
//!
//! A [`History`] is what clients did and were answered, with times. It is *linearizable* if the
//! operations can be put in one order in which each takes effect at a moment between its invocation
//! and its return, and each is answered what a single machine would answer in that order (Herlihy and
//! Wing, 1990). A [`Checker`] searches for such an order. What a single machine would answer is said by
//! a [`Model`]; the one of the library's key-value machine is [`kv`].
//!
//! An operation ends in one of three ways, see [`Outcome`]. What was certainly not done is left out. What
//! has no known outcome may have been done at any time after its invocation, also long after the client
//! gave up, or never.
//!
//! ```
//! use std::time::Duration;
//! use raft_actors::{Cluster, lab::history::{Checker, Recorder, kv::{self, KvOp, KvAnswer}}};
//! use raft_actors::machine::kv::{Command, Kv, Query};
//!
//! let recorder: Recorder<KvOp, KvAnswer> = Recorder::new();
//! Cluster::of(|_| Kv::default()).simulate(7, async |cluster: Cluster<_>| {
//!     let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
//!     let client = cluster.client();
//!
//!     let set = Command::set("colour", "red");
//!     let call = recorder.invoke(1, set.clone());
//!     call.returned(client.propose(&set).await);
//!
//!     let append = Command::append("colour", "dish");
//!     let call = recorder.invoke(2, append.clone());
//!     cluster.kill(leader).await; // Another one takes over; an outcome may remain unknown.
//!     call.returned(client.propose(&append).await);
//!
//!     let get = Query::get("colour");
//!     let call = recorder.invoke(3, get.clone());
//!     call.returned(client.query(&get).await);
//! })?;
//!
//! let checked = kv::check(&Checker::default(), &recorder.history())?;
//! assert_eq!(checked.keys, 1);
//! assert!(checked.operations >= 2, "the first and the last were answered");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it costs
//!
//! The search is the one of Wing and Gong (1993) with the memory of Lowe (2017): place the first
//! operation that may come next, go on, step back where nothing fits, and never look twice at the same
//! operations placed in the same state. Deciding this is NP-complete in general. What that means here:
//!
//! * In the *length* of a history it is linear, as long as clients wait for answers: ten thousand
//!   operations of eight clients on one key take some 20 ms in a release build.
//! * In the number of operations *under way at once* it is exponential, where they change the state and
//!   their answers do not tell their order. Reads ([`Model::is_read`]) cost next to nothing: they are
//!   placed as soon as they fit, and that is never taken back.
//! * In the number of *unknown* ones it is exponential too, in the worst case: each may be there or not.
//!   They are tried last, and only directly in front of something that notices them; those that are
//!   interchangeable ([`Model::likeness`]) are used in the order of their invocations, so that `n` alike
//!   ones have `n + 1` subsets and not `2^n`. So unknown writes of values that nobody reads cost next to
//!   nothing, and so do those of distinct values that are each read once. What remains exponential are
//!   unknown operations that build on each other, where reads come seldom.
//!
//! A [budget](Checker::with_steps_max) of steps bounds it all. A search that uses it up ends as
//! [`Failure::Exhausted`]: that is no proof, in either direction.
//!
//! Linearizability is *local*: a history is linearizable if what was done to each key is. So
//! [`Checker::check_keyed`] checks keys one by one, which turns one large search into many small ones.
//! It can't judge operations that look at several keys at once.

use std::{collections::BTreeMap, fmt, hash::Hash};

pub mod kv;
mod record;
mod search;
mod verdict;

pub use record::{Call, Recorder};
pub use verdict::{Checked, Exhausted, Failure, Violation};

use crate::error::ClientError;

/// Who did an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

impl From<u64> for ClientId {
    fn from(id: u64) -> ClientId {
        ClientId(id)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an operation ended, as far as its client knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome<Answer> {
    /// It was done, and answered.
    Answered(Answer),
    /// It was certainly not done, and never will be.
    NotDone,
    /// It may have been done, may still be done, or never.
    Unknown,
}

/// What a client of this library is told. Only what is said to be *not done* is taken to be so.
impl<A, B: Into<A>> From<Result<B, ClientError>> for Outcome<A> {
    fn from(result: Result<B, ClientError>) -> Outcome<A> {
        match result {
            Ok(answer) => Outcome::Answered(answer.into()),
            // An answer that can't be read was given. A machine that is cured may yet apply what it
            // was poisoned by.
            Err(ClientError::Unknown | ClientError::Codec(_) | ClientError::Poisoned { .. }) => {
                Outcome::Unknown
            }
            Err(
                ClientError::NotLeader { .. }
                | ClientError::Busy
                | ClientError::Lost
                | ClientError::Rejected
                | ClientError::SessionExpired
                | ClientError::TooLarge { .. }
                | ClientError::BeyondLimit { .. },
            ) => Outcome::NotDone,
        }
    }
}

/// One operation of a history: it was done, or may have been.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Operation<Op, Answer> {
    /// Who did it.
    pub client: ClientId,
    /// What was to be done.
    pub op: Op,
    /// When it began.
    pub invoked_at: u64,
    /// When it ended, and how; `None` if it has no known outcome.
    pub returned: Option<Returned<Answer>>,
}

/// The end of an operation that was answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Returned<Answer> {
    /// When.
    pub at: u64,
    /// What the client was told.
    pub answer: Answer,
}

impl<Op, Answer> Operation<Op, Answer> {
    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        self.returned.as_ref().map(|returned| &returned.answer)
    }
}

/// What clients did, and what they were answered.
///
/// Times are in any unit, of a clock that all clients share and that never goes back. Two operations
/// are in order only if one returned *before* the other was invoked: at the same instant they count as
/// concurrent. A coarse clock is safe, but sees less; a [`Recorder`]'s times are never the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History<Op, Answer> {
    operations: Vec<Operation<Op, Answer>>,
}

impl<Op, Answer> Default for History<Op, Answer> {
    fn default() -> Self {
        History { operations: Vec::new() }
    }
}

impl<Op, Answer> History<Op, Answer> {
    /// Nothing yet.
    pub fn new() -> Self {
        History::default()
    }

    /// Adds an operation that was answered. One that seems to return before it was invoked counts as
    /// one that took no time.
    pub fn answered(
        &mut self,
        client: impl Into<ClientId>,
        op: impl Into<Op>,
        invoked_at: u64,
        returned_at: u64,
        answer: impl Into<Answer>,
    ) {
        let returned = Returned { at: returned_at.max(invoked_at), answer: answer.into() };
        let (client, op) = (client.into(), op.into());
        self.operations.push(Operation { client, op, invoked_at, returned: Some(returned) });
    }

    /// Adds an operation whose outcome is unknown. One that was certainly not done is not added.
    pub fn unknown(&mut self, client: impl Into<ClientId>, op: impl Into<Op>, invoked_at: u64) {
        let (client, op) = (client.into(), op.into());
        self.operations.push(Operation { client, op, invoked_at, returned: None });
    }

    /// The operations, in the order in which they were added.
    pub fn operations(&self) -> &[Operation<Op, Answer>] {
        &self.operations
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl<Op, Answer> FromIterator<Operation<Op, Answer>> for History<Op, Answer> {
    fn from_iter<I: IntoIterator<Item = Operation<Op, Answer>>>(operations: I) -> Self {
        History { operations: operations.into_iter().collect() }
    }
}

/// What a single machine would answer.
///
/// ```
/// use raft_actors::lab::history::{Checker, Failure, History, Model};
///
/// /// A counter: `Some(n)` adds and is answered the sum, `None` reads it.
/// struct Counter;
///
/// impl Model for Counter {
///     type State = u64;
///     type Op = Option<u64>;
///     type Answer = u64;
///
///     fn begin(&self) -> u64 {
///         0
///     }
///
///     fn step(&self, sum: &u64, op: &Option<u64>, answer: Option<&u64>) -> Option<u64> {
///         let sum = sum + op.unwrap_or(0);
///         answer.is_none_or(|seen| *seen == sum).then_some(sum)
///     }
/// }
///
/// let mut history = History::<Option<u64>, u64>::new();
/// history.unknown(1, Some(5), 0);
/// history.answered(2, None, 10, 20, 5u64); // So it was done.
/// Checker::default().check(&Counter, &history)?;
///
/// history.answered(3, None, 30, 40, 0u64); // A stale read.
/// assert!(matches!(Checker::default().check(&Counter, &history), Err(Failure::Violation(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Model {
    /// What the machine knows. It is cloned and remembered at each step of a search: a small one, or one
    /// that shares, pays.
    type State: Clone + Eq + Hash + fmt::Debug;
    /// What can be done.
    type Op: Clone + Eq + Hash + fmt::Debug;
    /// What it is answered.
    type Answer: Clone + fmt::Debug;

    /// What it knows before anything is done.
    fn begin(&self) -> Self::State;

    /// What `op` makes of a state; `None` if it would not be answered like this there. Nobody heard the
    /// answer of an operation without one: whatever it would be, it is right.
    fn step(&self, state: &Self::State, op: &Self::Op, answer: Option<&Self::Answer>) -> Option<Self::State>;

    /// Whether an operation that is answered like this changes no state, wherever it may be answered so.
    /// Reads are found a place at once, and never moved. `false` is always right, and slower.
    fn is_read(&self, _op: &Self::Op, _answer: &Self::Answer) -> bool {
        false
    }

    /// Operations without an answer are interchangeable if they are equal, or have the same number here:
    /// whatever one of them can explain, each of the others can. `None`: this one is like no other.
    fn likeness(&self, _op: &Self::Op) -> Option<u64> {
        None
    }

    /// The state, in words, after these operations were placed: for people.
    fn describe(&self, state: &Self::State, _placed: &[Operation<Self::Op, Self::Answer>]) -> String {
        format!("{state:?}")
    }
}

/// Searches for an order that explains a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checker {
    steps_max: u64,
}

impl Default for Checker {
    fn default() -> Self {
        Checker { steps_max: 5_000_000 }
    }
}

impl Checker {
    /// A checker that tries at most this many steps: for each key, if they are checked one by one. A step
    /// is one call of [`Model::step`]; each may be remembered, which takes some 200 bytes, and the state.
    /// The default is five million: a few seconds.
    #[must_use]
    pub fn with_steps_max(self, steps_max: u64) -> Checker {
        Checker { steps_max }
    }

    /// Checks a history as a whole.
    ///
    /// # Errors
    /// [`Failure::Violation`] if no order explains it, [`Failure::Exhausted`] if the search was given up.
    pub fn check<M: Model>(
        &self,
        model: &M,
        history: &History<M::Op, M::Answer>,
    ) -> Result<Checked, Failure<M::Op, M::Answer>> {
        let operations: Vec<_> = history.operations.iter().collect();
        search::run(model, &operations, self.steps_max, None)
    }

    /// Checks what was done to each key alone, in the order of the keys. `key` says whose an operation is;
    /// those of no key are beyond this check, and only counted ([`Checked::beyond`]). `model` makes the
    /// model for a key, and may look at what was done to it.
    ///
    /// # Errors
    /// The first key's violation; or, if there is none, the first key's whose search was given up.
    pub fn check_keyed<K, M>(
        &self,
        history: &History<M::Op, M::Answer>,
        key: impl Fn(&M::Op) -> Option<K>,
        model: impl Fn(&K, &[&Operation<M::Op, M::Answer>]) -> M,
    ) -> Result<Checked, Failure<M::Op, M::Answer>>
    where
        K: Ord + fmt::Debug,
        M: Model,
    {
        let mut keys = BTreeMap::<K, Vec<_>>::new();
        let mut all = Checked::default();
        for operation in &history.operations {
            match key(&operation.op) {
                Some(key) => keys.entry(key).or_default().push(operation),
                None => all.beyond += 1,
            }
        }
        let mut exhausted = None;
        for (key, operations) in &keys {
            let name = || format!("{key:?}");
            match search::run(&model(key, operations), operations, self.steps_max, Some(&name)) {
                Ok(checked) => all.add(&checked),
                Err(violation @ Failure::Violation(_)) => return Err(violation),
                // A violation of another key says more.
                Err(given_up) => exhausted = exhausted.or(Some(given_up)),
            }
        }
        exhausted.map_or(Ok(all), Err)
    }
}

#[cfg(test)]
mod tests;
