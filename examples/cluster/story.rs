//! The demonstration: what happens, told as it happens.

use std::io::{Write, stdout};

use raft_actors::{
    observe::{Observer, Report},
    raft::{ActorKind, Event, Why},
};

/// How many lines are made up.
pub const LINES: u64 = 1_000;

/// The lines that are replicated when there is no input.
pub fn text() -> Vec<u8> {
    let line = |number| format!("line {number} of a file that nobody wrote\n");
    (1..=LINES).map(line).collect::<String>().into_bytes()
}

/// Tells what happens.
#[derive(Debug, Default)]
pub struct Story {
    /// When the last actor fell, in microseconds since the cluster began.
    fell_us: u64,
}

impl Story {
    /// Says how it begins.
    pub fn begin(peers: u64, seed: Option<u64>) -> Story {
        let (who, their) = if peers == 1 {
            ("1 peer starts".to_string(), "its")
        } else {
            (format!("{peers} peers start"), "their")
        };
        let time = match seed {
            Some(seed) => format!("on virtual time, seed {seed}"),
            None => format!("live, on a thread of {their} own"),
        };
        tell(&format!("{who} {time}. {LINES} lines are about to go through the cluster, each a command."));
        Story::default()
    }
}

impl Observer for Story {
    fn observe(&mut self, report: &Report) {
        let (peer, term) = (report.peer, report.term);
        let text = match &report.event {
            Event::Opened { incarnation, .. } if *incarnation > 0 => format!("peer {peer} is started again"),
            Event::Elected { .. } => format!("peer {peer} wins the election, and leads term {term}"),
            Event::SteppedDown { why, .. } => format!("peer {peer} lays leadership down: {why}"),
            Event::Crashed { actor, during_sync, .. } => {
                self.fell_us = report.at_us;
                let role = report.role.map_or(String::new(), |role| format!(", a {role},"));
                let sync = if *during_sync { ", in the middle of a sync" } else { "" };
                format!("peer {peer}{role} loses its {actor} actor: it panics{sync}")
            }
            Event::Recovered { actor, .. } => {
                let us = report.at_us.saturating_sub(self.fell_us);
                let how = match actor {
                    ActorKind::Role => ", as a follower, from what its disk holds",
                    _ => "",
                };
                format!("peer {peer} has its {actor} actor back {us} µs later{how}")
            }
            Event::TailLost { records, kept, .. } => {
                format!("peer {peer} finds {kept} of {records} records that it was writing")
            }
            // The end of the whole cluster is no news.
            Event::Killed { why: Why::Stopped, .. } => return,
            Event::Killed { .. } => format!("peer {peer} is killed: no hand-over, no goodbye"),
            Event::Poisoned { index, .. } => format!("peer {peer} can't apply entry {index}: it is poisoned"),
            Event::SnapshotInstalled { at, .. } => format!("peer {peer} takes over a snapshot at {at}"),
            Event::PeerStopped { cause, why } => format!("peer {peer} stops: {why}: {cause}"),
            _ => return,
        };
        tell(&format!("{:>8.1} ms  {text}", report.at_us as f64 / 1000.0));
    }
}

fn tell(text: &str) {
    // Nobody may be listening any more: then the story is told to itself.
    let _ = writeln!(stdout(), "{text}");
}
