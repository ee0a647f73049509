//! `quorum.rs` against the plainest words for it (§5.2, §5.3; thesis §4.3).

use std::collections::BTreeSet;

use proptest::{collection::btree_set, prelude::*};

use super::*;

/// More than half of the voters, counted by hand.
fn most(voters: &BTreeSet<PeerId>, yes: &BTreeSet<PeerId>) -> bool {
    2 * voters.intersection(yes).count() > voters.len()
}

fn peers(ids: BTreeSet<u64>) -> BTreeSet<PeerId> {
    ids.into_iter().map(PeerId).collect()
}

proptest! {
    /// "Majority": more than half; of both configurations while they are joint (thesis §4.3).
    /// Learners and strangers never count.
    #[test]
    fn a_decision_needs_more_than_half_of_each(
        old in btree_set(1..8u64, 0..6),
        new in btree_set(1..8u64, 0..6),
        learner in 8..10u64,
        yes in btree_set(1..12u64, 0..12),
    ) {
        let (old, new, yes) = (peers(old), peers(new), peers(yes));
        let simple = Membership::of(old.iter().copied()).with_learner(PeerId(learner));
        prop_assert_eq!(quorum::agrees(&simple, |peer| yes.contains(&peer)), most(&old, &yes));
        if !old.is_empty() {
            let joint = simple.joint_to(new.iter().copied());
            let both = most(&old, &yes) && most(&new, &yes);
            prop_assert_eq!(quorum::agrees(&joint, |peer| yes.contains(&peer)), both);
            let after = joint.simplified();
            prop_assert_eq!(quorum::agrees(&after, |peer| yes.contains(&peer)), most(&new, &yes));
        }
    }

    /// "A majority of matchIndex[i] ≥ N" (Figure 2): the greatest such N, found by trying them all.
    #[test]
    fn what_a_quorum_reached_is_the_greatest_that_most_reached(
        old in btree_set(0..8usize, 1..6),
        new in btree_set(0..8usize, 1..6),
        reached in proptest::collection::vec(proptest::option::of(0..6u64), 8),
    ) {
        let of = |ids: &BTreeSet<usize>| ids.iter().map(|&id| PeerId(id as u64)).collect::<BTreeSet<_>>();
        let at_least = |n: u64| {
            let ids = (0..8).filter(|&id| reached[id as usize].unwrap_or(0) >= n);
            ids.map(PeerId).collect::<BTreeSet<_>>()
        };
        let simple = Membership::of(of(&old));
        let joint = simple.joint_to(of(&new));
        let get = |peer: PeerId| reached[peer.0 as usize];
        let best = (0..6).rev().find(|&n| most(&of(&old), &at_least(n))).unwrap();
        prop_assert_eq!(quorum::reached(&simple, get), best);
        let both = |n: &u64| most(&of(&old), &at_least(*n)) && most(&of(&new), &at_least(*n));
        prop_assert_eq!(quorum::reached(&joint, get), (0..6).rev().find(both).unwrap());
    }
}

/// An empty set of voters decides nothing: a peer that knows no cluster can't elect itself.
#[test]
fn nobody_decides_nothing() {
    let nobody = Membership::default();
    assert!(!quorum::agrees(&nobody, |_| true));
    assert_eq!(quorum::reached(&nobody, |_| Some(9)), 0);
}

/// One vote in four or two in four is no majority: an even split decides nothing.
#[test]
fn half_is_not_enough() {
    for voters in 1..=9u64 {
        let membership = Membership::of((1..=voters).map(PeerId));
        let needed = (1..=voters).find(|&yes| quorum::agrees(&membership, |peer| peer.0 <= yes));
        assert_eq!(needed, Some(voters / 2 + 1));
    }
}
