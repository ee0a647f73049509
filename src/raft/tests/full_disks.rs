//! A disk that is full: no more entries of clients, and all the rest goes on.

use super::{dry::Dry, leader::Order, rig::*, *};

fn full(mut dry: Dry) -> Dry {
    dry.state_mut().set_disk_full(true);
    dry
}

/// Peer `from` holds the log up to `index`, and says whether it could lead as it should be.
fn answers(dry: &mut Dry, from: u64, index: u64, healthy: bool) -> dry::Turn {
    dry.answer(dry.tenure(), Matched { from: PeerId(from), index: Index(index), round: 0, healthy });
    end(dry)
}

fn proposes(dry: &mut Dry) -> Option<Outcome> {
    let mut outcomes = propose(dry, [data("a")]);
    end(dry);
    outcomes.try_recv().ok().map(|(_, outcome)| outcome)
}

fn following(terms: &[u64]) -> Dry {
    let mut dry = peer(RoleKind::Follower, 5, terms);
    heartbeat(&mut dry, 5, 2);
    dry
}

fn noop(prev: Position, commit: u64) -> Arc<Slice> {
    let batches = Batch::new(Term(5), prev.index.next(), vec![Command::Noop]).into_iter().collect();
    Arc::new(Slice { prev, batches, commit: Index(commit), round: 0 })
}

#[test]
fn a_follower_refuses_what_clients_wrote_and_nothing_else() {
    let mut dry = full(following(&[1]));
    let answer = append(&mut dry, 5, 2, slice(at(1, 2), &[5], 0)).unwrap();
    assert_eq!((answer.result, answer.healthy), (Err(Refusal::NoRoom), false));
    assert_eq!(last(&dry), at(1, 2));

    let answer = append(&mut dry, 5, 2, noop(at(1, 2), 2)).unwrap();
    assert_eq!(answer.result, Ok(Index(3)), "a leader's no-op fits");
    assert_eq!(heartbeat(&mut dry, 5, 2).unwrap().result, Ok(Index(0)), "a sign of life is one");
    assert_eq!(append(&mut dry, 5, 2, slice(at(5, 3), &[], 3)).unwrap().result, Ok(Index(3)));
    assert_eq!(dry.state().commit(), Index(3), "it commits what it holds");

    dry.state_mut().set_disk_full(false);
    let answer = append(&mut dry, 5, 2, slice(at(5, 3), &[5], 3)).unwrap();
    assert_eq!((answer.result, answer.healthy), (Ok(Index(4)), true));
}

/// Terms and votes fit (§5.2); and if all disks were full and nobody campaigned, nobody would lead when
/// there is room again.
#[test]
fn who_is_full_votes_and_campaigns() {
    let mut dry = full(peer(RoleKind::Follower, 5, &[]));
    assert!(canvass(&mut dry, 6, 2, at(9, 9)).granted);
    assert!(request_vote(&mut dry, 6, 2, at(9, 9)).granted);
    tick_after(&mut dry, 1_000);
    assert_eq!(dry.kind(), RoleKind::PreCandidate);
    dry.answer(dry.tenure(), PreVoted { from: PeerId(2), term: Term(7), granted: true });
    end(&mut dry);
    voted(&mut dry, 2, 7, true);
    assert_eq!(dry.kind(), RoleKind::Leader);
    assert_eq!(last(&dry).term, Term(7), "with its no-op");
}

#[test]
fn a_leader_refuses_and_hands_over_to_one_that_has_room() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    answers(&mut dry, 2, 2, false);
    answers(&mut dry, 3, 1, true);
    let mut dry = full(dry);
    assert_eq!(proposes(&mut dry), Some(Outcome::Busy));
    assert_eq!(last(&dry), at(5, 2));
    let turn = answers(&mut dry, 3, 2, true);
    assert_eq!(orders(&turn.late), [Order::TimeoutNow(PeerId(3))]);
}

/// A new leader takes everybody for healthy, and hands over to nobody whom it has not heard.
#[test]
fn a_full_leader_hands_over_to_those_it_has_heard() {
    let mut dry = full(peer(RoleKind::Leader, 5, &[]));
    dry.state_mut().listen(true);
    let mut begun = |turn: &dyn Fn(&mut Dry)| {
        turn(&mut dry);
        let events = dry.state_mut().take_events();
        events.iter().find(|event| event.name() == "TransferBegun").map(ToString::to_string)
    };
    assert_eq!(begun(&|dry| drop(tick_after(dry, 50))), None);
    assert_eq!(begun(&|dry| drop(answers(dry, 2, 0, true))), None, "it has nothing of our log");
    let why = "TransferBegun to=3: the disk has no room for more entries";
    assert_eq!(begun(&|dry| drop(answers(dry, 3, 1, true))).as_deref(), Some(why));
}

/// A new leader has heard of nobody's disk yet, and where all are full nobody takes over.
#[test]
fn leadership_does_not_go_round_where_all_are_full() {
    let mut dry = full(peer(RoleKind::Leader, 5, &[]));
    assert!(orders(&tick_after(&mut dry, 50).late).is_empty());
    for from in [2, 3] {
        assert!(orders(&answers(&mut dry, from, 2, false).late).is_empty());
    }
    assert_eq!(dry.state().commit(), Index(2), "it commits its no-op");
    for _ in 0..40 {
        assert_eq!(proposes(&mut dry), Some(Outcome::Busy));
        answers(&mut dry, 2, 2, false);
        assert!(orders(&tick_after(&mut dry, 50).late).is_empty());
    }
    assert_eq!(dry.kind(), RoleKind::Leader);
    dry.state_mut().set_disk_full(false);
    assert_eq!(proposes(&mut dry), None, "it is taken as soon as there is room");
    assert_eq!(last(&dry), at(5, 3));
}

#[test]
fn a_full_leader_answers_reads() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    answers(&mut dry, 2, 2, false);
    let mut dry = full(dry);
    let (query, read) = query();
    dry.deliver(ReadIndex { queries: vec![query] });
    end(&mut dry);
    let turn = matched_in(&mut dry, 2, 2, 1);
    assert!(matches!(turn.letters.machine.as_slice(), [role::Work::Read { .. }]));
    assert_eq!(read.try_recv(), Err(oneshot::TryRecvError::Empty));
}

/// A hand-over that its leader began by itself ends with its reason: when there is room again, and when
/// the target fills up too.
#[test]
fn a_hand_over_ends_with_its_reason() {
    let begun = || {
        let mut dry = peer(RoleKind::Leader, 5, &[1]);
        answers(&mut dry, 3, 1, true);
        let mut dry = full(dry);
        assert_eq!(proposes(&mut dry), Some(Outcome::Busy));
        dry
    };
    let mut room_again = begun();
    room_again.state_mut().set_disk_full(false);
    room_again.deliver(Tick);
    assert!(orders(&end(&mut room_again).late).is_empty());
    assert_eq!(proposes(&mut room_again), None);

    let mut target_full = begun();
    assert!(orders(&answers(&mut target_full, 3, 3, false).late).is_empty(), "it would only hand on");
}

#[test]
fn what_was_asked_for_goes_on_whatever_the_disks() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    answers(&mut dry, 2, 1, false);
    let (port, _outcome) = Port::new();
    dry.deliver(Transfer { target: Some(PeerId(2)), port });
    end(&mut dry);
    assert_eq!(orders(&answers(&mut dry, 2, 2, false).late), [Order::TimeoutNow(PeerId(2))]);
}

#[test]
fn it_is_said_once() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    dry.state_mut().listen(true);
    for full in [false, true, true, false, false] {
        dry.state_mut().set_disk_full(full);
    }
    let last = at(0, 1);
    let expected =
        [Event::DiskFull { last, why: Why::NoRoom }, Event::RoomAgain { last, why: Why::RoomMade }];
    assert_eq!(dry.state_mut().take_events(), expected);
}
