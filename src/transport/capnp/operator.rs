//! What an operator asks of a peer on another machine, and what comes of it.

use std::fmt;

use capnp::{Error, Result, capability::Rc as Served};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use super::{
    messages_capnp::{self as wire, failure::Reason},
    status::{PeerReport, read_role, read_status},
};
use crate::raft::{PeerId, RoleKind, Term, Value};

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The peer does not answer.
    #[error("peer {peer} at {address} does not answer: {cause}")]
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Where it should listen.
        address: String,
        /// What came in between.
        cause: String,
    },
    /// The peer refused, or could not do it. The text says why, and what to do.
    #[error("{text}")]
    Failed {
        /// Of what kind: `not_leader`, `busy`, `timed_out`, `not_a_voter`, `not_allowed`, `bad_rule`, `too_many` or
        /// `other`.
        reason: &'static str,
        /// What came in between.
        text: String,
    },
    /// The peer does not take orders from this caller.
    #[error("peer {peer} takes no orders from this client: give it a certificate that names it an admin")]
    NotAdmin {
        /// Who.
        peer: PeerId,
    },
}

/// Something that happened at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteEvent {
    /// Counts the events of that process, from 1.
    pub seq: u64,
    /// When, in microseconds since the process began.
    pub at_us: u64,
    /// Which peer; 0 is the network.
    pub peer: PeerId,
    /// Its term.
    pub term: Term,
    /// Its role; `None` while it is down or recovers.
    pub role: Option<RoleKind>,
    /// What happened.
    pub name: String,
    /// Why.
    pub why: String,
    /// The rest, in order.
    pub fields: Vec<(String, Value)>,
}

/// `12.000 n1@3 leader Committed index=7: a quorum holds it`.
impl fmt::Display for RemoteEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.map_or("-", RoleKind::name);
        let (ms, us) = (self.at_us / 1000, self.at_us % 1000);
        write!(f, "{ms}.{us:03} n{}@{} {role} {}", self.peer, self.term, self.name)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// What a watch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// Something happened.
    Event(RemoteEvent),
    /// So many events were missed, because they were not taken fast enough.
    Missed(u64),
}

/// What may be asked.
pub(super) enum Order {
    Status,
    Transfer(Option<PeerId>),
    Snapshot,
    Isolate,
    Reconnect,
    SetFault(String),
    ListFaults,
    ClearFaults,
    /// Where events go.
    Watch(mpsc::Sender<Watched>),
}

/// What comes of it.
pub(super) enum Answer {
    Done,
    Status(Box<PeerReport>),
    Snapshot(u64),
    Faults(Vec<String>),
}

/// An order that was carried out, or not, by a peer that answered.
pub(super) type Ordered = std::result::Result<Answer, OperatorError>;

fn outcome(result: wire::result::Reader<'_>, answer: Answer) -> Result<Ordered> {
    let failed =
        match result.which().map_err(|_| Error::failed("malformed: a result of no known kind".into()))? {
            wire::result::Done(()) => return Ok(Ok(answer)),
            wire::result::Failed(failed) => failed?,
        };
    let reason = match failed.get_reason() {
        Ok(Reason::NotLeader) => "not_leader",
        Ok(Reason::Busy) => "busy",
        Ok(Reason::TimedOut) => "timed_out",
        Ok(Reason::NotAVoter) => "not_a_voter",
        Ok(Reason::NotAllowed) => "not_allowed",
        Ok(Reason::BadRule) => "bad_rule",
        Ok(Reason::TooMany) => "too_many",
        Ok(Reason::Other) | Err(_) => "other",
    };
    Ok(Err(OperatorError::Failed { reason, text: failed.get_text()?.to_string()? }))
}

/// Gives an order, and waits for what comes of it.
pub(super) async fn give(order: Order, admin: &wire::admin::Client) -> Result<Ordered> {
    match order {
        Order::Status => {
            let answer = admin.status_request().send().promise.await?;
            let report = read_status(answer.get()?.get_status()?)?;
            Ok(Ok(Answer::Status(Box::new(report))))
        }
        Order::Transfer(target) => {
            let mut request = admin.transfer_request();
            request.get().set_target(target.unwrap_or_default().0);
            outcome(request.send().promise.await?.get()?.get_result()?, Answer::Done)
        }
        Order::Snapshot => {
            let answer = admin.snapshot_request().send().promise.await?;
            let answer = answer.get()?;
            outcome(answer.get_result()?, Answer::Snapshot(answer.get_index()))
        }
        Order::Isolate => {
            outcome(admin.isolate_request().send().promise.await?.get()?.get_result()?, Answer::Done)
        }
        Order::Reconnect => {
            outcome(admin.reconnect_request().send().promise.await?.get()?.get_result()?, Answer::Done)
        }
        Order::SetFault(rule) => {
            let mut request = admin.set_fault_request();
            request.get().set_rule(rule);
            outcome(request.send().promise.await?.get()?.get_result()?, Answer::Done)
        }
        Order::ListFaults => {
            let answer = admin.list_faults_request().send().promise.await?;
            let rules = answer.get()?.get_rules()?;
            let rules = rules.iter().map(|rule| Ok(rule?.to_string()?)).collect::<Result<_>>()?;
            Ok(Ok(Answer::Faults(rules)))
        }
        Order::ClearFaults => {
            outcome(admin.clear_faults_request().send().promise.await?.get()?.get_result()?, Answer::Done)
        }
        Order::Watch(events) => {
            let mut request = admin.watch_request();
            let (told, over) = oneshot::channel();
            let teller = Teller { events: events.clone(), _told: told };
            request.get().set_watcher(capnp_rpc::new_client(teller));
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            let begun = outcome(answer.get_result()?, Answer::Done)?;
            if begun.is_ok() {
                let watch = answer.get_watch()?;
                // Dropped, it ends: when nobody listens any more. When nobody tells any more the channel closes.
                spawn_local(async move {
                    tokio::select! {
                        () = events.closed() => {}
                        _ = over => {}
                    }
                    drop(watch);
                });
            }
            Ok(begun)
        }
    }
}

/// Passes on what a peer pushes. A slow reader makes the peer wait, and the peer counts what is missed.
struct Teller {
    events: mpsc::Sender<Watched>,
    /// Gone with it: when the peer has let go of it, or is lost.
    _told: oneshot::Sender<()>,
}

impl wire::watcher::Server for Teller {
    async fn events(
        self: Served<Self>,
        params: wire::watcher::EventsParams,
        _: wire::watcher::EventsResults,
    ) -> Result<()> {
        let params = params.get()?;
        let missed = params.get_missed();
        let missed = (missed > 0).then_some(Ok(Watched::Missed(missed)));
        let events = params.get_events()?;
        for watched in missed.into_iter().chain(events.iter().map(read_event)) {
            if self.events.send(watched?).await.is_err() {
                return Err(Error::disconnected("nobody watches any more".into()));
            }
        }
        Ok(())
    }
}

fn read_event(from: wire::event::Reader<'_>) -> Result<Watched> {
    let fields = from.get_fields()?.iter().map(|field| {
        let value =
            match field.which().map_err(|_| Error::failed("malformed: a value of no known kind".into()))? {
                wire::field::Number(number) => Value::Number(number),
                wire::field::Flag(flag) => Value::Flag(flag),
                wire::field::Text(text) => Value::Text(text?.to_string()?.into()),
            };
        Ok((field.get_name()?.to_string()?, value))
    });
    Ok(Watched::Event(RemoteEvent {
        seq: from.get_seq(),
        at_us: from.get_at_us(),
        peer: PeerId(from.get_peer()),
        term: Term(from.get_term()),
        role: read_role(from.get_role())?,
        name: from.get_name()?.to_string()?,
        why: from.get_why()?.to_string()?,
        fields: fields.collect::<Result<_>>()?,
    }))
}
