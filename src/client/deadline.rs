//! The deadlines of calls, on timers that go from one call to the next.
//!
//! To set a timer and to take it back costs a sixth of what a call within a process takes, and hardly any ever goes off.
//! So a call that has its answer leaves its timer, still set, to the next one of its thread. For that one it goes off too
//! early, if at all; only then it is set anew.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    runtime::{Handle, Id},
    time::{Instant, Sleep, sleep_until},
};

/// So many timers a thread keeps for calls to come. Each holds the task that it would wake, and what its runtime knows
/// of time: hence not more.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// A timer, and whom it wakes.
struct Timer {
    /// Nobody else sets it off, and there may be several on a thread, one after the other.
    runtime: Id,
    sleep: Pin<Box<Sleep>>,
    waker: Waker,
}

impl Timer {
    /// A timer that goes off at this time, or before.
    fn before(until: Instant) -> Timer {
        let runtime = Handle::current().id();
        while let Some(mut kept) = KEPT.with_borrow_mut(Vec::pop) {
            if kept.runtime == runtime {
                if kept.sleep.deadline() > until {
                    kept.sleep.as_mut().reset(until);
                }
                return kept;
            }
        }
        Timer { runtime, sleep: Box::pin(sleep_until(until)), waker: Waker::noop().clone() }
    }

    /// Ready when this time has come.
    fn poll(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // Clients that propose one command after the other find it as they left it.
        if self.waker.will_wake(cx.waker()) && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.waker.clone_from(cx.waker());
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= until {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
    }

    /// Leaves it to the next call; a thread that ends has none.
    fn keep(self) {
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }
}

/// What comes of a future, if it does in time.
pub(super) fn within<F: Future + Unpin>(until: Instant, future: F) -> Within<F> {
    Within { future, until, timer: None }
}

/// See [`within`]; `None`: it did not.
pub(super) struct Within<F> {
    future: F,
    until: Instant,
    /// Once it had to wait.
    timer: Option<Timer>,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(cx) {
            return Poll::Ready(Some(output));
        }
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Timer::before(until));
        timer.poll(until, cx).map(|()| None)
    }
}

impl<F> Drop for Within<F> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::{
        runtime::{Builder, Runtime},
        time::{advance, sleep},
    };

    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// A thread of its own, which keeps no timer, with a clock that stands still while there is something to do.
    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    fn kept() -> usize {
        KEPT.with_borrow(Vec::len)
    }

    /// A call that has its answer after a second, long before its time is up.
    async fn answered(after: Duration) {
        assert_eq!(within(Instant::now() + after, Box::pin(sleep(S))).await, Some(()));
    }

    /// A call that is never answered: how long it waits.
    async fn unanswered(up_to: Duration) -> Duration {
        let begun = Instant::now();
        let waits = within(begun + up_to, pending::<()>());
        let ended = tokio::time::timeout(100 * S, waits).await;
        assert_eq!(ended, Ok(None), "it waits for ever");
        begun.elapsed()
    }

    #[test]
    fn a_timer_goes_from_one_call_to_the_next() {
        runtime().block_on(async {
            answered(5 * S).await;
            assert_eq!(kept(), 1);
            let mut second = Box::pin(within(Instant::now() + 5 * S, pending::<()>()));
            assert!(tokio::time::timeout(S, &mut second).await.is_err());
            assert_eq!(kept(), 0);
            drop(second);
            assert_eq!(kept(), 1);
        });
    }

    #[test]
    fn whoever_takes_a_timer_over_has_all_of_its_own_time() {
        // In the order of who has it: one that goes off too early, one that has gone off, and one that would too late.
        for (first, pause, second) in [(5, 0, 5), (5, 9, 5), (60, 0, 5)] {
            runtime().block_on(async {
                answered(first * S).await;
                advance(pause * S).await;
                assert_eq!(unanswered(second * S).await, second * S);
            });
        }
    }

    #[test]
    fn a_timer_wakes_whoever_has_it_now() {
        runtime().block_on(async {
            tokio::spawn(answered(5 * S)).await.unwrap();
            assert_eq!(kept(), 1);
            assert_eq!(tokio::spawn(unanswered(5 * S)).await.unwrap(), 5 * S);
        });
    }

    #[test]
    fn a_timer_stays_with_its_runtime() {
        let (one, other) = (runtime(), runtime());
        one.block_on(answered(5 * S));
        // One that stands still, and one that is over.
        assert_eq!(other.block_on(unanswered(5 * S)), 5 * S);
        drop(other);
        assert_eq!(one.block_on(unanswered(5 * S)), 5 * S);
    }

    #[test]
    fn a_thread_keeps_a_few_timers() {
        runtime().block_on(async {
            let calls: Vec<_> = (0..2 * KEPT_MAX).map(|_| tokio::spawn(answered(5 * S))).collect();
            for call in calls {
                call.await.unwrap();
            }
            assert_eq!(kept(), KEPT_MAX);
        });
    }
}
