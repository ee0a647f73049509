//! The storage of a peer: one write at a time, in order; replay waits behind what is under way.
//!
//! Whoever writes begins the write itself, and the actor waits for its end. A log in memory is done at once: then there
//! is nothing to wait for, and no letter. That and the answer's were a fifth of what a lone proposal took.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use tokio::sync::oneshot;

use super::drag::Drag;
use crate::{
    raft::Record,
    storage::{LogStorage, Replay, StorageError, Wait},
};

/// A write that was begun, to be waited for. `done` hears of success only: after a failure the peer
/// stops, and nobody may go on as if nothing had happened.
#[derive(Message)]
#[rtype(result = "()")]
struct Begun {
    write: Wait<Result<(), StorageError>>,
    /// It is durable.
    done: oneshot::Sender<()>,
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

/// Where the log is for as long as it may be used: not beyond its first failure, nor the storage actor's end.
pub type Place = Arc<Mutex<Option<Box<dyn LogStorage>>>>;

fn lock(place: &Place) -> MutexGuard<'_, Option<Box<dyn LogStorage>>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a role writes.
#[derive(Clone)]
pub struct Writer {
    place: Place,
    storage: Addr<StorageActor>,
}

impl Writer {
    /// What the actor of this address serves, in its place.
    pub fn new(place: Place, storage: Addr<StorageActor>) -> Writer {
        Writer { place, storage }
    }

    /// Makes the records of a turn durable. `None`: they are. Else they are when this is heard; if it fails,
    /// the disk has failed or the storage has fallen, and whoever wrote is about to be ended. Whatever holds
    /// up the storage holds up its writes.
    pub fn write(&self, records: Vec<Record>, drag: &Drag) -> Option<oneshot::Receiver<()>> {
        // Whoever falls while writing takes the log along: nobody knows what is left of it.
        let Some(mut log) = lock(&self.place).take() else { return Some(oneshot::channel().1) };
        let write = log.write(records);
        if !matches!(write, Wait::Now(Err(_))) {
            *lock(&self.place) = Some(log);
        }
        if matches!(write, Wait::Now(Ok(()))) && !drag.is_on() {
            return None;
        }
        let (done, heard) = oneshot::channel();
        self.storage.do_send(Begun { write, done });
        Some(heard)
    }
}

/// The storage actor.
pub struct StorageActor {
    log: Place,
    recovered: Recipient<Recovered>,
    failed: Recipient<DiskFailed>,
    /// As long as anybody holds it the peer is not gone, and its disk must not be opened again.
    _peer: Arc<dyn Send + Sync>,
}

impl StorageActor {
    /// Serves an open log.
    pub fn new(
        log: Box<dyn LogStorage>,
        recovered: Recipient<Recovered>,
        failed: Recipient<DiskFailed>,
        peer: Arc<dyn Send + Sync>,
    ) -> StorageActor {
        let log = Arc::new(Mutex::new(Some(log)));
        StorageActor { log, recovered, failed, _peer: peer }
    }

    /// Where its log is.
    pub fn place(&self) -> Place {
        self.log.clone()
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

    /// Nobody uses the log any more.
    fn close(&mut self) {
        let log = lock(&self.log).take();
        drop(log);
    }

    fn finish<T>(&mut self, result: Result<T, StorageError>, then: impl FnOnce(&mut Self, T)) {
        match result {
            Ok(value) => then(self, value),
            Err(error) => {
                // Nothing is tried again: what a second sync says means nothing.
                self.close();
                self.failed.do_send(DiskFailed(error));
            }
        }
    }
}

/// However it ends, nobody writes any more.
impl Drop for StorageActor {
    fn drop(&mut self) {
        self.close();
    }
}

impl Actor for StorageActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Begun> for StorageActor {
    type Result = ();

    fn handle(&mut self, Begun { write, done }: Begun, ctx: &mut Self::Context) {
        self.when_done(write, ctx, |_, ()| {
            let _ = done.send(());
        });
    }
}

impl Handler<Recover> for StorageActor {
    type Result = ();

    fn handle(&mut self, recover: Recover, ctx: &mut Self::Context) {
        // There is none any more: only who opens the disk anew has another.
        let replay = lock(&self.log).as_deref_mut().map(LogStorage::replay);
        let Some(wait) = replay else { return ctx.stop() };
        self.when_done(wait, ctx, move |actor, replay| {
            actor.recovered.do_send(Recovered { number: recover.number, replay });
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };

    use super::*;
    use crate::{
        raft::{ActorKind, Term},
        storage::{Disk, MemoryDisk},
    };

    /// The parent: hears what the storage has to say.
    #[derive(Default)]
    struct Parent {
        replays: Vec<oneshot::Sender<Replay>>,
        failures: Vec<oneshot::Sender<StorageError>>,
    }

    impl Actor for Parent {
        type Context = Context<Self>;
    }

    impl Handler<Recovered> for Parent {
        type Result = ();

        fn handle(&mut self, recovered: Recovered, _: &mut Self::Context) {
            self.replays.pop().map(|to| to.send(recovered.replay));
        }
    }

    impl Handler<DiskFailed> for Parent {
        type Result = ();

        fn handle(&mut self, DiskFailed(error): DiskFailed, _: &mut Self::Context) {
            self.failures.pop().map(|to| to.send(error));
        }
    }

    struct Stage {
        disk: MemoryDisk,
        storage: Addr<StorageActor>,
        writer: Writer,
        drag: Drag,
        replayed: oneshot::Receiver<Replay>,
        failed: oneshot::Receiver<StorageError>,
    }

    fn stage() -> Stage {
        let ((replay, replayed), (failure, failed)) = (oneshot::channel(), oneshot::channel());
        let parent = Parent { replays: vec![replay], failures: vec![failure] }.start();
        let disk = MemoryDisk::new();
        let log = disk.clone().open().unwrap().log;
        let actor = StorageActor::new(log, parent.clone().recipient(), parent.recipient(), Arc::new(()));
        let place = actor.place();
        let storage = actor.start();
        let writer = Writer::new(place, storage.clone());
        Stage { disk, storage, writer, drag: Drag::default(), replayed, failed }
    }

    /// Whatever has to happen happens: a test that waits for ever says less than one that fails.
    async fn soon<T>(what: impl Future<Output = T>) -> T {
        match tokio::time::timeout(Duration::from_secs(10), what).await {
            Ok(happened) => happened,
            Err(_) => panic!("nothing happened"),
        }
    }

    async fn once(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        soon(waiting).await;
    }

    fn ballot(term: u64) -> Vec<Record> {
        vec![Record::Ballot { term: Term(term), vote: None }]
    }

    #[actix::test]
    async fn a_disk_that_takes_no_time_is_written_to_at_once() {
        let stage = stage();
        assert!(stage.writer.write(ballot(1), &stage.drag).is_none());
        assert_eq!(stage.disk.writes(), 1);
        stage.storage.do_send(Recover { number: 1 });
        assert_eq!(soon(stage.replayed).await.unwrap().records, ballot(1));
    }

    #[actix::test]
    async fn a_disk_that_takes_time_is_waited_for() {
        let stage = stage();
        stage.disk.hang();
        let mut heard = stage.writer.write(ballot(1), &stage.drag).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(heard.try_recv().is_err() && stage.disk.writes() == 0);
        stage.disk.resume();
        soon(heard).await.unwrap();
        assert_eq!(stage.disk.writes(), 1);
    }

    #[actix::test]
    async fn a_storage_that_is_held_up_holds_up_its_writes() {
        let stage = stage();
        stage.drag.slow(ActorKind::Storage, Duration::from_millis(1));
        let heard = stage.writer.write(ballot(1), &stage.drag).unwrap();
        soon(heard).await.unwrap();
        assert_eq!(stage.disk.writes(), 1);
    }

    #[actix::test]
    async fn after_a_failure_nothing_is_tried_again() {
        let stage = stage();
        stage.disk.fail_next_write();
        let heard = stage.writer.write(ballot(1), &stage.drag).unwrap();
        stage.disk.repair();
        let again = stage.writer.write(ballot(2), &stage.drag).unwrap();
        let (heard, again) = (soon(heard).await, soon(again).await);
        assert!(heard.is_err() && again.is_err(), "nobody says that it is durable");
        soon(stage.failed).await.unwrap();
        stage.storage.do_send(Recover { number: 1 });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut replayed = stage.replayed;
        assert!(replayed.try_recv().is_err());
        assert_eq!(stage.disk.writes(), 0);
    }

    #[actix::test]
    async fn a_failure_that_the_actor_meets_is_one_for_those_who_write_at_once() {
        let stage = stage();
        stage.drag.slow(ActorKind::Storage, Duration::from_millis(1));
        stage.disk.fail_next_write();
        assert!(soon(stage.writer.write(ballot(1), &stage.drag).unwrap()).await.is_err());
        soon(stage.failed).await.unwrap();
        stage.disk.repair();
        assert!(soon(stage.writer.write(ballot(2), &Drag::default()).unwrap()).await.is_err());
        assert_eq!(stage.disk.writes(), 0);
    }

    /// A log that falls over whatever it is to write.
    struct Trap(Box<dyn LogStorage>);

    impl LogStorage for Trap {
        fn replay(&mut self) -> Wait<Result<Replay, StorageError>> {
            self.0.replay()
        }

        fn write(&mut self, _: Vec<Record>) -> Wait<Result<(), StorageError>> {
            panic!("a trap")
        }
    }

    #[actix::test]
    async fn a_log_that_a_writer_fell_over_is_opened_anew() {
        let stage = stage();
        let log = lock(&stage.writer.place).take().unwrap();
        *lock(&stage.writer.place) = Some(Box::new(Trap(log)));
        let fallen = catch_unwind(AssertUnwindSafe(|| stage.writer.write(ballot(1), &stage.drag)));
        assert!(fallen.is_err());
        assert!(soon(stage.writer.write(ballot(2), &stage.drag).unwrap()).await.is_err());
        stage.storage.do_send(Recover { number: 1 });
        once(|| !stage.storage.connected()).await;
        assert_eq!(stage.disk.writes(), 0);
    }

    #[actix::test]
    async fn nobody_writes_once_the_storage_has_fallen() {
        let stage = stage();
        drop(stage.storage);
        let Writer { place, storage } = stage.writer;
        drop(storage);
        once(|| lock(&place).is_none()).await;
    }
}
