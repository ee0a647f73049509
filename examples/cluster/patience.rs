//! How long to wait for what only a quorum can give, and when to give it up.

use std::{cell::Cell, future::Future, pin::pin, time::Duration};

use raft_actors::{Cluster, actor::gauges::PeerStatus, raft::Index};
use tokio::time::{Instant, sleep, timeout};

use super::{failure::Failure, run::Keeps, voice::say};

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
    /// Whether it was said that disks are full, and not yet that they have room again.
    is_full: Cell<bool>,
}

impl<'a, M: Keeps> Patience<'a, M> {
    /// With the peers of this cluster.
    pub fn with(cluster: &'a Cluster<M>) -> Patience<'a, M> {
        Patience { cluster, is_full: Cell::new(false) }
    }

    /// Waits for something that needs a quorum, as long as there is hope for one. Full disks are no
    /// reason to give up, however long that takes: somebody may be making room.
    pub async fn wait_for<T>(&self, what: impl Future<Output = T>) -> Result<T, Failure> {
        self.wait(what, || false).await
    }

    /// The same at the beginning, when peers read back what they have: that takes as long as it takes.
    pub async fn wait_to_begin<T>(&self, what: impl Future<Output = T>) -> Result<T, Failure> {
        let mut before = Index(0);
        let reads_back = || {
            let applied = self.cluster.statuses().iter().map(|status| status.applied).max();
            let applied = applied.unwrap_or_default().max(before);
            let recovers = self.count(|status| status.up && status.role.is_none()) > 0;
            recovers || std::mem::replace(&mut before, applied) < applied
        };
        self.wait(what, reads_back).await
    }

    async fn wait<T>(
        &self,
        what: impl Future<Output = T>,
        mut has_reason: impl FnMut() -> bool,
    ) -> Result<T, Failure> {
        let (mut what, mut since) = (pin!(what), Instant::now());
        loop {
            if let Ok(done) = timeout(GLANCE, what.as_mut()).await {
                self.has_room();
                return Ok(done);
            }
            let up = self.count(|status| status.up);
            let roomy = self.count(|status| status.up && !status.disk_full);
            let majority = self.cluster.peers().len() / 2 + 1;
            if up >= majority && roomy < majority {
                self.is_full_at(up - roomy);
                since = Instant::now();
            }
            if has_reason() {
                since = Instant::now();
            }
            let patience = if up >= majority { PATIENCE } else { PATIENCE_WITHOUT_MAJORITY };
            if since.elapsed() >= patience {
                return Err(Failure::NoQuorum { patience });
            }
        }
    }

    /// Waits until all living peers have everything. One whose disk is full takes nothing in.
    pub async fn until_caught_up(&self) -> Result<(), Failure> {
        while !self.cluster.wait_until_caught_up(PATIENCE).await {
            match self.count(|status| status.up && status.disk_full) {
                0 if self.is_full.take() => {}
                0 => return Err(Failure::NotCaughtUp { patience: PATIENCE }),
                full => self.is_full_at(full),
            }
        }
        self.has_room();
        Ok(())
    }

    fn count(&self, is_one: impl Fn(&PeerStatus) -> bool) -> usize {
        self.cluster.statuses().iter().filter(|status| is_one(status)).count()
    }

    /// Said once, however often it is seen.
    fn is_full_at(&self, peers: usize) {
        if !self.is_full.replace(true) {
            let all = self.cluster.peers().len();
            say(&format!("the disks are full: waiting for room ({peers} of {all} peers take nothing in)"));
        }
    }

    fn has_room(&self) {
        if self.is_full.take() {
            say("there is room again: it goes on");
        }
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
