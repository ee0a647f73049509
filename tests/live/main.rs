//! Live clusters, on real clocks and threads, in one process or over the wire. What a run does here depends on
//! the machine, so these tests ask for what must hold in any run, and wait for events and never for times. They
//! are a program of their own so that no simulation, which takes a processor for itself, runs beside them.

#[cfg(feature = "serde")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "serde")]
mod snapshots;
#[cfg(feature = "serde")]
mod threads;
#[cfg(feature = "capnp")]
mod wire;
