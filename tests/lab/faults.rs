//! Faults below a whole crash: actors that stand still or are slow, clocks that drift, disks. Each takes place, is told, and is over when
//! it is ended.

mod actors;
mod clocks;
mod disks;
