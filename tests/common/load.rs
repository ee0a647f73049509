//! Clients that load a cluster and keep book of what they were told, and the comparison of that book
//! with what the machines did.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use raft_actors::{Client, Cluster, error::ClientError, machine::Interface};
use tokio::task::JoinHandle;

use super::{PATIENCE, ms};

/// What a client was told about a command.
#[derive(Clone, Debug)]
pub struct Told {
    /// The command.
    pub number: u64,
    /// What it was told: the place in the ledger, or why there is none.
    pub outcome: Result<u64, ClientError>,
    /// Whether a session saw it through.
    pub by_session: bool,
}

/// A machine that keeps a ledger: inline or an actor.
pub trait Books: Interface<Command = u64, Answer = u64, Query = (), Response = Vec<u64>> {}

impl<I: Interface<Command = u64, Answer = u64, Query = (), Response = Vec<u64>>> Books for I {}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Told>>>,
}

/// How many commands the session of a load keeps under way.
const WINDOW: usize = 8;

impl Load {
    /// One session with a window, and two clients without, each with numbers of its own.
    pub fn start<I: Books>(cluster: &Cluster<I>) -> Load {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for first in [1_000_000, 2_000_000] {
            let client = plain(cluster.client(), first, stop.clone(), acknowledged.clone());
            clients.push(tokio::spawn(client));
        }
        clients.push(tokio::spawn(in_session(
            cluster.client(),
            3_000_000,
            stop.clone(),
            acknowledged.clone(),
        )));
        Load { stop, acknowledged, clients }
    }

    /// How many commands were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// Waits until this many more are acknowledged: the cluster does get on.
    pub async fn more<I: Interface>(&self, cluster: &Cluster<I>, more: u64) {
        let goal = self.acknowledged() + more;
        let reached = cluster.wait_until(PATIENCE, || self.acknowledged() >= goal).await;
        assert!(reached, "the load stands at {}: {:#?}", self.acknowledged(), cluster.statuses());
    }

    /// Stops the clients, and returns everything that they were told.
    pub async fn stop(self) -> Vec<Told> {
        self.stop.store(true, Relaxed);
        let mut told = Vec::new();
        for client in self.clients {
            told.extend(client.await.expect("a client does not panic"));
        }
        told
    }
}

async fn plain<I: Books>(
    client: Client<I>,
    first: u64,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Vec<Told> {
    let mut book = Vec::new();
    for number in first.. {
        if stop.load(Relaxed) {
            break;
        }
        let outcome = client.propose(&number).await;
        match outcome {
            Ok(_) => drop(count.fetch_add(1, Relaxed)),
            // Somebody who is refused takes a breath.
            Err(_) => tokio::time::sleep(ms(5)).await,
        }
        book.push(Told { number, outcome, by_session: false });
    }
    book
}

async fn in_session<I: Books>(
    client: Client<I>,
    first: u64,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Vec<Told> {
    let session = loop {
        // While the cluster has no leader, opening fails; it can always be repeated.
        match client.session().await {
            Ok(session) => break session,
            Err(_) if stop.load(Relaxed) => return Vec::new(),
            Err(_) => tokio::time::sleep(ms(5)).await,
        }
    };
    let mut book = Vec::new();
    let mut under_way = std::collections::VecDeque::new();
    let mut numbers = first..;
    loop {
        while !stop.load(Relaxed) && under_way.len() < WINDOW {
            let number = numbers.next().expect("numbers never end");
            under_way.push_back((number, session.submit(&number).await.expect("the session goes on")));
        }
        let Some((number, ticket)) = under_way.pop_front() else { return book };
        let outcome = ticket.await;
        if outcome.is_ok() {
            count.fetch_add(1, Relaxed);
        }
        book.push(Told { number, outcome, by_session: true });
    }
}

/// Proposes numbers one after another; each must succeed.
pub async fn propose_all<I: Books>(
    cluster: &Cluster<I>,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<Told> {
    let client = cluster.client();
    let mut book = Vec::new();
    for number in numbers {
        let outcome = client.propose(&number).await;
        assert!(outcome.is_ok(), "{number}: {outcome:?}: {:#?}", cluster.statuses());
        book.push(Told { number, outcome, by_session: false });
    }
    book
}

/// Waits until all living peers have caught up, and compares the books: all ledgers are equal;
/// what was acknowledged is there once, at the place that was told; what was refused or lost is not;
/// what is unknown is there at most once; a session's commands are there in its order, without a hole.
/// Returns the ledger.
pub async fn agree<I: Books>(cluster: &Cluster<I>, told: &[Told]) -> Vec<u64> {
    assert!(cluster.wait_until_caught_up(PATIENCE).await, "behind: {:#?}", cluster.statuses());
    let client = cluster.client();
    let mut ledgers = Vec::new();
    for status in cluster.statuses().into_iter().filter(|status| status.up) {
        let ledger = client.query_local(status.peer, &()).await;
        ledgers.push((status.peer, ledger.expect("a peer that is up answers")));
    }
    let (_, ledger) = ledgers.first().cloned().expect("somebody is up");
    for (peer, other) in &ledgers {
        let parted = ledger.iter().zip(other).position(|(one, other)| one != other);
        let at = parted.unwrap_or(ledger.len().min(other.len()));
        let (here, there) = (&ledger[at..], &other[at..]);
        assert!(here == there, "the ledger of peer {peer} is another from {at}: {there:?}, first: {here:?}");
    }
    compare(&ledger, told);
    ledger
}

fn compare(ledger: &[u64], told: &[Told]) {
    let mut times = BTreeMap::<u64, usize>::new();
    for number in ledger {
        *times.entry(*number).or_default() += 1;
    }
    for Told { number, outcome, .. } in told {
        let times = times.get(number).copied().unwrap_or_default();
        match outcome {
            Ok(place) => {
                assert_eq!(times, 1, "{number} was acknowledged");
                assert_eq!(ledger.get(*place as usize - 1), Some(number), "the answer was place {place}");
            }
            Err(ClientError::Unknown) => assert!(times <= 1, "{number} was done {times} times"),
            Err(error) => assert_eq!(times, 0, "{number} was certainly not done: {error}"),
        }
    }
    // A session leaves no hole: what it gave up on is done, or nothing behind it is.
    let of_session = told.iter().filter(|told| told.by_session);
    let may_be_done = of_session.filter(|told| matches!(told.outcome, Ok(_) | Err(ClientError::Unknown)));
    let may_be_done: Vec<u64> = may_be_done.map(|told| told.number).collect();
    let done: Vec<u64> = ledger.iter().filter(|number| may_be_done.contains(number)).copied().collect();
    assert!(may_be_done.starts_with(&done), "a session's commands are applied in its order: {done:?}");
}
