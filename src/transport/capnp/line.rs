//! A client's line to one peer: makes its connection when there is something to ask, and keeps it.
//!
//! What waits when a call can be made goes in one call: concurrent clients of one process share their calls, and
//! the more there are the more they share. What was not sent when a connection fails is certainly not done, and
//! says so; what was sent is unknown.

use std::{
    cell::Cell,
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use capnp::{Error, Result};
use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side};
use tokio::{
    sync::{Notify, mpsc},
    task::spawn_local,
    time::{Instant, interval, timeout},
};

use super::{
    caller::{CallerPlan, Job, Known, Proposal, learn, lock},
    codec::{read_member, read_members},
    dial::{DialError, Dialled, dial},
    handshake::{PROTOCOL, write_id},
    messages_capnp as wire,
    meter::Meter,
    operator::{OperatorError, give},
    tls::Whom,
};
use crate::raft::{Index, Outcome, PeerId, Port};

/// How many proposals are under way in calls of their own before the next ones wait for each other.
const CALLS: usize = 4;

/// How many are under way at most: a call that is full already gains nothing by waiting.
const FULL_CALLS: usize = 16;

/// How many bytes of commands share a call. Their answers may be as long as they are, or longer.
const SHARED_BYTES: usize = 256 << 10;

/// How many commands share a call.
const SHARED_COMMANDS: usize = 1_024;

/// How long a peer that could not be reached is left alone.
const LEAVE_ALONE: Duration = Duration::from_millis(100);

/// How much longer than a deadline is waited for the peer to say that it has passed.
const GRACE: Duration = Duration::from_millis(500);

/// Which line.
pub(super) struct LinePlan {
    pub(super) peer: PeerId,
    pub(super) caller: Arc<CallerPlan>,
    pub(super) known: Arc<Mutex<Known>>,
}

/// Where jobs for one peer go in.
pub(super) struct Line(mpsc::UnboundedSender<Job>);

impl Line {
    pub(super) fn give(&self, job: Job) {
        // Only a line that panicked is gone; then the port says that nobody knows.
        let _ = self.0.send(job);
    }
}

/// Starts a line.
pub(super) fn start(plan: LinePlan) -> Line {
    let (jobs, inbox) = mpsc::unbounded_channel();
    spawn_local(run(Rc::new(plan), inbox));
    Line(jobs)
}

/// Who was met at an address.
pub(super) struct Met {
    pub(super) peer: PeerId,
    pub(super) known: Known,
}

/// Who is at an address, in words if it is nobody.
pub(super) async fn ask_who_is_there(address: &str, plan: &CallerPlan) -> std::result::Result<Met, String> {
    let mut opened = open(address, Whom::AnyPeer, plan).await.map_err(|error| error.to_string())?;
    let pong = opened.client.ping_request().send().promise;
    let pong = tokio::select! {
        biased;
        pong = timeout(Duration::from_millis(plan.limits.connect_ms), pong) => pong.ok().and_then(Result::ok),
        _ = &mut opened.system => None,
    };
    // Without it the leader is found by asking around.
    let leader = pong.and_then(|pong| Some(pong.get().ok()?.get_pong().ok()?.get_leader().ok()?.get_id()));
    opened.met.known.leader = PeerId(leader.unwrap_or_default());
    Ok(opened.met)
}

/// A connection that has shaken hands.
struct Opened {
    system: RpcSystem<Side>,
    meter: Meter,
    client: wire::client::Client,
    admin: Option<wire::admin::Client>,
    batch_entries_max: usize,
    met: Met,
}

async fn open(address: &str, whom: Whom, plan: &CallerPlan) -> std::result::Result<Opened, DialError> {
    let limits = &plan.limits;
    let answer_bytes = limits.frame_bytes_max.saturating_mul(4);
    let Dialled { mut system, meter, bootstrap, .. } =
        dial(address, whom, &plan.security, limits, answer_bytes).await?;
    let mut request = bootstrap.connect_request();
    let mut hello = request.get().init_hello();
    hello.set_protocol(PROTOCOL);
    hello.set_cluster(plan.cluster.as_deref().unwrap_or_default());
    hello.init_client().set_name(plan.name.as_str());
    // Whoever stands still accepts connections, too, and is not worth the caller's whole deadline.
    let patience = Duration::from_millis(limits.handshake_ms.min(limits.connect_ms)).min(plan.deadline);
    let answer = tokio::select! {
        biased;
        answer = timeout(patience, request.send().promise) => answer,
        _ = &mut system => return Err(Error::disconnected(String::new()).into()),
    };
    let answer = answer.map_err(|_| DialError::Unreachable("it left the handshake unfinished".into()))??;
    let reply = answer.get()?.get_reply()?;
    match reply.which().map_err(Error::from)? {
        wire::connect_reply::Refused(refused) => {
            let text = refused?.get_text()?.to_string().map_err(Error::from)?;
            Err(DialError::Unreachable(text))
        }
        wire::connect_reply::Welcome(welcome) => Ok(welcomed(welcome?, system, meter)?),
    }
}

fn welcomed(welcome: wire::welcome::Reader<'_>, system: RpcSystem<Side>, meter: Meter) -> Result<Opened> {
    let limits = welcome.get_limits()?;
    let known = Known {
        cluster: welcome.get_cluster()?.to_string()?,
        members: read_members(welcome.get_members()?)?.into_iter().collect(),
        command_bytes_max: usize::try_from(limits.get_command_bytes_max()).unwrap_or(usize::MAX),
        session_window: limits.get_session_window().max(1) as usize,
        election_timeout: Duration::from_millis(limits.get_election_timeout_ms().into()),
        leader: PeerId(0),
    };
    let peer = PeerId(welcome.get_introduction()?.get_peer());
    let admin = if welcome.has_admin() { Some(welcome.get_admin()?) } else { None };
    let batch_entries_max = (limits.get_batch_entries_max().max(1) as usize).min(SHARED_COMMANDS);
    let met = Met { peer, known };
    Ok(Opened { system, meter, client: welcome.get_client()?, admin, batch_entries_max, met })
}

async fn run(plan: Rc<LinePlan>, mut inbox: mpsc::UnboundedReceiver<Job>) {
    let mut left_alone: Option<(Instant, String)> = None;
    while let Some(job) = inbox.recv().await {
        if let Some((until, cause)) = &left_alone
            && *until > Instant::now()
        {
            job.fail(&plan.unreachable(cause.clone()));
            continue;
        }
        let address = plan.address();
        match open(&address, Whom::Peer(plan.peer), &plan.caller).await {
            Ok(opened) if opened.met.peer == plan.peer => {
                learn(&plan.known, &address, &opened.met);
                left_alone = None;
                plan.converse(opened, job, &mut inbox).await;
            }
            failed => {
                let cause = match failed {
                    Ok(opened) => format!("peer {} listens there", opened.met.peer),
                    Err(error) => error.to_string(),
                };
                let unreachable = plan.unreachable(cause.clone());
                job.fail(&unreachable);
                while let Ok(job) = inbox.try_recv() {
                    job.fail(&unreachable);
                }
                left_alone = Some((Instant::now() + LEAVE_ALONE, cause));
            }
        }
    }
}

/// What waits until a call can be made.
struct Desk {
    plan: Rc<LinePlan>,
    meter: Meter,
    client: wire::client::Client,
    admin: Option<wire::admin::Client>,
    batch_entries_max: usize,
    waiting: VecDeque<(Proposal, Port)>,
    calls: Rc<Cell<usize>>,
    returned: Rc<Notify>,
}

/// A call for proposals, until it has returned.
struct Call {
    calls: Rc<Cell<usize>>,
    returned: Rc<Notify>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.set(self.calls.get().saturating_sub(1));
        self.returned.notify_one();
    }
}

impl LinePlan {
    fn address(&self) -> String {
        lock(&self.known).members.get(&self.peer).cloned().unwrap_or_default()
    }

    fn unreachable(&self, cause: String) -> OperatorError {
        OperatorError::Unreachable { peer: self.peer, address: self.address(), cause }
    }

    /// Does what is asked, until the connection is lost or nobody asks any more.
    async fn converse(self: &Rc<Self>, opened: Opened, first: Job, inbox: &mut mpsc::UnboundedReceiver<Job>) {
        let Opened { mut system, meter, client, admin, batch_entries_max, .. } = opened;
        let (calls, returned) = (Rc::<Cell<usize>>::default(), Rc::<Notify>::default());
        let mut desk = Desk {
            plan: self.clone(),
            meter: meter.clone(),
            client,
            admin,
            batch_entries_max,
            waiting: VecDeque::new(),
            calls,
            returned: returned.clone(),
        };
        desk.take(first);
        let silence = Duration::from_millis(self.caller.limits.silence_ms).max(self.caller.deadline + GRACE);
        let quiet = Duration::from_millis(self.caller.limits.idle_ms / 2);
        let mut look = interval((silence / 4).min(quiet / 2).max(Duration::from_millis(1)));
        loop {
            while let Ok(job) = inbox.try_recv() {
                desk.take(job);
            }
            desk.propose();
            tokio::select! {
                biased;
                _ = &mut system => break,
                job = inbox.recv() => match job {
                    Some(job) => desk.take(job),
                    None => break,
                },
                () = returned.notified() => {}
                _ = look.tick() => {
                    if meter.unanswered_since().is_some_and(|since| since.elapsed() >= silence) {
                        meter.end("it does not answer");
                    }
                    // Before the peer does it: what is sent just then would be unknown.
                    if meter.quiet_since().is_some_and(|since| since.elapsed() >= quiet) {
                        break;
                    }
                }
            }
        }
        // These were never sent.
        for (_, port) in desk.waiting {
            port.answer(Outcome::NotLeader { leader: None });
        }
    }
}

impl Desk {
    fn deadline_ms(&self) -> u32 {
        u32::try_from(self.plan.caller.deadline.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Propose(Proposal::Open(session), port) => self.open_session(session, port),
            Job::Propose(Proposal::Close(session), port) => self.close_session(session, port),
            Job::Propose(proposal, port) => self.waiting.push_back((proposal, port)),
            Job::Query { question, is_local, port } => self.query(&question, is_local, port),
            Job::Order(order, answer) => {
                let Some(admin) = self.admin.clone() else {
                    return drop(answer.send(Err(OperatorError::NotAdmin { peer: self.plan.peer })));
                };
                let plan = self.plan.clone();
                spawn_local(async move {
                    let ordered = match timeout(plan.caller.deadline, give(order, &admin)).await {
                        Ok(ordered) => ordered.unwrap_or_else(|error| Err(plan.unreachable(error.extra))),
                        Err(_) => Err(plan.unreachable("it did not answer in time".into())),
                    };
                    let _ = answer.send(ordered);
                });
            }
        }
    }

    /// Makes calls of what waits, while there may be more of them.
    fn propose(&mut self) {
        while !self.waiting.is_empty() && self.calls.get() < FULL_CALLS {
            let mut bytes = 0;
            let fitting = self.waiting.iter().take(self.batch_entries_max).take_while(|(proposal, _)| {
                let first = bytes == 0;
                bytes += 1 + payload(proposal).len();
                first || bytes <= SHARED_BYTES
            });
            let count = fitting.count();
            let is_full = count < self.waiting.len() || bytes >= SHARED_BYTES;
            if !is_full && self.calls.get() >= CALLS {
                return;
            }
            let (proposals, ports): (Vec<_>, Vec<_>) = self.waiting.drain(..count).unzip();
            self.meter.expect(proposals.iter().map(bytes_of).sum());
            let mut request = self.client.propose_request();
            request.get().set_deadline_ms(self.deadline_ms());
            let mut to = request.get().init_commands(count as u32);
            for (place, proposal) in (0..).zip(&proposals) {
                write_command(proposal, to.reborrow().get(place));
            }
            self.calls.set(self.calls.get() + 1);
            let call = Call { calls: self.calls.clone(), returned: self.returned.clone() };
            let promise = request.send().promise;
            spawn_local(async move {
                let _call = call;
                // Without an answer the ports go, and say that nobody knows.
                let Ok(answer) = promise.await else { return };
                let Ok(outcomes) = answer.get().and_then(|answer| answer.get_outcomes()) else { return };
                for (outcome, port) in outcomes.iter().zip(ports) {
                    port.answer(read_outcome(outcome).unwrap_or(Outcome::Unknown));
                }
            });
        }
    }

    fn query(&self, question: &Bytes, is_local: bool, port: Port) {
        let mut request = self.client.query_request();
        let mut to = request.get();
        to.set_question(question);
        to.set_deadline_ms(self.deadline_ms());
        to.set_consistency(if is_local { wire::Consistency::Local } else { wire::Consistency::Linearizable });
        let promise = request.send().promise;
        spawn_local(async move {
            let Ok(answer) = promise.await else { return };
            let outcome = answer.get().and_then(|answer| read_outcome(answer.get_outcome()?));
            port.answer(outcome.unwrap_or(Outcome::Unknown));
        });
    }

    fn open_session(&self, session: u128, port: Port) {
        let mut request = self.client.open_session_request();
        request.get().set_deadline_ms(self.deadline_ms());
        write_id(session, request.get().init_session());
        let promise = request.send().promise;
        spawn_local(async move {
            let Ok(answer) = promise.await else { return };
            let result = answer.get().and_then(|answer| read_session(answer.get_result()?));
            port.answer(result.unwrap_or(Outcome::Unknown));
        });
    }

    fn close_session(&self, session: u128, port: Port) {
        let mut request = self.client.close_session_request();
        request.get().set_deadline_ms(self.deadline_ms());
        write_id(session, request.get().init_session());
        let promise = request.send().promise;
        spawn_local(async move {
            let Ok(answer) = promise.await else { return };
            let result = answer.get().and_then(|answer| read_session(answer.get_result()?));
            port.answer(result.unwrap_or(Outcome::Unknown));
        });
    }
}

fn payload(proposal: &Proposal) -> &[u8] {
    match proposal {
        Proposal::Plain(payload) | Proposal::InSession { payload, .. } => payload,
        Proposal::Open(_) | Proposal::Close(_) => &[],
    }
}

/// What a command takes on the wire, or a little more.
fn bytes_of(proposal: &Proposal) -> usize {
    const PLAIN: usize = 32;
    const IN_SESSION: usize = 40;
    let around = if matches!(proposal, Proposal::InSession { .. }) { PLAIN + IN_SESSION } else { PLAIN };
    payload(proposal).len() + around
}

fn write_command(proposal: &Proposal, mut to: wire::command::Builder<'_>) {
    to.set_payload(payload(proposal));
    match proposal {
        Proposal::InSession { session, sequence, lowest_unanswered, .. } => {
            let mut to = to.init_in_session();
            to.set_sequence(*sequence);
            to.set_lowest_unanswered(*lowest_unanswered);
            write_id(*session, to.init_session());
        }
        _ => to.set_plain(()),
    }
}

fn read_outcome(from: wire::outcome::Reader<'_>) -> Result<Outcome> {
    use wire::outcome::Which;
    Ok(match from.which().map_err(|_| Error::failed("malformed: an outcome of no known kind".into()))? {
        Which::Applied(answer) => Outcome::Applied(Bytes::copy_from_slice(answer?)),
        Which::NotLeader(leader) => {
            let (leader, _) = read_member(leader?)?;
            Outcome::NotLeader { leader: (leader != PeerId(0)).then_some(leader) }
        }
        Which::Busy(()) => Outcome::Busy,
        Which::Lost(()) => Outcome::Lost,
        Which::Unknown(()) => Outcome::Unknown,
        Which::Rejected(()) => Outcome::Rejected,
        Which::Poisoned(index) => Outcome::Poisoned { index: Index(index) },
        Which::Gap(expected) => Outcome::Gap { expected },
        Which::SessionExpired(()) => Outcome::SessionExpired,
        Which::TooLarge(max) => Outcome::TooLarge { max: usize::try_from(max).unwrap_or(usize::MAX) },
    })
}

/// An opened session is answered as within one process: with the sequence that was applied last, as eight bytes.
fn read_session(from: wire::session_result::Reader<'_>) -> Result<Outcome> {
    Ok(match read_outcome(from.get_outcome()?)? {
        Outcome::Applied(_) => Outcome::Applied(Bytes::copy_from_slice(&from.get_applied().to_le_bytes())),
        other => other,
    })
}
