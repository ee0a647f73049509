//! What an operator asks of a peer: transfer, snapshot, isolate, reconnect, fault, heal.

use std::time::Duration;

use clap::Args;
use raft_actors::{
    client::{
        Operator, Remote,
        remote::{OperatorError, PeerReport},
    },
    raft::{PeerId, RoleKind},
    transport::faults::Rule,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    answer::{Answer, Failure, Outcome},
    reach::{Reach, in_range},
};

const TRANSFER_EXAMPLES: &str = "\
Examples:
  peer transfer 2
  peer transfer                                    to whoever is furthest

Goes to the leader, wherever that is; ends when the other one leads.";

const SNAPSHOT_EXAMPLES: &str = "\
Examples:
  peer snapshot
  peer snapshot --at 127.0.0.1:7002

Ends when it is durable, and prints the last entry that it covers.";

const ISOLATE_EXAMPLES: &str = "\
Examples:
  peer isolate --at 127.0.0.1:7001
  peer reconnect --at 127.0.0.1:7001

Only a peer that was started with --allow-faults does it. Clients still reach it.";

const FAULT_EXAMPLES: &str = "\
Examples:
  peer fault 'cut to=2'                            nothing from this peer reaches peer 2
  peer fault 'loss 0.1 kind=append-entries'        one in ten is lost
  peer fault 'delay 10..=50 from=1 to=2,3'         milliseconds
  peer fault 'duplicate 0.5'
  peer fault 'reorder 0.2 5..=20 between=1,2|3'
  peer fault --list
  peer heal

A rule is in force at the addressed peer, on what it sends and hears; several add up. Only a peer that was
started with --allow-faults takes them.";

/// How long to wait before the peers are asked anew.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a leader may be contradicted by a later one.
const DOUBT: Duration = Duration::from_millis(100);

/// Has the leader hand leadership over
#[derive(Args, Debug)]
#[command(after_help = TRANSFER_EXAMPLES)]
pub struct Transfer {
    /// To which peer [default: the healthy one that is furthest]
    #[arg(value_parser = in_range(1..=u64::MAX))]
    id: Option<u64>,
    #[command(flatten)]
    pub reach: Reach,
}

/// Has the peer take a snapshot
#[derive(Args, Debug)]
#[command(after_help = SNAPSHOT_EXAMPLES)]
pub struct Snapshot {
    #[command(flatten)]
    pub reach: Reach,
}

/// Cuts the peer off from all others
#[derive(Args, Debug)]
#[command(after_help = ISOLATE_EXAMPLES)]
pub struct Isolate {
    #[command(flatten)]
    pub reach: Reach,
}

/// Ends what `isolate` began
#[derive(Args, Debug)]
#[command(after_help = ISOLATE_EXAMPLES)]
pub struct Reconnect {
    #[command(flatten)]
    pub reach: Reach,
}

/// Puts a fault rule in force at the peer, or lists those that are
#[derive(Args, Debug)]
#[command(after_help = FAULT_EXAMPLES)]
pub struct Fault {
    /// The rule: effects, then filters. Without one: what is in force
    #[arg(num_args = 0.., conflicts_with = "list")]
    rule: Vec<String>,
    /// List the rules in force
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// Ends all fault rules of the peer, and its isolation
#[derive(Args, Debug)]
#[command(after_help = FAULT_EXAMPLES)]
pub struct Heal {
    #[command(flatten)]
    pub reach: Reach,
}

/// The addressed peer.
async fn addressed(reach: &Reach) -> Result<(PeerId, Operator), Failure> {
    let remote = reach.connect().await?;
    let peer = remote.addressed();
    Ok((peer, remote.operator(peer)))
}

/// Every peer's report, in the order in which they come.
pub fn ask_all(remote: &Remote) -> JoinSet<(PeerId, Result<PeerReport, OperatorError>)> {
    let mut asked = JoinSet::new();
    for (peer, _) in remote.members() {
        let operator = remote.operator(peer);
        asked.spawn(async move { (peer, operator.status().await) });
    }
    asked
}

/// Who leads the latest term, as far as somebody says so of itself.
async fn find_leader(remote: &Remote, deadline: Instant) -> Option<PeerId> {
    let mut asked = ask_all(remote);
    let (mut latest, mut until) = (None, deadline);
    while let Ok(Some(Ok((peer, answer)))) = timeout_at(until, asked.join_next()).await {
        let leads = answer.ok().filter(|report| report.status.role == Some(RoleKind::Leader));
        if let Some(report) = leads {
            latest = latest.max(Some((report.status.term, peer)));
            until = until.min(Instant::now() + DOUBT);
        }
    }
    latest.map(|(_, peer)| peer)
}

fn no_leader(reach: &Reach) -> Failure {
    let text =
        format!("no peer led within {} ms: is a majority of them up and connected?", reach.deadline_ms);
    Failure::new(Outcome::NotLeader, text)
}

pub async fn transfer(args: &Transfer) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let (deadline, target) = (Instant::now() + args.reach.deadline(), args.id.map(PeerId));
    if let Some(target) = target.filter(|&target| remote.members().iter().all(|&(peer, _)| peer != target)) {
        let text = format!("there is no peer {target} in this cluster: `peer status` lists them");
        return Err(Failure::new(Outcome::Rejected, text).with("reason", json!("not_a_voter")));
    }
    let former = loop {
        let leader = find_leader(&remote, deadline).await;
        match leader {
            Some(leader) if Some(leader) == target => {
                return Ok(leads(leader).with_note("it did already"));
            }
            Some(leader) => match remote.operator(leader).transfer(target).await {
                Ok(()) => break leader,
                Err(OperatorError::Failed { reason: "not_leader", .. }) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            },
            None if Instant::now() >= deadline => return Err(no_leader(&args.reach)),
            None => {}
        }
        sleep(PAUSE).await;
    };
    let mut latest = None;
    while Instant::now() < deadline {
        latest = find_leader(&remote, deadline).await;
        if let Some(leader) =
            latest.filter(|&leader| target.map_or(leader != former, |target| leader == target))
        {
            return Ok(leads(leader));
        }
        sleep(PAUSE).await;
    }
    Err(match latest {
        Some(leader) => {
            let text = format!("leadership left peer {former}, and peer {leader} leads now: ask again");
            Failure::new(Outcome::Lost, text)
        }
        None => no_leader(&args.reach),
    })
}

fn leads(leader: PeerId) -> Answer {
    Answer::new(json!({ "leader": leader.0 })).with_text(format!("peer {leader} leads"))
}

pub async fn snapshot(args: &Snapshot) -> Result<Answer, Failure> {
    let (peer, operator) = addressed(&args.reach).await?;
    let index = operator.snapshot().await?;
    let text = format!("peer {peer} has a snapshot up to entry {index}");
    Ok(Answer::new(json!({ "id": peer.0, "snapshot": index.0 })).with_text(text))
}

pub async fn isolate(args: &Isolate) -> Result<Answer, Failure> {
    let (peer, operator) = addressed(&args.reach).await?;
    operator.isolate().await?;
    Ok(Answer::new(json!({ "id": peer.0 }))
        .with_text(format!("peer {peer} is cut off; `peer reconnect` ends it")))
}

pub async fn reconnect(args: &Reconnect) -> Result<Answer, Failure> {
    let (peer, operator) = addressed(&args.reach).await?;
    operator.reconnect().await?;
    Ok(Answer::new(json!({ "id": peer.0 })).with_text(format!("peer {peer} is connected again")))
}

pub async fn fault(args: &Fault) -> Result<Answer, Failure> {
    if args.rule.is_empty() {
        let (peer, operator) = addressed(&args.reach).await?;
        let rules = operator.list_faults().await?;
        let answer = Answer::new(rules.iter().map(|rule| json!(rule)).collect::<Value>());
        return Ok(match rules.is_empty() {
            true => answer.with_note(format!("no rules are in force at peer {peer}")),
            false => answer.with_text(rules.join("\n")),
        });
    }
    let rule: Rule =
        args.rule.join(" ").parse().map_err(|error| Failure::usage(format!("fault: {error}")))?;
    let (peer, operator) = addressed(&args.reach).await?;
    operator.set_fault(&rule.to_string()).await?;
    let text = format!("in force at peer {peer}: {rule}; `peer heal` ends it");
    Ok(Answer::new(json!({ "id": peer.0, "rule": rule.to_string() })).with_text(text))
}

pub async fn heal(args: &Heal) -> Result<Answer, Failure> {
    let (peer, operator) = addressed(&args.reach).await?;
    operator.clear_faults().await?;
    Ok(Answer::new(json!({ "id": peer.0 })).with_text(format!("no rules are in force at peer {peer}")))
}
