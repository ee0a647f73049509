//! openraft 0.10 (alpha), in the shape of its own published benchmark, and with the same settings as
//! [0.9](super::openraft_0_9): a log that is a `BTreeMap` behind a lock, an RPC that is a function call, no state.
//!
//! Its storage and network are other traits than those of 0.9; what stands behind them is the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
    io,
    ops::RangeBounds,
    sync::Arc,
};

use anyhow::{Context, Result};
use futures_util::{Stream, TryStreamExt};
use openraft010 as openraft;
use openraft010::{
    Config, EntryPayload, LogState, OptionalSend, RaftLogReader, RaftNetworkFactory, RaftNetworkV2,
    RaftSnapshotBuilder, ServerState,
    alias::{DefaultEntryOf, EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf},
    entry::RaftEntry,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    impls::{self, leader_id_adv::LeaderId},
    network::RPCOption,
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
    storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine},
};
use parking_lot::{Mutex, RwLock};

use crate::load::{self, ELECTION, Load, Measured, Payload, Propose, Shape, Tally};

/// The node that begins the cluster, leads it, and is proposed to.
const FIRST: u64 = 0;

#[derive(Clone, Debug)]
pub struct Command(Payload);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The types of the cluster: the defaults, but for an answer that comes once, and not also on commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Command;
    type R = u64;
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId<u64, u64>;
    type Vote = impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Command, u64, ()>;
    type Entry = DefaultEntryOf<Self>;
    type Responder<T: OptionalSend + 'static> = impls::OneshotResponder<Self, T>;
    type Batch<T: OptionalSend + 'static> = impls::InlineBatch<T>;
    type AsyncRuntime = impls::TokioRuntime;
    type ErrorSource = impls::BoxedErrorSource;
}

type Node = openraft::Raft<Types, Machine>;
type Meta = SnapshotMetaOf<Types>;
type Snapshot = SnapshotOf<Types, ()>;

/// What a node stores; all its readers and writers share it.
#[derive(Default)]
struct Store {
    vote: RwLock<Option<VoteOf<Types>>>,
    entries: RwLock<BTreeMap<u64, EntryOf<Types>>>,
    purged: RwLock<Option<LogIdOf<Types>>>,
}

#[derive(Clone, Default)]
struct Log(Arc<Store>);

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<EntryOf<Types>>> {
        Ok(self.0.entries.read().range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(*self.0.vote.read())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let purged = *self.0.purged.read();
        let last = self.0.entries.read().last_key_value().map(|(_, entry)| entry.log_id());
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> io::Result<()> {
        *self.0.vote.write() = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.0.entries.write().extend(entries.into_iter().map(|entry| (entry.index(), entry)));
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> io::Result<()> {
        self.0.entries.write().split_off(&last.map_or(0, |last| last.index() + 1));
        Ok(())
    }

    async fn purge(&mut self, to: LogIdOf<Types>) -> io::Result<()> {
        *self.0.purged.write() = Some(to);
        let mut entries = self.0.entries.write();
        *entries = entries.split_off(&(to.index() + 1));
        Ok(())
    }
}

/// What a machine without state still knows.
#[derive(Clone, Default)]
struct Known {
    applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
}

/// A machine that counts and forgets: its snapshots are empty.
pub struct Machine {
    known: Known,
    tally: Tally,
    snapshot: Arc<Mutex<Option<Meta>>>,
}

/// Takes a snapshot of what was known when it was made.
pub struct Builder {
    known: Known,
    snapshot: Arc<Mutex<Option<Meta>>>,
}

fn empty(meta: Meta) -> Snapshot {
    Snapshot { meta, snapshot: () }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let Known { applied, membership } = self.known.clone();
        let meta = Meta { last_log_id: applied, last_membership: membership };
        *self.snapshot.lock() = Some(meta.clone());
        Ok(empty(meta))
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>)> {
        Ok((self.known.applied, self.known.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.known.applied = Some(entry.log_id());
            let answer = match entry.payload {
                EntryPayload::Blank => 0,
                EntryPayload::Normal(command) => {
                    self.tally.count();
                    command.0.len() as u64
                }
                EntryPayload::Membership(membership) => {
                    self.known.membership = StoredMembershipOf::<Types>::new(self.known.applied, membership);
                    0
                }
            };
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { known: self.known.clone(), snapshot: self.snapshot.clone() }
    }

    async fn install_snapshot(&mut self, meta: &Meta, (): ()) -> io::Result<()> {
        self.known = Known { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        *self.snapshot.lock() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshot.lock().clone().map(empty))
    }
}

/// All nodes of the cluster: how they reach each other.
#[derive(Clone, Default)]
struct Nodes(Arc<RwLock<BTreeMap<u64, Node>>>);

/// The way to one node.
struct Way {
    to: u64,
    node: Option<Node>,
}

impl RaftNetworkFactory<Types> for Nodes {
    type Network = Way;

    async fn new_client(&mut self, to: u64, _: &()) -> Way {
        Way { to, node: self.0.read().get(&to).cloned() }
    }
}

impl Way {
    /// Nodes are all there before the first of them has something to send.
    fn node(&self) -> Result<&Node, Unreachable<Types>> {
        let nobody = || Unreachable::from_string(format!("there is no node {}", self.to));
        self.node.as_ref().ok_or_else(nobody)
    }
}

fn unreachable(error: impl std::error::Error + 'static) -> Unreachable<Types> {
    Unreachable::new(&error)
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Ok(self.node()?.append_entries(request).await.map_err(unreachable)?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.node()?.vote(request).await.map_err(unreachable)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: Snapshot,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Ok(self.node()?.install_full_snapshot(vote, snapshot).await.map_err(unreachable)?)
    }
}

impl Propose for Node {
    async fn propose(&self, command: Payload) -> Result<u64> {
        Ok(self.client_write(Command(command)).await?.data)
    }
}

/// Starts the nodes, and returns the one that leads.
async fn start(peers: usize, applied: &Tally) -> Result<Node> {
    let config = Config {
        election_timeout_min: 200,
        election_timeout_max: 2_000,
        max_payload_entries: 1_024,
        purge_batch_size: 1_024,
        ..Config::default()
    };
    let config = Arc::new(config.validate()?);
    let nodes = Nodes::default();
    let ids: BTreeSet<u64> = (FIRST..FIRST + peers as u64).collect();
    for &id in &ids {
        let tally = if id == FIRST { applied.clone() } else { Tally::default() };
        let machine = Machine { known: Known::default(), tally, snapshot: Arc::default() };
        let node = Node::new(id, config.clone(), nodes.clone(), Log::default(), machine).await?;
        nodes.0.write().insert(id, node);
    }
    let first = nodes.0.read().get(&FIRST).cloned().context("a cluster needs a node")?;
    first.initialize(ids).await?;
    first.wait(Some(ELECTION)).state(ServerState::Leader, "the first node leads").await?;
    Ok(first)
}

pub fn run(load: &Load) -> Result<Measured> {
    let servers = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    let applied = Tally::default();
    let leader = servers.block_on(start(load.peers, &applied))?;
    let proposers = vec![leader.clone(); load.in_flight];
    let measured = load::far(load::drive(load, Shape::Far, proposers, || applied.get()))?;
    servers.block_on(leader.shutdown())?;
    Ok(measured)
}
