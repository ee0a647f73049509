//! Proposals a second in process: three peers, memory storage, no network.
//!
//! `cargo bench --bench propose -- [near|far] [IN_FLIGHT...]`; under `taskset -c 0` for steady figures. *Near*: clients on the
//! peers' own thread, which is how actors of an application speak to them; *far*: clients on a thread of
//! their own.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use raft_actors::{
    Client, Cluster,
    machine::{Discard, Raw},
};
use tokio::{runtime, task::LocalSet, time::sleep};

const WINDOW: Duration = Duration::from_secs(2);

/// So many clients, each with one proposal under way, on this thread: proposals a second.
async fn load(client: Client<Discard>, in_flight: usize) -> f64 {
    let done = Rc::new(Cell::new(0u64));
    let client_of = |_| {
        let (client, done) = (client.clone(), done.clone());
        tokio::task::spawn_local(async move {
            loop {
                if client.propose(&Raw(Bytes::from(vec![7; 256]))).await.is_ok() {
                    done.set(done.get() + 1);
                }
            }
        })
    };
    let clients: Vec<_> = (0..in_flight).map(client_of).collect();
    sleep(WINDOW / 4).await;
    let (begun, before) = (Instant::now(), done.get());
    sleep(WINDOW).await;
    let rate = (done.get() - before) as f64 / begun.elapsed().as_secs_f64();
    clients.iter().for_each(|client| client.abort());
    rate
}

async fn measure(cluster: Cluster<Discard>, in_flight: usize) -> f64 {
    cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
    let rate = load(cluster.client(), in_flight).await;
    cluster.shutdown().await.expect("a clean run");
    rate
}

fn near(in_flight: usize) -> f64 {
    actix::System::new().block_on(async {
        let cluster = Cluster::of(|_| Discard).on_this_thread().start().await.expect("a cluster");
        measure(cluster, in_flight).await
    })
}

fn far(in_flight: usize) -> f64 {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let cluster = Cluster::of(|_| Discard).start().await.expect("a cluster");
        measure(cluster, in_flight).await
    })
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let of_one = |shape: &str| {
        !asked.iter().any(|argument| ["near", "far"].contains(&argument.as_str()) && argument != shape)
    };
    let numbers: Vec<usize> = asked.iter().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![1, 64, 1024] } else { numbers };
    for (shape, measure) in [("near", near as fn(usize) -> f64), ("far", far)] {
        for &in_flight in numbers.iter().filter(|_| of_one(shape)) {
            println!("{shape:>5} {in_flight:>6} in flight {:>12.0} a second", measure(in_flight));
        }
    }
}
