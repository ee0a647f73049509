//! Peers of several processes: here several clusters of one peer each, in one process, that know of each other
//! only by address.

use std::time::Duration;

use raft_actors::{
    Cluster,
    client::{Remote, RemoteOptions},
    cluster::Network,
    machine::kv::{Answer, Command, Kv, Query, Response},
    raft::PeerId,
};

type Peer = Cluster<Kv>;

fn addresses(count: u64) -> Vec<(u64, String)> {
    let listeners: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    (1..).zip(&listeners).map(|(id, listener)| (id, listener.local_addr().unwrap().to_string())).collect()
}

async fn start(members: &[(u64, String)], here: &[u64]) -> Peer {
    let network = here.iter().fold(Network::new(members.to_vec()), |network, &id| network.here(id));
    Cluster::of(|_| Kv::default()).network(network.allow_faults()).start().await.unwrap()
}

async fn start_all(members: &[(u64, String)]) -> Vec<Peer> {
    let mut peers = Vec::new();
    for (id, _) in members {
        peers.push(start(members, &[*id]).await);
    }
    peers
}

async fn leader(peers: &[Peer]) -> PeerId {
    for _ in 0..500 {
        for peer in peers {
            if let Some(leader) = peer.wait_for_leader(Duration::from_millis(10)).await {
                return leader;
            }
        }
    }
    panic!("nobody leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_elect_replicate_and_answer_over_the_wire() {
    let members = addresses(3);
    let peers = start_all(&members).await;
    let first = leader(&peers).await;
    let remote = Remote::connect([members[0].1.clone()], RemoteOptions::default()).await.unwrap();
    assert_eq!(remote.addressed(), PeerId(1));
    assert_eq!(remote.members().len(), 3);
    let client = remote.client::<Kv>();
    assert_eq!(client.propose(&Command::set("a", "1")).await.unwrap(), Answer::Before(None));
    assert_eq!(client.query(&Query::get("a")).await.unwrap(), Response::Value(Some("1".into())));
    for peer in &peers {
        let answer = peer.client().propose(&Command::append("b", "x")).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let session = remote.client::<Kv>().session().await.unwrap();
    for number in 0..1000u64 {
        drop(session.submit(&Command::append("c", number.to_string())).await.unwrap());
    }
    session.propose(&Command::append("c", "end")).await.unwrap();
    let report = remote.operator(first).status().await.unwrap();
    assert_eq!(report.status.leader, Some(first));
    println!("{report:?}");
    for peer in peers {
        peer.shutdown().await.unwrap();
    }
}
