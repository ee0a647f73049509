//! Cost as work grows: a log that is long, a cluster that is large, a flood. Three peers or as many as it says, memory
//! storage, 256 B, clients on the peers' own thread, 256 proposals under way.
//!
//! `cargo bench --bench growth`; under `taskset -c 0` for steady figures.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use raft_actors::{
    Client, Cluster, Config,
    error::ClientError,
    machine::{Discard, Raw, StateMachine, closure},
};
use tokio::task::{JoinHandle, spawn_local};

const IN_FLIGHT: u64 = 256;
const ENTRY_BYTES: usize = 256;

fn command() -> Raw {
    Raw(Bytes::from(vec![7; ENTRY_BYTES]))
}

/// A cluster that keeps so many entries behind its snapshots.
async fn cluster<M: StateMachine>(
    machine: impl Fn() -> M + Send + Sync + 'static,
    peers: usize,
    trail_entries: u64,
) -> Cluster<M> {
    let mut config = Config::default();
    (config.trail_entries, config.trail_bytes) = (trail_entries, usize::MAX);
    config.snapshot_entries = trail_entries.div_ceil(10).max(10_000);
    let cluster = Cluster::of(move |_| machine()).peers(peers).config(config).on_this_thread();
    let cluster = cluster.start().await.expect("a cluster");
    cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
    cluster
}

/// Proposes so many, and says how many a second that were.
async fn propose<M: StateMachine<Command = Raw>>(client: &Client<M>, count: u64) -> f64 {
    let left = Rc::new(Cell::new(count));
    let run = |_| {
        let (client, left) = (client.clone(), left.clone());
        spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                client.propose(&command()).await.expect("nothing is in its way");
            }
        })
    };
    let begun = Instant::now();
    let clients: Vec<JoinHandle<()>> = (0..IN_FLIGHT).map(run).collect();
    for client in clients {
        client.await.expect("a client");
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// What this process has in memory, in bytes; nothing where there is no `/proc`.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Throughput with a short and a long log. Both are filled before they are measured, so that neither's memory is new.
async fn long_logs() {
    let mut rates = Vec::new();
    for retained in [20_000, 1_000_000] {
        let cluster = cluster(|| Discard, 3, retained).await;
        propose(&cluster.client(), retained + retained / 5 + 100_000).await;
        let rate = propose(&cluster.client(), 2_000_000).await;
        println!("{retained:>9} entries retained: {rate:>9.0} a second");
        rates.push(rate);
        cluster.shutdown().await.expect("a clean run");
    }
    println!("  the long log: {:.2} of the short one's", rates[1] / rates[0]);
}

/// What an entry costs in memory that one peer retains.
async fn memory() {
    const ENTRIES: u64 = 1_000_000;
    let cluster = cluster(|| Discard, 1, 4 * ENTRIES).await;
    propose(&cluster.client(), 10_000).await;
    let before = resident_bytes();
    propose(&cluster.client(), ENTRIES).await;
    let bytes = resident_bytes().saturating_sub(before) as f64 / ENTRIES as f64;
    println!("an entry of {ENTRY_BYTES} B takes {bytes:.0} B");
    cluster.shutdown().await.expect("a clean run");
}

/// Three, five, seven and nine peers by turns, so that a slow moment of the machine meets each alike: medians.
async fn large_clusters<M: StateMachine<Command = Raw>>(machine: fn() -> M) {
    const SIZES: [usize; 4] = [3, 5, 7, 9];
    const ROUNDS: usize = 5;
    let mut rates = SIZES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (peers, rates) in SIZES.into_iter().zip(&mut rates) {
            let cluster = cluster(machine, peers, 10_000).await;
            propose(&cluster.client(), 200_000).await;
            rates.push(propose(&cluster.client(), 1_000_000).await);
            cluster.shutdown().await.expect("a clean run");
        }
    }
    let medians = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    for (peers, median) in SIZES.iter().zip(medians) {
        println!("{peers} peers: {median:>9.0} a second");
    }
    println!("  nine peers: {:.2} of what three do", medians[3] / medians[0]);
}

/// A thousand clients propose a hundred commands each, all at once.
async fn flood() {
    let cluster = cluster(|| Discard, 3, 10_000).await;
    let term = cluster.statuses().iter().map(|status| status.term).max();
    let before = resident_bytes();
    let clients: Vec<JoinHandle<Vec<Result<u64, ClientError>>>> = (0..1_000)
        .map(|_| {
            let client = cluster.client();
            spawn_local(async move { client.propose_all(&vec![command(); 100]).await })
        })
        .collect();
    let (mut done, mut busy, mut other) = (0, 0, 0);
    for client in clients {
        for outcome in client.await.expect("a client") {
            match outcome {
                Ok(_) => done += 1,
                Err(ClientError::Busy) => busy += 1,
                Err(_) => other += 1,
            }
        }
    }
    let grown = resident_bytes().saturating_sub(before) >> 20;
    let elected = cluster.statuses().iter().map(|status| status.term).max() != term;
    println!(
        "a flood of 100,000: {done} done, {busy} busy, {other} of anything else; memory +{grown} MiB; an election: {elected}"
    );
    cluster.shutdown().await.expect("a clean run");
}

fn main() {
    // One system for each, so that none inherits another's memory in use.
    actix::System::new().block_on(memory());
    actix::System::new().block_on(long_logs());
    actix::System::new().block_on(large_clusters(|| Discard));
    println!("each machine is given a share of each command:");
    actix::System::new().block_on(large_clusters(|| closure((), |(), command: Raw| command.0.len() as u64)));
    actix::System::new().block_on(flood());
}
