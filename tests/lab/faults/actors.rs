//! Actors that stand still, and actors that are slow.

use std::time::Duration;

use raft_actors::{
    Cluster,
    cluster::{Builder, Crash},
    observe::Report,
    raft::{ActorKind, Event, MessageKind, PeerId, RoleKind, Why},
};

use crate::common::{
    Ledger, Load, PATIENCE, Recording, agree, catches_up, follower, leader, ms, propose_all, seeds,
};

const KINDS: [ActorKind; 5] =
    [ActorKind::Role, ActorKind::Replicator, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine];

fn ledgers(recording: &Recording) -> Builder<Ledger> {
    Cluster::of(|_| Ledger::default()).observe(recording.clone())
}

/// What only an actor of this kind does.
fn is_work_of(kind: ActorKind, event: &Event) -> bool {
    match kind {
        ActorKind::Role => {
            matches!(event, Event::SyncBegun { .. } | Event::Voted { .. } | Event::Committed { .. })
        }
        ActorKind::Replicator => {
            matches!(event, Event::Sent { kind: MessageKind::AppendEntries | MessageKind::Heartbeat, .. })
        }
        ActorKind::Timer => matches!(event, Event::Canvassed { .. } | Event::Campaigned { .. }),
        ActorKind::Storage => matches!(event, Event::Synced { .. }),
        _ => matches!(event, Event::Applied { .. }),
    }
}

fn of(peer: PeerId, kind: ActorKind) -> impl Fn(&Report) -> bool {
    move |report| report.peer == peer && is_work_of(kind, &report.event)
}

/// Who stands still does nothing until the time is over, and then everything that waited.
#[test]
fn an_actor_that_stands_still_does_nothing() {
    for kind in KINDS {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(1, async |cluster| {
            let leads = leader(&cluster).await;
            let victim = if kind == ActorKind::Replicator { leads } else { follower(&cluster).await };
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            // Nothing rings for a follower as long as its leader is heard.
            let cut = (kind == ActorKind::Timer).then(|| cluster.isolate(victim));
            cluster.stall(victim, kind, ms(1_000));
            recording.take();
            cluster.run_for(ms(999)).await;
            let work = recording.filter(of(victim, kind));
            assert!(work.is_empty(), "{kind}: {}", work[0]);
            let works = || !recording.filter(of(victim, kind)).is_empty();
            if kind != ActorKind::Replicator {
                assert!(cluster.wait_until(ms(400), works).await, "{kind} does not go on");
            }
            assert_eq!(cluster.leader() == Some(leads), kind != ActorKind::Replicator, "{kind}");
            drop(cut);
            catches_up(&cluster, victim).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
    }
}

/// A leader whose role stands still is deposed, and finds out when it goes on: it leads nobody, and its
/// clock that jumped brings no election of its own about.
#[test]
fn a_leader_that_stood_still_makes_room() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            cluster.stall(old, ActorKind::Role, ms(2_000));
            cluster.run_for(ms(1_000)).await;
            let new = leader(&cluster).await;
            assert_ne!(new, old, "seed {seed}");
            cluster.run_for(ms(3_000)).await;
            assert_eq!(cluster.leader(), Some(new), "seed {seed}");
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert!(recording.has(|event| matches!(
            event,
            Event::Stalled { actor: ActorKind::Role, ms: 2_000, why: Why::Injected }
        )));
    }
}

/// A crash lands while its actor stands still, and so does the power cut. Whoever takes the place of the
/// fallen stands still for the rest of the time.
#[test]
fn crashes_and_kills_land_in_a_stall() {
    for (kind, how) in KINDS.into_iter().zip([Crash::Panic, Crash::Stop].into_iter().cycle()) {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(1, async |cluster| {
            let leads = leader(&cluster).await;
            let victim = if kind == ActorKind::Replicator { leads } else { follower(&cluster).await };
            propose_all(&cluster, 1..=5).await;
            cluster.stall(victim, kind, ms(500));
            cluster.run_for(ms(50)).await;
            cluster.crash_with(victim, kind, how);
            cluster.run_for(ms(1)).await;
            let fell = |event: &Event| matches!(event, Event::Crashed { actor, .. } if *actor == kind);
            assert_eq!(recording.count(fell), 1, "{kind}");
            recording.take();
            cluster.run_for(ms(400)).await;
            let work = recording.filter(of(victim, kind));
            assert!(work.is_empty(), "{kind}: {}", work[0]);
            let before = cluster.elapsed();
            cluster.kill(victim).await;
            assert_eq!(cluster.elapsed(), before, "{kind}: a kill waits for nobody");
            cluster.restart(victim).await;
            catches_up(&cluster, victim).await;
            let told = propose_all(&cluster, 6..=10).await;
            agree(&cluster, &told).await;
        });
        run.unwrap();
    }
}

/// Each poll of a slow machine is put off, from the start to the end of it: also that of one that was rebuilt.
#[test]
fn a_slow_actor_works_all_the_same() {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        let leads = leader(&cluster).await;
        cluster.slow(leads, ActorKind::Machine, ms(50));
        let took = async |number| {
            let before = cluster.elapsed();
            propose_all(&cluster, [number]).await;
            cluster.elapsed() - before
        };
        for number in 1..=3 {
            assert!((50..70).contains(&took(number).await.as_millis()), "{number}");
        }
        cluster.crash(leads, ActorKind::Machine);
        assert!(took(4).await >= ms(50));
        catches_up(&cluster, leads).await;
        cluster.slow(leads, ActorKind::Machine, Duration::ZERO);
        cluster.slow(leads, ActorKind::Machine, Duration::ZERO);
        cluster.run_for(ms(100)).await;
        for number in 5..=7 {
            assert!(took(number).await < ms(20), "{number}");
        }
        agree(&cluster, &[]).await;
    });
    run.unwrap();
    let slowed = recording.filter(|report| matches!(report.event, Event::Slowed { .. }));
    let texts: Vec<_> = slowed.iter().map(|report| report.event.to_string()).collect();
    assert_eq!(
        texts,
        ["Slowed actor=machine ms=50: it was injected", "Slowed actor=machine ms=0: the fault is over",]
    );
}

/// Whichever actor is slow, and however much: the cluster goes on, safely, and is as it was afterwards.
#[test]
fn slow_actors_harm_nobody() {
    for (seed, &kind) in seeds(18).zip(ActorKind::ALL.iter().cycle()) {
        let recording = Recording::default();
        let run = ledgers(&recording).simulate(seed, async |cluster| {
            let leads = leader(&cluster).await;
            let victim = if seed % 2 == 0 { leads } else { follower(&cluster).await };
            let load = Load::start(&cluster);
            load.more(&cluster, 20).await;
            for slow in [5, 40, 300] {
                cluster.slow(victim, kind, ms(slow));
                cluster.run_for(ms(1_500)).await;
            }
            cluster.slow(victim, kind, Duration::ZERO);
            load.more(&cluster, 20).await;
            catches_up(&cluster, victim).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// A follower that is slow stays slow in whatever role it comes to hold, and after a kill it is not any more.
#[test]
fn a_slow_role_stays_slow_until_its_peer_is_killed() {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        let victim = follower(&cluster).await;
        cluster.slow(victim, ActorKind::Role, ms(30));
        let cut = cluster.isolate(victim);
        let canvasses = || cluster.status(victim).unwrap().role == Some(RoleKind::PreCandidate);
        assert!(cluster.wait_until(PATIENCE, canvasses).await);
        cut.heal();
        let answer_ms = async || {
            recording.take();
            cluster.run_for(ms(600)).await;
            let heard = |kind| move |report: &Report| matches!(&report.event, Event::Received { kind: is, .. } | Event::Sent { kind: is, .. } if *is == kind);
            let mine = recording.filter(|report| report.peer == victim);
            let beat = mine.iter().find(|report| heard(MessageKind::Heartbeat)(report)).unwrap();
            let after = mine.iter().filter(|report| report.seq > beat.seq);
            let answer = after.into_iter().find(|report| heard(MessageKind::Appended)(report)).unwrap();
            (answer.at_us - beat.at_us) / 1_000
        };
        cluster.run_for(ms(500)).await;
        assert!(answer_ms().await >= 30);
        cluster.kill(victim).await;
        cluster.restart(victim).await;
        catches_up(&cluster, victim).await;
        assert!(answer_ms().await < 30);
    });
    run.unwrap();
    recording.assert_safe();
}
