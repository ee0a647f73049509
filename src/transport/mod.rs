//! Who hears it: the ports through which peers reach each other.
//!
//! A message leaves through a [`Link`] and arrives at a [`Postbox`]. Its answer comes back through
//! the [`Reply`] port inside it. A transport never fails: it is only silent, and whoever waits for
//! an answer must be able to do without it.

use std::sync::Arc;

#[cfg(feature = "capnp")]
pub mod capnp;
mod delay;
mod desk;
pub mod faults;
mod introduction;
pub mod local;
mod pair;
mod parcel;
pub mod rule;

pub use desk::{Desk, Submission};
pub use introduction::{Introduction, Objection, SessionLimits, digest};

use crate::raft::{
    AppendEntries, InstallSnapshot, MessageKind, PeerId, PreVote, Reply, RequestVote, TimeoutNow,
};

/// A request from one peer to another.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Rpc {
    PreVote(PreVote),
    RequestVote(RequestVote),
    AppendEntries(AppendEntries),
    /// AppendEntries without entries, to find out whether those before it have arrived: where what is short may
    /// overtake what is long, this must not.
    Check(AppendEntries),
    InstallSnapshot(InstallSnapshot),
    TimeoutNow(TimeoutNow),
}

impl Rpc {
    /// What it is.
    pub fn kind(&self) -> MessageKind {
        match self {
            Rpc::PreVote(_) => MessageKind::PreVote,
            Rpc::RequestVote(_) => MessageKind::RequestVote,
            Rpc::AppendEntries(rpc) if rpc.slice.batches.is_empty() => MessageKind::Heartbeat,
            Rpc::AppendEntries(_) => MessageKind::AppendEntries,
            Rpc::Check(_) => MessageKind::Heartbeat,
            Rpc::InstallSnapshot(_) => MessageKind::InstallSnapshot,
            Rpc::TimeoutNow(_) => MessageKind::TimeoutNow,
        }
    }

    /// What it says, in brief: positions and lengths, never a payload.
    pub fn brief(&self) -> String {
        match self {
            Rpc::PreVote(rpc) => format!("term={} last={}", rpc.term, rpc.last),
            Rpc::RequestVote(rpc) => {
                let transfer = if rpc.transfer { " transfer" } else { "" };
                format!("term={} last={}{transfer}", rpc.term, rpc.last)
            }
            Rpc::AppendEntries(rpc) | Rpc::Check(rpc) => format!("term={} {}", rpc.term, rpc.slice),
            Rpc::InstallSnapshot(rpc) => {
                let end = rpc.offset + rpc.data.len() as u64;
                format!("term={} at={} bytes={}..{end}/{}", rpc.term, rpc.meta.at, rpc.offset, rpc.meta.bytes)
            }
            Rpc::TimeoutNow(rpc) => format!("term={}", rpc.term),
        }
    }
}

/// One way from one peer to another.
pub trait Link: Send + Sync {
    /// Sends a message. It arrives, or it does not.
    fn send(&self, rpc: Rpc);
}

/// What carries messages between the peers of a cluster.
pub trait Transport: Send + Sync {
    /// The way from `from` to `to`.
    fn link(&self, from: PeerId, to: PeerId) -> Arc<dyn Link>;

    /// A peer presents itself, once its disk is open. Nothing passes between it and another peer before
    /// both have found the other to be who it should be: see [`Postbox::meet`].
    fn introduce(&self, introduction: Introduction);
}

/// Where a peer takes its messages.
pub trait Postbox: Send + Sync {
    /// A message has arrived.
    fn deliver(&self, rpc: Rpc);

    /// Another peer presents itself: says whether it is to be listened to, now or later. Until then it is
    /// not.
    fn meet(&self, theirs: Introduction, verdict: Reply<Result<(), Objection>>);

    /// Another peer does not listen to this one.
    fn turned_away(&self, by: PeerId, objection: Objection);
}
