//! What holds a child: dropped it ends it, pulled it makes it fall, released it lets it go.
//!
//! A guard feels its leash at each poll, so that costs one load; whoever pulls wakes it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{self, Waker},
};

/// How to make an actor fall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fall {
    /// As if it had panicked.
    Panic,
    /// As if it had stopped.
    Stop,
}

/// Held by the parent. Dropped: the child ends at its next poll, whatever it waits for.
#[derive(Debug)]
pub struct Leash(Arc<Line>);

/// Makes a child fall that is another's. It holds nothing: the leash alone keeps the child alive.
#[derive(Debug)]
pub struct Tripwire(Weak<Line>);

/// The child's end of a leash.
pub(super) struct Collar {
    line: Arc<Line>,
    /// Whether the line knows whom to wake: the task of a child is the same as long as it lives.
    is_fastened: bool,
}

/// What the child feels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Felt {
    /// Nothing.
    Nothing,
    /// It is to fall.
    Fall(Fall),
    /// It is on its own from now on.
    Released,
    /// Nobody holds it any more.
    Dropped,
}

#[derive(Default)]
struct Line {
    pulls: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const RELEASED: u8 = 1;
const DROPPED: u8 = 2;
const PANIC: u8 = 4;
const STOP: u8 = 8;
/// The child has ended.
const LOOSE: u8 = 16;

/// A leash and its collar.
pub(super) fn leash() -> (Leash, Collar) {
    let line = Arc::<Line>::default();
    (Leash(line.clone()), Collar { line, is_fastened: false })
}

impl Line {
    /// Pulls, and wakes the child. `false`: nobody is there, or held.
    fn pull(&self, how: u8) -> bool {
        let free = |pulls: u8| pulls & (LOOSE | RELEASED | DROPPED) == 0;
        if self.pulls.fetch_update(SeqCst, SeqCst, |pulls| free(pulls).then_some(pulls | how)).is_err() {
            return false;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:#b})", self.pulls.load(SeqCst))
    }
}

impl Leash {
    /// Lets the child end by itself, when the last of its addresses is gone.
    pub fn release(self) {
        self.0.pull(RELEASED);
    }

    /// Makes the child fall at its next poll, also in the middle of a sync.
    pub fn trip(&self, fall: Fall) {
        self.0.pull(fall.bit());
    }

    /// A second hold on the child, for somebody who is not its parent.
    pub fn tripwire(&self) -> Tripwire {
        Tripwire(Arc::downgrade(&self.0))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.pull(DROPPED);
    }
}

impl Fall {
    fn bit(self) -> u8 {
        match self {
            Fall::Panic => PANIC,
            Fall::Stop => STOP,
        }
    }
}

impl Tripwire {
    /// Makes the child fall at its next poll. `false`: it has ended.
    pub fn trip(&self, fall: Fall) -> bool {
        self.0.upgrade().is_some_and(|line| line.pull(fall.bit()))
    }

    /// Whether the child may still be there.
    pub fn is_live(&self) -> bool {
        self.0.upgrade().is_some_and(|line| line.pulls.load(SeqCst) & (LOOSE | RELEASED | DROPPED) == 0)
    }
}

impl Collar {
    /// What the child feels now; it is woken when it feels anything else. A pull comes before whatever became of
    /// the leash since.
    pub fn feel(&mut self, cx: &task::Context<'_>) -> Felt {
        if !self.is_fastened {
            // Before the first look: whoever pulls behind it finds it.
            *self.line.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            self.is_fastened = true;
        }
        let pulls = self.line.pulls.load(SeqCst);
        if pulls == 0 {
            return Felt::Nothing;
        }
        self.line.pulls.fetch_and(!(PANIC | STOP), SeqCst);
        match pulls {
            _ if pulls & PANIC != 0 => Felt::Fall(Fall::Panic),
            _ if pulls & STOP != 0 => Felt::Fall(Fall::Stop),
            _ if pulls & RELEASED != 0 => Felt::Released,
            _ => Felt::Dropped,
        }
    }
}

impl Drop for Collar {
    fn drop(&mut self) {
        self.line.pulls.fetch_or(LOOSE, SeqCst);
        // The waker holds the task, and the task what is in it.
        *self.line.waker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn felt(collar: &mut Collar) -> Felt {
        collar.feel(&task::Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_child_feels_each_pull_once() {
        let (leash, mut collar) = leash();
        assert_eq!(felt(&mut collar), Felt::Nothing);
        leash.trip(Fall::Stop);
        assert_eq!((felt(&mut collar), felt(&mut collar)), (Felt::Fall(Fall::Stop), Felt::Nothing));
        let tripwire = leash.tripwire();
        assert!(tripwire.is_live() && tripwire.trip(Fall::Panic));
        drop(leash);
        assert!(!tripwire.is_live() && !tripwire.trip(Fall::Panic));
        assert_eq!(felt(&mut collar), Felt::Fall(Fall::Panic), "what came first");
        assert_eq!(felt(&mut collar), Felt::Dropped);
    }

    #[test]
    fn who_is_released_is_on_its_own() {
        let (leash, mut collar) = leash();
        let tripwire = leash.tripwire();
        leash.release();
        assert!(!tripwire.is_live() && !tripwire.trip(Fall::Panic));
        assert_eq!(felt(&mut collar), Felt::Released);
    }

    #[test]
    fn who_has_ended_does_not_fall() {
        let (leash, collar) = leash();
        let tripwire = leash.tripwire();
        drop(collar);
        assert!(!tripwire.is_live() && !tripwire.trip(Fall::Stop));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_pulls_wakes_the_child() {
        let (leash, mut collar) = leash();
        let child = tokio::spawn(std::future::poll_fn(move |cx| match collar.feel(cx) {
            Felt::Nothing => task::Poll::Pending,
            felt => task::Poll::Ready(felt),
        }));
        tokio::task::yield_now().await;
        drop(leash);
        let felt = tokio::time::timeout(Duration::from_secs(1), child).await.expect("it is woken");
        assert_eq!(felt.unwrap(), Felt::Dropped);
    }
}
