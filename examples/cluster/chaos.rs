//! What is broken, and when: single actors, and whole peers.
//!
//! Everything happens *after line K was submitted*: not when it is answered, for then a window of
//! one would be the only one that loses nothing. So a file of N lines sees exactly N / K crashes.

use std::time::Duration;

use raft_actors::{
    Cluster,
    raft::{ActorKind, PeerId, RoleKind},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    args::Crash,
    run::{Failure, Keeps, PATIENCE},
    tally::Tally,
};

/// How long an injected crash may take to land before it is injected anew: its actor may have been
/// on its way out, as the replicators of a leader that steps down are.
const LANDING: Duration = Duration::from_millis(500);

/// How long to wait for a disk to write, so that what breaks breaks in the middle of it.
const MOMENT: Duration = Duration::from_millis(10);

/// What is to be broken.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub crash_every: Option<u64>,
    pub crashes: Vec<Crash>,
    pub kill_every: Option<u64>,
    pub kill_for_good: u64,
    /// The number of lines after which peers are killed for good.
    pub half: u64,
    /// Whether writing takes any time. The disks of a live cluster are memory, and done at once.
    pub disks_take_time: bool,
}

/// A peer that is down, to be started again; and who wants to know when it was.
type Restart = (PeerId, oneshot::Sender<()>);

/// Carries out a [`Plan`].
pub struct Chaos<'a, M: Keeps> {
    cluster: &'a Cluster<M>,
    tally: &'a Tally,
    plan: &'a Plan,
    crashes: u64,
    kills: u64,
    followers: u64,
    restart: mpsc::UnboundedSender<Restart>,
    /// Done when the peer that was killed last has been started again.
    restarted: Option<oneshot::Receiver<()>>,
}

impl<'a, M: Keeps> Chaos<'a, M> {
    /// The plan's executor, and what [`restart_peers`] needs beside it.
    pub fn new(
        cluster: &'a Cluster<M>,
        tally: &'a Tally,
        plan: &'a Plan,
    ) -> (Chaos<'a, M>, mpsc::UnboundedReceiver<Restart>) {
        let (restart, restarts) = mpsc::unbounded_channel();
        let chaos =
            Chaos { cluster, tally, plan, crashes: 0, kills: 0, followers: 0, restart, restarted: None };
        (chaos, restarts)
    }

    /// Line `number` was submitted; 0 is the beginning.
    pub async fn after(&mut self, number: u64) -> Result<(), Failure> {
        let is_due =
            |every: Option<u64>| number > 0 && every.is_some_and(|every| number.is_multiple_of(every));
        if is_due(self.plan.crash_every) {
            self.crash(ActorKind::Role, false).await?;
        }
        let plan = self.plan;
        for crash in plan.crashes.iter().filter(|crash| crash.at == number) {
            self.crash(crash.kind, crash.of_follower).await?;
        }
        if is_due(self.plan.kill_every) {
            self.kill_next().await?;
        }
        if self.plan.kill_for_good > 0 && number == self.plan.half {
            self.kill_for_good().await?;
        }
        Ok(())
    }

    /// The leader, once it has committed in its term. One that has not is spared: crash after crash
    /// without any progress is a loop that supervision rightly gives up on.
    async fn leader(&self) -> Result<PeerId, Failure> {
        let firm = || {
            let (peer, term, before) = self.tally.elected()?;
            let status = self.cluster.status(peer)?;
            let leads = status.role == Some(RoleKind::Leader) && status.term == term;
            (leads && status.commit > before).then_some(peer)
        };
        self.cluster.wait_until(PATIENCE, || firm().is_some()).await;
        firm().or_else(|| self.cluster.leader()).ok_or(Failure::NoQuorum { patience: PATIENCE })
    }

    /// The followers that are up, in the order of their ids.
    fn followers(&self, leader: PeerId) -> Vec<PeerId> {
        let up = self.cluster.statuses().into_iter().filter(|status| status.up && status.role.is_some());
        up.map(|status| status.peer).filter(|&peer| peer != leader).collect()
    }

    /// Panics an actor, and returns when it has fallen.
    async fn crash(&mut self, kind: ActorKind, of_follower: bool) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let leader = self.leader().await?;
            let followers = self.followers(leader);
            let peer = match of_follower {
                false => leader,
                true if followers.is_empty() => {
                    sleep(Duration::from_millis(1)).await;
                    continue;
                }
                true => {
                    self.followers += 1;
                    pick(&followers, self.followers - 1).unwrap_or(leader)
                }
            };
            // Every other crash takes what waits in the mailbox instead.
            self.crashes += 1;
            if !self.crashes.is_multiple_of(2) {
                self.until_writing(peer).await;
            }
            let before = self.tally.crashes(peer, kind);
            self.cluster.crash(peer, kind);
            if self.cluster.wait_until(LANDING, || self.tally.crashes(peer, kind) > before).await {
                return Ok(());
            }
        }
        Err(Failure::NoQuorum { patience: PATIENCE })
    }

    /// Waits a moment for the disk of a peer to write: only then there is an unsynced tail to lose.
    async fn until_writing(&self, peer: PeerId) {
        if self.plan.disks_take_time {
            self.cluster.wait_until(MOMENT, || self.tally.is_writing(peer)).await;
        }
    }

    /// Cuts the power of the next peer: the leader, then each follower, then the leader again.
    async fn kill_next(&mut self) -> Result<(), Failure> {
        self.all_restarted().await;
        let leader = self.leader().await?;
        let mut candidates = vec![leader];
        candidates.extend(self.followers(leader));
        let Some(victim) = pick(&candidates, self.kills) else { return Ok(()) };
        self.kills += 1;
        self.until_writing(victim).await;
        self.cluster.kill(victim).await;
        let (done, restarted) = oneshot::channel();
        self.restarted = Some(restarted);
        // Nobody takes it only when the run is over, and then nobody waits for it either.
        let _ = self.restart.send((victim, done));
        Ok(())
    }

    async fn kill_for_good(&mut self) -> Result<(), Failure> {
        self.all_restarted().await;
        let leader = self.leader().await?;
        let others = self.cluster.peers().into_iter().filter(|&peer| peer != leader);
        let victims: Vec<_> =
            [leader].into_iter().chain(others).take(self.plan.kill_for_good as usize).collect();
        for victim in victims {
            self.cluster.kill(victim).await;
        }
        Ok(())
    }

    /// At most one peer at a time is down and to come back.
    async fn all_restarted(&mut self) {
        if let Some(restarted) = self.restarted.take() {
            let _ = restarted.await;
        }
    }
}

fn pick(peers: &[PeerId], number: u64) -> Option<PeerId> {
    peers.iter().copied().cycle().nth((number % peers.len().max(1) as u64) as usize)
}

/// Starts peers again that were killed: a heartbeat later, so that the others go on without it; at
/// once if they can't.
pub async fn restart_peers<M: Keeps>(
    cluster: &Cluster<M>,
    mut restarts: mpsc::UnboundedReceiver<Restart>,
) -> Result<(), Failure> {
    while let Some((peer, done)) = restarts.recv().await {
        let up = cluster.statuses().iter().filter(|status| status.up).count();
        if up * 2 > cluster.peers().len() {
            sleep(Duration::from_millis(cluster.config().heartbeat_ms)).await;
        }
        cluster.restart(peer).await;
        let _ = done.send(());
    }
    Ok(())
}
