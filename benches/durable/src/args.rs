//! What can be asked.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::load::Load;

const EXAMPLES: &str = "\
Examples:
  durable                                            writes of 256 B at 1, 64, 256 and 1024 in flight
  durable --systems ours,floor --in-flight 1 --rounds 5
  durable --bandwidth                                MiB/s with values of 1 MiB
  durable --fail-over 20                             from the kill of a leader to the next acknowledged write
  durable --in-flight 1,64 --bandwidth --fail-over 20 --json      all three, for a program
  durable --dir /mnt/disk --peer target/release/examples/peer

Each system is three processes on loopback whose files lie beside each other on one disk. They take turns: in each
round every system gets every load for a window, so what the machine does besides meets all of them. What the
floor does and does not is in README.md.

Progress goes to standard error, the tables (or with --json one object) to standard output. A ratio is the median
of the rounds' own ratios.

Exit code: 0 if it was measured, whatever the verdict; 1 if not; 2 for a wrong call.";

/// The in-flight counts of a plain call.
const IN_FLIGHT: [usize; 4] = [1, 64, 256, 1024];

/// How long a value of `--bandwidth` is.
pub const BANDWIDTH_PAYLOAD: usize = 1 << 20;

/// Measures durable writes of three processes: raft-actors beside etcd and the floor
#[derive(Parser, Debug)]
#[command(name = "durable", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(disable_help_subcommand = true, subcommand_value_name = "NODE")]
pub struct Args {
    /// How many writes are under way at once; each count is a load of its own [default: 1,64,256,1024, unless
    /// something else is asked for]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = count(100_000))]
    in_flight: Vec<usize>,
    /// How long each value is, in bytes
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = count(1 << 20))]
    pub payload: usize,
    /// How long each window is
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// How long each load runs before its window begins
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warm_up_seconds: u64,
    /// How many times each system gets each load
    #[arg(long, value_name = "N", default_value = "3", value_parser = count(1_000))]
    pub rounds: usize,
    /// What is measured
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "ours,etcd,append,floor")]
    pub systems: Vec<Name>,
    /// Over how many connections clients write to ours, at most one for each write in flight
    ///
    /// As many as at the floor, unless told otherwise: what waits at a connection shares its calls.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count(256))]
    pub connections: usize,
    /// Over how many they write to etcd
    #[arg(long, value_name = "N", default_value = "8", value_parser = count(256))]
    pub etcd_connections: usize,
    /// Measure MiB/s with values of 1 MiB, of all but etcd
    #[arg(long)]
    pub bandwidth: bool,
    /// How many of them are under way at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = count(64))]
    pub bandwidth_in_flight: usize,
    /// Kill the leader of ours so many times, at default timers, and measure how long writes fail
    #[arg(long, value_name = "TRIALS", value_parser = count(10_000))]
    pub fail_over: Option<usize>,
    /// The program `peer` [default: cargo builds this repository's, for deployment]
    #[arg(long, value_name = "PATH", value_parser = program)]
    pub peer: Option<PathBuf>,
    /// The program etcd [default: the one on PATH; without any, etcd is left out]
    #[arg(long, value_name = "PATH", value_parser = program)]
    pub etcd: Option<PathBuf>,
    /// On which disk: data goes into a temporary folder in DIR [default: target]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub node: Option<Node>,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Name {
    /// Three `peer serve`, driven by `peer bench`
    Ours,
    /// Three etcd with its default settings
    Etcd,
    /// Append, fdatasync, TCP, and nothing else: to a file that grows
    Append,
    /// The same to a file that was filled beforehand, which is quicker to sync
    Floor,
}

/// A process of the floor: this program starts itself again.
#[derive(Subcommand, Debug)]
pub enum Node {
    #[command(hide = true)]
    FloorLeader {
        file: PathBuf,
        followers: Vec<SocketAddr>,
        #[arg(long)]
        grows: bool,
    },
    #[command(hide = true)]
    FloorFollower {
        file: PathBuf,
        #[arg(long)]
        grows: bool,
    },
}

impl Args {
    /// The loads of writes: those asked for, or the usual ones if nothing is.
    pub fn in_flight(&self) -> Vec<usize> {
        let asks_for_nothing = !self.bandwidth && self.fail_over.is_none();
        match self.in_flight.is_empty() && asks_for_nothing {
            true => IN_FLIGHT.to_vec(),
            false => self.in_flight.clone(),
        }
    }

    pub fn load(&self, in_flight: usize, payload: usize) -> Load {
        Load {
            in_flight,
            payload,
            warm_up: Duration::from_secs(self.warm_up_seconds),
            window: Duration::from_secs(self.seconds),
        }
    }
}

/// Finds a program, wherever it is started from.
fn program(path: &str) -> Result<PathBuf, String> {
    let found = Path::new(path).canonicalize().map_err(|error| error.to_string())?;
    if found.is_file() { Ok(found) } else { Err("it is no file".into()) }
}

/// Reads a count of at least one, and says what it may be.
fn count(max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let count = text.trim().parse().map_err(|_| "it is no whole number".to_string())?;
        match (1..=max).contains(&count) {
            true => Ok(count),
            false => Err(format!("it has to be 1 to {max}")),
        }
    }
}
