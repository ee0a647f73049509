//! Durable writes on three processes, side by side: raft-actors, etcd, and a floor that does only what every such
//! write has to.
//!
//! ```text
//! cargo run --release -- --help
//! ```
//!
//! Where to read: `args.rs` is what can be asked; `systems.rs` starts what is measured (`ours.rs`, `etcd.rs`,
//! `floor.rs`) and gives each the same [`Load`](load::Load); `rounds.rs` takes turns; `report.rs` compares.
//! `fail_over.rs` is a measure of its own. Progress goes to standard error, data to standard output.

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use anyhow::{Result, anyhow};
use clap::Parser;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

mod args;
mod etcd;
mod fail_over;
mod floor;
mod ground;
mod load;
mod nodes;
mod ours;
mod report;
mod rounds;
mod systems;

use args::{Args, Node};
use ground::Ground;
use report::Part;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.node {
        Some(node) => serve(node),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// This process is a part of the floor.
fn serve(node: &Node) -> Result<()> {
    match node {
        Node::FloorLeader { file, followers, grows } => floor::leader::serve(file, *grows, followers),
        Node::FloorFollower { file, grows } => floor::follower::serve(file, *grows),
    }
}

fn measure(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // What is dropped here takes the processes it started along, so an interrupted run leaves none behind.
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run(args) => done,
            _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
            _ = terminated.recv() => Err(anyhow!("terminated")),
        }
    })
}

async fn run(args: &Args) -> Result<()> {
    let ground = Ground::prepare(args.dir.as_deref())?;
    let mut parts = Vec::new();
    if !args.in_flight().is_empty() || args.bandwidth {
        let mut systems = systems::start(args, &ground).await?;
        let loads: Vec<_> =
            args.in_flight().into_iter().map(|in_flight| args.load(in_flight, args.payload)).collect();
        if !loads.is_empty() {
            let cells = rounds::take_turns(&mut systems, loads, args.rounds).await?;
            parts.push(("writes", report::writes(&cells)));
        }
        if args.bandwidth {
            systems.retain(|system| system.name() != "etcd");
            let load = args.load(args.bandwidth_in_flight, args::BANDWIDTH_PAYLOAD);
            let cells = rounds::take_turns(&mut systems, vec![load], args.rounds).await?;
            parts.push(("bandwidth", report::bandwidth(&cells)));
        }
    }
    if let Some(trials) = args.fail_over {
        let gaps = fail_over::measure(args, &ground, trials).await?;
        parts.push(("fail_over", report::fail_over(&gaps)));
    }
    tell(parts, args.json)
}

fn tell(parts: Vec<(&str, Part)>, as_json: bool) -> Result<()> {
    if as_json {
        let json: Map<_, _> = parts.into_iter().map(|(name, part)| (name.to_owned(), part.json)).collect();
        writeln!(stdout(), "{}", Value::from(json))?;
    } else {
        let texts: Vec<_> = parts.into_iter().map(|(_, part)| part.text).collect();
        writeln!(stdout(), "{}", texts.join("\n\n"))?;
    }
    Ok(())
}
