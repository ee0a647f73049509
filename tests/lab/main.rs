//! Whole clusters in simulations: time is virtual, a seed decides everything else, and a run that fails can be
//! repeated. Nothing here depends on how busy the machine is; what needs real clocks is in `tests/live`.
//!
//! One program for all of them, for each would link the whole library again.
#![cfg(feature = "serde")]

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod crashes;
mod determinism;
mod faults;
mod older_systems;
mod scenarios;
mod scenes;
mod snapshots;
mod storms;
