//! What older systems got wrong, as whole clusters would show it; most of their mistakes are also lines of
//! the tables. Each test names the mistake.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    cluster::{Cluster, Packet},
    machine::applied_at,
    rig::at,
    *,
};

/// "A newer-term but shorter log is refused, which can block elections": of these two peers only the one with
/// the later last term may lead (§5.4.1).
#[test]
fn a_newer_but_shorter_log_wins() {
    let disks = vec![
        disk(3, (5, None), &[1, 5]),
        disk(3, (5, None), &[1, 4, 4, 4, 4, 4, 4, 4]),
        disk(3, (5, None), &[]),
    ];
    let mut cluster = Cluster::with_disks(Config::default(), disks);
    cluster.crash(PeerId(3), 0);
    cluster.run_for(3_000);
    assert_eq!(cluster.leader(), 1);
    assert_eq!(terms(cluster.state(2).log())[..2], [1, 5]);
}

/// "Votes of one peer are counted as often as they arrive", "late votes of an older election are counted": all
/// answers of one voter, of three elections, many times over, elect nobody among five.
#[test]
fn one_voter_elects_nobody_however_often_it_is_heard() {
    let mut cluster = Cluster::new(5, Config { pre_vote: false, ..Config::default() });
    let mut heard = Vec::new();
    for _ in 0..3 {
        cluster.campaign(1);
        let asked = cluster.take(|flight| flight.to == PeerId(2));
        cluster.take(|_| true);
        cluster.deliver_all(asked);
        heard.extend(cluster.take(|flight| matches!(flight.packet, Packet::Voted(_))));
        for _ in 0..3 {
            cluster.deliver_all(heard.clone());
        }
        assert_eq!(cluster.dry(1).kind(), RoleKind::Candidate);
    }
    assert_eq!(heard.len(), 3);
}

/// "Replies are used without checking role or term": everything that was ever said to a leader of term 1 is
/// said again to the same peer as follower, candidate and leader of later terms. It counts for nothing.
#[test]
fn answers_to_an_earlier_office_count_for_nothing() {
    let mut cluster = Cluster::new(3, Config::default());
    let mut said = Vec::new();
    let record = |cluster: &mut Cluster, said: &mut Vec<_>| {
        for _ in 0..10_000 {
            let Some(flight) = (!cluster.wire.is_empty()).then(|| cluster.wire.remove(0)) else { return };
            if flight.to == PeerId(1) {
                said.push(flight.clone());
            }
            cluster.deliver_all([flight]);
        }
    };
    cluster.campaign(1);
    record(&mut cluster, &mut said);
    for number in 0..5 {
        cluster.propose(1, data(number));
    }
    record(&mut cluster, &mut said);
    assert!(said.len() > 10);
    cluster.elect(2);
    cluster.elect(1);
    cluster.part(&[1], &[2, 3]);
    cluster.propose(1, data("alone"));
    cluster.cut.clear();
    cluster.wire.clear();
    let (commit, term) = (cluster.state(1).commit(), cluster.state(1).term());
    cluster.deliver_all(said.clone());
    assert_eq!((cluster.state(1).commit(), cluster.state(1).term()), (commit, term));
    cluster.run_for(100);
    assert!(cluster.state(1).commit() > commit);
    cluster.elect(2);
    cluster.deliver_all(said);
    assert_eq!((cluster.dry(1).kind(), cluster.leader()), (RoleKind::Follower, 2));
}

/// "Next-index has no floor: repeated rejects crash the leader": a follower that refuses whatever it is sent,
/// with hints out of thin air, harms neither the leader nor the others.
#[test]
fn endless_refusals_do_not_harm_the_leader() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut cluster =
        Cluster::with_disks(Config::default(), vec![disk(3, (6, None), &[1, 1, 3, 3, 5, 6]); 3]);
    cluster.safety.is_off = true;
    cluster.elect(1);
    for round in 0..3_000u64 {
        if round % 10 == 0 {
            cluster.now_ms += 50;
            cluster.turn(1, |dry| dry.deliver(Tick));
        }
        let Some(mut flight) = (!cluster.wire.is_empty()).then(|| cluster.wire.remove(0)) else { continue };
        if let Packet::Appended { answer, .. } = &mut flight.packet
            && flight.from == PeerId(3)
        {
            let mut any = || [0, 1, 2, 5, 8, 9, 1_000, u64::MAX][rng.random_range(0..8)];
            let prev = at(any(), any());
            let term = (any() % 2 == 0).then(|| Term(any()));
            answer.result = Err(Refusal::Conflict(Conflict { prev, term, first: Index(any()) }));
        }
        cluster.deliver_all([flight]);
    }
    assert_eq!(cluster.leader(), 1);
    cluster.wire.clear();
    let client = cluster.propose(1, data("on"));
    cluster.run_for(200);
    assert!(applied_at(cluster.outcome(client).unwrap()).is_some());
    assert_eq!(cluster.state(3).log().last(), cluster.state(1).log().last());
}

/// "A single node never commits."
#[test]
fn a_single_peer_serves_alone() {
    let mut cluster = Cluster::new(1, Config::default());
    cluster.run_for(1_000);
    let (write, read) = (cluster.propose(1, data("x")), cluster.read(1));
    assert_eq!(cluster.outcome(write).and_then(applied_at), Some(Index(3)));
    assert_eq!(cluster.outcome(read).and_then(applied_at), Some(Index(3)));
    cluster.crash(PeerId(1), 0);
    cluster.start(PeerId(1));
    cluster.run_for(1_000);
    assert_eq!(cluster.peer(1).machine.applied[2].1, data("x"));
}

/// "The log is inconsistent if a node returns in the middle of its repair": it falls after each message of its
/// repair, at any record of what it wrote, and is repaired all the same.
#[test]
fn a_peer_that_falls_in_the_middle_of_its_repair_is_repaired() {
    for kept in 0..4 {
        let config = Config { batch_entries_max: 2, ..Config::default() };
        let disks = vec![
            disk(3, (7, None), &[1, 1, 4, 4, 5, 6, 6]),
            disk(3, (7, None), &[1, 1, 4, 4, 5, 6, 6]),
            disk(3, (7, None), &[1, 1, 2, 2, 3, 3, 3, 3, 3]),
        ];
        let mut cluster = Cluster::with_disks(config, disks);
        cluster.elect_among(1, &[1, 2]);
        for fall in 0..30 {
            let number = cluster.wire.iter().position(|flight| flight.to == PeerId(3));
            if let Some(number) = number {
                let flight = cluster.wire.remove(number);
                cluster.deliver(flight);
                if fall % 2 == 0 {
                    cluster.begin_sync(PeerId(3));
                    cluster.crash(PeerId(3), kept);
                    cluster.start(PeerId(3));
                } else {
                    cluster.end_turn(PeerId(3));
                }
            }
            cluster.settle_except(3);
            cluster.now_ms += 50;
            cluster.turn(1, |dry| dry.deliver(Tick));
        }
        cluster.run_for(1_000);
        let leader = cluster.leader();
        assert_eq!(terms(cluster.state(3).log()), terms(cluster.state(leader).log()), "{kept}");
        assert_eq!(cluster.peers[&PeerId(3)].machine.applied, cluster.peers[&PeerId(leader)].machine.applied);
    }
}

/// "A rejected value may still commit later", "the client is answered before commit": what was refused is in no
/// log, and what is acknowledged is applied.
#[test]
fn what_was_refused_never_happens() {
    let config = Config { uncommitted_entries_max: 4, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    let clients: Vec<_> = (0..20).map(|number| (cluster.propose(1, data(number)), data(number))).collect();
    let elsewhere = cluster.propose(2, data("to a follower"));
    assert!(clients.iter().all(|&(client, _)| cluster.outcome(client).and_then(applied_at).is_none()));
    cluster.run_for(1_000);
    for (client, command) in clients {
        let is_done = cluster.safety.is_committed(&command);
        match cluster.outcome(client).unwrap() {
            Outcome::Busy => assert!(!is_done),
            outcome => assert!(is_done && applied_at(outcome).is_some()),
        }
    }
    assert_eq!(cluster.outcome(elsewhere), Some(&Outcome::NotLeader { leader: Some(PeerId(1)) }));
    assert!(!cluster.safety.is_committed(&data("to a follower")));
}

/// "Value 0 is not supported": an empty command is a command.
#[test]
fn an_empty_command_is_a_command() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.elect(1);
    let client = cluster.propose(1, Command::Data(Data::default()));
    cluster.run_for(100);
    assert_eq!(cluster.outcome(client).and_then(applied_at), Some(Index(3)));
    assert_eq!(cluster.peer(3).machine.applied[2].1, Command::Data(Data::default()));
}

/// "Commit index can move back", "an empty append truncates the log": every message of a busy hour again, in
/// any order. (What may not change is checked after each.)
#[test]
fn a_busy_hour_again_in_any_order_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut cluster = Cluster::new(3, Config { batch_entries_max: 2, ..Config::default() });
    let mut said = Vec::new();
    for leader in [1, 2, 1, 3] {
        cluster.campaign(leader);
        for number in 0..200 {
            if number % 10 == 0 {
                cluster.propose(leader, data(format!("{leader}.{number}")));
            }
            let Some(flight) = (!cluster.wire.is_empty()).then(|| cluster.wire.remove(0)) else { continue };
            said.push(flight.clone());
            cluster.deliver_all([flight]);
        }
    }
    cluster.settle();
    let before: Vec<_> =
        (1..=3).map(|id| (terms(cluster.state(id).log()), cluster.state(id).term())).collect();
    for _ in 0..3_000 {
        let flight = said[rng.random_range(0..said.len())].clone();
        cluster.deliver_all([flight]);
        cluster.wire.clear();
    }
    let after: Vec<_> =
        (1..=3).map(|id| (terms(cluster.state(id).log()), cluster.state(id).term())).collect();
    assert_eq!((before, cluster.leader()), (after, 3));
}
