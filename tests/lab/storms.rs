//! Storms: whole clusters under everything that can go wrong at once, judged by the lab's oracle.
//!
//! Here are a few, for every day; `cargo run --release --example storm` blows as many as you like. `STORM_FIRST` and
//! `STORM_SEEDS` choose other seeds than the usual ones.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use raft_actors::{
    lab::{FaultKind, Storm},
    observe::TraceFile,
    raft::PeerId,
};

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// A storm of `seconds`: also with few of them each kind of fault has its time, for it gets fewer kinds.
fn storm(seed: u64, seconds: u64, faults: &str) -> Storm {
    let mut storm = Storm::new(seed);
    storm.seconds = seconds;
    storm.faults = FaultKind::named(faults).expect("a group of faults");
    storm
}

fn weather(seconds: u64, faults: &str, seeds: u64) {
    let first = variable("STORM_FIRST").unwrap_or(1);
    for seed in first..first + variable("STORM_SEEDS").unwrap_or(seeds) {
        let outcome = storm(seed, seconds, faults).run();
        assert!(outcome.violations.is_empty(), "seed {seed}, {seconds} s, {faults}: {outcome}");
    }
}

#[test]
fn storms_of_everything_do_no_harm() {
    weather(30, "all", 4);
}

#[test]
fn storms_in_the_network_do_no_harm() {
    weather(12, "network", 4);
}

#[test]
fn power_cuts_do_no_harm() {
    weather(10, "power", 6);
}

#[test]
fn crashes_of_actors_do_no_harm() {
    weather(10, "crashes", 6);
}

#[test]
fn actors_and_clocks_out_of_step_do_no_harm() {
    weather(10, "pace", 4);
}

#[test]
fn bad_disks_do_no_harm() {
    weather(10, "disks", 4);
}

/// A file in memory.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn trace(storm: &Storm) -> Vec<u8> {
    let paper = Paper::default();
    let peers = (1..=storm.plan().peers).map(PeerId);
    let trace = TraceFile::new(paper.clone(), Some(storm.seed), peers);
    storm.run_with(vec![Box::new(trace.clone())]);
    trace.finish().unwrap();
    std::mem::take(&mut *paper.0.lock().unwrap())
}

/// Byte for byte, whatever goes wrong in it.
#[test]
fn a_storm_repeats_itself() {
    let first = variable("STORM_FIRST").unwrap_or(1);
    for seed in first..first + 3 {
        let storm = storm(seed, 20, "all");
        let (one, other) = (trace(&storm), trace(&storm));
        assert!(one.len() > 100_000, "seed {seed}: hardly anything happened");
        let parted = one.split(|byte| *byte == b'\n').zip(other.split(|byte| *byte == b'\n'));
        if let Some((one, other)) = parted.into_iter().find(|(one, other)| one != other) {
            let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
            panic!("seed {seed}:\n{one}\n{other}");
        }
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

/// What `tests/planted.rs` plants is in builds of its own.
#[cfg(not(raft_actors_planted))]
#[test]
fn default_builds_have_no_planted_bugs() {
    // The names of the bugs are in every binary that has them, and in no other: here one is written backwards.
    let name: Vec<u8> = "detnuoc mret redlo na fo etov etal".bytes().rev().collect();
    let binary = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(!binary.windows(name.len()).any(|window| window == name), "a planted bug is in a default build");
}
