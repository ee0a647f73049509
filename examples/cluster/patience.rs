//! How long to wait for what only a quorum can give, and when to give it up.

use std::{future::Future, pin::pin, time::Duration};

use raft_actors::Cluster;
use tokio::time::{Instant, sleep, timeout};

use super::{failure::Failure, run::Keeps};

/// How long nothing may be acknowledged before the quorum counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The same, when too few peers are up for any quorum.
const PATIENCE_WITHOUT_MAJORITY: Duration = Duration::from_secs(3);

/// How often a wait looks at the peers.
const GLANCE: Duration = Duration::from_millis(500);

/// How often it is seen whether peers have stopped for good.
const ROUND: Duration = Duration::from_millis(100);

/// Waits for quorums.
pub struct Patience<'a, M: Keeps> {
    cluster: &'a Cluster<M>,
}

impl<'a, M: Keeps> Patience<'a, M> {
    /// With the peers of this cluster.
    pub fn with(cluster: &'a Cluster<M>) -> Patience<'a, M> {
        Patience { cluster }
    }

    /// Waits for something that needs a quorum, as long as there is hope for one.
    pub async fn wait_for<T>(&self, what: impl Future<Output = T>) -> Result<T, Failure> {
        let (mut what, mut since) = (pin!(what), Instant::now());
        loop {
            if let Ok(done) = timeout(GLANCE, what.as_mut()).await {
                return Ok(done);
            }
            let statuses = self.cluster.statuses();
            let is_majority = |count: usize| count * 2 > statuses.len();
            let has_majority = is_majority(statuses.iter().filter(|status| status.up).count());
            let has_room = statuses.iter().filter(|status| status.up && !status.disk_full).count();
            if has_majority && !is_majority(has_room) {
                // There is a quorum, and no room: it goes on by itself when there is.
                since = Instant::now();
            }
            let patience = if has_majority { PATIENCE } else { PATIENCE_WITHOUT_MAJORITY };
            if since.elapsed() >= patience {
                return Err(Failure::NoQuorum { patience });
            }
        }
    }

    /// Waits until all living peers have everything.
    pub async fn until_caught_up(&self) -> Result<(), Failure> {
        while !self.cluster.wait_until_caught_up(PATIENCE).await {
            if !self.cluster.statuses().iter().any(|status| status.up && status.disk_full) {
                return Err(Failure::NotCaughtUp { patience: PATIENCE });
            }
        }
        Ok(())
    }
}

/// Ends when so many peers have stopped by themselves that there will be no quorum any more.
pub async fn until_lost<M: Keeps>(cluster: &Cluster<M>) -> Failure {
    let all = cluster.peers().len();
    loop {
        let stopped = cluster.statuses().iter().filter(|status| status.stopped.is_some()).count();
        if (all - stopped) * 2 <= all {
            return Failure::Stopped { stopped, all };
        }
        sleep(ROUND).await;
    }
}
