//! The same seed gives the same run, event by event and field by field: crashes, kills, faults,
//! sessions, snapshots and all. A run that can be repeated can be understood.

use crate::common::{Books, Ledger, LedgerActor, Load, Recording, agree, follower, leader, ms, seeds};
use raft_actors::{
    Cluster, Config,
    cluster::{Builder, Crash},
    observe::Report,
    raft::{ActorKind, Event, MessageKind, Why},
    storage::Tail,
    transport::faults::Rule,
};

/// Everything that can happen in one run, in an order that depends on nothing but the seed.
async fn everything<I: Books>(cluster: Cluster<I>) -> Vec<u64> {
    leader(&cluster).await;
    let load = Load::start(&cluster);
    for actor in
        [ActorKind::Role, ActorKind::Storage, ActorKind::Machine, ActorKind::Replicator, ActorKind::Timer]
    {
        load.more(&cluster, 10).await;
        cluster.crash(leader(&cluster).await, actor);
        cluster.crash_with(follower(&cluster).await, actor, Crash::Stop);
    }
    {
        let lossy = Rule::new().loss(0.1).delay_ms(0..=20).duplicate(0.2).reorder(0.2, 1..=30);
        let _weather = cluster.fault(lossy);
        let _silence = cluster.fault(Rule::new().cut().kind(MessageKind::Heartbeat).to(2));
        cluster.run_for(ms(300)).await;
        load.more(&cluster, 30).await;
    }
    let kinds =
        [ActorKind::Role, ActorKind::Storage, ActorKind::Machine, ActorKind::Timer, ActorKind::Replicator];
    for (round, actor) in kinds.into_iter().enumerate() {
        let (leads, follows) = (leader(&cluster).await, follower(&cluster).await);
        cluster.stall(leads, actor, ms(60));
        cluster.slow(follows, actor, ms(7));
        cluster.set_clock_rate(follows, 700 + 150 * round as u32);
        load.more(&cluster, 20).await;
        cluster.slow(follows, actor, ms(0));
    }
    {
        let _cut = cluster.isolate(leader(&cluster).await);
        cluster.run_for(ms(700)).await;
    }
    for whose in 0..3 {
        let victim = if whose == 1 { leader(&cluster).await } else { follower(&cluster).await };
        cluster.disk(victim).unwrap().set_tail([Tail::Kept, Tail::Lost, Tail::Torn][whose]);
        cluster.kill(victim).await;
        load.more(&cluster, 10).await;
        cluster.restart(victim).await;
    }
    let _ = cluster.transfer(None).await;
    load.more(&cluster, 10).await;
    cluster.take_snapshot(leader(&cluster).await).await;
    let told = load.stop().await;
    agree(&cluster, &told).await
}

fn run<I: Books>(builder: Builder<I>, seed: u64) -> Vec<Report> {
    let recording = Recording::default();
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries, config.snapshot_chunk_bytes) = (40, 10, 100);
    builder.config(config).observe(recording.clone()).simulate(seed, everything).unwrap();
    recording.assert_safe();
    recording.assert_all_recovered();
    recording.take()
}

/// Compares report by report: the first that differs is the one to look at.
fn assert_same(seed: u64, one: &[Report], other: &[Report]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other, "seed {seed}");
    }
    assert_eq!(one.len(), other.len(), "seed {seed}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in seeds(6) {
        let builder = || Cluster::of(|_| Ledger::default()).peers(3 + seed as usize % 3);
        let (one, other) = (run(builder(), seed), run(builder(), seed));
        assert_same(seed, &one, &other);
        let has = |holds: fn(&Event) -> bool| one.iter().any(|report| holds(&report.event));
        assert!(has(|event| matches!(event, Event::Crashed { .. })));
        assert!(has(|event| matches!(event, Event::Killed { .. })));
        assert!(has(|event| matches!(event, Event::Dropped { .. })));
        assert!(has(|event| matches!(event, Event::Doubled { .. })));
        assert!(has(|event| matches!(event, Event::Delayed { why: Why::DelayedByRule, .. })));
        assert!(has(|event| matches!(event, Event::Delayed { why: Why::OvertakenByRule, .. })));
        assert!(has(|event| matches!(event, Event::Stalled { .. })));
        assert!(has(|event| matches!(event, Event::Slowed { why: Why::Healed, .. })));
        assert!(has(|event| matches!(event, Event::ClockSkewed { .. })));
        assert!(has(|event| matches!(event, Event::Compacted { .. })));
    }
}

#[test]
fn the_same_seed_gives_the_same_run_of_a_machine_that_is_an_actor() {
    for seed in seeds(3) {
        let builder = || Cluster::of_actors(|_| LedgerActor::default());
        assert_same(seed, &run(builder(), seed), &run(builder(), seed));
    }
}

#[test]
fn another_seed_gives_another_run() {
    let run = |seed| run(Cluster::of(|_| Ledger::default()), seed);
    assert_ne!(run(1), run(2));
}

/// A run does not depend on what ran before it in the same process, nor on other threads beside it.
#[test]
fn runs_on_many_threads_are_the_same() {
    let run = || run(Cluster::of(|_| Ledger::default()), 7);
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(run)).collect();
    let alone = run();
    for thread in threads {
        assert_same(7, &alone, &thread.join().expect("a run does not panic"));
    }
}
