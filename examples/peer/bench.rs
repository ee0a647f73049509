//! `bench`: how many commands a second, and how long each takes.
//!
//! A closed loop: each client has one command under way, and sends the next when that one is answered. So the
//! load adapts to what the cluster bears, and a latency is what a client would see.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Write, stderr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use raft_actors::{
    Client,
    machine::{Kv, kv::Command},
};
use serde_json::json;
use tokio::{
    runtime,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    answer::{Answer, Failure, Outcome},
    reach::{Reach, in_range},
};

const EXAMPLES: &str = "\
Examples:
  peer bench
  peer bench --clients 64 --payload 128 --seconds 10
  peer bench --clients 200 --connections 8 --seconds 5 --json
  peer bench --at 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003

Each client puts a value under a key of its own, bench/<number>, again and again. They are still there afterwards.
Each connection and its clients have a thread. Ctrl-C ends it early, with a summary.";

/// The longest latency that is told from longer ones, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// How long a client rests after an error: one that comes at once would be counted millions of times.
const PAUSE: Duration = Duration::from_millis(10);

/// Measures throughput and latency
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// How many clients, each with one command under way
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = in_range(1..=100_000))]
    clients: u64,
    /// How long each value is
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = in_range(0..=1 << 30))]
    payload: u64,
    /// For how long
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = in_range(1..=86_400))]
    seconds: u64,
    /// Over how many connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = in_range(1..=256))]
    connections: u64,
    #[command(flatten)]
    pub reach: Reach,
}

/// What was measured.
struct Tally {
    /// Of all, in microseconds.
    all: Histogram<u64>,
    /// Of the last second.
    recent: Histogram<u64>,
    errors: BTreeMap<&'static str, u64>,
    /// The last of them, in words.
    error: Option<String>,
}

#[derive(Clone)]
struct Measure(Arc<Mutex<Tally>>);

impl Measure {
    fn new() -> Result<Measure, Failure> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        let (Ok(all), Ok(recent)) = (histogram(), histogram()) else {
            return Err(Failure::failed("the histograms could not be made"));
        };
        let tally = Tally { all, recent, errors: BTreeMap::new(), error: None };
        Ok(Measure(Arc::new(Mutex::new(tally))))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut tally = self.tally();
        tally.all.saturating_record(us);
        tally.recent.saturating_record(us);
    }

    fn failed(&self, failure: Failure) {
        let mut tally = self.tally();
        *tally.errors.entry(failure.outcome.name()).or_default() += 1;
        tally.error = Some(failure.text);
    }

    fn errors(&self) -> String {
        let tally = self.tally();
        let errors: Vec<_> = tally.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        if errors.is_empty() { "no errors".into() } else { errors.join(", ") }
    }
}

pub async fn bench(args: &Bench) -> Result<Answer, Failure> {
    let measure = Measure::new()?;
    let value = payload(args.payload);
    let connections = args.connections.min(args.clients);
    let mut threads = Vec::new();
    for connection in 0..connections {
        let clients = (connection..args.clients).step_by(connections as usize).collect();
        let (value, measure) = (value.clone(), measure.clone());
        threads.push(Connection { clients, value, measure }.start(args.reach.clone())?);
    }
    for thread in &mut threads {
        (&mut thread.ready).await.unwrap_or_else(|_| Err(Failure::failed("a connection's thread ended")))?;
    }
    let began = Instant::now();
    let end = began + Duration::from_secs(args.seconds);
    let mut done = JoinSet::new();
    for Thread { go, done: is_done, .. } in threads {
        // Whoever does not hear it has ended, and says so below.
        let _ = go.send(end);
        done.spawn(is_done);
    }
    let live = tell_each_second(&measure, args.seconds);
    tokio::select! {
        () = async { while done.join_next().await.is_some() {} } => {}
        () = live => {}
        // Without signals it lasts as long as it was asked to.
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
    summary(args, &measure, began.elapsed())
}

/// A connection and its clients: all on one thread, for to wake another one would take as long as what is measured.
struct Connection {
    clients: Vec<u64>,
    value: Bytes,
    measure: Measure,
}

/// The thread of a connection.
struct Thread {
    ready: oneshot::Receiver<Result<(), Failure>>,
    go: oneshot::Sender<Instant>,
    done: oneshot::Receiver<()>,
}

impl Connection {
    /// Starts the thread. It begins to write when it is told until when.
    fn start(self, reach: Reach) -> Result<Thread, Failure> {
        let failed = |error| Failure::failed(format!("no thread for a connection: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (is_ready, ready) = oneshot::channel();
        let (go, told) = oneshot::channel();
        let (is_done, done) = oneshot::channel();
        let run = move || runtime.block_on(self.run(reach, is_ready, told, is_done));
        thread::Builder::new().name("bench".into()).spawn(run).map_err(failed)?;
        Ok(Thread { ready, go, done })
    }

    async fn run(
        self,
        reach: Reach,
        ready: oneshot::Sender<Result<(), Failure>>,
        told: oneshot::Receiver<Instant>,
        _done: oneshot::Sender<()>,
    ) {
        let found = async {
            let (remote, driver) = reach.connect_here().await?;
            // Finds the leader, and whether such a value is taken at all: not measured.
            let first = Command::put("bench/0", self.value.clone());
            driver.beside(remote.client::<Kv>().propose(&first)).await?;
            Ok((remote, driver))
        };
        let (remote, driver) = match found.await {
            Ok(found) => found,
            // Whoever asked waits for it.
            Err(failure) => return drop(ready.send(Err(failure))),
        };
        let _ = ready.send(Ok(()));
        let Ok(end) = driver.beside(told).await else { return };
        let writing = async {
            let mut writers = JoinSet::new();
            for number in self.clients {
                let command = Command::put(format!("bench/{number}"), self.value.clone());
                writers.spawn_local(write(remote.client(), command, self.measure.clone(), end));
            }
            while writers.join_next().await.is_some() {}
        };
        driver.beside(writing).await;
    }
}

/// Bytes that don't repeat soon.
fn payload(length: u64) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

async fn write(client: Client<Kv>, command: Command, measure: Measure, end: Instant) {
    loop {
        let began = Instant::now();
        if began >= end {
            return;
        }
        match client.propose(&command).await {
            Ok(_) => measure.done(began.elapsed()),
            Err(error) => {
                measure.failed(error.into());
                sleep(PAUSE).await;
            }
        }
    }
}

/// Never ends by itself: those who are measured do.
async fn tell_each_second(measure: &Measure, seconds: u64) {
    let began = Instant::now();
    for second in 1_u64.. {
        sleep_until(began + Duration::from_secs(second)).await;
        let recent = {
            let mut tally = measure.tally();
            let recent = tally.recent.clone();
            tally.recent.reset();
            recent
        };
        let line = format!(
            "{second:>3} of {seconds} s  {:>8}/s  p50 {}  p99 {}  max {}  {}",
            recent.len(),
            ms(recent.value_at_quantile(0.5)),
            ms(recent.value_at_quantile(0.99)),
            ms(recent.max()),
            measure.errors(),
        );
        // Nobody may be listening: the summary comes anyway.
        let _ = writeln!(stderr(), "{line}");
    }
}

fn ms(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

/// What is told of the latencies.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

fn summary(args: &Bench, measure: &Measure, elapsed: Duration) -> Result<Answer, Failure> {
    let errors = measure.errors();
    let tally = measure.tally();
    let (done, seconds) = (tally.all.len(), elapsed.as_secs_f64().max(0.001));
    if done == 0 {
        let cause = tally.error.clone().unwrap_or_else(|| "it ended before the first answer".into());
        return Err(Failure::new(Outcome::Failed, format!("nothing was done: {cause}"))
            .with("errors", json!(tally.errors)));
    }
    let per_second = done as f64 / seconds;
    let mut latency = serde_json::Map::new();
    let mut text = format!(
        "{} clients, {} bytes each, {seconds:.1} s\ndone     {done}, {per_second:.0}/s, {:.1} MiB/s\nlatency ",
        args.clients,
        args.payload,
        per_second * args.payload as f64 / f64::from(1 << 20),
    );
    for (name, quantile) in QUANTILES {
        let us = tally.all.value_at_quantile(quantile);
        latency.insert(name.into(), json!(us));
        write!(text, " {name} {}", ms(us))?;
    }
    latency.insert("max".into(), json!(tally.all.max()));
    latency.insert("mean".into(), json!(tally.all.mean().round() as u64));
    write!(text, " max {}\nerrors   {errors}", ms(tally.all.max()))?;
    let json = json!({
        "clients": args.clients,
        "connections": args.connections.min(args.clients),
        "payload": args.payload,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "done": done,
        "per_second": per_second.round() as u64,
        "latency_us": latency,
        "errors": tally.errors,
    });
    Ok(Answer::new(json).with_text(text))
}
