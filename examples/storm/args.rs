//! What can be asked for on the command line.

use std::{ops::Range, path::PathBuf};

use clap::Parser;
use raft_actors::lab::{FaultKind, Script, Storm};

/// Shown behind the options.
const EXAMPLES: &str = "\
Faults, and groups of them:
  network   halves isolate one-way bridge ring loss delay duplicate reorder
  power     kill keep-tail lose-tail tear-tail blackout
  crashes   crash-role crash-replicator crash-timer crash-storage crash-machine
  pace      stall slow pause clock
  disks     slow-disk hang-disk full-disk fail-disk
  orders    snapshot lag transfer

Examples:
  storm                                            20 storms, a minute each, of everything
  storm --seeds 1..2001 --peers 5                  2,000 of them, five peers each
  storm --seeds 1..101 --faults network,kill       only these
  storm --replay 77 --peers 5 --trace storm.jsonl  one of them again, every event in a file
  storm --replay 77 --peers 5 --print-script       what the nemesis does in it
  storm --script mine.script --seeds 1..11         a script of your own, under ten seeds

Exit code: 0 if nothing was violated; 1 if something was, or no run is evidence; 2 for a wrong call.";

/// Blows storms over clusters, on virtual time, and judges what they did.
///
/// Each seed is a cluster with clients at work and everything going wrong: first chaos, then all faults are over, and
/// the cluster must be back at work within ten election timeouts, with nothing lost, doubled or out of order. A
/// violation is told with the line that replays it and the shortest script that still brings it about.
#[derive(Parser, Clone, Debug)]
#[command(name = "storm", verbatim_doc_comment, after_help = EXAMPLES)]
pub struct Args {
    /// Which seeds to run: from A up to B, without B
    #[arg(long, value_name = "A..B", default_value = "1..21", value_parser = range)]
    pub seeds: Range<u64>,
    /// How many peers, 1 to 9 [default: 3, 5 or 7, as the seed draws]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
    pub peers: Option<u64>,
    /// How long the chaos lasts, in seconds of virtual time
    #[arg(long, value_name = "VIRTUAL", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// What goes wrong: kinds and groups of faults, with commas in between; `none` for a calm day
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = faults)]
    pub faults: Faults,
    /// Play this script instead of what the seed draws
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Let nobody use the cluster meanwhile: with --faults none, an idle one
    #[arg(long)]
    pub no_clients: bool,
    /// Run this seed alone
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    pub replay: Option<u64>,
    /// Write every event of the replayed seed to FILE, one JSON object a line
    #[arg(long, value_name = "FILE", requires = "replay")]
    pub trace: Option<PathBuf>,
    /// Print the script of the replayed seed, and run nothing
    #[arg(long, requires = "replay")]
    pub print_script: bool,
    /// Do not look for the shortest script that still fails
    #[arg(long)]
    pub no_shrink: bool,
    /// How many storms run at a time [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub threads: Option<u64>,
    /// Print the summary as one JSON object, on one line
    #[arg(long)]
    pub json: bool,
}

/// A list of kinds, and how it was written.
#[derive(Clone, PartialEq, Debug)]
pub struct Faults {
    pub written: String,
    pub kinds: Vec<FaultKind>,
}

fn faults(text: &str) -> Result<Faults, String> {
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| *word != "none") {
        let named = FaultKind::named(word);
        kinds.extend(named.ok_or_else(|| format!("`{word}` is no fault; --help lists all of them"))?);
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Faults { written: text.to_owned(), kinds })
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds: it reads like 1..101");
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let range = number(start)?..number(end)?;
    if range.is_empty() {
        Err(format!("{text} is empty: the second number is the first that is not run"))
    } else {
        Ok(range)
    }
}

impl Args {
    /// The seeds to run.
    pub fn seeds(&self) -> Range<u64> {
        self.replay.map_or(self.seeds.clone(), |seed| seed..seed.saturating_add(1))
    }

    /// The storm of a seed.
    pub fn storm(&self, seed: u64, script: Option<&Script>) -> Storm {
        let mut storm = Storm::new(seed);
        storm.peers = self.peers;
        storm.seconds = self.seconds;
        storm.faults = self.faults.kinds.clone();
        storm.script = script.cloned();
        storm.clients = !self.no_clients;
        storm
    }

    /// The line that runs a seed again.
    pub fn replay_line(&self, storm: &Storm, script: Option<&str>) -> String {
        let mut line = format!("cargo run --release --example storm -- --replay {}", storm.seed);
        if let Some(peers) = storm.peers {
            line += &format!(" --peers {peers}");
        }
        line += &format!(" --seconds {}", storm.seconds);
        if self.no_clients {
            line += " --no-clients";
        }
        match script {
            Some(script) => line += &format!(" --script {script}"),
            None => line += &format!(" --faults {}", self.faults.written),
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_replays_is_read_as_the_same_storm() {
        let args =
            Args::parse_from(["storm", "--seeds", "5..9", "--peers", "5", "--faults", "network, kill"]);
        let storm = args.storm(7, None);
        let line = args.replay_line(&storm, None).replace("network, kill", "network,kill");
        let words = line.split_once("-- ").map(|(_, words)| words.split(' ')).into_iter().flatten();
        let again = Args::parse_from(std::iter::once("storm").chain(words));
        assert_eq!(again.seeds(), 7..8);
        assert_eq!(again.storm(7, None).faults, storm.faults);
        assert_eq!((again.peers, again.seconds), (storm.peers, storm.seconds));
    }

    #[test]
    fn lists_and_ranges_are_read_or_refused() {
        assert_eq!(range("1..3"), Ok(1..3));
        assert!(range("3..3").unwrap_err().contains("empty"));
        assert!(range("3").is_err() && range("a..b").is_err());
        assert_eq!(faults("none").unwrap().kinds, []);
        assert_eq!(faults("kill,power").unwrap().kinds.len(), 5);
        assert!(faults("kill,rain").unwrap_err().contains("`rain`"));
    }
}
