//! What can be asked for on the command line.

use std::{ops::RangeInclusive, path::PathBuf, str::FromStr};

use clap::{Parser, ValueEnum};
use raft_actors::raft::ActorKind;

/// How many peers there are if nobody says.
const PEERS: u64 = 3;

/// The longest command that can be asked for.
const VALUE_BYTES_MAX: u64 = 64 << 20;

/// Shown behind the options.
const EXAMPLES: &str = "\
Examples:
  cluster                                      three peers, one panic, a story
  cluster --seed 7                             the same on virtual time: the same each time
  cluster --input words.txt --dump out         each line a command; out/peer-1.log and so on equal the file
  cluster --input words.txt --peers 5 --crash-every 500 --kill-every 3000 --json
  cluster --crash storage@300 --crash follower-machine@600
  seq 1000 | cluster --input - --machine count --poison-at 777
  cluster --input words.txt --data state --acks acks    kill it whenever you like, and call it again

With --data the lines are acknowledged once they are on the disks of a majority. The same call on the
same folder says `resumed at N` and goes on with line N + 1, whatever ended the one before.

Exit code: 0 if all living peers hold the same lines, and all of them; 1 if not; 2 for a wrong call.";

/// Replicates lines through a Raft cluster in this process, and breaks it on the way.
///
/// Each line of the input, with its newline, is one command. All go in order through one session, and
/// each peer's machine is the list of the lines it applied.
///
/// Without --input a thousand lines are made up, and unless something else is to break, the leader's
/// role actor panics half-way.
#[derive(Parser, Clone, Debug)]
#[command(name = "cluster", verbatim_doc_comment, after_help = EXAMPLES)]
pub struct Args {
    /// The lines to replicate; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Write the lines that each living peer applied to DIR/peer-<ID>.log
    #[arg(long, value_name = "DIR")]
    pub dump: Option<PathBuf>,
    /// How many peers, 1 to 9 [default: 3, or as many as have their state in --data]
    #[arg(long, value_name = "N", value_parser = in_range(1..=9))]
    pub peers: Option<u64>,
    /// Keep the peers' state in DIR/peer-<ID>, and go on from what is there
    ///
    /// A line is acknowledged once it is on the disks of a majority. Prints `resumed at N` first: so
    /// many lines were applied before, and the run goes on with the next one of the same input.
    #[arg(long, value_name = "DIR", conflicts_with = "seed")]
    pub data: Option<PathBuf>,
    /// Keep the number of acknowledged lines in FILE, up to date at any moment
    #[arg(long, value_name = "FILE")]
    pub acks: Option<PathBuf>,
    /// Make each command N bytes long: a shorter line is padded, and the padding is taken off again
    #[arg(long, value_name = "N", value_parser = in_range(1..=VALUE_BYTES_MAX))]
    pub value_bytes: Option<u64>,
    /// How many lines are under way at a time, at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = in_range(1..=65_536))]
    pub in_flight: u64,
    /// Panic the leader's role actor after each K lines
    #[arg(long, value_name = "K", value_parser = in_range(1..=u64::MAX))]
    pub crash_every: Option<u64>,
    /// Panic an actor after line K; may be repeated
    ///
    /// KIND is role, replicator, timer, storage or machine, of the leader; or follower-role and so on,
    /// of a follower, which has no replicators.
    #[arg(long, value_name = "KIND@K")]
    pub crash: Vec<Crash>,
    /// Kill a whole peer after each K lines, and restart it
    ///
    /// The leader and each follower in turn. What its disk had not synced is lost.
    #[arg(long, value_name = "K", value_parser = in_range(1..=u64::MAX))]
    pub kill_every: Option<u64>,
    /// Kill N peers half-way, the leader first, and leave them dead
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = in_range(0..=9))]
    pub kill_for_good: u64,
    /// Take a snapshot, and shorten the log, whenever N entries were applied
    #[arg(long, value_name = "N", value_parser = in_range(1..=u64::MAX))]
    pub snapshot_every: Option<u64>,
    /// The same whenever entries of N bytes were applied
    #[arg(long, value_name = "N", value_parser = in_range(1..=u64::MAX))]
    pub snapshot_bytes: Option<u64>,
    /// How many entries stay in the log behind a snapshot [default: 10000, or half of --snapshot-every]
    #[arg(long, value_name = "N", value_parser = in_range(0..=u64::MAX / 2))]
    pub trail: Option<u64>,
    /// Have the machine panic at this line, on each peer and each time
    #[arg(long, value_name = "LINE", value_parser = in_range(1..=u64::MAX))]
    pub poison_at: Option<u64>,
    /// What each peer keeps: all lines, or their count and digest
    #[arg(long, value_enum, default_value_t = Machine::Lines)]
    pub machine: Machine,
    /// Run simulated, on virtual time: the same seed gives the same run
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Write every event to FILE, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print the summary as one JSON object, on one line: the last, behind `resumed at N` if there is --data
    #[arg(long)]
    pub json: bool,
}

/// What each peer keeps.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// All lines.
    Lines,
    /// Their count and digest.
    Count,
}

/// One actor to panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    pub kind: ActorKind,
    /// Of a follower, not of the leader.
    pub of_follower: bool,
    /// After how many lines.
    pub at: u64,
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Crash, String> {
        let (name, at) = text.split_once('@').ok_or("it takes a kind, an @ and a line, as in role@500")?;
        let at = at.parse().ok().filter(|&at| at > 0).ok_or_else(|| format!("`{at}` is no line number"))?;
        let (of_follower, name) = match name.strip_prefix("follower-") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let kind = ActorKind::from_name(name).filter(|&kind| kind != ActorKind::Peer);
        let kind = kind.ok_or_else(|| {
            format!("`{name}` is no actor: there are role, replicator, timer, storage and machine")
        })?;
        if of_follower && kind == ActorKind::Replicator {
            return Err("a follower has no replicators".into());
        }
        Ok(Crash { kind, of_follower, at })
    }
}

impl Args {
    /// How many peers there are, unless --data says otherwise.
    pub fn peers(&self) -> u64 {
        self.peers.unwrap_or(PEERS)
    }

    /// What clap can't check by itself.
    pub fn check(&self) -> Result<(), String> {
        let peers = self.peers();
        if self.kill_for_good > peers {
            return Err(format!("--kill-for-good {} is more than the {peers} peers", self.kill_for_good));
        }
        let needs_two = |crash: &&Crash| crash.of_follower || crash.kind == ActorKind::Replicator;
        if peers == 1 && self.crash.iter().any(|crash| needs_two(&crash)) {
            return Err("--crash: a single peer has no followers and no replicators".into());
        }
        if self.machine == Machine::Count && self.dump.is_some() {
            return Err("--dump needs the lines, which --machine count does not keep".into());
        }
        Ok(())
    }
}

fn in_range(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let number: u64 = text.parse().map_err(|_| "it is no whole number".to_string())?;
        match (range.contains(&number), *range.end()) {
            (true, _) => Ok(number),
            (false, end) if end >= u64::MAX / 2 => Err(format!("it has to be at least {}", range.start())),
            (false, end) => Err(format!("it has to be {} to {end}", range.start())),
        }
    }
}
