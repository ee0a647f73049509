//! The machine of a peer: applies what is committed, answers, keeps client sessions, takes snapshots.
//!
//! It alone knows sessions: below it a command is bytes. Entries come in order, each once, whatever
//! happens around it: what it has applied already it skips, and what comes after a gap it leaves,
//! for then it has asked its peer for everything it lacks.
//!
//! Applying is a room of its own: [`apply`](super::apply).

use std::{collections::VecDeque, panic::resume_unwind, sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};

use super::{
    answers::Answers,
    apply::Told,
    custom::{Engine, Soon},
    parts::Parts,
    peer::Peer,
    role_addr::Deliver,
    supervision::{ChildDown, End},
    waiters::{Orphans, Waiters},
};
use crate::{machine::Sessions, raft::*, storage::SnapshotStore};

/// Makes the machine of a peer: at start, and again whenever it fell.
pub trait MachineFactory: Send + Sync + 'static {
    /// A machine that has applied nothing.
    fn build(&self, peer: PeerId) -> Engine;
}

/// A question, to be answered from the present state.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask(pub Query);

/// Takes a snapshot now; answered with the index it covers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SaveNow(pub Port);

/// Clients that were adopted long enough ago have stopped waiting.
#[derive(Message)]
#[rtype(result = "()")]
struct DropOrphans;

/// A new role is in office, which may have more for the machine.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Resume;

/// The machine actor.
pub struct MachineActor {
    pub(super) parts: Arc<Parts>,
    pub(super) engine: Engine,
    pub(super) snapshots: Arc<dyn SnapshotStore>,
    pub(super) peer: Addr<Peer>,
    pub(super) sessions: Sessions,
    /// The last entry applied. Only ever rises, but for a rebuild.
    pub(super) applied: Position,
    pub(super) membership: Arc<Membership>,
    /// Of the entries that are being applied.
    pub(super) answers: Answers,
    /// Who gets which of them; room that is used again.
    pub(super) homes: Vec<(Port, Told)>,
    /// Clients whose leader stepped down.
    pub(super) orphans: Orphans,
    /// Queries that wait for an index.
    reads: VecDeque<(Index, Vec<Query>)>,
    /// Entries up to here are run one by one: one of them made the machine fall.
    pub(super) careful_upto: Index,
    /// The entry that can't be applied.
    pub(super) poisoned: Option<Index>,
    /// Applied since the last snapshot.
    pub(super) entries_since: u64,
    pub(super) bytes_since: usize,
    /// Whether a snapshot is being written, and who waits for it.
    pub(super) saving: bool,
    pub(super) savers: Vec<Port>,
    /// The user's machine has fallen, and this actor is about to.
    pub(super) fallen: bool,
}

impl MachineActor {
    /// A machine that is about to be restored from the latest snapshot.
    pub fn new(
        parts: Arc<Parts>,
        engine: Engine,
        snapshots: Arc<dyn SnapshotStore>,
        peer: Addr<Peer>,
        careful_upto: Option<Index>,
        poisoned: Option<Index>,
    ) -> MachineActor {
        let config = &parts.identity.config;
        let sessions = Sessions::new(config.sessions_max, config.session_window);
        MachineActor {
            sessions,
            engine,
            snapshots,
            peer,
            applied: Position::ZERO,
            membership: Arc::default(),
            answers: Answers::default(),
            homes: Vec::new(),
            orphans: Orphans::default(),
            reads: VecDeque::new(),
            careful_upto: careful_upto.unwrap_or_default(),
            poisoned,
            entries_since: 0,
            bytes_since: 0,
            saving: false,
            savers: Vec::new(),
            fallen: false,
            parts,
        }
    }

    /// Goes on with `then` once the user's machine has answered; nothing else is done before. If it
    /// has fallen nothing is done at all: [`ChildDown`] is about to say how.
    pub(super) fn when_run<T: 'static>(
        &mut self,
        soon: Soon<T>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        let finish = |actor: &mut Self, value: Option<T>, ctx: &mut Context<Self>| match value {
            Some(value) => then(actor, value, ctx),
            None => actor.fallen = true,
        };
        match soon {
            Soon::Now(value) => finish(self, value, ctx),
            Soon::Later(future) => {
                ctx.wait(future.into_actor(self).map(move |value, actor, ctx| finish(actor, value, ctx)))
            }
        }
    }

    // Clients.

    /// Keeps clients until their entries come by. Those whose entries have been passed already can
    /// only be told that nobody knows.
    pub(super) fn adopt(
        &mut self,
        clients: impl IntoIterator<Item = (Index, Term, Port)>,
        ctx: &mut Context<Self>,
    ) {
        let had_none = self.orphans.is_empty();
        for (index, term, port) in clients {
            if index > self.applied.index {
                self.orphans.adopt(index, term, port);
            }
        }
        self.orphans.answer_lost(self.applied.term);
        if had_none && !self.orphans.is_empty() {
            let patience = Duration::from_millis(self.parts.identity.config.deadline_ms);
            ctx.notify_later(DropOrphans, patience);
        }
    }

    pub(super) fn after_apply(&mut self, ctx: &mut Context<Self>) {
        while let Some((index, _)) = self.reads.front()
            && *index <= self.applied.index
            && let Some((_, queries)) = self.reads.pop_front()
        {
            self.answer_queries(queries, ctx);
        }
        self.save_if_due(ctx);
        if let Some(index) = self.poisoned.filter(|&index| index == self.applied.index.next()) {
            self.give_up_reads(index);
        }
    }

    // Queries.

    fn answer_queries(&mut self, queries: Vec<Query>, ctx: &mut Context<Self>) {
        for Query { question, port } in queries {
            match self.engine.query(question) {
                Soon::Now(Some(ran)) => port.answer(ran.map_or(Outcome::Rejected, Outcome::Applied)),
                Soon::Now(None) => self.warn_of_query(),
                Soon::Later(answer) => {
                    // Its mailbox keeps the order: what was applied before is seen.
                    ctx.spawn(answer.into_actor(self).map(move |ran, actor, _| match ran {
                        Some(ran) => port.answer(ran.map_or(Outcome::Rejected, Outcome::Applied)),
                        None => actor.warn_of_query(),
                    }));
                }
            }
        }
    }

    fn warn_of_query(&self) {
        let what = "the machine fell over a query, or while one waited; it was not answered".to_string();
        self.parts.witness.note(|| Event::Warned { what, why: Why::Panicked });
    }

    fn give_up_reads(&mut self, index: Index) {
        for query in self.reads.drain(..).flat_map(|(_, queries)| queries) {
            query.port.answer(Outcome::Poisoned { index });
        }
    }
}

impl Actor for MachineActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        self.engine.start(ctx.address().recipient(), &self.parts.gauges);
        self.restore(ctx);
    }
}

impl Handler<Deliver<Work>> for MachineActor {
    type Result = ();

    fn handle(&mut self, Deliver(work): Deliver<Work>, ctx: &mut Self::Context) {
        if self.fallen {
            return;
        }
        match work {
            Work::Apply { batches, waiting } => {
                self.apply(batches.into_iter(), Waiters::new(waiting), ctx);
            }
            Work::Orphans(waiting) => self.adopt(Waiters::new(waiting).rest(), ctx),
            Work::Restore(_) => self.restore(ctx),
            Work::Read { index, queries } if index <= self.applied.index => self.answer_queries(queries, ctx),
            Work::Read { index, queries } => {
                self.reads.push_back((index, queries));
                if let Some(index) = self.poisoned {
                    self.give_up_reads(index);
                }
            }
        }
    }
}

impl Handler<Ask> for MachineActor {
    type Result = ();

    fn handle(&mut self, Ask(query): Ask, ctx: &mut Self::Context) {
        if !self.fallen {
            self.answer_queries(vec![query], ctx);
        }
    }
}

impl Handler<Resume> for MachineActor {
    type Result = ();

    /// A snapshot of a leader may have taken the log's place when nobody could say so any more: what
    /// the log lacks is in it.
    fn handle(&mut self, _: Resume, ctx: &mut Self::Context) {
        let latest = self.snapshots.latest();
        if latest.is_some_and(|meta| meta.at.index > self.applied.index) && !self.fallen {
            self.restore(ctx);
        } else {
            self.ask_for_more();
        }
    }
}

impl Handler<DropOrphans> for MachineActor {
    type Result = ();

    /// Their clients have stopped waiting; a peer that is cut off must not keep them for ever.
    fn handle(&mut self, _: DropOrphans, _: &mut Self::Context) {
        self.orphans.clear();
    }
}

impl Handler<ChildDown> for MachineActor {
    type Result = ();

    /// The user's actor fell, and this one with it: they are rebuilt together.
    fn handle(&mut self, down: ChildDown, _: &mut Self::Context) {
        let cause = match down.end {
            End::Panicked(cause) => cause,
            End::Stopped | End::Injected => "the machine's own actor stopped".to_string(),
        };
        resume_unwind(Box::new(cause));
    }
}
