//! Who uses the cluster in a storm, and the books they keep.
//!
//! Some read and write keys that all share, one call after the other: what they were told must be linearizable. Some
//! append to a key of their own, in a session, with many under way and now and then a new life of the same session:
//! what they appended must be there once, in their order.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};

use super::{
    ledger::Ledger,
    plan::{Part, chance},
};
use crate::{
    client::{Client, Session, Ticket},
    cluster::Cluster,
    error::ClientError,
    lab::history::{
        Recorder,
        kv::{KvAnswer, KvOp},
    },
    machine::{Interface, kv},
};

/// A key-value store: inline or an actor.
pub(super) trait Store:
    Interface<Command = kv::Command, Answer = kv::Answer, Query = kv::Query, Response = kv::Response>
{
}

impl<I> Store for I where
    I: Interface<Command = kv::Command, Answer = kv::Answer, Query = kv::Query, Response = kv::Response>
{
}

/// Nothing that has an end may take longer: far beyond every deadline.
const FOREVER: Duration = Duration::from_secs(120);

/// How long the shared keys are in use before there are new ones: a history is judged key by key.
const EPOCH: Duration = Duration::from_secs(4);

/// How many of them there are at a time.
const KEYS: u64 = 3;

/// What the clients of one storm share. Clones are the same desk.
#[derive(Clone, Default)]
pub(super) struct Desk(Rc<Shared>);

#[derive(Default)]
struct Shared {
    stop: Cell<bool>,
    tally: Cell<Tally>,
    history: Recorder<KvOp, KvAnswer>,
    ledger: RefCell<Ledger>,
    complaints: RefCell<Vec<String>>,
}

/// How many operations ended how.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub acknowledged: u64,
    pub unknown: u64,
    pub refused: u64,
}

impl Desk {
    /// Tells everybody to come to an end.
    pub fn close(&self) {
        self.0.stop.set(true);
    }

    pub fn tally(&self) -> Tally {
        self.0.tally.get()
    }

    pub fn history(&self) -> &Recorder<KvOp, KvAnswer> {
        &self.0.history
    }

    pub fn ledger(&self) -> &RefCell<Ledger> {
        &self.0.ledger
    }

    pub fn complaints(&self) -> Vec<String> {
        self.0.complaints.borrow().clone()
    }

    fn is_closed(&self) -> bool {
        self.0.stop.get()
    }

    fn count<T>(&self, outcome: &Result<T, ClientError>) {
        let mut tally = self.0.tally.get();
        match outcome {
            Ok(_) => tally.acknowledged += 1,
            Err(ClientError::Unknown) => tally.unknown += 1,
            Err(_) => tally.refused += 1,
        }
        self.0.tally.set(tally);
    }

    /// Every operation is answered.
    async fn ends<T>(&self, what: &str, call: impl Future<Output = T>) -> Option<T> {
        let ended = timeout(FOREVER, call).await.ok();
        if ended.is_none() {
            self.0.complaints.borrow_mut().push(format!("{what} was never answered"));
        }
        ended
    }
}

/// Reads and writes what all share, one call after the other.
pub(super) async fn plain<S: Store>(cluster: Cluster<S>, seed: u64, client: u64, desk: Desk) {
    let mut one = Plain {
        rng: chance(seed, Part::Clients as u64 + client),
        handle: cluster.client().apart(),
        cluster,
        number: client,
        written: 0,
        seen: None,
    };
    while !desk.is_closed() {
        if one.call(&desk).await.is_none() {
            return;
        }
        sleep(Duration::from_millis(one.rng.random_range(0..=40))).await;
    }
}

struct Plain<S: Store> {
    rng: ChaCha8Rng,
    handle: Client<S>,
    cluster: Cluster<S>,
    number: u64,
    /// How many values it has made.
    written: u64,
    /// What it saw last, for a comparison that may succeed.
    seen: Option<Bytes>,
}

impl<S: Store> Plain<S> {
    async fn call(&mut self, desk: &Desk) -> Option<()> {
        // Who looks for the leader anew finds the next one while others still keep to the last: so a leader that was
        // deposed without knowing is asked things that it must not answer.
        if self.rng.random_bool(0.1) {
            self.handle = self.cluster.client().apart();
        }
        let epoch = self.cluster.elapsed().as_millis() / EPOCH.as_millis();
        let key = Bytes::from(format!("k{epoch}.{}", self.rng.random_range(0..KEYS)));
        let command = match self.rng.random_range(0..100) {
            0..35 => return self.get(key, desk).await,
            35..60 => kv::Command::set(key, self.value()),
            60..80 => kv::Command::append(key, self.value()),
            80..92 => {
                let new = Some(self.value());
                kv::Command::compare_and_set(key, self.seen.clone(), new)
            }
            _ => kv::Command::delete(key),
        };
        let call = desk.history().invoke(self.number, command.clone());
        let outcome = desk.ends("a proposal", self.handle.propose(&command)).await?;
        if let Ok(kv::Answer::Before(value) | kv::Answer::Different(value)) = &outcome {
            self.seen = value.clone();
        }
        desk.count(&outcome);
        call.returned(outcome);
        Some(())
    }

    async fn get(&mut self, key: Bytes, desk: &Desk) -> Option<()> {
        let query = kv::Query::get(key);
        let call = desk.history().invoke(self.number, query.clone());
        let outcome = desk.ends("a query", self.handle.query(&query)).await?;
        if let Ok(kv::Response::Value(value)) = &outcome {
            self.seen = value.clone();
        }
        desk.count(&outcome);
        call.returned(outcome);
        Some(())
    }

    /// Unlike any other.
    fn value(&mut self) -> Bytes {
        self.written += 1;
        Bytes::from(format!("{}.{};", self.number, self.written))
    }
}

/// Appends to keys of its own, with a window under way; now and then it forgets everything but the session's id.
pub(super) async fn in_session<S: Store>(
    cluster: Cluster<S>,
    seed: u64,
    client: u64,
    window: usize,
    desk: Desk,
) {
    let mut rng = chance(seed, Part::Clients as u64 + client);
    let id = u128::from(seed) << 64 | u128::from(client);
    while !desk.is_closed() {
        let handle = cluster.client().apart();
        let Some(session) = desk.ends("opening a session", handle.resume_session(id)).await else { return };
        match session {
            Ok(session) => {
                let life = Life { session, client, window, under_way: VecDeque::new() };
                life.live(&desk, &mut rng).await;
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One life of a session: what is under way at its end was done, or not, and once at most.
struct Life<S: Store> {
    session: Session<S>,
    client: u64,
    window: usize,
    under_way: VecDeque<(u64, Ticket<S>)>,
}

impl<S: Store> Life<S> {
    async fn live(mut self, desk: &Desk, rng: &mut ChaCha8Rng) {
        let length = if rng.random_bool(0.3) { rng.random_range(1..200) } else { u64::MAX };
        for _ in 0..length {
            while !desk.is_closed() && self.under_way.len() < self.window {
                let token = desk.ledger().borrow_mut().begin(self.client);
                let command = Ledger::entry(self.client, token);
                let Some(ticket) = desk.ends("submitting", self.session.submit(&command)).await else {
                    return;
                };
                match ticket {
                    Ok(ticket) => self.under_way.push_back((token, ticket)),
                    // It expired, or nobody took it: a new life finds out.
                    Err(error) => return desk.ledger().borrow_mut().end(self.client, token, Err(error)),
                }
            }
            let Some((token, ticket)) = self.under_way.pop_front() else { return };
            let Some(outcome) = desk.ends("a command of a session", ticket).await else { return };
            desk.count(&outcome);
            let is_over = outcome.is_err();
            desk.ledger().borrow_mut().end(self.client, token, outcome);
            if is_over {
                return;
            }
            if rng.random_bool(0.5) {
                sleep(Duration::from_millis(rng.random_range(0..=60))).await;
            }
        }
    }
}
