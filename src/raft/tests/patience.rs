//! How long a leader waits for whom, to the millisecond: check-quorum (thesis §6.2), replicators that
//! heard nothing, and logs that wait for a follower (§7). Time deaf is not time waited.

use super::{dry::Dry, leader::Order, rig::*, *};

const SILENCE_MS: u64 = 3_000;

fn leading(count: u64) -> Dry {
    let config = Config { trail_entries: 0, replicator_silence_ms: SILENCE_MS, ..Config::default() };
    peer_of(count, &config, RoleKind::Leader, 9, &[4, 4, 4, 6, 6])
}

/// Lets time pass while follower 2 answers every heartbeat, and tells when others were given up.
fn renewals(dry: &mut Dry, ms: u64) -> Vec<(u64, PeerId)> {
    let began_ms = dry.state().now_ms;
    let mut renewals = Vec::new();
    while dry.state().now_ms < began_ms + ms {
        matched(dry, 2, 7);
        let turn = tick_after(dry, 50);
        let after_ms = dry.state().now_ms - began_ms;
        renewals.extend(orders(&turn.early).into_iter().filter_map(|order| match order {
            Order::Renew(peer) => Some((after_ms, peer)),
            _ => None,
        }));
    }
    renewals
}

/// A follower that never answers is given up as late as one that did.
#[test]
fn a_follower_that_never_answered_has_the_same_time() {
    assert_eq!(renewals(&mut leading(3), 4_000), [(SILENCE_MS, PeerId(3))]);
}

/// While its own disk worked the leader heard nobody: none of its clocks ran (Figure 2 knows no disk that
/// takes time).
#[test]
fn a_slow_disk_counts_against_nobody() {
    let mut dry = leading(3);
    dry.answer(dry.tenure(), Receiving { from: PeerId(3), at: Index(4) });
    matched(&mut dry, 2, 7);
    dry.state_mut().now_ms += 10_000;
    dry.end_turn(10_000);
    assert_eq!(dry.pinned(), Some(Index(4)), "the log waits on");
    dry.deliver(Tick);
    assert!(!orders(&end(&mut dry).early).contains(&Order::Renew(PeerId(3))));
    assert_eq!(dry.kind(), RoleKind::Leader, "its quorum was not silent");
    assert_eq!(renewals(&mut dry, SILENCE_MS), [(SILENCE_MS, PeerId(3))]);
    assert_eq!(dry.pinned(), None);
}

/// Who was heard within the time that a replicator is given is worth keeping the log for; for others a
/// snapshot is sent all the same.
#[test]
fn the_log_is_kept_for_those_who_live() {
    let pinned = |silent_ms: u64| {
        let mut dry = leading(3);
        matched(&mut dry, 2, 7);
        dry.deliver(Snapshotted { at: at(6, 5) });
        dry.state_mut().now_ms += silent_ms;
        dry.answer(dry.tenure(), Pull { from: PeerId(3), next: Some(Index(2)) });
        assert_eq!(orders(&end(&mut dry).early), [Order::SendSnapshot(PeerId(3))]);
        dry
    };
    assert_eq!(pinned(SILENCE_MS).pinned(), None);
    let mut dry = pinned(SILENCE_MS - 1);
    assert_eq!(dry.pinned(), Some(Index(5)));
    dry.state_mut().now_ms += SILENCE_MS - 1;
    assert_eq!(dry.pinned(), Some(Index(5)), "as long again");
    dry.state_mut().now_ms += 1;
    assert_eq!(dry.pinned(), None);
}

/// Each sign that a follower gets on keeps the log for it as long again, and no longer (§7).
#[test]
fn the_log_is_kept_as_long_as_a_follower_gets_on() {
    let mut dry = leading(3);
    matched(&mut dry, 2, 7);
    let waits = |dry: &mut Dry, upto: u64| {
        dry.state_mut().now_ms += SILENCE_MS - 1;
        assert_eq!(dry.pinned(), Some(Index(upto)));
        dry.state_mut().now_ms += 1;
        assert_eq!(dry.pinned(), None);
    };
    dry.answer(dry.tenure(), Receiving { from: PeerId(3), at: Index(4) });
    waits(&mut dry, 4);
    matched(&mut dry, 3, 6);
    waits(&mut dry, 6);
}

/// With its quorum silent for the longest election timeout a leader holds on to nothing (thesis §4.2.3).
#[test]
fn a_leader_holds_on_as_long_as_it_hears_a_quorum() {
    let end_ms = Config::default().election_timeout_ms.end;
    for (silent_ms, term) in [(end_ms - 1, 9), (end_ms, 10)] {
        let mut dry = leading(3);
        matched(&mut dry, 2, 1);
        dry.state_mut().now_ms += silent_ms;
        request_vote(&mut dry, 10, 2, at(9, 9));
        assert_eq!(dry.state().term(), Term(term), "{silent_ms} ms");
    }
}

/// A leader that owes nothing to anybody leaves nothing behind.
#[test]
fn who_owes_nothing_leaves_no_orphans() {
    let mut dry = leading(3);
    let mut outcomes = propose(&mut dry, [data("a")]);
    end(&mut dry);
    let work = matched(&mut dry, 2, 8).letters.machine;
    assert!(matches!(&work[..], [Work::Apply { waiting, .. }] if waiting[0].ports.len() == 1));
    assert!(outcomes.try_recv().is_err());
    dry.answer(dry.tenure(), Outran { term: Term(10) });
    assert!(end(&mut dry).letters.machine.is_empty());
}
