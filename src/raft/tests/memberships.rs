//! `membership.rs`: who belongs to it, and which one is in force (thesis §4.1).

use membership::History;
use proptest::prelude::*;

use super::*;

fn of(number: u64) -> Arc<Membership> {
    Arc::new(Membership::of([PeerId(number)]))
}

/// A learner receives the log and never counts (thesis §4.2.1); a voter does not become one.
#[test]
fn a_learner_is_a_member_without_a_vote() {
    let membership = Membership::of([1, 2].map(PeerId)).with_learner(PeerId(3)).with_learner(PeerId(1));
    assert!(membership.contains(PeerId(3)) && !membership.is_voter(PeerId(3)));
    assert!(!membership.contains(PeerId(4)) && !membership.is_joint());
    assert_eq!(membership.learners().len(), 1);
    assert_eq!(membership.others(PeerId(1)).collect::<Vec<_>>(), [PeerId(2), PeerId(3)]);
    assert_eq!(membership.other_voters(PeerId(1)).collect::<Vec<_>>(), [PeerId(2)]);
    assert_eq!(membership.to_string(), "{1 2}+{3}");
}

/// Addresses stay with their peers on the way to other voters.
#[test]
fn a_membership_knows_where_its_peers_listen() {
    let here =
        Membership::of([1, 2].map(PeerId)).with_address(PeerId(2), "two").with_address(PeerId(1), "one");
    for membership in [here.clone(), here.joint_to([2, 3].map(PeerId)), here.simplified()] {
        assert_eq!(membership.addresses().collect::<Vec<_>>(), [(PeerId(1), "one"), (PeerId(2), "two")]);
        assert_eq!((membership.address(PeerId(2)), membership.address(PeerId(3))), (Some("two"), None));
    }
}

/// Joint consensus counts both, until the new one stands alone (thesis §4.3).
#[test]
fn a_joint_membership_has_the_voters_of_both() {
    let joint = Membership::of([1, 2].map(PeerId)).with_learner(PeerId(3)).joint_to([2, 3].map(PeerId));
    assert!(joint.is_joint() && [1, 2, 3].map(PeerId).iter().all(|&peer| joint.is_voter(peer)));
    assert!(joint.learners().is_empty());
    assert_eq!(joint.to_string(), "{1 2}->{2 3}");
    assert_eq!(joint.simplified(), Membership::of([2, 3].map(PeerId)));
}

/// One thing that happens to a log's memberships.
#[derive(Clone, Debug)]
enum Change {
    Append,
    Truncate(u64),
    Compact(u64),
    Install(u64, bool),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Append),
        1 => (0..10u64).prop_map(Change::Truncate),
        1 => (0..10u64).prop_map(Change::Compact),
        1 => (0..4u64, any::<bool>()).prop_map(|(ahead, kept)| Change::Install(ahead, kept)),
    ]
}

proptest! {
    /// "A server always uses the latest configuration in its log, regardless of whether the entry is
    /// committed" (§6); what is truncated is out of force again, what is compacted stays in force.
    #[test]
    fn the_last_membership_of_the_log_is_in_force(changes in proptest::collection::vec(change(), 0..40)) {
        let mut history = History::new(of(0));
        // The oracle: every index of the log with what was in force there.
        let mut oracle = vec![(0, 0)];
        let (mut base, mut index, mut number) = (0, 0, 0);
        for change in changes {
            match change {
                Change::Append => {
                    (index, number) = (index + 1 + number % 3, number + 1);
                    history.append(Index(index), of(number));
                    oracle.push((index, number));
                }
                Change::Truncate(back) => {
                    let from = (index + 1).saturating_sub(back).max(base + 1);
                    history.truncate(Index(from));
                    oracle.retain(|&(at, _)| at < from);
                    index = from - 1;
                }
                Change::Compact(back) => {
                    base = base.max(index.saturating_sub(back));
                    history.compact(Index(base));
                }
                Change::Install(ahead, kept) => {
                    number += 1;
                    let at = base + 1 + ahead;
                    history.install(Index(at), of(number), kept);
                    oracle.retain(|&(index, _)| kept && index > at);
                    oracle.insert(0, (at, number));
                    (base, index) = (at, if kept { index.max(at) } else { at });
                }
            }
            prop_assert_eq!(history.present(), &of(oracle.last().unwrap().1));
        }
    }
}
