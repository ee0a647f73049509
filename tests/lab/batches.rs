//! Many commands in one call: each has its own outcome, whatever happens to the leader in between.

use crate::common::{Ledger, Recording, Told, agree, leader, ms, seeds};
use raft_actors::{Client, Cluster, Config, error::ClientError, raft::Event};

/// A batch as the books have it.
async fn propose_all(client: &Client<Ledger>, numbers: impl Iterator<Item = u64>) -> Vec<Told> {
    let numbers: Vec<u64> = numbers.collect();
    let outcomes = client.propose_all(&numbers).await;
    assert_eq!(outcomes.len(), numbers.len());
    let told = |(number, outcome)| Told { number, outcome, by_session: false };
    numbers.into_iter().zip(outcomes).map(told).collect()
}

/// A client that does not know who leads is sent on, and nothing of the batch is lost, doubled or reordered.
#[test]
fn a_batch_finds_the_leader_and_keeps_its_order() {
    for seed in seeds(20) {
        Cluster::of(|_| Ledger::default())
            .simulate(seed, |cluster| async move {
                let told = propose_all(&cluster.client(), 1..=500).await;
                let places: Vec<u64> = told.iter().filter_map(|told| told.outcome.clone().ok()).collect();
                assert_eq!(places, (1..=500).collect::<Vec<_>>(), "seed {seed}");
                assert!(propose_all(&cluster.client(), 0..0).await.is_empty());
                agree(&cluster, &told).await;
            })
            .unwrap();
    }
}

/// Leaders are killed while batches are under way: what each command was told is true.
#[test]
fn each_command_of_a_batch_knows_what_became_of_it() {
    let (mut done, mut unknown) = (0, 0);
    for seed in seeds(20) {
        let told = Cluster::of(|_| Ledger::default())
            .simulate(seed, |cluster| async move {
                let client = cluster.client().with_deadline(ms(2_000));
                let batches = tokio::task::spawn_local(async move {
                    let mut told = Vec::new();
                    for batch in 0..20 {
                        told.extend(propose_all(&client, batch * 100..batch * 100 + 100).await);
                    }
                    told
                });
                while !batches.is_finished() {
                    tokio::time::sleep(ms(7)).await;
                    let victim = leader(&cluster).await;
                    cluster.kill(victim).await;
                    tokio::time::sleep(ms(300)).await;
                    cluster.restart(victim).await;
                }
                let told = batches.await.unwrap();
                agree(&cluster, &told).await;
                told
            })
            .unwrap();
        done += told.iter().filter(|told| told.outcome.is_ok()).count();
        unknown += told.iter().filter(|told| told.outcome == Err(ClientError::Unknown)).count();
    }
    assert!(done > 10_000 && unknown > 0, "{done} done, {unknown} unknown: too calm to say anything");
}

/// More than may wait at the door is `Busy`, and a command that is too long is told so; the others are done.
#[test]
fn what_has_no_room_is_told_so() {
    let mut config = Config::default();
    config.inbox_entries_max = 100;
    Cluster::of(|_| Ledger::default())
        .config(config)
        .simulate(1, |cluster| async move {
            leader(&cluster).await;
            let told = propose_all(&cluster.client(), 1..=500).await;
            let done = told.iter().filter(|told| told.outcome.is_ok()).count();
            let busy = told.iter().filter(|told| told.outcome == Err(ClientError::Busy)).count();
            assert!(done >= 100 && busy > 0 && done + busy == 500, "{done} done, {busy} busy");
            agree(&cluster, &told).await;
        })
        .unwrap();
}

/// A thousand clients propose a hundred commands each, all at once: what is too much is refused, and nobody is elected for
/// it.
#[test]
fn a_flood_is_answered_and_costs_no_leader() {
    let mut config = Config::default();
    config.inbox_entries_max = 20_000;
    Cluster::of(|_| Ledger::default())
        .config(config)
        .simulate(7, |cluster| async move {
            let (before, term) = (leader(&cluster).await, cluster.statuses()[0].term);
            let propose = |client: u64| {
                let handle = cluster.client();
                tokio::task::spawn_local(async move {
                    propose_all(&handle, client * 100..client * 100 + 100).await
                })
            };
            let clients: Vec<_> = (0..1_000).map(propose).collect();
            let mut told = Vec::new();
            for client in clients {
                told.extend(client.await.unwrap());
            }
            let done = told.iter().filter(|told| told.outcome.is_ok()).count();
            let busy = told.iter().filter(|told| told.outcome == Err(ClientError::Busy)).count();
            assert!(done >= 20_000 && busy > 0 && done + busy == 100_000, "{done} done, {busy} busy");
            assert_eq!((leader(&cluster).await, cluster.statuses()[0].term), (before, term));
            agree(&cluster, &told).await;
        })
        .unwrap();
}

/// However much waits at the door, a turn has its measure: more in one sync would keep a leader mute for as long.
#[test]
fn what_comes_all_at_once_is_taken_in_turns() {
    let mut config = Config::default();
    config.turn_bytes_max = 1_000;
    let recording = Recording::default();
    Cluster::of(|_| Ledger::default())
        .config(config)
        .observe(recording.clone())
        .simulate(3, |cluster| async move {
            leader(&cluster).await;
            let told = propose_all(&cluster.client(), 1..=500).await;
            assert!(told.iter().all(|told| told.outcome.is_ok()), "{told:?}");
            agree(&cluster, &told).await;
        })
        .unwrap();
    let most = recording.reports().into_iter().filter_map(|report| match report.event {
        Event::Appended { bytes, .. } => Some(bytes),
        _ => None,
    });
    let most = most.max().unwrap();
    assert!((500..=1_000).contains(&most), "{most} bytes in a turn");
}
