//! Disks: full, slow, failing, and of another peer (thesis §3.8: what is durable is what safety rests
//! on).

use raft_actors::{
    Cluster,
    error::ClientError,
    observe::Report,
    raft::{Event, RoleKind, Why},
};

use crate::common::{Ledger, Load, PATIENCE, Recording, agree, catches_up, follower, leader, ms, seeds};

/// [42] The leader's disk is full in the middle of a load: another takes over, and the load goes on; a
/// follower's disk is full: nobody notices. With room again they catch up.
#[test]
fn a_full_leader_hands_over() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let full = leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            cluster.disk(full).unwrap().set_full(true);
            let moved = || cluster.leader().is_some_and(|leader| leader != full);
            assert!(cluster.wait_until(ms(1_000), moved).await, "seed {seed}: {}", recording.text());
            let status = cluster.status(full).unwrap();
            assert!(status.disk_full && status.up);
            let held = status.last.index;
            load.more(&cluster, 100).await;
            let status = cluster.status(full).unwrap();
            assert!(status.last.index.0 <= held.0 + 30, "what was under way, no more: {held} {status:?}");
            assert_ne!(status.role, Some(RoleKind::Leader));
            cluster.disk(full).unwrap().set_full(false);
            catches_up(&cluster, full).await;
            assert!(!cluster.status(full).unwrap().disk_full);
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [42] All disks are full: nothing is acknowledged, status and reads are answered, whoever is elected
/// then settles. Once there is room the cluster goes on within a second, without anybody's help.
#[test]
fn a_full_cluster_goes_on_when_there_is_room() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            let fill = |full| {
                cluster.peers().into_iter().for_each(|peer| cluster.disk(peer).unwrap().set_full(full))
            };
            fill(true);
            cluster.run_for(ms(500)).await;
            let acknowledged = load.acknowledged();
            let before = recording.elections();
            cluster.run_for(ms(5_000)).await;
            assert_eq!(load.acknowledged(), acknowledged, "seed {seed}");
            assert!(recording.elections() <= before + 1, "seed {seed}: leadership goes round");
            assert!(cluster.statuses().iter().all(|status| status.up && status.disk_full));
            assert!(cluster.client().query(&()).await.is_ok(), "seed {seed}: reads go on");
            let refused = cluster.client().with_deadline(ms(200)).propose(&9).await;
            assert!(matches!(refused, Err(ClientError::Busy)), "seed {seed}: {refused:?}");

            let old = leader(&cluster).await;
            cluster.kill(old).await;
            let elected = leader(&cluster).await;
            assert_ne!(elected, old);
            cluster.restart(old).await;
            fill(false);
            let goes_on = || load.acknowledged() > acknowledged;
            assert!(cluster.wait_until(ms(1_000), goes_on).await, "seed {seed}: {}", recording.text());
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        let [full, room] = [
            |event: &Event| matches!(event, Event::DiskFull { .. }),
            |event: &Event| matches!(event, Event::RoomAgain { .. }),
        ];
        assert_eq!(
            (recording.count(full), recording.count(room)),
            (3, 2),
            "said once, and a start says nothing"
        );
    }
}

/// [41] A write fails under load, on any peer: the peer acknowledges nothing more and stops, with the
/// reason; the others go on. After the disk was seen to, nothing that was acknowledged is missing.
#[test]
fn a_failed_disk_acknowledges_nothing_more() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).allow_failures();
        let run = cluster.simulate(seed, async |cluster| {
            let leads = leader(&cluster).await;
            let failing = if seed % 2 == 0 { leads } else { follower(&cluster).await };
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            recording.take();
            cluster.disk(failing).unwrap().fail_next_write();
            let stopped = || cluster.status(failing).unwrap().stopped.is_some();
            assert!(cluster.wait_until(PATIENCE, stopped).await, "seed {seed}");
            let status = cluster.status(failing).unwrap();
            assert_eq!((status.up, status.stopped.unwrap().why), (false, Why::DiskFailed));
            load.more(&cluster, 50).await;
            let of_failed = recording.filter(|report| report.peer == failing);
            let stop = of_failed.iter().position(|report| matches!(report.event, Event::PeerStopped { .. }));
            let after: Vec<_> = of_failed.iter().skip(stop.unwrap() + 1).collect();
            let says = |report: &&&Report| matches!(report.event, Event::Sent { .. } | Event::Applied { .. });
            assert_eq!(after.iter().find(says), None, "seed {seed}");

            cluster.disk(failing).unwrap().repair();
            cluster.restart(failing).await;
            catches_up(&cluster, failing).await;
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
    }
}

/// [43] The leader's disk takes two seconds for a sync: heartbeats do not overtake it, the others elect one
/// with a quick disk, and the load goes on.
#[test]
fn leadership_leaves_a_slow_disk() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let slow = leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            cluster.disk(slow).unwrap().set_sync_ms(2_000..=2_000);
            cluster.run_for(ms(1_500)).await;
            assert_ne!(leader(&cluster).await, slow, "seed {seed}: {}", recording.text());
            load.more(&cluster, 100).await;
            cluster.run_for(ms(10_000)).await;
            assert_ne!(leader(&cluster).await, slow, "seed {seed}: it does not come back");
            assert!(recording.elections() <= 4, "seed {seed}: {} elections", recording.elections());
            cluster.disk(slow).unwrap().set_sync_ms(1..=5);
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [32] A voter is killed, and comes back with an empty disk under its old id: it is turned away by those who
/// know it, votes for nobody, and stops with the reason. The others go on, and a peer that comes back with
/// its own disk is welcome, also after all have started anew.
#[test]
fn a_wiped_voter_is_turned_away() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).allow_failures();
        let run = cluster.simulate(seed, async |cluster| {
            let leads = leader(&cluster).await;
            let wiped = if seed % 2 == 0 { leads } else { follower(&cluster).await };
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            cluster.kill(wiped).await;
            cluster.disk(wiped).unwrap().wipe();
            recording.take();
            cluster.restart(wiped).await;
            let stopped = || cluster.status(wiped).unwrap().stopped.is_some();
            assert!(cluster.wait_until(ms(1_000), stopped).await, "seed {seed}: {}", recording.text());
            let reason = cluster.status(wiped).unwrap().stopped.unwrap();
            assert_eq!(reason.why, Why::AnotherDisk);
            assert!(reason.cause.contains("removed from the cluster and added again"), "{reason}");
            load.more(&cluster, 50).await;
            let says = |report: &Report| {
                report.peer == wiped
                    && matches!(report.event, Event::Voted { granted: true, .. } | Event::Sent { .. })
            };
            assert_eq!(recording.filter(says).len(), 0, "seed {seed}");

            // Whoever was away for long is known all the same, also to those who were away too.
            let others: Vec<_> = cluster.peers().into_iter().filter(|&peer| peer != wiped).collect();
            for &peer in &others {
                cluster.kill(peer).await;
            }
            for &peer in &others {
                cluster.restart(peer).await;
            }
            load.more(&cluster, 50).await;
            cluster.restart(wiped).await;
            assert!(cluster.wait_until(ms(1_000), stopped).await, "seed {seed}: it stays out");
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
    }
}
