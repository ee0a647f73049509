//! Interleaved rounds: in each, every system once for each number in flight, in a process of its own.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{load::Measured, options::Options, systems::System};

/// What the rounds have found about one system with so many commands in flight.
pub struct Row {
    pub system: System,
    pub in_flight: usize,
    pub rounds: Vec<Measured>,
}

/// Runs all rounds, and tells on stderr how far it is.
pub fn measure(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for in_flight in options.all_in_flight() {
        for system in options.all_systems() {
            rows.push(Row { system, in_flight, rounds: Vec::with_capacity(options.rounds) });
        }
    }
    let runs = options.rounds * rows.len();
    let mut done = 0;
    for round in 1..=options.rounds {
        for row in &mut rows {
            done += 1;
            let (name, in_flight) = (row.system.name(), row.in_flight);
            let what = format!("{name}, {in_flight} in flight");
            let measured = in_child(row.system, in_flight, options).with_context(|| what.clone())?;
            let kops = measured.ops_per_second / 1e3;
            eprintln!("round {round}, run {done} of {runs}: {what}: {kops:.1} kops/s");
            row.rounds.push(measured);
        }
    }
    Ok(rows)
}

/// One run in a child: this same program. It inherits the core that this one is pinned to.
fn in_child(system: System, in_flight: usize, options: &Options) -> Result<Measured> {
    let arguments = [
        ("--in-process", system.name()),
        ("--in-flight", in_flight.to_string()),
        ("--payload", options.payload.to_string()),
        ("--peers", options.peers.to_string()),
        ("--warm-up-ms", options.warm_up_ms.to_string()),
        ("--window-ms", options.window_ms.to_string()),
    ];
    let mut child = Command::new(std::env::current_exe()?);
    child
        .args(options.shared.then_some("--shared"))
        .args(arguments.iter().flat_map(|(name, value)| [*name, value]));
    let output = child.output().context("the child could not be started")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the child's answer can't be read")
}
