//! A peer that was away for longer than the log reaches back gets a snapshot, in pieces.

use std::time::Instant;

use raft_actors::{
    Config,
    machine::kv::{Command, Kv},
    raft::PeerId,
};

use super::house::{Live, PATIENCE, Plan};

fn plan() -> Plan {
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries) = (200, 10);
    // So that it takes several.
    (config.snapshot_chunk_bytes, config.snapshot_window_bytes) = (4 << 10, 16 << 10);
    Plan { config, ..Plan::of(3) }
}

/// Has a peer miss a thousand entries, and come back.
async fn miss(live: &mut Live, whole_process: bool) {
    let leader = live.leader().await;
    let away = leader % 3 + 1;
    match whole_process {
        true => live.close(away).await,
        false => live.peer(away).kill(PeerId(away)).await,
    }
    let client = live.remote().await.client::<Kv>().with_deadline(PATIENCE);
    let session = client.session().await.unwrap();
    let mut tickets = Vec::new();
    for number in 0..1_000 {
        let command = Command::set(format!("key {number}"), vec![b'x'; 200]);
        tickets.push(session.submit(&command).await.unwrap());
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
    client.propose(&Command::append("a", "x")).await.unwrap();
    let leader = live.leader_but(&[away]).await;
    // One that falls due while another is written is taken when the next entry is applied: so there are more of them.
    let deadline = Instant::now() + PATIENCE;
    while live.status(leader).compacted.0 <= 500 {
        client.propose(&Command::append("a", "x")).await.unwrap();
        assert!(
            Instant::now() < deadline,
            "the front of the log is still there: {}",
            live.status(leader).compacted
        );
    }
    match whole_process {
        true => live.open(away).await,
        false => live.peer(away).restart(PeerId(away)).await,
    }
    live.until("it has a snapshot", || live.status(away).snapshot.0 > 500).await;
    live.until_equal(&[1, 2, 3]).await;
    let pieces = live.told(away, "Received kind=install-snapshot");
    assert!(pieces.len() > 10, "{pieces:?}");
    let digests = live.ids().into_iter().map(|id| live.value(id, "key 999"));
    for value in futures::future::join_all(digests).await {
        assert_eq!(value, Some("x".repeat(200)));
    }
    assert_eq!(live.value(away, "a").await, live.value(leader, "a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_down_gets_a_snapshot() {
    let mut live = Live::start(plan()).await;
    miss(&mut live, false).await;
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_away_gets_a_snapshot_into_its_folder() {
    let mut live = Live::start(plan().with_folders()).await;
    miss(&mut live, true).await;
    // It is in the folder, for the next time.
    let leader = live.leader().await;
    let again = leader % 3 + 1;
    live.close(again).await;
    live.open(again).await;
    live.until_equal(&[1, 2, 3]).await;
    assert_eq!(live.value(again, "key 0").await, Some("x".repeat(200)));
    live.end().await;
}
