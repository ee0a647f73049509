//! `watch`: what happens at a peer, as it happens.

use std::io::{Write, stdout};

use clap::Args;
use raft_actors::{
    client::remote::{RemoteEvent, Watched},
    raft::{PeerId, RoleKind, Value},
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
  peer watch --count 10

A line for each event: milliseconds since the peer's process began, peer@term, role, what happened, why.
Ends with Ctrl-C, after --count, or when the peer is lost (exit code 1).";

/// Shows what happens at the peer, as it happens
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Watch {
    /// Show events of these names only
    #[arg(long, value_name = "NAME[,NAME...]", value_delimiter = ',')]
    only: Vec<String>,
    /// End after N events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    pub reach: Reach,
}

pub async fn watch(args: &Watch) -> Result<(), Failure> {
    let remote = args.reach.connect().await?;
    let peer = remote.addressed();
    let mut events = remote.operator(peer).watch().await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(watched) = events.recv().await else { return Err(lost(peer)) };
        let line = match (watched, args.reach.json) {
            (Watched::Event(event), _) if !args.only.is_empty() && !args.only.contains(&event.name) => {
                continue;
            }
            (Watched::Event(event), true) => json_of(&event),
            (Watched::Event(event), false) => event.to_string(),
            (Watched::Missed(count), true) => json!({ "missed": count }).to_string(),
            (Watched::Missed(count), false) => {
                format!("({count} events were missed: they came faster than they were read)")
            }
            _ => continue,
        };
        writeln!(stdout(), "{line}")?;
        left -= 1;
    }
    Ok(())
}

fn lost(peer: PeerId) -> Failure {
    let what = format!("peer {peer} is lost: it ended, or the network did; watch again");
    Failure::new(Outcome::Unreachable, what)
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
