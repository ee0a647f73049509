//! How long writes fail when the leader's process is killed.
//!
//! A client writes all the time: it begins a write every few milliseconds, each with a deadline that is short beside an
//! election, for a write that waits for the dead leader says nothing. What is measured is the time from the kill to the
//! first acknowledgement of a write that was begun behind it. Then the killed peer is started again on its folder, and
//! the next trial begins once it has caught up.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use raft_actors::{
    Client,
    client::Remote,
    machine::{Kv, kv::Command},
    raft::{PeerId, RoleKind},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    args::Args,
    ground::Ground,
    ours::{self, Ours},
};

/// How often a write is begun.
const EVERY: Duration = Duration::from_millis(5);

/// How long a write may take.
const DEADLINE: Duration = Duration::from_millis(50);

/// How long an operator's question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a cluster may take to get well: to elect, or to catch up.
const RECOVERY: Duration = Duration::from_secs(30);

/// How long a leader leads, at least, before it is killed.
const REIGN: Duration = Duration::from_millis(500);

/// From the kill of a leader to the first acknowledged write.
pub struct Gap(pub Duration);

pub async fn measure(args: &Args, ground: &Ground, trials: usize) -> Result<Vec<Gap>> {
    let program = ours::program(args.peer.as_deref())?;
    let mut ours = Ours::start(program, ground.path(), "fail-over", 1).await?;
    let operator = ours.connect(PATIENCE).await?;
    let (acknowledged, mut writes) = mpsc::unbounded_channel();
    let mut writer = JoinSet::new();
    writer.spawn(write_on(ours.connect(PATIENCE).await?.client().with_deadline(DEADLINE), acknowledged));
    let mut gaps = Vec::new();
    for trial in 1..=trials {
        let leader = healthy_leader(&operator).await?;
        // A kill should not always meet the same part of a heartbeat: recovery takes different times, this adds to it.
        sleep(REIGN + Duration::from_millis(7 * trial as u64 % 50)).await;
        let place = usize::try_from(leader.0)?.checked_sub(1).context("peers are numbered from 1")?;
        let node = ours.nodes.0.get_mut(place).with_context(|| format!("there is no peer {leader}"))?;
        let killed = Instant::now();
        node.kill()?;
        let gap = first_since(killed, &mut writes).await?;
        eprintln!("trial {trial} of {trials}  leader {leader} killed, {:.0} ms", gap.as_secs_f64() * 1e3);
        gaps.push(Gap(gap));
        ours.nodes.0[place] = ours.start_peer(place + 1)?;
    }
    Ok(gaps)
}

/// When a write began, and when it was acknowledged.
type Acknowledged = (Instant, Instant);

/// Begins one write after the other, whatever became of those before, until it is dropped.
async fn write_on(client: Client<Kv>, acknowledged: mpsc::UnboundedSender<Acknowledged>) {
    let mut ticks = interval(EVERY);
    let mut under_way = JoinSet::new();
    loop {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        let (client, acknowledged) = (client.clone(), acknowledged.clone());
        under_way.spawn(async move {
            let began = Instant::now();
            if client.propose(&Command::set("fail-over", "still here")).await.is_ok() {
                // Nobody listens once the trials are over.
                let _ = acknowledged.send((began, Instant::now()));
            }
        });
    }
}

async fn first_since(
    killed: Instant,
    writes: &mut mpsc::UnboundedReceiver<Acknowledged>,
) -> Result<Duration> {
    let first = async {
        loop {
            match writes.recv().await {
                Some((began, ended)) if began >= killed => return Ok(ended - killed),
                Some(_) => {}
                None => bail!("nobody writes any more"),
            }
        }
    };
    timeout(RECOVERY, first)
        .await
        .map_err(|_| anyhow!("no write was acknowledged within {RECOVERY:?} of a kill"))?
}

/// Waits until all three peers answer, one leads, and the others have what was committed before the question.
async fn healthy_leader(remote: &Remote) -> Result<PeerId> {
    let deadline = Instant::now() + RECOVERY;
    let mut committed = None;
    while Instant::now() < deadline {
        let mut statuses = Vec::new();
        for (peer, _) in remote.members() {
            if let Ok(report) = remote.operator(peer).status().await {
                statuses.push(report.status);
            }
        }
        let leader = statuses.iter().find(|status| status.role == Some(RoleKind::Leader));
        if let Some(leader) = leader.filter(|_| statuses.len() == 3) {
            let target = *committed.get_or_insert(leader.commit);
            if statuses.iter().all(|status| status.applied >= target) {
                return Ok(leader.peer);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the peers were not well again within {RECOVERY:?}")
}
