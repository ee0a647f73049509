//! Actors and runtime: floods, recovery, pauses, stops.

use raft_actors::{
    Cluster, Config,
    error::ClientError,
    observe::Report,
    raft::{ActorKind, Event, MessageKind, PeerId},
};

use crate::common::{
    Ledger, Load, PATIENCE, Recording, Told, agree, catches_up, follower, leader, ms, propose_all, seeds,
};

/// [46] A hundred thousand proposals come while the leader's disk writes for a while: what the peer has
/// no room for is refused, at once and with the reason; the rest is done; nobody misses a heartbeat.
#[test]
fn a_flood_is_refused_and_heartbeats_go_on() {
    const FLOOD: u64 = 100_000;
    let recording = Recording::default();
    let mut config = Config::default();
    config.inbox_entries_max = 1_000;
    let cluster = Cluster::of(|_| Ledger::default()).config(config).observe(recording.clone());
    let run = cluster.simulate(1, async |cluster| {
        leader(&cluster).await;
        let mut told = propose_all(&cluster, [0]).await;
        let (client, disk) = (cluster.client(), cluster.disk(leader(&cluster).await).unwrap());
        disk.hang();
        let proposals: Vec<_> = (1..=FLOOD)
            .map(|number| {
                let client = client.clone();
                (number, tokio::spawn(async move { client.propose(&number).await }))
            })
            .collect();
        cluster.run_for(ms(50)).await;
        let answered = proposals.iter().filter(|(_, proposal)| proposal.is_finished()).count() as u64;
        assert!(answered >= FLOOD - 3_000, "only {answered} were refused at once");
        disk.resume();
        let mut refused = 0;
        for (number, proposal) in proposals {
            let outcome = proposal.await.unwrap();
            refused += u64::from(outcome == Err(ClientError::Busy));
            told.push(Told { number, outcome, by_session: false });
        }
        assert!(refused < FLOOD);
        let ledger = agree(&cluster, &told).await;
        assert_eq!(ledger.len() as u64, FLOOD - refused + 1);
    });
    run.unwrap();
    assert_eq!(recording.elections(), 1);
    let leads = |kind: MessageKind| matches!(kind, MessageKind::Heartbeat | MessageKind::AppendEntries);
    let sent = recording.filter(|report| {
        matches!(report.event, Event::Sent { kind, to, .. } if leads(kind) && to == PeerId(2))
            && report.peer == PeerId(1)
    });
    let pause_us = sent.windows(2).map(|pair| pair[1].at_us - pair[0].at_us).max().unwrap_or_default();
    assert!(pause_us < 150_000, "{pause_us} us without a sign of life");
}

/// [48] Peers are asked for votes, sent entries and asked by clients while they recover from slow
/// disks: they say nothing before they know what they knew. (`assert_safe` looks at each message.)
#[test]
fn who_recovers_says_nothing() {
    for seed in seeds(5) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).sync_ms(20..=60).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for actor in [ActorKind::Role, ActorKind::Storage, ActorKind::Role] {
                load.more(&cluster, 5).await;
                cluster.crash(follower(&cluster).await, actor);
                cluster.crash(leader(&cluster).await, actor);
            }
            load.more(&cluster, 5).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        recording.assert_all_recovered();
        let at = |holds: fn(&Event) -> bool| recording.filter(|report| holds(&report.event)).len();
        assert!(at(|event| matches!(event, Event::Received { .. })) > 0);
    }
}

/// A peer falls again and again while it is sent a snapshot, piece by piece: a piece that arrives while
/// it recovers is not taken, for it does not know its term yet; the next heartbeat sends it again.
#[test]
fn who_recovers_takes_no_snapshot() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.snapshot_entries, config.trail_entries, config.snapshot_chunk_bytes) = (20, 0, 16);
        let cluster = Cluster::of(|_| Ledger::default()).config(config).observe(recording.clone());
        let run = cluster.sync_ms(5..=15).simulate(seed, async |cluster| {
            let away = follower(&cluster).await;
            cluster.kill(away).await;
            let mut told = propose_all(&cluster, 1..=60).await;
            cluster.restart(away).await;
            for round in 0..8 {
                let since = recording.len();
                let sent = |report: &Report| {
                    matches!(report.event, Event::Sent { kind: MessageKind::InstallSnapshot, .. })
                };
                let is_sent = || recording.reports()[since..].iter().any(sent);
                cluster.wait_until(ms(2_000), is_sent).await;
                cluster.run_for(ms(round % 4)).await;
                if round % 2 == 0 {
                    cluster.crash(away, ActorKind::Role);
                } else {
                    cluster.kill(away).await;
                    cluster.restart(away).await;
                }
            }
            told.extend(propose_all(&cluster, 61..=70).await);
            catches_up(&cluster, away).await;
            agree(&cluster, &told).await;
        });
        run.unwrap();
        recording.assert_safe();
        recording.assert_all_recovered();
        assert!(recording.has(|event| matches!(event, Event::SnapshotInstalled { .. })));
    }
}

/// An actor falls while its peer still recovers from the last fall: it recovers from that too.
#[test]
fn who_recovers_may_fall_again() {
    for (seed, actor) in
        seeds(6).zip([ActorKind::Storage, ActorKind::Machine, ActorKind::Timer].into_iter().cycle())
    {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).sync_ms(20..=40).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let victim = follower(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 10).await;
            cluster.crash(victim, ActorKind::Role);
            let recovers = || cluster.status(victim).is_some_and(|status| status.role.is_none());
            assert!(cluster.wait_until(PATIENCE, recovers).await);
            cluster.crash(victim, actor);
            cluster.run_for(ms(5)).await;
            cluster.crash(victim, actor);
            load.more(&cluster, 10).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        recording.assert_all_recovered();
        let landed = recording.crashes(actor, None).0;
        assert!(landed > 0, "no {actor} fell during recovery:\n{}", recording.text());
    }
}

/// [49] A leader stands still for more than three election timeouts, with proposals under way, and
/// goes on: it acknowledges nothing that the next leader did not commit.
#[test]
fn a_leader_that_stood_still_acknowledges_nothing() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            let mut told = propose_all(&cluster, 1..=3).await;
            cluster.disk(old).unwrap().hang();
            let client = cluster.client();
            let pending: Vec<_> = (100..110u64)
                .map(|number| {
                    let client = client.clone();
                    (number, tokio::spawn(async move { client.propose(&number).await }))
                })
                .collect();
            cluster.run_for(ms(1_000)).await;
            assert_ne!(cluster.leader(), Some(old));
            cluster.disk(old).unwrap().resume();
            for (number, pending) in pending {
                told.push(Told { number, outcome: pending.await.unwrap(), by_session: false });
            }
            agree(&cluster, &told).await;
            let acknowledged = recording
                .filter(|report| report.peer == old && matches!(report.event, Event::Committed { .. }));
            let term = acknowledged.last().unwrap().term;
            assert!(term > raft_actors::raft::Term(1), "it commits again as a follower of the next term");
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [50] Peers are stopped in turn and started again under load, as in an upgrade: leadership is handed
/// over, nothing that was acknowledged is lost, and each stop takes well below five seconds.
#[test]
fn every_peer_stops_in_turn_under_load() {
    for seed in seeds(5) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for round in 0..6 {
                load.more(&cluster, 20).await;
                let peer = if round % 2 == 0 { leader(&cluster).await } else { follower(&cluster).await };
                let (began, leads) = (cluster.elapsed(), cluster.leader() == Some(peer));
                cluster.stop(peer).await;
                assert!(cluster.elapsed() - began < ms(1_000));
                load.more(&cluster, 20).await;
                // Nobody had to wait for an election timeout.
                assert!(!leads || cluster.elapsed() - began < ms(150), "{:?}", cluster.elapsed() - began);
                cluster.restart(peer).await;
                catches_up(&cluster, peer).await;
            }
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert!(recording.count(|event| matches!(event, Event::TransferOrdered { .. })) >= 3);
    }
}
