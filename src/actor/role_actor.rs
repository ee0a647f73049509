//! The one shell that every role runs in: turns, syncs, hand-overs.
//!
//! A turn is every message that waits in the mailbox, up to a limit. At its end, in this order:
//! `early` errands, one sync of everything the turn wrote, `synced()`, replies, work for the
//! machine, `late` errands. During the sync the mailbox stays shut: what arrives is the next turn.
//!
//! When a role gives way, the old shell starts the successor itself, by a function call, with the
//! state, the storage, what has not been sent and what has not been written; the successor's first
//! turn does both. At no moment is the state ownerless or in a mailbox.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use actix::{Actor, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};

use super::{
    door::{Door, Ring, Taken},
    embody::Embody,
    machine::MachineActor,
    parts::Parts,
    peer::{Peer, Present},
    role_addr::{Answer, Deliver, Rewire, RoleAddr},
    storage::Writer,
    supervision::{Child, ChildDown, Leash, spawn_guarded},
    timer::{Alarm, Arm, Timer},
};
use crate::{
    raft::*,
    storage::{Room, SnapshotStore},
};

/// What passes from role to role beside the [`State`].
pub struct Desk {
    /// What never changes.
    pub parts: Arc<Parts>,
    /// Counts this peer's role actors.
    pub tenure: u64,
    /// The parent.
    pub peer: Addr<Peer>,
    /// Where clients wait.
    pub door: Arc<Door>,
    /// Writes.
    pub storage: Writer,
    /// Where snapshots to send are.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Applies.
    pub machine: Addr<MachineActor>,
    /// Wakes.
    pub timer: Addr<Timer>,
    /// Whether the disk has room.
    pub room: Room,
    /// What has not been sent yet.
    pub letters: Letters,
}

/// A role in office.
struct Office<R: Role> {
    role: R,
    out: Outbox<R::Errand>,
    desk: Desk,
    /// What the timer was last told; `None`: it has rung since.
    armed_ms: Option<u64>,
    /// Whether the last alarm came too late to be believed, and a second look was asked for.
    second_look: bool,
    /// When the last sync ended: what rang before was rung to the deaf.
    heard_from_ms: u64,
}

/// The actor of one role.
pub struct RoleActor<R: Embody> {
    /// `None` once the role has given way.
    office: Option<Office<R>>,
    successor: Option<RoleAddr>,
    crew: R::Crew,
    /// Whether a sync is under way: nothing is handled before it ends.
    writing: bool,
    /// Whether a turn is under way, and how much it has taken in.
    open: bool,
    taken_messages: usize,
    taken_bytes: usize,
}

impl<R: Embody> Unpin for RoleActor<R> {}

/// Starts the actor of a role.
pub fn start_any(role: AnyRole, desk: Desk) -> (RoleAddr, Leash) {
    fn start<R: Embody>(role: R, mut desk: Desk) -> (Addr<RoleActor<R>>, Leash) {
        let child = Child { kind: ActorKind::Role, number: desk.tenure };
        let parent = desk.peer.clone().recipient();
        let gauges = desk.parts.gauges.clone();
        let out = Outbox::new(std::mem::take(&mut desk.letters));
        let office = Office { role, out, desk, armed_ms: None, second_look: false, heard_from_ms: 0 };
        let actor = RoleActor {
            office: Some(office),
            successor: None,
            crew: R::Crew::default(),
            writing: false,
            open: false,
            taken_messages: 0,
            taken_bytes: 0,
        };
        spawn_guarded(child, parent, &gauges, actor)
    }
    macro_rules! start {
        ($kind:ident, $role:expr) => {{
            let (addr, leash) = start($role, desk);
            (RoleAddr::$kind(addr), leash)
        }};
    }
    match role {
        AnyRole::Follower(role) => start!(Follower, role),
        AnyRole::PreCandidate(role) => start!(PreCandidate, role),
        AnyRole::Candidate(role) => start!(Candidate, role),
        AnyRole::Leader(role) => start!(Leader, role),
    }
}

impl<R: Embody> Actor for RoleActor<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        if let Some(office) = &mut self.office {
            let present = office.desk.parts.witness.present();
            present.set(office.role.state().term(), Some(R::KIND));
            office.refresh(office.now_ms());
            office.tell_events();
            office.role.enter(&mut office.out);
            office.desk.parts.gauges.publish_followers(office.role.followers());
            office.tell_events();
        }
        self.open = true;
        ctx.spawn(TurnEnd);
    }
}

impl<R: Role> Office<R> {
    fn now_ms(&self) -> u64 {
        self.desk.parts.clock.now_ms()
    }

    /// Time, what the machine has done and whether the disk has room, as the rules will see them in this
    /// turn.
    fn refresh(&mut self, now_ms: u64) {
        let parts = &self.desk.parts;
        let applied = parts.gauges.applied();
        let (listening, full) = (parts.witness.hub().is_listening(), self.desk.room.is_full());
        let state = self.role.state_mut();
        state.listen(listening);
        state.now_ms = now_ms;
        state.applied = applied;
        state.set_disk_full(full);
    }

    fn tell_events(&mut self) {
        if self.role.state().has_events() {
            for event in self.role.state_mut().take_events() {
                self.desk.parts.witness.note(|| event);
            }
        }
    }

    /// Tells the timer, if it would ring too late or not at all.
    fn arm(&mut self) {
        let deadline_ms = self.role.deadline_ms();
        if self.armed_ms.is_none_or(|armed_ms| deadline_ms < armed_ms) {
            self.armed_ms = Some(deadline_ms);
            self.desk.timer.do_send(Arm { at_ms: deadline_ms });
        }
    }

    /// Whether an alarm means that time has passed for this role. Time deaf is not time waited: what
    /// rang during a sync is forgotten, and rings anew behind what has come in meanwhile. And an
    /// alarm that comes more than a heartbeat late was rung on a stalled thread, where a leader's
    /// sign of life may wait just behind it: it takes a second look.
    fn believes(&mut self, alarm: Alarm) -> bool {
        let armed_ms = self.armed_ms.take().unwrap_or(alarm.at_ms);
        if alarm.at_ms < self.heard_from_ms {
            return false;
        }
        let late_ms = self.now_ms().saturating_sub(armed_ms);
        let stalled = late_ms > self.role.state().config().heartbeat_ms;
        self.second_look = stalled && !self.second_look;
        !self.second_look
    }

    /// A bug that is planted: what has to wait for the sync leaves before it.
    #[cfg(raft_actors_planted)]
    fn promise_too_early(&mut self) {
        let is_early = |letter: &mut Letter| match letter {
            Letter::Voted(..) => planted!(VoteBeforeSync),
            Letter::Appended(..) => planted!(AckBeforeSync),
            _ => false,
        };
        self.out.letters.replies.extract_if(.., is_early).for_each(Letter::send);
    }

    /// What leaves after the sync, but for errands.
    fn send_letters(&mut self) {
        let letters = &mut self.out.letters;
        letters.replies.drain(..).for_each(Letter::send);
        for (port, outcome) in letters.outcomes.drain(..) {
            port.answer(outcome);
        }
        for work in letters.machine.drain(..) {
            self.desk.parts.stay_awake();
            self.desk.machine.do_send(Deliver(work));
        }
    }
}

impl<R: Embody> RoleActor<R> {
    fn open_turn(&mut self) {
        assert!(!self.writing, "nothing is handled during a sync");
        if !self.open {
            self.open = true;
            (self.taken_messages, self.taken_bytes) = (0, 0);
            if let Some(office) = &mut self.office {
                office.refresh(office.now_ms());
            }
        }
    }

    /// After each message. A turn that has taken in enough ends here, and lets others have the
    /// thread: actix itself would drain the mailbox without any limit.
    fn after_message(&mut self, weight: usize, ctx: &mut Context<Self>) {
        let Some(office) = &mut self.office else { return };
        office.tell_events();
        self.taken_messages += 1;
        self.taken_bytes += weight;
        let config = office.role.state().config();
        if self.taken_messages >= config.turn_messages_max || self.taken_bytes >= config.turn_bytes_max {
            self.end_turn(ctx);
            if self.office.is_some() && !ctx.waiting() {
                ctx.wait(tokio::task::yield_now().into_actor(self));
            }
        }
    }

    fn end_turn(&mut self, ctx: &mut Context<Self>) {
        self.open = false;
        let Some(office) = &mut self.office else { return };
        office.role.close(&mut office.out);
        office.tell_events();
        for errand in office.out.early.drain(..) {
            R::run(errand, &mut self.crew, &office.role, &office.desk, ctx);
        }
        #[cfg(raft_actors_planted)]
        office.promise_too_early();
        if office.role.state().log().has_urgent_records() {
            self.sync(ctx);
        } else {
            self.finish_turn(0, ctx);
        }
    }

    /// One sync for all records of the turn; with the mailbox shut, if it takes time.
    fn sync(&mut self, ctx: &mut Context<Self>) {
        let Some(office) = &mut self.office else { return };
        let records = office.role.state_mut().take_records();
        let (count, parts) = (records.len(), &office.desk.parts);
        parts.witness.note(|| Event::SyncBegun { records: count, why: Why::EndOfTurn });
        let Some(synced) = office.desk.storage.write(records, parts.gauges.drag()) else {
            return self.after_sync(count, 0, ctx);
        };
        self.writing = true;
        parts.gauges.set_syncing(true);
        parts.stay_awake();
        // As late as this turn has been taken to be: it has been as deaf since then.
        let begun_ms = office.role.state().now_ms;
        ctx.wait(synced.into_actor(self).map(move |result, actor, ctx| match result {
            Ok(()) => actor.after_deafness(count, begun_ms, ctx),
            // The storage fell or failed: its parent ends this role too, and until then it is deaf.
            Err(_) => ctx.wait(std::future::pending().into_actor(actor)),
        }));
    }

    fn after_deafness(&mut self, records: usize, begun_ms: u64, ctx: &mut Context<Self>) {
        self.writing = false;
        let Some(office) = &mut self.office else { return };
        let now_ms = office.now_ms();
        office.desk.parts.gauges.set_syncing(false);
        office.heard_from_ms = now_ms;
        office.refresh(now_ms);
        self.after_sync(records, now_ms.saturating_sub(begun_ms), ctx);
    }

    fn after_sync(&mut self, records: usize, took_ms: u64, ctx: &mut Context<Self>) {
        let Some(office) = &mut self.office else { return };
        let (parts, state) = (&office.desk.parts, office.role.state());
        let durable = state.log().last();
        parts.witness.note(|| Event::Synced { records, took_ms, durable, why: Why::EndOfTurn });
        parts.warn_of_slow_sync(took_ms, state.now_ms);
        parts.stay_awake();
        self.finish_turn(took_ms, ctx);
    }

    fn finish_turn(&mut self, deaf_ms: u64, ctx: &mut Context<Self>) {
        let Some(office) = &mut self.office else { return };
        let succession = office.role.synced(deaf_ms, &mut office.out);
        office.tell_events();
        office.send_letters();
        for errand in office.out.late.drain(..) {
            R::run(errand, &mut self.crew, &office.role, &office.desk, ctx);
        }
        office.desk.parts.publish(&office.role);
        office.arm();
        if let Some(succession) = succession {
            self.hand_over(succession);
        } else if !office.out.is_empty() || office.role.state().log().has_urgent_records() {
            self.open_turn();
        }
    }

    /// The role gives way, and its successor is there before anybody can ask.
    fn hand_over(&mut self, succession: impl FnOnce(R) -> AnyRole) -> Option<&RoleAddr> {
        let Office { mut role, mut out, mut desk, .. } = self.office.take()?;
        role.leave(&mut out.letters);
        desk.letters = out.letters;
        desk.tenure += 1;
        let (tenure, peer) = (desk.tenure, desk.peer.clone());
        let (addr, leash) = start_any(succession(role), desk);
        peer.do_send(Present { tenure, addr: addr.clone(), leash });
        self.crew = R::Crew::default();
        self.open = false;
        Some(self.successor.insert(addr))
    }
}

impl<R, M> Handler<Deliver<M>> for RoleActor<R>
where
    R: Embody + Receive<M>,
    M: Mail,
    Follower: Receive<M>,
    PreCandidate: Receive<M>,
    Candidate: Receive<M>,
    Leader: Receive<M>,
{
    type Result = ();

    fn handle(&mut self, Deliver(message): Deliver<M>, ctx: &mut Self::Context) {
        if let Some(successor) = &self.successor {
            return successor.deliver(message);
        }
        self.open_turn();
        let Some(office) = &mut self.office else { return };
        let weight = message.weight();
        let message = match settle(&mut office.role, message, &mut office.out.letters) {
            Settled::Ours(message) => message,
            Settled::Newer(term, message) => {
                if let Some(successor) = self.hand_over(|role| depose(role, term)) {
                    successor.deliver(message);
                }
                return;
            }
            Settled::Done => return self.after_message(weight, ctx),
        };
        match office.role.receive(message, &mut office.out) {
            Next::Stay => self.after_message(weight, ctx),
            Next::Become(succession) => {
                self.hand_over(succession);
            }
            Next::Defer(succession, message) => {
                if let Some(successor) = self.hand_over(succession) {
                    successor.deliver(message);
                }
            }
        }
    }
}

impl<R, M> Handler<Answer<M>> for RoleActor<R>
where
    R: Embody + Receive<M>,
    M: Mail,
{
    type Result = ();

    fn handle(&mut self, Answer(message): Answer<M>, ctx: &mut Self::Context) {
        if self.office.is_none() {
            return;
        }
        self.open_turn();
        let Some(office) = &mut self.office else { return };
        let message = match settle(&mut office.role, message, &mut office.out.letters) {
            Settled::Ours(message) => message,
            Settled::Newer(term, _) => {
                self.hand_over(|role| depose(role, term));
                return;
            }
            Settled::Done => return self.after_message(0, ctx),
        };
        match office.role.receive(message, &mut office.out) {
            Next::Stay => self.after_message(0, ctx),
            // What was asked for in one role is no business of the next.
            Next::Become(succession) | Next::Defer(succession, _) => {
                self.hand_over(succession);
            }
        }
    }
}

impl<R: Embody> Handler<Ring> for RoleActor<R> {
    type Result = ();

    /// Takes in who waits at the door: now, and not when it rang. During a sync they wait outside,
    /// where they are counted, and not in a mailbox, where nobody would refuse the last of them.
    fn handle(&mut self, _: Ring, ctx: &mut Self::Context) {
        if let Some(successor) = &self.successor {
            return successor.open_door();
        }
        let Some(office) = &self.office else { return };
        let turn_bytes = office.role.state().config().turn_bytes_max;
        let Taken { proposal, read, is_more } = office.desk.door.take(turn_bytes);
        if let Some(proposal) = proposal {
            self.handle(Deliver(proposal), ctx);
        }
        // The first may have ended the turn, and nothing is handled during its sync; or it was the last
        // act of this role, and the second is forwarded. By mail: `notify` heeds no shut mailbox.
        match read {
            Some(read) if ctx.waiting() => ctx.address().do_send(Deliver(read)),
            Some(read) => self.handle(Deliver(read), ctx),
            None => {}
        }
        // By mail, too: behind what came in meanwhile, and by whoever is in office then.
        if is_more {
            ctx.address().do_send(Ring);
        }
    }
}

impl<R: Embody> Handler<Alarm> for RoleActor<R> {
    type Result = ();

    fn handle(&mut self, alarm: Alarm, ctx: &mut Self::Context) {
        if let Some(successor) = &self.successor {
            return successor.ring(alarm);
        }
        let Some(office) = &mut self.office else { return };
        // Whoever holds the bell may be kept from ringing it.
        office.desk.door.ring();
        if office.believes(alarm) {
            self.handle(Deliver(Tick), ctx);
        } else {
            office.arm();
        }
    }
}

impl<R: Embody> Handler<Rewire> for RoleActor<R> {
    type Result = ();

    fn handle(&mut self, rewire: Rewire, _: &mut Self::Context) {
        if let Some(successor) = &self.successor {
            return successor.rewire(rewire);
        }
        let Some(office) = &mut self.office else { return };
        match rewire {
            Rewire::Machine(machine) => office.desk.machine = machine,
            Rewire::Timer(timer) => {
                office.desk.timer = timer;
                office.armed_ms = None;
                office.arm();
            }
        }
    }
}

impl<R: Embody> Handler<ChildDown> for RoleActor<R> {
    type Result = ();

    fn handle(&mut self, down: ChildDown, ctx: &mut Self::Context) {
        if let Some(office) = &self.office {
            R::child_down(down, &mut self.crew, &office.role, &office.desk, ctx);
        }
    }
}

/// The end of a turn: lives as long as the role is in office, and is polled by actix whenever the
/// mailbox has been drained.
struct TurnEnd;

impl<R: Embody> ActorFuture<RoleActor<R>> for TurnEnd {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut RoleActor<R>,
        ctx: &mut Context<RoleActor<R>>,
        _: &mut task::Context<'_>,
    ) -> Poll<()> {
        while actor.open && !ctx.waiting() {
            actor.end_turn(ctx);
        }
        if actor.office.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}
