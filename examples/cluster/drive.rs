//! The client's side: a session, line after line into it, answer after answer out of it.

use std::{
    future::{Future, poll_fn},
    io::{Write, stdout},
    pin::pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use raft_actors::{Client, Cluster, Session, client::Ticket, error::ClientError, machine::Raw};
use tokio::sync::mpsc;

use super::{
    chaos::{Chaos, restart_peers},
    failure::Failure,
    input::Input,
    lines::{Ask, Summary, Told},
    patience::Patience,
    progress::Progress,
    run::{Job, Keeps},
    value,
};

/// No answer of a session is given up while the run goes on: whether that makes sense is decided
/// here, where it is known what was killed.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Everything up to the point where all living peers have caught up. Says what every peer should
/// have by then.
pub async fn drive<M: Keeps>(
    cluster: &Cluster<M>,
    job: &Job,
    input: Input,
    progress: &Progress,
) -> Result<Summary, Failure> {
    let patience = Patience::with(cluster);
    patience.wait_to_begin(cluster.wait_for_leader(NEVER)).await?;
    let client = cluster.client().with_deadline(NEVER);
    let session = patience.wait_to_begin(client.resume_session(job.session)).await?;
    let session = session.map_err(|error| Failure::Refused { line: 0, error })?;
    let held = resume(&client, &session, job, &patience).await?;
    progress.resume(held.count).map_err(Failure::Acks)?;
    let (chaos, restarts) = Chaos::new(cluster, &job.tally, &job.plan, progress);
    let (sender, tickets) = mpsc::unbounded_channel();
    let feeder = Feeder { session, job, input, held, progress };
    let (fed, (), ()) = tokio::try_join!(
        feeder.feed(sender, chaos),
        tell_at_rest(collect(&patience, tickets, progress), progress),
        restart_peers(cluster, restarts),
    )?;
    let acknowledged = progress.acknowledged();
    let expected =
        fed.filter(|fed| fed.count == acknowledged).ok_or(Failure::SessionOver { acknowledged })?;
    patience.until_caught_up().await?;
    Ok(expected)
}

/// What was applied before, by a run on the same folder.
async fn resume<M: Keeps>(
    client: &Client<M>,
    session: &Session<M>,
    job: &Job,
    patience: &Patience<'_, M>,
) -> Result<Summary, Failure> {
    if !job.is_durable {
        return Ok(Summary::default());
    }
    let resumed = session.resumed_at();
    let mut out = stdout();
    // At once: whoever reads may be about to kill this process.
    writeln!(out, "resumed at {resumed}").and_then(|()| out.flush()).map_err(Failure::Output)?;
    match patience.wait_to_begin(client.query(&Ask::Summary)).await? {
        Ok(Told::Summary(held)) if held.count == resumed => Ok(held),
        Ok(Told::Summary(Summary { count: held, .. })) => Err(Failure::Foreign { held, resumed }),
        Ok(Told::Page(_)) => Err(Failure::Foreign { held: 0, resumed }),
        Err(error) => Err(Failure::Refused { line: 0, error }),
    }
}

/// Submits lines.
struct Feeder<'a, M: Keeps> {
    session: Session<M>,
    job: &'a Job,
    input: Input,
    /// What the peers hold already.
    held: Summary,
    progress: &'a Progress,
}

impl<M: Keeps> Feeder<'_, M> {
    /// Submits line after line, behind those that the peers hold. The session lets only so many be
    /// under way. Says what was read; nothing if the session ended before.
    async fn feed(
        mut self,
        tickets: mpsc::UnboundedSender<Ticket<M>>,
        mut chaos: Chaos<'_, M>,
    ) -> Result<Option<Summary>, Failure> {
        let mut read = self.skip().await?;
        if read.count == 0 {
            chaos.after(0).await?;
        }
        while let Some(line) = self.next(&mut read).await? {
            let number = read.count;
            chaos.before(number).await;
            let command = Raw(value::pad(line, self.job.value_bytes));
            let ticket = match self.session.submit(&command).await {
                Ok(ticket) => ticket,
                // The ticket at which it ended says why.
                Err(ClientError::SessionExpired) => return Ok(None),
                Err(error) => return Err(Failure::Refused { line: number, error }),
            };
            let _ = tickets.send(ticket);
            chaos.after(number).await?;
        }
        Ok(Some(read))
    }

    /// Reads over the lines that the peers hold, and makes sure that they are the same.
    async fn skip(&mut self) -> Result<Summary, Failure> {
        let mut read = Summary::default();
        while read.count < self.held.count {
            if self.next(&mut read).await?.is_none() {
                return Err(Failure::Shorter { lines: read.count, held: self.held.count });
            }
        }
        if read == self.held { Ok(read) } else { Err(Failure::Another { held: self.held.count }) }
    }

    async fn next(&mut self, read: &mut Summary) -> Result<Option<Bytes>, Failure> {
        let line = self.input.next().await.map_err(|cause| Failure::Input { line: read.count, cause })?;
        if let Some(line) = &line {
            *read = read.and(line);
            self.progress.set_read(read.count);
        }
        Ok(line)
    }
}

/// Takes the answers, in order.
async fn collect<M: Keeps>(
    patience: &Patience<'_, M>,
    mut tickets: mpsc::UnboundedReceiver<Ticket<M>>,
    progress: &Progress,
) -> Result<(), Failure> {
    while let Some(ticket) = tickets.recv().await {
        let line = progress.acknowledged() + 1;
        match patience.wait_for(ticket).await? {
            Ok(answer) if answer == line => progress.acknowledge(),
            Ok(answer) => return Err(Failure::OutOfPlace { line, answer }),
            Err(ClientError::Poisoned { index }) => return Err(Failure::Poisoned { index, line }),
            Err(error) => return Err(Failure::Refused { line, error }),
        }
    }
    Ok(())
}

/// Tells how far it is whenever the collector comes to rest: once for all answers that were there.
async fn tell_at_rest(
    collecting: impl Future<Output = Result<(), Failure>>,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut collecting = pin!(collecting);
    poll_fn(|cx| {
        let poll = collecting.as_mut().poll(cx);
        match progress.tell() {
            Ok(()) => poll,
            Err(error) => Poll::Ready(Err(Failure::Acks(error))),
        }
    })
    .await
}
