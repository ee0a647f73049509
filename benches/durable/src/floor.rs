//! The floor: what a durable write on three processes costs when nothing is done that every such write has to do.
//!
//! The client sends records to the leader over TCP. The leader takes all that have come, a *group*: sends them to two
//! followers, appends them to its file and syncs it. Each follower appends them, syncs, and acknowledges. Once the
//! leader's own disk and the first follower have the group, each record is answered. Then the next group begins: one
//! is under way at a time.
//!
//! What it leaves out is what consensus and a database add: terms, votes, elections, a log that can be read again,
//! checksums, framing, an RPC encoding, a state machine, time-outs, reconnecting, more than one client. It never fails
//! over; a process that is lost ends the measure.
//!
//! There are two. *append* is what it says, to a file that grows with each group: now and then the file system has to
//! write down the new length, too. What makes *floor* fast: its files are filled with zeros and synced beforehand, so
//! that a sync has nothing to say about their length or place; they begin anew at their end.
//!
//! In both one thread does everything for a group, so that none has to be woken up; only a group of more than 1 MiB is
//! written and sent side by side. Threads that have nothing to do sleep: with fewer cores than threads to spin on,
//! spinning would be slower.

use std::{
    io::{Read, stdin},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result};

mod client;
mod file;
pub mod follower;
pub mod leader;

use crate::{
    load::{CpuMeter, Load, Window},
    nodes::{Node, Nodes, folder},
};

/// What stands before the payload of each record: its id, which is the answer to it, too.
const ID_BYTES: usize = 8;

/// A leader and two followers.
pub struct Floor {
    nodes: Nodes,
    leader: SocketAddr,
}

impl Floor {
    /// Starts all three; their files grow, or were filled before.
    pub fn start(dir: &Path, floor: &str, grows: bool) -> Result<Floor> {
        let dir = folder(dir, floor)?;
        let program = std::env::current_exe().context("where is this program?")?;
        let start = |name: &str, role: &str, followers: &[SocketAddr]| -> Result<(Node, SocketAddr)> {
            let mut command = Command::new(&program);
            command.arg(role).arg(dir.join(name)).stdout(Stdio::piped());
            command.args(followers.iter().map(SocketAddr::to_string)).args(grows.then_some("--grows"));
            let mut node = Node::start(&format!("{name} of {floor}"), &mut command, &dir.join("log"))?;
            let at = node
                .first_line()?
                .parse()
                .with_context(|| format!("{name} does not say where it listens"))?;
            Ok((node, at))
        };
        let (first, first_at) = start("follower-1", "floor-follower", &[])?;
        let (second, second_at) = start("follower-2", "floor-follower", &[])?;
        let (leader, leader_at) = start("leader", "floor-leader", &[first_at, second_at])?;
        Ok(Floor { nodes: Nodes(vec![leader, first, second]), leader: leader_at })
    }

    pub async fn bear(&mut self, load: &Load) -> Result<Window> {
        let (leader, load) = (self.leader, *load);
        let writing = tokio::task::spawn_blocking(move || client::write(leader, &load));
        tokio::time::sleep(load.warm_up).await;
        let meter = CpuMeter::start(&self.nodes);
        tokio::time::sleep(load.window).await;
        let cpu = meter.read();
        let latencies = writing.await?;
        self.nodes.check()?;
        Ok(Window::of(latencies?, 0, load.window, cpu))
    }
}

/// Ends this process once the one that started it is gone, however that ended.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
