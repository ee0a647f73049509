//! The load, the same for every system: clients in closed loops, and what is measured of them.
//!
//! Each client proposes a command, waits for the answer to it and proposes the next. All clients of a run live on
//! one thread, so that their books need no lock; whether the peers live there as well is the [`Shape`].

use std::{
    cell::RefCell,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// How long a system may take to elect a leader.
pub const ELECTION: Duration = Duration::from_secs(10);

/// What is asked of a system.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many clients there are; each has one command under way.
    pub in_flight: usize,
    /// How many bytes a command has.
    pub payload: usize,
    /// Whether copies of a command share its bytes.
    pub shared: bool,
    pub peers: usize,
    pub warm_up: Duration,
    pub window: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub ops_per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// CPU time of the whole process for each command, peers and clients alike.
    pub cpu_us_per_op: f64,
}

/// Where the clients live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// On the peers' own thread.
    Near,
    /// On a runtime and a thread of their own.
    Far,
}

/// What a command carries: bytes that each copy of it owns, or a view that they share. A system that has its own way
/// with bytes takes either into it.
#[derive(Clone, Debug)]
pub enum Payload {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Payload {
    fn new(load: &Load) -> Payload {
        let bytes = vec![7; load.payload];
        if load.shared { Payload::Shared(bytes.into()) } else { Payload::Owned(bytes) }
    }

    pub fn len(&self) -> usize {
        match self {
            Payload::Owned(bytes) => bytes.len(),
            Payload::Shared(bytes) => bytes.len(),
        }
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Bytes {
        match payload {
            Payload::Owned(bytes) => bytes.into(),
            Payload::Shared(bytes) => bytes,
        }
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Vec<u8> {
        match payload {
            Payload::Owned(bytes) => bytes,
            Payload::Shared(bytes) => bytes.into(),
        }
    }
}

/// What clients propose to.
pub trait Propose: Send + Sync + 'static {
    /// Proposes a command. The answer comes once it was committed and applied: the length of what was applied.
    fn propose(&self, command: Payload) -> impl Future<Output = Result<u64>> + Send;
}

/// How many commands a peer has applied. Only that peer counts: others look.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// Counts one more, without the locked instruction that several writers would need.
    pub fn count(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    WarmUp,
    Window,
    Over,
}

/// What the clients have seen.
struct Books {
    stage: Stage,
    /// Nanoseconds of the operations that ended in the window.
    took: Histogram<u32>,
    answered: u64,
    failed: u64,
    first_failure: Option<anyhow::Error>,
}

thread_local! {
    static BOOKS: RefCell<Books> = RefCell::new(Books::new());
}

/// A histogram of two digits has a few KiB, and leaves the caches to who is measured.
const DIGITS: u8 = 2;
/// The longest time that it tells from longer ones, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

impl Books {
    fn new() -> Books {
        // Only more than five digits are refused, or a range without values.
        let took = Histogram::new_with_max(LONGEST, DIGITS).expect("a histogram of two digits");
        Books { stage: Stage::WarmUp, took, answered: 0, failed: 0, first_failure: None }
    }

    /// Notes what became of a command of so many bytes, and says whether its client goes on.
    fn note(&mut self, outcome: Result<u64>, bytes: usize, took: Duration) -> bool {
        match outcome {
            Ok(length) if length == bytes as u64 => {
                self.answered += 1;
                if self.stage == Stage::Window {
                    self.took.saturating_record(took.as_nanos() as u64);
                }
            }
            Ok(length) => self.fail(anyhow::anyhow!("a command of {bytes} bytes was answered with {length}")),
            Err(error) => self.fail(error),
        }
        self.stage != Stage::Over
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failed += 1;
        self.first_failure.get_or_insert(error);
    }

    /// A run counts if what was answered was also applied, and nearly everything was answered.
    fn audit(&mut self, applied: u64) -> Result<()> {
        let (answered, failed) = (self.answered, self.failed);
        if failed * 100 > answered + failed {
            let error = self.first_failure.take().unwrap_or_else(|| anyhow::anyhow!("no reason was given"));
            return Err(error.context(format!("{failed} of {} commands failed", answered + failed)));
        }
        ensure!(answered > 0, "nothing was answered");
        ensure!(applied >= answered, "{answered} commands were answered, but only {applied} were applied");
        Ok(())
    }
}

/// Proposes one command after the other. A closed loop has no time between two of them: the clock is read once for
/// the end of one and the beginning of the next.
async fn client(proposer: impl Propose, load: Load) {
    let mut begun = Instant::now();
    loop {
        let outcome = proposer.propose(Payload::new(&load)).await;
        let now = Instant::now();
        let goes_on = BOOKS.with_borrow_mut(|books| books.note(outcome, load.payload, now - begun));
        if !goes_on {
            return;
        }
        begun = now;
    }
}

fn turn_to(stage: Stage) {
    BOOKS.with_borrow_mut(|books| books.stage = stage);
}

/// Lets a client for each proposer loop through warm-up and window. `applied` says how many commands were applied
/// where they are answered; it is asked after the last answer.
pub async fn drive<P: Propose>(
    load: &Load,
    shape: Shape,
    proposers: Vec<P>,
    applied: impl FnOnce() -> u64,
) -> Result<Measured> {
    BOOKS.set(Books::new());
    let spawn = |proposer| match shape {
        Shape::Near => tokio::task::spawn_local(client(proposer, *load)),
        Shape::Far => tokio::spawn(client(proposer, *load)),
    };
    let clients: Vec<_> = proposers.into_iter().map(spawn).collect();
    sleep(load.warm_up).await;
    let (begun, cpu_before) = (Instant::now(), cpu_time()?);
    turn_to(Stage::Window);
    sleep(load.window).await;
    turn_to(Stage::Over);
    let (took, cpu) = (begun.elapsed(), cpu_time()? - cpu_before);
    for client in clients {
        client.await.context("a client fell")?;
    }
    BOOKS.with_borrow_mut(|books| {
        books.audit(applied())?;
        let ops = books.took.len() as f64;
        ensure!(ops > 0.0, "nothing was answered within the window");
        let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        Ok(Measured {
            ops_per_second: ops / took.as_secs_f64(),
            p50_us: us(books.took.value_at_quantile(0.50)),
            p99_us: us(books.took.value_at_quantile(0.99)),
            cpu_us_per_op: cpu.as_secs_f64() * 1e6 / ops,
        })
    })
}

/// Runs the clients' side on a runtime of one thread, this one.
pub fn far<T>(run: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(run)
}

/// How much CPU time this process has used.
fn cpu_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| {
        let (seconds, micros) = (time.tv_sec(), time.tv_usec());
        Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(micros.unsigned_abs())
    });
    Ok(micros.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_if_nearly_all_was_answered_and_all_of_that_applied() {
        let books = |answered, failed| Books { answered, failed, ..Books::new() };
        assert!(books(99, 1).audit(99).is_ok());
        assert!(books(98, 2).audit(100).is_err());
        assert!(books(99, 0).audit(98).is_err());
        assert!(books(0, 0).audit(0).is_err());
    }

    #[test]
    fn an_answer_of_another_length_is_a_failure() {
        let mut books = Books::new();
        books.note(Ok(256), 256, Duration::ZERO);
        books.note(Ok(255), 256, Duration::ZERO);
        assert_eq!((books.answered, books.failed), (1, 1));
    }
}
