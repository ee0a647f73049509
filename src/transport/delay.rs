//! What is under way: messages that arrive later, in a known order.
//!
//! Timers of one deadline fire in no promised order, so messages that must stay in order can't each
//! have a timer. Here they wait in one line, sorted by deadline and then by the order in which they
//! were sent, and one task sleeps to the first of them.
//!
//! There is one line for each thread that sends. In a simulation that is one line for the whole
//! cluster, so equal delays keep their order across all links. Where each peer has a thread of its
//! own, each has its own line, driven by its own runtime: when a thread ends, what it had under way
//! goes with it, and nobody else waits for it. A line exists only while something waits in it, and
//! an idle network leaves no timer behind.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::rule::DELAY_MS_MAX;

/// Hands a message over.
type Arrival = Box<dyn FnOnce() + Send>;

/// Everything that is under way.
#[derive(Clone, Default)]
pub(super) struct Underway(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// A handful at most: one per thread that has something under way.
    lines: Vec<Line>,
    sent: u64,
}

struct Line {
    /// Unlike the thread's id never used twice, so that a task that ends can't take another's line.
    number: u64,
    thread: ThreadId,
    /// By deadline, then in the order of sending.
    waiting: BTreeMap<(Instant, u64), Arrival>,
    /// Wakes the line's task when something has come before what it sleeps to.
    earlier: Arc<Notify>,
}

impl Underway {
    /// Calls `arrive` in `delay_ms` milliseconds. A thread without a runtime has no clock: there it
    /// arrives at once.
    pub(super) fn post(&self, delay_ms: u64, arrive: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return arrive();
        };
        let at = Instant::now() + Duration::from_millis(delay_ms.min(DELAY_MS_MAX));
        let thread = thread::current().id();
        let mut lines = self.lock();
        lines.sent += 1;
        let sent = lines.sent;
        if let Some(line) = lines.lines.iter_mut().find(|line| line.thread == thread) {
            let first = line.waiting.first_key_value().is_none_or(|((first, _), _)| at < *first);
            line.waiting.insert((at, sent), Box::new(arrive));
            if first {
                line.earlier.notify_one();
            }
            return;
        }
        let earlier = Arc::new(Notify::new());
        let waiting = BTreeMap::from([((at, sent), Box::new(arrive) as Arrival)]);
        lines.lines.push(Line { number: sent, thread, waiting, earlier: earlier.clone() });
        // A runtime that is about to end drops the task here and now, and the task takes the lock.
        drop(lines);
        runtime.spawn(drive(Driver { underway: self.clone(), number: sent }, earlier));
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the task of a line does next.
enum Next {
    Arrive(Arrival),
    Sleep(Instant),
}

/// Belongs to the task of one line: the line goes when the task ends, however it ends.
struct Driver {
    underway: Underway,
    number: u64,
}

impl Driver {
    /// `None`, and the line is gone, when nothing waits any more. The check and the end are one: who
    /// posts afterwards finds no line and begins a new one.
    fn next(&self) -> Option<Next> {
        let mut lines = self.underway.lock();
        let at = lines.lines.iter().position(|line| line.number == self.number)?;
        let line = lines.lines.get_mut(at)?;
        let Some(first) = line.waiting.first_entry() else {
            lines.lines.swap_remove(at);
            return None;
        };
        let (due, _) = *first.key();
        Some(if due <= Instant::now() { Next::Arrive(first.remove()) } else { Next::Sleep(due) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut lines = self.underway.lock();
        let at = lines.lines.iter().position(|line| line.number == self.number);
        let line = at.map(|at| lines.lines.swap_remove(at));
        // What was under way may hold anything, also what takes this lock when it is dropped.
        drop(lines);
        drop(line);
    }
}

async fn drive(driver: Driver, earlier: Arc<Notify>) {
    while let Some(next) = driver.next() {
        match next {
            Next::Arrive(arrive) => arrive(),
            // It does not matter which of the two ended it: the line says what is due.
            Next::Sleep(due) => drop(timeout_at(due, earlier.notified()).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    type Log = Arc<Mutex<Vec<(u32, u64)>>>;

    /// Posts that write down who arrived, and after how many milliseconds.
    fn poster() -> (Underway, Log, impl Fn(u64, u32)) {
        let (underway, log, start) = (Underway::default(), Log::default(), Instant::now());
        let (posts, written) = (underway.clone(), log.clone());
        let post = move |delay_ms, who| {
            let log = written.clone();
            posts.post(delay_ms, move || {
                log.lock().unwrap().push((who, start.elapsed().as_millis() as u64));
            });
        };
        (underway, log, post)
    }

    #[tokio::test(start_paused = true)]
    async fn equal_delays_keep_their_order_and_shorter_ones_overtake() {
        let (underway, log, post) = poster();
        for who in 0..100 {
            post(20, who);
        }
        post(5, 100);
        sleep(Duration::from_millis(10)).await;
        post(10, 101);
        post(1, 102);
        sleep(Duration::from_millis(50)).await;
        let mut expected: Vec<_> = (0..100).map(|who| (who, 20)).collect();
        expected.insert(0, (100, 5));
        expected.insert(1, (102, 11));
        expected.push((101, 20));
        assert_eq!(*log.lock().unwrap(), expected);
        assert!(underway.lock().lines.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_arrival_may_post() {
        let (underway, log, start) = (Underway::default(), Log::default(), Instant::now());
        let (again, written) = (underway.clone(), log.clone());
        underway.post(5, move || {
            again.post(5, move || {
                written.lock().unwrap().push((1, start.elapsed().as_millis() as u64));
            });
        });
        sleep(Duration::from_millis(20)).await;
        assert_eq!(*log.lock().unwrap(), [(1, 10)]);
    }

    #[test]
    fn a_runtime_that_ends_takes_its_line_along_and_the_next_begins_anew() {
        let (underway, log, post) = poster();
        let run = |who, wait_ms| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                post(5, who);
                sleep(Duration::from_millis(wait_ms)).await;
            });
        };
        run(1, 1);
        assert!(underway.lock().lines.is_empty());
        run(2, 10);
        assert_eq!(log.lock().unwrap().iter().map(|(who, _)| *who).collect::<Vec<_>>(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_ends_takes_nothing_of_another_along() {
        let (underway, log, post) = poster();
        let (posted, other) = (Arc::new(std::sync::Barrier::new(2)), underway.clone());
        let here = posted.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async { other.post(60_000, || panic!("its thread is gone")) });
            here.wait();
            here.wait();
        });
        posted.wait();
        post(5, 1);
        assert_eq!(underway.lock().lines.len(), 2);
        posted.wait();
        thread.join().unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(*log.lock().unwrap(), [(1, 5)]);
    }

    #[test]
    fn without_a_clock_it_arrives_at_once() {
        let (_, log, post) = poster();
        post(1000, 1);
        assert_eq!(log.lock().unwrap().len(), 1);
    }
}
