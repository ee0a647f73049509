//! What is told in the end: a table for people, or one JSON object.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use raft_actors::raft::{ActorKind, PeerId, RoleKind};
use serde_json::{Map, Value, json};

use super::{args::Args, failure::Failure, peers::PeerReport, run::Outcome};

/// The kinds of actors that are counted.
const KINDS: [ActorKind; 5] =
    [ActorKind::Role, ActorKind::Replicator, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine];

/// One JSON object: everything that is known of the run.
pub fn print_json(args: &Args, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let counts = &outcome.counts;
    let digests: Map<String, Value> = outcome
        .peers
        .iter()
        .filter_map(|peer| Some((peer.status.peer.to_string(), json!(hex(peer.summary?.digest)))))
        .collect();
    let summary = json!({
        "ok": outcome.failure.is_none(),
        "error": outcome.failure.as_ref().map(Failure::to_string),
        "unasked": outcome.unasked,
        "seed": args.seed,
        "lines": outcome.lines,
        "resumed_at": outcome.resumed.filter(|_| args.data.is_some()),
        "acknowledged": outcome.acknowledged,
        "peers": outcome.peers.iter().map(peer_json).collect::<Vec<_>>(),
        "terms": counts.terms.0,
        "elections": counts.elections,
        "crashes": by_kind(&counts.crashes),
        "restarts": by_kind(&counts.restarts),
        "during_sync": counts.during_sync,
        "kills": counts.kills,
        "tails_lost": counts.tails_lost,
        "snapshots": counts.snapshots,
        "poisoned": counts.poisoned.map(|index| index.0),
        "digests": digests,
        "elapsed_ms": outcome.elapsed.as_millis() as u64,
    });
    writeln!(out, "{summary}")
}

fn peer_json(peer: &PeerReport) -> Value {
    let status = &peer.status;
    json!({
        "id": status.peer.0,
        "up": status.up,
        "stopped": status.stopped.as_ref().map(|stopped| stopped.to_string()),
        "role": status.role.map(RoleKind::name),
        "term": status.term.0,
        "applied": status.applied.0,
        "snapshot": status.snapshot.0,
        "poisoned": status.poisoned.map(|index| index.0),
        "disk_full": status.disk_full,
        "lines": peer.summary.map(|summary| summary.count),
        "digest": peer.summary.map(|summary| hex(summary.digest)),
    })
}

fn by_kind(counts: &BTreeMap<(PeerId, ActorKind), u64>) -> Value {
    let of =
        |kind| counts.iter().filter(|((_, actor), _)| *actor == kind).map(|(_, count)| count).sum::<u64>();
    KINDS.iter().map(|&kind| (kind.name().to_string(), json!(of(kind)))).collect::<Map<_, _>>().into()
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

/// A table of the peers, and what happened, in a sentence or two.
pub fn print_text(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    print_peers(&outcome.peers, out)?;
    let lines = outcome.lines;
    let counts = &outcome.counts;
    write!(out, "\n{}, {} acknowledged", count(lines, "line"), outcome.acknowledged)?;
    write!(out, "; {} in {}", count(counts.elections, "election"), count(counts.terms.0, "term"))?;
    let total = |of: &BTreeMap<_, u64>| of.values().sum::<u64>();
    write!(out, "; {}, {} healed", count(total(&counts.crashes), "crash"), total(&counts.restarts))?;
    write!(out, "; {}, {}", count(counts.kills, "kill"), count(counts.tails_lost, "unsynced tail"))?;
    writeln!(out, " lost; {:.3} s.", outcome.elapsed.as_secs_f64())?;
    let living = outcome.peers.iter().filter(|peer| peer.status.up).count() as u64;
    match &outcome.failure {
        None => writeln!(out, "All {} hold the same {}.", count(living, "living peer"), count(lines, "line")),
        Some(_) => Ok(()),
    }
}

/// Every peer, in a line.
pub fn print_peers(peers: &[PeerReport], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "peer  up   role           term   applied     lines  digest            note")?;
    for PeerReport { status, summary } in peers {
        let role = status.role.map_or("-", RoleKind::name);
        let (held, digest) = summary.map_or_else(
            || ("-".to_string(), "-".to_string()),
            |summary| (summary.count.to_string(), hex(summary.digest)),
        );
        let poisoned = status.poisoned.map(|index| format!("poisoned at entry {index}"));
        let stopped = status.stopped.as_ref().map(|stopped| format!("stopped: {}", stopped.why));
        let full = status.disk_full.then(|| "its disk is full".to_string());
        let note = stopped.or(poisoned).or(full).unwrap_or_default();
        let up = if status.up { "yes" } else { "no" };
        let line = format!(
            "{:<4}  {up:<3}  {role:<13}  {:>4}  {:>8}  {held:>8}  {digest:<16}  {note}",
            status.peer.0, status.term.0, status.applied.0,
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What went wrong, and what to do about it.
pub fn print_failure(failure: &Failure, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "cluster: {failure}")?;
    for what in &outcome.unasked {
        writeln!(out, "  {what}")?;
    }
    match failure {
        Failure::Interrupted if outcome.is_durable => {
            writeln!(out, "  the same call goes on behind line {}", outcome.acknowledged)
        }
        Failure::NoQuorum { .. } | Failure::NotCaughtUp { .. } => print_quorum(outcome, out),
        Failure::Poisoned { .. } => {
            writeln!(out, "  mend the machine and start the peers again: what was acknowledged is safe")
        }
        _ => Ok(()),
    }
}

fn print_quorum(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let (up, all) = (outcome.peers.iter().filter(|peer| peer.status.up).count(), outcome.peers.len());
    let majority = all / 2 + 1;
    writeln!(out, "  {up} of {all} peers are up, and {majority} have to be: {}", names(outcome, true))?;
    writeln!(out, "  down: {}", names(outcome, false))?;
    if up < majority {
        writeln!(out, "  start {} more to go on; what was acknowledged is safe on the disks", majority - up)
    } else {
        writeln!(out, "  a majority is up and makes no progress: --trace FILE says what it does")
    }
}

fn names(outcome: &Outcome, up: bool) -> String {
    let named = outcome.peers.iter().filter(|peer| peer.status.up == up).map(|peer| {
        let status = &peer.status;
        match status.role.map(RoleKind::name) {
            Some(role) => format!("peer {} ({role}, term {})", status.peer, status.term),
            None if up => format!("peer {} (recovers, term {})", status.peer, status.term),
            None => format!("peer {} (last in term {})", status.peer, status.term),
        }
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { "none".into() } else { named.join(", ") }
}

fn count(number: u64, what: &str) -> String {
    match (number, what) {
        (1, _) => format!("1 {what}"),
        (_, "crash") => format!("{number} crashes"),
        _ => format!("{number} {what}s"),
    }
}
