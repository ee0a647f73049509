//! `status`: how a peer does, or all of them.

use std::{collections::BTreeMap, fmt::Write};

use clap::Args;
use raft_actors::{
    client::remote::{OperatorError, PeerReport, PeerView},
    observe::FollowerStatus,
    raft::{PeerId, RoleKind},
};
use serde_json::{Map, Value, json};

use super::{
    answer::{Answer, Failure},
    operate::ask_all,
    reach::Reach,
};

const EXAMPLES: &str = "\
Examples:
  peer status
  peer status --all
  peer status --at 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
  peer status --json

How the addressed peer does, and how it sees the others; what they have of its log only a leader knows. With
--all, or several addresses: every peer of the cluster in a table, also those that do not answer.";

/// Shows how a peer does, and how it sees the others
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    /// Show all peers, in a table
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    pub reach: Reach,
}

pub async fn status(args: &Status) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let members = remote.members();
    if !args.all && args.reach.at.len() == 1 {
        let peer = remote.addressed();
        let report = remote.operator(peer).status().await?;
        let address = members.iter().find(|(member, _)| *member == peer).map(|(_, at)| at.as_str());
        return Ok(Answer::new(json_of(&report, address)).with_text(text_of(&report, address)?).open());
    }
    let mut asked = ask_all(&remote);
    let mut reports = BTreeMap::new();
    while let Some(answered) = asked.join_next().await {
        let (peer, report) = answered.map_err(|error| Failure::failed(format!("a task fell: {error}")))?;
        reports.insert(peer, report);
    }
    let rows: Vec<_> = members
        .into_iter()
        .filter_map(|(peer, address)| Some(Row { peer, address, report: reports.remove(&peer)? }))
        .collect();
    Ok(Answer::new(rows.iter().map(Row::json).collect()).with_text(table(&rows)?))
}

/// The text of a number, or a dash.
fn maybe(number: Option<u64>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

fn role_of(role: Option<RoleKind>) -> &'static str {
    role.map_or("recovering", RoleKind::name)
}

/// What keeps it from doing its part.
fn complaints(report: &PeerReport) -> Vec<String> {
    let status = &report.status;
    let stopped = status.stopped.as_ref().map(|stopped| format!("stopped: {stopped}"));
    let poisoned = status.poisoned.map(|index| format!("poisoned at entry {index}"));
    let full = status.disk_full.then(|| "its disk is full".to_string());
    let violations = count(status.violations, "violation");
    let faults = count(report.faults.len() as u64, "fault rule");
    [stopped, poisoned, full, violations, faults].into_iter().flatten().collect()
}

/// So many of something, if there are any.
fn count(count: u64, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
}

fn leader_text(report: &PeerReport) -> String {
    match (report.status.leader, &report.leader_address) {
        (Some(leader), Some(address)) => format!("peer {leader} at {address}"),
        (Some(leader), None) => format!("peer {leader}"),
        (None, _) => "nobody, as far as it knows".into(),
    }
}

fn text_of(report: &PeerReport, address: Option<&str>) -> Result<String, std::fmt::Error> {
    let status = &report.status;
    let mut text = format!("peer {}", status.peer);
    address.into_iter().try_for_each(|address| write!(text, " at {address}"))?;
    writeln!(text, ", cluster {}", report.cluster)?;
    writeln!(text, "role       {}", role_of(status.role))?;
    writeln!(text, "term       {}", status.term)?;
    writeln!(text, "leader     {}", leader_text(report))?;
    writeln!(text, "last       {} of term {}", status.last.index, status.last.term)?;
    writeln!(text, "commit     {}", status.commit)?;
    writeln!(text, "applied    {}", status.applied)?;
    writeln!(text, "snapshot   {}, the log begins behind {}", status.snapshot, status.compacted)?;
    let connections = count(report.connections.into(), "connection");
    write!(text, "connected  {}", connections.unwrap_or_else(|| "no connections".into()))?;
    write!(text, ", {} turned away", report.refused)?;
    for complaint in complaints(report) {
        write!(text, "\nnote       {complaint}")?;
    }
    for rule in &report.faults {
        write!(text, "\nfault      {rule}")?;
    }
    if report.peers.is_empty() {
        return Ok(text);
    }
    let rows = report.peers.iter().map(|view| {
        let of = |what: fn(&FollowerStatus) -> u64| maybe(view.progress.as_ref().map(what));
        [
            view.peer.to_string(),
            view.address.clone(),
            if view.connected { "yes" } else { "no" }.into(),
            of(|progress| progress.matched.0),
            of(|progress| progress.lag),
            of(|progress| progress.silent_ms),
            view.progress
                .map_or("-", |progress| if progress.healthy { "healthy" } else { "not healthy" })
                .into(),
        ]
    });
    write!(
        text,
        "\n\n{}",
        columns(["peer", "address", "reached", "match", "lag", "silent ms", "health"], rows)
    )?;
    Ok(text)
}

fn json_of(report: &PeerReport, address: Option<&str>) -> Value {
    let status = &report.status;
    json!({
        "id": status.peer.0,
        "address": address,
        "cluster": report.cluster,
        "up": status.up,
        "role": status.role.map(RoleKind::name),
        "term": status.term.0,
        "leader": status.leader.map(|leader| json!({ "id": leader.0, "address": report.leader_address })),
        "last": status.last.index.0,
        "last_term": status.last.term.0,
        "commit": status.commit.0,
        "settled": status.settled,
        "applied": status.applied.0,
        "snapshot": status.snapshot.0,
        "compacted": status.compacted.0,
        "stopped": status.stopped.as_ref().map(|stopped| stopped.to_string()),
        "poisoned": status.poisoned.map(|index| index.0),
        "disk_full": status.disk_full,
        "violations": status.violations,
        "faults": report.faults,
        "connections": report.connections,
        "refused": report.refused,
        "peers": report.peers.iter().map(json_of_view).collect::<Vec<_>>(),
    })
}

fn json_of_view(view: &PeerView) -> Value {
    let of = |what: fn(&FollowerStatus) -> u64| view.progress.as_ref().map(what);
    json!({
        "id": view.peer.0,
        "address": view.address,
        "connected": view.connected,
        "match": of(|progress| progress.matched.0),
        "lag": of(|progress| progress.lag),
        "silent_ms": of(|progress| progress.silent_ms),
        "healthy": view.progress.map(|progress| progress.healthy),
    })
}

/// One peer of the table.
struct Row {
    peer: PeerId,
    address: String,
    report: Result<PeerReport, OperatorError>,
}

impl Row {
    fn json(&self) -> Value {
        match &self.report {
            Ok(report) => json_of(report, Some(&self.address)),
            Err(error) => {
                let row = [
                    ("id", json!(self.peer.0)),
                    ("address", json!(self.address)),
                    ("up", json!(false)),
                    ("role", Value::Null),
                    ("error", json!(error.to_string())),
                ];
                row.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<Map<_, _>>().into()
            }
        }
    }
}

fn table(rows: &[Row]) -> Result<String, std::fmt::Error> {
    let cells = rows.iter().map(|row| {
        let (id, address) = (row.peer.to_string(), row.address.clone());
        let Ok(report) = &row.report else {
            return [id, address, "no answer".into(), dash(), dash(), dash(), dash(), dash(), dash(), dash()];
        };
        let status = &report.status;
        [
            id,
            address,
            role_of(status.role).into(),
            status.term.to_string(),
            maybe(status.leader.map(|leader| leader.0)),
            status.last.index.to_string(),
            status.commit.to_string(),
            status.applied.to_string(),
            status.snapshot.to_string(),
            complaints(report).join(", "),
        ]
    });
    let heads =
        ["peer", "address", "role", "term", "leader", "last", "commit", "applied", "snapshot", "note"];
    let mut text = columns(heads, cells);
    for row in rows {
        if let Err(error) = &row.report {
            write!(text, "\n{error}")?;
        }
    }
    Ok(text)
}

fn dash() -> String {
    "-".into()
}

/// Heads and rows, each column as wide as its longest cell.
fn columns<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut all = vec![heads.map(str::to_string)];
    all.extend(rows);
    let widths = all.iter().fold([0; N], |mut widths, row| {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
        widths
    });
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_string()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
