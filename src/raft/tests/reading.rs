//! `reads.rs`: linearizable reads without a log entry (§8, thesis §6.4).

use oneshot::{Receiver, TryRecvError};

use super::{dry::Dry, leader::Order, reads::Reads, rig::*, *};

fn ask_read(dry: &mut Dry) -> (Receiver<Outcome>, dry::Turn) {
    let (query, outcome) = query();
    dry.deliver(ReadIndex { queries: vec![query] });
    (outcome, end(dry))
}

/// What the machine has to have applied before it answers, if the turn released reads.
fn released(turn: &dry::Turn) -> Option<(u64, usize)> {
    turn.letters.machine.iter().find_map(|work| match work {
        Work::Read { index, queries } => Some((index.0, queries.len())),
        _ => None,
    })
}

/// "The leader needs to make sure it has not been superseded by a newer leader ... exchange heartbeat
/// messages with a majority" (§8): at once, and answers to anything older do not count.
#[test]
fn a_read_waits_for_a_quorum_that_answers_after_it() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::Leader, 5, &[]);
    for from in 2..=5 {
        matched(&mut dry, from, 2);
    }
    let (_outcome, turn) = ask_read(&mut dry);
    let rounds: Vec<_> = orders(&turn.early)
        .iter()
        .map(|order| match order {
            Order::Beat(_, slice) => slice.round,
            _ => panic!("{order:?}"),
        })
        .collect();
    assert_eq!((rounds, released(&turn)), (vec![1; 4], None));
    assert_eq!(released(&matched_in(&mut dry, 2, 2, 0)), None, "an older answer");
    assert_eq!(released(&matched_in(&mut dry, 2, 2, 1)), None);
    assert_eq!(released(&matched_in(&mut dry, 2, 2, 1)), None, "the same follower");
    assert_eq!(released(&matched_in(&mut dry, 9, 2, 1)), None, "a stranger");
    assert_eq!(released(&matched_in(&mut dry, 5, 2, 1)), Some((2, 1)));
    assert_eq!(released(&matched_in(&mut dry, 3, 2, 1)), None, "once");
}

/// [13] "A leader must have the latest information on which entries are committed": before an entry of
/// its own term is committed it may lack that (§8).
#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let mut dry = peer(RoleKind::Leader, 5, &[1, 4]);
    let (_outcome, turn) = ask_read(&mut dry);
    assert_eq!(released(&turn), None);
    assert_eq!(released(&matched_in(&mut dry, 2, 3, 1)), None, "a quorum answers, yet nothing is committed");
    assert_eq!(released(&matched_in(&mut dry, 2, 4, 1)), Some((4, 1)));
}

/// All reads of a turn share a round; a later round confirms the earlier ones; a refusal is an answer.
#[test]
fn a_later_round_confirms_the_earlier_ones() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    matched(&mut dry, 2, 2);
    let (one, another) = (query(), query());
    dry.deliver(ReadIndex { queries: vec![one.0] });
    dry.deliver(ReadIndex { queries: vec![another.0] });
    end(&mut dry);
    let (_third, turn) = ask_read(&mut dry);
    assert!(
        orders(&turn.early).iter().all(|order| matches!(order, Order::Beat(_, slice) if slice.round == 2))
    );
    dry.answer(dry.tenure(), Refused { from: PeerId(3), conflict: None, round: 2, healthy: true });
    let turn = end(&mut dry);
    assert_eq!(released(&turn), Some((2, 3)));
}

/// A single peer needs nobody else, and still waits for its first commit.
#[test]
fn a_single_peer_reads_alone() {
    let mut dry = peer_of(1, &Config::default(), RoleKind::Leader, 5, &[]);
    let (_outcome, turn) = ask_read(&mut dry);
    assert_eq!(released(&turn), Some((2, 1)));
}

/// [22] A leader that is cut off answers no read, and says so when it steps down.
#[test]
fn a_leader_without_a_quorum_answers_no_read() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    matched(&mut dry, 2, 2);
    let (outcome, turn) = ask_read(&mut dry);
    assert_eq!(released(&turn), None);
    let turn = tick_after(&mut dry, 1_000);
    assert_eq!((dry.kind(), released(&turn)), (RoleKind::Follower, None));
    assert_eq!(outcome.try_recv(), Ok(Outcome::NotLeader { leader: None }));
}

/// What waits is bounded.
#[test]
fn reads_beyond_the_limit_are_refused() {
    let config = Config { inbox_entries_max: 2, inbox_bytes_max: 1 << 20, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
    let mut kept: Vec<_> = (0..3).map(|_| ask_read(&mut dry).0).collect();
    let (refused, _) = ask_read(&mut dry);
    assert_eq!(refused.try_recv(), Ok(Outcome::Busy));
    assert!(kept.iter_mut().all(|outcome| outcome.try_recv() == Err(TryRecvError::Empty)));
}

/// The book of rounds by itself.
#[test]
fn rounds_are_confirmed_in_order_and_once() {
    let mut reads = Reads::default();
    assert!(!reads.begin_round());
    for count in [1, 2, 3] {
        reads.ask((0..count).map(|_| query().0).collect());
        assert!(reads.begin_round());
        assert!(!reads.begin_round());
    }
    assert_eq!((reads.round(), reads.count()), (3, 6));
    assert_eq!((reads.confirm(0).len(), reads.confirm(2).len(), reads.confirm(2).len()), (0, 3, 0));
    reads.ask(vec![query().0]);
    assert_eq!((reads.count(), reads.give_up().len(), reads.count()), (4, 4, 0));
    assert_eq!(reads.confirm(99).len(), 0);
}
