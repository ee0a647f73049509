//! Peers that are away, or there and silent: they harm nobody, and it is told once.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use raft_actors::{
    machine::kv::{Answer, Command, Kv},
    raft::PeerId,
};

use super::house::{Live, PATIENCE, Plan};

/// Takes every connection, and says nothing. Returns how many there were.
fn mute(address: &str) -> Arc<AtomicUsize> {
    let (listener, count) = (TcpListener::bind(address).unwrap(), Arc::<AtomicUsize>::default());
    let counted = count.clone();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            held.push(stream);
            counted.fetch_add(1, Relaxed);
        }
    });
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_peer_harms_nobody_and_is_told_of_once() {
    let mut plan = Plan::of(3);
    plan.limits.handshake_ms = 150;
    let knocks = mute(&plan.address(3));
    let live = Live::some(plan, &[1, 2]).await;
    live.leader().await;
    let client = live.remote().await.client::<Kv>();
    let mut length = 0;
    while knocks.load(Relaxed) < 8 {
        length += 1;
        assert_eq!(client.propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(length));
    }
    for id in [1, 2] {
        let down = live.told(id, "PeerDown other=3");
        assert_eq!(down.len(), 1, "{down:?}");
        assert!(down[0].contains("it left the handshake unfinished"), "{down:?}");
        assert!(live.told(id, "PeerUp other=3").is_empty());
    }
    live.end().await;
}

/// However often it is tried to reach it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_and_so_is_its_end() {
    let mut live = Live::start(Plan::durable(3)).await;
    live.leader().await;
    live.until_connected().await;
    for outage in 1..=2 {
        for id in [1, 2] {
            drop(live.events(id).take());
        }
        live.close(3).await;
        for id in [1, 2] {
            live.until("it is told", || !live.told(id, "PeerDown other=3").is_empty()).await;
        }
        // Long enough for several attempts.
        let attempts = Duration::from_millis(live.plan.limits.reconnect_ms_max * 4);
        live.peer(1).run_for(attempts).await;
        live.open(3).await;
        for id in [1, 2] {
            live.until("it is told", || !live.told(id, "PeerUp other=3").is_empty()).await;
        }
        live.leader().await;
        live.remote().await.client::<Kv>().propose(&Command::append("a", "x")).await.unwrap();
        live.until_equal(&[1, 2, 3]).await;
        for id in [1, 2] {
            let of_third = |text: &String| text.contains(" other=3 ");
            let told: Vec<_> = live.events(id).texts().into_iter().filter(of_third).collect();
            assert_eq!(told.len(), 2, "outage {outage}: {told:#?}");
        }
    }
    live.end().await;
}

/// A peer that is killed and started again in its process keeps its connections: there is no outage to tell of.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_anew_in_its_process_is_heard_again() {
    let live = Live::start(Plan::of(3)).await;
    let leader = live.leader().await;
    live.until_connected().await;
    // Before that some of them were not there yet.
    drop(live.events(leader).take());
    let other = leader % 3 + 1;
    for _ in 0..3 {
        live.peer(other).kill(PeerId(other)).await;
        live.peer(leader).client().propose(&Command::append("a", "x")).await.unwrap();
        live.peer(other).restart(PeerId(other)).await;
        live.until_equal(&live.ids()).await;
    }
    assert!(live.told(leader, "PeerDown").is_empty());
    live.end().await;
}

/// All of them at once, and the cluster is back when they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_peers_all_went_is_back_with_all_that_it_acknowledged() {
    let mut live = Live::start(Plan::durable(3)).await;
    live.leader().await;
    for number in 0..50 {
        let command = Command::append("a", format!("{number},"));
        live.remote().await.client::<Kv>().propose(&command).await.unwrap();
    }
    for id in 1..=3 {
        live.close(id).await;
    }
    for id in 1..=3 {
        live.open(id).await;
    }
    live.leader().await;
    let expected: String = (0..50).map(|number| format!("{number},")).collect();
    let client = live.remote().await.client::<Kv>().with_deadline(PATIENCE);
    client.propose(&Command::append("a", "end")).await.unwrap();
    live.until_equal(&[1, 2, 3]).await;
    for id in 1..=3 {
        assert_eq!(live.value(id, "a").await, Some(format!("{expected}end")));
    }
    live.end().await;
}
