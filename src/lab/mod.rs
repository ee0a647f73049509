//! The lab: storms for a cluster, and an oracle that judges them.
//!
//! A [`Storm`] is decided by its seed: how many peers, which limits, which clients, and a [`Script`] of timed
//! [faults](Fault), from a lost message over a stalled actor to a blackout. It runs on virtual time, on the actors and
//! rules that run in production. An [`Oracle`] checks the invariants of the paper after every event; in the end all
//! peers must be equal, and what clients were told must be [linearizable](history). The same storm has the same trace.
//!
//! ```
//! use raft_actors::lab::Storm;
//!
//! let mut storm = Storm::new(7);
//! storm.seconds = 3;
//! storm.script = Some("at 1000 for 500 isolate leader\nat 2000 crash role leader".parse()?);
//! let outcome = storm.run();
//! assert!(outcome.violations.is_empty(), "{outcome}");
//! assert!(outcome.is_evidence(), "{outcome:?}");
//! # Ok::<(), raft_actors::lab::ScriptError>(())
//! ```
//!
//! The oracle and the checker see events and histories only, and are of use without storms: for a cluster of your own,
//! with your machine and your clients. The nemesis has no door of its own either: whatever it does, a
//! [`Cluster`](crate::Cluster) and a [`MemoryDisk`](crate::storage::MemoryDisk) offer to everybody.

mod clients;
mod evidence;
mod fault;
mod hired;
pub mod history;
pub mod invariants;
mod judge;
mod ledger;
mod nemesis;
mod plan;
mod script;
mod shrink;
mod storm;

pub use fault::{Fault, FaultKind, Who};
pub use invariants::Oracle;
pub use plan::Plan;
pub use script::{Moment, Script, ScriptError, Step};
pub use shrink::Shrinking;
pub use storm::{Outcome, Storm};
