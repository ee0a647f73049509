//! A cluster on other machines, as its clients and operators see it.
//!
//! A [`Remote`] is made from the address of one peer or of several. It learns from the first that answers who
//! else belongs to the cluster, finds the leader, keeps the connection to it, and follows redirects to the
//! cluster's own peers and to nobody else. [`Remote::client`] gives the same [`Client`] as in one process,
//! [`Remote::operator`] what an operator asks of a single peer.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Client;
use crate::{
    config::NetworkConfig,
    machine::Interface,
    observe::PeerStatus,
    raft::{Index, PeerId, RoleKind, Term, Value},
    transport::capnp::Tls,
};

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

/// Why no peer was found. The text says of each address what came of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ConnectError {
    /// What was tried, what came of it, what to do.
    pub what: String,
}

/// A cluster on other machines. Cheap to clone, for any thread and runtime.
#[derive(Clone)]
pub struct Remote {}

impl Remote {
    /// Finds the cluster: asks the addresses, `HOST:PORT` each, all at once, until one answers.
    ///
    /// # Errors
    /// None of them answered within the deadline, or all refused.
    pub async fn connect<A: Into<String>>(
        _addresses: impl IntoIterator<Item = A>,
        _options: RemoteOptions,
    ) -> Result<Remote, ConnectError> {
        todo!()
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> String {
        todo!()
    }

    /// All peers of the cluster and where they listen, in the order of their ids.
    pub fn members(&self) -> Vec<(PeerId, String)> {
        todo!()
    }

    /// The peer that listens at the first of the addresses that was given, or if that one did not answer, at the
    /// first that did.
    pub fn addressed(&self) -> PeerId {
        todo!()
    }

    /// The most bytes that a command or a question may have.
    pub fn command_bytes_max(&self) -> usize {
        todo!()
    }

    /// A client of this cluster, whose machine speaks these types.
    pub fn client<I: Interface>(&self) -> Client<I> {
        todo!()
    }

    /// What an operator asks of one peer.
    pub fn operator(&self, _peer: PeerId) -> Operator {
        todo!()
    }
}

/// What an operator asks of one peer.
#[derive(Clone)]
pub struct Operator {}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The peer does not answer.
    #[error("peer {peer} at {address} does not answer: {cause}")]
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Where it should listen.
        address: String,
        /// What came in between.
        cause: String,
    },
    /// The peer refused, or could not do it. The text says why, and what to do.
    #[error("{text}")]
    Failed {
        /// Of what kind: `not_leader`, `busy`, `timed_out`, `not_a_voter`, `not_allowed`, `bad_rule`, `too_many` or
        /// `other`.
        reason: &'static str,
        /// What came in between.
        text: String,
    },
    /// The peer does not take orders from this caller.
    #[error("peer {peer} takes no orders from this client: give it a certificate that names it an admin")]
    NotAdmin {
        /// Who.
        peer: PeerId,
    },
}

/// How a peer does, and how it sees the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerReport {
    /// The name of its cluster.
    pub cluster: String,
    /// How it does.
    pub status: PeerStatus,
    /// Where the leader listens, if it is known.
    pub leader_address: Option<String>,
    /// The other peers, as it sees them, in the order of their ids.
    pub peers: Vec<PeerView>,
    /// The fault rules in force at it.
    pub faults: Vec<String>,
    /// How many connections it has.
    pub connections: u32,
    /// How many connections and handshakes it has turned away.
    pub refused: u64,
}

/// A peer, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerView {
    /// Who it is.
    pub peer: PeerId,
    /// Where it listens.
    pub address: String,
    /// Whether it is reached.
    pub connected: bool,
    /// If the one who sees it is the leader: how far it is.
    pub progress: Option<crate::observe::FollowerStatus>,
}

/// Something that happened at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteEvent {
    /// Counts the events of that process, from 1.
    pub seq: u64,
    /// When, in microseconds since the process began.
    pub at_us: u64,
    /// Which peer; 0 is the network.
    pub peer: PeerId,
    /// Its term.
    pub term: Term,
    /// Its role; `None` while it is down or recovers.
    pub role: Option<RoleKind>,
    /// What happened.
    pub name: String,
    /// Why.
    pub why: String,
    /// The rest, in order.
    pub fields: Vec<(String, Value)>,
}

/// What a watch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// Something happened.
    Event(RemoteEvent),
    /// So many events were missed, because they were not taken fast enough.
    Missed(u64),
}

impl Operator {
    /// How the peer does.
    ///
    /// # Errors
    /// See [`OperatorError`]; the same for all of these.
    pub async fn status(&self) -> Result<PeerReport, OperatorError> {
        todo!()
    }

    /// Has the peer, if it leads, hand leadership over: to `target`, or to the healthy voter that is furthest.
    #[allow(missing_docs)]
    pub async fn transfer(&self, _target: Option<PeerId>) -> Result<(), OperatorError> {
        todo!()
    }

    /// Has the peer take a snapshot; returns the last entry that it covers, once it is durable.
    pub async fn snapshot(&self) -> Result<Index, OperatorError> {
        todo!()
    }

    /// Cuts the peer off from all others, until [`Operator::reconnect`].
    pub async fn isolate(&self) -> Result<(), OperatorError> {
        todo!()
    }

    /// Ends an isolation.
    pub async fn reconnect(&self) -> Result<(), OperatorError> {
        todo!()
    }

    /// Puts a fault rule in force at the peer.
    pub async fn set_fault(&self, _rule: &str) -> Result<(), OperatorError> {
        todo!()
    }

    /// The fault rules in force at the peer.
    pub async fn list_faults(&self) -> Result<Vec<String>, OperatorError> {
        todo!()
    }

    /// Ends all of them.
    pub async fn clear_faults(&self) -> Result<(), OperatorError> {
        todo!()
    }

    /// Everything that happens at the peer from now on; the channel closes when the peer is lost.
    pub async fn watch(&self) -> Result<mpsc::Receiver<Watched>, OperatorError> {
        todo!()
    }
}
