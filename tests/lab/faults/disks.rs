//! Disks: what a power cut leaves, snapshots that fail, installations that are cut short.

use std::sync::Arc;

use raft_actors::{
    Cluster, Config,
    observe::Report,
    raft::{Event, PeerId, Why},
    storage::{MemoryDisk, Tail},
};

use crate::common::{Ledger, Load, PATIENCE, Recording, agree, catches_up, follower, leader, ms, seeds};

fn small() -> Config {
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries, config.snapshot_chunk_bytes) = (40, 10, 100);
    config
}

/// The power of a follower is cut in the middle of a write, and it comes back: it finds what was asked for,
/// and says so. Nothing that was acknowledged is lost in any case.
#[test]
fn a_power_cut_leaves_what_was_asked_for() {
    for (seed, tail) in seeds(12).zip([Tail::Kept, Tail::Lost, Tail::Torn].into_iter().cycle()) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).sync_ms(5..=9);
        let run = cluster.simulate(seed, async |cluster| {
            let victim = if seed % 2 == 0 { leader(&cluster).await } else { follower(&cluster).await };
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            let disk = cluster.disk(victim).unwrap();
            assert!(cluster.wait_until(PATIENCE, || disk.is_syncing()).await);
            disk.set_tail(tail);
            cluster.kill(victim).await;
            recording.take();
            cluster.restart(victim).await;
            catches_up(&cluster, victim).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        let tails = recording.filter(|report| matches!(report.event, Event::TailLost { .. }));
        let Event::TailLost { records, kept, torn, .. } = tails[0].event else { unreachable!() };
        let is_right = match tail {
            Tail::Kept => kept == records && !torn,
            Tail::Lost => kept == 0 && !torn,
            _ => kept < records && torn,
        };
        assert!(is_right, "{tail:?}: {}", tails[0].event);
    }
}

/// Has a peer fall so far behind that it gets a snapshot, and waits until all of that is on its way to its
/// slow disk.
async fn about_to_install(cluster: &Cluster<Ledger>, load: &Load) -> PeerId {
    let behind = follower(cluster).await;
    cluster.kill(behind).await;
    load.more(cluster, 200).await;
    cluster.restart(behind).await;
    let disk = cluster.disk(behind).unwrap();
    disk.set_sync_ms(30..=30);
    assert!(cluster.wait_until(PATIENCE, || disk.is_installing()).await);
    behind
}

fn of(peer: PeerId, holds: impl Fn(&Event) -> bool) -> impl Fn(&Report) -> bool {
    move |report| report.peer == peer && holds(&report.event)
}

/// A kill lands while a leader's snapshot is being installed: it never was there, and comes once more.
#[test]
fn a_kill_lands_in_an_installation() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).config(small());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            let behind = about_to_install(&cluster, &load).await;
            let disk = cluster.disk(behind).unwrap();
            cluster.run_for(ms(seed)).await;
            assert!(disk.is_installing());
            cluster.kill(behind).await;
            assert!(!disk.is_installing());
            let begun = recording.len();
            let installed = of(behind, |event| matches!(event, Event::SnapshotInstalled { .. }));
            disk.set_sync_ms(1..=5);
            cluster.restart(behind).await;
            let is_replayed = of(behind, |event| matches!(event, Event::Replayed { .. }));
            assert!(cluster.wait_until(PATIENCE, || recording.filter(&is_replayed).len() > 2).await);
            assert_eq!(recording.filter(&installed).len(), 0, "seed {seed}: it never was there");
            catches_up(&cluster, behind).await;
            assert!(recording.reports()[begun..].iter().any(installed), "seed {seed}");
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

fn warned(event: &Event) -> bool {
    matches!(event, Event::Warned { why: Why::DiskFailed, .. })
}

/// A snapshot of a peer's own fails, and one that comes in: the log stays as it was, the peer says so and goes
/// on, and the next one succeeds.
#[test]
fn a_snapshot_that_fails_harms_nobody() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).config(small());
        let run = cluster.simulate(seed, async |cluster| {
            let leads = leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            let before = cluster.status(leads).unwrap().snapshot;
            cluster.disk(leads).unwrap().fail_next_snapshot();
            assert!(cluster.wait_until(PATIENCE, || recording.has(warned)).await);
            assert_eq!(cluster.status(leads).unwrap().snapshot, before);
            let is_taken = || cluster.status(leads).unwrap().snapshot > before;
            assert!(cluster.wait_until(PATIENCE, is_taken).await, "seed {seed}");

            let behind = about_to_install(&cluster, &load).await;
            recording.take();
            cluster.disk(behind).unwrap().fail_next_snapshot();
            let has_failed = || !recording.filter(of(behind, warned)).is_empty();
            assert!(cluster.wait_until(PATIENCE, has_failed).await, "seed {seed}");
            assert!(!recording.has(|event| matches!(event, Event::SnapshotInstalled { .. })));
            cluster.disk(behind).unwrap().set_sync_ms(1..=5);
            catches_up(&cluster, behind).await;
            assert!(recording.has(|event| matches!(event, Event::SnapshotInstalled { .. })), "seed {seed}");
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
    }
}

/// [`Config::snapshot_entries`] more were applied while a snapshot was being written, and nothing comes after
/// them: the next one is taken all the same.
#[test]
fn a_snapshot_that_falls_due_while_another_is_written_is_taken() {
    let recording = Recording::default();
    let mut config = Config::default();
    config.snapshot_entries = 20;
    let cluster = Cluster::of(|_| Ledger::default()).peers(1).observe(recording.clone()).config(config);
    let run = cluster.simulate(1, async |cluster| {
        let leads = leader(&cluster).await;
        let disk: Arc<MemoryDisk> = Arc::new(cluster.disk(leads).unwrap().clone());
        // Snapshots are slow; what is under way of the log is not.
        let begun = || recording.count(|event| matches!(event, Event::SnapshotBegun { .. }));
        let client = cluster.client();
        let mut number = 0;
        while begun() == 0 {
            if number == 17 {
                disk.set_sync_ms(100..=100);
            }
            number += 1;
            client.propose(&number).await.unwrap();
        }
        let proposals: Vec<_> = (100..130)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.propose(&number).await })
            })
            .collect();
        disk.set_sync_ms(1..=1);
        for proposal in proposals {
            proposal.await.unwrap().unwrap();
        }
        let taken = || recording.count(|event| matches!(event, Event::SnapshotTaken { .. }));
        assert_eq!((begun(), taken()), (1, 0), "the first is still being written");
        cluster.run_for(ms(500)).await;
        assert_eq!((begun(), taken()), (2, 2));
        assert!(cluster.status(leads).unwrap().snapshot.0 >= 50);
    });
    run.unwrap();
}
