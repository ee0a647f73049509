//! etcd: three processes with the settings they come with, and a client that writes to the leader.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tonic::transport::{Channel, Endpoint};

mod rpc;

use rpc::{PutRequest, StatusRequest};

use crate::{
    load::{CpuMeter, Load, Window, micros},
    nodes::{Node, Nodes, folder, free_ports},
};

/// How many keys are written, in turn.
const KEYS: u64 = 10_000;

/// How long the members may take to elect somebody.
const ELECTION: Duration = Duration::from_secs(20);

/// How long a write may take before it counts as failed.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long a writer rests after an error: one that comes at once would be counted millions of times.
const PAUSE: Duration = Duration::from_millis(10);

/// Three members.
pub struct Etcd {
    nodes: Nodes,
    /// Where each takes clients.
    clients: Vec<String>,
    /// Over how many connections the leader is written to, at most.
    connections: usize,
}

/// The program: the one that is given, or the one on PATH, if there is one.
pub fn program(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(program) = given {
        return Some(program.to_path_buf());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|program| program.is_file())
}

impl Etcd {
    /// Starts three members and waits until one of them leads.
    pub async fn start(program: &Path, dir: &Path, connections: usize) -> Result<Etcd> {
        let dir = folder(dir, "etcd")?;
        let ports = free_ports(6)?;
        let urls: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let (peers, clients) = urls.split_at(3);
        let cluster: Vec<_> = (1..).zip(peers).map(|(id, url)| format!("etcd-{id}={url}")).collect();
        let mut nodes = Nodes(Vec::new());
        for (id, (peer, client)) in (1..).zip(peers.iter().zip(clients)) {
            let name = format!("etcd-{id}");
            let mut command = Command::new(program);
            command.args(["--name", &name, "--data-dir"]).arg(dir.join(&name));
            command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
            command.args(["--listen-client-urls", client, "--advertise-client-urls", client]);
            command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"]);
            command.stdout(Stdio::null());
            nodes.0.push(Node::start(&name, &mut command, &dir.join(format!("{name}.log")))?);
        }
        let mut etcd = Etcd { nodes, clients: clients.to_vec(), connections };
        let deadline = Instant::now() + ELECTION;
        while etcd.leader().await.is_none() {
            etcd.nodes.check()?;
            if Instant::now() >= deadline {
                bail!("the members of etcd elect nobody");
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(etcd)
    }

    /// The endpoint of the member that says of itself that it leads.
    async fn leader(&self) -> Option<Endpoint> {
        for url in &self.clients {
            let endpoint = Endpoint::from_shared(url.clone()).ok()?.timeout(DEADLINE);
            let Ok(channel) = endpoint.connect().await else { continue };
            match rpc::status(&mut tonic::client::Grpc::new(channel), StatusRequest {}).await {
                Ok(status) if status.is_leader() => return Some(endpoint),
                _ => {}
            }
        }
        None
    }

    pub async fn bear(&mut self, load: &Load) -> Result<Window> {
        let leader = self.leader().await.context("etcd has no leader")?;
        let mut channels = Vec::new();
        for _ in 0..self.connections.min(load.in_flight) {
            channels.push(leader.connect().await.context("cannot connect to etcd's leader")?);
        }
        let begin = Instant::now() + load.warm_up;
        let span = Span { begin, end: begin + load.window };
        let value: Arc<[u8]> = vec![b'v'; load.payload].into();
        let mut writers = JoinSet::new();
        for (number, channel) in (0..load.in_flight).zip(channels.iter().cycle()) {
            writers.spawn(write(channel.clone(), number as u64, value.clone(), span));
        }
        sleep_until(span.begin).await;
        let meter = CpuMeter::start(&self.nodes);
        sleep_until(span.end).await;
        let cpu = meter.read();
        let (mut latencies, mut errors) = (Vec::new(), 0);
        while let Some(written) = writers.join_next().await {
            let written = written?;
            latencies.extend(written.latencies);
            errors += written.errors;
        }
        self.nodes.check()?;
        Ok(Window::of(latencies, errors, load.window, cpu))
    }
}

/// When a window begins and ends.
#[derive(Clone, Copy)]
struct Span {
    begin: Instant,
    end: Instant,
}

/// What one writer saw.
#[derive(Default)]
struct Written {
    latencies: Vec<u32>,
    errors: u64,
}

/// Keeps one write under way until the window has ended; counts what was acknowledged within it.
async fn write(channel: Channel, number: u64, value: Arc<[u8]>, span: Span) -> Written {
    let mut grpc = tonic::client::Grpc::new(channel);
    let mut written = Written::default();
    // Writers begin far from each other, and go through all keys.
    let mut key = number.wrapping_mul(7_919);
    loop {
        let began = Instant::now();
        if began >= span.end {
            return written;
        }
        key = (key + 1) % KEYS;
        let put = PutRequest { key: format!("bench/{key}").into_bytes(), value: value.to_vec() };
        let done = rpc::put(&mut grpc, put).await;
        let ended = Instant::now();
        let counts = (span.begin..span.end).contains(&ended);
        match done {
            Ok(_) if counts => written.latencies.push(micros(ended - began)),
            Ok(_) => {}
            Err(_) => {
                written.errors += u64::from(counts);
                sleep(PAUSE).await;
            }
        }
    }
}
