//! How a cluster is made.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    marker::PhantomData,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, Mutex},
};

#[cfg(feature = "capnp")]
use super::data::{PeerDisk, named_after};
use super::{
    Cluster, Inner, Place,
    data::{Disks, PEERS},
    limits, runtime,
};
use crate::{
    actor::{
        custom::{Engine, HiredActor, MachineLike},
        host::{HostHandle, PeerPlan, Seat},
        machine::MachineFactory,
        own_thread::OwnThread,
        parts::Failures,
        vigil::Vigil,
    },
    client::{Client, Endpoint},
    config::Config,
    error::ClusterError,
    machine::{Interface, StateMachine, erased::Typed},
    observe::{Hub, Observer},
    raft::{Event, Identity, PeerId, Why},
    storage::{MemoryDisk, memory::SimulatedDisk},
    transport::{faults::Faults, local::Local},
};

/// Makes a [`Cluster`].
pub struct Builder<I: Interface> {
    factory: Arc<dyn MachineFactory>,
    /// What was asked for.
    peers: Option<usize>,
    data: Option<PathBuf>,
    #[cfg(feature = "capnp")]
    network: Option<super::Network>,
    config: Config,
    seed: Option<u64>,
    threads: Threads,
    machine_apart: bool,
    latency_ms: Option<RangeInclusive<u64>>,
    sync_ms: Option<RangeInclusive<u64>>,
    observers: Vec<Box<dyn Observer>>,
    allow_failures: bool,
    types: PhantomData<fn() -> I>,
}

impl<I: Interface> fmt::Debug for Builder<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("peers", &self.peers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The threads of a live cluster.
#[derive(Clone, Copy, Default)]
enum Threads {
    /// One for all its peers.
    #[default]
    One,
    /// One for each.
    PerPeer,
    /// None: they run where they are started.
    Caller,
}

/// Makes machines that have a thread of their own.
struct Apart(Arc<dyn MachineFactory>);

impl MachineFactory for Apart {
    fn build(&self, peer: PeerId) -> Engine {
        match self.0.build(peer) {
            Engine::Inline(machine) => Engine::Hired(Box::new(OwnThread::new(machine))),
            hired => hired,
        }
    }
}

/// Makes the machines of a cluster from a function.
struct Factory<F>(F);

impl<F: Fn(PeerId) -> Engine + Send + Sync + 'static> MachineFactory for Factory<F> {
    fn build(&self, peer: PeerId) -> Engine {
        (self.0)(peer)
    }
}

impl<M: StateMachine> Cluster<M> {
    /// A cluster of peers with a machine each: `machine` makes that of one peer, at its start and
    /// whenever it has to be rebuilt.
    pub fn of(machine: impl Fn(PeerId) -> M + Send + Sync + 'static) -> Builder<M> {
        Builder::new(move |peer| Engine::Inline(Box::new(Typed(machine(peer)))))
    }
}

impl<A: MachineLike> Cluster<A> {
    /// A cluster of peers where an actor of your own takes the machine's place.
    pub fn of_actors(actor: impl Fn(PeerId) -> A + Send + Sync + 'static) -> Builder<A> {
        Builder::new(move |peer| Engine::Hired(Box::new(HiredActor::new(actor(peer)))))
    }
}

impl<I: Interface> Builder<I> {
    fn new(factory: impl Fn(PeerId) -> Engine + Send + Sync + 'static) -> Builder<I> {
        Builder {
            factory: Arc::new(Factory(factory)),
            peers: None,
            data: None,
            #[cfg(feature = "capnp")]
            network: None,
            config: Config::default(),
            seed: None,
            threads: Threads::default(),
            machine_apart: false,
            latency_ms: None,
            sync_ms: None,
            observers: Vec::new(),
            allow_failures: false,
            types: PhantomData,
        }
    }

    /// How many peers, 1 to 9. Default 3.
    #[must_use]
    pub fn peers(mut self, peers: usize) -> Self {
        self.peers = Some(peers);
        self
    }

    /// Keeps what the peers of a live cluster promise in files: peer 1 in `dir/peer-1`, and so on. What
    /// was acknowledged survives the end of the process, whatever ended it. Default: in memory.
    ///
    /// If there is a cluster in `dir` it is taken up again, with its own peers: should
    /// [`Builder::peers`] say otherwise, that is ignored with a [`Event::Warned`]. A peer whose folder
    /// is damaged or gone stays down and says why, see
    /// [`PeerStatus::stopped`](crate::actor::gauges::PeerStatus::stopped).
    ///
    /// ```
    /// use std::time::Duration;
    /// use raft_actors::{Cluster, machine::closure};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = std::env::temp_dir().join(format!("raft-actors-data-{}", std::process::id()));
    /// let sum = || Cluster::of(|_| closure(0u64, |sum: &mut u64, more: u64| { *sum += more; *sum }));
    ///
    /// let cluster = sum().data(&dir).start().await?;
    /// cluster.client().propose(&40).await?;
    /// cluster.shutdown().await?;
    ///
    /// let cluster = sum().data(&dir).start().await?;
    /// assert_eq!(cluster.client().propose(&2).await?, 42);
    /// # cluster.shutdown().await?;
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn data(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data = Some(dir.into());
        self
    }

    /// Puts the peers on several machines: those of [`Network::here`](super::Network::here) run in this process, and
    /// [`Builder::peers`] counts for nothing. With one of them [`Builder::data`] is its own data folder; of several,
    /// each has `dir/peer-<id>`.
    #[cfg(feature = "capnp")]
    #[must_use]
    pub fn network(mut self, network: super::Network) -> Self {
        self.network = Some(network);
        self
    }

    /// How the peers behave.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The seed of a live cluster's chance; a random one by default. (A live run does not repeat
    /// itself, whatever the seed: its clock and its threads are real.)
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether each peer of a live cluster has a thread of its own. It isolates them from each other,
    /// and costs throughput: one thread for all is the default.
    #[must_use]
    pub fn thread_per_peer(mut self, thread_per_peer: bool) -> Self {
        self.threads = if thread_per_peer { Threads::PerPeer } else { Threads::One };
        self
    }

    /// Starts the peers of a live cluster on the thread that calls [`Builder::start`], beside the actors that it
    /// already has: it has to be one of actix. Clients there speak to the peers without waking another thread, which
    /// is by far the fastest; in return whatever keeps that thread busy keeps the peers waiting, and a leader that
    /// waits for longer than an election time-out is replaced.
    ///
    /// ```
    /// use raft_actors::{Cluster, machine::closure};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// actix::System::new().block_on(async {
    ///     let sum = |_| closure(0u64, |sum: &mut u64, more: u64| { *sum += more; *sum });
    ///     let cluster = Cluster::of(sum).on_this_thread().start().await?;
    ///     assert_eq!(cluster.client().propose(&42).await?, 42);
    ///     cluster.shutdown().await?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_this_thread(mut self) -> Self {
        self.threads = Threads::Caller;
        self
    }

    /// Whether the machine of each peer of a live cluster has a thread of its own. For machines whose commands or
    /// queries take more than a millisecond or so: beside the rules such a one keeps heartbeats waiting, and a leader
    /// that is silent for an election time-out is replaced. It costs two switches of threads for each batch.
    /// [An actor](Cluster::of_actors) is not moved: it may hire an arbiter itself. Default `false`.
    #[must_use]
    pub fn machine_on_own_thread(mut self, own_thread: bool) -> Self {
        self.machine_apart = own_thread;
        self
    }

    /// How long messages travel, in milliseconds: drawn anew for each. Default: no time if live, 1 to
    /// 3 if simulated.
    #[must_use]
    pub fn latency_ms(mut self, latency_ms: RangeInclusive<u64>) -> Self {
        self.latency_ms = Some(latency_ms);
        self
    }

    /// How long syncs take, in milliseconds: drawn anew for each. Default: no time if live, 1 to 5 if
    /// simulated. With [`Builder::data`] they take the time that they take.
    #[must_use]
    pub fn sync_ms(mut self, sync_ms: RangeInclusive<u64>) -> Self {
        self.sync_ms = Some(sync_ms);
        self
    }

    /// Adds an observer of everything that happens.
    #[must_use]
    pub fn observe(self, observer: impl Observer) -> Self {
        self.observe_all([Box::new(observer) as Box<dyn Observer>])
    }

    /// Adds observers of any kinds.
    #[must_use]
    pub fn observe_all(mut self, observers: impl IntoIterator<Item = Box<dyn Observer>>) -> Self {
        self.observers.extend(observers);
        self
    }

    /// Lets a simulation succeed although actors fell that nobody had tripped. For machines that are
    /// meant to panic.
    #[must_use]
    pub fn allow_failures(mut self) -> Self {
        self.allow_failures = true;
        self
    }

    fn validate(&self) -> Result<(), ClusterError> {
        self.config.validate()?;
        match self.peers.filter(|peers| !(1..=9).contains(peers)) {
            None => Ok(()),
            Some(peers) => Err(ClusterError::Peers(peers)),
        }
    }

    /// Starts a live cluster on the real clock: on threads of its own, unless [`Builder::on_this_thread`] says
    /// otherwise.
    ///
    /// # Errors
    /// The configuration makes no sense, the system gives no threads, this thread is to have the peers and is none
    /// of actix, or the data folder is in use, of another cluster, or can't be made.
    pub async fn start(mut self) -> Result<Cluster<I>, ClusterError> {
        self.validate()?;
        #[cfg(feature = "capnp")]
        if let Some(network) = self.network.take() {
            return self.start_on(network).await;
        }
        let (seed, peers) = (self.seed.unwrap_or_else(rand::random), self.peers);
        let disks = match self.data.take() {
            Some(dir) => runtime::off_thread(move || Disks::in_folders(&dir, peers)).await??,
            None => Disks::in_memory(peers.unwrap_or(PEERS), |peer| match self.sync_ms.clone() {
                None => MemoryDisk::new(),
                Some(sync_ms) => simulated_disk(seed, peer, sync_ms),
            }),
        };
        let (threads, hosts) = self.threads(disks.of.len())?;
        let cluster = Cluster::new(self.assemble(seed, hosts, Some(threads), disks, None));
        cluster.start_all().await;
        Ok(cluster)
    }

    /// Where the peers of this process run.
    fn threads(&self, peers: usize) -> Result<(Vec<runtime::Thread>, Vec<HostHandle>), ClusterError> {
        let count = match self.threads {
            Threads::One => 1,
            Threads::PerPeer => peers,
            Threads::Caller if actix::System::try_current().is_none() => {
                return Err(ClusterError::OutsideActix);
            }
            Threads::Caller => return Ok((Vec::new(), vec![HostHandle::start()])),
        };
        let threads = (1..=count).map(|number| runtime::Thread::start(&format!("raft-{number}")));
        Ok(threads.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
    }

    /// Some peers of a cluster on several machines.
    #[cfg(feature = "capnp")]
    async fn start_on(mut self, network: super::Network) -> Result<Cluster<I>, ClusterError> {
        let seed = self.seed.unwrap_or_else(rand::random);
        let place = network.prepare()?;
        let (here, cluster, members) = (place.here(), place.cluster(), place.first_membership());
        let is_alone = here.len() == 1 && !matches!(self.threads, Threads::Caller);
        let disks = match self.data.take() {
            Some(dir) => {
                let open = move || Disks::of_some(&dir, &here, cluster, members);
                runtime::off_thread(open).await??
            }
            None => {
                let name = cluster.unwrap_or_else(|| named_after(&members));
                let memory = |peer| (peer, PeerDisk::Memory(MemoryDisk::new()));
                let of = here.into_iter().map(memory).collect();
                Disks { cluster: name, first_membership: members, of, warnings: Vec::new() }
            }
        };
        let (mut threads, hosts) = self.threads(disks.of.len())?;
        let connections = match place.has_own_thread() {
            true => {
                let (thread, connections) = runtime::Thread::start("raft-network")?;
                threads.push(thread);
                Some(connections)
            }
            false => None,
        };
        let vigil = place.busy_poll().filter(|_| is_alone).map(Vigil::new);
        let mut wire = place.wire(&disks, &self.config);
        let mut inner = self.assemble(seed, hosts, Some(threads), disks, vigil);
        let starts = wire.begin(&inner);
        inner.wire = Some(wire);
        let cluster = Cluster::new(inner);
        cluster.start_all().await;
        for (host, start) in starts {
            connections.as_ref().unwrap_or(&host).run(start).await;
        }
        Ok(cluster)
    }

    /// Runs a simulated cluster on this thread and on virtual time, and `script` beside it; ends when
    /// the script does. The same seed gives the same run, event by event.
    ///
    /// # Errors
    /// The configuration makes no sense; it was called inside an async runtime, or with
    /// [`Builder::data`]; or something went wrong that nobody had asked for, such as an actor that panicked by itself.
    pub fn simulate<T, F>(self, seed: u64, script: impl FnOnce(Cluster<I>) -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = T>,
    {
        self.validate()?;
        if self.data.is_some() {
            return Err(ClusterError::DataInSimulation);
        }
        let allow_failures = self.allow_failures;
        runtime::simulate(async move {
            let sync_ms = self.sync_ms.clone().unwrap_or(1..=5);
            let disk = |peer| simulated_disk(seed, peer, sync_ms.clone());
            let disks = Disks::in_memory(self.peers.unwrap_or(PEERS), disk);
            let builder = Builder { latency_ms: self.latency_ms.clone().or(Some(1..=3)), ..self };
            let cluster = Cluster::new(builder.assemble(seed, vec![HostHandle::start()], None, disks, None));
            cluster.start_all().await;
            let value = script(cluster.clone()).await;
            match cluster.shutdown().await {
                Err(error) if !allow_failures => Err(error),
                _ => Ok(value),
            }
        })?
    }

    fn assemble(
        self,
        seed: u64,
        hosts: Vec<HostHandle>,
        threads: Option<Vec<runtime::Thread>>,
        disks: Disks,
        vigil: Option<Arc<Vigil>>,
    ) -> Inner {
        let is_live = threads.is_some();
        let factory = match self.machine_apart && is_live {
            true => Arc::new(Apart(self.factory)),
            false => self.factory,
        };
        let hub = Hub::new();
        for observer in self.observers {
            hub.attach_boxed(observer);
        }
        let config = Arc::new(self.config);
        let network = Arc::new(Local::new(hub.clone(), Faults::new(seed, hub.clone()), self.latency_ms));
        let (first_membership, name) = (Arc::new(disks.first_membership), Arc::<str>::from(disks.cluster));
        let failures = Failures::default();
        let mut places = BTreeMap::new();
        for ((id, disk), host) in disks.of.into_iter().zip(hosts.iter().cycle()) {
            let seat = Seat::new(PeerPlan {
                identity: Identity { id, first_membership: first_membership.clone(), config: config.clone() },
                cluster: name.clone(),
                seed,
                is_live,
                hub: hub.clone(),
                network: network.clone(),
                factory: factory.clone(),
                failures: failures.clone(),
                vigil: vigil.clone(),
            });
            places.insert(id, Place { seat, disk, host: host.clone() });
        }
        for (peer, what) in disks.warnings {
            if let Some(place) = places.get(&peer) {
                place.seat.note(|| Event::Warned { what, why: Why::Recovery });
            }
        }
        Inner {
            config,
            hub,
            network,
            places,
            failures,
            is_live,
            threads: Mutex::new(threads.unwrap_or_default()),
            #[cfg(feature = "capnp")]
            wire: None,
        }
    }
}

impl<I: Interface> Cluster<I> {
    fn new(inner: Inner) -> Cluster<I> {
        let (limits, inner) = (limits(&inner.config), Arc::new(inner));
        let client = Client::new(inner.clone() as Arc<dyn Endpoint>, limits);
        Cluster { inner, client }
    }
}

/// A disk whose chance is a stream of its own.
fn simulated_disk(seed: u64, peer: PeerId, sync_ms: RangeInclusive<u64>) -> MemoryDisk {
    let mut key = *b"........--------disk of a peer..";
    for (bytes, word) in key.chunks_mut(8).zip([seed, peer.0]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    MemoryDisk::simulated(key, SimulatedDisk { sync_ms, ..SimulatedDisk::default() })
}
