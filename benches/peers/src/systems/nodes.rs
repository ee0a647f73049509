//! A house for libraries that bring the protocol and no runtime: a thread for each node, channels between them.
//!
//! In each pass a node takes what has arrived, up to [`INBOX_MAX`] at a time, and only then writes, sends and applies:
//! so whatever is under load comes in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tokio::{sync::oneshot, time::sleep};

use crate::load::{self, ELECTION, Load, Measured, Payload, Propose, Shape, Tally};

/// How often a node's clock ticks.
pub const TICK: Duration = Duration::from_millis(10);
/// How many applied entries a log keeps at least; it is cut once it has twice as many.
pub const TRAIL: u64 = 10_000;
/// The node that is meant to lead, and that the clients propose to.
pub const FIRST: u64 = 1;

const INBOX_MAX: usize = 1_024;

/// A node of a cluster whose nodes are numbered from [`FIRST`].
pub trait Node: Sized + Send + 'static {
    type Message: Send + 'static;

    /// Node `id` of `peers`, which counts what it applies.
    fn new(id: u64, peers: u64, applied: Tally) -> Result<Self>;
    fn leads(&self) -> bool;
    fn tick(&mut self);
    fn step(&mut self, message: Self::Message) -> Result<()>;
    fn propose(&mut self, proposal: Proposal);
    /// Ends a pass: stores, sends and applies what has come of it.
    fn turn(&mut self, post: &Post<Self::Message>) -> Result<()>;
}

/// A command, and who waits for its answer. Dropped, the answer says that it failed.
pub struct Proposal {
    pub command: Payload,
    pub answer: oneshot::Sender<u64>,
}

enum Mail<M> {
    Proposal(Proposal),
    Message(M),
    End,
}

/// The inboxes of all nodes.
pub struct Post<M>(Vec<Sender<Mail<M>>>);

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        Post(self.0.clone())
    }
}

impl<M> Post<M> {
    /// Sends to a node. Who has ended needs no message.
    pub fn send(&self, to: u64, message: M) {
        self.put(to, Mail::Message(message));
    }

    fn put(&self, to: u64, mail: Mail<M>) {
        let place = (to - FIRST) as usize;
        let _ = self.0.get(place).map(|inbox| inbox.send(mail));
    }
}

/// A client's way to the leader.
struct Door<M>(Sender<Mail<M>>);

impl<M: Send + 'static> Propose for Door<M> {
    async fn propose(&self, command: Payload) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        let proposal = Proposal { command, answer };
        self.0.send(Mail::Proposal(proposal)).map_err(|_| anyhow!("the node has ended"))?;
        answered.await.context("the node refused the command, or lost it with its leadership")
    }
}

/// Puts a cluster of such nodes under load.
pub fn run<N: Node>(load: &Load) -> Result<Measured> {
    let peers = load.peers as u64;
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..peers).map(|_| unbounded()).unzip();
    let post = Post(senders);
    let (applied, leads) = (Tally::default(), Arc::new(AtomicBool::new(false)));
    let mut threads = Vec::new();
    for (id, inbox) in (FIRST..).zip(inboxes) {
        let is_first = id == FIRST;
        let tally = if is_first { applied.clone() } else { Tally::default() };
        let leads = is_first.then(|| leads.clone());
        threads.push(start(N::new(id, peers, tally)?, inbox, post.clone(), leads)?);
    }
    let measured = load::far(async {
        let deadline = Instant::now() + ELECTION;
        while !leads.load(Relaxed) {
            ensure!(Instant::now() < deadline, "node {FIRST} was not elected");
            sleep(TICK).await;
        }
        let door = post.0.first().context("a cluster needs a node")?;
        let doors = (0..load.in_flight).map(|_| Door(door.clone())).collect();
        load::drive(load, Shape::Far, doors, || applied.get()).await
    });
    (FIRST..FIRST + peers).for_each(|id| post.put(id, Mail::End));
    for thread in threads {
        // Why a node ended says more than what the clients saw of it.
        thread.join().map_err(|_| anyhow!("a node panicked"))??;
    }
    measured
}

fn start<N: Node>(
    mut node: N,
    inbox: Receiver<Mail<N::Message>>,
    post: Post<N::Message>,
    leads: Option<Arc<AtomicBool>>,
) -> Result<JoinHandle<Result<()>>> {
    let live = move || {
        let mut ticks_at = Instant::now() + TICK;
        while pass(&mut node, &inbox, &mut ticks_at)? {
            node.turn(&post)?;
            if let Some(leads) = &leads {
                leads.store(node.leads(), Relaxed);
            }
        }
        Ok(())
    };
    Ok(std::thread::Builder::new().name("node".into()).spawn(live)?)
}

/// Waits for mail or the next tick, and takes what there is. Says whether the node goes on.
fn pass<N: Node>(node: &mut N, inbox: &Receiver<Mail<N::Message>>, ticks_at: &mut Instant) -> Result<bool> {
    match inbox.recv_deadline(*ticks_at) {
        Ok(first) => {
            for mail in std::iter::once(first).chain(inbox.try_iter().take(INBOX_MAX - 1)) {
                match mail {
                    Mail::Proposal(proposal) => node.propose(proposal),
                    Mail::Message(message) => node.step(message)?,
                    Mail::End => return Ok(false),
                }
            }
        }
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return Ok(false),
    }
    if Instant::now() >= *ticks_at {
        node.tick();
        *ticks_at = Instant::now() + TICK;
    }
    Ok(true)
}
