//! How an application speaks to a cluster: propose, query, sessions.
//!
//! A [`Client`] finds the leader, keeps to it, and follows redirects. What it says about an outcome is
//! exact: it never resends what may have been done. A [`Session`] may, for the cluster applies each of
//! its commands once, in order.

use std::{
    cell::Cell,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

mod batch;
mod deadline;
#[cfg(feature = "capnp")]
pub mod remote;
mod session;

use deadline::within;
#[cfg(feature = "capnp")]
pub(crate) use remote::RemoteLine;
#[cfg(feature = "capnp")]
pub use remote::{Driver, Operator, Remote, RemoteOptions};
pub use session::{Session, Ticket};

use crate::{
    actor::bell::Bell,
    error::ClientError,
    machine::{Codec, Interface, envelope},
    raft::{Data, Outcome, PeerId, Port},
};

/// How fresh the answer to a query has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Consistency {
    /// It shows everything that was done before the query began. Costs a round of heartbeats.
    #[default]
    Linearizable,
    /// What the asked peer's machine happens to know; it may be behind. Costs nothing.
    Local,
}

/// How a client reaches the peers of a cluster: within one process, or over a network.
pub(crate) trait Endpoint: Send + Sync + 'static {
    /// The peers it knows, in the order of their ids.
    fn peers(&self) -> Vec<PeerId>;
    /// Where a peer listens, if it has an address.
    fn address(&self, peer: PeerId) -> Option<String>;
    /// Puts a command in front of a peer, and may leave it to the caller to ring.
    fn propose(&self, to: PeerId, command: Data, port: Port) -> Option<Bell>;
    /// Puts a linearizable query in front of a peer, and may leave it to the caller to ring.
    fn read(&self, to: PeerId, question: Bytes, port: Port) -> Option<Bell>;
    /// Asks a peer's own machine.
    fn ask_local(&self, of: PeerId, question: Bytes, port: Port);
}

/// The limits a client keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub command_bytes_max: usize,
    pub deadline: Duration,
    pub session_window: usize,
    /// After how long without any answer a session tries another peer.
    pub patience: Duration,
}

/// Of a deadline, up to this one, the last tenth is for answers and not for tries.
const LAST_TRY_WITHIN: Duration = Duration::from_secs(1);

/// Whether something may be asked once more when nobody knows whether it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Never,
    Freely,
}

/// The longest draft that a thread keeps room for, in bytes.
const DRAFT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Where values are encoded: how long one is is only known when it is done.
    static DRAFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How long to wait before asking again when nobody is known to lead.
const PAUSE: Duration = Duration::from_millis(10);

/// A handle on a cluster: cheap to clone, for any thread and runtime.
pub struct Client<I: Interface> {
    way: Arc<Way>,
    types: PhantomData<fn() -> I>,
}

/// The untyped part of a client. One for all its clones and sessions: there may be very many, and each of them looks at
/// it for each command. Of all this only who leads ever changes.
#[derive(Clone)]
pub(crate) struct Way {
    endpoint: Arc<dyn Endpoint>,
    /// The peer that led when last heard of; `0`: nobody is known to.
    leader: Arc<AtomicU64>,
    limits: Limits,
}

impl<I: Interface> Clone for Client<I> {
    fn clone(&self) -> Self {
        Client { way: self.way.clone(), types: PhantomData }
    }
}

impl<I: Interface> fmt::Debug for Client<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("leader", &self.way.leader).finish_non_exhaustive()
    }
}

impl<I: Interface> Client<I> {
    pub(crate) fn new(endpoint: Arc<dyn Endpoint>, limits: Limits) -> Client<I> {
        let way = Way { endpoint, leader: Arc::default(), limits };
        Client { way: way.into(), types: PhantomData }
    }

    /// A client that finds the leader by itself: clones share what they know of it.
    pub(crate) fn apart(&self) -> Client<I> {
        let mut client = self.clone();
        Arc::make_mut(&mut client.way).leader = Arc::default();
        client
    }

    /// This client, beginning with the peer that is said to lead.
    #[cfg(feature = "capnp")]
    fn beginning_with(self, leader: PeerId) -> Client<I> {
        self.way.leader.store(leader.0, Relaxed);
        self
    }

    /// This client, with another deadline for each of its calls. The default is
    /// [`Config::deadline_ms`](crate::Config::deadline_ms).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        Arc::make_mut(&mut self.way).limits.deadline = deadline;
        self
    }

    /// Proposes a command, and waits for the machine's answer after it was applied.
    ///
    /// # Errors
    /// [`ClientError`] says whether the command may have been done: only after `Unknown` it may have.
    pub async fn propose(&self, command: &I::Command) -> Result<I::Answer, ClientError> {
        let command = envelope::plain(self.way.encode(command)?);
        let send = |way: &Way, to, port| way.endpoint.propose(to, command.clone(), port);
        let answer = self.way.ask(Repeat::Never, send).await?;
        Ok(I::Answer::decode(answer)?)
    }

    /// Asks the machine, and sees everything that was done before.
    ///
    /// # Errors
    /// See [`ClientError`]; a query changes nothing, and can always be repeated.
    pub async fn query(&self, query: &I::Query) -> Result<I::Response, ClientError> {
        let question = self.way.encode(query)?;
        let send = |way: &Way, to, port| way.endpoint.read(to, question.clone(), port);
        let answer = self.way.ask(Repeat::Freely, send).await?;
        Ok(I::Response::decode(answer)?)
    }

    /// Asks the machine of one peer, as it is now: it may be behind.
    ///
    /// # Errors
    /// See [`ClientError`]; a query changes nothing, and can always be repeated.
    pub async fn query_local(&self, of: PeerId, query: &I::Query) -> Result<I::Response, ClientError> {
        let question = self.way.encode(query)?;
        let (port, answer) = Port::new();
        self.way.endpoint.ask_local(of, question, port);
        let deadline = Instant::now() + self.way.limits.deadline;
        let outcome = match timeout_at(deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            _ => Outcome::Unknown,
        };
        Ok(I::Response::decode(self.way.settle(outcome)?)?)
    }

    /// Asks the machine with the consistency that is named; `Local` asks the leader's, if one is
    /// known.
    ///
    /// # Errors
    /// See [`ClientError`]; a query changes nothing, and can always be repeated.
    pub async fn query_with(
        &self,
        consistency: Consistency,
        query: &I::Query,
    ) -> Result<I::Response, ClientError> {
        match consistency {
            Consistency::Linearizable => self.query(query).await,
            Consistency::Local => self.query_local(self.way.target(0), query).await,
        }
    }

    /// Opens a session of a new random id.
    ///
    /// # Errors
    /// No leader answered in time.
    pub async fn session(&self) -> Result<Session<I>, ClientError> {
        self.resume_session(rand::random()).await
    }

    /// Opens the session of this id, or takes it up again where it was left. At most one client may
    /// use an id at a time.
    ///
    /// # Errors
    /// No leader answered in time.
    pub async fn resume_session(&self, id: u128) -> Result<Session<I>, ClientError> {
        Session::open(self.way.clone(), id).await
    }
}

impl Way {
    /// Does something with the bytes of a value.
    fn with_encoded<R>(
        &self,
        value: &impl Codec,
        then: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<R, ClientError> {
        let mut draft = DRAFT.take();
        draft.clear();
        value.encode(&mut draft)?;
        self.check_length(draft.len())?;
        let done = then(&mut draft);
        if draft.len() <= DRAFT_BYTES_MAX {
            DRAFT.set(draft);
        }
        Ok(done)
    }

    /// The bytes of a value: kept for long on each peer of this process, and so not a byte longer than they have to
    /// be.
    fn encode(&self, value: &impl Codec) -> Result<Bytes, ClientError> {
        match value.shared() {
            Some(bytes) => self.check_length(bytes.len()).map(|()| bytes),
            None => self.with_encoded(value, |encoded| Bytes::copy_from_slice(encoded)),
        }
    }

    fn check_length(&self, bytes: usize) -> Result<(), ClientError> {
        let max = self.limits.command_bytes_max;
        if bytes > max { Err(ClientError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// The peer to try: the last known leader, or the peers in turn.
    fn target(&self, attempt: usize) -> PeerId {
        match self.leader.load(Relaxed) {
            0 => {
                let peers = self.endpoint.peers();
                peers.get(attempt % peers.len().max(1)).copied().unwrap_or_default()
            }
            leader => PeerId(leader),
        }
    }

    /// Remembers who is said to lead, if it is a peer of this cluster: a redirect out of it is not
    /// followed.
    fn learn(&self, leader: Option<PeerId>) -> bool {
        let known = leader.filter(|leader| self.endpoint.peers().contains(leader));
        self.leader.store(known.map_or(0, |leader| leader.0), Relaxed);
        known.is_some()
    }

    /// Asks until somebody who leads answers, or the deadline has passed. What changes nothing is asked elsewhere
    /// when there is no answer for long: whoever was asked may stand still.
    async fn ask(
        &self,
        repeat: Repeat,
        send: impl Fn(&Way, PeerId, Port) -> Option<Bell>,
    ) -> Result<Bytes, ClientError> {
        let deadline = Instant::now() + self.limits.deadline;
        let (mut redirects, mut patience) = (0, self.limits.patience);
        for attempt in 0.. {
            let to = self.target(attempt);
            let (port, answer) = Port::new();
            if let Some(bell) = send(self, to, port) {
                bell.gather().await;
            }
            let until = match repeat {
                Repeat::Never => deadline,
                Repeat::Freely => deadline.min(Instant::now() + patience),
            };
            let outcome = match within(until, answer.into_future()).await {
                Some(Ok(outcome)) => outcome,
                Some(Err(_)) => {
                    self.forget(to);
                    Outcome::Unknown
                }
                None => {
                    self.forget(to);
                    if until >= deadline {
                        return Err(ClientError::Unknown);
                    }
                    // Not for ever: an answer may take long, and be on its way.
                    patience *= 2;
                    continue;
                }
            };
            let leader = match outcome {
                Outcome::NotLeader { leader } => leader,
                Outcome::Unknown | Outcome::Lost
                    if repeat == Repeat::Freely && Instant::now() + PAUSE < deadline =>
                {
                    None
                }
                Outcome::Unknown | Outcome::Lost => return self.settle(outcome),
                _ => {
                    self.leader.store(to.0, Relaxed);
                    return self.settle(outcome);
                }
            };
            if !self.move_on(to, leader, &mut redirects, deadline).await {
                return self.settle(Outcome::NotLeader { leader });
            }
        }
        Err(ClientError::Unknown)
    }

    /// Whoever was asked does not lead: goes where it points to, or after a pause to the next in turn. `false`: a try
    /// that can't be over in time would leave it unknown.
    async fn move_on(
        &self,
        from: PeerId,
        leader: Option<PeerId>,
        redirects: &mut u32,
        deadline: Instant,
    ) -> bool {
        // A redirect to somebody who redirects back is no news.
        let is_news = self.learn(leader.filter(|&leader| leader != from)) && *redirects < 3;
        *redirects = if is_news { *redirects + 1 } else { 0 };
        if is_news {
            return true;
        }
        if Instant::now() + PAUSE + self.limits.deadline.min(LAST_TRY_WITHIN) / 10 >= deadline {
            return false;
        }
        self.leader.store(0, Relaxed);
        sleep(PAUSE).await;
        true
    }

    fn forget(&self, leader: PeerId) {
        let _ = self.leader.compare_exchange(leader.0, 0, Relaxed, Relaxed);
    }

    fn settle(&self, outcome: Outcome) -> Result<Bytes, ClientError> {
        Err(match outcome {
            Outcome::Applied(answer) => return Ok(answer),
            Outcome::NotLeader { leader } => {
                let address = leader.and_then(|leader| self.endpoint.address(leader));
                ClientError::NotLeader { leader, address }
            }
            Outcome::Busy => ClientError::Busy,
            Outcome::Lost => ClientError::Lost,
            Outcome::Rejected => ClientError::Rejected,
            Outcome::Poisoned { index } => ClientError::Poisoned { index },
            Outcome::SessionExpired => ClientError::SessionExpired,
            Outcome::TooLarge { max } => ClientError::BeyondLimit { max },
            // A gap only ever reaches a session, which deals with it.
            Outcome::Gap { .. } | Outcome::Unknown => ClientError::Unknown,
        })
    }
}

/// Runs a client's background task wherever the caller runs.
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}
