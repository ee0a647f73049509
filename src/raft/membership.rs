//! Who belongs to the cluster: the value that a configuration entry carries (thesis §4).
//!
//! A membership is in force from the moment its entry stands in a log, committed or not, and until
//! that entry is truncated (thesis §4.1). Entry 1 of every log is the first membership, at term 0.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use smallvec::SmallVec;

use super::types::{Index, PeerId};

/// Voters, learners and their addresses.
///
/// ```
/// use raft_actors::raft::{Membership, PeerId};
///
/// let membership = Membership::of((1..=3).map(PeerId));
/// assert!(membership.is_voter(PeerId(2)));
/// assert_eq!(membership.others(PeerId(2)).collect::<Vec<_>>(), [PeerId(1), PeerId(3)]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// The voters that decide from now on.
    voters: BTreeSet<PeerId>,
    /// The voters of the outgoing configuration: empty, except during joint consensus (thesis
    /// §4.3), when a decision needs a majority of both.
    outgoing: BTreeSet<PeerId>,
    /// Peers that receive the log and never count (thesis §4.2.1). Disjoint from the voters.
    learners: BTreeSet<PeerId>,
    /// Where each peer listens; empty in one process, where the id is the address.
    addresses: BTreeMap<PeerId, String>,
}

impl Membership {
    /// A simple membership of voters.
    pub fn of(voters: impl IntoIterator<Item = PeerId>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// This membership on its way to `voters`: joint until [`Membership::simplified`] (thesis §4.3).
    #[must_use]
    pub fn joint_to(&self, voters: impl IntoIterator<Item = PeerId>) -> Membership {
        let voters: BTreeSet<_> = voters.into_iter().collect();
        let learners = self.learners.difference(&voters).copied().collect();
        Membership { outgoing: self.voters.clone(), voters, learners, addresses: self.addresses.clone() }
    }

    /// The end of a joint membership: the outgoing voters have no say any more.
    #[must_use]
    pub fn simplified(&self) -> Membership {
        Membership { outgoing: BTreeSet::new(), ..self.clone() }
    }

    /// This membership with `peer` as a learner, unless it votes already.
    #[must_use]
    pub fn with_learner(mut self, peer: PeerId) -> Membership {
        if !self.is_voter(peer) {
            self.learners.insert(peer);
        }
        self
    }

    /// This membership with `address` as the place where `peer` listens.
    #[must_use]
    pub fn with_address(mut self, peer: PeerId, address: impl Into<String>) -> Membership {
        self.addresses.insert(peer, address.into());
        self
    }

    /// The voters that decide from now on, in the order of their ids.
    pub fn voters(&self) -> &BTreeSet<PeerId> {
        &self.voters
    }

    /// The outgoing voters of a joint membership; else empty.
    pub fn outgoing(&self) -> &BTreeSet<PeerId> {
        &self.outgoing
    }

    /// The learners.
    pub fn learners(&self) -> &BTreeSet<PeerId> {
        &self.learners
    }

    /// Where `peer` listens, if it has an address.
    pub fn address(&self, peer: PeerId) -> Option<&str> {
        self.addresses.get(&peer).map(String::as_str)
    }

    /// Where peers listen, in the order of their ids.
    pub fn addresses(&self) -> impl Iterator<Item = (PeerId, &str)> {
        self.addresses.iter().map(|(&peer, address)| (peer, address.as_str()))
    }

    /// Whether two configurations have to agree.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `peer` votes, in either configuration.
    pub fn is_voter(&self, peer: PeerId) -> bool {
        self.voters.contains(&peer) || self.outgoing.contains(&peer)
    }

    /// Whether `peer` belongs to the cluster at all.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.is_voter(peer) || self.learners.contains(&peer)
    }

    /// Everybody who receives the log, in the order of their ids.
    pub fn members(&self) -> BTreeSet<PeerId> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }

    /// Everybody but `me`, in the order of their ids.
    pub fn others(&self, me: PeerId) -> impl Iterator<Item = PeerId> + use<> {
        let all = self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied();
        let mut others: SmallVec<[PeerId; 9]> = all.filter(|&peer| peer != me).collect();
        others.sort_unstable();
        others.dedup();
        others.into_iter()
    }

    /// Every voter but `me`, of both configurations, in the order of their ids.
    pub fn other_voters(&self, me: PeerId) -> impl Iterator<Item = PeerId> {
        self.voters.union(&self.outgoing).copied().filter(move |&peer| peer != me)
    }

    /// Roughly how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let ids = self.voters.len() + self.outgoing.len() + self.learners.len();
        ids * size_of::<PeerId>() + self.addresses.values().map(|address| 16 + address.len()).sum::<usize>()
    }
}

/// `{1 2 3}`, joint `{1 2 3}->{3 4 5}`, with learners `{1 2 3}+{4}`.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |peers: &BTreeSet<PeerId>| {
            let ids: Vec<_> = peers.iter().map(PeerId::to_string).collect();
            format!("{{{}}}", ids.join(" "))
        };
        if self.is_joint() {
            write!(f, "{}->", set(&self.outgoing))?;
        }
        f.write_str(&set(&self.voters))?;
        if !self.learners.is_empty() {
            write!(f, "+{}", set(&self.learners))?;
        }
        Ok(())
    }
}

/// The memberships of one log: that of its front, and those that its entries brought since.
#[derive(Clone, Debug, Default)]
pub struct History {
    base: Arc<Membership>,
    /// By the index of their entry, in order.
    changes: Vec<(Index, Arc<Membership>)>,
}

impl History {
    /// The history of a log that begins with `base` in force.
    pub fn new(base: Arc<Membership>) -> History {
        History { base, changes: Vec::new() }
    }

    /// The membership in force: the last, whether its entry is committed or not.
    pub fn present(&self) -> &Arc<Membership> {
        self.changes.last().map_or(&self.base, |(_, membership)| membership)
    }

    /// The entry at `index` brings `membership`.
    pub fn append(&mut self, index: Index, membership: Arc<Membership>) {
        self.changes.push((index, membership));
    }

    /// The entries from `from` on are gone, and an earlier membership is in force again.
    pub fn truncate(&mut self, from: Index) {
        self.changes.retain(|&(index, _)| index < from);
    }

    /// The entries up to `upto` are gone; what they brought stays.
    pub fn compact(&mut self, upto: Index) {
        let gone = self.changes.partition_point(|&(index, _)| index <= upto);
        if let Some((_, membership)) = self.changes.drain(..gone).next_back() {
            self.base = membership;
        }
    }

    /// A snapshot at `at` brought `membership`; entries behind it stay only if they are `kept`.
    pub fn install(&mut self, at: Index, membership: Arc<Membership>, kept: bool) {
        self.changes.retain(|&(index, _)| kept && index > at);
        self.base = membership;
    }
}
