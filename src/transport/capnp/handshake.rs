//! The handshake: who comes, who is there, and whether they speak with each other.
//!
//! Both ends compare all of it before anything else is said. A peer says who it is ([`Introduction`]) and whom it
//! wants; the other end meets it, with its register, as it would meet one of its own process, and answers with its
//! own introduction, which is then met in turn. So whatever a connection carries is between two peers of one
//! cluster, each with the disk that the other knows.

use std::sync::Arc;

use capnp::{Error, Result};

use super::messages_capnp as wire;
use crate::{
    raft::PeerId,
    storage::Incarnation,
    transport::{Introduction, Objection, SessionLimits},
};

/// The version of the protocol that is spoken here.
pub(super) const PROTOCOL: u32 = 1;

/// Why there is no conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Objection(Objection),
    /// The other end speaks this version only.
    Protocol(u32),
    /// The other end belongs to this cluster, and a client asked for another one.
    Cluster {
        wanted: String,
        met: String,
    },
    /// The other end is this peer, and another one was meant.
    NotMe {
        wanted: PeerId,
        met: PeerId,
    },
    Certificate,
    NotReady,
    TooMany,
    Again,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Objection(objection) => objection.fmt(f),
            Refused::Protocol(spoken) => {
                write!(f, "it speaks version {spoken} of the protocol only: run the same release on both ends")
            }
            Refused::Cluster { wanted, met } => write!(
                f,
                "it belongs to the cluster `{met}`, and `{}` was asked for: give the address of a peer of that one",
                wanted.chars().flat_map(char::escape_debug).take(80).collect::<String>()
            ),
            Refused::NotMe { wanted, met } => write!(
                f,
                "it is peer {met}, and peer {wanted} was meant: give each peer the address at which it listens"
            ),
            Refused::Certificate => f.write_str(
                "the certificate does not name who came: a peer's has to name `peer-<ID>`, a client's `client`",
            ),
            Refused::NotReady => f.write_str("it recovers from its disk, or stops: try again in a moment"),
            Refused::TooMany => f.write_str("it has as many connections as it takes: try again a little later"),
            Refused::Again => f.write_str("the handshake of this connection is over: open another one"),
        }
    }
}

pub(super) fn write_id(id: u128, mut to: wire::id128::Builder<'_>) {
    to.set_high((id >> 64) as u64);
    to.set_low(id as u64);
}

pub(super) fn read_id(from: wire::id128::Reader<'_>) -> u128 {
    u128::from(from.get_high()) << 64 | u128::from(from.get_low())
}

pub(super) fn write_introduction(introduction: &Introduction, mut to: wire::introduction::Builder<'_>) {
    to.set_peer(introduction.peer.0);
    to.set_first_membership(introduction.first_membership);
    write_id(introduction.incarnation.0, to.reborrow().init_incarnation());
    to.set_sessions_max(introduction.sessions.max);
    to.set_session_window(introduction.sessions.window);
}

pub(super) fn read_introduction(cluster: &str, from: wire::introduction::Reader<'_>) -> Result<Introduction> {
    Ok(Introduction {
        cluster: Arc::from(cluster),
        peer: PeerId(from.get_peer()),
        first_membership: from.get_first_membership(),
        incarnation: Incarnation(read_id(from.get_incarnation()?)),
        sessions: SessionLimits { max: from.get_sessions_max(), window: from.get_session_window() },
    })
}

pub(super) fn write_refused(refused: &Refused, mut to: wire::refusal::Builder<'_>) {
    match refused {
        Refused::Objection(Objection::Incarnation { .. }) => to.set_text(
            "another disk is known under this id: what the old one had promised is lost, and the id stays out until it is removed from the cluster and added again",
        ),
        refused => to.set_text(refused.to_string()),
    }
    match refused {
        Refused::Protocol(spoken) => to.set_protocol(*spoken),
        Refused::Cluster { met, .. } => to.set_cluster(met.as_str()),
        Refused::NotMe { met, .. } => to.set_not_me(met.0),
        Refused::Certificate => to.set_certificate(()),
        Refused::NotReady => to.set_not_ready(()),
        Refused::TooMany => to.set_too_many(()),
        Refused::Again => to.set_again(()),
        Refused::Objection(objection) => match objection {
            Objection::Cluster { ours, .. } => to.set_cluster(&**ours),
            Objection::Membership { ours, .. } => to.set_first_membership(*ours),
            Objection::SameId => to.set_same_id(()),
            Objection::Incarnation { .. } => to.set_incarnation(()),
            Objection::Stranger { .. } => to.set_stranger(()),
            Objection::Sessions { ours, .. } => {
                let mut to = to.init_session_limits();
                to.set_sessions_max(ours.max);
                to.set_session_window(ours.window);
            }
        },
    }
}

/// What a refusal means to the peer that it is told to.
pub(super) fn read_refused(
    from: wire::refusal::Reader<'_>,
    ours: &Introduction,
    wanted: PeerId,
) -> Result<Refused> {
    use wire::refusal::Which;
    let objection = match from.which().map_err(|_| Error::failed("malformed: an unknown refusal".into()))? {
        Which::Protocol(spoken) => return Ok(Refused::Protocol(spoken)),
        Which::NotMe(met) => return Ok(Refused::NotMe { wanted, met: PeerId(met) }),
        Which::Certificate(()) => return Ok(Refused::Certificate),
        Which::NotReady(()) => return Ok(Refused::NotReady),
        Which::TooMany(()) => return Ok(Refused::TooMany),
        Which::Again(()) => return Ok(Refused::Again),
        Which::Cluster(cluster) => {
            Objection::Cluster { ours: cluster?.to_str()?.into(), theirs: ours.cluster.clone() }
        }
        Which::FirstMembership(theirs) => {
            Objection::Membership { ours: theirs, theirs: ours.first_membership }
        }
        Which::SameId(()) => Objection::SameId,
        Which::Stranger(()) => Objection::Stranger { peer: ours.peer },
        // Whoever knew it could come with it.
        Which::Incarnation(()) => Objection::Incarnation { known: Incarnation(0), theirs: ours.incarnation },
        Which::SessionLimits(limits) => {
            let limits = limits?;
            let theirs =
                SessionLimits { max: limits.get_sessions_max(), window: limits.get_session_window() };
            Objection::Sessions { ours: theirs, theirs: ours.sessions }
        }
    };
    Ok(Refused::Objection(objection))
}
