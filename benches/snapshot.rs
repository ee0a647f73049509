//! A large state on its way: what a snapshot and its transfer cost those who write meanwhile.
//!
//! Three live peers on folders, with a state of 256 MiB. One is down while the log is compacted, and
//! comes back while writes go on; the transfer to it is cut five times. `cargo bench --bench snapshot`;
//! `-- --json` for a line to keep, `-- --mib 64` for a smaller state.
//!
//! Goals: less than 1.3 snapshots are sent, nobody is elected, and the p99 of writes at most doubles.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use raft_actors::{
    Client, Cluster, Config,
    machine::{Raw, StateMachine},
    observe::Report,
    raft::{Event, MessageKind, PeerId, Position},
    storage::SnapshotWriter,
    transport::faults::Rule,
};

const CHUNK_BYTES: usize = 16 << 10;
const WRITERS: usize = 16;
const CUTS: u64 = 5;

/// Chunks that a view shares, and a write copies if one does.
struct Chunks(Vec<Arc<[u8]>>);

impl StateMachine for Chunks {
    type Command = Raw;
    type Answer = Raw;
    type Query = Raw;
    type Response = Raw;

    fn apply(&mut self, at: Position, command: Raw) -> Raw {
        let place = at.index.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % self.0.len();
        let chunk = Arc::make_mut(&mut self.0[place]);
        chunk[..command.0.len()].copy_from_slice(&command.0);
        Raw(Bytes::new())
    }

    fn query(&self, _: Raw) -> Raw {
        Raw(Bytes::new())
    }

    fn snapshot(&self) -> SnapshotWriter {
        let chunks = self.0.clone();
        Box::new(move |out: &mut dyn Write| chunks.iter().try_for_each(|chunk| out.write_all(chunk)))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|chunk| {
            let mut new = vec![0; CHUNK_BYTES];
            from.read_exact(&mut new)?;
            *chunk = new.into();
            Ok(())
        })
    }
}

/// What the events say.
#[derive(Default)]
struct Seen {
    pieces_bytes: AtomicU64,
    snapshots: AtomicU64,
    elections: AtomicU64,
}

impl Seen {
    fn see(&self, report: &Report) {
        match &report.event {
            Event::Sent { kind: MessageKind::InstallSnapshot, what, .. } => {
                let range = what.split_once("bytes=").and_then(|(_, rest)| rest.split_once('/'));
                let ends = range.and_then(|(range, _)| range.split_once(".."));
                if let Some((Ok(from), Ok(to))) =
                    ends.map(|(from, to)| (from.parse::<u64>(), to.parse::<u64>()))
                {
                    self.pieces_bytes.fetch_add(to - from, Relaxed);
                }
            }
            Event::SnapshotSent { .. } => drop(self.snapshots.fetch_add(1, Relaxed)),
            Event::Elected { .. } => drop(self.elections.fetch_add(1, Relaxed)),
            _ => {}
        }
    }
}

type Latencies = Arc<Mutex<Vec<Duration>>>;

async fn write(client: Client<Chunks>, latencies: Latencies, stop: Arc<AtomicBool>) {
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        if client.propose(&Raw(Bytes::from(vec![7; 256]))).await.is_ok() {
            latencies.lock().expect("nobody panics").push(begun.elapsed());
        }
    }
}

/// How writes did since this was last asked.
struct Phase {
    name: &'static str,
    seconds: f64,
    writes: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

fn phase(name: &'static str, began: Instant, latencies: &Latencies) -> Phase {
    let mut all = std::mem::take(&mut *latencies.lock().expect("nobody panics"));
    all.sort();
    let at = |part: f64| {
        let place = ((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1));
        all.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    let (p50_ms, p99_ms, max_ms) = (at(0.5), at(0.99), at(1.0));
    Phase { name, seconds: began.elapsed().as_secs_f64(), writes: all.len(), p50_ms, p99_ms, max_ms }
}

const PATIENCE: Duration = Duration::from_secs(300);

async fn transfer(cluster: &Cluster<Chunks>, seen: &Seen, leader: PeerId, behind: PeerId, bytes: u64) {
    cluster.restart(behind).await;
    for cut in 1..=CUTS {
        let goal = bytes * cut / (CUTS + 1);
        cluster.wait_until(PATIENCE, || seen.pieces_bytes.load(Relaxed) >= goal).await;
        let pieces = [MessageKind::InstallSnapshot, MessageKind::ChunkTaken];
        let _cut = cluster.fault(Rule::new().between(leader.0, behind.0).kinds(pieces).cut());
        cluster.run_for(Duration::from_millis(300)).await;
    }
    let goal = || cluster.status(leader).map(|status| status.commit.0);
    let is_there = || cluster.status(behind).map(|status| status.applied.0 + 5_000) >= goal();
    assert!(cluster.wait_until(PATIENCE, is_there).await, "it never caught up");
}

async fn run(mib: usize) -> (Vec<Phase>, Arc<Seen>, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let chunks: Vec<Arc<[u8]>> =
        (0..mib * (1 << 20) / CHUNK_BYTES).map(|number| vec![number as u8; CHUNK_BYTES].into()).collect();
    let bytes = (chunks.len() * CHUNK_BYTES) as u64;
    let mut config = Config::default();
    (config.trail_entries, config.snapshot_entries, config.snapshot_bytes) = (1_000, 100_000_000, 1 << 40);
    let seen = Arc::new(Seen::default());
    let builder = Cluster::of(move |_| Chunks(chunks.clone())).config(config).data(folder.path());
    let cluster = builder.start().await.expect("a cluster");
    cluster.observe({
        let seen = seen.clone();
        move |report: &Report| seen.see(report)
    });
    let leader = cluster.wait_for_leader(PATIENCE).await.expect("a leader");
    seen.elections.store(0, Relaxed);
    let behind = cluster.peers().into_iter().find(|&peer| peer != leader).expect("a follower");
    let (latencies, stop) = (Latencies::default(), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(write(cluster.client(), latencies.clone(), stop.clone())))
        .collect();
    cluster.run_for(Duration::from_secs(1)).await;
    let mut phases = Vec::new();
    let mut began = Instant::now();
    let mut end = |name, began: &mut Instant| {
        phases.push(phase(name, *began, &latencies));
        *began = Instant::now();
    };
    let _ = phase("warm", began, &latencies);
    cluster.run_for(Duration::from_secs(5)).await;
    end("before", &mut began);
    cluster.kill(behind).await;
    cluster.run_for(Duration::from_secs(2)).await;
    end("one down", &mut began);
    cluster.take_snapshot(leader).await.expect("a snapshot");
    end("snapshot", &mut began);
    transfer(&cluster, &seen, leader, behind, bytes).await;
    end("transfer", &mut began);
    cluster.run_for(Duration::from_secs(3)).await;
    end("after", &mut began);
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
    cluster.shutdown().await.expect("a clean run");
    (phases, seen, bytes)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let mib = arguments.iter().position(|argument| argument == "--mib").map_or(256, |place| {
        arguments.get(place + 1).and_then(|mib| mib.parse().ok()).expect("--mib wants a number")
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (phases, seen, bytes) = runtime.block_on(run(mib));
    let sent = seen.pieces_bytes.load(Relaxed) as f64 / bytes as f64;
    let (snapshots, elections) = (seen.snapshots.load(Relaxed), seen.elections.load(Relaxed));
    if arguments.iter().any(|argument| argument == "--json") {
        let phase = |phase: &Phase| {
            serde_json::json!({
                "phase": phase.name, "seconds": phase.seconds, "writes": phase.writes,
                "p50_ms": phase.p50_ms, "p99_ms": phase.p99_ms, "max_ms": phase.max_ms,
            })
        };
        let phases: Vec<_> = phases.iter().map(phase).collect();
        let report = serde_json::json!({
            "mib": mib, "sent": sent, "transfers": snapshots, "elections": elections, "phases": phases,
        });
        return println!("{report}");
    }
    println!("{mib} MiB: sent {sent:.3} snapshots in {snapshots} transfers; elections: {elections}");
    println!(
        "{:>10} {:>8} {:>9} {:>8} {:>8} {:>8}",
        "phase", "seconds", "writes/s", "p50 ms", "p99 ms", "max ms"
    );
    for phase in phases {
        let Phase { name, seconds, writes, p50_ms, p99_ms, max_ms } = phase;
        let rate = writes as f64 / seconds;
        println!("{name:>10} {seconds:>8.1} {rate:>9.0} {p50_ms:>8.2} {p99_ms:>8.2} {max_ms:>8.2}");
    }
}
