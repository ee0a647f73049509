//! The machine of a peer: applies what is committed, answers, keeps client sessions, takes snapshots.
//!
//! It alone knows sessions: below it a command is bytes. Entries come in order, each once, whatever
//! happens around it: what it has applied already it skips, and what comes after a gap it leaves,
//! for then it has asked its peer for everything it lacks.
//!
//! A batch goes through in three steps: *plan* (what is each entry, has its session seen it), *run*
//! (the user's machine, in this actor or in one of its own), *complete* (remember answers, tell
//! those who wait).

use std::{
    collections::{BTreeMap, VecDeque},
    panic::resume_unwind,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use bytes::Bytes;
use tokio::task::yield_now;

use super::{
    answers::apart,
    custom::{Engine, Ran, Soon},
    parts::Parts,
    peer::Peer,
    role_addr::Deliver,
    supervision::{ChildDown, End},
    waiters::Waiters,
};
use crate::{
    machine::{
        envelope::Envelope,
        session::{Admission, SessionId, Sessions, StoredAnswer},
    },
    raft::*,
    storage::SnapshotStore,
};

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
    /// Clients whose leader stepped down; by index, with the term in which they proposed.
    pub(super) orphans: BTreeMap<Index, (Term, Port)>,
    /// Queries that wait for an index.
    reads: VecDeque<(Index, Vec<Query>)>,
    /// Entries up to here are run one by one: one of them made the machine fall.
    careful_upto: Index,
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

/// What is to be applied, in order.
type Due = smallvec::IntoIter<[Batch; 2]>;

/// A run of planned entries.
#[derive(Default)]
struct Chunk {
    last: Position,
    steps: Vec<(Term, Step)>,
    weight: usize,
}

/// What becomes of one entry.
enum Step {
    /// Nothing has to be run.
    Settled(Outcome),
    /// The user's machine runs it; its answer is remembered for this session, if any.
    Run(Option<(SessionId, u64)>),
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
            orphans: BTreeMap::new(),
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

    // Apply: plan, run, complete.

    /// Applies as much of these entries as can be. Chunk by chunk, in a loop and not one within the
    /// other: a log that is read back after many changes of leaders has very many of them.
    fn apply(&mut self, mut batches: Due, mut waiters: Waiters, ctx: &mut Context<Self>) {
        while let Some((chunk, jobs)) = self.next_chunk(&mut batches) {
            let gauges = self.parts.gauges.clone();
            match self.engine.run(jobs, |first, last| gauges.set_applying(Some((first, last)))) {
                Soon::Now(Some(ran)) => {
                    self.complete(chunk, ran, &mut waiters, ctx);
                    if batches.as_slice().last().is_some_and(|batch| batch.last().index > self.applied.index)
                    {
                        // A log that is read back must not keep the thread from the heartbeats.
                        return ctx.wait(yield_now().into_actor(self).map(move |(), actor, ctx| {
                            actor.apply(batches, waiters, ctx);
                        }));
                    }
                }
                Soon::Now(None) => return self.fallen = true,
                Soon::Later(ran) => {
                    return ctx.wait(ran.into_actor(self).map(move |ran, actor, ctx| match ran {
                        Some(ran) => {
                            actor.complete(chunk, ran, &mut waiters, ctx);
                            // What had to wait for its turn: before anything that came later.
                            actor.apply(batches, waiters, ctx);
                        }
                        None => actor.fallen = true,
                    }));
                }
            }
        }
        // Nothing to do any more, yet, or ever: who waits is told when the entry comes.
        while waiters.take(self.applied.index).is_some() {}
        self.adopt(waiters.rest(), ctx);
    }

    /// Lets go of what is applied, and plans what comes next.
    fn next_chunk(&mut self, batches: &mut Due) -> Option<(Chunk, Vec<(Position, Bytes)>)> {
        let next = self.applied.index.next();
        while batches.as_slice().first().is_some_and(|batch| batch.last().index < next) {
            batches.next();
        }
        let front = batches.as_mut_slice().first_mut()?;
        let stop = self.poisoned.unwrap_or(Index(u64::MAX));
        if front.first() > next || next >= stop {
            // Behind a gap nothing is even planned: a plan is a promise to the sessions.
            return None;
        }
        if let Some(rest) = front.within(next, front.last().index) {
            *front = rest;
        }
        self.plan(batches.as_slice(), stop)
    }

    /// Says of each entry what it is. Stops after so many as one message brings, before an entry that has to be run on its own, and before
    /// a repeat of what is only about to be run.
    fn plan(&mut self, batches: &[Batch], stop: Index) -> Option<(Chunk, Vec<(Position, Bytes)>)> {
        let entries_max = self.parts.identity.config.batch_entries_max;
        let room = batches.first().map_or(0, |batch| batch.commands().len()).min(entries_max);
        let mut jobs = Vec::with_capacity(room);
        let mut chunk = Chunk { steps: Vec::with_capacity(room), ..Chunk::default() };
        for (at, command) in batches.iter().flat_map(Batch::entries) {
            let job = jobs.last().map_or(Index(u64::MAX), |(job, _): &(Position, Bytes)| job.index);
            let alone = job <= self.careful_upto && self.engine.runs_batches();
            if at.index >= stop || alone || chunk.steps.len() >= entries_max {
                break;
            }
            let Some(step) = self.step(at, command, &mut jobs) else { break };
            chunk.steps.push((at.term, step));
            chunk.last = at;
            chunk.weight += command.weight();
        }
        (!chunk.steps.is_empty()).then_some((chunk, jobs))
    }

    fn step(&mut self, at: Position, command: &Command, jobs: &mut Vec<(Position, Bytes)>) -> Option<Step> {
        let bytes = match command {
            Command::Noop => return Some(Step::Settled(Outcome::Applied(Bytes::new()))),
            Command::Membership(membership) => {
                self.membership = membership.clone();
                return Some(Step::Settled(Outcome::Applied(Bytes::new())));
            }
            Command::Data(bytes) => bytes,
        };
        let settled = match Envelope::parse(bytes.clone()) {
            Err(_) => Outcome::Rejected,
            Ok(Envelope::Plain { command }) => {
                jobs.push((at, command));
                return Some(Step::Run(None));
            }
            Ok(Envelope::Open { session }) => {
                let last = self.sessions.open(session, at.index);
                Outcome::Applied(Bytes::copy_from_slice(&last.to_le_bytes()))
            }
            Ok(Envelope::Close { session }) => {
                // Closing what is not open is no error: the answer may have got lost.
                self.sessions.close(session);
                Outcome::Applied(Bytes::new())
            }
            Ok(Envelope::InSession { session, sequence, lowest_unanswered, command }) => {
                match self.sessions.admit(session, sequence, lowest_unanswered, at.index) {
                    Admission::Apply(turn) => {
                        turn.defer();
                        jobs.push((at, command));
                        return Some(Step::Run(Some((session, sequence))));
                    }
                    // Its answer will be known when this chunk is complete.
                    Admission::UnderWay => return None,
                    Admission::Repeat(StoredAnswer::Applied(answer)) => Outcome::Applied(answer),
                    Admission::Repeat(StoredAnswer::Rejected) => Outcome::Rejected,
                    // The client has said that it has the answer, so nobody waits for this one.
                    Admission::Forgotten => Outcome::Unknown,
                    Admission::Gap { expected } => Outcome::Gap { expected },
                    Admission::Expired => Outcome::SessionExpired,
                }
            }
        };
        Some(Step::Settled(settled))
    }

    /// Remembers the answers, and tells those who wait for them.
    fn complete(&mut self, chunk: Chunk, ran: Vec<Ran>, waiters: &mut Waiters, ctx: &mut Context<Self>) {
        self.parts.gauges.set_applying(None);
        let first = self.applied.index.next();
        let mut ran = ran.into_iter();
        let entries = chunk.steps.len() as u64;
        for (index, (term, step)) in (first.0..).map(Index).zip(chunk.steps) {
            let outcome = match step {
                Step::Settled(outcome) => outcome,
                Step::Run(session) => {
                    let (outcome, stored) = match ran.next() {
                        Some(Ok(answer)) => {
                            let stored = session.map(|_| StoredAnswer::Applied(apart(&answer)));
                            (Outcome::Applied(answer), stored)
                        }
                        _ => (Outcome::Rejected, Some(StoredAnswer::Rejected)),
                    };
                    if let (Some((session, sequence)), Some(stored)) = (session, stored) {
                        self.sessions.record(session, sequence, stored);
                    }
                    outcome
                }
            };
            self.answer(index, term, outcome, waiters);
        }
        let began_a_term = chunk.last.term > self.applied.term;
        self.applied = chunk.last;
        if began_a_term {
            self.answer_lost();
        }
        self.entries_since += entries;
        self.bytes_since += chunk.weight;
        self.parts.gauges.set_applied(self.applied.index);
        let last = self.applied.index;
        self.parts.witness.note(|| Event::Applied { first, last, why: Why::WasCommitted });
        self.after_apply(ctx);
    }

    fn answer(&mut self, index: Index, term: Term, outcome: Outcome, waiters: &mut Waiters) {
        if !self.orphans.is_empty()
            && let Some((proposed, port)) = self.orphans.remove(&index)
        {
            // Another leader's entry took the place of what was proposed: it certainly never happened.
            port.answer(if proposed == term { outcome.clone() } else { Outcome::Lost });
        }
        if let Some(port) = waiters.take(index) {
            port.answer(outcome);
        }
    }

    /// Keeps clients until their entries come by. Those whose entries have been passed already can
    /// only be told that nobody knows.
    fn adopt(&mut self, clients: impl IntoIterator<Item = (Index, Term, Port)>, ctx: &mut Context<Self>) {
        let had_none = self.orphans.is_empty();
        for (index, term, port) in clients {
            if index > self.applied.index {
                self.orphans.insert(index, (term, port));
            }
        }
        self.answer_lost();
        if had_none && !self.orphans.is_empty() {
            let patience = Duration::from_millis(self.parts.identity.config.deadline_ms);
            ctx.notify_later(DropOrphans, patience);
        }
    }

    /// An entry of a later term is committed in front of theirs: terms only rise along a log, so no log
    /// that holds that entry can hold what was proposed in an earlier term behind it (§5.3, §5.4).
    pub(super) fn answer_lost(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        for (index, (proposed, port)) in std::mem::take(&mut self.orphans) {
            if proposed < self.applied.term {
                port.answer(Outcome::Lost);
            } else {
                self.orphans.insert(index, (proposed, port));
            }
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
                Soon::Now(None) => {
                    let what = "a query made the machine panic; it was not answered".to_string();
                    self.parts.witness.note(|| Event::Warned { what, why: Why::Panicked });
                }
                Soon::Later(answer) => {
                    // Its mailbox keeps the order: what was applied before is seen.
                    ctx.spawn(answer.into_actor(self).map(move |ran, _, _| {
                        if let Some(ran) = ran {
                            port.answer(ran.map_or(Outcome::Rejected, Outcome::Applied));
                        }
                    }));
                }
            }
        }
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
