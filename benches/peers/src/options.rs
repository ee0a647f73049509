//! The command line.

use std::time::Duration;

use clap::{Parser, builder::RangedU64ValueParser};
use serde::Serialize;

use crate::{load::Load, systems::System};

const EXAMPLES: &str = "\
Examples:
  peers --pin 0                                    all systems at 1, 64 and 1024 in flight, on one core: the steadiest
  peers --pin 0 --sessions                         the same, and this library with a session for each client
  peers --systems raft-actors-far,raft-rs --rounds 9
  peers --in-flight 256 --payload 4096 --json > figures.json
  perf record -g peers --in-process raft-actors-near --in-flight 1024 --window-ms 5000

Exit codes: 0 measured, 1 a run failed, 2 a wrong call.";

const DEFAULT_SYSTEMS: &str = "raft-actors-near,raft-actors-far,openraft-0.9,openraft-0.10,raft-rs,omnipaxos";

/// A number from this range.
fn from(range: std::ops::RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// The same load on raft-actors and its peers: throughput, latency and CPU time, side by side.
///
/// Three peers of each in one process, memory storage, no network. Clients in closed loops propose commands, each
/// answered by itself after it was committed and applied. Rounds are interleaved, each run is a process of its own.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "peers", after_help = EXAMPLES)]
pub struct Options {
    /// Which systems to measure. Default: all, without sessions
    #[arg(long, value_enum, value_delimiter = ',', default_value = DEFAULT_SYSTEMS, hide_default_value = true)]
    pub systems: Vec<System>,

    /// How many clients propose, each with one command under way: a list
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64,1024", value_parser = from(1..=10_000))]
    pub in_flight: Vec<usize>,

    /// How many bytes a command has
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = from(1..=1 << 20))]
    pub payload: usize,

    /// Let the copies of a command share its bytes, in systems that leave it to their users. Default: each copy owns them
    #[arg(long)]
    pub shared: bool,

    /// How many peers a cluster has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = from(2..=9))]
    pub peers: usize,

    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = from(1..=1_000))]
    pub rounds: usize,

    /// How long the load runs before it is measured
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub warm_up_ms: u64,

    /// How long it is measured
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub window_ms: u64,

    /// Keep everything on this core
    #[arg(long, value_name = "CORE")]
    pub pin: Option<usize>,

    /// Also measure this library with a session for each client
    #[arg(long)]
    pub sessions: bool,

    /// Write one JSON object to stdout instead of tables
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,

    /// Run this system once, in this very process, with the first number in flight; for profilers
    #[arg(long, value_enum, value_name = "SYSTEM", conflicts_with_all = ["systems", "rounds", "sessions"])]
    #[serde(skip)]
    pub in_process: Option<System>,
}

impl Options {
    /// All systems that are to be measured, each once.
    pub fn all_systems(&self) -> Vec<System> {
        let more = self.sessions.then_some(System::OURS_IN_SESSIONS).into_iter().flatten();
        each_once(self.systems.iter().copied().chain(more))
    }

    /// All numbers in flight, each once.
    pub fn all_in_flight(&self) -> Vec<usize> {
        each_once(self.in_flight.iter().copied())
    }

    pub fn load(&self, in_flight: usize) -> Load {
        Load {
            in_flight,
            payload: self.payload,
            shared: self.shared,
            peers: self.peers,
            warm_up: Duration::from_millis(self.warm_up_ms),
            window: Duration::from_millis(self.window_ms),
        }
    }
}

fn each_once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    all.for_each(|one| {
        if !once.contains(&one) {
            once.push(one);
        }
    });
    once
}
