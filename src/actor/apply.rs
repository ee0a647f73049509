//! How a machine applies what is committed (§5.3): in order, each entry once.
//!
//! A machine that lives in this actor *runs through*: each entry is judged (what is it, has its session seen it),
//! applied, and its answer put where it belongs, before the next is looked at. Most entries are somebody else's:
//! where nobody waits for an answer it is gone as soon as it is made.
//!
//! An actor of the user's own is given a batch, in three steps: *plan* (judge them all), *run* (the actor, on
//! whichever thread it is), *complete* (remember answers, tell those who wait).

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;
use tokio::task::yield_now;

use super::{
    answers::{Place, Sealed, apart},
    custom::{Engine, Ran, Soon},
    machine::MachineActor,
    waiters::Waiters,
};
use crate::{
    machine::{
        Lent,
        envelope::Header,
        session::{Admission, SessionId, Sessions, StoredAnswer, Turn},
    },
    raft::*,
};

/// What is to be applied, in order.
pub(super) type Due = smallvec::IntoIter<[Batch; 2]>;

/// A run of entries, the last of them, and what they weigh in bytes.
#[derive(Default)]
struct Run {
    entries: u64,
    last: Position,
    weight: usize,
}

impl Run {
    fn add(&mut self, at: Position, command: &Command) {
        self.entries += 1;
        self.last = at;
        self.weight += command.weight();
    }
}

/// What becomes of an entry.
enum Verdict<'a> {
    /// Nothing has to be run.
    Settled(Outcome),
    /// The user's machine runs the command behind so many bytes of the entry; its answer is remembered, if it has a
    /// turn in a session.
    Run(usize, Option<(SessionId, u64, Turn<'a>)>),
    /// It repeats a command that is only about to be run.
    UnderWay,
}

/// What became of an entry whose answer may still be with those of others.
#[derive(Clone)]
pub(super) enum Told {
    Settled(Outcome),
    Applied(Place),
}

impl Told {
    fn outcome(self, answers: &mut Sealed) -> Outcome {
        match self {
            Told::Settled(outcome) => outcome,
            Told::Applied(place) => Outcome::Applied(answers.take(place)),
        }
    }
}

/// A run that is planned.
#[derive(Default)]
struct Plan {
    run: Run,
    /// For each entry its term, and what becomes of it.
    steps: Vec<(Term, Step)>,
}

/// What was planned of an entry.
enum Step {
    Settled(Outcome),
    /// The user's machine runs it; its answer is remembered for this session, if any.
    Run(Option<(SessionId, u64)>),
}

/// Says of one entry what it is. Most are commands outside of any session: this part, which is all they need, is
/// inlined.
#[inline(always)]
fn judge<'a>(
    sessions: &'a mut Sessions,
    membership: &mut Arc<Membership>,
    at: Position,
    command: &Command,
) -> Verdict<'a> {
    match command {
        Command::Noop => Verdict::Settled(Outcome::Applied(Bytes::new())),
        Command::Membership(new) => {
            *membership = new.clone();
            Verdict::Settled(Outcome::Applied(Bytes::new()))
        }
        Command::Data(data) => match Header::parse(data) {
            Err(_) => Verdict::Settled(Outcome::Rejected),
            Ok((Header::Plain, length)) => Verdict::Run(length, None),
            Ok((header, length)) => judge_session(sessions, at, header, length),
        },
    }
}

/// Says what it is if a session's client sent it.
fn judge_session(sessions: &mut Sessions, at: Position, header: Header, length: usize) -> Verdict<'_> {
    let settled = match header {
        Header::Plain => return Verdict::Run(length, None),
        Header::Open { session } => {
            let last = sessions.open(session, at.index);
            Outcome::Applied(Bytes::copy_from_slice(&last.to_le_bytes()))
        }
        Header::Close { session } => {
            // Closing what is not open is no error: the answer may have got lost.
            sessions.close(session);
            Outcome::Applied(Bytes::new())
        }
        Header::InSession { session, sequence, lowest_unanswered } => {
            match sessions.admit(session, sequence, lowest_unanswered, at.index) {
                Admission::Apply(turn) => return Verdict::Run(length, Some((session, sequence, turn))),
                Admission::UnderWay => return Verdict::UnderWay,
                Admission::Repeat(StoredAnswer::Applied(answer)) => Outcome::Applied(answer),
                Admission::Repeat(StoredAnswer::Rejected) => Outcome::Rejected,
                // The client has said that it has the answer, so nobody waits for this one.
                Admission::Forgotten => Outcome::Unknown,
                Admission::Gap { expected } => Outcome::Gap { expected },
                Admission::Expired => Outcome::SessionExpired,
            }
        }
    };
    Verdict::Settled(settled)
}

/// The command behind a header, which has one byte at least. Only data has one.
#[inline]
fn behind(header: usize, command: &Command) -> Lent<'_> {
    static NOTHING: Bytes = Bytes::new();
    let lent = match command {
        Command::Data(data) => Lent::behind_header(header, data),
        _ => None,
    };
    lent.unwrap_or(Lent::from(&NOTHING))
}

impl MachineActor {
    /// Applies as much of these entries as can be. Run by run, in a loop and not one within the
    /// other: a log that is read back after many changes of leaders has very many of them.
    pub(super) fn apply(&mut self, mut due: Due, mut waiters: Waiters, ctx: &mut Context<Self>) {
        while let Some(stop) = self.trim(&mut due) {
            match self.engine {
                Engine::Inline(_) => {
                    let run = self.run_through(due.as_slice(), stop, &mut waiters);
                    self.finish(&run, ctx);
                    if due.as_slice().last().is_some_and(|batch| batch.last().index > self.applied.index) {
                        // A log that is read back must not keep the thread from the heartbeats.
                        return ctx.wait(yield_now().into_actor(self).map(move |(), actor, ctx| {
                            actor.apply(due, waiters, ctx);
                        }));
                    }
                }
                Engine::Hired(_) => {
                    let Some((plan, jobs)) = self.plan(due.as_slice(), stop) else { break };
                    let gauges = self.parts.gauges.clone();
                    match self.engine.run(jobs, |first, last| gauges.set_applying(Some((first, last)))) {
                        Soon::Now(Some(ran)) => self.complete(plan, ran, &mut waiters, ctx),
                        Soon::Now(None) => return self.fallen = true,
                        Soon::Later(ran) => {
                            return ctx.wait(ran.into_actor(self).map(move |ran, actor, ctx| match ran {
                                Some(ran) => {
                                    actor.complete(plan, ran, &mut waiters, ctx);
                                    // What had to wait for its turn: before anything that came later.
                                    actor.apply(due, waiters, ctx);
                                }
                                None => actor.fallen = true,
                            }));
                        }
                    }
                }
                Engine::Away => return self.fallen = true,
            }
        }
        // Nothing to do any more, yet, or ever: who waits is told when the entry comes.
        while waiters.take(self.applied.index).is_some() {}
        self.adopt(waiters.rest(), ctx);
    }

    /// Lets go of what is applied. `Some`, if what is left begins with the very next entry: before which one to stop.
    /// Behind a gap nothing is even judged: to admit a command is a promise to its session.
    fn trim(&mut self, due: &mut Due) -> Option<Index> {
        let next = self.applied.index.next();
        while due.as_slice().first().is_some_and(|batch| batch.last().index < next) {
            due.next();
        }
        let front = due.as_mut_slice().first_mut()?;
        let stop = self.poisoned.unwrap_or(Index(u64::MAX));
        if front.first() > next || next >= stop {
            return None;
        }
        if front.first() < next
            && let Some(rest) = front.within(next, front.last().index)
        {
            *front = rest;
        }
        Some(stop)
    }

    /// Judges, applies and answers entry by entry, so many as one message brings.
    fn run_through(&mut self, due: &[Batch], stop: Index, waiters: &mut Waiters) -> Run {
        let (mut run, next) = (Run::default(), self.applied.index.next());
        let MachineActor { engine, sessions, membership, answers, homes, orphans, parts, .. } = self;
        let Engine::Inline(machine) = engine else { return run };
        let is_awaited = !(waiters.is_empty() && orphans.is_empty());
        let stop = stop.min(next.plus(parts.identity.config.batch_entries_max as u64));
        for batch in due {
            for (at, command) in batch.entries().take_while(|(at, _)| at.index < stop) {
                let verdict = judge(sessions, membership, at, command);
                run.add(at, command);
                let told = match verdict {
                    Verdict::Settled(outcome) => Told::Settled(outcome),
                    // None is: each turn has ended before the next entry is judged.
                    Verdict::UnderWay => Told::Settled(Outcome::Unknown),
                    Verdict::Run(header, turn) => {
                        parts.gauges.set_applying(Some((at.index, at.index)));
                        let encode = |into: &mut Vec<u8>| machine.apply(at, behind(header, command), into);
                        if turn.is_none() && !is_awaited {
                            answers.forgo(encode);
                            continue;
                        }
                        let ran = answers.add(encode);
                        if let Some((.., turn)) = turn {
                            match &ran {
                                Ok(place) => turn.record_applied(answers.get(place)),
                                Err(_) => turn.record(StoredAnswer::Rejected),
                            }
                        }
                        if !is_awaited {
                            answers.clear();
                            continue;
                        }
                        ran.map_or(Told::Settled(Outcome::Rejected), Told::Applied)
                    }
                };
                let adopted = orphans.take(at);
                let port = waiters.take(at.index);
                homes.extend(adopted.map(|port| (port, told.clone())));
                homes.extend(port.map(|port| (port, told)));
            }
        }
        let mut sealed = answers.seal();
        for (port, told) in homes.drain(..) {
            port.answer(told.outcome(&mut sealed));
        }
        run
    }

    /// Says of each entry what it is. Stops after so many as one message brings, before an entry that has to be run on
    /// its own, and before a repeat of what is only about to be run.
    fn plan(&mut self, due: &[Batch], stop: Index) -> Option<(Plan, Vec<(Position, Bytes)>)> {
        let entries_max = self.parts.identity.config.batch_entries_max;
        let (mut plan, mut jobs) = (Plan::default(), Vec::<(Position, Bytes)>::new());
        for (at, command) in due.iter().flat_map(Batch::entries) {
            let alone = jobs.last().is_some_and(|(job, _)| job.index <= self.careful_upto);
            if at.index >= stop || alone || plan.steps.len() >= entries_max {
                break;
            }
            let step = match judge(&mut self.sessions, &mut self.membership, at, command) {
                Verdict::Settled(outcome) => Step::Settled(outcome),
                // Its answer will be known when these are complete.
                Verdict::UnderWay => break,
                Verdict::Run(header, turn) => {
                    jobs.push((at, behind(header, command).share()));
                    Step::Run(turn.map(|(session, sequence, turn)| {
                        turn.defer();
                        (session, sequence)
                    }))
                }
            };
            plan.steps.push((at.term, step));
            plan.run.add(at, command);
        }
        (!plan.steps.is_empty()).then_some((plan, jobs))
    }

    /// Remembers the answers, and tells those who wait for them.
    fn complete(&mut self, plan: Plan, ran: Vec<Ran>, waiters: &mut Waiters, ctx: &mut Context<Self>) {
        let first = self.applied.index.next();
        let mut ran = ran.into_iter();
        for (index, (term, step)) in (first.0..).map(Index).zip(plan.steps) {
            let (outcome, session) = match step {
                Step::Settled(outcome) => (outcome, None),
                Step::Run(session) => {
                    let outcome = ran.next().and_then(Result::ok).map_or(Outcome::Rejected, Outcome::Applied);
                    (outcome, session)
                }
            };
            if let Some((session, sequence)) = session {
                let stored = match &outcome {
                    Outcome::Applied(answer) => StoredAnswer::Applied(apart(answer)),
                    _ => StoredAnswer::Rejected,
                };
                self.sessions.record(session, sequence, stored);
            }
            let adopted = self.orphans.take(Position { term, index });
            for port in adopted.into_iter().chain(waiters.take(index)) {
                port.answer(outcome.clone());
            }
        }
        self.finish(&plan.run, ctx);
    }

    /// A run is applied, and everybody told who waited for one of its entries.
    fn finish(&mut self, run: &Run, ctx: &mut Context<Self>) {
        self.parts.gauges.set_applying(None);
        let (first, last) = (self.applied.index.next(), run.last.index);
        let began_a_term = run.last.term > self.applied.term;
        self.applied = run.last;
        if began_a_term {
            self.orphans.answer_lost(run.last.term);
        }
        self.entries_since += run.entries;
        self.bytes_since += run.weight;
        self.parts.gauges.set_applied(last);
        self.parts.witness.note(|| Event::Applied { first, last, why: Why::WasCommitted });
        self.after_apply(ctx);
    }
}
