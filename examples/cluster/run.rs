//! One run: every line through one session, in order, while things break; then everybody is asked
//! what it has.
//!
//! The same function runs a live cluster and a simulated one: all its times are the cluster's.

use std::{path::PathBuf, time::Duration};

use raft_actors::{
    Cluster,
    actor::gauges::PeerStatus,
    machine::{Interface, Raw},
    raft::Why,
};
use tokio::sync::watch;

use super::{
    acks::Acks,
    chaos::Plan,
    drive::drive,
    failure::Failure,
    input::Input,
    lines::{Ask, Summary, Told},
    patience::until_lost,
    peers::{PeerReport, clear, dump_all, report_all},
    progress::Progress,
    tally::{Counts, Tally},
};

/// Either of the two machines, as its clients see it.
pub trait Keeps: Interface<Command = Raw, Answer = u64, Query = Ask, Response = Told> {}

impl<M: Interface<Command = Raw, Answer = u64, Query = Ask, Response = Told>> Keeps for M {}

/// What is to be done.
pub struct Job {
    pub plan: Plan,
    /// How long each command is to be, at least.
    pub value_bytes: Option<usize>,
    pub dump: Option<PathBuf>,
    /// The session's id: chosen, so that a simulated run has no chance but its seed's, and that a
    /// durable one goes on where the last one ended.
    pub session: u128,
    /// Whether an earlier run may have left something.
    pub is_durable: bool,
    pub tally: Tally,
    /// Says when Ctrl-C was pressed.
    pub interrupted: watch::Receiver<bool>,
}

/// What became of it.
pub struct Outcome {
    pub failure: Option<Failure>,
    /// How many lines there are, or were read if the input did not say.
    pub lines: u64,
    /// How many lines had been acknowledged before, if that came out.
    pub resumed: Option<u64>,
    pub acknowledged: u64,
    /// Whether the same call would go on where this one ended.
    pub is_durable: bool,
    pub peers: Vec<PeerReport>,
    /// What fell that nobody had asked to, and peers that gave up, but for failed disks.
    pub unasked: Vec<String>,
    pub counts: Counts,
    pub elapsed: Duration,
}

/// Does the job. Whatever happens, it ends.
pub async fn run<M: Keeps>(cluster: Cluster<M>, job: &Job, input: Input, acks: Option<Acks>) -> Outcome {
    let total = input.measure.map(|measure| measure.lines);
    let progress = Progress::new(total, job.tally.clone(), acks);
    let mut interrupted = job.interrupted.clone();
    let cleared = job.dump.as_ref().map_or(Ok(()), |folder| clear(folder, &cluster.peers()));
    let driven = match cleared {
        Err(failure) => Err(failure),
        Ok(()) => tokio::select! {
            biased;
            driven = drive(&cluster, job, input, &progress) => driven,
            // Fails only when nobody listens for signals; then nothing interrupts.
            _ = until(&mut interrupted) => Err(Failure::Interrupted),
            lost = until_lost(&cluster) => Err(lost),
        },
    };
    let peers = report_all(&cluster).await;
    let dumped = match &job.dump {
        Some(folder) => dump_all(&cluster, &peers, folder).await,
        None => Ok(()),
    };
    let driven = driven.map_err(|failure| match failure {
        // The first line without an answer is not it: those who led before took their answers along.
        Failure::Poisoned { index, line } => {
            let held = peers.iter().filter_map(|peer| peer.summary).map(|summary| summary.count).max();
            Failure::Poisoned { index, line: held.map_or(line, |held| held + 1) }
        }
        failure => failure,
    });
    let unasked = unasked(&cluster);
    let verdict = driven.and_then(|expected| dumped.and_then(|()| judge(expected, &peers, &unasked)));
    Outcome {
        failure: verdict.err(),
        lines: progress.lines(),
        resumed: progress.resumed(),
        acknowledged: progress.acknowledged(),
        is_durable: job.is_durable,
        peers,
        unasked,
        counts: job.tally.read(),
        elapsed: cluster.elapsed(),
    }
}

async fn until(interrupted: &mut watch::Receiver<bool>) {
    if interrupted.wait_for(|&interrupted| interrupted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What went wrong, but for disks that failed: a peer has to stop then, and that is what the others
/// are for.
fn unasked<M: Keeps>(cluster: &Cluster<M>) -> Vec<String> {
    let told = |status: PeerStatus| {
        let stopped = status.stopped.filter(|stopped| stopped.why == Why::DiskFailed)?;
        Some(format!("peer {} stopped: {stopped}", status.peer))
    };
    let by_disks: Vec<_> = cluster.statuses().into_iter().filter_map(told).collect();
    cluster.failures().into_iter().filter(|failure| !by_disks.contains(failure)).collect()
}

/// Whether every living peer has every line, and nothing fell by itself.
fn judge(expected: Summary, peers: &[PeerReport], unasked: &[String]) -> Result<(), Failure> {
    let differs = |peer: &&PeerReport| peer.status.up && peer.summary != Some(expected);
    let differing: Vec<_> =
        peers.iter().filter(differs).map(|peer| format!("peer {}", peer.status.peer)).collect();
    if !differing.is_empty() {
        return Err(Failure::Disagreement(differing.join(", ")));
    }
    if unasked.is_empty() { Ok(()) } else { Err(Failure::Unasked) }
}
