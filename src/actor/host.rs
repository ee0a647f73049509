//! The thread on which peers live: starts and kills them, and is told when one stops.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture};

use super::{
    clock::{Clock, ClockChanged},
    door::Door,
    gauges::{Gauges, PeerStatus},
    machine::MachineFactory,
    orders::{AskLocal, TakeSnapshot, Trip},
    parts::{Failures, Parts},
    peer::Peer,
    postbox::PeerPostbox,
    role_addr::Deliver,
    supervision::{Child, ChildDown, End, Fall, Leash, spawn_guarded},
    vigil::Vigil,
};
use crate::{
    observe::{Hub, Witness},
    raft::*,
    storage::Disk,
    transport::{Transport, local::Local},
};

/// Everything a peer needs to live, at each of its starts.
pub struct PeerPlan {
    /// Who it is and how it behaves.
    pub identity: Identity,
    /// The name of its cluster.
    pub cluster: Arc<str>,
    /// Where chance comes from.
    pub seed: u64,
    /// Whether it has the real clock and other threads beside it.
    pub is_live: bool,
    /// Who is told what happens.
    pub hub: Arc<Hub>,
    /// What carries its messages.
    pub network: Arc<Local>,
    /// Makes its machine.
    pub factory: Arc<dyn MachineFactory>,
    /// What went wrong that nobody had injected.
    pub failures: Failures,
    /// How its thread stays awake, if nothing but this peer is on it.
    pub vigil: Option<Arc<Vigil>>,
}

/// One place for a peer: its door and its clock stay when the peer does not.
pub struct Seat {
    plan: PeerPlan,
    door: Arc<Door>,
    clock: Arc<Clock>,
    /// What the peer that lives here publishes; or that lived here last.
    life: Mutex<Life>,
}

/// One life of a peer.
#[derive(Clone)]
struct Life {
    incarnation: u64,
    up: bool,
    gauges: Arc<Gauges>,
    witness: Witness,
    /// Gone when the last actor of this life is.
    parts: Weak<Parts>,
}

impl Seat {
    /// A place where nobody has lived yet.
    pub fn new(plan: PeerPlan) -> Arc<Seat> {
        let life = Life {
            incarnation: 0,
            up: false,
            gauges: Arc::default(),
            witness: Witness::new(plan.hub.clone(), plan.identity.id),
            parts: Weak::new(),
        };
        let door = Door::new(&plan.identity.config);
        let clock = Arc::new(Clock::new(plan.hub.clone()));
        Arc::new(Seat { plan, door, clock, life: Mutex::new(life) })
    }

    /// Who lives here.
    pub fn id(&self) -> PeerId {
        self.plan.identity.id
    }

    /// Where clients knock.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    fn life(&self) -> Life {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the peer does, or did when it was last up.
    pub fn status(&self) -> PeerStatus {
        let life = self.life();
        let present = life.witness.present();
        let role = present.role().filter(|_| life.up);
        life.gauges.status(self.id(), life.up, role, present.term())
    }

    /// Notes an event of this peer that none of its actors can note.
    pub fn note(&self, event: impl FnOnce() -> Event) {
        self.life().witness.note(event);
    }

    /// Delivers a message for the peer's role.
    pub fn transfer(&self, transfer: Transfer) {
        match self.door.peer() {
            Some(peer) => peer.do_send(Deliver(transfer)),
            None => super::door::refuse([transfer.port]),
        }
    }

    /// Asks the peer's own machine.
    pub fn ask_local(&self, query: Query) {
        match self.door.peer() {
            Some(peer) => peer.do_send(AskLocal(query)),
            None => super::door::refuse([query.port]),
        }
    }

    /// Has the peer take a snapshot.
    pub fn take_snapshot(&self, port: Port) {
        match self.door.peer() {
            Some(peer) => peer.do_send(TakeSnapshot(port)),
            None => super::door::refuse([port]),
        }
    }

    /// Makes one of the peer's actors fall.
    pub fn trip(&self, actor: ActorKind, fall: Fall) {
        if let Some(peer) = self.door.peer() {
            peer.do_send(Trip { actor, fall });
        }
    }

    /// Holds actors of one kind up for a while, if the peer is up.
    pub fn stall(&self, actor: ActorKind, time: Duration) {
        let life = self.life();
        if life.up {
            life.gauges.drag().stall(actor, time);
            let ms = millis(time);
            life.witness.note(|| Event::Stalled { actor, ms, why: Why::Injected });
        }
    }

    /// Puts each poll of actors of one kind off, if the peer is up.
    pub fn slow(&self, actor: ActorKind, each: Duration) {
        let life = self.life();
        if life.up && life.gauges.drag().slow(actor, each) {
            let (ms, why) = (millis(each), if each.is_zero() { Why::Healed } else { Why::Injected });
            life.witness.note(|| Event::Slowed { actor, ms, why });
        }
    }

    /// Makes the clock here run faster or slower, whether the peer is up or not.
    pub fn set_clock_rate(&self, per_mille: u32) {
        if let Some(per_mille) = self.clock.set_rate(per_mille) {
            let per_mille = u64::from(per_mille);
            self.note(|| Event::ClockSkewed { per_mille, why: Why::Injected });
            if let Some(peer) = self.door.peer() {
                peer.do_send(ClockChanged);
            }
        }
    }

    /// Nobody lives here any more.
    fn vacate(&self) {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).up = false;
        self.plan.network.detach(self.id());
        self.door.open_to(None);
    }

    fn move_in(&self) -> Life {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let incarnation = life.incarnation + 1;
        let witness = Witness::new(self.plan.hub.clone(), self.id());
        *life = Life { incarnation, up: true, gauges: Arc::default(), witness, parts: Weak::new() };
        life.clone()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Starts the peer of a seat, if it is not up.
#[derive(Message)]
#[rtype(result = "()")]
struct Start {
    seat: Arc<Seat>,
    disk: Box<dyn Disk>,
}

/// Something to be done on the thread of the peers.
#[cfg(feature = "capnp")]
#[derive(Message)]
#[rtype(result = "()")]
struct Run(Box<dyn FnOnce() + Send>);

/// Cuts the power of a peer. Answered when the last of its actors is gone.
#[derive(Message)]
#[rtype(result = "()")]
struct Kill(PeerId, Why);

struct Running {
    seat: Arc<Seat>,
    number: u64,
    _leash: Leash,
}

/// The actor that peers are children of.
#[derive(Default)]
pub struct Host {
    running: BTreeMap<PeerId, Running>,
    /// Counts the peers that were started, to tell their ends apart.
    started: u64,
}

impl Actor for Host {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Start> for Host {
    type Result = ();

    fn handle(&mut self, Start { seat, disk }: Start, ctx: &mut Self::Context) {
        let id = seat.id();
        if self.running.contains_key(&id) {
            return;
        }
        let mut life = seat.move_in();
        let plan = &seat.plan;
        let parts = Arc::new(Parts {
            identity: plan.identity.clone(),
            cluster: plan.cluster.clone(),
            seed: [plan.seed, id.0, life.incarnation],
            is_live: plan.is_live,
            clock: seat.clock.clone(),
            witness: life.witness.clone(),
            gauges: life.gauges.clone(),
            transport: plan.network.clone() as Arc<dyn Transport>,
            failures: plan.failures.clone(),
            vigil: plan.vigil.clone(),
            warned_ms: Default::default(),
        });
        life.parts = Arc::downgrade(&parts);
        let incarnation = life.incarnation;
        life.witness.note(|| Event::Opened { incarnation: incarnation - 1, why: Why::Started });
        *seat.life.lock().unwrap_or_else(PoisonError::into_inner) = life.clone();
        let peer = Peer::new(parts, seat.door.clone(), disk, plan.factory.clone());
        self.started += 1;
        let child = Child { kind: ActorKind::Peer, number: self.started };
        let front = peer.front();
        let (addr, leash) = spawn_guarded(child, ctx.address().recipient(), &life.gauges, peer);
        plan.network.attach(id, life.witness, Arc::new(PeerPostbox { peer: addr, front }));
        self.running.insert(id, Running { seat: seat.clone(), number: self.started, _leash: leash });
    }
}

#[cfg(feature = "capnp")]
impl Handler<Run> for Host {
    type Result = ();

    fn handle(&mut self, Run(work): Run, _: &mut Self::Context) {
        work();
    }
}

impl Handler<Kill> for Host {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Kill(id, why): Kill, _: &mut Self::Context) -> ResponseFuture<()> {
        let Some(running) = self.running.remove(&id) else { return Box::pin(std::future::ready(())) };
        let life = running.seat.life();
        let during_sync = life.gauges.is_syncing();
        life.witness.note(|| Event::Killed { during_sync, why });
        running.seat.vacate();
        // Dropping the leash ends the peer at its next poll, and its children at theirs: only then
        // is it known what of their last write survives.
        drop(running);
        Box::pin(async move {
            while life.parts.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        })
    }
}

impl Handler<ChildDown> for Host {
    type Result = ();

    /// A peer stopped: it has said why, unless it panicked itself.
    fn handle(&mut self, down: ChildDown, _: &mut Self::Context) {
        let fallen = self.running.iter().find(|(_, running)| running.number == down.child.number);
        let Some(running) = fallen.map(|(&id, _)| id).and_then(|id| self.running.remove(&id)) else { return };
        if let End::Panicked(cause) = down.end {
            let life = running.seat.life();
            life.gauges.set_stopped(Why::Panicked, cause.clone());
            running.seat.plan.failures.push(format!("peer {} panicked: {cause}", running.seat.id()));
            life.witness.note(|| Event::PeerStopped { cause, why: Why::Panicked });
        }
        running.seat.vacate();
    }
}

/// A thread's host, from any thread.
#[derive(Clone)]
pub struct HostHandle(Addr<Host>);

impl HostHandle {
    /// Starts a host on this thread.
    pub fn start() -> HostHandle {
        HostHandle(Host::default().start())
    }

    /// Starts the peer of a seat, if it is not up.
    pub async fn open(&self, seat: Arc<Seat>, disk: Box<dyn Disk>) {
        // Fails only when the thread has ended, and every peer with it.
        let _ = self.0.send(Start { seat, disk }).await;
    }

    /// Does something on the thread of the peers, where local tasks can be started.
    #[cfg(feature = "capnp")]
    pub async fn run(&self, work: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Run(Box::new(work))).await;
    }

    /// Cuts the power of a peer, and waits until the last of its actors is gone.
    pub async fn kill(&self, peer: PeerId, why: Why) {
        let _ = self.0.send(Kill(peer, why)).await;
    }
}
