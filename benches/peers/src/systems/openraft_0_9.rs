//! openraft 0.9, in the shape of its own published benchmark: a log that is a `BTreeMap` behind a lock, an RPC that is
//! a function call, no state; elections after 200 to 2,000 ms, up to 1,024 entries in a request, purging in steps of
//! 1,024. All else is as by default, and so is the snapshot every 5,000 entries with a trail of 1,000.
//!
//! The nodes have a runtime of as many threads as there are cores. Entries share their bytes: each is cloned out of the
//! log for each follower, and for the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
    io::{self, Cursor},
    ops::RangeBounds,
    sync::Arc,
};

use anyhow::{Context, Result};
use openraft09 as openraft;
use openraft09::{
    Config, Entry, EntryPayload, LogId, LogState, OptionalSend, Raft, RaftLogReader, RaftNetwork,
    RaftNetworkFactory, RaftSnapshotBuilder, ServerState, Snapshot, SnapshotMeta, StorageError,
    StoredMembership, Vote,
    error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
        VoteRequest, VoteResponse,
    },
    storage::{LogFlushed, RaftLogStorage, RaftStateMachine},
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

openraft::declare_raft_types!(
    pub Types:
        D = Command,
        R = u64,
        NodeId = u64,
        Node = (),
        Entry = Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

type Stored<T> = std::result::Result<T, StorageError<u64>>;

/// What a node stores; all its readers and writers share it.
#[derive(Default)]
struct Store {
    vote: RwLock<Option<Vote<u64>>>,
    entries: RwLock<BTreeMap<u64, Entry<Types>>>,
    purged: RwLock<Option<LogId<u64>>>,
}

#[derive(Clone, Default)]
struct Log(Arc<Store>);

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Stored<Vec<Entry<Types>>> {
        Ok(self.0.entries.read().range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stored<LogState<Types>> {
        let purged = *self.0.purged.read();
        let last = self.0.entries.read().last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Stored<()> {
        *self.0.vote.write() = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Stored<Option<Vote<u64>>> {
        Ok(*self.0.vote.read())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Stored<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.0.entries.write().extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Stored<()> {
        self.0.entries.write().split_off(&from.index);
        Ok(())
    }

    async fn purge(&mut self, to: LogId<u64>) -> Stored<()> {
        *self.0.purged.write() = Some(to);
        let mut entries = self.0.entries.write();
        *entries = entries.split_off(&(to.index + 1));
        Ok(())
    }
}

/// What a machine without state still knows.
#[derive(Clone, Default)]
struct Known {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, ()>,
}

/// A machine that counts and forgets: its snapshots are empty.
struct Machine {
    known: Known,
    tally: Tally,
    snapshot: Arc<Mutex<Option<SnapshotMeta<u64, ()>>>>,
}

/// Takes a snapshot of what was known when it was made.
struct Builder {
    known: Known,
    snapshot: Arc<Mutex<Option<SnapshotMeta<u64, ()>>>>,
}

fn empty(meta: SnapshotMeta<u64, ()>) -> Snapshot<Types> {
    Snapshot { meta, snapshot: Box::default() }
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        let Known { applied, membership } = self.known.clone();
        let snapshot_id = applied.map_or_else(String::new, |applied| applied.to_string());
        let meta = SnapshotMeta { last_log_id: applied, last_membership: membership, snapshot_id };
        *self.snapshot.lock() = Some(meta.clone());
        Ok(empty(meta))
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Stored<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        Ok((self.known.applied, self.known.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stored<Vec<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let apply = |entry: Entry<Types>| {
            self.known.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => 0,
                EntryPayload::Normal(command) => {
                    self.tally.count();
                    command.0.len() as u64
                }
                EntryPayload::Membership(membership) => {
                    self.known.membership = StoredMembership::new(Some(entry.log_id), membership);
                    0
                }
            }
        };
        Ok(entries.into_iter().map(apply).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { known: self.known.clone(), snapshot: self.snapshot.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, ()>,
        _: Box<Cursor<Vec<u8>>>,
    ) -> Stored<()> {
        self.known = Known { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        *self.snapshot.lock() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        Ok(self.snapshot.lock().clone().map(empty))
    }
}

/// All nodes of the cluster: how they reach each other.
#[derive(Clone, Default)]
struct Nodes(Arc<RwLock<BTreeMap<u64, Raft<Types>>>>);

/// The way to one node.
struct Way {
    to: u64,
    node: Option<Raft<Types>>,
}

impl RaftNetworkFactory<Types> for Nodes {
    type Network = Way;

    async fn new_client(&mut self, to: u64, _: &()) -> Way {
        Way { to, node: self.0.read().get(&to).cloned() }
    }
}

type Called<T, E = RaftError<u64>> = std::result::Result<T, RPCError<u64, (), E>>;

impl Way {
    /// Nodes are all there before the first of them has something to send.
    fn node(&self) -> Result<&Raft<Types>, Unreachable> {
        let nobody = || io::Error::other(format!("there is no node {}", self.to));
        self.node.as_ref().ok_or_else(|| Unreachable::new(&nobody()))
    }

    fn failed<E: std::error::Error>(&self, error: E) -> RPCError<u64, (), E> {
        RPCError::RemoteError(RemoteError::new(self.to, error))
    }
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Called<AppendEntriesResponse<u64>> {
        self.node()?.append_entries(request).await.map_err(|error| self.failed(error))
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Called<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        self.node()?.install_snapshot(request).await.map_err(|error| self.failed(error))
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _: RPCOption) -> Called<VoteResponse<u64>> {
        self.node()?.vote(request).await.map_err(|error| self.failed(error))
    }
}

impl Propose for Raft<Types> {
    async fn propose(&self, command: Payload) -> Result<u64> {
        Ok(self.client_write(Command(command)).await?.data)
    }
}

/// Starts the nodes, and returns the one that leads.
async fn start(peers: usize, applied: &Tally) -> Result<Raft<Types>> {
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
        let node = Raft::new(id, config.clone(), nodes.clone(), Log::default(), machine).await?;
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
