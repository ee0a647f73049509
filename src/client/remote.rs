//! A cluster on other machines, as its clients and operators see it.
//!
//! A [`Remote`] is made from the address of one peer or of several. It learns from the first that answers who
//! else belongs to the cluster, finds the leader, keeps the connection to it, and follows redirects to the
//! cluster's own peers and to nobody else. [`Remote::client`] gives the same [`Client`] as in one process,
//! [`Remote::operator`] what an operator asks of a single peer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::LocalSet};

use super::{Client, Endpoint, Limits};
use crate::{
    actor::bell::Bell,
    config::NetworkConfig,
    machine::{Envelope, Interface},
    raft::{Data, Index, Outcome, PeerId, Port},
    transport::capnp::{Caller, CallerPlan, Proposal, Security, Tls},
};

pub use crate::transport::capnp::{OperatorError, PeerReport, PeerView, RemoteEvent, Watched};

/// How to reach a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// How long each call may take. Default 5 s.
    pub deadline: Duration,
    /// The name of the cluster; `None`: whichever is met. Default `None`.
    pub cluster: Option<String>,
    /// Who calls, for the peers' logs.
    pub name: String,
    /// Who vouches for whom. Default: nobody, in plaintext.
    pub tls: Option<Tls>,
    /// Whether plaintext may go to other machines than this one. Default false.
    pub plaintext: bool,
    /// Limits of the connections.
    pub limits: NetworkConfig,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        RemoteOptions {
            deadline: Duration::from_secs(5),
            cluster: None,
            name: String::new(),
            tls: None,
            plaintext: false,
            limits: NetworkConfig::default(),
        }
    }
}

impl RemoteOptions {
    fn plan(self) -> CallerPlan {
        CallerPlan {
            deadline: self.deadline,
            cluster: self.cluster,
            name: self.name,
            security: Security { tls: self.tls, plaintext: self.plaintext },
            limits: self.limits,
        }
    }
}

/// Why no peer was found. The text says of each address what came of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ConnectError {
    /// What was tried, what came of it, what to do.
    pub what: String,
}

/// A cluster on other machines. Cheap to clone, for any thread and runtime.
#[derive(Clone)]
pub struct Remote {
    line: Arc<RemoteLine>,
    deadline: Duration,
}

/// The connections of a [`Remote`] that has no thread: see [`Remote::connect_here`]. A future that stays on its thread,
/// and ends once the last handle on the remote is gone. Dropped, it ends the connections: what is under way is unknown,
/// and what is asked afterwards is not done.
#[must_use = "the connections get on only while this is polled"]
pub struct Driver(LocalSet);

impl Driver {
    /// Drives the connections until something else is done, and says what came of that.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.run_until(work).await
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Whatever calls, as clients use it.
pub(crate) struct RemoteLine(pub(crate) Caller);

impl Remote {
    /// Finds the cluster: asks the addresses, `HOST:PORT` each, all at once, until one answers.
    ///
    /// # Errors
    /// None of them answered within the deadline, or all refused.
    pub async fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: RemoteOptions,
    ) -> Result<Remote, ConnectError> {
        let (deadline, plan) = (options.deadline, options.plan());
        let addresses = addresses.into_iter().map(Into::into).collect();
        let caller = Caller::find(addresses, plan).await.map_err(|what| ConnectError { what })?;
        Ok(Remote { line: Arc::new(RemoteLine(caller)), deadline })
    }

    /// Finds the cluster, like [`Remote::connect`], but starts no thread: the connections live in the [`Driver`], and
    /// get on only while that is polled. Polled beside the clients, on their own thread, it saves waking another
    /// thread for each call and once more for its answer: of a lone command's time that is a good part.
    ///
    /// ```no_run
    /// use raft_actors::{Client, client::{Remote, RemoteOptions}, machine::{Kv, kv::Command}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (remote, driver) = Remote::connect_here(["127.0.0.1:7001"], RemoteOptions::default()).await?;
    /// let client: Client<Kv> = remote.client();
    /// let before = driver.beside(client.propose(&Command::set("colour", "red"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// None of them answered within the deadline, or all refused.
    pub async fn connect_here<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: RemoteOptions,
    ) -> Result<(Remote, Driver), ConnectError> {
        let (deadline, plan) = (options.deadline, options.plan());
        let addresses = addresses.into_iter().map(Into::into).collect();
        let (caller, lines) =
            Caller::find_here(addresses, plan).await.map_err(|what| ConnectError { what })?;
        Ok((Remote { line: Arc::new(RemoteLine(caller)), deadline }, Driver(lines)))
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> String {
        self.line.0.known().cluster
    }

    /// All peers of the cluster and where they listen, in the order of their ids.
    pub fn members(&self) -> Vec<(PeerId, String)> {
        self.line.0.known().members.into_iter().collect()
    }

    /// The peer that listens at the first of the addresses that was given, or if that one did not answer, at the
    /// first that did.
    pub fn addressed(&self) -> PeerId {
        self.line.0.addressed()
    }

    /// The most bytes that a command or a question may have.
    pub fn command_bytes_max(&self) -> usize {
        self.line.0.known().command_bytes_max
    }

    /// A client of this cluster, whose machine speaks these types.
    pub fn client<I: Interface>(&self) -> Client<I> {
        let known = self.line.0.known();
        let limits = Limits {
            command_bytes_max: known.command_bytes_max,
            deadline: self.deadline,
            session_window: known.session_window,
            patience: known.election_timeout * 2,
        };
        let first = if known.leader == PeerId(0) { self.addressed() } else { known.leader };
        Client::new(self.line.clone(), limits).beginning_with(first)
    }

    /// What an operator asks of one peer.
    pub fn operator(&self, peer: PeerId) -> Operator {
        Operator { caller: self.line.0.clone(), peer }
    }
}

impl Endpoint for RemoteLine {
    fn peers(&self) -> Vec<PeerId> {
        self.0.known().members.into_keys().collect()
    }

    fn address(&self, peer: PeerId) -> Option<String> {
        self.0.known().members.remove(&peer)
    }

    fn propose(&self, to: PeerId, command: Data, port: Port) -> Option<Bell> {
        let proposal = match Envelope::parse(command) {
            Ok(Envelope::Plain { command }) => Proposal::Plain(command),
            Ok(Envelope::Open { session }) => Proposal::Open(session.0),
            Ok(Envelope::Close { session }) => Proposal::Close(session.0),
            Ok(Envelope::InSession { session, sequence, lowest_unanswered, command }) => {
                Proposal::InSession { session: session.0, sequence, lowest_unanswered, payload: command }
            }
            Err(_) => {
                port.answer(Outcome::Rejected);
                return None;
            }
        };
        self.0.propose(to, proposal, port);
        None
    }

    fn read(&self, to: PeerId, question: Bytes, port: Port) -> Option<Bell> {
        self.0.query(to, question, false, port);
        None
    }

    fn ask_local(&self, of: PeerId, question: Bytes, port: Port) {
        self.0.query(of, question, true, port);
    }
}

/// What an operator asks of one peer.
#[derive(Clone)]
pub struct Operator {
    caller: Caller,
    peer: PeerId,
}

impl Operator {
    /// How the peer does.
    ///
    /// # Errors
    /// See [`OperatorError`], here and for all of these.
    pub async fn status(&self) -> Result<PeerReport, OperatorError> {
        self.caller.status(self.peer).await
    }

    /// Has the peer, if it leads, hand leadership over: to `target`, or to the healthy voter that is furthest.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn transfer(&self, target: Option<PeerId>) -> Result<(), OperatorError> {
        self.caller.transfer(self.peer, target).await
    }

    /// Has the peer take a snapshot; returns the last entry that it covers, once it is durable.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn snapshot(&self) -> Result<Index, OperatorError> {
        self.caller.snapshot(self.peer).await
    }

    /// Cuts the peer off from all others, until [`Operator::reconnect`].
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn isolate(&self) -> Result<(), OperatorError> {
        self.caller.isolate(self.peer).await
    }

    /// Ends an isolation.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn reconnect(&self) -> Result<(), OperatorError> {
        self.caller.reconnect(self.peer).await
    }

    /// Puts a fault rule in force at the peer.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn set_fault(&self, rule: &str) -> Result<(), OperatorError> {
        self.caller.set_fault(self.peer, rule).await
    }

    /// The fault rules in force at the peer.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn list_faults(&self) -> Result<Vec<String>, OperatorError> {
        self.caller.list_faults(self.peer).await
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn clear_faults(&self) -> Result<(), OperatorError> {
        self.caller.clear_faults(self.peer).await
    }

    /// Everything that happens at the peer from now on; the channel closes when the peer is lost.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn watch(&self) -> Result<mpsc::Receiver<Watched>, OperatorError> {
        self.caller.watch(self.peer).await
    }
}
