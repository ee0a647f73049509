//! Clusters in one process, on one thread or many: the same books agree as in simulations.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread::{self, ThreadId},
    time::Duration,
};

use crate::common::{
    Books, Ledger, LedgerActor, Load, PATIENCE, Recording, agree, catches_up, follower, leader, propose_all,
};
use raft_actors::{
    Cluster, Config,
    cluster::Crash,
    error::ClientError,
    machine::closure,
    raft::{ActorKind, Event, RoleKind},
};

/// Every actor of the leader and of a follower falls in turn, under load.
async fn falls_and_heals<I: Books>(cluster: Cluster<I>, recording: Recording) {
    leader(&cluster).await;
    let load = Load::start(&cluster);
    for actor in
        [ActorKind::Machine, ActorKind::Timer, ActorKind::Replicator, ActorKind::Storage, ActorKind::Role]
    {
        load.more(&cluster, 50).await;
        cluster.crash_with(follower(&cluster).await, actor, Crash::Stop);
        cluster.crash(leader(&cluster).await, actor);
    }
    load.more(&cluster, 50).await;
    agree(&cluster, &load.stop().await).await;
    cluster.shutdown().await.unwrap();
    recording.assert_all_recovered();
    assert!(recording.has(|event| matches!(event, Event::Crashed { actor: ActorKind::Role, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_falls_on_one_thread() {
    let recording = Recording::default();
    let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone()).start().await.unwrap();
    falls_and_heals(cluster, recording).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_falls_on_a_thread_for_each_peer() {
    let recording = Recording::default();
    let cluster = Cluster::of(|_| Ledger::default()).thread_per_peer(true).sync_ms(0..=2).latency_ms(0..=2);
    let cluster = cluster.observe(recording.clone()).start().await.unwrap();
    falls_and_heals(cluster, recording).await;
}

#[test]
fn everything_falls_on_the_callers_own_thread() {
    let threads = Arc::<Mutex<Vec<ThreadId>>>::default();
    let seen = threads.clone();
    let machine = move |_| {
        seen.lock().unwrap().push(thread::current().id());
        Ledger::default()
    };
    actix::System::new().block_on(async {
        let recording = Recording::default();
        let cluster = Cluster::of(machine).observe(recording.clone()).on_this_thread();
        falls_and_heals(cluster.start().await.unwrap(), recording).await;
    });
    let here = thread::current().id();
    let threads = threads.lock().unwrap();
    assert!(threads.len() > 3 && threads.iter().all(|&thread| thread == here), "{threads:?}, not {here:?}");
}

/// Commands in a crowd, from one far thread: whoever came first to the door holds its bell and lets others come. One
/// that is polled no more, or dropped, keeps nobody waiting.
async fn others_are_heard_behind_one_that_holds_the_bell(heartbeat_ms: u64, is_dropped: bool) {
    let mut config = Config::default();
    (config.heartbeat_ms, config.election_timeout_ms) = (heartbeat_ms, 3 * heartbeat_ms..6 * heartbeat_ms);
    config.replicator_silence_ms = 60 * heartbeat_ms;
    let cluster = Cluster::of(|_| Ledger::default()).peers(1).config(config).start().await.unwrap();
    cluster.wait_for_leader(PATIENCE).await.unwrap();
    let client = cluster.client().with_deadline(PATIENCE.min(Duration::from_millis(30 * heartbeat_ms)));
    for round in 0..5 {
        let crowd: Vec<u64> = (0..1_000).map(|number| round * 1_000 + number).collect();
        assert!(client.propose_all(&crowd).await.iter().all(Result::is_ok));
    }
    let mut first = Box::pin(client.propose(&9_001));
    assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
    if is_dropped {
        drop(first);
        let impatient = client.with_deadline(Duration::from_millis(heartbeat_ms / 2));
        assert!(impatient.propose(&9_002).await.is_ok(), "nobody rang");
    } else {
        assert!(client.propose(&9_002).await.is_ok(), "nobody rang");
        assert!(first.await.is_ok());
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_proposal_that_is_not_polled_keeps_nobody_waiting() {
    others_are_heard_behind_one_that_holds_the_bell(50, false).await;
}

#[tokio::test]
async fn a_proposal_that_is_dropped_keeps_nobody_waiting() {
    others_are_heard_behind_one_that_holds_the_bell(2_000, true).await;
}

/// It says so before anything is done.
#[tokio::test]
async fn a_thread_without_actors_is_no_place_for_peers() {
    let refused = Cluster::of(|_| Ledger::default()).on_this_thread().start().await;
    assert!(matches!(refused, Err(raft_actors::error::ClusterError::OutsideActix)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_falls_with_a_machine_that_is_an_actor() {
    let recording = Recording::default();
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries) = (40, 10);
    let cluster = Cluster::of_actors(|_| LedgerActor::default()).config(config).thread_per_peer(true);
    let cluster = cluster.observe(recording.clone()).start().await.unwrap();
    falls_and_heals(cluster, recording).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_falls_with_a_machine_on_a_thread_of_its_own() {
    let recording = Recording::default();
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries) = (40, 10);
    let cluster = Cluster::of(|_| Ledger::default()).config(config).machine_on_own_thread(true);
    let cluster = cluster.observe(recording.clone()).start().await.unwrap();
    falls_and_heals(cluster, recording).await;
}

/// Each command takes longer than any election timeout, and nobody is deposed for it.
#[tokio::test]
async fn a_slow_machine_on_a_thread_of_its_own_keeps_no_heartbeat_waiting() {
    let recording = Recording::default();
    let slow = |_| {
        closure(0u64, |sum: &mut u64, more: u64| {
            thread::sleep(Duration::from_millis(400));
            *sum += more;
            (*sum, thread::current().name().map(str::to_string))
        })
    };
    let cluster =
        Cluster::of(slow).machine_on_own_thread(true).observe(recording.clone()).start().await.unwrap();
    let leader = leader(&cluster).await;
    for sum in 1..=3 {
        let told = cluster.client().propose(&1).await.unwrap();
        assert_eq!(told, (sum, Some("raft-machine".to_string())));
    }
    assert_eq!(cluster.leader(), Some(leader));
    assert!(!recording.has(|event| matches!(event, Event::SteppedDown { .. })));
    cluster.shutdown().await.unwrap();
}

/// A command that makes the machine panic takes its thread along, and both are made anew.
#[tokio::test]
async fn a_panic_on_a_machines_own_thread_is_healed() {
    let poison = Arc::new(AtomicBool::new(true));
    let machine = move |_| {
        let poison = poison.clone();
        closure(0u64, move |sum: &mut u64, more: u64| {
            assert!(more != 13 || !poison.swap(false, Ordering::Relaxed), "the first 13 is too much");
            *sum += more;
            *sum
        })
    };
    let cluster = Cluster::of(machine).peers(1).machine_on_own_thread(true).start().await.unwrap();
    let client = cluster.client();
    assert_eq!(client.propose(&1).await.unwrap(), 1);
    assert!(matches!(client.propose(&13).await, Err(ClientError::Unknown)), "nobody heard what came of it");
    // What comes while it falls may share its fate; a query asks until there is a machine again.
    assert_eq!(client.query(&()).await.unwrap(), 14);
    assert_eq!(client.propose(&1).await.unwrap(), 15);
    let said = cluster.shutdown().await.unwrap_err().to_string();
    assert!(said.contains("machine fell: it panicked: the first 13 is too much"), "{said}");
}

/// One peer alone, on the caller's small runtime.
#[tokio::test]
async fn one_peer_alone_is_a_cluster() {
    let cluster = Cluster::of(|_| Ledger::default()).peers(1).start().await.unwrap();
    let told = propose_all(&cluster, 1..=20).await;
    assert_eq!(agree(&cluster, &told).await, (1..=20).collect::<Vec<_>>());
    cluster.shutdown().await.unwrap();
}

/// Nine peers on nine threads lose their power in turn, are cut off, and come back.
#[tokio::test(flavor = "multi_thread")]
async fn nine_peers_are_killed_and_cut_off() {
    let cluster = Cluster::of(|_| Ledger::default()).peers(9).thread_per_peer(true).start().await.unwrap();
    leader(&cluster).await;
    let load = Load::start(&cluster);
    for _ in 0..2 {
        load.more(&cluster, 20).await;
        let victims = [leader(&cluster).await, follower(&cluster).await];
        for victim in victims {
            cluster.kill(victim).await;
        }
        load.more(&cluster, 20).await;
        for victim in victims {
            cluster.restart(victim).await;
            catches_up(&cluster, victim).await;
        }
    }
    let old = leader(&cluster).await;
    let cut = cluster.isolate(old);
    let deposed = || cluster.leader().is_some_and(|leader| leader != old);
    assert!(cluster.wait_until(PATIENCE, deposed).await);
    cut.heal();
    load.more(&cluster, 20).await;
    agree(&cluster, &load.stop().await).await;
    cluster.shutdown().await.unwrap();
}

/// Handles are for any thread, and work under a runtime that is not theirs.
#[test]
fn handles_are_for_any_thread() {
    fn is_free<T: Clone + Send + Sync>(it: T) -> T {
        it
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cluster = is_free(runtime.block_on(Cluster::of(|_| Ledger::default()).start()).unwrap());
    let client = is_free(cluster.client());
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let (client, handle) = (client.clone(), runtime.handle().clone());
            std::thread::spawn(move || {
                handle.block_on(async {
                    for number in 0..25 {
                        client.propose(&(thread * 100 + number)).await.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut ledger = runtime.block_on(client.query(&())).unwrap();
    ledger.sort_unstable();
    assert_eq!(ledger.len(), 100);
    ledger.dedup();
    assert_eq!(ledger.len(), 100, "each once");
    runtime.block_on(cluster.shutdown()).unwrap();
}

/// A simulation needs a thread without a runtime, and says so; limits are checked before anything runs.
#[tokio::test]
async fn what_can_not_be_started_is_said() {
    use raft_actors::error::ClusterError;
    let cluster = || Cluster::of(|_| Ledger::default());
    let inside = cluster().simulate(1, async |_| ());
    assert!(matches!(inside, Err(ClusterError::InsideRuntime)));
    for peers in [0, 10] {
        assert!(matches!(cluster().peers(peers).start().await, Err(ClusterError::Peers(_))));
    }
    let mut config = Config::default();
    config.heartbeat_ms = 200;
    assert!(matches!(cluster().config(config).start().await, Err(ClusterError::Config(_))));
}

/// Events come as a stream, and the last role that a peer published is its status.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_a_stream() {
    let cluster = Cluster::of(|_| Ledger::default()).start().await.unwrap();
    let mut events = cluster.events();
    let old = leader(&cluster).await;
    cluster.crash(old, ActorKind::Role);
    let mut seen = Vec::new();
    while let Some(report) = events.recv().await {
        seen.push(report.event.name());
        if report.peer == old && matches!(report.event, Event::Recovered { .. }) {
            assert_eq!(report.role, Some(RoleKind::Follower));
            break;
        }
    }
    assert!(seen.contains(&"Crashed"));
    cluster.shutdown().await.unwrap();
}

/// A live cluster ends when it is told to, in the middle of its work, and says if anything went wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_cluster_ends() {
    for thread_per_peer in [false, true] {
        let mut config = Config::default();
        config.deadline_ms = 300;
        let cluster = Cluster::of(|_| Ledger::default()).config(config).thread_per_peer(thread_per_peer);
        let cluster = cluster.start().await.unwrap();
        let load = Load::start(&cluster);
        load.more(&cluster, 20).await;
        cluster.clone().shutdown().await.unwrap();
        assert!(load.stop().await.iter().filter(|told| told.outcome.is_ok()).count() >= 20);
    }
}
