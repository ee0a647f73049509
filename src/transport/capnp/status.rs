//! How a peer does, as Cap'n Proto messages, and how that is read back.

use capnp::{Error, Result};

use super::{
    codec::{read_position, write_member, write_position},
    house::House,
    messages_capnp as wire,
};
use crate::{
    observe::{FollowerStatus, PeerStatus},
    raft::{Index, PeerId, RoleKind, Term},
};

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
    pub progress: Option<FollowerStatus>,
}

pub(super) fn write_role(role: Option<RoleKind>) -> wire::Role {
    match role {
        None => wire::Role::None,
        Some(RoleKind::Follower) => wire::Role::Follower,
        Some(RoleKind::PreCandidate) => wire::Role::PreCandidate,
        Some(RoleKind::Candidate) => wire::Role::Candidate,
        Some(RoleKind::Leader) => wire::Role::Leader,
    }
}

pub(super) fn read_role(
    role: std::result::Result<wire::Role, capnp::NotInSchema>,
) -> Result<Option<RoleKind>> {
    Ok(match role.map_err(|_| Error::failed("malformed: a role of no known kind".into()))? {
        wire::Role::None => None,
        wire::Role::Follower => Some(RoleKind::Follower),
        wire::Role::PreCandidate => Some(RoleKind::PreCandidate),
        wire::Role::Candidate => Some(RoleKind::Candidate),
        wire::Role::Leader => Some(RoleKind::Leader),
    })
}

pub(super) fn write_status(house: &House, mut to: wire::status::Builder<'_>) {
    let (open, status) = (&house.open, house.open.desk.status());
    to.set_cluster(&*open.cluster);
    to.set_peer(status.peer.0);
    to.set_role(write_role(status.role));
    to.set_term(status.term.0);
    let leader = status.leader.unwrap_or_default();
    write_member(leader, house.address(leader), to.reborrow().init_leader());
    write_position(status.last, to.reborrow().init_last());
    to.set_commit(status.commit.0);
    to.set_applied(status.applied.0);
    to.set_snapshot(status.snapshot.0);
    to.set_compacted(status.compacted.0);
    to.set_settled(status.settled);
    to.set_poisoned(status.poisoned.unwrap_or_default().0);
    to.set_disk_full(status.disk_full);
    to.set_violations(status.violations + house.violations.get());
    let rules = open.local.faults().rules();
    let mut faults = to.reborrow().init_faults(rules.len() as u32);
    for (place, rule) in (0..).zip(rules) {
        faults.set(place, rule.to_string());
    }
    to.set_connections(house.connections() as u32);
    to.set_refused(house.refused.get());
    let others: Vec<_> = open.members.iter().filter(|(peer, _)| **peer != open.me).collect();
    let mut peers = to.init_peers(others.len() as u32);
    for (place, (&peer, address)) in (0..).zip(others) {
        let mut to = peers.reborrow().get(place);
        to.set_id(peer.0);
        to.set_address(address.as_str());
        to.set_connected(house.is_reached(peer));
        let follower = status.followers.iter().find(|follower| follower.peer == peer);
        if let Some(follower) = follower.filter(|_| status.role == Some(RoleKind::Leader)) {
            to.set_is_followed(true);
            to.set_match(follower.matched.0);
            to.set_lag(follower.lag);
            to.set_silent_ms(follower.silent_ms);
            to.set_healthy(follower.healthy);
        }
    }
}

fn some_index(index: u64) -> Option<Index> {
    (index > 0).then_some(Index(index))
}

pub(super) fn read_status(from: wire::status::Reader<'_>) -> Result<PeerReport> {
    let leader = from.get_leader()?;
    let leader_address = leader.get_address()?.to_string()?;
    let peers = from.get_peers()?.iter().map(read_view).collect::<Result<Vec<_>>>()?;
    let status = PeerStatus {
        peer: PeerId(from.get_peer()),
        up: true,
        stopped: None,
        role: read_role(from.get_role())?,
        term: Term(from.get_term()),
        leader: (leader.get_id() > 0).then(|| PeerId(leader.get_id())),
        last: read_position(from.get_last()?),
        commit: Index(from.get_commit()),
        settled: from.get_settled(),
        applied: Index(from.get_applied()),
        snapshot: Index(from.get_snapshot()),
        compacted: Index(from.get_compacted()),
        poisoned: some_index(from.get_poisoned()),
        disk_full: from.get_disk_full(),
        violations: from.get_violations(),
        followers: peers.iter().filter_map(|view| view.progress).collect(),
    };
    let faults = from.get_faults()?.iter().map(|rule| Ok(rule?.to_string()?)).collect::<Result<_>>()?;
    Ok(PeerReport {
        cluster: from.get_cluster()?.to_string()?,
        status,
        leader_address: Some(leader_address).filter(|address| !address.is_empty()),
        peers,
        faults,
        connections: from.get_connections(),
        refused: from.get_refused(),
    })
}

fn read_view(from: wire::peer_view::Reader<'_>) -> Result<PeerView> {
    let peer = PeerId(from.get_id());
    let progress = from.get_is_followed().then(|| FollowerStatus {
        peer,
        matched: Index(from.get_match()),
        lag: from.get_lag(),
        silent_ms: from.get_silent_ms(),
        healthy: from.get_healthy(),
    });
    Ok(PeerView {
        peer,
        address: from.get_address()?.to_string()?,
        connected: from.get_connected(),
        progress,
    })
}
