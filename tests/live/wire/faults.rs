//! Operators cut peers off and spoil the weather, over the wire.

use raft_actors::{
    client::remote::OperatorError,
    machine::kv::{Answer, Command, Kv},
    raft::{PeerId, RoleKind},
};

use super::house::{Live, PATIENCE, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_isolated_gives_way_and_comes_back_as_a_follower() {
    let live = Live::start(Plan::of(3)).await;
    let first = live.leader().await;
    let remote = live.remote().await;
    let (client, operator) = (remote.client::<Kv>(), remote.operator(PeerId(first)));
    client.propose(&Command::append("a", "x")).await.unwrap();
    operator.isolate().await.unwrap();
    let second = live.leader_but(&[first]).await;
    live.until("it steps down", || live.status(first).role != Some(RoleKind::Leader)).await;
    let alone_at = live.status(first).commit;
    for length in 2..=50 {
        let answer = live.peer(second).client().propose(&Command::append("a", "x")).await;
        assert_eq!(answer.unwrap(), Answer::Length(length));
    }
    // Clients and operators still reach it, and it knows why it is alone.
    let report = operator.status().await.unwrap();
    assert_eq!((report.status.commit, report.faults.len()), (alone_at, 1), "{report:?}");
    assert!(operator.list_faults().await.unwrap()[0].starts_with("cut between="));
    operator.reconnect().await.unwrap();
    assert!(operator.list_faults().await.unwrap().is_empty());
    live.until_equal(&live.ids()).await;
    assert_eq!(live.value(first, "a").await, Some("x".repeat(50)));
    live.end().await;
}

/// What a peer sends to one other is lost, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_may_be_cut_one_way() {
    let live = Live::start(Plan::of(3)).await;
    let remote = live.remote().await;
    live.remote().await.client::<Kv>().propose(&Command::append("a", "x")).await.unwrap();
    live.until_equal(&live.ids()).await;
    let leader = live.leader().await;
    let deaf = leader % 3 + 1;
    let operator = remote.operator(PeerId(leader));
    operator.set_fault(&format!("cut to={deaf}")).await.unwrap();
    let before = live.status(deaf).last;
    let client = remote.client::<Kv>();
    for _ in 0..20 {
        client.propose(&Command::append("a", "x")).await.unwrap();
    }
    // It hears nobody who leads, and the others, who do, do not vote for it.
    live.until("it canvasses", || !live.told(deaf, "Canvassed").is_empty()).await;
    if live.leads() == Some(leader) {
        assert_eq!(live.status(deaf).last, before);
    }
    assert!(!live.told(leader, &format!("Dropped kind=append-entries to={deaf}")).is_empty());
    operator.clear_faults().await.unwrap();
    live.until_equal(&live.ids()).await;
    assert_eq!(live.value(deaf, "a").await, Some("x".repeat(21)));
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_in_any_weather() {
    let live = Live::start(Plan::of(3)).await;
    live.leader().await;
    let remote = live.remote().await;
    let rules = ["loss 0.1", "duplicate 0.3", "delay 1..=5", "reorder 0.2 5..=15"];
    for id in live.ids() {
        for rule in rules {
            remote.operator(PeerId(id)).set_fault(rule).await.unwrap();
        }
        assert_eq!(remote.operator(PeerId(id)).list_faults().await.unwrap(), rules);
    }
    let session = remote.client::<Kv>().with_deadline(PATIENCE).session().await.unwrap();
    let mut tickets = Vec::new();
    for _ in 0..200 {
        tickets.push(session.submit(&Command::append("a", "x")).await.unwrap());
    }
    for (length, ticket) in (1..).zip(tickets) {
        assert_eq!(ticket.await.unwrap(), Answer::Length(length));
    }
    // A few large messages may all be lucky: one more at a time, until each fate has befallen one.
    let mut length = 200;
    for fate in ["Doubled", "a fault rule loses it", "a fault rule delays it"] {
        while live.ids().iter().all(|&id| live.told(id, fate).is_empty()) {
            length += 1;
            assert!(length < 2_000, "{fate}");
            assert_eq!(session.propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(length));
        }
    }
    for id in live.ids() {
        remote.operator(PeerId(id)).clear_faults().await.unwrap();
        assert!(remote.operator(PeerId(id)).list_faults().await.unwrap().is_empty());
    }
    live.until_equal(&live.ids()).await;
    for id in live.ids() {
        assert_eq!(live.value(id, "a").await, Some("x".repeat(length as usize)));
    }
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lays_faults_at_a_peer_that_does_not_allow_it() {
    let live = Live::start(Plan { allow_faults: false, ..Plan::of(1) }).await;
    live.leader().await;
    let operator = live.remote().await.operator(PeerId(1));
    let asked = [
        operator.isolate().await,
        operator.reconnect().await,
        operator.set_fault("cut").await,
        operator.clear_faults().await,
    ];
    for refused in asked {
        assert!(
            matches!(&refused, Err(OperatorError::Failed { reason: "not_allowed", text }) if text.contains("--allow-faults")),
            "{refused:?}"
        );
    }
    assert!(operator.list_faults().await.unwrap().is_empty());
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_rule_is_refused_and_so_are_too_many() {
    let live = Live::start(Plan::of(1)).await;
    let operator = live.remote().await.operator(PeerId(1));
    for text in ["", "rain", "loss 2", "delay 9..=1", "cut to=x"] {
        let refused = operator.set_fault(text).await;
        assert!(
            matches!(refused, Err(OperatorError::Failed { reason: "bad_rule", .. })),
            "{text}: {refused:?}"
        );
    }
    for _ in 0..256 {
        operator.set_fault("cut to=9").await.unwrap();
    }
    let refused = operator.set_fault("cut to=9").await;
    assert!(matches!(refused, Err(OperatorError::Failed { reason: "too_many", .. })), "{refused:?}");
    operator.clear_faults().await.unwrap();
    operator.set_fault("cut to=9").await.unwrap();
    live.end().await;
}
