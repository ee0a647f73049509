//! A session: commands in order, each applied once, however often it has to be sent.
//!
//! The caller's side hands commands to a driver, a task that keeps a window of them under way. The
//! cluster applies number *n* only after *n - 1*, answers a repeat with the answer of the first time,
//! and says which number it expects when one went missing. So the driver may resend whenever it is
//! in doubt: from the lowest unanswered number on, in order, through whichever peer leads by then.

use std::{
    collections::VecDeque,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_channel::mpsc as outcomes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{PAUSE, Repeat, Way, spawn};
use crate::{
    error::ClientError,
    machine::{Codec, Interface, envelope, session::SessionId},
    raft::{Outcome, PeerId, Port},
};

/// A session with a cluster. Commands are applied in the order in which they were submitted, each
/// once, also across changes of leaders, snapshots and restarts.
pub struct Session<I: Interface> {
    id: u128,
    way: Way,
    submit: mpsc::UnboundedSender<Submitted>,
    window: Arc<Semaphore>,
    resumed_at: u64,
    types: PhantomData<fn() -> I>,
}

/// A command that was submitted: await it for the machine's answer.
pub struct Ticket<I: Interface> {
    answer: oneshot::Receiver<Result<Bytes, ClientError>>,
    types: PhantomData<fn() -> I>,
}

struct Submitted {
    command: Bytes,
    answer: oneshot::Sender<Result<Bytes, ClientError>>,
    /// Its place in the window, free again once it is settled.
    place: OwnedSemaphorePermit,
}

impl<I: Interface> Session<I> {
    pub(super) async fn open(way: Way, id: u128) -> Result<Session<I>, ClientError> {
        let session = SessionId(id);
        let deadline = Instant::now() + way.limits.deadline;
        let mut open = Vec::new();
        envelope::put_open(session, &mut open);
        let open = Bytes::from(open);
        // Opening is idempotent: what is in doubt is done again.
        let last = loop {
            let send = |way: &Way, to, port| way.endpoint.propose(to, open.clone(), port);
            match way.ask(Repeat::Freely, send).await {
                Ok(last) => break u64::decode_le(&last),
                Err(ClientError::Unknown | ClientError::Busy | ClientError::Lost)
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        let (submit, submitted) = mpsc::unbounded_channel();
        spawn(Driver::new(way.clone(), session, last, submitted).run());
        let window = Arc::new(Semaphore::new(way.limits.session_window));
        Ok(Session { id, way, submit, window, resumed_at: last, types: PhantomData })
    }

    /// The session's id: with it [`Client::resume_session`](super::Client::resume_session) takes it up
    /// again.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// How many commands of this session the cluster had applied when it was opened.
    pub fn resumed_at(&self) -> u64 {
        self.resumed_at
    }

    /// Submits a command as the session's next, waiting only for a place in its window. Await the
    /// ticket for the answer.
    ///
    /// # Errors
    /// The command is too large or can't be turned into bytes, or the session is over.
    pub async fn submit(&self, command: &I::Command) -> Result<Ticket<I>, ClientError> {
        let command = self.way.encode(super::no_header, command)?;
        let place = self.window.clone().acquire_owned().await.map_err(|_| ClientError::SessionExpired)?;
        let (sender, answer) = oneshot::channel();
        let submitted = Submitted { command, answer: sender, place };
        self.submit.send(submitted).map_err(|_| ClientError::SessionExpired)?;
        Ok(Ticket { answer, types: PhantomData })
    }

    /// Submits a command and waits for its answer.
    ///
    /// # Errors
    /// See [`ClientError`]. After the deadline the outcome is `Unknown` to the caller; the session
    /// goes on to see the command through, since those behind it have to wait for it.
    pub async fn propose(&self, command: &I::Command) -> Result<I::Answer, ClientError> {
        self.submit(command).await?.await
    }
}

impl<I: Interface> Future for Ticket<I> {
    type Output = Result<I::Answer, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| match answer {
            Ok(Ok(bytes)) => Ok(I::Answer::decode(bytes)?),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ClientError::Unknown),
        })
    }
}

/// The eight bytes of an opened session's answer.
trait DecodeLe {
    fn decode_le(bytes: &[u8]) -> Self;
}

impl DecodeLe for u64 {
    fn decode_le(bytes: &[u8]) -> u64 {
        bytes.try_into().map_or(0, u64::from_le_bytes)
    }
}

/// One command in the window.
struct Item {
    command: Bytes,
    /// Gone once the caller has been told, be it that the deadline has passed.
    answer: Option<oneshot::Sender<Result<Bytes, ClientError>>>,
    deadline: Instant,
    settled: bool,
    _place: OwnedSemaphorePermit,
}

/// Sends, resends, settles.
struct Driver {
    way: Way,
    session: SessionId,
    submitted: mpsc::UnboundedReceiver<Submitted>,
    /// The number of the first item of the window: the lowest that is not settled.
    lowest: u64,
    items: VecDeque<Item>,
    /// How many items, from the last one back, are to be sent.
    unsent: usize,
    /// Where outcomes arrive, with the sequence and the round that they are about.
    outcome: outcomes::UnboundedSender<(u64, Outcome)>,
    outcomes: outcomes::UnboundedReceiver<(u64, Outcome)>,
    /// How often it has sent again. An answer counts in whichever round it was asked for; a refusal
    /// of an earlier round is no news.
    round: u64,
    target: PeerId,
    attempt: usize,
    /// When commands are sent again, if they are about to be, and from which number on.
    resend: Option<(Instant, u64)>,
    /// When to try elsewhere, unless something is settled before.
    stalled_at: Instant,
    patience: Duration,
    /// How long the command that was settled last had been waiting.
    took: Duration,
}

/// What happened to a driver.
enum Next {
    Submitted(Submitted),
    Outcome(u64, Outcome),
    Time,
    /// The handle is gone, or the last ticket.
    Left,
}

/// The tag of a port: the sequence, and above it the round. No session lives for 2^48 commands; that
/// rounds begin anew after 2^16 can at worst make an old refusal look new, which costs one resend.
const SEQUENCE_BITS: u32 = 48;

fn tag(round: u64, sequence: u64) -> u64 {
    round << SEQUENCE_BITS | sequence
}

fn sequence_of(tag: u64) -> u64 {
    tag & ((1 << SEQUENCE_BITS) - 1)
}

impl Driver {
    fn new(way: Way, session: SessionId, last: u64, submitted: mpsc::UnboundedReceiver<Submitted>) -> Driver {
        let (outcome, outcomes) = outcomes::unbounded();
        let patience = way.limits.patience;
        Driver {
            target: way.target(0),
            way,
            session,
            submitted,
            lowest: last + 1,
            items: VecDeque::new(),
            unsent: 0,
            outcome,
            outcomes,
            round: 0,
            attempt: 0,
            resend: None,
            stalled_at: Instant::now() + patience,
            patience,
            took: Duration::ZERO,
        }
    }

    /// Runs until the session handle is gone and nobody waits for an answer any more. From then on it
    /// sends nothing: another may have taken the session up.
    async fn run(mut self) {
        while self.is_wanted() {
            self.send();
            match self.next().await {
                Next::Submitted(submitted) => self.take_in(submitted),
                Next::Outcome(tag, outcome) => {
                    if let Err(fatal) = self.settle(tag, outcome) {
                        return self.give_up(&fatal);
                    }
                }
                Next::Time => self.on_time(),
                Next::Left => {}
            }
        }
    }

    fn is_wanted(&mut self) -> bool {
        if !self.submitted.is_closed() {
            return true;
        }
        // Nothing more comes than what is there.
        while let Ok(submitted) = self.submitted.try_recv() {
            self.take_in(submitted);
        }
        self.items.iter().any(|item| item.answer.as_ref().is_some_and(|answer| !answer.is_closed()))
    }

    async fn next(&mut self) -> Next {
        let wake_at = self.wake_at();
        let is_open = !self.submitted.is_closed();
        tokio::select! {
            // In this order, always: simulations repeat themselves.
            biased;
            () = left(&mut self.items), if !is_open => Next::Left,
            outcome = next_outcome(&mut self.outcomes) => outcome,
            submitted = self.submitted.recv(), if is_open => submitted.map_or(Next::Left, Next::Submitted),
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => Next::Time,
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        self.items.front()?;
        let deadlines = self.items.iter().filter(|item| item.answer.is_some()).map(|item| item.deadline);
        let resend_at = self.resend.map_or(self.stalled_at, |(at, _)| at);
        Some(deadlines.take(1).fold(resend_at, Instant::min))
    }

    fn take_in(&mut self, submitted: Submitted) {
        let now = Instant::now();
        if self.items.is_empty() {
            self.stalled_at = now + self.patience;
        }
        self.items.push_back(Item {
            command: submitted.command,
            answer: Some(submitted.answer),
            deadline: now + self.way.limits.deadline,
            settled: false,
            _place: submitted.place,
        });
        self.unsent += 1;
    }

    /// Sends what is to be sent, unless there is a pause before.
    fn send(&mut self) {
        if self.resend.is_none() {
            let first = self.items.len().saturating_sub(std::mem::take(&mut self.unsent));
            self.items.range(first..).zip(first..).for_each(|(item, number)| self.send_one(item, number));
        }
    }

    fn send_one(&self, item: &Item, number: usize) {
        let sequence = self.lowest + number as u64;
        let mut bytes = Vec::with_capacity(envelope::OVERHEAD_BYTES_MAX + item.command.len());
        envelope::put_in_session(self.session, sequence, self.lowest, &mut bytes);
        bytes.extend_from_slice(&item.command);
        let port = Port::tagged(tag(self.round, sequence), self.outcome.clone());
        self.way.endpoint.propose(self.target, Bytes::from(bytes), port);
    }

    /// What became of one command. `Err`: of all of them, for good.
    fn settle(&mut self, about: u64, outcome: Outcome) -> Result<(), ClientError> {
        let sequence = sequence_of(about);
        let Some(number) = sequence.checked_sub(self.lowest).map(|number| number as usize) else {
            return Ok(());
        };
        match outcome {
            Outcome::Applied(_) | Outcome::Rejected => {
                let result = self.way.settle(outcome);
                if let Some(item) = self.items.get_mut(number) {
                    self.took =
                        Instant::now().saturating_duration_since(item.deadline - self.way.limits.deadline);
                    item.settled = true;
                    item.answer.take().into_iter().for_each(|answer| drop(answer.send(result.clone())));
                }
                self.advance();
                Ok(())
            }
            Outcome::SessionExpired | Outcome::Poisoned { .. } | Outcome::TooLarge { .. } => {
                self.way.settle(outcome).map(drop)
            }
            _ if about != tag(self.round, sequence) => Ok(()),
            // It waits for what it has answered before: this is a session of our id that began anew,
            // after ours was forgotten.
            Outcome::Gap { expected } if expected < self.lowest => Err(ClientError::SessionExpired),
            Outcome::NotLeader { leader: Some(leader) }
                if leader != self.target && self.way.learn(Some(leader)) =>
            {
                self.resend(Duration::ZERO, Some(leader), self.lowest);
                Ok(())
            }
            // The peer leads, and has more to do than it takes. What was sent before is under way.
            Outcome::Busy => {
                self.resend(PAUSE, Some(self.target), sequence);
                Ok(())
            }
            // One got lost on the way.
            Outcome::Gap { .. } => {
                self.resend(PAUSE, Some(self.target), self.lowest);
                Ok(())
            }
            Outcome::NotLeader { .. } | Outcome::Lost | Outcome::Unknown => {
                self.resend(PAUSE, None, self.lowest);
                Ok(())
            }
        }
    }

    /// The window moves on to the first command that is not settled.
    fn advance(&mut self) {
        while self.items.front().is_some_and(|item| item.settled) {
            self.items.pop_front();
            self.lowest += 1;
        }
        // On a slow link answers take long and are none the worse: what is sent again before they can be there makes
        // them take longer still.
        self.patience = self.way.limits.patience.max(self.took * 3);
        self.stalled_at = Instant::now() + self.patience;
    }

    /// Everything `from` a number on is to be sent again, after a pause, to this peer or to the next.
    fn resend(&mut self, pause: Duration, to: Option<PeerId>, from: u64) {
        if self.resend.is_some() {
            return;
        }
        match to {
            Some(to) => self.target = to,
            None => {
                self.way.forget(self.target);
                self.attempt += 1;
                self.target = self.way.target(self.attempt);
            }
        }
        self.round += 1;
        self.resend = Some((Instant::now() + pause, from));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        for item in self.items.iter_mut().take_while(|item| item.deadline <= now) {
            item.answer.take().into_iter().for_each(|answer| drop(answer.send(Err(ClientError::Unknown))));
        }
        match self.resend {
            Some((resend_at, from)) if resend_at <= now => {
                self.resend = None;
                let first = from.saturating_sub(self.lowest) as usize;
                self.unsent = self.unsent.max(self.items.len().saturating_sub(first));
            }
            None if self.stalled_at <= now => {
                // Without a limit: what is sent again too soon is appended again, and a cluster that is
                // behind falls back further with each repeat.
                self.patience = self.patience.saturating_mul(2);
                self.stalled_at = now + self.patience;
                self.resend(Duration::ZERO, None, self.lowest);
            }
            _ => {}
        }
    }

    /// The session is over: nothing that is not settled will be.
    fn give_up(mut self, error: &ClientError) {
        for item in &mut self.items {
            item.answer.take().into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
        }
    }
}

async fn next_outcome(outcomes: &mut outcomes::UnboundedReceiver<(u64, Outcome)>) -> Next {
    match std::future::poll_fn(|cx| futures_core::Stream::poll_next(Pin::new(&mut *outcomes), cx)).await {
        Some((tag, outcome)) => Next::Outcome(tag, outcome),
        // The driver holds a sender itself.
        None => std::future::pending().await,
    }
}

/// Ends when nobody waits for any of these any more.
async fn left(items: &mut VecDeque<Item>) {
    for answer in items.iter_mut().filter_map(|item| item.answer.as_mut()) {
        answer.closed().await;
    }
}
