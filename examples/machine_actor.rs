//! An actor of one's own in the machine's place.
//!
//! For state that an actor owns already: it gets a batch of commands at a time, answers queries
//! between them, and may do what actors do beside it, such as keep time or tell others. It runs under
//! guard: when it falls it is made anew, restored from the last snapshot, and given everything after
//! it. The library stands in front of it with sessions, so it never sees a command twice.
//!
//! `cargo run --example machine_actor`

use std::{error::Error, io, time::Duration};

use actix::{Actor, Context, Handler, MessageResult};
use raft_actors::{
    Cluster,
    actor::custom::{ApplyBatch, Question, RestoreFrom, TakeView},
    machine::Interface,
    raft::{ActorKind, PeerId},
    storage::SnapshotWriter,
};

/// What everybody noted down, in order.
struct Notebook {
    peer: PeerId,
    notes: Vec<String>,
}

impl Interface for Notebook {
    type Command = String;
    /// The number of the note.
    type Answer = u64;
    type Query = ();
    type Response = Vec<String>;
}

impl Actor for Notebook {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        println!("  (a notebook opens at peer {})", self.peer);
    }
}

impl Handler<ApplyBatch<Notebook>> for Notebook {
    type Result = Vec<u64>;

    fn handle(&mut self, ApplyBatch(batch): ApplyBatch<Notebook>, _: &mut Self::Context) -> Vec<u64> {
        let number = |(_, note)| {
            self.notes.push(note);
            self.notes.len() as u64
        };
        batch.into_iter().map(number).collect()
    }
}

impl Handler<Question<Notebook>> for Notebook {
    type Result = Vec<String>;

    fn handle(&mut self, _: Question<Notebook>, _: &mut Self::Context) -> Vec<String> {
        self.notes.clone()
    }
}

impl Handler<TakeView> for Notebook {
    type Result = MessageResult<TakeView>;

    fn handle(&mut self, _: TakeView, _: &mut Self::Context) -> Self::Result {
        let notes = self.notes.clone();
        let write: SnapshotWriter = Box::new(move |into| Ok(serde_json::to_writer(into, &notes)?));
        MessageResult(write)
    }
}

impl Handler<RestoreFrom> for Notebook {
    type Result = io::Result<()>;

    fn handle(&mut self, RestoreFrom(snapshot): RestoreFrom, _: &mut Self::Context) -> io::Result<()> {
        self.notes = serde_json::from_reader(snapshot)?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("Three peers start, each with a notebook:");
    let cluster = Cluster::of_actors(|peer| Notebook { peer, notes: Vec::new() }).peers(3).start().await?;
    let session = cluster.client().session().await?;
    for note in ["buy milk", "mend the fence"] {
        println!("note {}: {note}", session.propose(&note.to_string()).await?);
    }

    let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.ok_or("nobody leads")?;
    let upto = cluster.take_snapshot(leader).await.ok_or("no snapshot was taken")?;
    println!("Peer {leader}, the leader, takes a snapshot up to entry {upto}, and loses its notebook:");
    cluster.crash(leader, ActorKind::Machine);
    let note = "call the plumber".to_string();
    println!("note {}: {note}", session.propose(&note).await?);

    cluster.wait_until_caught_up(Duration::from_secs(5)).await;
    for peer in cluster.peers() {
        println!("peer {peer} reads {:?}", cluster.client().query_local(peer, &()).await?);
    }
    Ok(cluster.shutdown().await?)
}
