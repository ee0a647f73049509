//! A script: timed faults as data, in a text that is read and written by hand.
//!
//! One step a line. It says when, in milliseconds of virtual time; perhaps for which moment it then waits, and how
//! long; how long it lasts; and what it does. Behind a `#` is a remark.
//!
//! ```
//! use raft_actors::lab::Script;
//!
//! let text = "\
//! at 1000 for 800 isolate leader             # a new one is elected meanwhile
//! at 1200 for 500 loss 0.1 kind=append-entries
//! at 2000 on SyncBegun of 3 within 500 for 300 tear-tail it
//! at 2500 crash role follower
//! at 3000 for 400 slow machine 2 5           # each turn takes 5 ms longer
//! at 3500 transfer
//! ";
//! let script: Script = text.parse()?;
//! assert_eq!(script.steps.len(), 6);
//! assert_eq!(script.end_ms(), 3_500);
//! assert_eq!(script.to_string().parse(), Ok(script));
//! # Ok::<(), raft_actors::lab::ScriptError>(())
//! ```
//!
//! | what | while it lasts |
//! |---|---|
//! | `halves 1,2\|3,4,5` | two halves don't hear each other |
//! | `isolate WHO` | one peer is cut off |
//! | `one-way 1,2>3` | the first are not heard by the second |
//! | `bridge 1,2\|3\|4,5` | two halves hear each other through the peers in between only |
//! | `ring 1,2,3,4,5` | each hears those behind it, as many as make a majority with it |
//! | a [`Rule`](crate::transport::faults::Rule): `loss 0.1 to=2`, `delay 5..=50`, `duplicate 0.2`, `reorder 0.3 1..=60`, `cut from=1` | it is in force |
//! | `kill WHO`, `keep-tail WHO`, `lose-tail WHO`, `tear-tail WHO`, `blackout` | one peer, or all, are down: what was being written survives by chance, whole, not at all, in part |
//! | `crash ACTOR WHO [stop]` | nothing: it falls, and heals by itself |
//! | `stall ACTOR WHO`, `pause WHO` | one actor stands still, or all of a peer |
//! | `slow ACTOR WHO MS` | whatever it does takes so much longer |
//! | `slow-disk WHO 50..=100` | a sync takes so many milliseconds |
//! | `hang-disk WHO`, `full-disk WHO` | a disk does nothing, or has no room |
//! | `fail-disk WHO` | a write fails, the peer stops; then the disk is repaired and the peer started |
//! | `clock WHO 1500` | a clock runs at so many thousandths of its rate |
//! | `snapshot WHO`, `transfer [WHO]` | nothing: it is told once |
//! | `lag WHO` | a peer is cut off; at the end all others take a snapshot, and it needs one |
//!
//! ACTOR is `role`, `replicator`, `timer`, `storage` or `machine`. WHO is a peer's number, `leader`, `follower`, or
//! `it`: the peer of the moment that was waited for. A moment is the name of any [`Event`].

use std::{fmt, str::FromStr};

use super::fault::Fault;
use crate::raft::{Event, PeerId};

mod read;

/// Timed faults, in the order of their times.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step of a script.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// When, in milliseconds since the cluster was started.
    pub at_ms: u64,
    /// What it then waits for.
    pub on: Option<Moment>,
    /// How long it lasts, in milliseconds.
    pub for_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// The next event of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The name of the [`Event`].
    pub event: &'static str,
    /// Whose; `None`: anybody's.
    pub of: Option<PeerId>,
    /// How long it is waited for, in milliseconds; then the step goes on without it.
    pub within_ms: u64,
}

impl Moment {
    /// The next event of this name. `None`: no event has it.
    pub fn of(event: &str, of: Option<PeerId>, within_ms: u64) -> Option<Moment> {
        let event = Event::NAMES.iter().copied().find(|name| *name == event)?;
        Some(Moment { event, of, within_ms })
    }
}

impl Step {
    /// A step that waits for nothing.
    pub fn new(at_ms: u64, for_ms: u64, fault: Fault) -> Step {
        Step { at_ms, on: None, for_ms, fault }
    }

    /// When it is over at the latest, in milliseconds.
    pub fn end_ms(&self) -> u64 {
        let waits_ms = self.on.as_ref().map_or(0, |moment| moment.within_ms);
        self.at_ms.saturating_add(waits_ms).saturating_add(self.for_ms)
    }
}

impl Script {
    /// When the last step is over, in milliseconds.
    pub fn end_ms(&self) -> u64 {
        self.steps.iter().map(Step::end_ms).max().unwrap_or_default()
    }

    /// The highest number of a peer that a step names.
    pub fn highest_peer(&self) -> PeerId {
        let moments = self.steps.iter().filter_map(|step| step.on.as_ref()?.of);
        moments.chain(self.steps.iter().flat_map(|step| step.fault.named())).max().unwrap_or_default()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}", self.at_ms)?;
        if let Some(Moment { event, of, within_ms }) = &self.on {
            write!(f, " on {event}")?;
            if let Some(of) = of {
                write!(f, " of {of}")?;
            }
            write!(f, " within {within_ms}")?;
        }
        write!(f, " for {} {}", self.for_ms, self.fault)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Why a text is not a script.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}; a step reads like `at 1000 for 800 isolate leader`")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Script, ScriptError> {
        let mut steps = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let step = read::step(line).map_err(|what| ScriptError { line: number + 1, what })?;
                steps.push(step);
            }
        }
        steps.sort_by_key(|step| step.at_ms);
        Ok(Script { steps })
    }
}

#[cfg(test)]
mod tests;
