//! Who uses a cluster in a storm, and the books they keep.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use raft_actors::{Cluster, Session, client::Ticket, error::ClientError, machine::Interface};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};

use super::{Plan, chance};
use crate::common::ms;

/// A machine that keeps a ledger: inline or an actor.
pub trait Books: Interface<Command = u64, Answer = u64, Query = (), Response = Vec<u64>> {}

impl<I: Interface<Command = u64, Answer = u64, Query = (), Response = Vec<u64>>> Books for I {}

/// Nothing that has an end may take longer: far beyond every deadline.
const FOREVER: Duration = Duration::from_secs(120);

/// Whose command it is, in which of its lives, and which of them.
fn number(client: u64, life: u64, sequence: u64) -> u64 {
    client << 48 | life << 32 | sequence
}

/// What clients were told.
#[derive(Default)]
pub struct Book {
    plain: Vec<(u64, Result<u64, ClientError>)>,
    session: Vec<(u64, Result<u64, ClientError>)>,
    /// The furthest place that was acknowledged or read so far.
    known: u64,
    /// Queries: what was known when they began, and the answer.
    reads: Vec<(u64, Vec<u64>)>,
    pub complaints: Vec<String>,
}

/// What the clients of one storm share.
#[derive(Clone, Default)]
pub struct Desk {
    pub book: Rc<RefCell<Book>>,
    pub stop: Rc<Cell<bool>>,
    /// Whether the storm is over: then they take their time, so that a cluster of small limits can
    /// get over what it has been asked for.
    pub calm: Rc<Cell<bool>>,
}

impl Desk {
    fn know(&self, place: u64) {
        let mut book = self.book.borrow_mut();
        book.known = book.known.max(place);
    }

    fn complain(&self, what: String) {
        self.book.borrow_mut().complaints.push(what);
    }

    async fn ends<T>(&self, what: &str, call: impl Future<Output = T>) -> Option<T> {
        let ended = timeout(FOREVER, call).await.ok();
        if ended.is_none() {
            self.complain(format!("{what} has no end"));
        }
        ended
    }
}

/// Proposes without a session, one after another.
pub async fn plain<I: Books>(cluster: Cluster<I>, client: u64, plan: Plan, desk: Desk) {
    let mut rng = chance(plan.seed, 100 + client);
    let handle = cluster.client();
    for sequence in 1.. {
        if desk.stop.get() {
            return;
        }
        let command = number(client, 0, sequence);
        let Some(outcome) = desk.ends("a proposal", handle.propose(&command)).await else { return };
        if let Ok(place) = outcome {
            desk.know(place);
        }
        desk.book.borrow_mut().plain.push((command, outcome));
        sleep(ms(rng.random_range(0..=20) + if desk.calm.get() { 200 } else { 0 })).await;
    }
}

/// Asks, one query after another.
pub async fn reader<I: Books>(cluster: Cluster<I>, client: u64, plan: Plan, desk: Desk) {
    let mut rng = chance(plan.seed, 100 + client);
    let handle = cluster.client();
    while !desk.stop.get() {
        let known = desk.book.borrow().known;
        let Some(answer) = desk.ends("a query", handle.query(&())).await else { return };
        if let Ok(ledger) = answer {
            desk.know(ledger.len() as u64);
            desk.book.borrow_mut().reads.push((known, ledger));
        }
        sleep(ms(rng.random_range(0..=60))).await;
    }
}

/// Keeps a window of commands under way in a session; now and then it forgets everything but the
/// session's id, and takes it up again.
pub async fn in_session<I: Books>(cluster: Cluster<I>, client: u64, plan: Plan, desk: Desk) {
    let mut rng = chance(plan.seed, 100 + client);
    let id = u128::from(plan.seed) << 64 | u128::from(client);
    for life in 1.. {
        let handle = cluster.client();
        let Some(session) = desk.ends("opening", handle.resume_session(id)).await else { return };
        match session {
            Ok(session) => one_life(session, number(client, life, 0), &plan, &desk, &mut rng).await,
            Err(_) => sleep(ms(20)).await,
        }
        if desk.stop.get() {
            return;
        }
    }
}

async fn one_life<I: Books>(session: Session<I>, base: u64, plan: &Plan, desk: &Desk, rng: &mut ChaCha8Rng) {
    let mut sequence = session.resumed_at();
    let mut under_way: VecDeque<(u64, Ticket<I>)> = VecDeque::new();
    let commands = if rng.random_bool(0.3) { rng.random_range(1..200) } else { u64::MAX };
    for _ in 0..commands {
        let window = if desk.calm.get() { 1 } else { plan.config.session_window.min(40) };
        while !desk.stop.get() && under_way.len() < window {
            sequence += 1;
            let command = base + sequence;
            let Some(ticket) = desk.ends("submitting", session.submit(&command)).await else { return };
            match ticket {
                Ok(ticket) => under_way.push_back((command, ticket)),
                Err(error) => return desk.complain(format!("submitting {command:x}: {error}")),
            }
        }
        let Some((command, ticket)) = under_way.pop_front() else { return };
        let Some(outcome) = desk.ends("a ticket", ticket).await else { return };
        if let Ok(place) = outcome {
            desk.know(place);
        }
        desk.book.borrow_mut().session.push((command, outcome));
        if rng.random_bool(0.2) {
            sleep(ms(rng.random_range(0..=30))).await;
        }
    }
    // It forgets the commands under way: they may be done or not, at most once.
}

impl Book {
    /// How much was acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.plain.iter().chain(&self.session).filter(|(_, outcome)| outcome.is_ok()).count()
    }

    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Compares the books with the ledger that all machines have in the end.
    pub fn compare(&self, ledger: &[u64]) -> Vec<String> {
        let mut wrong = self.complaints.clone();
        let mut times = BTreeMap::<u64, usize>::new();
        for number in ledger {
            *times.entry(*number).or_default() += 1;
        }
        let known: BTreeMap<u64, &Result<u64, ClientError>> =
            self.plain.iter().chain(&self.session).map(|(number, outcome)| (*number, outcome)).collect();
        for (number, outcome) in &known {
            let times = times.get(number).copied().unwrap_or_default();
            let is_right = match outcome {
                Ok(place) => times == 1 && ledger.get(*place as usize - 1) == Some(number),
                Err(ClientError::Unknown) => times <= 1,
                Err(_) => times == 0,
            };
            if !is_right {
                wrong.push(format!("{number:x}: {outcome:?}, and it was done {times} times"));
            }
        }
        for (number, times) in times.iter().filter(|(_, times)| **times > 1) {
            wrong.push(format!("{number:x} was done {times} times"));
        }
        wrong.extend(self.compare_sessions(ledger));
        for (known, read) in &self.reads {
            if (read.len() as u64) < *known || !ledger.starts_with(read) {
                wrong.push(format!("a query saw {} entries when {known} were known", read.len()));
            }
        }
        wrong
    }

    /// A session's commands count from 1 without a gap, over all its lives.
    fn compare_sessions(&self, ledger: &[u64]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut last = BTreeMap::<u64, u64>::new();
        let in_session = |number: &&u64| *number >> 32 & 0xffff > 0;
        for number in ledger.iter().filter(in_session) {
            let (client, sequence) = (number >> 48, number & 0xffff_ffff);
            let before = last.insert(client, sequence).unwrap_or_default();
            if sequence != before + 1 {
                wrong.push(format!("{number:x} was done after number {before:x} of its session"));
            }
        }
        wrong
    }
}
