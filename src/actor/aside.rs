//! Work that takes long: on a thread of its own in a live cluster, here and now in a simulation.
//!
//! A role that waits for a state of 256 MiB to be read is a role that is deposed, and so are all the
//! others on its thread. In a simulation there is one thread, and nothing takes any time but what is
//! said to.

use std::panic::resume_unwind;

use super::custom::Soon;

/// Does it. A panic in it is a panic of whoever waits for it.
pub(crate) fn aside<T: Send + 'static>(is_live: bool, work: impl FnOnce() -> T + Send + 'static) -> Soon<T> {
    if !is_live {
        return Soon::Now(Some(work()));
    }
    let done = tokio::task::spawn_blocking(work);
    Soon::Later(Box::pin(async move {
        match done.await {
            Ok(value) => Some(value),
            Err(error) => match error.try_into_panic() {
                Ok(cause) => resume_unwind(cause),
                // The thread of the peer is about to end, and this actor with it.
                Err(_) => None,
            },
        }
    }))
}
