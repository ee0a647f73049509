//! The same load on raft-actors and its peers: openraft, raft-rs and OmniPaxos.
//!
//! Three peers of each in one process, with memory storage and without a network: what is compared is the work of the
//! libraries, not of disks and wires. Clients in closed loops propose commands of their own bytes, and each is answered
//! by itself after it was committed and applied. Every system gets the settings that suit it; its module says which.
//!
//! Rounds are interleaved, so that whatever else the machine does falls on all of them, and each run is a process of its
//! own, so that no allocator, thread or page of one weighs on the next. A figure is the median over the rounds.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --pin 0`; `-- --help` lists the rest.

mod load;
mod options;
mod report;
mod rounds;
mod systems;

use std::{process::ExitCode, thread, time::Duration};

use anyhow::Result;
use clap::{CommandFactory, Parser, error::ErrorKind};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::{load::ELECTION, options::Options, report::Report, systems::System};

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(core) = options.pin
        && let Err(error) = pin(core)
    {
        let message = format!("this process can't be pinned to core {core}: {error}");
        Options::command().error(ErrorKind::ValueValidation, message).exit();
    }
    let outcome = match options.in_process {
        Some(system) => once(system, &options),
        None => compare(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<()> {
    let report = Report::new(options, rounds::measure(options)?);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// One run in this process: what a round is made of, and a subject for profilers.
fn once(system: System, options: &Options) -> Result<()> {
    let in_flight = options.in_flight.first().copied().unwrap_or(1);
    let load = options.load(in_flight);
    let patience = 2 * ELECTION + load.warm_up + load.window + Duration::from_secs(10);
    thread::Builder::new().name("watchdog".into()).spawn(move || {
        thread::sleep(patience);
        eprintln!("the run has not come to an end within {patience:?}");
        std::process::exit(1);
    })?;
    println!("{}", serde_json::to_string(&system.run(&load)?)?);
    Ok(())
}

/// Keeps this process, its threads and its children on one core.
fn pin(core: usize) -> nix::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores)
}
