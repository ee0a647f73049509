//! The threads and clocks that a cluster runs on.

use std::{future::Future, io, thread::JoinHandle};

use actix::System;
use tokio::{runtime, sync::oneshot};

use crate::{actor::host::HostHandle, error::ClusterError};

/// A thread of its own for one or all peers of a live cluster. Dropped, it ends by itself.
pub struct Thread {
    end: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Thread {
    /// Starts a thread and a host on it.
    pub fn start(name: &str) -> Result<(Thread, HostHandle), ClusterError> {
        let (ready, started) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            let system = System::new();
            system.block_on(async move {
                // Nobody is there to hear it only if whoever starts the thread is gone.
                let _ = ready.send(HostHandle::start());
                let _ = ended.await;
            });
        };
        let thread =
            std::thread::Builder::new().name(name.into()).spawn(run).map_err(ClusterError::Thread)?;
        let host = started.recv().map_err(|error| ClusterError::Thread(io::Error::other(error)))?;
        Ok((Thread { end, handle: thread }, host))
    }

    /// Ends the thread and waits until it has ended.
    pub async fn end(self) {
        drop(self.end);
        // It fails only if the thread panicked, and then it has said so.
        let _ = off_thread(move || drop(self.handle.join())).await;
    }
}

/// Does something that blocks on a thread of its own: this may be a runtime's only one.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClusterError> {
    let (done, answer) = oneshot::channel();
    let run = move || drop(done.send(work()));
    std::thread::Builder::new().spawn(run).map_err(ClusterError::Thread)?;
    answer.await.map_err(|error| ClusterError::Thread(io::Error::other(error)))
}

/// Runs a future on this thread, on virtual time.
pub fn simulate<T>(future: impl Future<Output = T>) -> Result<T, ClusterError> {
    if runtime::Handle::try_current().is_ok() {
        return Err(ClusterError::InsideRuntime);
    }
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(ClusterError::Thread)?;
    let system = System::with_tokio_rt(|| runtime);
    Ok(system.block_on(future))
}
