//! Is a storm any good? Bugs that are planted on purpose must be found.
//!
//! `.ci/planted` builds with `--cfg raft_actors_planted` and runs this. `PLANTED_FIRST` is the first seed, `PLANTED_BUG`
//! a part of the name of the only bug to plant.
#![cfg(feature = "serde")]

#[cfg(not(raft_actors_planted))]
#[test]
fn default_builds_have_no_planted_bugs() {
    // The names of the bugs are in every binary that has them, and in no other: here one is written backwards.
    let name: Vec<u8> = "detnuoc mret redlo na fo etov etal".bytes().rev().collect();
    let binary = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(!binary.windows(name.len()).any(|window| window == name), "a planted bug is in a default build");
}

#[cfg(raft_actors_planted)]
mod planted {
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
}
