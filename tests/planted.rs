//! Is a storm any good? Bugs that are planted on purpose must be found.
//!
//! `.ci/planted` builds with `--cfg raft_actors_planted` and runs this. `PLANTED_FIRST` is the first seed, `PLANTED_BUG`
//! a part of the name of the only bug to plant.
//!
//! A program of its own, for a planted bug is in the whole process; in other builds it is empty.
#![cfg(all(feature = "serde", raft_actors_planted))]

use raft_actors::{
    lab::Storm,
    planted::{Bug, plant},
};

/// Each is found within so many seeds.
const SEEDS: u64 = 500;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The first seed under which the bug is found, and what was found.
fn hunt(bug: Bug, first: u64) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (first..first + SEEDS).find_map(|seed| {
        let mut storm = Storm::new(seed);
        storm.seconds = 30;
        Some((seed, storm.run().violations.into_iter().next()?))
    });
    plant(None);
    found
}

#[test]
fn each_planted_bug_is_found() {
    let first = variable("PLANTED_FIRST").and_then(|first| first.parse().ok()).unwrap_or(1);
    let only = variable("PLANTED_BUG").unwrap_or_default();
    let mut missed = Vec::new();
    for &bug in Bug::ALL.iter().filter(|bug| bug.name().contains(&only)) {
        match hunt(bug, first) {
            Some((seed, what)) => {
                let what: String = what.lines().next().unwrap_or_default().chars().take(150).collect();
                println!("{:<36} {:>3} seeds  {what}", bug.name(), seed - first + 1);
            }
            None => missed.push(bug.name()),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}

/// What finds bugs finds none where there is none.
#[test]
fn without_a_bug_nothing_is_found() {
    if variable("PLANTED_BUG").is_some() {
        return;
    }
    for seed in 1..=3 {
        let outcome = Storm::new(seed).run();
        assert!(outcome.violations.is_empty(), "seed {seed}: {outcome}");
    }
}
