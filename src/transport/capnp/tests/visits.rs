//! Who comes to a peer, how far they get, and how they leave.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use capnp::capability::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};

use super::fake::{Fake, listener, serve};
use crate::{
    Cluster,
    client::{Remote, RemoteOptions},
    cluster::Network,
    config::{Config, NetworkConfig},
    error::ClientError,
    machine::{Interface, Kv, Raw},
    observe::Capture,
    raft::PeerId,
    storage::Incarnation,
    transport::{
        Introduction, SessionLimits,
        capnp::{
            dial::{Dialled, Security, dial},
            handshake::{PROTOCOL, write_introduction},
            messages_capnp as wire,
            meter::Meter,
            tls::Whom,
        },
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

type Reply = Response<wire::bootstrap::connect_results::Owned>;

/// A peer that listens, and what happens to it. The second peer of its cluster is played by the tests.
struct House {
    cluster: Cluster<Kv>,
    address: String,
    events: Capture,
}

async fn house(limits: impl FnOnce(&mut NetworkConfig)) -> House {
    let mut network = NetworkConfig::default();
    limits(&mut network);
    let (_, elsewhere) = listener().await;
    let network =
        Network::new([(1, "127.0.0.1:0"), (2, &elsewhere)]).here(1).cluster("orders").limits(network);
    let events = Capture::new();
    let cluster = Cluster::of(|_| Kv::default()).network(network).observe(events.clone());
    let cluster = cluster.start().await.unwrap();
    let address = cluster.local_addr(PeerId(1)).unwrap().to_string();
    House { cluster, address, events }
}

impl House {
    /// Somebody who has come, and said nothing yet.
    async fn knock(&self) -> Guest {
        let limits = NetworkConfig::default();
        let dialled = dial(&self.address, Whom::AnyPeer, &Security::default(), &limits, 16 << 20).await;
        let Dialled { system, meter, bootstrap, .. } = dialled.unwrap();
        let task = spawn_local(async move { drop(system.await) });
        Guest { bootstrap, meter, task }
    }

    async fn stream(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// What was told of those who were turned away.
    fn refusals(&self) -> Vec<String> {
        let told = self.events.texts();
        told.into_iter().filter(|text| text.contains("ConnectionRefused")).collect()
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        let came = self.cluster.wait_until(PATIENCE, holds).await;
        assert!(came, "{:#?}", self.events.texts());
    }

    /// It is as well as before, with nobody in it.
    async fn end(self) {
        let guest = self.knock().await;
        let reply = guest.client(PROTOCOL, "orders").await;
        assert_eq!(told(&reply), "welcome");
        let admin = welcome(&reply).get_admin().unwrap();
        for _ in 0.. {
            let status = admin.status_request().send().promise.await.unwrap();
            let connections = status.get().unwrap().get_status().unwrap().get_connections();
            if connections == 1 {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        self.cluster.shutdown().await.unwrap();
    }
}

struct Guest {
    bootstrap: wire::bootstrap::Client,
    meter: Meter,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guest {
    /// Says hello as a client.
    async fn client(&self, protocol: u32, cluster: &str) -> Reply {
        let mut request = self.bootstrap.connect_request();
        let mut hello = request.get().init_hello();
        hello.set_protocol(protocol);
        hello.set_cluster(cluster);
        hello.init_client();
        request.send().promise.await.unwrap()
    }

    /// Says hello as the second peer, with this disk.
    async fn peer(&self, first_membership: u32, disk: u128, to: u64) -> Reply {
        let introduction = Introduction {
            cluster: "orders".into(),
            peer: PeerId(2),
            first_membership,
            incarnation: Incarnation(disk),
            sessions: SessionLimits::of(&Config::default()),
        };
        let mut request = self.bootstrap.connect_request();
        let mut hello = request.get().init_hello();
        hello.set_protocol(PROTOCOL);
        hello.set_cluster("orders");
        let mut peer = hello.init_peer();
        peer.set_to(to);
        write_introduction(&introduction, peer.init_introduction());
        request.send().promise.await.unwrap()
    }
}

fn welcome(reply: &Reply) -> wire::welcome::Reader<'_> {
    match reply.get().unwrap().get_reply().unwrap().which().unwrap() {
        wire::connect_reply::Welcome(welcome) => welcome.unwrap(),
        wire::connect_reply::Refused(_) => panic!("{}", told(reply)),
    }
}

/// `welcome`, or why not.
fn told(reply: &Reply) -> String {
    match reply.get().unwrap().get_reply().unwrap().which().unwrap() {
        wire::connect_reply::Welcome(_) => "welcome".into(),
        wire::connect_reply::Refused(refused) => refused.unwrap().get_text().unwrap().to_string().unwrap(),
    }
}

async fn local(test: impl Future<Output = ()>) {
    let test = LocalSet::new().run_until(timeout(6 * PATIENCE, test)).await;
    assert!(test.is_ok(), "it does not end");
}

/// Returns when the other side has hung up; with everything that it said.
async fn until_hung_up(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A connection that is reset is over, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it hangs up");
    said
}

#[tokio::test]
async fn whoever_leaves_at_any_stage_of_the_handshake_leaves_nothing_behind() {
    local(async {
        let house = house(|_| {}).await;
        for _ in 0..8 {
            drop(house.stream().await);
            // Half of a header, half of a frame, and a whole one that says nothing of use.
            for bytes in [
                &[0][..],
                &[0, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3],
                &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ] {
                house.stream().await.write_all(bytes).await.unwrap();
            }
            // The bootstrap is asked for, and nothing else.
            let guest = house.knock().await;
            sleep(Duration::from_millis(1)).await;
            drop(guest);
            // A hello, and nobody waits for the answer.
            let guest = house.knock().await;
            let _ = timeout(Duration::from_micros(100), guest.client(PROTOCOL, "orders")).await;
            drop(guest);
            let guest = house.knock().await;
            assert_eq!(told(&guest.client(PROTOCOL, "orders").await), "welcome");
            drop(guest);
        }
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_one_handshake() {
    local(async {
        let house = house(|_| {}).await;
        let again = "the handshake of this connection is over: open another one";
        let guest = house.knock().await;
        assert_eq!(told(&guest.client(PROTOCOL, "").await), "welcome");
        assert_eq!(told(&guest.client(PROTOCOL, "").await), again);
        drop(guest);
        // Also if it was refused, and while another is under way.
        let guest = house.knock().await;
        let refused = told(&guest.client(PROTOCOL, "another").await);
        assert!(
            refused.starts_with("it belongs to the cluster `orders`, and `another` was asked for"),
            "{refused}"
        );
        assert_eq!(told(&guest.client(PROTOCOL, "").await), again);
        let guest = house.knock().await;
        let refused = told(&guest.client(PROTOCOL + 1, "").await);
        assert_eq!(refused, "it speaks version 1 of the protocol only: run the same release on both ends");
        let first = house.first_membership().await;
        let guest = house.knock().await;
        let (one, other) = tokio::join!(guest.peer(first, 7, 1), guest.client(PROTOCOL, ""));
        assert_eq!([told(&one), told(&other)], ["welcome", again]);
        drop((guest, one, other));
        house.end().await;
    })
    .await;
}

impl House {
    async fn first_membership(&self) -> u32 {
        let guest = self.knock().await;
        let reply = guest.client(PROTOCOL, "").await;
        welcome(&reply).get_introduction().unwrap().get_first_membership()
    }
}

/// The answer to the handshake is held meanwhile, so that nothing short is sent before.
#[tokio::test]
async fn the_first_frame_after_the_handshake_may_be_long() {
    local(async {
        let house = house(|_| {}).await;
        let guest = house.knock().await;
        let reply = guest.client(PROTOCOL, "").await;
        let client = welcome(&reply).get_client().unwrap();
        let mut request = client.propose_request();
        request.get().init_commands(1).get(0).set_payload(&[0xff; 500_000]);
        let outcomes = request.send().promise.await.unwrap();
        assert_eq!(outcomes.get().unwrap().get_outcomes().unwrap().len(), 1);
        drop((reply, outcomes, client, guest));
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_of_another_group_or_in_too_many_pieces_is_refused() {
    local(async {
        let house = house(|_| {}).await;
        let guest = house.knock().await;
        let reply = guest.client(PROTOCOL, "").await;
        let client = welcome(&reply).get_client().unwrap();
        let mut request = client.ping_request();
        request.get().set_group(1);
        let error = request.send().promise.await.map(drop).unwrap_err();
        assert!(error.extra.contains("there is no group 1 here: the only one is 0"), "{error}");
        let mut request = client.propose_request();
        request.get().init_commands(1_025);
        let error = request.send().promise.await.map(drop).unwrap_err();
        assert!(error.extra.contains("1025 commands are more than the limit of 1024"), "{error}");
        // And the connection goes on.
        assert!(client.ping_request().send().promise.await.is_ok());
        drop((reply, client, guest));
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn those_who_only_knock_make_room_for_the_next() {
    local(async {
        // Nobody leaves by itself.
        let house = house(|limits| (limits.greetings_max, limits.handshake_ms) = (2, 600_000)).await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(house.stream().await);
        }
        assert!(until_hung_up(&mut streams[0]).await.is_empty());
        assert_eq!(house.first_membership().await, house.first_membership().await);
        drop(streams);
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn there_are_so_many_clients_and_no_more() {
    local(async {
        let house = house(|limits| limits.connections_max = 2).await;
        let guests = [house.knock().await, house.knock().await];
        for guest in &guests {
            assert_eq!(told(&guest.client(PROTOCOL, "").await), "welcome");
        }
        let late = house.knock().await;
        let refused = told(&late.client(PROTOCOL, "").await);
        assert_eq!(refused, "it has as many connections as it takes: try again a little later");
        assert!(house.refusals().iter().any(|told| told.contains("as many connections")));
        drop((guests, late));
        for _ in 0.. {
            let guest = house.knock().await;
            if told(&guest.client(PROTOCOL, "").await) == "welcome" {
                break;
            }
        }
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_left_after_a_while_and_who_does_nothing_then_too() {
    local(async {
        let house = house(|limits| (limits.handshake_ms, limits.idle_ms) = (150, 300)).await;
        let mut stream = house.stream().await;
        assert!(until_hung_up(&mut stream).await.is_empty());
        house.until(|| house.refusals().iter().any(|told| told.contains("it did not shake hands"))).await;
        let guest = house.knock().await;
        let reply = guest.client(PROTOCOL, "").await;
        let client = welcome(&reply).get_client().unwrap();
        // Whoever says something now and then may stay.
        for _ in 0..10 {
            sleep(Duration::from_millis(50)).await;
            assert!(client.ping_request().send().promise.await.is_ok());
        }
        let idle_at = std::time::Instant::now();
        while client.ping_request().send().promise.await.is_ok() {
            sleep(Duration::from_millis(500)).await;
            assert!(idle_at.elapsed() < PATIENCE, "{:?}", guest.meter.ended());
        }
        drop((reply, client, guest));
        house.end().await;
    })
    .await;
}

/// Whatever speaks another protocol is left, and it is said who that was.
#[tokio::test]
async fn who_speaks_something_else_is_left_at_once() {
    local(async {
        let house = house(|_| {}).await;
        let mut stream = house.stream().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until_hung_up(&mut stream).await;
        let from = stream.local_addr().unwrap().to_string();
        house.until(|| !house.refusals().is_empty()).await;
        let told = house.refusals();
        assert!(told[0].contains(&from) && told[0].contains("a frame of more than 64 segments"), "{told:?}");
        house.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_is_not_who_it_should_be_hears_why() {
    local(async {
        let house = house(|_| {}).await;
        let first = house.first_membership().await;
        let rows = [
            (first, 7, 3, "it is peer 1, and peer 3 was meant"),
            (first + 1, 7, 1, "expected a cluster that began with the membership"),
            (first, 7, 1, "welcome"),
            // Which one that is it is not told: it could come with it.
            (first, 8, 1, "another disk is known under this id"),
            (first, 7, 1, "welcome"),
        ];
        for (membership, disk, to, expected) in rows {
            let guest = house.knock().await;
            let told = told(&guest.peer(membership, disk, to).await);
            assert!(told.starts_with(expected), "{told}");
        }
        house.end().await;
    })
    .await;
}

/// What a peer of the cluster says in its own name counts, what it says in another's does not, and ends its
/// connection.
#[tokio::test]
async fn a_peer_speaks_for_itself() {
    local(async {
        let house = house(|_| {}).await;
        let first = house.first_membership().await;
        let guest = house.knock().await;
        let reply = guest.peer(first, 7, 1).await;
        assert!(!welcome(&reply).has_client() && !welcome(&reply).has_admin());
        let raft = welcome(&reply).get_raft().unwrap();
        let ask = |candidate, group| {
            let mut request = raft.pre_vote_request();
            request.get().set_group(group);
            let mut rpc = request.get().init_request();
            rpc.set_term(5);
            rpc.set_candidate(candidate);
            request.send().promise
        };
        let answer = ask(2, 0).await.unwrap();
        assert_eq!(answer.get().unwrap().get_reply().unwrap().get_from(), 1);
        // What is malformed is refused, and the next is heard.
        let mut request = raft.append_entries_request();
        let mut rpc = request.get().init_request();
        rpc.set_leader(2);
        rpc.init_batches(1);
        let error = request.send().promise.await.map(drop).unwrap_err();
        assert!(error.extra.contains("malformed: a batch without entries"), "{error}");
        let error = ask(2, 1).await.map(drop).unwrap_err();
        assert!(error.extra.contains("there is no group 1"), "{error}");
        assert!(ask(2, 0).await.is_ok());
        // It may not speak for peer 1, nor for one that nobody knows.
        assert!(ask(1, 0).await.is_err());
        house.until(|| house.events.texts().iter().any(|text| text.contains("in the name of peer 1"))).await;
        assert!(ask(2, 0).await.is_err(), "and is not heard any more");
        drop((reply, raft, guest));
        house.end().await;
    })
    .await;
}

/// Bytes that mean nothing.
enum Raws {}

impl Interface for Raws {
    type Command = Raw;
    type Answer = Raw;
    type Query = Raw;
    type Response = Raw;
}

/// A redirect names a peer, and what counts is where the members say that it listens.
#[tokio::test]
async fn redirects_lead_to_members_and_to_nobody_else() {
    local(async {
        let (one, one_at) = listener().await;
        let (two, two_at) = listener().await;
        let (trap, trap_at) = listener().await;
        let members = vec![(PeerId(1), one_at.clone()), (PeerId(2), two_at)];
        let fake = |me, leader| Fake { me: PeerId(me), members: members.clone(), leader };
        serve(fake(1, Some((PeerId(2), trap_at.clone()))), one);
        serve(fake(2, None), two);
        let remote = Remote::connect([one_at], RemoteOptions::default()).await.unwrap();
        let client = remote.client::<Raws>();
        assert_eq!(client.propose(&Raw(Bytes::new())).await, Ok(Raw(Bytes::new())));

        let (stray, stray_at) = listener().await;
        let members = vec![(PeerId(1), stray_at.clone())];
        serve(Fake { me: PeerId(1), members, leader: Some((PeerId(9), trap_at)) }, stray);
        let remote = Remote::connect([stray_at], RemoteOptions::default()).await.unwrap();
        let client = remote.client::<Raws>().with_deadline(Duration::from_millis(300));
        let lost = client.propose(&Raw(Bytes::new())).await;
        assert_eq!(lost, Err(ClientError::NotLeader { leader: Some(PeerId(9)), address: None }));
        let visited = timeout(Duration::from_millis(100), trap.accept()).await;
        assert!(visited.is_err(), "somebody was led astray");
    })
    .await;
}
