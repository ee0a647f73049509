//! A session's driver: the task that deals with whatever is not plain sailing.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use futures_channel::mpsc;
use futures_core::Stream;
use tokio::time::{Instant, sleep_until};

use super::{Shared, tell};
use crate::{error::ClientError, raft::Outcome};

/// Sends again, tells those whose time is up.
pub(super) struct Driver {
    shared: Arc<Shared>,
    trouble: mpsc::UnboundedReceiver<(u64, Outcome)>,
}

impl Driver {
    pub fn new(shared: Arc<Shared>, trouble: mpsc::UnboundedReceiver<(u64, Outcome)>) -> Driver {
        Driver { shared, trouble }
    }

    /// Runs until the session handle is gone and nobody waits for an answer any more. From then on it
    /// sends nothing: another may have taken the session up.
    pub async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let alarm = {
                let _in_order = shared.sending();
                let mut window = shared.window();
                if window.is_over || !(window.is_open || window.is_awaited()) {
                    return;
                }
                let (late, parcels) = window.look();
                window.alarm = window.look_at();
                let alarm = window.alarm;
                drop(window);
                tell(late);
                parcels.into_iter().for_each(|parcel| drop(shared.send(parcel)));
                alarm
            };
            tokio::select! {
                // In this order, always: simulations repeat themselves.
                biased;
                Some((about, outcome)) = next(&mut self.trouble) => {
                    let settled = shared.settle(shared.window(), about, outcome);
                    if let Err(fatal) = settled {
                        return shared.give_up(&fatal);
                    }
                }
                () = shared.called.notified() => {}
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {}
            }
        }
    }
}

/// With whatever runtime it lived on: nobody would send again, or tell those who wait that their time is up.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.give_up(&ClientError::Unknown);
    }
}

async fn next<T>(from: &mut mpsc::UnboundedReceiver<T>) -> Option<T> {
    poll_fn(|cx| Pin::new(&mut *from).poll_next(cx)).await
}
