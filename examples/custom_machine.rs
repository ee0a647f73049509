//! A state machine of one's own: the seats of a theatre, each sold once.
//!
//! `cargo run --example custom_machine`

use std::{collections::BTreeMap, error::Error, io};

use raft_actors::{Cluster, machine::StateMachine, raft::Position, storage::SnapshotWriter};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Booking {
    seat: u32,
    guest: String,
}

#[derive(Default)]
struct Theatre(BTreeMap<u32, String>);

impl StateMachine for Theatre {
    type Command = Booking;
    type Answer = Result<(), String>;
    type Query = u32;
    type Response = Option<String>;

    fn apply(&mut self, _: Position, Booking { seat, guest }: Booking) -> Result<(), String> {
        if let Some(holder) = self.0.get(&seat) {
            return Err(format!("seat {seat} is {holder}'s"));
        }
        self.0.insert(seat, guest);
        Ok(())
    }

    fn query(&self, seat: u32) -> Option<String> {
        self.0.get(&seat).cloned()
    }

    fn snapshot(&self) -> SnapshotWriter {
        let seats = self.0.clone();
        Box::new(move |into| Ok(serde_json::to_writer(into, &seats)?))
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()> {
        self.0 = serde_json::from_reader(snapshot)?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::of(|_| Theatre::default()).peers(3).start().await?;
    let client = cluster.client();
    for guest in ["Ada", "Bob"] {
        let booking = Booking { seat: 12, guest: guest.into() };
        println!("{guest} asks for seat 12: {:?}", client.propose(&booking).await?);
    }
    println!("Seat 12 belongs to {:?}, seat 13 to {:?}.", client.query(&12).await?, client.query(&13).await?);
    Ok(cluster.shutdown().await?)
}
