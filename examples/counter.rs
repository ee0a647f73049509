//! A replicated counter: the whole state machine is one closure.
//!
//! `cargo run --example counter`

use std::{error::Error, time::Duration};

use raft_actors::{Cluster, machine::closure, raft::ActorKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let counter = || {
        closure(0, |total: &mut i64, add: i64| {
            *total += add;
            *total
        })
    };
    let cluster = Cluster::of(move |_| counter()).peers(3).start().await?;
    let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.ok_or("nobody leads")?;
    println!("Three peers count together, and peer {leader} leads.");

    // A session may repeat what got lost: each of its commands counts once, whatever falls.
    let counter = cluster.client().session().await?;
    println!("Add 40: {}", counter.propose(&40).await?);

    cluster.crash(leader, ActorKind::Role);
    println!("The leader's role actor panics.");
    println!("Add 2:  {}", counter.propose(&2).await?);

    let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.ok_or("nobody leads")?;
    println!("Peer {leader} leads now. Everybody was there all the time:");
    cluster.wait_until_caught_up(Duration::from_secs(5)).await;
    for peer in cluster.peers() {
        println!("  peer {peer} counts {}", cluster.client().query_local(peer, &()).await?);
    }
    Ok(cluster.shutdown().await?)
}
