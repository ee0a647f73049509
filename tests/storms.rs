//! Storms: whole clusters under everything that can go wrong at once, drawn from a seed, with clients
//! at work all the while. In the end everything heals, and the books must agree: what clients were
//! told, what each machine did, and what the events say.
//!
//! `STORM_SEEDS=1000 cargo test --release --test storms` hunts with more seeds, `STORM_SEED=7` runs
//! one and leaves its events in the folder that `RECORDINGS` names.

mod common;
mod storm;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{Ledger, LedgerActor, ms};
use raft_actors::{Cluster, cluster::Builder};
use storm::{Books, Plan, Witness, clients, nemesis::Nemesis};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::timeout,
};

/// How long a storm may take on a real clock before it is taken for stuck.
const STUCK: Duration = Duration::from_secs(60);

/// A healed cluster gets over everything within this, in virtual time.
const HEALED: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Fate {
    wrong: Vec<String>,
    hash: u64,
    acknowledged: usize,
    reads: usize,
}

/// Runs one storm, on this thread.
fn run(seed: u64, witness: &Witness) -> Fate {
    let plan = Plan::draw(seed);
    if plan.hired {
        blow(Cluster::of_actors(|_| LedgerActor::default()), plan, witness)
    } else {
        blow(Cluster::of(|_| Ledger::default()), plan, witness)
    }
}

fn blow<I: Books>(builder: Builder<I>, plan: Plan, witness: &Witness) -> Fate {
    let builder = builder
        .peers(plan.peers as usize)
        .config(plan.config.clone())
        .sync_ms(plan.sync_ms.clone())
        .latency_ms(plan.latency_ms.clone())
        .observe(witness.clone());
    let seed = plan.seed;
    let run = builder.simulate(seed, async |cluster| story(cluster, plan, witness.clone()).await);
    let mut fate = run.unwrap_or_else(|error| Fate { wrong: vec![error.to_string()], ..Fate::default() });
    let seen = witness.seen();
    fate.wrong.extend(seen.complaints());
    fate.hash = seen.hash();
    fate
}

async fn story<I: Books>(cluster: Cluster<I>, plan: Plan, witness: Witness) -> Fate {
    let desk = clients::Desk::default();
    let mut working: Vec<JoinHandle<()>> = Vec::new();
    for client in 1..=plan.sessions {
        working.push(spawn_local(clients::in_session(cluster.clone(), client, plan.clone(), desk.clone())));
    }
    for client in 11..11 + plan.plain {
        working.push(spawn_local(clients::plain(cluster.clone(), client, plan.clone(), desk.clone())));
    }
    for client in 21..21 + plan.readers {
        working.push(spawn_local(clients::reader(cluster.clone(), client, plan.clone(), desk.clone())));
    }
    Nemesis::new(cluster.clone(), witness.clone(), plan.clone()).rage().await;
    desk.calm.set(true);
    let mut wrong = Vec::new();
    // A disk may hang a little longer, a peer may be about to start.
    if !cluster.wait_until(HEALED * 3, || witness.is_idle()).await {
        wrong.push("something asked for has no end".into());
    }
    if cluster.wait_for_leader(HEALED).await.is_none() {
        wrong.push(format!("nobody leads: {:#?}", cluster.statuses()));
    }
    let before = desk.book.borrow().acknowledged();
    let fresh = || desk.book.borrow().acknowledged() > before + 5;
    if !cluster.wait_until(HEALED, fresh).await {
        wrong.push(format!("no writes after everything has healed: {:#?}", cluster.statuses()));
    }
    desk.stop.set(true);
    for client in working {
        if timeout(HEALED * 5, client).await.is_err() {
            wrong.push("a client has no end".into());
        }
    }
    cluster.run_for(ms(500)).await;
    if !cluster.wait_until_caught_up(HEALED).await {
        wrong.push(format!("behind: {:#?}", cluster.statuses()));
    }
    let mut ledgers = Vec::new();
    for peer in cluster.peers() {
        match cluster.client().query_local(peer, &()).await {
            Ok(ledger) => ledgers.push(ledger),
            Err(error) => wrong.push(format!("n{peer} says nothing: {error}")),
        }
    }
    let ledger = ledgers.first().cloned().unwrap_or_default();
    if ledgers.iter().any(|other| *other != ledger) {
        wrong.push("the ledgers differ".into());
    }
    let book = desk.book.borrow();
    wrong.extend(book.compare(&ledger));
    Fate { wrong, acknowledged: book.acknowledged(), reads: book.reads(), hash: 0 }
}

/// Runs one storm on a thread of its own, and does not wait for it for ever.
fn guarded(seed: u64, witness: &Witness) -> Fate {
    let (done, fate) = mpsc::channel();
    let theirs = witness.clone();
    let runner = thread::spawn(move || drop(done.send(run(seed, &theirs))));
    match fate.recv_timeout(STUCK) {
        Ok(fate) => {
            let _ = runner.join();
            fate
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Fate { wrong: vec!["it hangs: time stands still, or too much happens".into()], ..Fate::default() }
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Fate { wrong: vec!["it panicked".into()], ..Fate::default() }
        }
    }
}

/// A storm that must do no harm; one that does leaves its events where `RECORDINGS` says.
fn weather(seed: u64) {
    let folder = std::env::var("RECORDINGS").ok();
    let witness = Witness::new(false, folder.is_some());
    let fate = guarded(seed, &witness);
    if let (Some(folder), Some(text)) = (folder, witness.seen().text()) {
        drop(std::fs::write(format!("{folder}/storm-{seed}.txt"), text));
    }
    let plan = Plan::draw(seed);
    assert!(fate.wrong.is_empty(), "seed {seed}: {:#?}\n{plan:#?}", fate.wrong);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Storms on two threads, until all seeds are through.
#[test]
fn storms_do_no_harm() {
    if let Some(seed) = variable("STORM_SEED") {
        return weather(seed);
    }
    let first = variable("STORM_FIRST").unwrap_or(1);
    let last = first + variable("STORM_SEEDS").unwrap_or(60) - 1;
    let begun = Instant::now();
    let (mut bad, mut counts, mut acknowledged, mut reads) =
        (Vec::new(), std::collections::BTreeMap::new(), 0, 0);
    for seed in first..=last {
        let witness = Witness::new(false, false);
        let storm = Instant::now();
        let fate = guarded(seed, &witness);
        if storm.elapsed() > Duration::from_secs(5) {
            println!("seed {seed} took {:?}", storm.elapsed());
        }
        acknowledged += fate.acknowledged;
        reads += fate.reads;
        for (event, count) in witness.seen().counts().events {
            *counts.entry(event).or_insert(0) += count;
        }
        if !fate.wrong.is_empty() {
            let text = format!("{:#?}", &fate.wrong[..fate.wrong.len().min(4)]);
            println!("seed {seed}: {}", text.chars().take(1500).collect::<String>());
            bad.push(seed);
        }
    }
    println!("{:?}, {acknowledged} acknowledged, {reads} reads: {counts:?}", begun.elapsed());
    assert!(bad.is_empty(), "seeds {bad:?} of {first}..={last}");
}

#[test]
fn a_storm_repeats_itself() {
    let first = variable("STORM_FIRST").unwrap_or(1);
    for seed in first..first + variable("STORM_TWICE").unwrap_or(8) {
        let hashes = [0, 1].map(|_| {
            let witness = Witness::new(true, false);
            guarded(seed, &witness).hash
        });
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}
