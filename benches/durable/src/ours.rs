//! raft-actors: three processes of `peer serve`, driven by `peer bench`, as anybody would run them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use raft_actors::{
    client::{Remote, RemoteOptions},
    machine::{Kv, kv},
};
use serde_json::Value;

use crate::{
    load::{CpuMeter, Load, Window, cpu_us},
    nodes::{Node, Nodes, folder, free_ports},
};

/// How long a cluster that was just started may take to elect somebody.
const ELECTION: Duration = Duration::from_secs(20);

/// Three peers.
pub struct Ours {
    program: PathBuf,
    dir: PathBuf,
    ports: Vec<u16>,
    /// Over how many connections it is written to, at most.
    connections: usize,
    /// Peer 1 first.
    pub nodes: Nodes,
}

/// The program `peer`: the one that is given, or this repository's.
pub fn program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(program) = given {
        return Ok(program.to_path_buf());
    }
    eprintln!("building the program `peer` (give one with --peer)");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let built = Command::new("cargo")
        .args(["build", "--profile", "deploy", "--quiet", "--example", "peer", "--message-format", "json"])
        .args(["--manifest-path", manifest])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo; give the program with --peer")?;
    if !built.status.success() {
        bail!("cargo could not build the program `peer`, {}", built.status);
    }
    // Cargo says where it puts programs, wherever it was told to.
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().filter_map(|line| executable(line).map(PathBuf::from)).next_back();
    executable.context("cargo did not say where it put the program `peer`")
}

fn executable(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some(message.get("executable")?.as_str()?.to_owned())
}

impl Ours {
    /// Starts three peers and waits until one of them leads.
    pub async fn start(program: PathBuf, dir: &Path, name: &str, connections: usize) -> Result<Ours> {
        let dir = folder(dir, name)?;
        let mut ours = Ours { program, dir, ports: free_ports(3)?, connections, nodes: Nodes(Vec::new()) };
        for id in 1..=3 {
            let node = ours.start_peer(id)?;
            ours.nodes.0.push(node);
        }
        let client = ours.connect(ELECTION).await?.client::<Kv>();
        let write = kv::Command::set("bench/0", "");
        client.propose(&write).await.context("the peers of ours elect nobody")?;
        Ok(ours)
    }

    /// Starts one peer, or starts it again, and waits until it listens.
    pub fn start_peer(&self, id: usize) -> Result<Node> {
        let peers: Vec<_> = (1..).zip(self.addresses()).map(|(id, at)| format!("{id}={at}")).collect();
        let mut command = Command::new(&self.program);
        command.args(["serve", "--id", &id.to_string(), "--peers", &peers.join(","), "--data"]);
        command.arg(self.dir.join(format!("peer-{id}"))).stdout(Stdio::piped());
        let log = self.dir.join(format!("peer-{id}.log"));
        let mut node = Node::start(&format!("peer {id} of ours"), &mut command, &log)?;
        node.first_line()?;
        Ok(node)
    }

    fn addresses(&self) -> impl Iterator<Item = String> {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}"))
    }

    /// Finds the cluster as its clients do.
    pub async fn connect(&self, deadline: Duration) -> Result<Remote> {
        let mut options = RemoteOptions::default();
        options.deadline = deadline;
        options.name = "durable".into();
        Ok(Remote::connect(self.addresses(), options).await?)
    }

    /// `peer bench` has no warm-up: one call warms up, another one counts.
    pub async fn bear(&mut self, load: &Load) -> Result<Window> {
        if !load.warm_up.is_zero() {
            self.bench(load, load.warm_up).await?;
        }
        let meter = CpuMeter::start(&self.nodes);
        let answer = self.bench(load, load.window).await?;
        let cpu = meter.read();
        self.nodes.check()?;
        window(&answer, cpu)
            .with_context(|| format!("`peer bench` said something else than expected: {answer}"))
    }

    async fn bench(&self, load: &Load, time: Duration) -> Result<Value> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(["bench", "--json", "--clients", &load.in_flight.to_string()]);
        command.args(["--payload", &load.payload.to_string(), "--seconds", &time.as_secs().to_string()]);
        command.args(["--connections", &self.connections.min(load.in_flight).to_string()]);
        command.args(["--at", &self.addresses().collect::<Vec<_>>().join(",")]);
        let done = command.kill_on_drop(true).process_group(0).output().await?;
        if !done.status.success() {
            bail!("`peer bench` failed, {}: {}", done.status, String::from_utf8_lossy(&done.stdout).trim());
        }
        let answer: Value = serde_json::from_slice(&done.stdout).context("`peer bench` printed no JSON")?;
        Ok(answer.get("answer").cloned().unwrap_or(answer))
    }
}

fn window(answer: &Value, cpu: Option<Duration>) -> Option<Window> {
    let done = answer.get("done")?.as_u64()?;
    let ms = |name| Some(answer.get("latency_us")?.get(name)?.as_f64()? / 1e3);
    let errors = answer.get("errors")?.as_object()?;
    Some(Window {
        per_second: done as f64 / answer.get("seconds")?.as_f64()?,
        p50_ms: ms("p50")?,
        p99_ms: ms("p99")?,
        cpu_us: cpu.map(|cpu| cpu_us(cpu, done)),
        errors: errors.values().filter_map(Value::as_u64).sum(),
    })
}
