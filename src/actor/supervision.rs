//! Guard, leash and budget: a panic or a stop becomes [`ChildDown`].
//!
//! actix's own `Supervisor` restarts the same value after a stop, and a panic ends actor and
//! supervisor alike. Here every actor runs inside a [`Guard`], a future that polls it inside
//! `catch_unwind` and tells the parent how it ended; the parent rebuilds it from durable state.
//!
//! Ends are pulled through the guard and not through the mailbox. A message waits behind a mailbox
//! that is shut for a sync; the [`Leash`] does not, and so a kill loses an unsynced tail, as a power
//! cut does, and an injected crash lands in the middle of a sync. The guard also heeds what holds its actor
//! up (`drag`): that is felt behind the leash.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Message, Recipient, dev::ContextFut};

pub use super::leash::{Fall, Leash, Tripwire};
use super::{
    drag::Held,
    gauges::Gauges,
    leash::{Collar, Felt, leash},
};
use crate::raft::ActorKind;

#[cfg(not(panic = "unwind"))]
compile_error!(
    "raft-actors heals panics, and needs `panic = \"unwind\"` in every profile that it is built with"
);

/// Which child of a parent: its kind, and how many of that kind there were before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// What it is.
    pub kind: ActorKind,
    /// Tells it from those before it.
    pub number: u64,
}

/// A child has ended, and nobody had asked for it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ChildDown {
    /// Which one.
    pub child: Child,
    /// How.
    pub end: End,
    /// Whether a sync of its peer was under way when it fell: its parent may hear of it later.
    pub during_sync: bool,
}

/// How an actor ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// A crash was injected.
    Injected,
    /// It panicked, and said this.
    Panicked(String),
    /// It stopped by itself.
    Stopped,
}

/// What an injected panic carries, so that it is told from a real one.
struct Injected;

/// An actor and its mailbox, as a future.
type Running<A> = Pin<Box<ContextFut<A, Context<A>>>>;

/// Polls an actor inside `catch_unwind`, and tells the parent how it ended.
struct Guard<A: Actor<Context = Context<A>>> {
    actor: Option<Running<A>>,
    /// `None`: it was released.
    collar: Option<Collar>,
    child: Child,
    parent: Recipient<ChildDown>,
    gauges: Arc<Gauges>,
    held: Held,
}

impl<A: Actor<Context = Context<A>>> Guard<A> {
    /// What the leash says now. `Err`: it was dropped.
    fn felt(&mut self, cx: &mut task::Context<'_>) -> Result<Option<Fall>, ()> {
        let Some(collar) = &mut self.collar else { return Ok(None) };
        match collar.feel(cx) {
            Felt::Nothing => Ok(None),
            Felt::Fall(fall) => Ok(Some(fall)),
            Felt::Released => {
                self.collar = None;
                Ok(None)
            }
            Felt::Dropped => Err(()),
        }
    }

    /// Whether the actor is held up. One that has retired only passes on what is addressed to it, and is
    /// not: what its peer hears would come out of order.
    fn is_held(&mut self, cx: &mut task::Context<'_>) -> bool {
        self.collar.is_some() && self.held.holds(self.gauges.drag(), self.child.kind, cx)
    }

    /// Drops the actor without polling it again: dropping a context polls its actor unless it is
    /// terminated, and this one may be broken. Its own `Drop` may panic too.
    fn discard(&mut self) {
        if let Some(mut actor) = self.actor.take() {
            actor.as_mut().get_mut().ctx().terminate();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(actor)));
        }
    }
}

impl<A: Actor<Context = Context<A>>> Future for Guard<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let Ok(fall) = self.felt(cx) else {
            self.discard();
            return Poll::Ready(());
        };
        if fall.is_none() && self.is_held(cx) {
            return Poll::Pending;
        }
        let Some(actor) = &mut self.actor else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| match fall {
            // Not `panic!`: it would run the panic hook.
            Some(Fall::Panic) => resume_unwind(Box::new(Injected)),
            Some(Fall::Stop) => Poll::Ready(()),
            None => actor.as_mut().poll(cx),
        }));
        let end = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) if fall.is_some() => End::Injected,
            Ok(Poll::Ready(())) if self.collar.is_none() => {
                self.discard();
                return Poll::Ready(());
            }
            Ok(Poll::Ready(())) => End::Stopped,
            Err(cause) => how(cause.as_ref()),
        };
        self.discard();
        let during_sync = self.gauges.is_syncing();
        self.parent.do_send(ChildDown { child: self.child, end, during_sync });
        Poll::Ready(())
    }
}

/// How somebody ended who panicked with this.
pub(super) fn how(cause: &(dyn Any + Send)) -> End {
    if cause.is::<Injected>() {
        return End::Injected;
    }
    let text = cause.downcast_ref::<&str>().map(|text| text.to_string());
    End::Panicked(text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default())
}

/// Starts an actor on this thread, under guard.
pub fn spawn_guarded<A: Actor<Context = Context<A>>>(
    child: Child,
    parent: Recipient<ChildDown>,
    gauges: &Arc<Gauges>,
    actor: A,
) -> (Addr<A>, Leash) {
    let context = Context::new();
    let addr = context.address();
    let actor = Some(Box::pin(context.into_future(actor)));
    let (leash, collar) = leash();
    let gauges = gauges.clone();
    let held = Held::default();
    tokio::task::spawn_local(Guard { actor, collar: Some(collar), child, parent, gauges, held });
    (addr, leash)
}

/// How often children may be restarted without any progress in between: crashes that bring the
/// peer on are healed for ever, a loop that brings nothing is not.
#[derive(Debug)]
pub struct Budget {
    max: u32,
    spent: u32,
    progress: u64,
}

impl Budget {
    /// Allows `max` restarts without progress.
    pub fn new(max: u32) -> Budget {
        Budget { max, spent: 0, progress: 0 }
    }

    /// One more restart, at this much progress. `None`: there were too many.
    pub fn spend(&mut self, progress: u64) -> Option<u32> {
        if progress > self.progress {
            (self.progress, self.spent) = (progress, 0);
        }
        self.spent += 1;
        (self.spent <= self.max).then_some(self.spent)
    }
}
