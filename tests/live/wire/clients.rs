//! Clients and operators on other machines.

use std::{net::TcpListener, time::Duration};

use raft_actors::{
    ClientError, Cluster, ClusterError,
    client::{
        Remote, RemoteOptions,
        remote::{OperatorError, Watched},
    },
    cluster::Network,
    machine::kv::{Answer, Command, Kv, Query, Response},
    raft::PeerId,
};
use tokio::time::timeout;

use super::house::{Live, PATIENCE, Plan, addresses};

#[tokio::test(flavor = "multi_thread")]
async fn values_may_be_large_and_what_is_larger_is_not_sent() {
    let live = Live::start(Plan::of(3)).await;
    live.leader().await;
    let remote = live.remote().await;
    let client = remote.client::<Kv>();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.propose(&Command::set("a", value.clone())).await.unwrap(), Answer::Before(None));
    // Its answer is as long as it is.
    let before = client.propose(&Command::set("a", "small")).await.unwrap();
    assert!(matches!(before, Answer::Before(Some(before)) if before == value));
    client.propose(&Command::set("a", value.clone())).await.unwrap();
    let read = client.query(&Query::get("a")).await.unwrap();
    assert!(matches!(read, Response::Value(Some(read)) if read == value));
    live.until_equal(&live.ids()).await;

    let max = remote.command_bytes_max();
    assert_eq!(max, live.plan.config.command_bytes_max);
    let last = live.status(live.leader().await).last;
    let refused = client.propose(&Command::set("a", vec![0; max])).await;
    assert!(
        matches!(refused, Err(ClientError::TooLarge { bytes, max: limit }) if bytes > max && limit == max)
    );
    let refused = client.query(&Query::get(vec![0; max])).await;
    assert!(matches!(refused, Err(ClientError::TooLarge { .. })), "{refused:?}");
    assert_eq!(live.status(live.leader().await).last, last);
    live.end().await;
}

/// Many of them at once are more than a frame holds, and each way has its share.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_values_are_told_apart() {
    let live = Live::start(Plan::of(3)).await;
    live.leader().await;
    let session = live.remote().await.client::<Kv>().with_deadline(PATIENCE).session().await.unwrap();
    let mut tickets = Vec::new();
    for number in 0..24u8 {
        let value = vec![number; 900_000];
        tickets.push((number, session.submit(&Command::set("a", value)).await.unwrap()));
    }
    for (number, ticket) in tickets {
        let Answer::Before(before) = ticket.await.unwrap() else { panic!("it is set") };
        assert_eq!(before.map(|before| before[0]), number.checked_sub(1));
    }
    live.until_equal(&live.ids()).await;
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_answers_what_is_asked_of_it_alone() {
    let live = Live::start(Plan::of(3)).await;
    let client = live.remote().await.client::<Kv>();
    client.propose(&Command::set("a", "1")).await.unwrap();
    live.until_equal(&live.ids()).await;
    for id in live.ids() {
        let read = client.query_local(PeerId(id), &Query::get("a")).await.unwrap();
        assert_eq!(read, Response::Value(Some("1".into())));
    }
    // One that hears nobody does not know what happened since, and answers all the same.
    let leader = live.leader().await;
    let alone = leader % 3 + 1;
    live.remote().await.operator(PeerId(alone)).isolate().await.unwrap();
    live.peer(leader).client().propose(&Command::set("a", "2")).await.unwrap();
    let read = client.query_local(PeerId(alone), &Query::get("a")).await.unwrap();
    assert_eq!(read, Response::Value(Some("1".into())));
    assert_eq!(client.query(&Query::get("a")).await.unwrap(), Response::Value(Some("2".into())));
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_nobody_is_told_what_came_of_each_address() {
    let plan = Plan::of(1);
    let own = plan.address(1);
    let live = Live::start(plan).await;
    let nobody = addresses(1).remove(0).1;
    let mute = TcpListener::bind(addresses(1).remove(0).1).unwrap();
    let mute = (mute.local_addr().unwrap().to_string(), mute);
    let mut options = RemoteOptions::default();
    options.deadline = Duration::from_millis(500);
    options.cluster = Some("another".into());
    let tried = [nobody.clone(), mute.0.clone(), own.clone(), "no.such.host.invalid:1".into()];
    let what = Remote::connect(tried, options).await.map(drop).unwrap_err().to_string();
    let said = what.strip_prefix("no peer can be spoken to: ").unwrap().split("; ");
    let causes = [
        (nobody.as_str(), "onnection refused"),
        (mute.0.as_str(), "it"),
        (own.as_str(), "`another` was asked for: give the address of a peer of that one"),
        ("no.such.host.invalid:1", "failed to lookup address"),
    ];
    assert_eq!(said.clone().count(), causes.len(), "{what}");
    for ((address, cause), said) in causes.iter().zip(said) {
        assert!(said.starts_with(&format!("{address}: ")) && said.contains(cause), "{address}: {what}");
    }
    // One that is silent does not keep a client from the others, wherever it is in the list.
    let remote = Remote::connect([mute.0.clone(), own], RemoteOptions::default()).await.unwrap();
    assert_eq!(remote.addressed(), PeerId(1));
    let mut options = RemoteOptions::default();
    options.deadline = Duration::from_millis(200);
    let what = Remote::connect([mute.0.clone()], options).await.map(drop).unwrap_err().to_string();
    assert!(what.starts_with(&format!("no peer can be spoken to: {}: it ", mute.0)), "{what}");
    let what = Remote::connect([""; 0], RemoteOptions::default()).await.map(drop).unwrap_err().to_string();
    assert_eq!(what, "no peer can be spoken to: there is no address to try: give one at least");
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_that_a_peer_is_away() {
    let mut live = Live::start(Plan::durable(3)).await;
    let leader = live.leader().await;
    let away = leader % 3 + 1;
    let remote = live.remote().await;
    remote.operator(PeerId(away)).status().await.unwrap();
    let address = live.plan.address(away);
    live.close(away).await;
    let lost = remote.operator(PeerId(away)).status().await;
    assert!(
        matches!(&lost, Err(OperatorError::Unreachable { peer, address: at, .. }) if *peer == PeerId(away) && *at == address),
        "{lost:?}"
    );
    live.open(away).await;
    for attempt in 0.. {
        match remote.operator(PeerId(away)).status().await {
            Ok(report) if report.status.peer == PeerId(away) => break,
            Ok(report) => panic!("{report:?}"),
            Err(error) => assert!(attempt < 1_000, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_given_over_the_wire() {
    let live = Live::start(Plan::of(3)).await;
    let remote = live.remote().await;
    remote.client::<Kv>().propose(&Command::set("a", "1")).await.unwrap();
    live.until_equal(&live.ids()).await;
    let leader = live.leader().await;
    let follower = remote.operator(PeerId(leader % 3 + 1));
    let index = follower.snapshot().await.unwrap();
    assert!(index.0 > 1);
    assert_eq!(follower.status().await.unwrap().status.snapshot, index);
    let refused = follower.transfer(None).await;
    assert!(matches!(refused, Err(OperatorError::Failed { reason: "not_leader", .. })), "{refused:?}");
    let refused = remote.operator(PeerId(live.leader().await)).transfer(Some(PeerId(9))).await;
    assert!(matches!(refused, Err(OperatorError::Failed { reason: "not_a_voter", .. })), "{refused:?}");
    let report = remote.operator(PeerId(live.leader().await)).status().await.unwrap();
    let connected = report.peers.iter().all(|view| view.connected && view.progress.is_some());
    assert!(connected && report.leader_address.is_some(), "{report:?}");
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_what_happens() {
    let live = Live::start(Plan::of(1)).await;
    live.leader().await;
    let remote = live.remote().await;
    let mut watch = remote.operator(PeerId(1)).watch().await.unwrap();
    remote.client::<Kv>().propose(&Command::set("a", "secret")).await.unwrap();
    let mut seen = Vec::new();
    while !seen.iter().any(|text: &String| text.contains(" Committed index=")) {
        match timeout(PATIENCE, watch.recv()).await.unwrap().unwrap() {
            Watched::Event(event) => seen.push(event.to_string()),
            missed => panic!("{missed:?}"),
        }
    }
    let text = seen.join("\n");
    assert!(text.contains(" n1@") && text.contains(" leader ") && !text.contains("secret"), "{text}");
    // As many as one connection may have, until one of them goes.
    let operator = remote.operator(PeerId(1));
    let mut more = Vec::new();
    for _ in 0..3 {
        more.push(operator.watch().await.unwrap());
    }
    let refused = operator.watch().await;
    assert!(matches!(refused, Err(OperatorError::Failed { reason: "too_many", .. })), "{refused:?}");
    drop(more.pop());
    let again = async {
        while operator.watch().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    // It ends with the peer.
    live.end().await;
    let over = async { while watch.recv().await.is_some() {} };
    timeout(PATIENCE, over).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_that_others_could_reach_has_to_be_asked_for() {
    let start = |network: Network| Cluster::of(|_| Kv::default()).network(network.here(1)).start();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let network = || Network::new([(1, address)]);
        let refused = start(network()).await.map(drop);
        assert!(
            matches!(&refused, Err(ClusterError::Plaintext { address: at }) if at.to_string() == address)
        );
        let Ok(peer) = start(network().plaintext()).await else {
            assert!(address.starts_with('['), "a machine may have no IPv6");
            continue;
        };
        peer.shutdown().await.unwrap();
    }
    // Nor is it sent there.
    let what = Remote::connect(["192.0.2.1:7411"], RemoteOptions::default()).await.map(drop).unwrap_err();
    assert!(what.to_string().contains("nobody asked for plaintext: use TLS, or say so"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_makes_no_sense_is_refused() {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let rows = [
        (Network::new([(1, at(0))]), "none of the peers is here"),
        (Network::new([(1, at(0))]).here(2), "peer 2 is not among the peers of the cluster"),
        (Network::new([(0, at(0))]).here(0), "ids of peers begin at 1"),
        (Network::new([(1, "somewhere")]).here(1), "`somewhere` is no address of peer 1: it takes HOST:PORT"),
        (Network::new([(1, at(7)), (2, at(7))]).here(1), "peers 1 and 2 have the same address 127.0.0.1:7"),
        (Network::new([(1, taken.local_addr().unwrap().to_string())]).here(1), "can't listen at 127.0.0.1:"),
        (Network::new((1..=10).map(|id| (id, at(id as u16)))).here(1), "a cluster has 1 to 9 peers, not 10"),
    ];
    for (network, expected) in rows {
        let refused = Cluster::of(|_| Kv::default()).network(network).start().await.map(drop).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}
