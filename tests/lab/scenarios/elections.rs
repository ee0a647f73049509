//! Elections (§5.2; thesis §3.10, §4.2.3, §6.2, §9.6).

use raft_actors::{
    Cluster, Config,
    cluster::Builder,
    error::TransferError,
    raft::{Event, MessageKind, PeerId, RoleKind, Term},
    transport::faults::Rule,
};

use crate::common::{
    Ledger, Load, PATIENCE, Recording, agree, follower, in_role, leader, ms, propose_all, seeds,
};

/// The longest election timeout.
const TIMEOUT_MS: u64 = 300;

fn ledgers(recording: &Recording) -> Builder<Ledger> {
    Cluster::of(|_| Ledger::default()).observe(recording.clone())
}

/// Nobody asks before it campaigns, and timeouts lie close together: many candidates in each term.
fn crowded() -> Config {
    let mut config = Config::default();
    (config.pre_vote, config.election_timeout_ms) = (false, 150..180);
    config
}

/// Who sent a message for which this holds, once somebody has.
async fn sender(
    cluster: &Cluster<Ledger>,
    recording: &Recording,
    since: usize,
    holds: impl Fn(MessageKind, &str) -> bool,
) -> PeerId {
    let sent = || {
        let said = |event: &Event| matches!(event, Event::Sent { kind, what, .. } if holds(*kind, what));
        recording.reports()[since..].iter().rfind(|report| said(&report.event)).map(|report| report.peer)
    };
    assert!(cluster.wait_until(PATIENCE, || sent().is_some()).await);
    sent().unwrap()
}

/// [1], [2] Whoever has said that it votes is killed at once, and comes back: it votes for nobody else
/// in that term, and never speaks in an earlier one. `assert_safe` looks at every message for that.
#[test]
fn a_voter_that_was_killed_votes_for_nobody_else() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(5).config(crowded()).simulate(seed, async |cluster| {
            for _ in 0..3 {
                let since = recording.len();
                let grants = |kind, what: &str| kind == MessageKind::Voted && what.ends_with("granted=true");
                let voter = sender(&cluster, &recording, since, grants).await;
                cluster.kill(voter).await;
                cluster.restart(voter).await;
                let leader = leader(&cluster).await;
                cluster.kill(leader).await;
                cluster.restart(leader).await;
            }
            agree(&cluster, &propose_all(&cluster, 1..=3).await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [3] Whoever has asked for votes has voted for itself: killed and back, it votes for nobody else.
#[test]
fn a_candidate_that_was_killed_votes_for_nobody_else() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(5).config(crowded()).simulate(seed, async |cluster| {
            let asks = |kind, _: &str| kind == MessageKind::RequestVote;
            for _ in 0..3 {
                let candidate = sender(&cluster, &recording, 0, asks).await;
                cluster.kill(candidate).await;
                cluster.restart(candidate).await;
                cluster.run_for(ms(200)).await;
            }
            agree(&cluster, &propose_all(&cluster, 1..=3).await).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert!(recording.has(|event| matches!(event, Event::Voted { granted: true, .. })));
    }
}

/// [4] Two of five peers are up, and every vote arrives twice: two votes are two votes.
#[test]
fn a_vote_that_arrives_twice_counts_once() {
    for pre_vote in [true, false] {
        let recording = Recording::default();
        let mut config = Config::default();
        config.pre_vote = pre_vote;
        let run = ledgers(&recording).peers(5).config(config).simulate(1, async |cluster| {
            for peer in [3, 4, 5] {
                cluster.kill(PeerId(peer)).await;
            }
            let votes = [MessageKind::Voted, MessageKind::PreVoted];
            let _doubled = cluster.fault(Rule::new().duplicate(1.0).kinds(votes));
            cluster.run_for(ms(5_000)).await;
        });
        run.unwrap();
        assert!(recording.has(|event| matches!(event, Event::Doubled { .. })));
        assert_eq!(recording.elections(), 0);
    }
}

/// [5] Votes take longer than elections: each arrives when its candidate is in a later term already,
/// and counts for nothing there. When they are fast again there is a leader.
#[test]
fn a_late_vote_counts_in_no_other_term() {
    let recording = Recording::default();
    let mut config = Config::default();
    config.pre_vote = false;
    let run = ledgers(&recording).config(config).simulate(1, async |cluster| {
        let late = cluster.fault(Rule::new().delay_ms(TIMEOUT_MS..=TIMEOUT_MS).kind(MessageKind::Voted));
        cluster.run_for(ms(10_000)).await;
        let granted = |event: &Event| {
            matches!(event, Event::Received { kind: MessageKind::Voted, what, .. } if what.ends_with("granted=true"))
        };
        assert!(recording.count(granted) > 10, "grants do arrive");
        assert_eq!(recording.elections(), 0);
        late.heal();
        leader(&cluster).await;
    });
    run.unwrap();
    recording.assert_safe();
}

/// [6] A peer reaches only one other, for a minute: the leader stays, and so does its term.
#[test]
fn a_partly_connected_peer_changes_nothing() {
    let recording = Recording::default();
    let run = ledgers(&recording).peers(5).simulate(1, async |cluster| {
        let leader = leader(&cluster).await;
        let term = cluster.status(leader).unwrap().term;
        let lone = follower(&cluster).await;
        let others = cluster.peers().into_iter().filter(|&peer| peer != lone && peer != leader);
        let unreachable: Vec<_> = others.skip(1).chain([leader]).collect();
        let _cut = cluster.partition([lone], unreachable);
        recording.take();
        for minute in 1..=60 {
            propose_all(&cluster, [minute]).await;
            cluster.run_for(ms(1_000)).await;
        }
        assert!(recording.has(|event| matches!(event, Event::Canvassed { .. })), "it does try");
        assert_eq!(cluster.leader(), Some(leader));
        assert_eq!(cluster.status(leader).unwrap().term, term);
    });
    run.unwrap();
    assert_eq!(recording.elections(), 0);
}

/// [7] A peer is cut off for a hundred election timeouts, under load. Back again it raises no term, and
/// nobody's write fails.
#[test]
fn a_peer_that_was_away_returns_quietly() {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        let away = follower(&cluster).await;
        let mut told = Vec::new();
        let cut = cluster.isolate(away);
        for number in 1..=100 {
            told.extend(propose_all(&cluster, [number]).await);
            cluster.run_for(ms(TIMEOUT_MS)).await;
        }
        cut.heal();
        for number in 101..=150 {
            told.extend(propose_all(&cluster, [number]).await);
            cluster.run_for(ms(20)).await;
        }
        agree(&cluster, &told).await;
    });
    run.unwrap();
    assert_eq!((recording.elections(), recording.term()), (1, Term(1)));
    recording.assert_safe();
}

/// [8] A peer without PreVote was cut off and is far ahead in terms, with the shortest log; the others
/// were cut off from each other too. When all is healed a leader stands within ten timeouts, and it is
/// not that peer.
#[test]
fn the_highest_term_with_the_shortest_log_blocks_nobody() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let mut config = Config::default();
        config.pre_vote = false;
        let run = ledgers(&recording).config(config).simulate(seed, async |cluster| {
            let ahead = follower(&cluster).await;
            let cut = cluster.isolate(ahead);
            let told = propose_all(&cluster, 1..=5).await;
            cluster.run_for(ms(20 * TIMEOUT_MS)).await;
            cut.heal();
            cluster.run_for(ms(10 * TIMEOUT_MS)).await;
            let leader = cluster.leader().expect("a leader stands");
            assert_ne!(leader, ahead);
            agree(&cluster, &told).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [9] A leader can send and can't hear. It steps down within its longest election timeout and a
/// heartbeat, and then another leads.
#[test]
fn a_leader_that_hears_nobody_makes_room() {
    for peers in [2, 3, 5] {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(peers).simulate(1, async |cluster| {
            let old = leader(&cluster).await;
            let others: Vec<_> = cluster.peers().into_iter().filter(|&peer| peer != old).collect();
            let deaf = cluster.fault(Rule::new().cut().from(others).to([old]));
            cluster.run_for(ms(TIMEOUT_MS + 50)).await;
            assert_ne!(cluster.status(old).unwrap().role, Some(RoleKind::Leader));
            if peers > 2 {
                cluster.run_for(ms(3 * TIMEOUT_MS)).await;
                assert!(cluster.leader().is_some_and(|leader| leader != old));
            }
            deaf.heal();
            agree(&cluster, &propose_all(&cluster, 1..=3).await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [10] Cut in halves nobody commits; healed there is a leader within five timeouts.
#[test]
fn an_even_split_commits_nothing() {
    for (peers, seed) in [2, 4, 6, 8].into_iter().flat_map(|peers| seeds(3).map(move |seed| (peers, seed))) {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(peers).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let told = propose_all(&cluster, 1..=3).await;
            let all = cluster.peers();
            let (one, other) = all.split_at(peers / 2);
            let cut = cluster.partition(one.to_vec(), other.to_vec());
            cluster.run_for(ms(TIMEOUT_MS)).await;
            recording.take();
            assert!(cluster.client().with_deadline(ms(2_000)).propose(&4).await.is_err());
            assert!(!recording.has(|event| matches!(event, Event::Committed { why, .. } if *why == raft_actors::raft::Why::QuorumHolds)));
            cut.heal();
            assert!(cluster.wait_for_leader(ms(5 * TIMEOUT_MS)).await.is_some());
            agree(&cluster, &told).await;
        });
        run.unwrap();
    }
}

/// [11] Leadership is handed round under load: nothing is lost or doubled.
#[test]
fn transfers_under_load_lose_nothing() {
    for seed in seeds(5) {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(5).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            let mut handed_over = 0;
            for round in 0..20u64 {
                load.more(&cluster, 10).await;
                leader(&cluster).await;
                let target = PeerId(round % 5 + 1);
                handed_over += u64::from(cluster.transfer(Some(target)).await.is_ok());
            }
            assert!(handed_over >= 15, "{handed_over}");
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [11] A transfer to a dead peer ends within an election timeout, and writes resume.
#[test]
fn a_transfer_to_a_dead_peer_ends_in_time() {
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        let (old, dead) = (leader(&cluster).await, follower(&cluster).await);
        cluster.kill(dead).await;
        let began = cluster.elapsed();
        assert_eq!(cluster.transfer(Some(dead)).await, Err(TransferError::TimedOut));
        assert!(cluster.elapsed() - began <= ms(TIMEOUT_MS + 10));
        propose_all(&cluster, 1..=3).await;
        in_role(&cluster, old, RoleKind::Leader).await;
        assert_eq!(cluster.transfer(Some(PeerId(77))).await, Err(TransferError::NotAVoter));
    });
    run.unwrap();
}
