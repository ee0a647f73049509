//! What is broken, and when: single actors, and whole peers.
//!
//! Everything happens *after line K was submitted*: not when it is answered, for then a window of
//! one would be the only one that loses nothing. So a file of N lines sees exactly N / K crashes.
//! Between two of them something has to be acknowledged: a leader that is always struck down before
//! it can answer anybody shows nothing but that.

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
    args::Crash, failure::Failure, patience::PATIENCE, progress::Progress, run::Keeps, tally::Tally,
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
    progress: &'a Progress,
    /// How many lines had been acknowledged when something was broken last.
    acknowledged: u64,
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
        progress: &'a Progress,
    ) -> (Chaos<'a, M>, mpsc::UnboundedReceiver<Restart>) {
        let (restart, restarts) = mpsc::unbounded_channel();
        let chaos = Chaos {
            cluster,
            tally,
            plan,
            progress,
            acknowledged: progress.acknowledged(),
            crashes: 0,
            kills: 0,
            followers: 0,
            restart,
            restarted: None,
        };
        (chaos, restarts)
    }

    /// Line `number` is about to be submitted. If something breaks behind it, there has to be an
    /// answer since the last time first; unless that takes so long that the run is about to fail.
    pub async fn before(&self, number: u64) {
        if self.breaks_after(number) {
            let rested = || {
                let acknowledged = self.progress.acknowledged();
                acknowledged > self.acknowledged || acknowledged + 1 >= number
            };
            self.cluster.wait_until(PATIENCE, rested).await;
        }
    }

    fn breaks_after(&self, number: u64) -> bool {
        let plan = self.plan;
        is_due(number, plan.crash_every)
            || is_due(number, plan.kill_every)
            || plan.crashes.iter().any(|crash| crash.at == number)
    }

    /// Line `number` was submitted; 0 is the beginning.
    pub async fn after(&mut self, number: u64) -> Result<(), Failure> {
        let plan = self.plan;
        if is_due(number, plan.crash_every) {
            self.crash(ActorKind::Role, false).await?;
        }
        for crash in plan.crashes.iter().filter(|crash| crash.at == number) {
            self.crash(crash.kind, crash.of_follower).await?;
        }
        if is_due(number, plan.kill_every) {
            self.kill_next().await?;
        }
        if plan.kill_for_good > 0 && number == plan.half {
            self.kill_for_good().await?;
        }
        if self.breaks_after(number) {
            self.acknowledged = self.progress.acknowledged();
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

fn is_due(number: u64, every: Option<u64>) -> bool {
    number > 0 && every.is_some_and(|every| number.is_multiple_of(every))
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
