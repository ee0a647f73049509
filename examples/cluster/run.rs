//! One run: every line through one session, in order, while things break; then everybody is asked
//! what it has.
//!
//! The same function runs a live cluster and a simulated one: all its times are the cluster's.

use std::{path::PathBuf, pin::pin, time::Duration};

use bytes::Bytes;
use raft_actors::{
    Cluster, Session,
    client::Ticket,
    error::ClientError,
    machine::{Interface, Raw},
    raft::{Index, PeerId},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{
    chaos::{Chaos, Plan, restart_peers},
    lines::{Ask, Summary, Told},
    peers::{PeerReport, dump_all, report_all},
    progress::Progress,
    tally::{Counts, Tally},
};

/// How long nothing may be acknowledged before the quorum counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The same, when too few peers are up for any quorum.
const PATIENCE_WITHOUT_MAJORITY: Duration = Duration::from_secs(3);

/// How often a wait for an answer looks at the clock.
const GLANCE: Duration = Duration::from_millis(500);

/// No answer of a session is given up while the run goes on: whether that makes sense is decided
/// here, where it is known what was killed.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Either of the two machines, as its clients see it.
pub trait Keeps: Interface<Command = Raw, Answer = u64, Query = Ask, Response = Told> {}

impl<M: Interface<Command = Raw, Answer = u64, Query = Ask, Response = Told>> Keeps for M {}

/// What is to be done.
pub struct Job {
    pub lines: Vec<Bytes>,
    /// What every peer should have in the end.
    pub expected: Summary,
    pub plan: Plan,
    pub dump: Option<PathBuf>,
    /// The session's id: chosen, so that a simulated run has no chance but its seed's.
    pub session: u128,
    pub tally: Tally,
    /// Says when Ctrl-C was pressed.
    pub interrupted: watch::Receiver<bool>,
}

/// What became of it.
pub struct Outcome {
    pub failure: Option<Failure>,
    pub acknowledged: u64,
    pub peers: Vec<PeerReport>,
    /// What fell that nobody had asked to, and peers that gave up.
    pub unasked: Vec<String>,
    pub counts: Counts,
    pub elapsed: Duration,
}

/// Why a run did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no quorum: nothing was acknowledged for {} s", .patience.as_secs())]
    NoQuorum { patience: Duration },
    #[error(
        "Poisoned: the machines fail at entry {index}, which is line {line}; nothing after it can be applied"
    )]
    Poisoned { index: Index, line: u64 },
    #[error("line {line} failed: {error}")]
    Refused { line: u64, error: ClientError },
    #[error("line {line} was answered as line {answer}: it was not applied once and in its place")]
    OutOfPlace { line: u64, answer: u64 },
    #[error("the session ended after {acknowledged} lines")]
    SessionOver { acknowledged: u64 },
    #[error("not all living peers caught up within {} s", .patience.as_secs())]
    NotCaughtUp { patience: Duration },
    #[error("the peers do not agree with the input: {0}")]
    Disagreement(String),
    #[error("peer {peer} could not be dumped: {cause}")]
    Dump { peer: PeerId, cause: String },
    #[error("something fell that nobody had asked to")]
    Unasked,
    #[error("interrupted")]
    Interrupted,
}

/// Does the job. Whatever happens, it ends.
pub async fn run<M: Keeps>(cluster: Cluster<M>, job: &Job) -> Outcome {
    let progress = Progress::new(job.lines.len() as u64, job.tally.clone());
    let mut interrupted = job.interrupted.clone();
    let driven = tokio::select! {
        biased;
        driven = drive(&cluster, job, &progress) => driven,
        // Fails only when nobody listens for signals; then nothing interrupts.
        _ = until(&mut interrupted) => Err(Failure::Interrupted),
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
    let verdict = driven.and(dumped).and_then(|()| judge(&cluster, job, &peers));
    Outcome {
        failure: verdict.err(),
        acknowledged: progress.acknowledged(),
        peers,
        unasked: cluster.failures(),
        counts: job.tally.read(),
        elapsed: cluster.elapsed(),
    }
}

async fn until(interrupted: &mut watch::Receiver<bool>) {
    if interrupted.wait_for(|&interrupted| interrupted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Everything up to the point where all living peers have caught up.
async fn drive<M: Keeps>(cluster: &Cluster<M>, job: &Job, progress: &Progress) -> Result<(), Failure> {
    let no_quorum = Failure::NoQuorum { patience: PATIENCE };
    cluster.wait_for_leader(PATIENCE).await.ok_or(no_quorum)?;
    let client = cluster.client().with_deadline(NEVER);
    let session = match timeout(PATIENCE, client.resume_session(job.session)).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return Err(Failure::Refused { line: 0, error }),
        Err(_) => return Err(Failure::NoQuorum { patience: PATIENCE }),
    };
    let (chaos, restarts) = Chaos::new(cluster, &job.tally, &job.plan, progress);
    let (sender, tickets) = mpsc::unbounded_channel();
    tokio::try_join!(
        feed(session, job, sender, chaos),
        collect(cluster, job, tickets, progress),
        restart_peers(cluster, restarts),
    )?;
    match cluster.wait_until_caught_up(PATIENCE).await {
        true => Ok(()),
        false => Err(Failure::NotCaughtUp { patience: PATIENCE }),
    }
}

/// Submits line after line. The session lets only so many be under way.
async fn feed<M: Keeps>(
    session: Session<M>,
    job: &Job,
    tickets: mpsc::UnboundedSender<Ticket<M>>,
    mut chaos: Chaos<'_, M>,
) -> Result<(), Failure> {
    chaos.after(0).await?;
    for (number, line) in (1..).zip(&job.lines) {
        chaos.before(number).await;
        // It fails when the session is over; the ticket at which it ended says why.
        let Ok(ticket) = session.submit(&Raw(line.clone())).await else { break };
        let _ = tickets.send(ticket);
        chaos.after(number).await?;
    }
    Ok(())
}

/// Takes the answers, in order.
async fn collect<M: Keeps>(
    cluster: &Cluster<M>,
    job: &Job,
    mut tickets: mpsc::UnboundedReceiver<Ticket<M>>,
    progress: &Progress,
) -> Result<(), Failure> {
    while let Some(ticket) = tickets.recv().await {
        let line = progress.acknowledged() + 1;
        match answer(cluster, ticket).await? {
            Ok(answer) if answer == line => progress.acknowledge(),
            Ok(answer) => return Err(Failure::OutOfPlace { line, answer }),
            Err(ClientError::Poisoned { index }) => return Err(Failure::Poisoned { index, line }),
            Err(error) => return Err(Failure::Refused { line, error }),
        }
    }
    match progress.acknowledged() {
        acknowledged if acknowledged == job.expected.count => Ok(()),
        acknowledged => Err(Failure::SessionOver { acknowledged }),
    }
}

/// Waits for one answer, but not for ever.
async fn answer<M: Keeps>(
    cluster: &Cluster<M>,
    ticket: Ticket<M>,
) -> Result<Result<u64, ClientError>, Failure> {
    let (mut ticket, since) = (pin!(ticket), Instant::now());
    loop {
        if let Ok(answer) = timeout(GLANCE, ticket.as_mut()).await {
            return Ok(answer);
        }
        let up = cluster.statuses().iter().filter(|status| status.up).count();
        let has_majority = up * 2 > cluster.peers().len();
        let patience = if has_majority { PATIENCE } else { PATIENCE_WITHOUT_MAJORITY };
        if since.elapsed() >= patience {
            return Err(Failure::NoQuorum { patience });
        }
    }
}

/// Whether every living peer has every line, and nothing fell by itself.
fn judge<M: Keeps>(cluster: &Cluster<M>, job: &Job, peers: &[PeerReport]) -> Result<(), Failure> {
    let differs = |peer: &&PeerReport| peer.status.up && peer.summary != Some(job.expected);
    let differing: Vec<_> =
        peers.iter().filter(differs).map(|peer| format!("peer {}", peer.status.peer)).collect();
    if !differing.is_empty() {
        return Err(Failure::Disagreement(differing.join(", ")));
    }
    if cluster.failures().is_empty() { Ok(()) } else { Err(Failure::Unasked) }
}
