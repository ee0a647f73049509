//! Faults below a whole crash: actors that stand still or are slow, clocks that drift, disks. Each takes place, is told, and is over when
//! it is ended.
#![cfg(feature = "serde")]

#[path = "faults/actors.rs"]
mod actors;
#[path = "faults/clocks.rs"]
mod clocks;
mod common;
#[path = "faults/disks.rs"]
mod disks;
