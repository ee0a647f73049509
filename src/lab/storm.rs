//! One storm: a cluster, its clients, a nemesis, and the verdict.
//!
//! First chaos: the [script](super::Script) is played while clients are at work. Then calm: all faults are over, and
//! within ten election timeouts somebody must lead and a fresh write succeed. Then the end: everybody was answered,
//! all peers are equal, nothing that was acknowledged is lost or doubled, and the history is linearizable. The
//! [oracle](super::Oracle) looks on all the while.

use std::{
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep, timeout},
};

use super::{
    clients::{self, Desk, Store},
    evidence::Evidence,
    fault::FaultKind,
    hired::HiredKv,
    invariants::{Allowed, Oracle},
    judge::judge,
    nemesis::{Bell, Nemesis},
    plan::Plan,
    script::Script,
};
use crate::{
    cluster::{Builder, Cluster},
    config::Config,
    machine::{Kv, kv},
    observe::{Observer, Report},
    raft::{PeerId, Why},
};

/// A healed cluster is back to work within so many election timeouts.
const RECOVERY_TIMEOUTS: u64 = 10;

/// How long whoever was turned away waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A healed cluster has caught up within this, in virtual time.
const CAUGHT_UP: Duration = Duration::from_secs(60);

/// How long a storm may take on a real clock before it is taken for stuck; and how long one in which something was
/// violated already, in seconds.
const STUCK: [u32; 2] = [300, 10];

/// In a storm with fewer acknowledged operations each second, nothing was shown.
const ACKNOWLEDGED_PER_SECOND: u64 = 2;

/// A storm, before it is run.
///
/// ```
/// use raft_actors::lab::{FaultKind, Storm};
///
/// let mut storm = Storm::new(7);
/// storm.seconds = 5;
/// storm.faults = FaultKind::named("crashes").unwrap_or_default();
/// let outcome = storm.run();
/// assert!(outcome.violations.is_empty(), "{outcome}");
/// # assert!(outcome.faults.values().sum::<u64>() > 0);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storm {
    /// Decides everything.
    pub seed: u64,
    /// How many peers; `None`: 3, 5 or 7, as the seed draws.
    pub peers: Option<u64>,
    /// How long the chaos lasts, in seconds of virtual time.
    pub seconds: u64,
    /// The kinds of faults that the script is drawn from.
    pub faults: Vec<FaultKind>,
    /// The script to play; `None`: the seed draws one.
    pub script: Option<Script>,
    /// The limits of the peers; `None`: the seed draws them.
    pub config: Option<Config>,
    /// Whether anybody uses the cluster meanwhile.
    pub clients: bool,
}

/// What became of a storm.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// What must not be, and was.
    pub violations: Vec<String>,
    /// How many faults of each kind took place.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The kinds that were to take place, and did not.
    pub missing: Vec<FaultKind>,
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
    /// How many events there were.
    pub events: u64,
    /// How many elections were won.
    pub elections: u64,
    /// How many actors and peers fell.
    pub crashes: u64,
    /// How many of them while a sync was under way.
    pub crashes_in_sync: u64,
    /// How many operations of clients were acknowledged.
    pub acknowledged: u64,
    /// How many may have been done or not.
    pub unknown: u64,
    /// How many were certainly not done.
    pub refused: u64,
    /// Whether too few were acknowledged.
    pub too_little: bool,
}

impl Outcome {
    fn violation(what: impl Into<String>) -> Outcome {
        Outcome { violations: vec![what.into()], ..Outcome::default() }
    }

    /// Whether it shows anything: a storm in which a fault never took place, or hardly anything was acknowledged,
    /// does not.
    pub fn is_evidence(&self) -> bool {
        self.missing.is_empty() && !self.too_little
    }
}

/// A few lines.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { acknowledged, unknown, elections, crashes, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {unknown} unknown, {elections} elections, {crashes} crashes"
        )?;
        self.missing.iter().try_for_each(|kind| write!(f, "\nno {kind}"))?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n{violation}"))
    }
}

impl Storm {
    /// A minute of all faults.
    pub fn new(seed: u64) -> Storm {
        Storm {
            seed,
            peers: None,
            seconds: 60,
            faults: FaultKind::drawn().collect(),
            script: None,
            config: None,
            clients: true,
        }
    }

    /// What the seed draws, with the script that will be played.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::draw(self.seed, self.peers, self.seconds, &self.faults);
        if let Some(script) = &self.script {
            plan.script = script.clone();
        }
        if let Some(config) = &self.config {
            plan.config = config.clone();
        }
        if !self.clients {
            (plan.plain, plan.sessions) = (0, 0);
        }
        plan
    }

    /// Runs it. The same storm has the same outcome.
    pub fn run(&self) -> Outcome {
        self.run_with(Vec::new())
    }

    /// Runs it, and lets others look on, such as a [`TraceFile`](crate::observe::TraceFile).
    pub fn run_with(&self, observers: Vec<Box<dyn Observer>>) -> Outcome {
        let storm = self.clone();
        let (oracle, end) = (Oracle::of((1..=self.plan().peers).map(PeerId)), Halt::default());
        let watch = (oracle.clone(), end.clone());
        let (done, outcome) = mpsc::channel();
        // On a thread of its own: a cluster that spins would never come back.
        let runner = thread::Builder::new().name(format!("storm {}", self.seed)).spawn(move || {
            // Nobody listens any more only if it took too long.
            let _ = done.send(storm.blow(observers, watch));
        });
        let Ok(runner) = runner else { return Outcome::violation("no thread could be started") };
        for waited in 0..STUCK[0] {
            match outcome.recv_timeout(Duration::from_secs(1)) {
                Ok(outcome) => {
                    let _ = runner.join();
                    return outcome;
                }
                Err(mpsc::RecvTimeoutError::Timeout) if waited < STUCK[1] || oracle.is_clean() => {}
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Outcome::violation("Panic: something fell outside of any actor");
                }
            }
        }
        end.halt();
        let mut violations: Vec<_> = oracle.violations().iter().map(ToString::to_string).collect();
        violations.push("Progress: it hangs: time stands still, or too much happens".into());
        Outcome { violations, ..Outcome::default() }
    }

    fn blow(&self, observers: Vec<Box<dyn Observer>>, watch: (Oracle, Halt)) -> Outcome {
        let plan = self.plan();
        if plan.hired {
            self.blow_on(Cluster::of_actors(|_| HiredKv::default()).observe_all(observers), plan, watch)
        } else {
            self.blow_on(Cluster::of(|_| Kv::default()).observe_all(observers), plan, watch)
        }
    }

    fn blow_on<S: Store>(&self, builder: Builder<S>, plan: Plan, (oracle, end): (Oracle, Halt)) -> Outcome {
        let (evidence, bell) = (Evidence::default(), Bell::default());
        if plan.script.steps.iter().any(|step| step.fault.kind() == FaultKind::FailDisk) {
            oracle.allow(Allowed::Stops(Why::DiskFailed));
        }
        let builder = builder
            .peers(plan.peers as usize)
            .config(plan.config.clone())
            .sync_ms(plan.sync_ms.clone())
            .latency_ms(plan.latency_ms.clone())
            // The oracle tells those that were asked for from those that were not.
            .allow_failures()
            .observe(end)
            .observe(oracle.clone())
            .observe(evidence.clone())
            .observe(bell.clone());
        let wanted: Vec<FaultKind> = plan.script.steps.iter().map(|step| step.fault.kind()).collect();
        let (seed, chaos) = (self.seed, Duration::from_secs(self.seconds));
        let run = builder.simulate(seed, async |cluster: Cluster<S>| {
            let desk = Desk::default();
            let nemesis = Nemesis::new(cluster.clone(), seed, plan.clone(), evidence.clone(), bell);
            let mut wrong = weather(&cluster, seed, &plan, &desk, nemesis, chaos).await;
            wrong.extend(judge(&cluster, &desk).await);
            (wrong, desk.tally(), cluster.elapsed())
        });
        let (wrong, tally, lasted) = match run {
            Ok(run) => run,
            Err(error) => return Outcome::violation(format!("Cluster: {error}")),
        };
        let seen = oracle.verdict();
        let mut violations: Vec<String> = seen.iter().map(ToString::to_string).collect();
        violations.extend(wrong);
        let faults = evidence.counts();
        let mut missing: Vec<_> = wanted.into_iter().filter(|kind| !faults.contains_key(kind)).collect();
        missing.sort_unstable();
        missing.dedup();
        let counts = oracle.counts();
        Outcome {
            violations,
            missing,
            faults,
            lasted,
            events: counts.reports,
            elections: counts.elections,
            crashes: counts.crashes + counts.kills,
            crashes_in_sync: counts.crashes_during_sync() + counts.kills_during_sync,
            acknowledged: tally.acknowledged,
            unknown: tally.unknown,
            refused: tally.refused,
            too_little: self.clients && tally.acknowledged < ACKNOWLEDGED_PER_SECOND * self.seconds,
        }
    }
}

/// Brings a storm to a stand that would not end: its thread goes to sleep with the next event.
#[derive(Clone, Default)]
struct Halt(Arc<AtomicBool>);

impl Halt {
    fn halt(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Observer for Halt {
    fn observe(&mut self, _: &Report) {
        while self.0.load(Relaxed) {
            thread::park();
        }
    }
}

/// Chaos, and the calm behind it.
async fn weather<S: Store>(
    cluster: &Cluster<S>,
    seed: u64,
    plan: &Plan,
    desk: &Desk,
    nemesis: Rc<Nemesis<S>>,
    chaos: Duration,
) -> Vec<String> {
    let working = clients_of(cluster, seed, plan, desk);
    let mut wrong = nemesis.rage(chaos).await;
    let healed = Instant::now();
    let recovery = Duration::from_millis(plan.config.election_timeout_ms.end * RECOVERY_TIMEOUTS);
    let fresh = async {
        let write = kv::Command::set("fresh", "write");
        // Whatever it is told, it asks again; one that is busy says so at once.
        while cluster.client().with_deadline(recovery).propose(&write).await.is_err() {
            sleep(ASK_AGAIN).await;
        }
    };
    if timeout(recovery, fresh).await.is_err() {
        wrong.push(format!(
            "Liveness: no fresh write within {RECOVERY_TIMEOUTS} election timeouts after everything had healed: \
             {:#?}",
            cluster.statuses()
        ));
    }
    desk.close();
    for client in working {
        if timeout(CAUGHT_UP * 4, client).await.is_err() {
            wrong.push("Answers: a client is still waiting".into());
        }
    }
    if !cluster.wait_until_caught_up(CAUGHT_UP).await {
        let behind = (Instant::now() - healed).as_secs();
        wrong.push(format!(
            "Liveness: behind {behind} s after everything had healed: {:#?}",
            cluster.statuses()
        ));
    }
    wrong
}

fn clients_of<S: Store>(cluster: &Cluster<S>, seed: u64, plan: &Plan, desk: &Desk) -> Vec<JoinHandle<()>> {
    let window = plan.config.session_window.min(40);
    let plain = (1..=plan.plain)
        .map(|client| spawn_local(clients::plain(cluster.clone(), seed, client, desk.clone())));
    let sessions = (11..11 + plan.sessions)
        .map(|client| spawn_local(clients::in_session(cluster.clone(), seed, client, window, desk.clone())));
    plain.chain(sessions).collect()
}
