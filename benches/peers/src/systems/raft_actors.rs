//! This library, with its defaults: all peers on one thread, memory storage, a machine that keeps nothing. The log is
//! cut behind a snapshot every 100,000 entries, to a trail of 10,000.
//!
//! In two shapes. *Near* is what a user of actix does: the clients are tasks on the peers' own thread. *Far* is the
//! shape that the peers of comparison have: the clients are on a runtime and a thread of their own.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use raft_actors::{
    Client, Cluster, Session,
    machine::{Raw, StateMachine},
    raft::{PeerId, Position},
    storage::SnapshotWriter,
};

use crate::load::{self, ELECTION, Load, Measured, Payload, Propose, Shape, Tally};

pub fn near(load: &Load) -> Result<Measured> {
    actix::System::new().block_on(run(load, Shape::Near, clients))
}

pub fn far(load: &Load) -> Result<Measured> {
    load::far(run(load, Shape::Far, clients))
}

pub fn near_sessions(load: &Load) -> Result<Measured> {
    actix::System::new().block_on(run(load, Shape::Near, sessions))
}

pub fn far_sessions(load: &Load) -> Result<Measured> {
    load::far(run(load, Shape::Far, sessions))
}

/// Counts and forgets.
struct Sink {
    applied: Tally,
}

impl StateMachine for Sink {
    type Command = Raw;
    type Answer = u64;
    type Query = Raw;
    type Response = u64;

    fn apply(&mut self, _: Position, command: Raw) -> u64 {
        self.applied.count();
        command.0.len() as u64
    }

    fn query(&self, _: Raw) -> u64 {
        self.applied.get()
    }

    fn snapshot(&self) -> SnapshotWriter {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

impl Propose for Client<Sink> {
    async fn propose(&self, command: Payload) -> Result<u64> {
        Ok(Client::propose(self, &Raw(command.into())).await?)
    }
}

impl Propose for Session<Sink> {
    async fn propose(&self, command: Payload) -> Result<u64> {
        Ok(Session::propose(self, &Raw(command.into())).await?)
    }
}

async fn clients(cluster: &Cluster<Sink>, count: usize) -> Result<Vec<Client<Sink>>> {
    Ok(vec![cluster.client(); count])
}

/// A session for each client: many, with one command under way in each.
async fn sessions(cluster: &Cluster<Sink>, count: usize) -> Result<Vec<Session<Sink>>> {
    let client = cluster.client();
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        sessions.push(client.session().await?);
    }
    Ok(sessions)
}

async fn run<P: Propose>(
    load: &Load,
    shape: Shape,
    proposers: impl AsyncFnOnce(&Cluster<Sink>, usize) -> Result<Vec<P>>,
) -> Result<Measured> {
    // Of each peer, kept here: a machine that is built anew goes on counting.
    let tallies: Arc<Mutex<BTreeMap<PeerId, Tally>>> = Arc::default();
    let machine = {
        let tallies = tallies.clone();
        move |peer| Sink { applied: tallies.lock().entry(peer).or_default().clone() }
    };
    let cluster = Cluster::of(machine).peers(load.peers);
    let cluster = match shape {
        Shape::Near => cluster.on_this_thread(),
        Shape::Far => cluster,
    };
    let cluster = cluster.start().await?;
    cluster.wait_for_leader(ELECTION).await.context("no leader was elected")?;
    let proposers = proposers(&cluster, load.in_flight).await?;
    // Should the leadership move, then to a peer that applies everything, also what the old leader had answered.
    let applied = || tallies.lock().values().map(Tally::get).max().unwrap_or(0);
    let measured = load::drive(load, shape, proposers, applied).await?;
    cluster.shutdown().await?;
    Ok(measured)
}
