//! `transfer.rs`: leadership transfer (thesis §3.10).

use oneshot::{Receiver, TryRecvError};

use super::{dry::Dry, leader::Order, rig::*, *};

fn transfer(dry: &mut Dry, target: Option<u64>) -> (Receiver<Outcome>, dry::Turn) {
    let (port, outcome) = Port::new();
    dry.deliver(Transfer { target: target.map(PeerId), port });
    (outcome, end(dry))
}

/// A leader with a committed entry, whose follower 2 has everything and 3 nothing.
fn leading() -> Dry {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    matched(&mut dry, 2, 2);
    dry
}

/// "The prior leader fully updates the target server's log", "stops accepting new client requests", then
/// "sends a TimeoutNow request" (thesis §3.10).
#[test]
fn the_target_is_told_when_it_holds_the_whole_log() {
    let mut dry = leading();
    let (outcome, turn) = transfer(&mut dry, Some(3));
    assert!(orders(&turn.late).is_empty(), "it lacks the log");
    let mut refused = propose(&mut dry, [data("a")]);
    end(&mut dry);
    assert_eq!((refused.try_recv().unwrap().1, last(&dry)), (Outcome::Busy, at(5, 2)));
    assert!(orders(&matched(&mut dry, 3, 1).late).is_empty());
    assert_eq!(orders(&matched(&mut dry, 3, 2).late), [Order::TimeoutNow(PeerId(3))]);
    assert_eq!(outcome.try_recv(), Err(TryRecvError::Empty), "it leads yet");
    dry.answer(dry.tenure(), Outran { term: Term(6) });
    end(&mut dry);
    assert_eq!(outcome.try_recv(), Ok(Outcome::Applied(Bytes::new())));
}

/// An order that got lost is given again, with the heartbeats.
#[test]
fn a_lost_order_is_repeated() {
    let mut dry = leading();
    let (_outcome, turn) = transfer(&mut dry, Some(2));
    assert_eq!(orders(&turn.late), [Order::TimeoutNow(PeerId(2))]);
    assert!(orders(&matched(&mut dry, 2, 2).late).is_empty(), "not with every answer");
    assert_eq!(orders(&tick_after(&mut dry, 50).late), [Order::TimeoutNow(PeerId(2))]);
}

/// [11] "If leadership transfer does not complete after about an election timeout, the prior leader aborts
/// the transfer and resumes accepting client requests" (thesis §3.10).
#[test]
fn a_transfer_to_a_dead_peer_ends_in_time() {
    let mut dry = leading();
    let (outcome, _) = transfer(&mut dry, Some(3));
    let deadline_ms = dry.state().now_ms + Config::default().election_timeout_ms.end;
    while dry.state().now_ms < deadline_ms {
        assert_eq!(outcome.try_recv(), Err(TryRecvError::Empty));
        matched(&mut dry, 2, 2);
        let wait_ms = dry.deadline_ms() - dry.state().now_ms;
        assert!(wait_ms > 0, "it would tick for ever");
        tick_after(&mut dry, wait_ms);
    }
    assert_eq!(dry.state().now_ms, deadline_ms, "it woke up for it");
    assert_eq!(outcome.try_recv(), Ok(Outcome::Lost));
    propose(&mut dry, [data("a")]);
    assert_eq!(last(&dry), at(5, 3));
}

/// Without a target it is the healthy voter that is furthest; of several the one with the lowest id.
#[test]
fn the_furthest_healthy_voter_is_chosen() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::Leader, 5, &[1, 1]);
    matched(&mut dry, 3, 4);
    matched(&mut dry, 4, 4);
    let sick = Matched { from: PeerId(2), index: Index(4), round: 0, healthy: false };
    dry.answer(dry.tenure(), sick);
    let (_outcome, turn) = transfer(&mut dry, None);
    assert_eq!(orders(&turn.late), [Order::TimeoutNow(PeerId(3))]);
}

/// One at a time; to itself it is done; to nobody's peer it is refused.
#[test]
fn what_can_not_be_handed_over_is_said_at_once() {
    let mut dry = leading();
    assert_eq!(transfer(&mut dry, Some(9)).0.try_recv(), Ok(Outcome::Rejected));
    assert_eq!(transfer(&mut dry, Some(1)).0.try_recv(), Ok(Outcome::Applied(Bytes::new())));
    let (outcome, _) = transfer(&mut dry, Some(3));
    assert_eq!(transfer(&mut dry, Some(2)).0.try_recv(), Ok(Outcome::Busy));
    assert_eq!(outcome.try_recv(), Err(TryRecvError::Empty));
    let mut alone = peer_of(1, &Config::default(), RoleKind::Leader, 5, &[]);
    assert_eq!(transfer(&mut alone, None).0.try_recv(), Ok(Outcome::Rejected));
}
