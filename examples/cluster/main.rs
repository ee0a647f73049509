//! A cluster in one process, fed with the lines of a file, and broken on the way.
//!
//! Without arguments it tells a story: three peers elect a leader, replicate, lose the leader's role
//! actor to a panic, heal, go on, and agree. With `--input` it is a judge: every line of the file,
//! through one session, whatever is crashed or killed, ends up once and in order on every peer.
//!
//! ```text
//! cargo run --example cluster
//! cargo run --release --example cluster -- --input FILE --dump DIR --crash-every 500 --kill-every 3000
//! cargo run --example cluster -- --help
//! ```
//!
//! Where to read: `lines.rs` has the state machines, `run.rs` the client's side, `chaos.rs` what is
//! broken and when; the rest is command line and print.

use std::{
    fs,
    io::{self, Read, Write},
    process::ExitCode,
    thread,
};

use bytes::Bytes;
use clap::{CommandFactory, Parser, error::ErrorKind};
use raft_actors::{Builder, Cluster, Config, machine::StateMachine, observe::TraceFile, raft::PeerId};
use tokio::{runtime, sync::watch};

mod args;
mod chaos;
mod lines;
mod peers;
mod progress;
mod report;
mod run;
mod story;
mod tally;

use args::{Args, Machine};
use lines::{Count, Lines, Summary};
use run::{Job, Keeps, Outcome};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(wrong) = args.check() {
        Args::command().error(ErrorKind::ValueValidation, wrong).exit();
    }
    match carry_out(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything is as it should be. An error comes before the run, or instead of it.
fn carry_out(args: &Args) -> Result<bool, String> {
    let lines = match &args.input {
        Some(path) => split(read(path).map_err(|error| format!("{}: {error}", path.display()))?),
        None => story::lines(),
    };
    if let Some(folder) = &args.dump {
        clear(folder, args.peers).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let job = Job {
        expected: lines.iter().fold(Summary::default(), |summary, line| summary.and(line)),
        plan: plan(args, lines.len() as u64),
        lines,
        dump: args.dump.clone(),
        session: u128::from(args.seed.unwrap_or_else(|| u64::from(std::process::id()))),
        tally: tally::Tally::default(),
        interrupted: listen_for_interrupts(),
    };
    let poison_at = args.poison_at;
    let outcome = match args.machine {
        Machine::Lines => run_on(args, &job, Cluster::of(move |_| Lines::new(poison_at))),
        Machine::Count => run_on(args, &job, Cluster::of(move |_| Count::new(poison_at))),
    }?;
    match tell(args, &job, &outcome) {
        // Whoever reads has seen enough: the exit code still says how it went.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(outcome.failure.is_none()),
    }
}

/// Runs the job on a cluster, live or simulated.
fn run_on<M: Keeps + StateMachine>(args: &Args, job: &Job, builder: Builder<M>) -> Result<Outcome, String> {
    let mut builder = builder
        .peers(args.peers as usize)
        .config(config(args, &job.lines))
        .observe(job.tally.clone())
        // What falls unasked is found and told at the end of the run, not instead of it.
        .allow_failures();
    if args.input.is_none() && !args.json {
        builder = builder.observe(story::Story::begin(args.peers, args.seed));
    }
    let trace = match &args.trace {
        Some(path) => {
            let trace = TraceFile::create(path, args.seed, (1..=args.peers).map(PeerId));
            Some((path, trace.map_err(|error| format!("{}: {error}", path.display()))?))
        }
        None => None,
    };
    if let Some((_, trace)) = &trace {
        builder = builder.observe(trace.clone());
    }
    let ran = match args.seed {
        Some(seed) => builder.simulate(seed, |cluster| run::run(cluster, job)),
        None => {
            let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
            runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(async {
                let cluster = builder.start().await?;
                let outcome = run::run(cluster.clone(), job).await;
                // Whatever fell is in the outcome already.
                let _ = cluster.shutdown().await;
                Ok(outcome)
            })
        }
    };
    if let Some((path, trace)) = trace {
        trace.finish().map_err(|error| format!("{}: {error}", path.display()))?;
    }
    ran.map_err(|error| error.to_string())
}

fn config(args: &Args, lines: &[Bytes]) -> Config {
    let mut config = Config::default();
    let longest = lines.iter().map(Bytes::len).max().unwrap_or_default();
    config.session_window = args.in_flight as usize;
    config.command_bytes_max = config.command_bytes_max.max(longest);
    // Room for a few of the longest: the session sends again what does not fit.
    let room = longest.saturating_mul(4);
    config.inbox_bytes_max = config.inbox_bytes_max.max(room);
    config.unapplied_bytes_max = config.unapplied_bytes_max.max(room);
    if let Some(entries) = args.snapshot_every {
        config.snapshot_entries = entries;
        config.trail_entries = entries / 2;
    }
    config
}

fn plan(args: &Args, lines: u64) -> chaos::Plan {
    let mut plan = chaos::Plan {
        crash_every: args.crash_every,
        crashes: args.crash.clone(),
        kill_every: args.kill_every,
        kill_for_good: args.kill_for_good,
        half: lines / 2,
        disks_take_time: args.seed.is_some(),
    };
    let is_calm = plan.crash_every.is_none() && plan.crashes.is_empty() && plan.kill_every.is_none();
    if args.input.is_none() && is_calm && plan.kill_for_good == 0 && args.poison_at.is_none() {
        plan.crashes.push(args::Crash {
            kind: raft_actors::raft::ActorKind::Role,
            of_follower: false,
            at: lines / 2,
        });
    }
    for crash in plan.crashes.iter().filter(|crash| crash.at > lines) {
        eprintln!("cluster: there is no line {}: the {} does not crash there", crash.at, crash.kind);
    }
    plan
}

fn read(path: &std::path::Path) -> io::Result<Bytes> {
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut text)?;
    } else {
        text = fs::read(path)?;
    }
    Ok(Bytes::from(text))
}

/// Each line with its newline; the last one may have none.
fn split(text: Bytes) -> Vec<Bytes> {
    text.split_inclusive(|&byte| byte == b'\n').map(|line| text.slice_ref(line)).collect()
}

/// Makes the folder, and takes away what an earlier run left there: a dead peer writes nothing.
fn clear(folder: &std::path::Path, peers: u64) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for peer in 1..=peers {
        match fs::remove_file(peers::dump_path(folder, PeerId(peer))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Listens on a thread of its own: a simulation has neither real time nor signals. The first Ctrl-C
/// ends the run in good order, the second one at once.
fn listen_for_interrupts() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    thread::spawn(move || {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = sender.send(true);
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(1);
                }
            }
        });
    });
    receiver
}

fn tell(args: &Args, job: &Job, outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let lines = job.lines.len() as u64;
    if args.json {
        report::print_json(args, lines, outcome, &mut out)?;
    } else {
        report::print_text(lines, outcome, &mut out)?;
    }
    if args.input.is_none() && !args.json {
        writeln!(out, "`--help` says what else can be broken, and how to bring lines of your own.")?;
    }
    out.flush()?;
    match &outcome.failure {
        Some(failure) => report::print_failure(failure, outcome, &mut io::stderr()),
        None => Ok(()),
    }
}
