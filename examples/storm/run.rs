//! Runs storms, several at a time, and says how far they are.

use std::{
    fs,
    io::{IsTerminal, Write, stderr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use raft_actors::lab::{Outcome, Script};

use crate::{
    args::Args,
    summary::{Finding, Summary},
};

/// How often it is said how far they are: where a line can be written over, and where it can't.
const TELL_EVERY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// So many violations are enough: the others are likely to be the same.
const ENOUGH: usize = 3;

/// Runs all seeds, or as many as there is time for until Ctrl-C.
pub fn run(args: &Args, script: Option<&Script>) -> Summary {
    let begun = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    listen(stop.clone());
    let seeds = Arc::new(Mutex::new(args.seeds()));
    let (done, outcomes) = mpsc::channel();
    for _ in 0..threads(args) {
        let (seeds, done, stop) = (seeds.clone(), done.clone(), stop.clone());
        let (args, script) = (args.clone(), script.cloned());
        thread::spawn(move || {
            let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
            while !stop.load(Relaxed)
                && let Some(seed) = next()
            {
                if done.send((seed, args.storm(seed, script.as_ref()).run())).is_err() {
                    return;
                }
            }
        });
    }
    drop(done);
    let mut summary = Summary::default();
    for kind in &args.faults.kinds {
        if script.is_none() {
            summary.faults.insert(*kind, 0);
        }
    }
    let mut line = ProgressLine::new(args);
    let mut failed: Vec<(u64, Outcome)> = Vec::new();
    for (seed, outcome) in outcomes {
        summary.add(seed, &outcome);
        if !outcome.violations.is_empty() {
            failed.push((seed, outcome));
            if failed.len() >= ENOUGH {
                stop.store(true, Relaxed);
            }
        }
        summary.took = begun.elapsed();
        line.tell(&summary, failed.len());
    }
    line.end();
    failed.sort_by_key(|(seed, _)| *seed);
    summary.findings =
        failed.into_iter().map(|(seed, outcome)| look_into(args, script, seed, outcome)).collect();
    summary
}

fn threads(args: &Args) -> usize {
    let processors = thread::available_parallelism().map_or(1, Into::into);
    let wanted = args.threads.map_or(processors, |threads| threads as usize);
    wanted.min(args.seeds().count().max(1))
}

/// The first Ctrl-C ends the run with what there is; the second ends it at once.
fn listen(stop: Arc<AtomicBool>) {
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("\nstopping; once more to end at once");
                stop.store(true, Relaxed);
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            }
        });
    };
    thread::spawn(wait);
}

/// Looks for the shortest script that still fails.
fn look_into(args: &Args, script: Option<&Script>, seed: u64, outcome: Outcome) -> Finding {
    let storm = args.storm(seed, script);
    let given = args.script.as_ref().map(|path| path.display().to_string());
    let replay = args.replay_line(&storm, given.as_deref());
    let mut finding = Finding { seed, violations: outcome.violations, replay, shortest: None };
    if args.no_shrink {
        return finding;
    }
    let is_terminal = stderr().is_terminal();
    let mut told = Instant::now();
    let shortest = storm.shrink(|now| {
        if told.elapsed() >= TELL_EVERY[usize::from(!is_terminal)] {
            told = Instant::now();
            let end = if is_terminal { "\r" } else { "\n" };
            eprint!("seed {seed}: {} storms, {} steps left   {end}", now.tries, now.steps);
        }
    });
    if let Some(shortest) = shortest
        && let Some(text) = shortest.script.as_ref().map(Script::to_string)
    {
        let name = format!("storm-{seed}.script");
        let line = args.replay_line(&shortest, Some(&name));
        if let Err(error) = fs::write(&name, format!("# {line}\n{text}")) {
            eprintln!("{name}: {error}");
        }
        finding.shortest = Some((text, line));
    }
    finding
}

/// How far they are.
struct ProgressLine {
    all: u64,
    is_terminal: bool,
    told: Instant,
}

impl ProgressLine {
    fn new(args: &Args) -> ProgressLine {
        let seeds = args.seeds();
        ProgressLine {
            all: seeds.end - seeds.start,
            is_terminal: stderr().is_terminal(),
            told: Instant::now(),
        }
    }

    fn tell(&mut self, summary: &Summary, violations: usize) {
        if self.told.elapsed() < TELL_EVERY[usize::from(!self.is_terminal)] {
            return;
        }
        self.told = Instant::now();
        let (runs, pace) = (summary.runs, summary.pace());
        let left = summary.took.as_secs_f64() / runs.max(1) as f64 * (self.all - runs.min(self.all)) as f64;
        let end = if self.is_terminal { "   \r" } else { "\n" };
        eprint!(
            "{runs} of {} storms, {:.1} virtual hours at {pace:.0}x, {} without evidence, {violations} violations, {left:.0} s left{end}",
            self.all,
            summary.virtual_hours(),
            summary.no_evidence.len(),
        );
        let _ = stderr().flush();
    }

    fn end(&self) {
        if self.is_terminal {
            eprint!("\r{:100}\r", "");
        }
    }
}
