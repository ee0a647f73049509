//! Disks: full, slow, failing, and of another peer (thesis §3.8: what is durable is what safety rests
//! on).

use raft_actors::{
    Cluster,
    error::ClientError,
    raft::{Event, PeerId, RoleKind},
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
