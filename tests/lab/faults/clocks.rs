//! Clocks that run faster or slower than others.

use raft_actors::{
    Cluster,
    cluster::Builder,
    observe::Report,
    raft::{Event, PeerId, RoleKind},
};

use crate::common::{Ledger, Load, Recording, agree, catches_up, follower, leader, ms, seeds};

fn ledgers(recording: &Recording) -> Builder<Ledger> {
    Cluster::of(|_| Ledger::default()).observe(recording.clone())
}

fn canvassed(recording: &Recording) -> Vec<Report> {
    recording.filter(|report| matches!(report.event, Event::Canvassed { .. }))
}

/// Twice as fast, its longest timeout is over before the shortest of others. Whether they listen to it is
/// for their own clocks to say.
#[test]
fn a_peer_with_a_fast_clock_campaigns_first() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(seed, async |cluster| {
            let (old, fast) = (leader(&cluster).await, follower(&cluster).await);
            cluster.set_clock_rate(fast, 2_000);
            cluster.run_for(ms(2_000)).await;
            assert_eq!(cluster.leader(), Some(old), "seed {seed}");
            cluster.kill(old).await;
            recording.take();
            leader(&cluster).await;
            assert_eq!(canvassed(&recording)[0].peer, fast, "seed {seed}");
        });
        run.unwrap();
    }
}

/// Once in a while: how long a peer that hears nobody waits, in milliseconds of the cluster.
async fn patience_ms(cluster: &Cluster<Ledger>, recording: &Recording, peer: PeerId) -> u64 {
    let _cut = cluster.isolate(peer);
    recording.take();
    let before = cluster.elapsed();
    let asks = || canvassed(recording).iter().any(|report| report.peer == peer);
    assert!(cluster.wait_until(ms(5_000), asks).await);
    (cluster.elapsed() - before).as_millis() as u64
}

/// A clock is the machine's: a peer that was killed comes back with the same.
#[test]
fn a_rate_outlives_a_kill() {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        leader(&cluster).await;
        let slow = follower(&cluster).await;
        assert!(patience_ms(&cluster, &recording, slow).await <= 300);
        cluster.kill(slow).await;
        cluster.set_clock_rate(slow, 0);
        assert!(recording.has(|event| matches!(event, Event::ClockSkewed { per_mille: 100, .. })));
        cluster.restart(slow).await;
        catches_up(&cluster, slow).await;
        cluster.run_for(ms(4_000)).await;
        assert!(patience_ms(&cluster, &recording, slow).await > 1_000);
    });
    run.unwrap();
}

/// A timer that sleeps hears of the change: what a slow clock put off for long is soon over on a fast one.
#[test]
fn a_change_is_heard_by_a_timer_that_sleeps() {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        leader(&cluster).await;
        let slow = follower(&cluster).await;
        cluster.set_clock_rate(slow, 100);
        cluster.run_for(ms(500)).await;
        let _cut = cluster.isolate(slow);
        recording.take();
        cluster.run_for(ms(1_000)).await;
        assert!(canvassed(&recording).is_empty(), "its shortest timeout takes 1.5 s");
        cluster.set_clock_rate(slow, 10_000);
        cluster.run_for(ms(40)).await;
        assert_eq!(cluster.status(slow).unwrap().role, Some(RoleKind::PreCandidate));
    });
    run.unwrap();
}

/// Clocks drift apart under load, that of the leader too: whoever leads, nothing is lost or done twice.
#[test]
fn clocks_that_drift_harm_nobody() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for rates in [[500, 1_000, 2_000], [2_000, 500, 700], [10_000, 100, 1_000], [1_000; 3]] {
                for (peer, rate) in cluster.peers().into_iter().zip(rates) {
                    cluster.set_clock_rate(peer, rate);
                }
                cluster.run_for(ms(2_000)).await;
                let victim = follower(&cluster).await;
                cluster.kill(victim).await;
                cluster.restart(victim).await;
            }
            load.more(&cluster, 50).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}
