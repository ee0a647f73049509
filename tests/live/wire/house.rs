//! Peers with a thread each, that reach each other over loopback.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use raft_actors::{
    Cluster, ClusterError, Config,
    client::{Remote, RemoteOptions},
    cluster::Network,
    config::NetworkConfig,
    machine::kv::{Kv, Query, Response},
    observe::Capture,
    raft::{PeerId, RoleKind},
};
use tempfile::TempDir;

pub type Peer = Cluster<Kv>;

/// For what is sure to come, be the machine ever so busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine that no other test has, so that a port which was free stays free.
fn host() -> IpAddr {
    static HOSTS: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let (process, host) = (std::process::id() % 250, HOSTS.fetch_add(1, Relaxed));
    Ipv4Addr::from((127 << 24) + ((1 + process) << 16) + 2 + host).into()
}

/// So many members, from 1 on, each at a free port.
pub fn addresses(count: u64) -> Vec<(u64, String)> {
    let host = host();
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind((host, 0)).unwrap()).collect();
    (1..).zip(&listeners).map(|(id, listener)| (id, listener.local_addr().unwrap().to_string())).collect()
}

/// How peers are to be started.
#[derive(Clone)]
pub struct Plan {
    pub members: Vec<(u64, String)>,
    pub config: Config,
    pub limits: NetworkConfig,
    /// Where each peer has a folder of its own.
    pub data: Option<Arc<TempDir>>,
    pub allow_faults: bool,
}

impl Plan {
    pub fn of(count: u64) -> Plan {
        let mut limits = NetworkConfig::default();
        (limits.reconnect_ms, limits.reconnect_ms_max) = (20, 100);
        Plan { members: addresses(count), config: Config::default(), limits, data: None, allow_faults: true }
    }

    /// With folders: whoever ends and comes back has the disk that it had.
    pub fn durable(count: u64) -> Plan {
        Plan::of(count).with_folders()
    }

    pub fn with_folders(mut self) -> Plan {
        self.data = Some(Arc::new(tempfile::tempdir().unwrap()));
        self
    }

    pub fn network(&self, here: &[u64]) -> Network {
        let network = Network::new(self.members.clone()).limits(self.limits.clone());
        let network = here.iter().fold(network, |network, &id| network.here(id));
        if self.allow_faults { network.allow_faults() } else { network }
    }

    pub fn folder(&self, id: u64) -> Option<PathBuf> {
        self.data.as_ref().map(|data| data.path().join(id.to_string()))
    }

    pub fn address(&self, id: u64) -> String {
        self.members.iter().find(|(member, _)| *member == id).unwrap().1.clone()
    }

    /// Starts a process with a peer in it, or several.
    pub async fn start(&self, network: Network, id: u64) -> Result<(Peer, Capture), ClusterError> {
        let events = Capture::new();
        let peer = Cluster::of(|_| Kv::default()).config(self.config.clone()).network(network);
        let peer = match self.folder(id) {
            Some(folder) => peer.data(folder),
            None => peer,
        };
        Ok((peer.observe(events.clone()).start().await?, events))
    }
}

/// All peers of a cluster, each in a process of its own.
pub struct Live {
    pub plan: Plan,
    peers: BTreeMap<u64, Peer>,
    events: BTreeMap<u64, Capture>,
}

impl Live {
    pub async fn start(plan: Plan) -> Live {
        let ids: Vec<u64> = plan.members.iter().map(|(id, _)| *id).collect();
        let mut live = Live { plan, peers: BTreeMap::new(), events: BTreeMap::new() };
        for id in ids {
            live.open(id).await;
        }
        live
    }

    /// Only these of the members.
    pub async fn some(plan: Plan, ids: &[u64]) -> Live {
        let mut live = Live { plan, peers: BTreeMap::new(), events: BTreeMap::new() };
        for &id in ids {
            live.open(id).await;
        }
        live
    }

    /// Starts a peer's process.
    pub async fn open(&mut self, id: u64) {
        self.open_as(self.plan.clone().network(&[id]), id).await;
    }

    pub async fn open_as(&mut self, network: Network, id: u64) {
        let (peer, events) = self.plan.start(network, id).await.unwrap();
        self.peers.insert(id, peer);
        self.events.insert(id, events);
    }

    /// Ends a peer's process.
    pub async fn close(&mut self, id: u64) {
        // What went wrong in it is for the test to say.
        let _ = self.peers.remove(&id).unwrap().shutdown().await;
    }

    pub fn peer(&self, id: u64) -> &Peer {
        &self.peers[&id]
    }

    pub fn status(&self, id: u64) -> raft_actors::observe::PeerStatus {
        self.peer(id).status(PeerId(id)).unwrap()
    }

    pub fn ids(&self) -> Vec<u64> {
        self.peers.keys().copied().collect()
    }

    pub fn events(&self, id: u64) -> &Capture {
        &self.events[&id]
    }

    /// What happened at a peer under one of these names, as text.
    pub fn told(&self, id: u64, name: &str) -> Vec<String> {
        self.events[&id].texts().into_iter().filter(|text| text.contains(name)).collect()
    }

    /// Who leads, of those that run.
    pub fn leads(&self) -> Option<u64> {
        let of = |(&id, peer): (&u64, &Peer)| peer.status(PeerId(id)).map(|status| (id, status));
        let leading = self.peers.iter().filter_map(of);
        let leading = leading.filter(|(_, status)| status.role == Some(RoleKind::Leader) && status.settled);
        leading.max_by_key(|(_, status)| status.term).map(|(id, _)| id)
    }

    /// Waits until a peer leads that is none of these.
    pub async fn leader_but(&self, but: &[u64]) -> u64 {
        self.until("somebody leads", || self.leads().is_some_and(|leader| !but.contains(&leader))).await;
        self.leads().unwrap()
    }

    pub async fn leader(&self) -> u64 {
        self.leader_but(&[]).await
    }

    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if Instant::now() > deadline {
                for (id, events) in &self.events {
                    let texts = events.texts();
                    eprintln!("peer {id}: {:#?}", &texts[texts.len().saturating_sub(40)..]);
                }
                panic!("not in time: {what}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until these have applied all that any of them has.
    pub async fn until_equal(&self, ids: &[u64]) {
        let applied = |id: &u64| self.status(*id).applied;
        let last = || ids.iter().map(|id| self.status(*id).last.index).max();
        self.until("all have applied the same", || ids.iter().all(|id| Some(applied(id)) == last())).await;
    }

    /// Waits until each reaches all others.
    pub async fn until_connected(&self) {
        for id in self.ids() {
            for other in self.ids().into_iter().filter(|&other| other != id) {
                let up = format!("PeerUp other={other} ");
                self.until(&up, || !self.told(id, &up).is_empty()).await;
            }
        }
    }

    pub async fn remote(&self) -> Remote {
        let addresses = self.ids().into_iter().map(|id| self.plan.address(id));
        Remote::connect(addresses, RemoteOptions::default()).await.unwrap()
    }

    /// What a peer's own machine holds under a key.
    pub async fn value(&self, id: u64, key: &str) -> Option<String> {
        match self.peer(id).client().query_local(PeerId(id), &Query::get(key.to_string())).await {
            Ok(Response::Value(value)) => value.map(|value| String::from_utf8(value.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Ends all of it; nothing went wrong.
    pub async fn end(self) {
        for (id, peer) in self.peers {
            peer.shutdown().await.unwrap_or_else(|error| panic!("peer {id}: {error}"));
        }
    }
}
