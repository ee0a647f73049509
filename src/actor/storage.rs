//! The storage of a peer: one write at a time, in order; replay waits behind what is under way.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use tokio::sync::oneshot;

use super::parts::Parts;
use crate::{
    raft::Record,
    storage::{LogStorage, Replay, StorageError, Wait},
};

/// Makes the records of a turn durable. `done` hears of success only: after a failure the peer
/// stops, and nobody may go on as if nothing had happened.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Write {
    /// In order.
    pub records: Vec<Record>,
    /// They are durable.
    pub done: oneshot::Sender<()>,
}

/// Reads back everything that is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recover {
    /// Tells this recovery from those before it.
    pub number: u64,
}

/// What was read back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recovered {
    /// The number of the [`Recover`].
    pub number: u64,
    /// What is durable.
    pub replay: Replay,
}

/// The disk has failed: the peer can promise nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DiskFailed(pub StorageError);

/// The storage actor.
pub struct StorageActor {
    log: Box<dyn LogStorage>,
    recovered: Recipient<Recovered>,
    failed: Recipient<DiskFailed>,
    /// After a failed write nothing is tried again: what a second sync says means nothing.
    is_poisoned: bool,
    /// As long as anybody holds it the peer is not gone, and its disk must not be opened again.
    _parts: Arc<Parts>,
}

impl StorageActor {
    /// Serves an open log.
    pub fn new(
        log: Box<dyn LogStorage>,
        recovered: Recipient<Recovered>,
        failed: Recipient<DiskFailed>,
        parts: Arc<Parts>,
    ) -> StorageActor {
        StorageActor { log, recovered, failed, is_poisoned: false, _parts: parts }
    }

    /// Goes on with `then` once the disk has answered; nothing else is begun before.
    fn when_done<T: 'static>(
        &mut self,
        wait: Wait<Result<T, StorageError>>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, T) + 'static,
    ) {
        match wait {
            Wait::Now(result) => self.finish(result, then),
            Wait::Later(future) => {
                ctx.wait(future.into_actor(self).map(|result, actor, _| actor.finish(result, then)))
            }
        }
    }

    fn finish<T>(&mut self, result: Result<T, StorageError>, then: impl FnOnce(&mut Self, T)) {
        match result {
            Ok(value) => then(self, value),
            Err(error) => {
                self.is_poisoned = true;
                self.failed.do_send(DiskFailed(error));
            }
        }
    }
}

impl Actor for StorageActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Write> for StorageActor {
    type Result = ();

    fn handle(&mut self, write: Write, ctx: &mut Self::Context) {
        if self.is_poisoned {
            return;
        }
        let wait = self.log.write(write.records);
        self.when_done(wait, ctx, |_, ()| {
            let _ = write.done.send(());
        });
    }
}

impl Handler<Recover> for StorageActor {
    type Result = ();

    fn handle(&mut self, recover: Recover, ctx: &mut Self::Context) {
        if self.is_poisoned {
            return;
        }
        let wait = self.log.replay();
        self.when_done(wait, ctx, move |actor, replay| {
            actor.recovered.do_send(Recovered { number: recover.number, replay });
        });
    }
}
