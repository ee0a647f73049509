//! Storms over clusters, judged: everything goes wrong at once, on virtual time, under as many seeds as you like.
//!
//! `cargo run --release --example storm -- --seeds 1..101`

mod args;
mod run;
mod summary;

use std::{fs, process::ExitCode};

use clap::Parser;
use raft_actors::{lab::Script, observe::TraceFile, raft::PeerId};

use args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    match go(&args) {
        Ok(is_good) => ExitCode::from(u8::from(!is_good)),
        Err(Wrong::Call(what)) => {
            eprintln!("error: {what}");
            ExitCode::from(2)
        }
        Err(Wrong::File(what)) => {
            eprintln!("error: {what}");
            ExitCode::from(1)
        }
    }
}

/// Why nothing was run.
enum Wrong {
    Call(String),
    File(String),
}

fn go(args: &Args) -> Result<bool, Wrong> {
    let script = read_script(args)?;
    if args.print_script {
        let plan = args.storm(args.seeds().start, script.as_ref()).plan();
        print!("{}", plan.script);
        return Ok(true);
    }
    if let Some(file) = &args.trace {
        write_trace(args, script.as_ref(), file)?;
    }
    let summary = run::run(args, script.as_ref());
    if args.json {
        println!("{}", summary.to_json());
    } else {
        println!("{summary}");
    }
    Ok(summary.is_good())
}

fn read_script(args: &Args) -> Result<Option<Script>, Wrong> {
    let Some(path) = &args.script else { return Ok(None) };
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| Wrong::File(format!("{shown}: {error}")))?;
    let script: Script = text.parse().map_err(|error| Wrong::Call(format!("{shown}: {error}")))?;
    let (highest, peers) = (script.highest_peer(), args.peers.unwrap_or(3));
    if highest > PeerId(peers) {
        let what = format!("{shown} names peer {highest}, and there may be {peers}: say --peers {highest}");
        return Err(Wrong::Call(what));
    }
    Ok(Some(script))
}

/// Runs the seed once for its trace; the run that is judged has the same.
fn write_trace(args: &Args, script: Option<&Script>, file: &std::path::Path) -> Result<(), Wrong> {
    let wrong = |error: std::io::Error| Wrong::File(format!("{}: {error}", file.display()));
    let storm = args.storm(args.seeds().start, script);
    let peers = (1..=storm.plan().peers).map(PeerId);
    let trace = TraceFile::create(file, Some(storm.seed), peers).map_err(wrong)?;
    storm.run_with(vec![Box::new(trace.clone())]);
    trace.finish().map_err(wrong)
}
