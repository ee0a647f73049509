//! What a peer tells those who watch it, and how it is printed: positions and lengths, never a payload.

use super::{dry::Dry, event::Event, rig::*, *};

/// Events are kept only for those who listen, in order, and are handed over once.
#[test]
fn what_happens_is_told_once_to_those_who_listen() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    heartbeat(&mut dry, 5, 2);
    assert!(!dry.state().has_events(), "nobody listens");
    dry.state_mut().listen(true);
    append(&mut dry, 5, 2, slice(at(0, 1), &[5], 2));
    assert!(dry.state().has_events());
    let told: Vec<_> = dry.state_mut().take_events().iter().map(Event::to_string).collect();
    assert_eq!(
        told,
        [
            "Appended first=2 last=2@5 bytes=43: the leader sent it",
            "Committed index=2: the leader committed it"
        ]
    );
    assert!(!dry.state().has_events() && dry.state_mut().take_events().is_empty());
    dry.state_mut().listen(false);
    append(&mut dry, 5, 2, slice(at(5, 2), &[5], 3));
    assert!(!dry.state().has_events());
}

/// The first membership says that the cluster begins, any later one that its leader sent it (thesis §4.1).
#[test]
fn a_membership_says_where_it_came_from() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    dry.state_mut().listen(true);
    let five = Batch::new(Term(5), Index(2), vec![Command::Membership(voters(5))]).unwrap();
    let slice = Slice { prev: at(0, 1), batches: [five].into_iter().collect(), commit: Index(0), round: 0 };
    append(&mut dry, 5, 2, Arc::new(slice));
    let told = dry.state_mut().take_events();
    let changed = told.iter().find(|event| event.name() == "MembershipChanged").unwrap();
    assert_eq!(changed.to_string(), "MembershipChanged index=2 members={1 2 3 4 5}: the leader sent it");
}

/// Each role names the leader that it knows: a leader itself, a follower the one it heard, others nobody.
#[test]
fn each_role_names_the_leader_it_knows() {
    for (role, leader) in [
        (RoleKind::Leader, Some(PeerId(1))),
        (RoleKind::Follower, None),
        (RoleKind::PreCandidate, None),
        (RoleKind::Candidate, None),
    ] {
        assert_eq!(peer(role, 5, &[]).leader(), leader, "{role}");
    }
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    heartbeat(&mut dry, 5, 2);
    assert_eq!(dry.leader(), Some(PeerId(2)));
}

/// A leader tells of each follower how far it is, how long it has been silent, and how it is.
#[test]
fn a_leader_tells_how_its_followers_are() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    let followers = |dry: &Dry| match dry.role() {
        AnyRole::Leader(leader) => leader.followers().collect::<Vec<_>>(),
        role => panic!("{role:?}"),
    };
    dry.state_mut().now_ms += 20;
    let sick = Matched { from: PeerId(3), index: Index(2), round: 0, healthy: false };
    dry.answer(dry.tenure(), sick);
    dry.state_mut().now_ms += 10;
    assert_eq!(followers(&dry), [(PeerId(2), Index(0), 30, true), (PeerId(3), Index(2), 10, false)]);
}

/// A violation names the peer and what it did, and is counted.
#[test]
fn violations_are_counted_and_named() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    dry.state_mut().listen(true);
    for count in 1..=3 {
        append(&mut dry, 5, 2, slice(at(9, 4), &[1], 0));
        assert_eq!(dry.state().violations(), count);
    }
    let told = dry.state_mut().take_events().pop().unwrap().to_string();
    assert!(told.starts_with("Violation by=2 what=") && told.contains("prev=4@9 [5..=5@1]"), "{told}");
}

/// Ports and ways back are printed by name; slices, memberships and batches by positions.
#[test]
fn what_is_printed_is_brief() {
    let (port, _outcome) = Port::new();
    assert_eq!(format!("{port:?} {:?}", Reply::<Voted>::new(drop)), "Port Reply");
    let asked = Slice { round: 3, ..Slice::clone(&slice(at(1, 2), &[3, 3], 7)) };
    assert_eq!(asked.to_string(), "prev=2@1 [3..=3@3] [4..=4@3] commit=7 round=3");
    assert_eq!(slice(at(1, 2), &[], 0).to_string(), "prev=2@1 commit=0");
    let membership = Membership::of([1, 2].map(PeerId));
    assert_eq!(membership.to_string(), "{1 2}");
    assert_eq!(membership.joint_to([3].map(PeerId)).with_learner(PeerId(4)).to_string(), "{1 2}->{3}+{4}");
    assert_eq!(format!("{:>5}|{:<4}|{}", Term(7), Index(8), PeerId(9)), "    7|8   |9");
}
