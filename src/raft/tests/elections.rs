//! Elections of whole clusters (§5.2, §5.4.1; thesis §3.10, §6.2, §9.6).

use super::{
    cluster::{Cluster, Packet},
    machine::{applied, applied_at},
    rig::{at, request_vote},
    *,
};

/// The longest election timeout.
const TIMEOUT_MS: u64 = 300;

fn cluster(count: u64) -> Cluster {
    Cluster::new(count, Config::default())
}

/// From empty disks: a leader, an entry, the same log everywhere (§5).
#[test]
fn a_new_cluster_elects_a_leader_and_applies_what_is_proposed() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let client = cluster.propose(leader, data("hello"));
    assert_eq!(cluster.outcome(client), None, "nobody is answered before it is applied");
    cluster.settle();
    assert_eq!(cluster.outcome(client), Some(&applied(Index(3))));
    cluster.run_for(100);
    for id in 1..=3 {
        assert_eq!((cluster.peer(id).machine.index(), cluster.state(id).term()), (Index(3), Term(1)));
    }
}

/// [1], [3] A vote that was given stands after a crash, whoever asks then; so does a candidate's own.
#[test]
fn a_vote_survives_a_crash() {
    let mut cluster = cluster(3);
    cluster.campaign(1);
    cluster.settle_until(|packet| matches!(packet, Packet::Voted(_)));
    assert!(cluster.wire.iter().any(|flight| matches!(&flight.packet, Packet::Voted(it) if it.granted)));
    for id in [1, 2, 3] {
        cluster.crash(PeerId(id), 0);
        cluster.start(PeerId(id));
        cluster.now_ms += 1_000;
        let now_ms = cluster.now_ms;
        let dry = cluster.peer(id).dry.as_mut().unwrap();
        dry.state_mut().now_ms = now_ms;
        assert_eq!(dry.state().vote(), Some(PeerId(1)));
        assert!(!request_vote(dry, 1, 4, at(9, 9)).granted, "{id} votes once");
    }
}

/// [2] "Term before disk": killed before its turn ended it never said anything out of that term.
#[test]
fn what_a_turn_did_not_write_was_not_said() {
    let mut cluster = cluster(3);
    cluster.campaign(1);
    cluster.settle_until(|packet| matches!(packet, Packet::RequestVote { .. }));
    let request = cluster.take(|flight| flight.to == PeerId(2)).remove(0);
    cluster.deliver(request.clone());
    cluster.begin_sync(PeerId(2));
    cluster.crash(PeerId(2), 0);
    assert!(
        !cluster
            .wire
            .iter()
            .any(|flight| flight.from == PeerId(2) && matches!(flight.packet, Packet::Voted(_)))
    );
    cluster.start(PeerId(2));
    assert_eq!((cluster.state(2).term(), cluster.state(2).vote()), (Term(0), None));
    // The term alone became durable: the vote is free, and the term is kept.
    cluster.now_ms += 1_000;
    cluster.deliver(request);
    cluster.begin_sync(PeerId(2));
    cluster.crash(PeerId(2), 1);
    cluster.start(PeerId(2));
    assert_eq!((cluster.state(2).term(), cluster.state(2).vote()), (Term(1), None));
}

/// [5] A grant for term T that arrives in term T + 1 does not count.
#[test]
fn a_vote_of_an_earlier_election_does_not_count() {
    let config = Config { pre_vote: false, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.campaign(1);
    cluster.settle_until(|packet| matches!(packet, Packet::Voted(_)));
    let late = cluster.take(|flight| flight.to == PeerId(1));
    cluster.campaign(1);
    assert_eq!(cluster.state(1).term(), Term(2));
    cluster.take(|_| true);
    cluster.deliver_all(late);
    assert_eq!(cluster.dry(1).kind(), RoleKind::Candidate);
}

/// [6] A peer that reaches only one other does not unseat the leader.
#[test]
fn a_partly_connected_peer_changes_nothing() {
    let mut cluster = cluster(5);
    cluster.run_for(1_000);
    let (leader, term) = (cluster.leader(), cluster.state(1).term());
    let others: Vec<_> = (1..=5).filter(|&id| id != leader).collect();
    cluster.part(&others[..1], &[leader, others[2], others[3]]);
    cluster.run_for(60_000);
    assert!(cluster.state(leader).term().0 <= term.0 + 1);
    let now = cluster.leader();
    let client = cluster.propose(now, data("on"));
    cluster.settle();
    assert!(applied_at(cluster.outcome(client).unwrap()).is_some());
}

/// [7] A peer cut off for a hundred election timeouts comes back quietly (thesis §9.6).
#[test]
fn a_peer_that_returns_disturbs_nobody() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let (leader, term) = (cluster.leader(), cluster.state(1).term());
    let away = leader % 3 + 1;
    let others: Vec<_> = (1..=3).filter(|&id| id != away).collect();
    cluster.part(&[away], &others);
    cluster.run_for(100 * TIMEOUT_MS);
    assert_eq!(cluster.state(away).term(), term, "it asks, and does not raise its term");
    let before = cluster.propose(leader, data("while it is away"));
    cluster.settle();
    cluster.cut.clear();
    cluster.run_for(1_000);
    assert_eq!((cluster.leader(), cluster.state(leader).term()), (leader, term));
    assert!(applied_at(cluster.outcome(before).unwrap()).is_some());
    assert_eq!(cluster.state(away).log().last(), cluster.state(leader).log().last());
}

/// [8] One peer of the highest term has a short log, the rest longer ones of older terms: a leader stands
/// soon. Its denial carries its term, or nobody could ever overtake it.
#[test]
fn the_highest_term_with_the_shortest_log_blocks_nobody() {
    for count in [3, 5] {
        for pre_vote in [true, false] {
            let mut disks = vec![disk(count, (5, None), &[1, 2, 2]); count as usize];
            disks[0] = disk(count, (10, Some(1)), &[1]);
            // As many of the others must be up as make a majority only with it.
            let mut cluster = Cluster::with_disks(Config { pre_vote, ..Config::default() }, disks);
            for id in count / 2 + 2..=count {
                cluster.crash(PeerId(id), 0);
            }
            cluster.run_for(10 * TIMEOUT_MS);
            assert!(cluster.leader() != 1 && cluster.state(1).term() > Term(10));
        }
    }
}

/// [9] A leader that can send and not receive steps down, and another leads (thesis §6.2).
#[test]
fn a_leader_that_hears_nobody_makes_room() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    for id in 1..=3 {
        cluster.cut.insert((PeerId(id), PeerId(leader)));
    }
    cluster.run_for(3 * TIMEOUT_MS);
    let next = cluster.leader();
    assert_ne!(next, leader);
    let client = cluster.propose(next, data("on"));
    cluster.settle();
    assert!(applied_at(cluster.outcome(client).unwrap()).is_some());
}

/// [10] Two of four are no majority: nobody commits; healed, a leader stands soon.
#[test]
fn an_even_split_commits_nothing() {
    let mut cluster = cluster(4);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let friend = leader % 4 + 1;
    let others: Vec<_> = (1..=4).filter(|id| ![leader, friend].contains(id)).collect();
    cluster.part(&[leader, friend], &others);
    let client = cluster.propose(leader, data("to two of four"));
    cluster.run_for(20 * TIMEOUT_MS);
    assert_eq!((cluster.outcome(client), cluster.leaders().len()), (None, 0));
    cluster.cut.clear();
    cluster.run_for(5 * TIMEOUT_MS);
    let client = cluster.propose(cluster.leader(), data("on"));
    cluster.settle();
    assert!(applied_at(cluster.outcome(client).unwrap()).is_some());
}

/// [11] Transfers back to back under load: nothing is lost or doubled, and every client hears what became
/// of its proposal.
#[test]
fn transfers_under_load_lose_nothing() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let mut proposals = Vec::new();
    for round in 0..20 {
        let leader = cluster.leader();
        for number in 0..5 {
            let command = data(format!("{round}.{number}"));
            proposals.push((cluster.hear_proposal(leader, command.clone()), command));
        }
        let (client, port) = cluster.port();
        let target = Some(PeerId(leader % 3 + 1));
        cluster.turn(leader, |dry| dry.deliver(Transfer { target, port }));
        cluster.run_for(TIMEOUT_MS);
        assert_eq!(cluster.outcome(client), Some(&Outcome::Applied(Bytes::new())), "{round}");
        assert_eq!(cluster.leader(), leader % 3 + 1);
    }
    let commands: Vec<_> =
        cluster.peer(1).machine.applied.iter().map(|(_, command)| command.clone()).collect();
    for (client, command) in proposals {
        let times = commands.iter().filter(|&it| *it == command).count();
        assert_eq!((times, applied_at(cluster.outcome(client).unwrap()).is_some()), (1, true));
    }
}

/// [11] A transfer to a dead peer ends within an election timeout, and writes go on.
#[test]
fn a_transfer_to_a_dead_peer_ends() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let target = PeerId(leader % 3 + 1);
    cluster.crash(target, 0);
    let (client, port) = cluster.port();
    cluster.turn(leader, |dry| dry.deliver(Transfer { target: Some(target), port }));
    cluster.run_for(TIMEOUT_MS);
    assert_eq!(cluster.outcome(client), Some(&Outcome::Lost));
    let client = cluster.propose(leader, data("on"));
    cluster.settle();
    assert!(applied_at(cluster.outcome(client).unwrap()).is_some());
}

/// [49] A leader that was stopped for three election timeouts acknowledges nothing of its own afterwards:
/// neither what it had, nor what waits in its mailbox, nor a read.
#[test]
fn a_leader_that_slept_acknowledges_nothing() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let others: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    let before = cluster.propose(leader, data("before"));
    let read_before = cluster.read(leader);
    cluster.take(|_| true);
    // The others go on without it; it gets no time and no message.
    cluster.part(&[leader], &others);
    cluster.now_ms += 3 * TIMEOUT_MS;
    let next = others[0];
    cluster.turn(next, |dry| dry.deliver(Tick));
    cluster.settle();
    assert!(cluster.leaders().contains(&PeerId(next)));
    let overwritten = cluster.propose(next, data("other"));
    cluster.settle();
    assert!(applied_at(cluster.outcome(overwritten).unwrap()).is_some());
    // It wakes up with what clients had sent it meanwhile.
    let after = cluster.propose(leader, data("after"));
    let read_after = cluster.read(leader);
    cluster.cut.clear();
    cluster.run_for(3 * TIMEOUT_MS);
    for client in [before, after] {
        assert_eq!(cluster.outcome(client), Some(&Outcome::Lost));
    }
    for client in [read_before, read_after] {
        assert_eq!(cluster.outcome(client), Some(&Outcome::NotLeader { leader: None }));
    }
}

/// [22] An old leader cut off answers no linearizable read, however long it is asked.
#[test]
fn a_leader_cut_off_answers_no_read() {
    let mut cluster = cluster(3);
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let others: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    cluster.part(&[leader], &others);
    let clients: Vec<_> = (0..10)
        .map(|_| {
            cluster.run_for(20);
            cluster.read(leader)
        })
        .collect();
    cluster.run_for(3 * TIMEOUT_MS);
    for client in clients {
        assert_eq!(cluster.outcome(client), Some(&Outcome::NotLeader { leader: None }));
    }
}

/// [13] A new leader's read waits for its first commit, and then sees everything earlier leaders committed.
#[test]
fn a_read_sees_what_earlier_leaders_committed() {
    let mut cluster = cluster(3);
    cluster.elect(1);
    let write = cluster.propose(1, data("x"));
    cluster.settle();
    let written = applied_at(cluster.outcome(write).unwrap()).unwrap();
    // The followers do not know yet that it is committed.
    assert!(cluster.state(2).commit() < written);
    cluster.crash(PeerId(1), 0);
    cluster.campaign(2);
    while cluster.dry(2).kind() != RoleKind::Leader {
        let flight = cluster.wire.remove(0);
        cluster.deliver_all([flight]);
    }
    let read = cluster.read(2);
    assert_eq!(cluster.outcome(read), None);
    cluster.settle();
    assert!(applied_at(cluster.outcome(read).unwrap()).unwrap() >= written);
}
