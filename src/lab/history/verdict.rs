//! What a check comes to, for programs and for people.

use std::fmt;

use super::Operation;

/// A history is linearizable; so much was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// How many keys were checked; 1 if the history was checked as a whole.
    pub keys: usize,
    /// How many operations.
    pub operations: usize,
    /// How many of these have no known outcome.
    pub unknown: usize,
    /// How many operations were left out, because they are of no single key.
    pub beyond: usize,
    /// How many steps the search took.
    pub steps: u64,
}

impl Checked {
    pub(super) fn add(&mut self, other: &Checked) {
        self.keys += other.keys;
        self.operations += other.operations;
        self.unknown += other.unknown;
        self.beyond += other.beyond;
        self.steps += other.steps;
    }
}

/// Why a history was not found to be linearizable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure<Op, Answer> {
    /// It is not.
    Violation(Box<Violation<Op, Answer>>),
    /// Nobody knows: the search was given up.
    Exhausted(Exhausted),
}

/// No order explains what was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Violation<Op, Answer> {
    /// The key, if keys were checked one by one.
    pub key: Option<String>,
    /// The operations of the longest order that was found, in this order.
    pub placed: Vec<Operation<Op, Answer>>,
    /// The state after them, in words.
    pub state: String,
    /// Those that may come next as far as their times go, and that no order could place; the first is the
    /// one that returned first, and so has to be placed before any other can return.
    pub stuck: Vec<Operation<Op, Answer>>,
    /// How many more were answered, and only began afterwards.
    pub later: usize,
}

/// The budget of steps was used up.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Exhausted {
    /// The key, if keys were checked one by one.
    pub key: Option<String>,
    /// How many steps were taken.
    pub steps: u64,
    /// How many answered operations the longest order has that was found.
    pub placed: usize,
    /// How many it would have to have.
    pub of: usize,
}

/// How many of the operations that were placed are shown: the last ones matter.
const SHOWN: usize = 5;
/// How many of those that could not be placed are shown.
const STUCK_SHOWN: usize = 10;

impl<Op: fmt::Debug, Answer: fmt::Debug> std::error::Error for Failure<Op, Answer> {}

impl<Op: fmt::Debug, Answer: fmt::Debug> fmt::Display for Failure<Op, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Violation(violation) => violation.fmt(f),
            Failure::Exhausted(exhausted) => exhausted.fmt(f),
        }
    }
}

impl<Op: fmt::Debug, Answer: fmt::Debug> fmt::Display for Violation<Op, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        of_key(f, &self.key)?;
        writeln!(f, "not linearizable: no order explains all answers")?;
        match self.placed.len() {
            0 => writeln!(f, "nothing could be placed")?,
            placed if placed <= SHOWN => writeln!(f, "placed, in this order:")?,
            placed => writeln!(f, "placed, in this order, after {} others:", placed - SHOWN)?,
        }
        for operation in self.placed.iter().skip(self.placed.len().saturating_sub(SHOWN)) {
            writeln!(f, "  {operation}")?;
        }
        writeln!(f, "then the state is {}, and none of these fits:", self.state)?;
        for operation in self.stuck.iter().take(STUCK_SHOWN) {
            writeln!(f, "  {operation}")?;
        }
        match self.stuck.len().saturating_sub(STUCK_SHOWN) {
            0 => {}
            more => writeln!(f, "  and {more} more")?,
        }
        write!(f, "{} began later", self.later)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        of_key(f, &self.key)?;
        write!(
            f,
            "not decided: {} steps placed {} of {} operations; more steps, or a shorter history, may decide",
            self.steps, self.placed, self.of
        )
    }
}

fn of_key(f: &mut fmt::Formatter<'_>, key: &Option<String>) -> fmt::Result {
    match key {
        Some(key) => write!(f, "key {key}: "),
        None => Ok(()),
    }
}

/// `[1000, 2000] client 3: get -> "a"`.
impl<Op: fmt::Debug, Answer: fmt::Debug> fmt::Display for Operation<Op, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { client, op, invoked_at, returned } = self;
        match returned {
            Some(returned) => {
                let at = returned.at;
                write!(f, "[{invoked_at}, {at}] client {client}: {op:?} -> {:?}", returned.answer)
            }
            None => write!(f, "[{invoked_at}, ?] client {client}: {op:?} -> unknown"),
        }
    }
}
