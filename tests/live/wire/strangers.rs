//! Peers that are not who they should be are not listened to: it is said why, and who is turned away by so many
//! that the others are no quorum stops.

use raft_actors::{
    machine::kv::{Command, Kv},
    raft::Why,
};

use super::house::{Live, Plan};

/// Two peers of three are as they should be, and the third is not. Says why it stopped.
async fn with_a_stranger(change: impl FnOnce(&mut Plan) -> Option<String>) -> (Why, String, String) {
    let mut live = Live::some(Plan::of(3), &[1, 2]).await;
    live.leader().await;
    let plan = live.plan.clone();
    let name = change(&mut live.plan);
    let mut network = live.plan.network(&[3]);
    if let Some(name) = name {
        network = network.cluster(name);
    }
    live.open_as(network, 3).await;
    live.until("it stops", || live.status(3).stopped.is_some()).await;
    let stopped = live.status(3).stopped.unwrap();
    // Both say whom they turned away, and why; and go on without it.
    for id in [1, 2] {
        live.until("it is told", || !live.told(id, "ConnectionRefused").is_empty()).await;
    }
    let told = live.told(1, "ConnectionRefused").remove(0);
    live.close(3).await;
    live.remote().await.client::<Kv>().propose(&Command::set("a", "1")).await.unwrap();
    // The one that it should have been is welcome: nothing of the other was remembered.
    live.plan = plan;
    live.open(3).await;
    live.until_equal(&[1, 2, 3]).await;
    live.end().await;
    (stopped.why, stopped.cause, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_cluster_is_turned_away_and_stops() {
    let (why, cause, told) = with_a_stranger(|_| Some("another".into())).await;
    assert_eq!(why, Why::AnotherCluster);
    assert!(cause.contains("does not listen to this one: expected the cluster \"1="), "{cause}");
    assert!(
        cause.contains("met \"another\": give each peer the addresses and the data of one cluster"),
        "{cause}"
    );
    assert!(told.contains("met \"another\""), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_cluster_began_with_others_is_turned_away_and_stops() {
    let (why, cause, told) = with_a_stranger(|plan| {
        let name: Vec<_> = plan.members.iter().map(|(id, address)| format!("{id}={address}")).collect();
        plan.members.push((4, plan.address(1).replace("127.", "128.")));
        Some(name.join(","))
    })
    .await;
    assert_eq!(why, Why::AnotherMembership);
    for text in [cause, told] {
        assert!(text.contains("expected a cluster that began with the membership"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_other_limits_of_sessions_is_turned_away_and_stops() {
    let (why, cause, told) = with_a_stranger(|plan| {
        plan.config.sessions_max = 7;
        None
    })
    .await;
    assert_eq!(why, Why::OtherLimits);
    for text in [cause, told] {
        assert!(text.contains("met 7 sessions, 1024 answers in each: give each peer the same"), "{text}");
    }
}

/// Two peers listen at each other's address. Nobody takes one for the other, and each end says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_listen_at_each_others_address_are_not_mistaken() {
    let mut live = Live::some(Plan::durable(3), &[1]).await;
    let (second, third) = (live.plan.address(2), live.plan.address(3));
    live.open_as(live.plan.network(&[2]).listen(2, third.clone()), 2).await;
    live.open_as(live.plan.network(&[3]).listen(3, second.clone()), 3).await;
    for (id, meant) in [(3, 2), (2, 3)] {
        let what = format!("it is peer {id}, and peer {meant} was meant");
        live.until(&what, || live.told(id, "ConnectionRefused").iter().any(|told| told.contains(&what)))
            .await;
        let down = format!("PeerDown other={meant}");
        live.until(&down, || live.told(1, &down).iter().any(|told| told.contains(&what))).await;
    }
    // Without the two there is no quorum, and with them there is none either.
    assert_eq!(live.leads(), None);
    live.close(2).await;
    live.close(3).await;
    live.open(2).await;
    live.open(3).await;
    live.leader().await;
    live.end().await;
}

/// A voter that has lost its folder has forgotten what it promised: it must not vote again under its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_voter_is_turned_away_and_stops() {
    let mut live = Live::start(Plan::durable(3)).await;
    live.leader().await;
    live.until_connected().await;
    live.remote().await.client::<Kv>().propose(&Command::set("a", "1")).await.unwrap();
    live.close(3).await;
    std::fs::remove_dir_all(live.plan.folder(3).unwrap()).unwrap();
    live.open(3).await;
    live.until("it stops", || live.status(3).stopped.is_some()).await;
    let stopped = live.status(3).stopped.unwrap();
    assert_eq!(stopped.why, Why::AnotherDisk, "{stopped}");
    assert!(stopped.cause.contains("what the old one had promised is lost"), "{stopped}");
    live.leader_but(&[3]).await;
    live.remote().await.client::<Kv>().propose(&Command::set("a", "2")).await.unwrap();
    assert!(live.status(3).last.index.0 <= 1, "it took nothing but its first membership");
    live.close(3).await;
    live.end().await;
}

/// A peer that was away and comes back with the disk that it had is the one that it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_comes_back_with_its_folder_is_welcome() {
    let mut live = Live::start(Plan::durable(3)).await;
    let leader = live.leader().await;
    let client = live.remote().await.client::<Kv>();
    client.propose(&Command::append("a", "x")).await.unwrap();
    live.close(leader).await;
    live.leader_but(&[leader]).await;
    client.propose(&Command::append("a", "x")).await.unwrap();
    live.open(leader).await;
    live.until_equal(&[1, 2, 3]).await;
    assert_eq!(live.value(leader, "a").await.as_deref(), Some("xx"));
    live.end().await;
}
