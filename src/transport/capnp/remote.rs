//! Another peer, as one of this process reaches it: two connections, each with an actor of its own.
//!
//! What is short and urgent (votes, signs of life) goes one way, what is long (entries, snapshots) the other, so
//! that a batch on a slow link holds up no heartbeat. Each is carried by a [`Lane`]: it makes its connection,
//! introduces its peer, sends what is in its mailbox, hands answers to the ports that wait for them, notices
//! when the other side has fallen silent, and begins anew after a pause that grows. A panic in it costs its
//! connection, and it is back after the same pause.
//!
//! What can't be sent is lost, as on any network: nothing waits for a connection but what asked for it first, and
//! nobody is told. Whoever expects an answer does without it.

use std::{
    cell::Cell,
    future::Future,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use capnp_rpc::RpcSystem;
use futures::FutureExt;
use rand::RngExt;
use tokio::{
    sync::mpsc,
    task::spawn_local,
    time::{Instant, interval, sleep, timeout},
};

use super::{
    codec,
    dial::{DialError, Dialled, Security, dial},
    handshake::{PROTOCOL, Refused, read_introduction, read_refused, write_introduction},
    messages_capnp as wire,
    meter::Meter,
    pace::Pace,
    reception::once,
    tls::Whom,
};
use crate::{
    config::NetworkConfig,
    raft::{Event, PeerId, Reply, Why},
    transport::{Introduction, Objection, Postbox, Rpc, local::Local},
};

/// After how long a peer that was turned away, or turns away, tries again: it takes somebody to mend that.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Another peer, as seen by one of this process. Made anywhere; its lanes live on the thread of the connections.
pub struct Route {
    /// The peer of this process.
    pub me: PeerId,
    /// The other one.
    pub to: PeerId,
    /// Where it listens.
    pub address: String,
    /// What passes messages on.
    pub local: Arc<Local>,
    /// How long what may take.
    pub limits: NetworkConfig,
    /// How it is kept from others.
    pub security: Security,
    /// Whether it is reached.
    pub reached: Arc<std::collections::BTreeMap<PeerId, AtomicBool>>,
}

/// Where messages for another peer go in: on any thread.
pub struct RemotePostbox {
    /// For each peer of this process, which speaks for itself.
    routes: Vec<(PeerId, Mailboxes)>,
}

struct Mailboxes {
    control: Mailbox,
    bulk: Mailbox,
}

/// The mailbox of one lane.
struct Mailbox {
    mail: mpsc::UnboundedSender<(Rpc, usize)>,
    /// Bytes in it, and sent without an answer yet.
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Mailbox {
    fn put(&self, rpc: Rpc) {
        let weight = weight(&rpc);
        if self.bytes.load(Relaxed) + weight > self.bytes_max {
            return;
        }
        self.bytes.fetch_add(weight, Relaxed);
        if self.mail.send((rpc, weight)).is_err() {
            self.bytes.fetch_sub(weight, Relaxed);
        }
    }
}

/// What a message counts for, in bytes: a little more than it takes on the wire.
fn weight(rpc: &Rpc) -> usize {
    const AROUND: usize = 256;
    AROUND
        + match rpc {
            Rpc::AppendEntries(rpc) => rpc.slice.weight(),
            Rpc::InstallSnapshot(rpc) => rpc.data.len(),
            _ => 0,
        }
}

impl RemotePostbox {
    fn of(&self, me: PeerId) -> Option<&Mailboxes> {
        self.routes.iter().find(|(peer, _)| *peer == me).map(|(_, mailboxes)| mailboxes)
    }
}

impl Postbox for RemotePostbox {
    fn deliver(&self, rpc: Rpc) {
        let (from, is_long) = match &rpc {
            Rpc::PreVote(rpc) => (rpc.candidate, false),
            Rpc::RequestVote(rpc) => (rpc.candidate, false),
            Rpc::AppendEntries(rpc) => (rpc.leader, !rpc.slice.batches.is_empty()),
            Rpc::Check(rpc) => (rpc.leader, true),
            Rpc::InstallSnapshot(rpc) => (rpc.leader, true),
            Rpc::TimeoutNow(rpc) => (rpc.leader, false),
        };
        if let Some(mailboxes) = self.of(from) {
            let mailbox = if is_long { &mailboxes.bulk } else { &mailboxes.control };
            mailbox.put(rpc);
        }
    }

    /// Nobody introduces a peer of another machine here: that is done where the wire begins.
    fn meet(&self, _: Introduction, _: Reply<Result<(), Objection>>) {}

    fn turned_away(&self, _: PeerId, _: Objection) {}
}

/// What starts a lane, on the thread of the connections.
pub type LaneStart = Box<dyn FnOnce() + Send>;

/// The postbox of another peer, for these peers of this process; and what starts its lanes.
pub fn reach(routes: Vec<Route>) -> (Arc<RemotePostbox>, Vec<(PeerId, LaneStart)>) {
    let (mut mailboxes, mut starts) = (Vec::new(), Vec::new());
    for route in routes {
        let me = route.me;
        let route = Arc::new(route);
        let (pace, bulk_bytes) = (Arc::<Pace>::default(), Arc::<AtomicUsize>::default());
        let mut lane = |is_bulk| {
            let (mail, inbox) = mpsc::unbounded_channel();
            let (bulk_bytes, pace) = (bulk_bytes.clone(), pace.clone());
            let bytes = if is_bulk { bulk_bytes.clone() } else { Arc::default() };
            let told = Cell::new(None);
            let plan = Plan { route: route.clone(), pace, bulk_bytes, bytes: bytes.clone(), told, is_bulk };
            let start: LaneStart = Box::new(move || drop(spawn_local(supervise(Rc::new(plan), inbox))));
            starts.push((me, start));
            Mailbox { mail, bytes, bytes_max: route.limits.peer_bytes_max }
        };
        mailboxes.push((me, Mailboxes { control: lane(false), bulk: lane(true) }));
    }
    (Arc::new(RemotePostbox { routes: mailboxes }), starts)
}

/// What a lane goes by.
struct Plan {
    route: Arc<Route>,
    pace: Arc<Pace>,
    /// What is long and under way, of both lanes.
    bulk_bytes: Arc<AtomicUsize>,
    /// What is under way on this one.
    bytes: Arc<AtomicUsize>,
    told: Cell<Option<Told>>,
    is_bulk: bool,
}

/// What was told last of the other peer; of one that never was reached, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Up,
    Down,
    /// It is there, and has said no: told once more, as it is for somebody to mend.
    Refused,
}

type Inbox = mpsc::UnboundedReceiver<(Rpc, usize)>;

/// Keeps a lane going until its peer's thread ends, whatever happens in it.
async fn supervise(plan: Rc<Plan>, mut inbox: Inbox) {
    let mut attempt = 0;
    loop {
        let run = AssertUnwindSafe(run(&plan, &mut inbox, &mut attempt)).catch_unwind();
        let pause = match run.await {
            Ok(None) => return,
            Ok(Some(pause)) => pause,
            Err(_) => {
                plan.pace.set_socket(None);
                plan.lost("the actor of its connection panicked".into(), false);
                plan.pause(attempt)
            }
        };
        attempt = attempt.saturating_add(1);
        if !plan.wait(&mut inbox, pause).await {
            return;
        }
    }
}

/// One life of a lane: from its first message or its connection to the end of that. `None`: nobody sends any more;
/// else how long to wait before the next.
async fn run(plan: &Rc<Plan>, inbox: &mut Inbox, attempt: &mut u32) -> Option<Duration> {
    let mut first = None;
    if plan.is_bulk {
        // There may never be anything long to send.
        first = Some(inbox.recv().await?);
    }
    if plan.route.local.introduction(plan.route.me).is_none() {
        // Our own peer is down, or recovers: it has nothing to say, and there is nothing to tell.
        plan.drop_mail(first.into_iter());
        *attempt = 0;
        return Some(plan.pause(0));
    }
    let made = connect(plan).await;
    let (raft, mut system, meter) = match made {
        Ok(made) => made,
        Err(error) => {
            plan.drop_mail(first.into_iter());
            let is_final = matches!(&error, DialError::Refused(refused) if *refused != Refused::NotReady);
            plan.lost(error.to_string(), is_final);
            return Some(if is_final { REFUSED_PAUSE } else { plan.pause(*attempt) });
        }
    };
    plan.found();
    let begun = Instant::now();
    if let Some((rpc, weight)) = first {
        plan.send(&raft, &meter, rpc, weight);
    }
    let silence = plan.silence();
    let mut look = interval(silence / 4);
    loop {
        tokio::select! {
            biased;
            _ = &mut system => break,
            mail = inbox.recv() => {
                let (rpc, weight) = mail?;
                plan.send(&raft, &meter, rpc, weight);
            }
            _ = look.tick() => {
                if meter.unanswered_since().is_some_and(|since| since.elapsed() >= silence) {
                    meter.end("it does not answer");
                }
            }
        }
    }
    if plan.is_bulk {
        plan.pace.set_socket(None);
    }
    plan.lost(meter.reason().unwrap_or_else(|| "it closed the connection".into()), false);
    // A connection that held for a while was a good one.
    if begun.elapsed() >= Duration::from_secs(1) {
        *attempt = 0;
    }
    Some(plan.pause(*attempt))
}

type Made = (wire::raft::Client, RpcSystem<capnp_rpc::rpc_twoparty_capnp::Side>, Meter);

/// Makes a connection, and introduces both sides to each other.
async fn connect(plan: &Plan) -> Result<Made, DialError> {
    let route = &plan.route;
    let not_ready = || DialError::Refused(Refused::NotReady);
    let ours = route.local.introduction(route.me).ok_or_else(not_ready)?;
    let postbox = route.local.postbox(route.me).ok_or_else(not_ready)?;
    let limits = &route.limits;
    let whom = Whom::Peer(route.to);
    let Dialled { mut system, meter, bootstrap, socket } =
        dial(&route.address, whom, &route.security, limits, limits.frame_bytes_max).await?;
    let mut request = bootstrap.connect_request();
    let mut hello = request.get().init_hello();
    hello.set_protocol(PROTOCOL);
    hello.set_cluster(&*ours.cluster);
    let mut peer = hello.init_peer();
    peer.set_to(route.to.0);
    write_introduction(&ours, peer.init_introduction());
    let patience = Duration::from_millis(limits.handshake_ms);
    let answer = tokio::select! {
        biased;
        answer = timeout(patience, request.send().promise) => answer,
        _ = &mut system => return Err(capnp::Error::disconnected(String::new()).into()),
    };
    let answer = answer.map_err(|_| DialError::Unreachable("it left the handshake unfinished".into()))??;
    let reply = answer.get()?.get_reply()?;
    let welcome = match reply.which().map_err(capnp::Error::from)? {
        wire::connect_reply::Welcome(welcome) => welcome?,
        wire::connect_reply::Refused(refused) => {
            let refused = read_refused(refused?, &ours, route.to)?;
            if let Refused::Objection(objection) = &refused {
                postbox.turned_away(route.to, objection.clone());
            }
            return Err(DialError::Refused(refused));
        }
    };
    let cluster = welcome.get_cluster()?.to_str().map_err(capnp::Error::from)?;
    let theirs = read_introduction(cluster, welcome.get_introduction()?)?;
    if theirs.peer != route.to {
        return Err(DialError::Refused(Refused::NotMe { wanted: route.to, met: theirs.peer }));
    }
    let raft = welcome.get_raft()?;
    let (verdict, judged) = once();
    postbox.meet(theirs, verdict);
    match timeout(patience, judged).await {
        Ok(Ok(Ok(()))) => {
            if plan.is_bulk {
                plan.pace.set_socket(socket);
            }
            Ok((raft, system, meter))
        }
        Ok(Ok(Err(objection))) => Err(DialError::Refused(Refused::Objection(objection))),
        _ => Err(not_ready()),
    }
}

/// What a message counts for, until it is answered or lost.
struct Underway {
    bytes: Arc<AtomicUsize>,
    weight: usize,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.weight, Relaxed);
    }
}

impl Plan {
    /// How long the other side may be silent when it was asked something.
    fn silence(&self) -> Duration {
        let ms = self.route.limits.silence_ms;
        Duration::from_millis(if self.is_bulk { ms.saturating_mul(10) } else { ms })
    }

    /// Twice as long each time, and never the same for two.
    fn pause(&self, attempt: u32) -> Duration {
        let (first, max) = (self.route.limits.reconnect_ms, self.route.limits.reconnect_ms_max);
        let ms = first.saturating_mul(1 << attempt.min(16)).min(max);
        Duration::from_millis(rand::rng().random_range(ms / 2..=ms))
    }

    /// Waits, and loses what arrives meanwhile. `false`: nobody sends any more.
    async fn wait(&self, inbox: &mut Inbox, pause: Duration) -> bool {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return true,
                mail = inbox.recv() => match mail {
                    Some(mail) => self.drop_mail([mail].into_iter()),
                    None => return false,
                }
            }
        }
    }

    fn drop_mail(&self, mail: impl Iterator<Item = (Rpc, usize)>) {
        let weight = mail.map(|(_, weight)| weight).sum();
        self.bytes.fetch_sub(weight, Relaxed);
    }

    /// The short messages' connection says whether the peer is there.
    fn set_reached(&self, reached: bool) {
        if let Some(known) = self.route.reached.get(&self.route.to).filter(|_| !self.is_bulk) {
            known.store(reached, Relaxed);
        }
    }

    fn found(&self) {
        self.set_reached(true);
        if !self.is_bulk && self.told.replace(Some(Told::Up)) != Some(Told::Up) {
            let (other, address) = (self.route.to, self.route.address.clone());
            self.route.local.note(self.route.me, || Event::PeerUp { other, address, why: Why::Reached });
        }
    }

    fn lost(&self, cause: String, is_refused: bool) {
        self.set_reached(false);
        let told = self.told.get();
        let is_news = match told {
            None | Some(Told::Up) => true,
            Some(Told::Down) => is_refused,
            Some(Told::Refused) => false,
        };
        if is_news && !self.is_bulk {
            self.told.set(Some(if is_refused { Told::Refused } else { Told::Down }));
            let (other, address) = (self.route.to, self.route.address.clone());
            self.route.local.note(self.route.me, || Event::PeerDown {
                other,
                address,
                cause,
                why: Why::Unreachable,
            });
        }
    }

    /// Sends a message, and hands its answer to the port that waits for it.
    fn send(&self, raft: &wire::raft::Client, meter: &Meter, rpc: Rpc, weight: usize) {
        meter.expect(weight);
        let underway = Underway { bytes: self.bytes.clone(), weight };
        let sent_at = Instant::now();
        match rpc {
            Rpc::PreVote(rpc) => {
                let mut request = raft.pre_vote_request();
                codec::write_pre_vote(&rpc, request.get().init_request());
                answer(underway, request.send().promise, move |answer| {
                    let answer = answer.get()?;
                    if answer.has_reply() {
                        rpc.reply.send(codec::read_pre_voted(answer.get_reply()?));
                    }
                    Ok(())
                });
            }
            Rpc::RequestVote(rpc) => {
                let mut request = raft.request_vote_request();
                codec::write_request_vote(&rpc, request.get().init_request());
                answer(underway, request.send().promise, move |answer| {
                    let answer = answer.get()?;
                    if answer.has_reply() {
                        rpc.reply.send(codec::read_voted(answer.get_reply()?));
                    }
                    Ok(())
                });
            }
            Rpc::AppendEntries(rpc) | Rpc::Check(rpc) => {
                let mut request = raft.append_entries_request();
                codec::write_append(&rpc, request.get().init_request());
                let pace = (!self.is_bulk).then(|| (self.pace.clone(), self.bulk_bytes.clone()));
                answer(underway, request.send().promise, move |answer| {
                    let answer = answer.get()?;
                    if answer.has_reply() {
                        if let Some((pace, bulk_bytes)) = &pace {
                            pace.heard(sent_at.elapsed(), bulk_bytes.load(Relaxed));
                        }
                        rpc.reply.send(codec::read_appended(answer.get_reply()?)?);
                    }
                    Ok(())
                });
            }
            Rpc::InstallSnapshot(rpc) => {
                let mut request = raft.install_snapshot_request();
                codec::write_install(&rpc, request.get().init_request());
                answer(underway, request.send().promise, move |answer| {
                    let answer = answer.get()?;
                    if answer.has_reply() {
                        rpc.reply.send(codec::read_taken(answer.get_reply()?)?);
                    }
                    Ok(())
                });
            }
            Rpc::TimeoutNow(rpc) => {
                let mut request = raft.timeout_now_request();
                codec::write_timeout_now(&rpc, request.get().init_request());
                answer(underway, request.send().promise, |_| Ok(()));
            }
        }
    }
}

/// Waits for an answer, and takes it. Whatever comes in between, it is only missing.
fn answer<R: 'static>(
    underway: Underway,
    promise: impl Future<Output = capnp::Result<R>> + 'static,
    take: impl FnOnce(R) -> capnp::Result<()> + 'static,
) {
    spawn_local(async move {
        let _ = promise.await.and_then(take);
        drop(underway);
    });
}
