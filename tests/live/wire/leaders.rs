//! Elections, replication and sessions over the wire.

use std::time::Duration;

use raft_actors::{
    Cluster,
    machine::kv::{Answer, Command, Kv, Query, Response},
    raft::{PeerId, RoleKind},
};

use super::house::{Live, PATIENCE, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn peers_elect_replicate_and_answer() {
    let live = Live::start(Plan::of(3)).await;
    let first = live.leader().await;
    let remote = live.remote().await;
    assert_eq!(remote.addressed(), PeerId(1));
    assert_eq!(remote.members().len(), 3);
    let client = remote.client::<Kv>();
    assert_eq!(client.propose(&Command::set("a", "1")).await.unwrap(), Answer::Before(None));
    assert_eq!(client.query(&Query::get("a")).await.unwrap(), Response::Value(Some("1".into())));
    // The peers' own clients reach the leader, wherever it is.
    for (length, id) in (1..).zip(live.ids()) {
        let answer = live.peer(id).client().propose(&Command::append("b", "x")).await;
        assert_eq!(answer.unwrap(), Answer::Length(length));
    }
    live.until_equal(&live.ids()).await;
    for id in live.ids() {
        assert_eq!(live.value(id, "b").await.as_deref(), Some("xxx"));
        assert_eq!(live.status(id).leader, live.leads().map(PeerId), "first led {first}");
    }
    let report = remote.operator(PeerId(1)).status().await.unwrap();
    assert_eq!((report.status.peer, report.peers.len(), report.cluster), (PeerId(1), 2, remote.cluster()));
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_replaced_and_catches_up_when_it_is_back() {
    let live = Live::start(Plan::of(3)).await;
    let first = live.leader().await;
    let remote = live.remote().await;
    let client = remote.client::<Kv>();
    client.propose(&Command::append("a", "before,")).await.unwrap();
    let term = live.status(first).term;
    live.peer(first).kill(PeerId(first)).await;
    let second = live.leader_but(&[first]).await;
    assert!(live.status(second).term > term);
    for _ in 0..100 {
        client.propose(&Command::append("a", "x")).await.unwrap();
    }
    live.peer(first).restart(PeerId(first)).await;
    live.until_equal(&live.ids()).await;
    let expected = format!("before,{}", "x".repeat(100));
    for id in live.ids() {
        assert_eq!(live.value(id, "a").await, Some(expected.clone()));
    }
    live.until("it follows", || live.status(first).role == Some(RoleKind::Follower)).await;
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_one_process_and_of_another_are_one_cluster() {
    let plan = Plan::durable(3);
    let (two, _) = plan.start(plan.network(&[1, 2]), 1).await.unwrap();
    let mut live = Live::some(plan, &[3]).await;
    let leader = two.wait_for_leader(PATIENCE).await.unwrap();
    let remote = live.remote().await;
    let client = remote.client::<Kv>();
    for id in 1..=3 {
        // Whoever leads, and whoever had to hand over.
        let _ = remote.operator(two.leader().unwrap_or(leader)).transfer(Some(PeerId(id))).await;
        assert_eq!(client.propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(id));
    }
    for id in [1, 2] {
        two.wait_until(PATIENCE, || two.status(PeerId(id)).unwrap().applied == live.status(3).applied).await;
        let value = two.client().query_local(PeerId(id), &Query::get("a")).await.unwrap();
        assert_eq!(value, Response::Value(Some("xxx".into())));
    }
    assert_eq!(live.value(3, "a").await.as_deref(), Some("xxx"));
    // The two are a majority without the third.
    live.close(3).await;
    assert!(two.wait_until(PATIENCE, || matches!(two.leader(), Some(PeerId(1 | 2)))).await);
    assert_eq!(two.client().propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(4));
    live.open(3).await;
    live.until("it catches up", || live.status(3).applied == two.status(PeerId(1)).unwrap().applied).await;
    two.shutdown().await.unwrap();
    live.end().await;
}

/// Two thousand commands, and the leader goes in the midst of them: each is applied once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_its_leader() {
    const COMMANDS: u64 = 2_000;
    let live = Live::start(Plan::of(3)).await;
    let first = live.leader().await;
    let client = live.remote().await.client::<Kv>().with_deadline(PATIENCE);
    let session = client.session().await.unwrap();
    let (tickets, mut submitted) = tokio::sync::mpsc::unbounded_channel();
    let submit = tokio::spawn(async move {
        for number in 0..COMMANDS {
            let ticket = session.submit(&Command::append("a", format!("{number},"))).await.unwrap();
            tickets.send((number, ticket)).unwrap();
        }
    });
    let mut expected = String::new();
    while let Some((number, ticket)) = submitted.recv().await {
        expected += &format!("{number},");
        assert_eq!(ticket.await.unwrap(), Answer::Length(expected.len() as u64), "{number}");
        if number == COMMANDS / 4 {
            live.peer(first).kill(PeerId(first)).await;
        }
    }
    submit.await.unwrap();
    live.leader_but(&[first]).await;
    live.peer(first).restart(PeerId(first)).await;
    live.until_equal(&live.ids()).await;
    for id in live.ids() {
        assert_eq!(live.value(id, "a").await.as_ref(), Some(&expected), "peer {id}");
    }
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_to_a_peer_elsewhere() {
    let live = Live::start(Plan::of(3)).await;
    let remote = live.remote().await;
    for _ in 0..3 {
        let leader = live.leader().await;
        let target = leader % 3 + 1;
        live.until_equal(&live.ids()).await;
        match remote.operator(PeerId(leader)).transfer(Some(PeerId(target))).await {
            Ok(()) => live.until("the target leads", || live.leads() == Some(target)).await,
            // On a machine that stalls another may have been elected meanwhile.
            Err(error) => assert_ne!(live.leads(), Some(leader), "{error}"),
        }
    }
    let lone = Cluster::of(|_| Kv::default()).network(Plan::of(1).network(&[1])).start().await.unwrap();
    assert_eq!(lone.wait_for_leader(Duration::from_secs(10)).await, Some(PeerId(1)));
    lone.shutdown().await.unwrap();
    live.end().await;
}
