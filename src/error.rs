//! What can go wrong, by what the caller can do about it.

use crate::{
    machine::CodecError,
    raft::{Index, PeerId},
    storage::StorageError,
};

/// A [`Config`](crate::Config) that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("config: `{field}` {rule}")]
pub struct ConfigError {
    /// The field that is off.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

/// Why a proposal or a query has no answer.
///
/// Whether it may have happened is always known: only after [`ClientError::Unknown`] it may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Not done. No leader was found in time; this is the last that was heard of.
    #[error("no leader was found in time{}: is a majority of the peers up and connected?", hint(.leader, .address))]
    NotLeader {
        /// Who leads, as far as the asked peer knew.
        leader: Option<PeerId>,
        /// Where it listens, if it has an address.
        address: Option<String>,
    },
    /// Not done: never appended. The peer has more to do than it takes.
    #[error("the leader is busy, and did not take it: try again a little later")]
    Busy,
    /// Certainly not done: another leader's entry took its place.
    #[error("it was lost in a change of leaders, and certainly not done: it is safe to try again")]
    Lost,
    /// It may have happened, or may still happen.
    #[error(
        "the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once"
    )]
    Unknown,
    /// Not done, on any peer: the machine can't make sense of it.
    #[error("the machine can't make sense of it: do client and cluster agree on the types?")]
    Rejected,
    /// Not done: the machines can't apply the entry at `index`.
    #[error("poisoned: the machine fails at entry {index}; fix it, and start the peers again")]
    Poisoned {
        /// The entry.
        index: Index,
    },
    /// Not done: the cluster no longer knows the session.
    #[error("the session has expired: open a new one, and find out what of the old one was done")]
    SessionExpired,
    /// Not done, and not sent: it is too large.
    #[error("{bytes} bytes are more than the limit of {max} (`command_bytes_max`)")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// The peer does not take, or can't tell, so much at once. A command was not done.
    #[error("the peer takes and tells {max} bytes at a time and no more: ask for less, in pieces")]
    BeyondLimit {
        /// How much it takes or tells.
        max: usize,
    },
    /// A value can't be turned into bytes, or an answer can't be read.
    #[error("{0}")]
    Codec(#[from] CodecError),
}

fn hint(leader: &Option<PeerId>, address: &Option<String>) -> String {
    match (leader, address) {
        (Some(leader), Some(address)) => format!(" (peer {leader} at {address} was named)"),
        (Some(leader), None) => format!(" (peer {leader} was named)"),
        _ => String::new(),
    }
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Nobody leads, or the leader lost its role before the target was ready.
    #[error("there is no leader to hand over: wait for one")]
    NoLeader,
    /// Another transfer is under way.
    #[error("another transfer is under way: it ends within an election timeout")]
    Busy,
    /// The target did not take over in time; the leader goes on.
    #[error("the target did not take over within an election timeout, and the leader goes on: is it up?")]
    TimedOut,
    /// The target does not vote, or there is nobody to hand over to.
    #[error("the target is not a voter of this cluster")]
    NotAVoter,
}

/// Why a cluster could not be started, or what went wrong while it ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A cluster has 1 to 9 peers.
    #[error("a cluster has 1 to 9 peers, not {0}")]
    Peers(usize),
    /// A simulation runs on the caller's thread with a clock of its own.
    #[error("a simulation can't run inside an async runtime: call it from a plain thread or `#[test]`")]
    InsideRuntime,
    /// A cluster was to run on its caller's thread, which has no actors.
    #[error(
        "the peers can't run on this thread, which has no actors: start them within an actix `System`, or leave `on_this_thread` out"
    )]
    OutsideActix,
    /// A simulated cluster has its disks in memory.
    #[error(
        "a simulation has its disks in memory, where time is virtual and faults can be injected: leave `data` out, or `start` a live cluster"
    )]
    DataInSimulation,
    /// A `Network` that makes no sense.
    #[error("{0}")]
    Network(String),
    /// Without TLS, what is not asked for by name stays on this machine.
    #[error(
        "{address} is reached from other machines, and nobody would be kept from it: give the peers certificates, or ask for plaintext by name"
    )]
    Plaintext {
        /// Where it would listen.
        address: std::net::SocketAddr,
    },
    /// The address can't be listened at.
    #[error("can't listen at {address}: {cause}")]
    Listen {
        /// Which.
        address: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The data folders can't be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system did not give us a thread or a runtime.
    #[error("the cluster's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// Actors fell that nobody had tripped, or peers stopped or broke the protocol.
    #[error("{} went wrong: {}", .0.len(), .0.join("; "))]
    Failures(Vec<String>),
}
