//! A first measure: proposals a second in process, three peers, memory storage, no network.
//!
//! `cargo bench --bench propose`; pin it to one core with `taskset -c 0` to compare with others. The
//! clients live on a runtime and a thread of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use raft_actors::{
    Client, Cluster,
    machine::{Discard, Raw},
};

async fn load(client: Client<Discard>, in_flight: usize, seconds: f64) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..in_flight {
        let (client, done) = (client.clone(), done.clone());
        tasks.push(tokio::task::spawn_local(async move {
            loop {
                if client.propose(&Raw(Bytes::from(vec![7; 256]))).await.is_ok() {
                    done.fetch_add(1, Relaxed);
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (begun, before) = (Instant::now(), done.load(Relaxed));
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let rate = (done.load(Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    tasks.iter().for_each(|task| task.abort());
    rate
}

fn main() {
    println!("{:>10} {:>12}", "in flight", "ops/s");
    for in_flight in [1, 64, 1024] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let rate = tokio::task::LocalSet::new().block_on(&runtime, async {
            let cluster = Cluster::of(|_| Discard).start().await.expect("a cluster");
            cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
            let rate = load(cluster.client(), in_flight, 2.0).await;
            cluster.shutdown().await.expect("a clean run");
            rate
        });
        println!("{in_flight:>10} {rate:>12.0}");
    }
}
