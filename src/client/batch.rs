//! Many commands at once: one wait for all of them, and an outcome for each.

use std::{collections::BTreeMap, future::poll_fn, pin::Pin, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use futures_channel::mpsc;
use futures_core::Stream;
use tokio::time::{Instant, timeout_at};

use super::{Client, Way};
use crate::{
    error::ClientError,
    machine::{Codec, Interface, envelope},
    raft::{Outcome, PeerId, Port},
};

impl<I: Interface> Client<I> {
    /// Proposes many commands at once, and waits for the answers to all of them; one for each command, in their
    /// order. They are appended in their order too, with whatever other clients propose between them; but after
    /// a change of leaders some may be done that come behind others that are not. Who needs all of them in order, each once,
    /// opens a [`Session`](super::Session).
    ///
    /// It costs less than as many calls of [`Client::propose`]: one task waits, with one timer, for all of them.
    ///
    /// ```
    /// # use raft_actors::{Cluster, machine::closure};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::of(|_| closure(0u64, |sum: &mut u64, more: u64| { *sum += more; *sum })).start().await?;
    /// let sums: Vec<u64> = cluster.client().propose_all(&[1, 2, 3]).await.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(sums, [1, 3, 6]);
    /// # cluster.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of each command, like [`Client::propose`]; one that can't be encoded, or is too long, does not keep the others
    /// back.
    pub async fn propose_all<'a>(
        &self,
        commands: impl IntoIterator<Item = &'a I::Command>,
    ) -> Vec<Result<I::Answer, ClientError>> {
        let encode = |command: &I::Command| self.way.encode(command);
        let mut outcomes: Vec<Result<Bytes, ClientError>> = commands.into_iter().map(encode).collect();
        Batch::new(&self.way, &mut outcomes).run().await;
        outcomes.into_iter().map(|outcome| Ok(I::Answer::decode(outcome?)?)).collect()
    }
}

/// Commands on their way.
struct Batch<'a> {
    way: &'a Way,
    /// What became of each; until something does, `Unknown`.
    outcomes: &'a mut [Result<Bytes, ClientError>],
    /// What has to be sent, or sent again, by number.
    unsent: BTreeMap<usize, Bytes>,
    deadline: Instant,
}

impl<'a> Batch<'a> {
    /// Takes the commands out of their places.
    fn new(way: &'a Way, outcomes: &'a mut [Result<Bytes, ClientError>]) -> Batch<'a> {
        let take = |(number, place): (usize, &mut Result<Bytes, ClientError>)| {
            let command = place.as_ref().ok()?.clone();
            *place = Err(ClientError::Unknown);
            Some((number, command))
        };
        let unsent = outcomes.iter_mut().enumerate().filter_map(take).collect();
        let deadline = Instant::now() + way.limits.deadline;
        Batch { way, outcomes, unsent, deadline }
    }

    /// Sends all of them to whoever leads, and those again that were not appended because somebody else does.
    async fn run(mut self) {
        let mut redirects = 0;
        for attempt in 0.. {
            if self.unsent.is_empty() {
                return;
            }
            let to = self.way.target(attempt);
            let leader = self.send_to(to).await;
            let goes_on =
                self.unsent.is_empty() || self.way.move_on(to, leader, &mut redirects, self.deadline).await;
            if !goes_on {
                for number in std::mem::take(&mut self.unsent).into_keys() {
                    self.settle(number, Outcome::NotLeader { leader });
                }
            }
        }
    }

    /// Sends what is unsent to one peer, and waits for all the answers. Who leads, if it said so.
    async fn send_to(&mut self, to: PeerId) -> Option<PeerId> {
        let mut sent = std::mem::take(&mut self.unsent);
        let (sender, mut answers) = mpsc::unbounded();
        // Whoever holds the bell rings when all are there.
        let mut bell = None;
        for (&number, command) in &sent {
            let port = Port::tagged(number as u64, sender.clone());
            let next = self.way.endpoint.propose(to, envelope::plain(command.clone()), port);
            bell = bell.or(next);
        }
        drop((sender, bell));
        let mut hint = None;
        loop {
            let next = poll_fn(|cx| Pin::new(&mut answers).poll_next(cx));
            match timeout_at(self.deadline, next).await {
                Ok(Some((tag, Outcome::NotLeader { leader }))) => {
                    hint = hint.or(leader);
                    let number = tag as usize;
                    self.unsent.extend(sent.remove(&number).map(|command| (number, command)));
                }
                Ok(Some((tag, outcome))) => {
                    // Who does not know what became of it need not lead any more.
                    match outcome {
                        Outcome::Unknown | Outcome::Lost => self.way.forget(to),
                        _ => self.way.leader.store(to.0, Relaxed),
                    }
                    self.settle(tag as usize, outcome);
                }
                Ok(None) => return hint,
                Err(_) => {
                    self.way.forget(to);
                    return hint;
                }
            }
        }
    }

    fn settle(&mut self, number: usize, outcome: Outcome) {
        if let Some(place) = self.outcomes.get_mut(number) {
            *place = self.way.settle(outcome);
        }
    }
}
