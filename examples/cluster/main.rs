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
//! Where to read: `lines.rs` has the state machines, `drive.rs` the client's side, `run.rs` what is
//! around it, `chaos.rs` what is broken and when; the rest is command line, files and print.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use raft_actors::{
    Builder, Cluster, Config, machine::StateMachine, observe::TraceFile, raft::ActorKind, raft::PeerId,
};
use tokio::{runtime, sync::watch};

mod acks;
mod args;
mod chaos;
mod drive;
mod failure;
mod input;
mod lines;
mod patience;
mod peers;
mod progress;
mod report;
mod run;
mod story;
mod tally;
mod value;
mod voice;

use acks::Acks;
use args::{Args, Machine};
use input::{Input, Measure};
use lines::{Count, Lines};
use run::{Job, Keeps, Outcome};

/// The session of whoever has a folder: the same one always, so that it is found again.
const DURABLE_SESSION: u128 = u128::from_be_bytes(*b"lines of a file.");

/// How long a line may be if that can't be known before.
const LINE_BYTES_MAX: usize = 64 << 20;

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

/// What went wrong with a file, and with which.
fn about(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Says whether everything is as it should be. An error comes before the run, or instead of it.
fn carry_out(args: &Args) -> Result<bool, String> {
    // Whoever breaks something half-way has to know where that is.
    let (whole, waits) = (args.kill_for_good > 0, args.seed.is_none());
    let path = args.input.as_deref();
    let input = Input::open(path, whole, waits).map_err(about(path.unwrap_or(Path::new("the story"))))?;
    if let Some(folder) = &args.dump {
        fs::create_dir_all(folder).map_err(about(folder))?;
    }
    let acks = args.acks.as_ref().map(|path| Acks::open(path).map_err(about(path))).transpose()?;
    let session = match (&args.data, args.seed) {
        (Some(_), _) => DURABLE_SESSION,
        (None, Some(seed)) => u128::from(seed),
        (None, None) => u128::from(std::process::id()),
    };
    let job = Job {
        plan: plan(args, input.measure),
        value_bytes: args.value_bytes.map(|bytes| bytes as usize),
        dump: args.dump.clone(),
        session,
        is_durable: args.data.is_some(),
        tally: tally::Tally::default(),
        interrupted: listen_for_interrupts(),
    };
    let poison_at = args.poison_at;
    let outcome = match args.machine {
        Machine::Lines => run_on(args, &job, input, acks, Cluster::of(move |_| Lines::new(poison_at))),
        Machine::Count => run_on(args, &job, input, acks, Cluster::of(move |_| Count::new(poison_at))),
    }?;
    match tell(args, &outcome) {
        // Whoever reads has seen enough: the exit code still says how it went.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(outcome.failure.is_none()),
    }
}

/// Runs the job on a cluster, live or simulated.
fn run_on<M: Keeps + StateMachine>(
    args: &Args,
    job: &Job,
    input: Input,
    acks: Option<Acks>,
    mut builder: Builder<M>,
) -> Result<Outcome, String> {
    builder = builder
        .config(config(args, input.measure))
        .observe(job.tally.clone())
        .observe(voice::Voice)
        // What falls unasked is found and told at the end of the run, not instead of it.
        .allow_failures();
    if let Some(peers) = args.peers {
        builder = builder.peers(peers as usize);
    }
    if let Some(folder) = &args.data {
        builder = builder.data(folder);
    }
    if args.input.is_none() && !args.json {
        builder = builder.observe(story::Story::begin(args.peers(), args.seed));
    }
    let trace = match &args.trace {
        Some(path) => {
            let trace = TraceFile::create(path, args.seed, (1..=args.peers()).map(PeerId));
            Some((path, trace.map_err(about(path))?))
        }
        None => None,
    };
    if let Some((_, trace)) = &trace {
        builder = builder.observe(trace.clone());
    }
    let ran = match args.seed {
        Some(seed) => builder.simulate(seed, |cluster| run::run(cluster, job, input, acks)),
        None => {
            let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
            runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(async {
                let cluster = builder.start().await?;
                let outcome = run::run(cluster.clone(), job, input, acks).await;
                // Whatever fell is in the outcome already.
                let _ = cluster.shutdown().await;
                Ok(outcome)
            })
        }
    };
    if let Some((path, trace)) = trace {
        trace.finish().map_err(about(path))?;
    }
    ran.map_err(|error| error.to_string())
}

fn config(args: &Args, measure: Option<Measure>) -> Config {
    let mut config = Config::default();
    let longest = measure.map_or(LINE_BYTES_MAX, |measure| measure.longest);
    let longest = longest.max(args.value_bytes.unwrap_or_default() as usize) + value::OVERHEAD_BYTES_MAX;
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
    if let Some(bytes) = args.snapshot_bytes {
        config.snapshot_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(entries) = args.trail {
        config.trail_entries = entries;
    }
    config
}

fn plan(args: &Args, measure: Option<Measure>) -> chaos::Plan {
    let lines = measure.map_or(u64::MAX, |measure| measure.lines);
    let mut plan = chaos::Plan {
        crash_every: args.crash_every,
        crashes: args.crash.clone(),
        kill_every: args.kill_every,
        kill_for_good: args.kill_for_good,
        half: lines / 2,
        disks_take_time: args.seed.is_some() || args.data.is_some(),
    };
    let is_calm = plan.crash_every.is_none() && plan.crashes.is_empty() && plan.kill_every.is_none();
    if args.input.is_none() && is_calm && plan.kill_for_good == 0 && args.poison_at.is_none() {
        plan.crashes.push(args::Crash { kind: ActorKind::Role, of_follower: false, at: lines / 2 });
    }
    for crash in plan.crashes.iter().filter(|crash| crash.at > lines) {
        eprintln!("cluster: there is no line {}: the {} does not crash there", crash.at, crash.kind);
    }
    plan
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

fn tell(args: &Args, outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        report::print_json(args, outcome, &mut out)?;
    } else {
        report::print_text(outcome, &mut out)?;
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
