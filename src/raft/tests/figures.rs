//! The figures of the paper, played. Entry 1 of our logs is the first membership: the paper's entry `i` is
//! our `i + 1`.

use super::{
    cluster::{Cluster, Packet},
    *,
};

/// Figure 7: "when the leader at the top comes to power, any of the scenarios (a-f) could occur in follower
/// logs". Each of them alone, and all at once, is brought to the leader's log, down to the last command.
#[test]
fn figure_7_every_follower_is_brought_to_the_leaders_log() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let expect = [leader, &[8]].concat();
    let play = |followers: &[&[u64]]| {
        let count = followers.len() as u64 + 1;
        let logs = [leader].into_iter().chain(followers.iter().copied());
        let disks = logs.map(|terms| disk(count, (7, None), terms)).collect();
        let mut cluster = Cluster::with_disks(Config::default(), disks);
        cluster.elect(1);
        assert_eq!(cluster.state(1).term(), Term(8));
        cluster.run_for(200);
        for id in 1..=count {
            let log = cluster.state(id).log();
            assert_eq!(terms(log), expect, "{id}");
            assert_eq!(log.all(Index(1), Index(12)).iter().flat_map(Batch::commands).count(), 12);
            assert_eq!(cluster.peers[&PeerId(id)].machine.applied, cluster.peers[&PeerId(1)].machine.applied);
        }
        cluster.happened.get("Refused").copied().unwrap_or(0)
    };
    // "One AppendEntries RPC will be required for each term with conflicting entries" (§5.3).
    for (number, (follower, at_most)) in followers.iter().zip([1, 1, 0, 0, 2, 2]).enumerate() {
        // A peer in agreement, so that the leader can win.
        let refused = play(&[leader, follower]);
        assert!(refused <= at_most, "({}) took {refused} refusals", (b'a' + number as u8) as char);
    }
    play(&followers);
}

/// Figure 8, (a) to (b): S1 was leader of term 2 and gave its entry to S2; S5 won term 3 with S3 and S4 and
/// wrote another entry at the same index. Now S1 wins term 4, (c), and none of its own entries has left.
fn figure_8() -> Cluster {
    let disks = vec![
        disk(5, (2, Some(1)), &[1, 2]),
        disk(5, (2, Some(1)), &[1, 2]),
        disk(5, (3, Some(5)), &[1]),
        disk(5, (3, Some(5)), &[1]),
        disk(5, (3, Some(5)), &[1, 3]),
    ];
    // One entry a message, as in the figure.
    let config = Config { batch_entries_max: 1, pre_vote: false, ..Config::default() };
    let mut cluster = Cluster::with_disks(config, disks);
    cluster.crash(PeerId(5), 0);
    for _ in 0..2 {
        cluster.campaign(1);
        cluster.settle_until(|packet| matches!(packet, Packet::Append { .. }));
        if cluster.dry(1).kind() == RoleKind::Leader {
            break;
        }
    }
    assert_eq!((cluster.leader(), cluster.state(1).term()), (1, Term(4)));
    assert_eq!(terms(cluster.state(1).log()), [1, 2, 4]);
    cluster
}

/// Whether a message carries an entry of term 4.
fn is_of_term_4(packet: &Packet) -> bool {
    matches!(packet, Packet::Append { slice, .. } if slice.batches.iter().any(|batch| batch.term() == Term(4)))
}

/// [12] Figure 8, (c) and (d): "the log entry from term 2 has been replicated on a majority of the servers,
/// but it is not committed. If S1 crashes as in (d), S5 could be elected leader and overwrite the entry".
#[test]
fn figure_8_an_entry_of_an_earlier_term_is_not_committed_by_count() {
    let mut cluster = figure_8();
    let two = Position::new(2, 3);
    // S1 finds out what the others hold and gives S3 the entry of term 2: none of term 4 arrives.
    for _ in 0..20 {
        cluster.now_ms += 50;
        cluster.turn(1, |dry| dry.deliver(Tick));
        while let Some(number) =
            cluster.wire.iter().position(|flight| !is_of_term_4(&flight.packet) && flight.to != PeerId(4))
        {
            let flight = cluster.wire.remove(number);
            cluster.deliver_all([flight]);
        }
    }
    let holds =
        |cluster: &Cluster| (1..=4).filter(|&id| cluster.state(id).log().has(two)).collect::<Vec<_>>();
    assert_eq!(holds(&cluster), [1, 2, 3], "a majority");
    assert!(cluster.ids()[..4].iter().all(|id| cluster.state(id.0).commit() == Index(0)));
    cluster.take(|_| true);
    cluster.crash(PeerId(1), 0);
    cluster.start(PeerId(5));
    cluster.elect_among(5, &[2, 3, 4, 5]);
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.state(5).term()), (5, Term(5)));
    cluster.run_for(300);
    cluster.start(PeerId(1));
    cluster.run_for(300);
    for id in 1..=5 {
        assert_eq!(terms(cluster.state(id).log())[..2], [1, 3], "{id}: the entry of term 2 is gone");
        assert_eq!(cluster.peer(id).machine.applied[2].0, Position::new(3, 3));
    }
}

/// Figure 8, (e): "if S1 replicates an entry from its current term on a majority of the servers before
/// crashing, then this entry is committed (S5 cannot win an election). At this point all preceding entries
/// in the log are committed as well."
#[test]
fn figure_8_an_entry_of_its_own_term_commits_all_before_it() {
    let mut cluster = figure_8();
    cluster.run_for(100);
    assert_eq!(cluster.state(1).commit(), Index(4));
    cluster.crash(PeerId(1), 0);
    cluster.start(PeerId(5));
    for _ in 0..5 {
        cluster.campaign(5);
        cluster.settle_until(|packet| matches!(packet, Packet::Append { .. }));
        assert_ne!(cluster.dry(5).kind(), RoleKind::Leader);
    }
    cluster.run_for(2_000);
    assert_ne!(cluster.leader(), 5);
    assert_eq!(terms(cluster.state(5).log())[..3], [1, 2, 4]);
    assert_eq!(cluster.peer(5).machine.applied[2].0, Position::new(2, 3));
}

/// Figure 3, the last line, with the paper's own argument (Figure 9): what a leader committed is in the log
/// of whoever leads next, whichever of the voters that is.
#[test]
fn figure_9_whoever_leads_next_holds_what_was_committed() {
    for next in 2..=5 {
        let mut cluster = Cluster::new(5, Config::default());
        cluster.elect(1);
        // Only 2 and 3 hear of it.
        cluster.part(&[1], &[4, 5]);
        let client = cluster.propose(1, data("committed"));
        cluster.settle();
        assert!(machine::applied_at(cluster.outcome(client).unwrap()).is_some());
        cluster.crash(PeerId(1), 0);
        cluster.cut.clear();
        cluster.campaign(next);
        cluster.settle();
        cluster.run_for(1_000);
        let leader = cluster.leader();
        assert!([2, 3].contains(&leader), "{leader} lacks it and must not lead");
        assert!(cluster.state(leader).log().last().index > Index(3));
        assert!(
            cluster.peer(leader).machine.applied.iter().any(|(_, command)| *command == data("committed"))
        );
    }
}
