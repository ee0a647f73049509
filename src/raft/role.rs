//! What a role is, what it may do with a message, and what it wants to say.
//!
//! A role's `impl Receive<M>` list is its column of the grid in [`raft`](super): a message that a
//! role does not receive does not compile.

use std::{convert::Infallible, sync::Arc};

use smallvec::SmallVec;

use super::{
    candidate::Candidate,
    event::{RoleKind, Why},
    follower::Follower,
    leader::Leader,
    message::{Appended, ChunkTaken, PreVoted, Query, SnapshotMeta, Voted},
    port::{Outcome, Port, Reply},
    pre_candidate::PreCandidate,
    state::State,
    types::{Batch, Index, PeerId, Term},
};

/// One role, in one term. It owns the [`State`] and hands it to its successor.
pub trait Role: Sized + Send + 'static {
    /// What this role asks of others, and nobody else can.
    type Errand: Send + 'static;

    /// Which role it is.
    const KIND: RoleKind;

    /// The state it owns.
    fn state(&self) -> &State;

    /// The state it owns.
    fn state_mut(&mut self) -> &mut State;

    /// Lays the role down and passes the state on.
    fn into_state(self) -> State;

    /// Its first act.
    fn enter(&mut self, out: &mut Outbox<Self::Errand>);

    /// The end of a turn, before anything is written: what is said once for all messages of it.
    fn close(&mut self, _out: &mut Outbox<Self::Errand>) {}

    /// The end of a turn: everything it wrote is durable. The role heard nothing for `deaf_ms`:
    /// time deaf is not time waited.
    fn synced(&mut self, deaf_ms: u64, out: &mut Outbox<Self::Errand>) -> Option<Succession<Self>>;

    /// Its last act: what it still owes to others.
    fn leave(&mut self, _letters: &mut Letters) {}

    /// When it wants the next [`Tick`](super::Tick), in [`State::now_ms`].
    fn deadline_ms(&self) -> u64;

    /// Whether it holds on to a living leader against candidates (thesis §4.2.3).
    fn holds_on(&self) -> bool {
        false
    }

    /// The last entry that may leave the front of the log, if a follower still needs what is
    /// behind it.
    fn pinned(&self) -> Option<Index> {
        None
    }

    /// Who leads this term, as far as it knows.
    fn leader(&self) -> Option<PeerId> {
        None
    }
}

/// How a role turns into its successor.
pub type Succession<R> = fn(R) -> AnyRole;

/// A rule: what a role does with a message.
pub trait Receive<M>: Role {
    /// Receives it. Total and dry: no clock, disk, socket, error or await.
    fn receive(&mut self, message: M, out: &mut Outbox<Self::Errand>) -> Next<Self, M>;
}

/// What becomes of a role after a message.
pub enum Next<R, M> {
    /// It goes on.
    Stay,
    /// It gives way.
    Become(Succession<R>),
    /// It gives way, and its successor has the message.
    Defer(Succession<R>, M),
}

/// Any of the four. A role is moved into it and out again once in its life, so that its size does not
/// matter.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum AnyRole {
    /// A follower.
    Follower(Follower),
    /// A peer that canvasses.
    PreCandidate(PreCandidate),
    /// A candidate.
    Candidate(Candidate),
    /// A leader.
    Leader(Leader),
}

/// What a role without errands asks of others.
pub type Nothing = Infallible;

/// What a turn wants to say. Nothing that promises durability leaves before the sync.
#[derive(Debug)]
pub struct Outbox<E> {
    /// May leave before our own disk has synced (thesis §10.2.1).
    pub early: Vec<E>,
    /// Leaves after the sync.
    pub late: Vec<E>,
    /// Leaves after the sync, whoever holds the role by then.
    pub letters: Letters,
}

impl<E> Outbox<E> {
    /// An outbox with what a predecessor has not sent yet.
    pub fn new(letters: Letters) -> Outbox<E> {
        Outbox { early: Vec::new(), late: Vec::new(), letters }
    }

    /// Answers another peer, after the sync.
    pub fn reply<T>(&mut self, reply: Reply<T>, answer: T)
    where
        Letter: From<(Reply<T>, T)>,
    {
        self.letters.replies.push(Letter::from((reply, answer)));
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.early.is_empty() && self.late.is_empty() && self.letters.is_empty()
    }
}

/// The part of an outbox that does not depend on the role: it survives a hand-over.
#[derive(Debug, Default)]
pub struct Letters {
    /// Answers to other peers.
    pub replies: Vec<Letter>,
    /// Outcomes for clients that promise nothing durable.
    pub outcomes: Vec<(Port, Outcome)>,
    /// What the machine has to do, in order.
    pub machine: Vec<Work>,
}

impl Letters {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.outcomes.is_empty() && self.machine.is_empty()
    }

    /// Tells each of these clients the same.
    pub fn answer_all(&mut self, ports: impl IntoIterator<Item = Port>, outcome: &Outcome) {
        self.outcomes.extend(ports.into_iter().map(|port| (port, outcome.clone())));
    }

    /// Hands committed entries to the machine, with the clients that wait for them. What follows the
    /// entries before it joins them; what a rebuilt machine asked for begins anew.
    pub fn apply(&mut self, batches: SmallVec<[Batch; 2]>, mut waiting: Vec<Waiting>) {
        let next = batches.first().map(Batch::first);
        if let Some(Work::Apply { batches: before, waiting: waiting_before }) = self.machine.last_mut()
            && before.last().map(|batch| batch.last().index.next()) == next
        {
            before.extend(batches);
            waiting_before.append(&mut waiting);
        } else {
            self.machine.push(Work::Apply { batches, waiting });
        }
    }
}

/// An answer to another peer and its way back.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Letter {
    PreVoted(Reply<PreVoted>, PreVoted),
    Voted(Reply<Voted>, Voted),
    Appended(Reply<Appended>, Appended),
    ChunkTaken(Reply<ChunkTaken>, ChunkTaken),
}

impl Letter {
    /// Sends it.
    pub fn send(self) {
        match self {
            Letter::PreVoted(reply, answer) => reply.send(answer),
            Letter::Voted(reply, answer) => reply.send(answer),
            Letter::Appended(reply, answer) => reply.send(answer),
            Letter::ChunkTaken(reply, answer) => reply.send(answer),
        }
    }
}

macro_rules! letters {
    ($($answer:ident),*) => {
        $(impl From<(Reply<$answer>, $answer)> for Letter {
            fn from((reply, answer): (Reply<$answer>, $answer)) -> Letter {
                Letter::$answer(reply, answer)
            }
        })*
    };
}

letters!(PreVoted, Voted, Appended, ChunkTaken);

/// The clients that wait for a run of entries, in order.
#[derive(Debug)]
pub struct Waiting {
    /// The term in which the entries were appended: only they are what was proposed.
    pub term: Term,
    /// The index of the first port's entry.
    pub first: Index,
    /// One for each entry.
    pub ports: Vec<Port>,
}

/// What the machine has to do.
#[derive(Debug)]
pub enum Work {
    /// Apply what is committed, and answer those who wait for it.
    Apply {
        /// Contiguous entries.
        batches: SmallVec<[Batch; 2]>,
        /// Who waits for some of them, in order.
        waiting: Vec<Waiting>,
    },
    /// Keep these clients: their leader stepped down, and what becomes of their entries will be
    /// seen when their indexes are applied.
    Orphans(Vec<Waiting>),
    /// Begin anew from a snapshot.
    Restore(Arc<SnapshotMeta>),
    /// Answer these queries once `index` is applied.
    Read {
        /// What has to be applied first.
        index: Index,
        /// The queries.
        queries: Vec<Query>,
    },
}

/// Follows into a newer term: what every role does when it sees one (§5.1).
pub fn depose<R: Role>(role: R, term: Term) -> AnyRole {
    let mut state = role.into_state();
    state.enter_term(term, Why::NewerTerm);
    AnyRole::Follower(Follower::new(state))
}
