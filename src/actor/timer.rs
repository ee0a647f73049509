//! The timer of a peer: sleeps to the deadline that the role last set, then rings once.
//!
//! At most one alarm is under way, and none is made up for: a role that was late to look at the last
//! one sets the next. Rules compare deadlines, so an alarm too many changes nothing.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use actix::{Actor, ActorFuture, AsyncContext, Context, Handler, Message, Recipient};
use tokio::time::{Sleep, sleep_until};

use super::clock::{Clock, ClockChanged};

/// Sets the deadline, in milliseconds of the peer's clock. An earlier one is forgotten.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Arm {
    /// When to ring.
    pub at_ms: u64,
}

/// The deadline has passed.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Alarm {
    /// When this was noticed, in milliseconds of the peer's clock.
    pub at_ms: u64,
}

/// The timer actor.
pub struct Timer {
    clock: Arc<Clock>,
    parent: Recipient<Alarm>,
    /// The deadline, and whether the sleeper has been told.
    armed: Option<(u64, bool)>,
}

impl Timer {
    /// A timer that is not armed.
    pub fn new(clock: Arc<Clock>, parent: Recipient<Alarm>) -> Timer {
        Timer { clock, parent, armed: None }
    }
}

impl Actor for Timer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        ctx.spawn(Sleeper(Box::pin(sleep_until(self.clock.instant(0)))));
    }
}

impl Handler<Arm> for Timer {
    type Result = ();

    fn handle(&mut self, arm: Arm, _: &mut Self::Context) {
        self.armed = Some((arm.at_ms, false));
    }
}

impl Handler<ClockChanged> for Timer {
    type Result = ();

    fn handle(&mut self, _: ClockChanged, _: &mut Self::Context) {
        // The deadline comes sooner now, or later.
        self.armed = self.armed.map(|(at_ms, _)| (at_ms, false));
    }
}

/// Lives as long as the timer; polled after each message and when its sleep is over.
struct Sleeper(Pin<Box<Sleep>>);

impl ActorFuture<Timer> for Sleeper {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        timer: &mut Timer,
        _: &mut Context<Timer>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        if let Some((at_ms, told)) = timer.armed {
            if !told {
                self.0.as_mut().reset(timer.clock.instant(at_ms));
                timer.armed = Some((at_ms, true));
            }
            if self.0.as_mut().poll(cx).is_ready() {
                timer.armed = None;
                timer.parent.do_send(Alarm { at_ms: timer.clock.now_ms() });
            }
        }
        Poll::Pending
    }
}
