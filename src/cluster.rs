//! A whole cluster in one process: live, or simulated on virtual time.
//!
//! A [`Builder`] makes it, a [`Cluster`] is a handle on it: start and kill peers, trip single actors,
//! cut links, watch events, ask for a [`Client`]. A simulated cluster runs all its peers, its network,
//! its disks and the caller's own code on one thread and on a paused clock: the same seed gives the
//! same run, event by event.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

mod builder;
mod data;
mod faults;
#[cfg(feature = "capnp")]
mod network;
mod runtime;

pub use builder::Builder;
pub use faults::Crash;
#[cfg(feature = "capnp")]
pub use network::Network;

use data::PeerDisk;

use crate::{
    actor::{
        bell::Bell,
        gauges::PeerStatus,
        host::{HostHandle, Seat},
        parts::Failures,
    },
    client::{Client, Endpoint, Limits},
    config::Config,
    error::{ClusterError, TransferError},
    machine::Interface,
    observe::{Hub, Observer, Report},
    raft::{Command, Data, Event, Index, Outcome, PeerId, Port, Query, RoleKind, Transfer, Why},
    transport::local::Local,
};

/// A handle on a cluster: cheap to clone, for any thread and runtime. When the last one is gone the
/// cluster's peers end.
pub struct Cluster<I: Interface> {
    inner: Arc<Inner>,
    client: Client<I>,
}

struct Inner {
    config: Arc<Config>,
    hub: Arc<Hub>,
    network: Arc<Local>,
    places: BTreeMap<PeerId, Place>,
    failures: Failures,
    /// Whether it has the real clock and other threads beside it.
    is_live: bool,
    /// Keeps the cluster's own threads alive, if it has any.
    threads: Mutex<Vec<runtime::Thread>>,
    /// How peers of other machines are reached, if there are any.
    #[cfg(feature = "capnp")]
    wire: Option<network::Wire>,
}

/// Where one peer lives.
struct Place {
    seat: Arc<Seat>,
    disk: PeerDisk,
    host: HostHandle,
}

impl<I: Interface> Clone for Cluster<I> {
    fn clone(&self) -> Self {
        Cluster { inner: self.inner.clone(), client: self.client.clone() }
    }
}

impl<I: Interface> fmt::Debug for Cluster<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("peers", &self.peers()).finish_non_exhaustive()
    }
}

impl<I: Interface> Cluster<I> {
    /// The peers of this process, up or not, in the order of their ids.
    pub fn peers(&self) -> Vec<PeerId> {
        self.inner.places.keys().copied().collect()
    }

    /// How the peers behave.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// A client of this cluster.
    pub fn client(&self) -> Client<I> {
        self.client.clone()
    }

    /// How a peer does, as it last published it. Never waits.
    pub fn status(&self, peer: PeerId) -> Option<PeerStatus> {
        self.inner.places.get(&peer).map(|place| place.seat.status())
    }

    /// How all peers do.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        self.inner.places.values().map(|place| place.seat.status()).collect()
    }

    /// The peer that leads the latest term, if one does. Of peers on other machines it is known from those that are
    /// here.
    pub fn leader(&self) -> Option<PeerId> {
        let leading = self.statuses().into_iter().filter_map(|status| {
            let leader = match status.role {
                Some(RoleKind::Leader) => Some(status.peer),
                _ => status.leader.filter(|leader| !self.inner.places.contains_key(leader)),
            };
            leader.map(|leader| (status.term, leader))
        });
        leading.max_by_key(|(term, _)| *term).map(|(_, leader)| leader)
    }

    /// Waits until a peer leads, and has committed in its term. `None`: not within `patience`.
    pub async fn wait_for_leader(&self, patience: Duration) -> Option<PeerId> {
        let is_settled = |leader: PeerId| match self.status(leader) {
            Some(status) => status.settled,
            // Of one on another machine those that follow it tell.
            None => self.statuses().iter().any(|status| status.leader == Some(leader) && status.settled),
        };
        let settled = || self.leader().filter(|&leader| is_settled(leader));
        self.wait_until(patience, || settled().is_some()).await;
        settled()
    }

    /// Waits until something holds; looks every millisecond. Says whether it came to hold.
    pub async fn wait_until(&self, patience: Duration, holds: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !holds() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// Waits until every peer that is up has applied everything that any of them has committed.
    pub async fn wait_until_caught_up(&self, patience: Duration) -> bool {
        let caught_up = || {
            let living: Vec<_> = self.statuses().into_iter().filter(|status| status.up).collect();
            let last = living.iter().map(|status| status.last.index).max().unwrap_or_default();
            living.iter().all(|status| status.applied == last && status.role.is_some())
        };
        self.wait_until(patience, caught_up).await
    }

    /// Lets the cluster run for a while: of virtual time, if it is simulated.
    pub async fn run_for(&self, time: Duration) {
        sleep(time).await;
    }

    /// How long the cluster has been running, in its own time.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.inner.hub.now_us())
    }

    // Starts and ends.

    /// Cuts the power of a peer: no hand-over, no sync, no goodbye. What it had not synced may be
    /// lost. Returns when the last of its actors is gone; its disk stays.
    pub async fn kill(&self, peer: PeerId) {
        self.end(peer, Why::Injected).await;
    }

    async fn end(&self, peer: PeerId, why: Why) {
        if let Some(place) = self.inner.places.get(&peer) {
            place.host.kill(peer, why).await;
        }
    }

    /// Starts a peer again, from what its disk holds. Nothing happens if it is up.
    pub async fn restart(&self, peer: PeerId) {
        if let Some(place) = self.inner.places.get(&peer) {
            place.host.open(place.seat.clone(), place.disk.boxed()).await;
        }
    }

    /// Stops a peer gracefully: it hands leadership over, and then ends. Everything that was
    /// acknowledged is durable, here as everywhere.
    pub async fn stop(&self, peer: PeerId) {
        let leads = || self.status(peer).is_some_and(|status| status.role == Some(RoleKind::Leader));
        if leads() && self.inner.peers().len() > 1 {
            // Without success it ends all the same, and the others elect.
            let _ = self.ask_transfer(peer, None).await;
            self.drain(peer).await;
        }
        if let Some(place) = self.inner.places.get(&peer) {
            place.seat.note(|| Event::PeerStopped { cause: String::new(), why: Why::Stopped });
        }
        self.end(peer, Why::Stopped).await;
    }

    /// Waits a little until a peer that led has applied what it had taken in: then whoever proposed it knows.
    async fn drain(&self, peer: PeerId) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some(last) = self.status(peer).map(|status| status.last.index) else { return };
        let applied =
            || self.status(peer).is_none_or(|status| status.applied >= last || status.last.index < last);
        self.wait_until(PATIENCE, applied).await;
    }

    // Orders.

    /// Hands leadership over: to `target`, or to the healthy voter that is furthest.
    ///
    /// # Errors
    /// See [`TransferError`]; the cluster goes on in any case.
    pub async fn transfer(&self, target: Option<PeerId>) -> Result<(), TransferError> {
        let leader = self.leader().ok_or(TransferError::NoLeader)?;
        self.ask_transfer(leader, target).await
    }

    async fn ask_transfer(&self, leader: PeerId, target: Option<PeerId>) -> Result<(), TransferError> {
        let (port, outcome) = Port::new();
        let place = self.inner.places.get(&leader).ok_or(TransferError::NoLeader)?;
        place.seat.transfer(Transfer { target, port });
        match outcome.await {
            Ok(Outcome::Applied(_)) => Ok(()),
            Ok(Outcome::Busy) => Err(TransferError::Busy),
            Ok(Outcome::Lost) => Err(TransferError::TimedOut),
            Ok(Outcome::Rejected) => Err(TransferError::NotAVoter),
            _ => Err(TransferError::NoLeader),
        }
    }

    /// Has a peer take a snapshot now, and waits until it is durable. Returns the last entry that it
    /// covers, or `None` if it could not be taken.
    pub async fn take_snapshot(&self, peer: PeerId) -> Option<Index> {
        let (port, outcome) = Port::new();
        self.inner.places.get(&peer)?.seat.take_snapshot(port);
        match outcome.await {
            Ok(Outcome::Applied(index)) => {
                index.as_ref().try_into().ok().map(|index| Index(u64::from_le_bytes(index)))
            }
            _ => None,
        }
    }

    /// Where a peer of this process listens, if the cluster has a [`Network`].
    #[cfg(feature = "capnp")]
    pub fn local_addr(&self, peer: PeerId) -> Option<std::net::SocketAddr> {
        self.inner.wire.as_ref()?.local_addr(peer)
    }

    // Events.

    /// Adds an observer of everything that happens from now on.
    pub fn observe(&self, observer: impl Observer) {
        self.inner.hub.attach(observer);
    }

    /// Everything that happens from now on, as a stream.
    pub fn events(&self) -> mpsc::UnboundedReceiver<Report> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.observe(move |report: &Report| drop(sender.send(report.clone())));
        receiver
    }

    /// What went wrong so far that nobody had asked for: actors that fell untripped, peers that
    /// stopped or broke the protocol.
    pub fn failures(&self) -> Vec<String> {
        self.inner.failures.list()
    }

    /// Ends the cluster. Its data folders, if it has any, are free for another from then on, also
    /// while clients of this one are still around.
    ///
    /// # Errors
    /// Something had gone wrong that nobody had asked for: see [`Cluster::failures`].
    pub async fn shutdown(self) -> Result<(), ClusterError> {
        for &peer in self.inner.places.keys() {
            self.end(peer, Why::Stopped).await;
        }
        // What was answered has a moment to leave.
        #[cfg(feature = "capnp")]
        if self.inner.wire.is_some() {
            sleep(Duration::from_millis(50)).await;
        }
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            thread.end().await;
        }
        // A simulation has disks in memory, and virtual time must not pass while another thread works.
        if self.inner.is_live {
            let disks: Vec<_> = self.inner.places.values().map(|place| place.disk.clone()).collect();
            runtime::off_thread(move || disks.iter().for_each(PeerDisk::close)).await?;
        }
        match self.failures() {
            failures if failures.is_empty() => Ok(()),
            failures => Err(ClusterError::Failures(failures)),
        }
    }

    async fn start_all(&self) {
        for &peer in self.inner.places.keys() {
            self.restart(peer).await;
        }
    }
}

/// There is no such peer.
fn nobody(port: Port) -> Option<Bell> {
    port.answer(Outcome::NotLeader { leader: None });
    None
}

impl Endpoint for Inner {
    fn peers(&self) -> Vec<PeerId> {
        match self.elsewhere() {
            Some(elsewhere) => elsewhere.peers(),
            None => self.places.keys().copied().collect(),
        }
    }

    fn address(&self, peer: PeerId) -> Option<String> {
        self.elsewhere().and_then(|elsewhere| elsewhere.address(peer))
    }

    fn propose(&self, to: PeerId, command: Data, port: Port) -> Option<Bell> {
        match (self.places.get(&to), self.elsewhere()) {
            (Some(place), _) => place.seat.door().propose(Command::Data(command), port),
            (None, Some(elsewhere)) => elsewhere.propose(to, command, port),
            (None, None) => nobody(port),
        }
    }

    fn read(&self, to: PeerId, question: Bytes, port: Port) -> Option<Bell> {
        match (self.places.get(&to), self.elsewhere()) {
            (Some(place), _) => place.seat.door().read(Query { question, port }),
            (None, Some(elsewhere)) => elsewhere.read(to, question, port),
            (None, None) => nobody(port),
        }
    }

    fn ask_local(&self, of: PeerId, question: Bytes, port: Port) {
        match (self.places.get(&of), self.elsewhere()) {
            (Some(place), _) => place.seat.ask_local(Query { question, port }),
            (None, Some(elsewhere)) => elsewhere.ask_local(of, question, port),
            (None, None) => port.answer(Outcome::NotLeader { leader: None }),
        }
    }
}

impl Inner {
    /// How clients reach the peers of other machines, if there are any.
    fn elsewhere(&self) -> Option<&dyn Endpoint> {
        #[cfg(feature = "capnp")]
        return self.wire.as_ref().map(|wire| wire as &dyn Endpoint);
        #[cfg(not(feature = "capnp"))]
        None
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        command_bytes_max: config.command_bytes_max,
        deadline: Duration::from_millis(config.deadline_ms),
        session_window: config.session_window,
        patience: Duration::from_millis(config.election_timeout_ms.end.saturating_mul(2)),
    }
}
