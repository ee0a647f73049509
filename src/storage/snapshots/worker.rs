//! A thread for what blocks: jobs go in, answers come out, in order.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

use crate::storage::{StorageError, Wait};

type Job = Box<dyn FnOnce() + Send>;

/// Whether anybody still waits for what a job does.
pub(super) type IsWanted<'a> = &'a dyn Fn() -> bool;

/// A thread that begins with its first job, and ends when this is dropped and its jobs are done.
pub(super) struct Worker {
    name: &'static str,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

impl Worker {
    /// A thread that has not begun.
    pub(super) fn new(name: &'static str) -> Worker {
        Worker { name, jobs: Mutex::new(None) }
    }

    /// Has a job done, behind those before it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(IsWanted<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Wait<Result<T, StorageError>> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            let result = job(&|| !answer.is_closed());
            // Nobody waits any more: what was done is done.
            let _ = answer.send(result);
        });
        if let Err(cause) = self.send(job) {
            return Wait::Now(Err(StorageError::Aside { what: format!("thread {}", self.name), cause }));
        }
        let name = self.name;
        Wait::Later(Box::pin(async move {
            let lost = || StorageError::Aside {
                what: format!("thread {name}"),
                cause: io::Error::other("a job panicked"),
            };
            answered.await.unwrap_or_else(|_| Err(lost()))
        }))
    }

    fn send(&self, job: Job) -> io::Result<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match jobs.take() {
            Some(sender) => sender,
            None => begin(self.name)?,
        };
        // It ends only after its sender: it is there.
        let _ = sender.send(job);
        *jobs = Some(sender);
        Ok(())
    }
}

fn begin(name: &str) -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name(name.into()).spawn(move || {
        for job in jobs {
            // A job that panics answers nobody, and that is heard. The next one has a right to be done.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    })?;
    Ok(sender)
}
