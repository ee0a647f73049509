//! How a history comes to be: clients say when they begin, and what they hear.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{ClientId, History, Operation, Outcome, Returned};

/// Writes down what clients do, from any thread or task. Clones write into the same history.
///
/// Times are microseconds since the recorder was made, on the clock of the runtime: in a simulation it
/// is the virtual one. No two are the same: a moment that would be is put a microsecond later. So what
/// happened in order is recorded in order, also where a clock stands still.
pub struct Recorder<Op, Answer> {
    start: Instant,
    /// Around what was seen only.
    pages: Arc<Mutex<Pages<Op, Answer>>>,
}

struct Pages<Op, Answer> {
    last_us: u64,
    operations: Vec<Page<Op, Answer>>,
}

/// `None`: it was not done.
type Page<Op, Answer> = Option<Operation<Op, Answer>>;

impl<Op, Answer> Clone for Recorder<Op, Answer> {
    fn clone(&self) -> Self {
        Recorder { start: self.start, pages: self.pages.clone() }
    }
}

impl<Op, Answer> Default for Recorder<Op, Answer> {
    fn default() -> Self {
        let pages = Pages { last_us: 0, operations: Vec::new() };
        Recorder { start: Instant::now(), pages: Arc::new(Mutex::new(pages)) }
    }
}

impl<Op, Answer> fmt::Debug for Recorder<Op, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("operations", &self.pages().operations.len()).finish()
    }
}

impl<Op, Answer> Recorder<Op, Answer> {
    /// Nothing was seen yet, and it is the microsecond 0.
    pub fn new() -> Self {
        Recorder::default()
    }

    /// An operation begins: to be called before anything of it is sent. If nothing more is said of it its
    /// outcome is unknown.
    pub fn invoke(&self, client: impl Into<ClientId>, op: impl Into<Op>) -> Call<Op, Answer> {
        let (client, op) = (client.into(), op.into());
        let mut pages = self.pages();
        let invoked_at = pages.now_us(self.start);
        let page = pages.operations.len();
        pages.operations.push(Some(Operation { client, op, invoked_at, returned: None }));
        drop(pages);
        Call { recorder: self.clone(), page }
    }

    /// What was seen up to now.
    pub fn history(&self) -> History<Op, Answer>
    where
        Op: Clone,
        Answer: Clone,
    {
        self.pages().operations.iter().flatten().cloned().collect()
    }

    /// What was seen up to now, taken out: nothing remains. What is under way is part of it, as unknown;
    /// what is heard of it later is lost.
    pub fn take(&self) -> History<Op, Answer> {
        // A page keeps its number, so that a call that is under way can't write on another one's.
        self.pages().operations.iter_mut().filter_map(mem::take).collect()
    }

    fn pages(&self) -> MutexGuard<'_, Pages<Op, Answer>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Op, Answer> Pages<Op, Answer> {
    /// Called under the lock, so that the order of moments is the order of times.
    fn now_us(&mut self, start: Instant) -> u64 {
        self.last_us = (start.elapsed().as_micros() as u64).max(self.last_us + 1);
        self.last_us
    }
}

/// An operation that is under way. Dropped, as a future that is cancelled drops it, it is one whose
/// outcome is unknown.
#[derive(Debug)]
pub struct Call<Op, Answer> {
    recorder: Recorder<Op, Answer>,
    page: usize,
}

impl<Op, Answer> Call<Op, Answer> {
    /// It is over: to be called after the answer was heard. Takes an [`Outcome`], or what a
    /// [`Client`](crate::Client) or a [`Session`](crate::Session) says.
    pub fn returned(self, outcome: impl Into<Outcome<Answer>>) {
        let outcome = outcome.into();
        let mut pages = self.recorder.pages();
        let at = pages.now_us(self.recorder.start);
        let Some(page) = pages.operations.get_mut(self.page) else { return };
        match outcome {
            Outcome::Answered(answer) => {
                if let Some(operation) = page {
                    operation.returned = Some(Returned { at, answer });
                }
            }
            Outcome::NotDone => *page = None,
            Outcome::Unknown => {}
        }
    }
}
