//! What has to be said at once, on standard error.

use std::io::{IsTerminal, Write, stderr};

use raft_actors::{
    observe::{Observer, Report},
    raft::{Event, Why},
};

/// Says something on a line of its own.
pub fn say(text: &str) {
    // The progress line is where the cursor is: it is drawn anew soon.
    let clear = if stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    // Nobody may be listening any more: then it is in the summary.
    let _ = writeln!(stderr(), "{clear}cluster: {text}");
}

/// Says which peers stop by themselves and why, and what the operator of a folder should know.
pub struct Voice;

impl Observer for Voice {
    fn observe(&mut self, report: &Report) {
        match &report.event {
            Event::PeerStopped { cause, why } if *why != Why::Stopped => {
                say(&format!("peer {} stopped: {why}: {cause}", report.peer));
            }
            Event::DiskFull { .. } => {
                say(&format!(
                    "the disk of peer {} is full: it takes nothing more and waits for room",
                    report.peer
                ));
            }
            Event::RoomAgain { .. } => say(&format!("there is room again for peer {}", report.peer)),
            // A slow disk is no news to somebody who waits for it.
            Event::Warned { what, why } if *why != Why::SlowDisk => say(&format!("warning: {what}")),
            _ => {}
        }
    }
}
