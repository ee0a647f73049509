//! A machine that has a thread to itself: what takes it long keeps no heartbeat waiting.
//!
//! The machine actor hands it batches, questions and the rest one after the other, as it does to an
//! actor of the user's own, and waits for the answer before it goes on.

use std::{
    any::Any,
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use actix::Recipient;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    answers::Answers,
    custom::{Hired, Local, Ran},
    gauges::Gauges,
    supervision::{Child, ChildDown, End, how},
};
use crate::{
    machine::{CodecError, Lent, erased::AnyMachine},
    raft::{ActorKind, Position},
    storage::SnapshotWriter,
};

/// Something to be done where the machine is.
type Job = Box<dyn FnOnce(&mut dyn AnyMachine) + Send>;

/// The machine, and its thread once it has started. The thread ends by itself when this is dropped.
pub(crate) struct OwnThread {
    waiting: Option<Box<dyn AnyMachine>>,
    jobs: Option<mpsc::Sender<Job>>,
}

impl OwnThread {
    /// A machine that is about to get its thread.
    pub fn new(machine: Box<dyn AnyMachine>) -> OwnThread {
        OwnThread { waiting: Some(machine), jobs: None }
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn AnyMachine) -> T + Send + 'static,
    ) -> Local<Option<T>> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |machine| drop(answer.send(job(machine))));
        // Without a thread nobody answers, and the parent has heard why.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
        Box::pin(async move { answered.await.ok() })
    }
}

/// Does one job after the other. One that panics is the last: the machine may be broken.
fn serve(mut machine: Box<dyn AnyMachine>, jobs: &mpsc::Receiver<Job>) -> Result<(), Box<dyn Any + Send>> {
    for job in jobs {
        catch_unwind(AssertUnwindSafe(|| job(&mut *machine)))?;
    }
    Ok(())
}

impl Hired for OwnThread {
    fn start(&mut self, parent: Recipient<ChildDown>, gauges: &Arc<Gauges>) {
        let Some(machine) = self.waiting.take() else { return };
        let (jobs, queue) = mpsc::channel();
        let (gauges, told) = (gauges.clone(), parent.clone());
        let fell = move |end| {
            let child = Child { kind: ActorKind::Machine, number: 0 };
            told.do_send(ChildDown { child, end, during_sync: gauges.is_syncing() });
        };
        let report = fell.clone();
        let run = move || serve(machine, &queue).unwrap_or_else(|cause| report(how(cause.as_ref())));
        match thread::Builder::new().name("raft-machine".into()).spawn(run) {
            Ok(_) => self.jobs = Some(jobs),
            Err(cause) => fell(End::Panicked(format!("there is no thread for the machine: {cause}"))),
        }
    }

    fn run(&mut self, jobs: Vec<(Position, Bytes)>) -> Local<Option<Vec<Ran>>> {
        self.ask(move |machine| {
            let mut answers = Answers::default();
            let add = |(at, command): &_| answers.add(|into| machine.apply(*at, Lent::from(command), into));
            let places: Vec<Result<_, CodecError>> = jobs.iter().map(add).collect();
            let mut answers = answers.seal();
            places.into_iter().map(|place| place.map(|place| answers.take(place))).collect()
        })
    }

    fn query(&mut self, question: Bytes) -> Local<Option<Ran>> {
        // One that makes the machine panic changes nothing, and is answered by nobody.
        let asked = self.ask(move |machine| catch_unwind(AssertUnwindSafe(|| machine.query(question))).ok());
        Box::pin(async move { asked.await.flatten() })
    }

    fn view(&mut self) -> Local<Option<SnapshotWriter>> {
        self.ask(|machine| machine.snapshot())
    }

    fn restore(&mut self, mut snapshot: Box<dyn Read + Send>) -> Local<Option<io::Result<()>>> {
        self.ask(move |machine| machine.restore(&mut *snapshot))
    }
}
