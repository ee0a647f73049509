//! What holds the actors of one peer up: a thread that stands still, or that is starved.
//!
//! It is said of a kind of actor and not of one of them, as a thread stands still whoever runs on it: a
//! role that takes over, or an actor that is rebuilt, is held up like the one before. It ends with this life
//! of the peer.
//!
//! The guard heeds it, and not the mailbox, so an actor that is held up still falls when it is told to.
//! While nothing is held up a poll costs one load.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::raft::ActorKind;

/// The holds on the actors of one peer.
#[derive(Debug, Default)]
pub struct Drag {
    /// Whether there is any.
    on: AtomicBool,
    holds: Mutex<BTreeMap<ActorKind, Hold>>,
}

#[derive(Debug, Default)]
struct Hold {
    /// Nothing is done before.
    until: Option<Instant>,
    /// By how much each poll is put off.
    each: Duration,
}

impl Hold {
    fn is_over(&self) -> bool {
        self.each.is_zero() && self.until.is_none_or(|until| until <= Instant::now())
    }
}

impl Drag {
    /// Actors of this kind do nothing for a while. Of two stalls the one that ends later counts.
    pub fn stall(&self, kind: ActorKind, time: Duration) {
        self.change(kind, |hold| hold.until = hold.until.max(Instant::now().checked_add(time)));
    }

    /// Puts each poll of such actors off by this much; not any more, if it is zero. Says whether that is
    /// a change.
    pub fn slow(&self, kind: ActorKind, each: Duration) -> bool {
        self.change(kind, |hold| std::mem::replace(&mut hold.each, each) != each)
    }

    fn change<T>(&self, kind: ActorKind, change: impl FnOnce(&mut Hold) -> T) -> T {
        let mut holds = self.holds();
        let changed = change(holds.entry(kind).or_default());
        holds.retain(|_, hold| !hold.is_over());
        self.on.store(!holds.is_empty(), Relaxed);
        changed
    }

    /// Whether anybody is held up, as far as anybody has looked.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Until when an actor that wants to be polled has to wait, at least. `was_put_off`: it has been slow
    /// already, only a stall can hold it still.
    fn until(&self, kind: ActorKind, was_put_off: bool) -> Option<Instant> {
        if !self.is_on() {
            return None;
        }
        let (now, mut holds) = (Instant::now(), self.holds());
        let hold = holds.get_mut(&kind)?;
        hold.until.take_if(|until| *until <= now);
        let slow = Some(hold.each).filter(|each| !was_put_off && !each.is_zero());
        let until = hold.until.max(slow.and_then(|each| now.checked_add(each)));
        holds.retain(|_, hold| !hold.is_over());
        self.on.store(!holds.is_empty(), Relaxed);
        until
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<ActorKind, Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait of one actor, if it is held up.
#[derive(Default)]
pub(super) struct Held(Option<Pin<Box<Sleep>>>);

impl Held {
    /// Whether an actor that was woken must not be polled yet. Then it is woken once more when it may:
    /// what woke it before is forgotten by whoever rang.
    pub(super) fn holds(&mut self, drag: &Drag, kind: ActorKind, cx: &mut task::Context<'_>) -> bool {
        let mut was_put_off = false;
        loop {
            if let Some(sleep) = &mut self.0 {
                if sleep.as_mut().poll(cx).is_pending() {
                    return true;
                }
                (self.0, was_put_off) = (None, true);
            }
            match drag.until(kind, was_put_off) {
                Some(until) => self.0 = Some(Box::pin(sleep_until(until))),
                None => return false,
            }
        }
    }
}
