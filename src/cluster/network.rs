//! A cluster whose peers are on several machines.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;

use super::{Inner, data::Disks};
use crate::{
    actor::{bell::Bell, host::HostHandle},
    client::{Endpoint, RemoteLine},
    config::{Config, NetworkConfig},
    error::ClusterError,
    raft::{Data, Membership, Outcome, PeerId, Port},
    transport::capnp::{Caller, CallerPlan, Known, LaneStart, Open, Route, Security, Tls, reach, serve},
};

/// Which peers a cluster has, which of them are here, and how they reach each other: see
/// [`Builder::network`](super::Builder::network).
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) cluster: Option<String>,
    pub(super) members: BTreeMap<PeerId, String>,
    pub(super) here: BTreeSet<PeerId>,
    pub(super) listen: BTreeMap<PeerId, String>,
    pub(super) limits: NetworkConfig,
    pub(super) tls: Option<Tls>,
    pub(super) plaintext: bool,
    pub(super) allow_faults: bool,
    own_thread: bool,
}

impl Network {
    /// All peers of the cluster, and where each listens: `HOST:PORT`. Give every peer the same.
    pub fn new<P: Into<PeerId>, A: Into<String>>(members: impl IntoIterator<Item = (P, A)>) -> Network {
        Network {
            cluster: None,
            members: members.into_iter().map(|(peer, address)| (peer.into(), address.into())).collect(),
            here: BTreeSet::new(),
            listen: BTreeMap::new(),
            limits: NetworkConfig::default(),
            tls: None,
            plaintext: false,
            allow_faults: false,
            own_thread: false,
        }
    }

    /// A peer that runs in this process; may be said of several. They speak to each other without a wire.
    #[must_use]
    pub fn here(mut self, peer: impl Into<PeerId>) -> Network {
        self.here.insert(peer.into());
        self
    }

    /// The name of the cluster: peers and clients of another one are refused. Default: its first members, as
    /// text.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Network {
        self.cluster = Some(name.into());
        self
    }

    /// Where a peer that is here listens, if that is not the address under which the others reach it.
    #[must_use]
    pub fn listen(mut self, peer: impl Into<PeerId>, address: impl Into<String>) -> Network {
        self.listen.insert(peer.into(), address.into());
        self
    }

    /// What is taken from the network, and how long is waited there.
    #[must_use]
    pub fn limits(mut self, limits: NetworkConfig) -> Network {
        self.limits = limits;
        self
    }

    /// Who vouches for whom: nobody is let in, and nothing leaves, without a certificate.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Network {
        self.tls = Some(tls);
        self
    }

    /// Without [`Network::tls`] a peer only listens on this machine's own addresses, unless this is said.
    /// Whoever reaches it may then do anything.
    #[must_use]
    pub fn plaintext(mut self) -> Network {
        self.plaintext = true;
        self
    }

    /// Gives all connections a thread of their own, so that a flood of them takes no time from consensus. Each message
    /// then goes from thread to thread: a third more latency, and less throughput, where there are few cores. Without
    /// it they share the thread of their peer, and take turns with it, a frame at a time.
    #[must_use]
    pub fn own_thread(mut self) -> Network {
        self.own_thread = true;
        self
    }

    /// Lets operators cut the peers that are here off, and lay fault rules.
    #[must_use]
    pub fn allow_faults(mut self) -> Network {
        self.allow_faults = true;
        self
    }
}

/// The places at which the peers of this process will listen: bound before anything else is begun, so that what
/// can't be had is said at once.
pub(super) struct Prepared {
    network: Network,
    listeners: BTreeMap<PeerId, (SocketAddr, TcpListener)>,
}

impl Network {
    /// Checks that it makes sense, and takes the addresses.
    pub(super) fn prepare(self) -> Result<Prepared, ClusterError> {
        self.limits.validate()?;
        let refuse = |what: String| Err(ClusterError::Network(what));
        if !(1..=9).contains(&self.members.len()) {
            return Err(ClusterError::Peers(self.members.len()));
        }
        if self.here.is_empty() {
            return refuse("none of the peers is here: say which of them this process runs".into());
        }
        if let Some(stranger) =
            self.here.iter().chain(self.listen.keys()).find(|peer| !self.members.contains_key(peer))
        {
            return refuse(format!(
                "peer {stranger} is not among the peers of the cluster: give its address there, too"
            ));
        }
        if self.members.contains_key(&PeerId(0)) {
            return refuse("ids of peers begin at 1".into());
        }
        let mut seen = BTreeMap::new();
        for (peer, address) in &self.members {
            let is_complete = address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_complete {
                return refuse(format!("`{address}` is no address of peer {peer}: it takes HOST:PORT"));
            }
            if let Some(other) = seen.insert(address, peer).filter(|_| !address.ends_with(":0")) {
                return refuse(format!("peers {other} and {peer} have the same address {address}"));
            }
        }
        if let Some(other) =
            self.here.iter().find(|&&peer| self.tls.as_ref().is_some_and(|tls| !tls.is_of_peer(peer)))
        {
            return refuse(format!(
                "the certificate is not that of peer {other}, and the others would turn it away: give the one that names `peer-{other}`"
            ));
        }
        let mut listeners = BTreeMap::new();
        for &peer in &self.here {
            let address = self.listen.get(&peer).or(self.members.get(&peer)).cloned().unwrap_or_default();
            listeners.insert(peer, self.bind(&address)?);
        }
        Ok(Prepared { network: self, listeners })
    }

    fn bind(&self, address: &str) -> Result<(SocketAddr, TcpListener), ClusterError> {
        let failed = |cause| ClusterError::Listen { address: address.into(), cause };
        let addresses: Vec<_> = address.to_socket_addrs().map_err(failed)?.collect();
        let security = self.security();
        if let Some(&open) = addresses.iter().find(|address| !security.suits(address)) {
            return Err(ClusterError::Plaintext { address: open });
        }
        let listener = TcpListener::bind(&*addresses).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok((bound, listener))
    }

    fn security(&self) -> Security {
        Security { tls: self.tls.clone(), plaintext: self.plaintext }
    }
}

impl Prepared {
    pub(super) fn has_own_thread(&self) -> bool {
        self.network.own_thread
    }

    /// How long a peer that is alone stays awake; `None`: not at all.
    pub(super) fn busy_poll(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.network.limits.busy_poll_us)).filter(|length| !length.is_zero())
    }

    pub(super) fn here(&self) -> Vec<PeerId> {
        self.network.here.iter().copied().collect()
    }

    pub(super) fn cluster(&self) -> Option<String> {
        self.network.cluster.clone()
    }

    /// The membership with which the cluster begins: everybody votes.
    pub(super) fn first_membership(&self) -> Membership {
        let members = &self.network.members;
        members.iter().fold(Membership::of(members.keys().copied()), |membership, (&peer, address)| {
            membership.with_address(peer, address)
        })
    }

    /// How the peers that are here are heard, and reach the others: as their folders have it.
    pub(super) fn wire(self, disks: &Disks, config: &Config) -> Wire {
        let mut members: BTreeMap<_, _> =
            disks.first_membership.addresses().map(|(peer, at)| (peer, at.to_string())).collect();
        for (peer, (bound, _)) in &self.listeners {
            // A port that the system chose is known only now.
            if let Some(address) = members.get_mut(peer).filter(|address| address.ends_with(":0")) {
                *address = bound.to_string();
            }
        }
        let reached = members.keys().map(|&peer| (peer, AtomicBool::new(self.network.here.contains(&peer))));
        let known = Known {
            cluster: disks.cluster.clone(),
            members: members.clone(),
            command_bytes_max: config.command_bytes_max,
            session_window: config.session_window,
            election_timeout: Duration::from_millis(config.election_timeout_ms.end),
            leader: PeerId(0),
        };
        let plan = CallerPlan {
            deadline: Duration::from_millis(config.deadline_ms),
            cluster: Some(disks.cluster.clone()),
            name: "a peer's own client".into(),
            security: self.network.security(),
            limits: self.network.limits.clone(),
        };
        Wire {
            cluster: disks.cluster.as_str().into(),
            reached: Arc::new(reached.collect()),
            bound: self.listeners.iter().map(|(&peer, (bound, _))| (peer, *bound)).collect(),
            listeners: self.listeners.into_iter().map(|(peer, (_, listener))| (peer, listener)).collect(),
            members: Arc::new(members),
            network: self.network,
            calls: (known, plan),
            line: OnceLock::new(),
        }
    }
}

/// How the peers of this process are heard by those of others, and reach them.
pub(super) struct Wire {
    network: Network,
    cluster: Arc<str>,
    members: Arc<BTreeMap<PeerId, String>>,
    reached: Arc<BTreeMap<PeerId, AtomicBool>>,
    bound: BTreeMap<PeerId, SocketAddr>,
    /// Until somebody listens.
    listeners: Vec<(PeerId, TcpListener)>,
    /// How clients of this process reach peers of others, once one does.
    calls: (Known, CallerPlan),
    line: OnceLock<Option<RemoteLine>>,
}

impl Wire {
    pub(super) fn local_addr(&self, peer: PeerId) -> Option<SocketAddr> {
        self.bound.get(&peer).copied()
    }

    /// Tells the network of this process where the peers of others are. Returns what has to be begun on the thread of
    /// each peer, or on that of the connections, once the peers are there.
    pub(super) fn begin(&mut self, inner: &Inner) -> Vec<(HostHandle, LaneStart)> {
        let mut starts = self.listen(inner);
        let elsewhere = self.members.iter().filter(|(peer, _)| !self.network.here.contains(peer));
        for (&to, address) in elsewhere {
            let routes = self.network.here.iter().map(|&me| Route {
                me,
                to,
                address: address.clone(),
                local: inner.network.clone(),
                limits: self.network.limits.clone(),
                security: self.network.security(),
                reached: self.reached.clone(),
            });
            let (postbox, lanes) = reach(routes.collect());
            inner.network.attach_remote(to, postbox);
            let host = |me| inner.places.get(&me).map(|place| place.host.clone());
            starts.extend(lanes.into_iter().filter_map(|(me, start)| Some((host(me)?, start))));
        }
        starts
    }

    fn listen(&mut self, inner: &Inner) -> Vec<(HostHandle, LaneStart)> {
        let mut starts = Vec::new();
        for (me, listener) in std::mem::take(&mut self.listeners) {
            let Some(place) = inner.places.get(&me) else { continue };
            let open = Open {
                me,
                cluster: self.cluster.clone(),
                members: self.members.clone(),
                local: inner.network.clone(),
                desk: place.seat.clone(),
                config: inner.config.clone(),
                limits: self.network.limits.clone(),
                tls: self.network.tls.clone(),
                allow_faults: self.network.allow_faults,
                hub: inner.hub.clone(),
                reached: self.reached.clone(),
            };
            let failures = inner.failures.clone();
            let start: LaneStart = Box::new(move || {
                if let Err(error) = serve(open, listener) {
                    failures.push(format!("peer {me} can't be heard: {error}"));
                }
            });
            starts.push((place.host.clone(), start));
        }
        starts
    }

    fn line(&self) -> Option<&RemoteLine> {
        let (known, plan) = &self.calls;
        self.line.get_or_init(|| Caller::to(known.clone(), plan.clone()).ok().map(RemoteLine)).as_ref()
    }
}

/// Without a thread to call from nobody elsewhere is reached.
impl Endpoint for Wire {
    fn peers(&self) -> Vec<PeerId> {
        self.members.keys().copied().collect()
    }

    fn address(&self, peer: PeerId) -> Option<String> {
        self.members.get(&peer).cloned()
    }

    fn propose(&self, to: PeerId, command: Data, port: Port) -> Option<Bell> {
        match self.line() {
            Some(line) => line.propose(to, command, port),
            None => {
                port.answer(Outcome::NotLeader { leader: None });
                None
            }
        }
    }

    fn read(&self, to: PeerId, question: Bytes, port: Port) -> Option<Bell> {
        match self.line() {
            Some(line) => line.read(to, question, port),
            None => {
                port.answer(Outcome::NotLeader { leader: None });
                None
            }
        }
    }

    fn ask_local(&self, of: PeerId, question: Bytes, port: Port) {
        match self.line() {
            Some(line) => line.ask_local(of, question, port),
            None => port.answer(Outcome::NotLeader { leader: None }),
        }
    }
}
