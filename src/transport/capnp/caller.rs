//! A client's side of the wire: a thread of its own, and on it a line to each peer that is asked something.
//!
//! Cap'n Proto's capabilities stay on the thread that has them, and clients are used on any. So a [`Caller`] is an
//! address: what is asked goes into the mailbox of the peer's [`line`](super::line), and the outcome comes back
//! through the port. The thread ends when the last handle is gone. Whoever asks on one thread only can have the lines
//! there, too, and does without waking another thread for each call and each answer.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::{Instant, timeout_at},
};

use super::{
    dial::Security,
    line::{self, Line, LinePlan, Met},
    operator::{Answer, OperatorError, Order, Watched},
    status::PeerReport,
};
use crate::{
    config::NetworkConfig,
    raft::{Index, Outcome, PeerId, Port},
};

/// What a client wants to have applied: see [`Submission`](crate::transport::Submission).
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Proposal {
    Plain(Bytes),
    InSession { session: u128, sequence: u64, lowest_unanswered: u64, payload: Bytes },
    Open(u128),
    Close(u128),
}

/// How a client calls.
#[derive(Clone, Debug)]
pub struct CallerPlan {
    /// How long each call may take.
    pub deadline: Duration,
    /// The name of the cluster; `None`: whichever is met.
    pub cluster: Option<String>,
    /// Who calls.
    pub name: String,
    /// How it is kept from others.
    pub security: Security,
    /// How long what may take, and how long it may be.
    pub limits: NetworkConfig,
}

/// Something for a line to do.
pub(super) enum Job {
    Propose(Proposal, Port),
    Query { question: Bytes, is_local: bool, port: Port },
    Order(Order, oneshot::Sender<Result<Answer, OperatorError>>),
}

impl Job {
    /// It was not sent, and certainly not done.
    pub(super) fn fail(self, unreachable: &OperatorError) {
        match self {
            Job::Propose(_, port) | Job::Query { port, .. } => {
                port.answer(Outcome::NotLeader { leader: None });
            }
            Job::Order(_, answer) => drop(answer.send(Err(unreachable.clone()))),
        }
    }
}

/// What a cluster's peers have said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The name of the cluster.
    pub cluster: String,
    /// Where each peer is called.
    pub members: BTreeMap<PeerId, String>,
    /// The longest command, in bytes.
    pub command_bytes_max: usize,
    /// How many commands of a session may wait for their answers.
    pub session_window: usize,
    /// The longest time without a leader after which another one is elected.
    pub election_timeout: Duration,
    /// Who led when it was found, as far as whoever answered knew; else 0.
    pub leader: PeerId,
}

/// A handle on whatever calls: a thread, or lines that are polled by their owner.
#[derive(Clone)]
pub struct Caller {
    jobs: mpsc::UnboundedSender<(PeerId, Job)>,
    known: Arc<Mutex<Known>>,
    addressed: PeerId,
}

/// What came of each address that was tried.
type Tried = Vec<(String, Result<Met, String>)>;

impl Caller {
    /// Starts the thread and finds the cluster: asks all addresses at once, and waits for the first of them, or
    /// once another has answered no longer than a connection may take.
    ///
    /// # Errors
    /// What came of each address, in words.
    pub async fn find(addresses: Vec<String>, plan: CallerPlan) -> Result<Caller, String> {
        let (work, caller) = begin(addresses, plan);
        spawn(work)?;
        caller.await
    }

    /// Finds the cluster without a thread: its lines live in what is returned beside the caller, and get on while
    /// that is polled.
    ///
    /// # Errors
    /// What came of each address, in words.
    pub async fn find_here(addresses: Vec<String>, plan: CallerPlan) -> Result<(Caller, LocalSet), String> {
        let (work, caller) = begin(addresses, plan);
        let lines = LocalSet::new();
        drop(lines.spawn_local(work));
        let caller = lines.run_until(caller).await?;
        Ok((caller, lines))
    }

    /// Starts the thread for a cluster whose peers are known.
    ///
    /// # Errors
    /// The system gives no thread, in words.
    pub fn to(known: Known, plan: CallerPlan) -> Result<Caller, String> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let known = Arc::new(Mutex::new(known));
        let (plan, book) = (Arc::new(plan), known.clone());
        spawn(async move { pass_on(plan, book, inbox).await })?;
        Ok(Caller { jobs, known, addressed: PeerId(0) })
    }

    /// What is known of the cluster.
    pub fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    /// Who listens at the first address that answered.
    pub fn addressed(&self) -> PeerId {
        self.addressed
    }

    fn give(&self, to: PeerId, job: Job) {
        if let Err(mpsc::error::SendError((peer, job))) = self.jobs.send((to, job)) {
            let cause = "its connections have ended".into();
            job.fail(&OperatorError::Unreachable { peer, address: String::new(), cause });
        }
    }

    /// Proposes something at a peer.
    pub fn propose(&self, to: PeerId, proposal: Proposal, port: Port) {
        self.give(to, Job::Propose(proposal, port));
    }

    /// Asks a peer's machine: its own, or linearizably.
    pub fn query(&self, to: PeerId, question: Bytes, is_local: bool, port: Port) {
        self.give(to, Job::Query { question, is_local, port });
    }

    async fn order(&self, to: PeerId, order: Order) -> Result<Answer, OperatorError> {
        let (sender, answer) = oneshot::channel();
        self.give(to, Job::Order(order, sender));
        let lost = || {
            let address = self.known().members.remove(&to).unwrap_or_default();
            OperatorError::Unreachable { peer: to, address, cause: "the connection was lost".into() }
        };
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn done(&self, to: PeerId, order: Order) -> Result<(), OperatorError> {
        self.order(to, order).await.map(drop)
    }

    /// How a peer does.
    ///
    /// # Errors
    /// See [`OperatorError`], here and for all of these.
    pub async fn status(&self, of: PeerId) -> Result<PeerReport, OperatorError> {
        match self.order(of, Order::Status).await? {
            Answer::Status(report) => Ok(*report),
            _ => Err(mistaken()),
        }
    }

    /// Has a peer hand leadership over.
    pub async fn transfer(&self, from: PeerId, target: Option<PeerId>) -> Result<(), OperatorError> {
        self.done(from, Order::Transfer(target)).await
    }

    /// Has a peer take a snapshot.
    pub async fn snapshot(&self, of: PeerId) -> Result<Index, OperatorError> {
        match self.order(of, Order::Snapshot).await? {
            Answer::Snapshot(index) => Ok(Index(index)),
            _ => Err(mistaken()),
        }
    }

    /// Cuts a peer off.
    pub async fn isolate(&self, peer: PeerId) -> Result<(), OperatorError> {
        self.done(peer, Order::Isolate).await
    }

    /// Ends that.
    pub async fn reconnect(&self, peer: PeerId) -> Result<(), OperatorError> {
        self.done(peer, Order::Reconnect).await
    }

    /// Puts a rule in force at a peer.
    pub async fn set_fault(&self, peer: PeerId, rule: &str) -> Result<(), OperatorError> {
        self.done(peer, Order::SetFault(rule.into())).await
    }

    /// The rules in force at a peer.
    pub async fn list_faults(&self, peer: PeerId) -> Result<Vec<String>, OperatorError> {
        match self.order(peer, Order::ListFaults).await? {
            Answer::Faults(rules) => Ok(rules),
            _ => Err(mistaken()),
        }
    }

    /// Ends all of them.
    pub async fn clear_faults(&self, peer: PeerId) -> Result<(), OperatorError> {
        self.done(peer, Order::ClearFaults).await
    }

    /// Everything that happens at a peer from now on.
    pub async fn watch(&self, peer: PeerId) -> Result<mpsc::Receiver<Watched>, OperatorError> {
        let (sender, events) = mpsc::channel(1_024);
        self.done(peer, Order::Watch(sender)).await.map(|()| events)
    }
}

fn mistaken() -> OperatorError {
    OperatorError::Failed { reason: "other", text: "the peer answered something else than was asked".into() }
}

pub(super) fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What finds the cluster and then carries calls until the last handle is gone, wherever it is run; and what came of
/// the finding.
fn begin(
    addresses: Vec<String>,
    plan: CallerPlan,
) -> (impl Future<Output = ()> + Send + 'static, impl Future<Output = Result<Caller, String>>) {
    let (jobs, inbox) = mpsc::unbounded_channel();
    let (found, finding) = oneshot::channel();
    let known = Arc::<Mutex<Known>>::default();
    let (plan, book) = (Arc::new(plan), known.clone());
    let work = async move {
        let addressed = find(&addresses, &plan, &book).await;
        let goes_on = addressed.is_ok();
        if found.send(addressed).is_ok() && goes_on {
            pass_on(plan, book, inbox).await;
        }
    };
    let caller = async move {
        let addressed = finding.await.map_err(|_| "there is no thread to call from".to_string())??;
        Ok(Caller { jobs, known, addressed })
    };
    (work, caller)
}

/// Runs something on a thread of its own.
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
    let failed = |error| format!("there is no thread to call from: {error}");
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let thread = std::thread::Builder::new().name("raft-client".into());
    thread.spawn(move || LocalSet::new().block_on(&runtime, work)).map(drop).map_err(failed)
}

/// Passes jobs on to lines until the last handle is gone.
async fn pass_on(
    plan: Arc<CallerPlan>,
    known: Arc<Mutex<Known>>,
    mut inbox: mpsc::UnboundedReceiver<(PeerId, Job)>,
) {
    let mut lines = BTreeMap::<PeerId, Line>::new();
    while let Some((peer, job)) = inbox.recv().await {
        let start = || line::start(LinePlan { peer, caller: plan.clone(), known: known.clone() });
        lines.entry(peer).or_insert_with(start).give(job);
    }
}

/// Asks all addresses, and learns from those that answer.
async fn find(
    addresses: &[String],
    plan: &Arc<CallerPlan>,
    known: &Arc<Mutex<Known>>,
) -> Result<PeerId, String> {
    let (tell, mut told) = mpsc::unbounded_channel();
    for (place, address) in addresses.iter().cloned().enumerate() {
        let (plan, tell) = (plan.clone(), tell.clone());
        spawn_local(async move {
            let met = line::ask_who_is_there(&address, &plan).await;
            // Nobody may be waiting any more.
            let _ = tell.send((place, address, met));
        });
    }
    drop(tell);
    let mut deadline = Instant::now() + plan.deadline;
    let mut tried = BTreeMap::new();
    while let Ok(Some((place, address, met))) = timeout_at(deadline, told.recv()).await {
        if let Ok(met) = &met {
            learn(known, &address, met);
            deadline = deadline.min(Instant::now() + Duration::from_millis(plan.limits.connect_ms));
        }
        tried.insert(place, (address, met));
        if tried.get(&0).is_some_and(|(_, met)| met.is_ok()) {
            break;
        }
    }
    // Those that answer later are of use, too.
    let (later, mut late) = (known.clone(), told);
    spawn_local(async move {
        while let Some((_, address, met)) = late.recv().await {
            met.iter().for_each(|met| learn(&later, &address, met));
        }
    });
    for (place, address) in addresses.iter().enumerate() {
        let late =
            || (address.clone(), Err(format!("it did not answer within {} ms", plan.deadline.as_millis())));
        tried.entry(place).or_insert_with(late);
    }
    let tried: Tried = tried.into_values().collect();
    tried.iter().find_map(|(_, met)| met.as_ref().ok().map(|met| met.peer)).ok_or_else(|| nobody(&tried))
}

fn nobody(tried: &Tried) -> String {
    let mut what: Vec<_> = tried
        .iter()
        .filter_map(|(address, met)| met.as_ref().err().map(|cause| format!("{address}: {cause}")))
        .collect();
    if what.is_empty() {
        what.push("there is no address to try: give one at least".into());
    }
    format!("no peer can be spoken to: {}", what.join("; "))
}

/// A peer answered at an address: whatever others say, that is where it is called from here. A peer of another
/// cluster than the first is of no use.
pub(super) fn learn(known: &Mutex<Known>, address: &str, met: &Met) {
    let mut known = lock(known);
    if known.cluster.is_empty() {
        let here = std::mem::take(&mut known.members);
        *known = met.known.clone();
        known.members.extend(here);
    }
    if known.cluster == met.known.cluster && known.members.contains_key(&met.peer) {
        known.members.insert(met.peer, address.into());
    }
}
