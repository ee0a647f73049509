//! `watch`: what happens at a peer, as it happens.

use std::{
    fmt::Write as _,
    io::{Write, stdout},
};

use clap::Args;
use raft_actors::{
    client::remote::{RemoteEvent, Watched},
    raft::{RoleKind, Value},
};
use serde_json::json;

use super::{
    answer::{Failure, Outcome},
    reach::Reach,
};

const EXAMPLES: &str = "\
Examples:
  peer watch
  peer watch --at 127.0.0.1:7002 --json
  peer watch --only Elected,SteppedDown,PeerDown

A line for each event: milliseconds since the peer's process began, peer@term, role, what happened, why.
Ends with Ctrl-C, or when the peer is lost (exit code 1).";

/// Shows what happens at the peer, as it happens
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Watch {
    /// Show events of these names only
    #[arg(long, value_name = "NAME[,NAME...]", value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    pub reach: Reach,
}

pub async fn watch(args: &Watch) -> Result<(), Failure> {
    let remote = args.reach.connect().await?;
    let peer = remote.addressed();
    let mut events = remote.operator(peer).watch().await?;
    while let Some(watched) = events.recv().await {
        let line = match (watched, args.reach.json) {
            (Watched::Event(event), _) if !args.only.is_empty() && !args.only.contains(&event.name) => {
                continue;
            }
            (Watched::Event(event), true) => json_of(&event),
            (Watched::Event(event), false) => text_of(&event)?,
            (Watched::Missed(count), true) => json!({ "missed": count }).to_string(),
            (Watched::Missed(count), false) => {
                format!("({count} events were missed: they came faster than they were read)")
            }
            _ => continue,
        };
        writeln!(stdout(), "{line}")?;
    }
    Err(Failure::new(
        Outcome::Unreachable,
        format!("peer {peer} is lost: it ended, or the network did; watch again"),
    ))
}

/// `12.000 n1@3 leader Committed index=7: a quorum holds it`.
fn text_of(event: &RemoteEvent) -> Result<String, std::fmt::Error> {
    let role = event.role.map_or("-", RoleKind::name);
    let (ms, us) = (event.at_us / 1000, event.at_us % 1000);
    let mut line = format!("{ms}.{us:03} n{}@{} {role} {}", event.peer, event.term, event.name);
    for (name, value) in &event.fields {
        write!(line, " {name}={value}")?;
    }
    if !event.why.is_empty() {
        write!(line, ": {}", event.why)?;
    }
    Ok(line)
}

/// The same keys, in the same order, as the lines of `peer serve --events`.
fn json_of(event: &RemoteEvent) -> String {
    let (ms, us) = (event.at_us / 1000, event.at_us % 1000);
    let time = if us > 0 { format!("{ms}.{us:03}") } else { ms.to_string() };
    let mut line = format!(
        r#"{{"seq":{},"t_ms":{time},"peer":{},"term":{},"role":{},"event":{},"why":{}"#,
        event.seq,
        event.peer,
        event.term,
        json!(event.role.map(RoleKind::name)),
        json!(event.name),
        json!(event.why),
    );
    for (name, value) in &event.fields {
        let value = match value {
            Value::Text(text) => json!(text),
            Value::Number(number) => json!(number),
            Value::Flag(flag) => json!(flag),
        };
        line.push_str(&format!(",{}:{value}", json!(name)));
    }
    line.push('}');
    line
}
