//! The peer: routes to the present role, and starts, supervises and rebuilds its children.
//!
//! | who falls | what happens |
//! |---|---|
//! | role | replay the storage, begin as a follower: the path of a process start |
//! | storage | role and storage fall together; reopen, replay |
//! | storage, after a failed write or sync | the peer stops |
//! | machine | the last snapshot, then everything after it; the same entry twice is poison |
//! | timer | begin anew |
//!
//! Between roles it drops what other peers say, and tells clients that it does not lead.

use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};

use super::{
    bell::here,
    door::{Door, Ring, Taken, Tenant, refuse},
    early::Early,
    introductions::Acquaintances,
    machine::{MachineActor, MachineFactory, Resume},
    parts::Parts,
    postbox::Taking,
    role_actor::{Desk, start_any},
    role_addr::{Deliver, Front, Rewire, RoleAddr},
    storage::{DiskFailed, Recover, Recovered, StorageActor, Writer},
    supervision::{Budget, Child, ChildDown, End, Leash, Tripwire, spawn_guarded},
    timer::{Alarm, Timer},
};
use crate::{
    raft::*,
    storage::{Disk, Room, SnapshotStore, StorageError},
};

/// A new role is in office.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Present {
    /// Its number.
    pub tenure: u64,
    /// Its address.
    pub addr: RoleAddr,
    /// Its leash.
    pub leash: Leash,
}

/// A leader has hired one of its crew. Whoever wants to see it fall must not have to ask the leader,
/// whose mailbox is shut during a sync.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Hired(pub Tripwire);

/// A leader has rebuilt one of its crew.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CrewFell {
    /// What it was.
    pub kind: ActorKind,
}

/// A child that can be sent to.
pub(super) struct Kept<A: Actor> {
    pub(super) addr: Addr<A>,
    pub(super) leash: Leash,
    number: u64,
}

/// The peer actor.
pub struct Peer {
    pub(super) parts: Arc<Parts>,
    door: Arc<Door>,
    disk: Box<dyn Disk>,
    factory: Arc<dyn MachineFactory>,
    budget: Budget,
    /// Counts the children that this actor started, of any kind.
    started: u64,
    /// Counts the role actors, also those that their predecessors started.
    tenure: u64,
    pub(super) role: Option<(RoleAddr, Leash)>,
    /// Where others find it.
    front: Arc<Front>,
    /// The replicators, in the order in which they were hired; some of them may be gone.
    pub(super) crew: Vec<Tripwire>,
    pub(super) storage: Option<Kept<StorageActor>>,
    writer: Option<Writer>,
    snapshots: Option<Arc<dyn SnapshotStore>>,
    room: Room,
    pub(super) acquaintances: Option<Acquaintances>,
    pub(super) early: Early<Taking>,
    pub(super) machine: Option<Kept<MachineActor>>,
    pub(super) timer: Option<Kept<Timer>>,
    /// The number of the recovery under way.
    recovery: u64,
    /// Who fell, and is back once the recovery is through; and the restarts so far.
    fallen: Vec<(ActorKind, u32)>,
    /// The entries at which the machine fell last.
    pub(super) suspects: Option<(Index, Index)>,
    /// The entry that the machine can't apply.
    pub(super) poisoned: Option<Index>,
}

impl Peer {
    /// A peer that is about to start.
    pub fn new(
        parts: Arc<Parts>,
        door: Arc<Door>,
        disk: Box<dyn Disk>,
        factory: Arc<dyn MachineFactory>,
    ) -> Peer {
        let budget = Budget::new(parts.identity.config.restarts_max);
        let early = Early::new(parts.identity.config.snapshot_window_bytes);
        Peer {
            parts,
            door,
            disk,
            factory,
            budget,
            started: 0,
            tenure: 0,
            role: None,
            front: Arc::default(),
            crew: Vec::new(),
            storage: None,
            writer: None,
            snapshots: None,
            room: Room::default(),
            acquaintances: None,
            early,
            machine: None,
            timer: None,
            recovery: 0,
            fallen: Vec::new(),
            suspects: None,
            poisoned: None,
        }
    }

    fn keep<A: Actor<Context = Context<A>>>(
        &mut self,
        kind: ActorKind,
        actor: A,
        ctx: &mut Context<Self>,
    ) -> Kept<A> {
        self.started += 1;
        let number = self.started;
        let (child, parent) = (Child { kind, number }, ctx.address().recipient());
        let (addr, leash) = spawn_guarded(child, parent, &self.parts.gauges, actor);
        Kept { addr, leash, number }
    }

    /// Opens the disk and begins to recover from it.
    fn open(&mut self, ctx: &mut Context<Self>) {
        match self.disk.open() {
            Ok(opened) => {
                let (recovered, failed) = (ctx.address().recipient(), ctx.address().recipient());
                let storage = StorageActor::new(opened.log, recovered, failed, self.parts.clone());
                let place = storage.place();
                let storage = self.keep(ActorKind::Storage, storage, ctx);
                self.writer = Some(Writer::new(place, storage.addr.clone()));
                self.storage = Some(storage);
                self.snapshots = Some(opened.snapshots);
                self.room = opened.room;
                self.acquaintances = Some(Acquaintances::introduce(&self.parts, opened.register));
                self.recover();
            }
            Err(error) => self.stop(error.to_string(), Why::DiskFailed, ctx),
        }
    }

    /// Where the present role is found, while there is one.
    pub fn front(&self) -> Arc<Front> {
        self.front.clone()
    }

    /// Nobody is in office.
    fn dismiss(&mut self) {
        self.front.present(None);
        self.role = None;
    }

    /// Asks the storage for what is durable: behind whatever is under way.
    fn recover(&mut self) {
        self.dismiss();
        self.parts.witness.present().set(self.parts.witness.present().term(), None);
        self.recovery += 1;
        if let Some(storage) = &self.storage {
            storage.addr.do_send(Recover { number: self.recovery });
        }
    }

    /// `Restart` of the specification: a follower, from what is durable.
    fn start_role(&mut self, records: Vec<Record>, ctx: &mut Context<Self>) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        self.tenure += 1;
        let latest = snapshots.latest();
        let parts = self.parts.clone();
        let mut state = match State::recover(&parts.identity, records, latest.as_deref(), self.seed()) {
            Ok(state) => state,
            Err(unfit) => return self.stop(unfit.to_string(), Why::DiskFailed, ctx),
        };
        let snapshot = latest.map_or(Position::ZERO, |meta| meta.at);
        if state.log().base().index > snapshot.index {
            let what = format!(
                "the log begins behind entry {}, and the latest snapshot covers entry {} only: a snapshot is missing",
                state.log().base().index,
                snapshot.index
            );
            return self.stop(StorageError::Damaged { what }.to_string(), Why::DiskFailed, ctx);
        }
        parts.gauges.set_snapshot(snapshot.index);
        parts.gauges.set_syncing(false);
        state.now_ms = parts.clock.now_ms();
        state.listen(parts.witness.hub().is_listening());
        state.resume_from(parts.gauges.applied());
        state.set_poisoned(self.poisoned);
        parts.witness.present().set(state.term(), Some(RoleKind::Follower));
        let (last, vote) = (state.log().last(), state.vote().unwrap_or_default());
        parts.witness.note(|| Event::Replayed { last, vote, snapshot, why: Why::Recovery });
        self.start_timer_and_machine(ctx);
        let (Some(writer), Some(machine), Some(timer)) = (&self.writer, &self.machine, &self.timer) else {
            return;
        };
        let desk = Desk {
            parts,
            tenure: self.tenure,
            peer: ctx.address(),
            door: self.door.clone(),
            storage: writer.clone(),
            snapshots,
            machine: machine.addr.clone(),
            timer: timer.addr.clone(),
            room: self.room.clone(),
            letters: Letters::default(),
        };
        let (addr, leash) = start_any(AnyRole::Follower(Follower::recovered(state)), desk);
        self.front.present(Some(addr.clone()));
        self.role = Some((addr, leash));
        // What it asked for while nobody was in office got lost; so did a ring that the last role had
        // not heard.
        machine.addr.do_send(Resume);
        ctx.notify(Ring);
    }

    /// Chance is a stream of its own for each incarnation of the role.
    fn seed(&self) -> [u8; 32] {
        let [cluster, peer, incarnation] = self.parts.seed;
        let mut seed = [0; 32];
        let words = [cluster, peer, incarnation, self.tenure];
        for (bytes, word) in seed.chunks_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        seed
    }

    fn start_timer_and_machine(&mut self, ctx: &mut Context<Self>) {
        if self.timer.is_none() {
            let timer = Timer::new(self.parts.clock.clone(), ctx.address().recipient());
            self.timer = Some(self.keep(ActorKind::Timer, timer, ctx));
        }
        if self.machine.is_none() {
            self.start_machine(ctx);
        }
    }

    pub(super) fn start_machine(&mut self, ctx: &mut Context<Self>) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        let engine = self.factory.build(self.parts.identity.id);
        let machine = MachineActor::new(
            self.parts.clone(),
            engine,
            snapshots,
            ctx.address(),
            self.suspects.map(|(_, last)| last),
            self.poisoned,
        );
        self.machine = Some(self.keep(ActorKind::Machine, machine, ctx));
    }

    /// What never changes.
    pub(super) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// The snapshots, once the disk is open.
    pub(super) fn snapshots(&self) -> Option<&Arc<dyn SnapshotStore>> {
        self.snapshots.as_ref()
    }

    /// Hands mail to the present role; between roles it is dropped.
    pub(super) fn deliver<M: Mail>(&self, message: M)
    where
        Follower: Receive<M>,
        PreCandidate: Receive<M>,
        Candidate: Receive<M>,
        Leader: Receive<M>,
    {
        if let Some((role, _)) = &self.role {
            role.deliver(message);
        }
    }

    /// A child fell. `None`: there were too many restarts without progress, and the peer stops.
    fn spend(&mut self, kind: ActorKind, ctx: &mut Context<Self>) -> Option<u32> {
        let restarts = self.budget.spend(self.parts.gauges.progress());
        if restarts.is_none() {
            let max = self.parts.identity.config.restarts_max;
            let cause = format!("{max} restarts without progress, the last one of the {kind}");
            self.stop(cause, Why::NoProgress, ctx);
        }
        restarts
    }

    fn note_recovered(&self, actor: ActorKind, restarts: u32) {
        let restarts = u64::from(restarts);
        self.parts.witness.note(|| Event::Recovered { actor, restarts, why: Why::Restarted });
    }

    /// Lets go of everything and stops, loudly.
    pub(super) fn stop(&mut self, cause: String, why: Why, ctx: &mut Context<Self>) {
        let stopped = self.parts.gauges.set_stopped(why, cause.clone());
        self.parts.failures.push(format!("peer {} stopped: {stopped}", self.parts.identity.id));
        self.parts.witness.note(|| Event::PeerStopped { cause, why });
        self.dismiss();
        (self.timer, self.machine, self.storage, self.writer) = (None, None, None, None);
        ctx.stop();
    }
}

impl Actor for Peer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        let (peer, front) = (ctx.address(), self.front.clone());
        self.door.open_to(Some(Tenant { peer, front, thread: here() }));
        self.open(ctx);
    }
}

impl Handler<Recovered> for Peer {
    type Result = ();

    fn handle(&mut self, recovered: Recovered, ctx: &mut Self::Context) {
        if recovered.number != self.recovery {
            return;
        }
        if let Some(tail) = recovered.replay.tail {
            let (records, kept, torn) = (tail.records, tail.kept, tail.torn);
            self.parts.witness.note(|| Event::TailLost { records, kept, torn, why: Why::NeverSynced });
        }
        for what in recovered.replay.warnings {
            self.parts.witness.note(|| Event::Warned { what, why: Why::Recovery });
        }
        self.start_role(recovered.replay.records, ctx);
        for (actor, restarts) in std::mem::take(&mut self.fallen) {
            self.note_recovered(actor, restarts);
        }
    }
}

impl Handler<Present> for Peer {
    type Result = ();

    fn handle(&mut self, present: Present, ctx: &mut Self::Context) {
        // One that was under way when its predecessor fell is not wanted any more: its leash, dropped
        // here, ends it.
        if present.tenure <= self.tenure || self.role.is_none() {
            return;
        }
        self.tenure = present.tenure;
        self.front.present(Some(present.addr.clone()));
        if let Some((_, leash)) = self.role.replace((present.addr, present.leash)) {
            leash.release();
        }
        // A ring that the one before has not heard goes with it if it falls now.
        ctx.notify(Ring);
    }
}

impl Handler<ChildDown> for Peer {
    type Result = ();

    fn handle(&mut self, down: ChildDown, ctx: &mut Self::Context) {
        let Child { kind, number } = down.child;
        let is_present = match kind {
            ActorKind::Role => self.role.is_some() && number == self.tenure,
            ActorKind::Storage => self.storage.as_ref().is_some_and(|kept| kept.number == number),
            ActorKind::Machine => self.machine.as_ref().is_some_and(|kept| kept.number == number),
            ActorKind::Timer => self.timer.as_ref().is_some_and(|kept| kept.number == number),
            _ => false,
        };
        if !is_present && !matches!(down.end, End::Panicked(_)) {
            return; // It had been replaced already; or is a retired role that forwarded its last letter.
        }
        self.parts.note_crash(&down);
        if !is_present {
            return;
        }
        let Some(restarts) = self.spend(kind, ctx) else { return };
        match kind {
            ActorKind::Role => {
                self.fallen.push((kind, restarts));
                self.recover();
            }
            ActorKind::Storage => {
                self.fallen.push((kind, restarts));
                self.dismiss();
                self.storage = None;
                self.open(ctx);
            }
            ActorKind::Machine => {
                self.machine_down(&down.end, ctx);
                self.note_recovered(kind, restarts);
            }
            _ => {
                self.timer = None;
                self.start_timer_and_machine(ctx);
                if let (Some((role, _)), Some(timer)) = (&self.role, &self.timer) {
                    role.rewire(Rewire::Timer(timer.addr.clone()));
                }
                self.note_recovered(kind, restarts);
            }
        }
    }
}

impl Handler<Hired> for Peer {
    type Result = ();

    fn handle(&mut self, Hired(tripwire): Hired, _: &mut Self::Context) {
        self.crew.retain(Tripwire::is_live);
        self.crew.push(tripwire);
    }
}

impl Handler<CrewFell> for Peer {
    type Result = ();

    fn handle(&mut self, fell: CrewFell, ctx: &mut Self::Context) {
        if let Some(restarts) = self.spend(fell.kind, ctx) {
            self.note_recovered(fell.kind, restarts);
        }
    }
}

impl Handler<DiskFailed> for Peer {
    type Result = ();

    fn handle(&mut self, DiskFailed(error): DiskFailed, ctx: &mut Self::Context) {
        self.stop(error.to_string(), Why::DiskFailed, ctx);
    }
}

impl Handler<Alarm> for Peer {
    type Result = ();

    fn handle(&mut self, alarm: Alarm, _: &mut Self::Context) {
        if let Some((role, _)) = &self.role {
            role.ring(alarm);
        }
    }
}

impl Handler<Ring> for Peer {
    type Result = ();

    fn handle(&mut self, _: Ring, _: &mut Self::Context) {
        match &self.role {
            Some((role, _)) => role.open_door(),
            None => {
                let Taken { proposal, read, .. } = self.door.take(usize::MAX);
                refuse(proposal.into_iter().flat_map(|proposal| proposal.ports));
                refuse(read.into_iter().flat_map(|read| read.queries).map(|query| query.port));
            }
        }
    }
}

impl<M: Mail> Handler<Deliver<M>> for Peer
where
    Follower: Receive<M>,
    PreCandidate: Receive<M>,
    Candidate: Receive<M>,
    Leader: Receive<M>,
{
    type Result = ();

    fn handle(&mut self, Deliver(message): Deliver<M>, _: &mut Self::Context) {
        self.deliver(message);
    }
}
