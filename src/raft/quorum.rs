//! Every count of peers goes through here: votes, commit, read rounds, check-quorum.
//!
//! In a joint membership a decision needs a majority of the new *and* of the old voters (thesis
//! §4.3). Learners never count. An empty set of voters decides nothing.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::{membership::Membership, types::PeerId};

/// How many of `voters` make a majority: more than half.
///
/// ```
/// use raft_actors::raft::quorum::majority;
/// assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
/// ```
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether the peers for whom `said_yes` holds are enough to decide.
pub fn agrees(membership: &Membership, said_yes: impl Fn(PeerId) -> bool) -> bool {
    let in_favour = |voters: &BTreeSet<PeerId>| {
        let yes = voters.iter().filter(|&&peer| said_yes(peer)).count();
        yes >= majority(voters.len())
    };
    in_favour(membership.voters()) && (!membership.is_joint() || in_favour(membership.outgoing()))
}

/// The greatest value that a quorum has reached: with match indexes the commit index (§5.3), with
/// echoed rounds the last confirmed one. A voter of whom `reached` knows nothing gives the default.
pub fn reached<T: Ord + Copy + Default>(membership: &Membership, reached: impl Fn(PeerId) -> Option<T>) -> T {
    let by = |voters: &BTreeSet<PeerId>| {
        // Asked after each answer: without an allocation, for as many voters as there usually are.
        let mut values: SmallVec<[T; 9]> =
            voters.iter().map(|&peer| reached(peer).unwrap_or_default()).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(majority(voters.len()) - 1).copied().unwrap_or_default()
    };
    if membership.is_joint() {
        by(membership.voters()).min(by(membership.outgoing()))
    } else {
        by(membership.voters())
    }
}
