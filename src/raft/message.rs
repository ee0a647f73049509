//! The RPC boxes of the paper, as plain structs, and what is said inside one peer.
//!
//! Three kinds of mail. A *request* comes from another peer and carries a [`Reply`] port. An
//! *answer* goes to the very role that asked, and to no later one. The rest is said inside one
//! peer: by its clients ([`Propose`], [`ReadIndex`], [`Transfer`]), its timer ([`Tick`]), its
//! machine ([`CatchUp`], [`Snapshotted`], [`Health`]) and its leader's replicators ([`Matched`],
//! [`Refused`], [`Pull`], [`Receiving`]).

use std::{fmt, sync::Arc};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    membership::Membership,
    port::{Port, Reply},
    types::{Batch, Command, Index, PeerId, Position, Term},
};

/// RequestVote's dress rehearsal (thesis §9.6): "would you vote for me?" Changes nobody's term.
#[derive(Clone, Debug)]
pub struct PreVote {
    /// The term the canvasser would campaign in: its own plus one.
    pub term: Term,
    /// Who canvasses.
    pub candidate: PeerId,
    /// The end of its log.
    pub last: Position,
    /// Where the answer goes.
    pub reply: Reply<PreVoted>,
}

/// The answer to a [`PreVote`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreVoted {
    /// Who answers.
    pub from: PeerId,
    /// If granted the term that was asked about; if denied the answering peer's own term.
    pub term: Term,
    /// Whether it would vote.
    pub granted: bool,
}

/// RequestVote (Figure 2).
#[derive(Clone, Debug)]
pub struct RequestVote {
    /// The candidate's term.
    pub term: Term,
    /// Who asks for the vote.
    pub candidate: PeerId,
    /// `lastLogTerm` and `lastLogIndex`.
    pub last: Position,
    /// Whether the leader itself asked for this campaign (thesis §4.2.3): then voters do not hold
    /// on to that leader.
    pub transfer: bool,
    /// Where the answer goes.
    pub reply: Reply<Voted>,
}

/// The answer to a [`RequestVote`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Voted {
    /// Who answers.
    pub from: PeerId,
    /// Its term.
    pub term: Term,
    /// `voteGranted`.
    pub granted: bool,
}

/// What one AppendEntries says to any follower: the same value for all that keep up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// `prevLogTerm` and `prevLogIndex`: the entry right before these.
    pub prev: Position,
    /// The entries, in runs of one term. None: a heartbeat.
    pub batches: SmallVec<[Batch; 2]>,
    /// `leaderCommit`.
    pub commit: Index,
    /// The read round (§8, thesis §6.4), echoed by the answer.
    pub round: u64,
}

impl Slice {
    /// The position of its last entry, or of the one before it if it has none.
    pub fn end(&self) -> Position {
        self.batches.last().map_or(self.prev, Batch::last)
    }

    /// What its entries count for in limits, in bytes.
    pub fn weight(&self) -> usize {
        self.batches.iter().map(Batch::weight).sum()
    }

    /// Whether a client's command is among its entries.
    pub fn has_data(&self) -> bool {
        let commands = self.batches.iter().flat_map(Batch::entries);
        commands.into_iter().any(|(_, command)| matches!(command, Command::Data(_)))
    }

    /// Whether each entry follows the one before it, in index and in term, and none is of a later
    /// term than the leader's.
    pub fn is_well_formed(&self, leader_term: Term) -> bool {
        let mut end = self.prev;
        self.batches.iter().all(|batch| {
            let follows = batch.first() == end.index.next() && batch.term() >= end.term;
            end = batch.last();
            follows
        }) && end.term <= leader_term
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prev={}", self.prev)?;
        for batch in &self.batches {
            write!(f, " {batch}")?;
        }
        write!(f, " commit={}", self.commit)?;
        if self.round > 0 {
            write!(f, " round={}", self.round)?;
        }
        Ok(())
    }
}

/// AppendEntries (Figure 2).
#[derive(Clone, Debug)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: Term,
    /// Who leads.
    pub leader: PeerId,
    /// The entries and what surrounds them; shared by all followers that keep up.
    pub slice: Arc<Slice>,
    /// Where the answer goes.
    pub reply: Reply<Appended>,
}

/// The answer to [`AppendEntries`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Who answers.
    pub from: PeerId,
    /// Its term.
    pub term: Term,
    /// The read round of the request.
    pub round: u64,
    /// Up to which index the logs are now known to be the same and durable; or why not.
    pub result: Result<Index, Refusal>,
    /// Whether its machine applies what is committed and its disk has room: a leader hands over to
    /// healthy peers only.
    pub healthy: bool,
}

/// Why entries were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Our log does not hold the entry before them.
    Conflict(Conflict),
    /// The sender's term is over; the answer's term is the newer one.
    Stale,
    /// The machine is too far behind; heartbeats are welcome.
    Backlog,
    /// The disk is full; heartbeats are welcome, and entries that clients have no part in.
    NoRoom,
}

/// Where two logs part (§5.3): with the term of the conflicting entry the leader skips a whole term
/// at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The entry that was asked about.
    pub prev: Position,
    /// The term that the follower has there, if it has any.
    pub term: Option<Term>,
    /// The follower's first entry of that term, or the end of its log plus one.
    pub first: Index,
}

/// What a snapshot covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotMeta {
    /// The last entry in it.
    pub at: Position,
    /// The membership at that entry.
    pub membership: Arc<Membership>,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The CRC-32C of its bytes. Tells two peers' snapshots of one position apart, so that a transfer
    /// that a new leader resumes never mixes them, and a damaged one is never installed.
    pub checksum: u32,
}

/// InstallSnapshot (Figure 13): one piece. Pieces go to the snapshot store and not through the role.
#[derive(Clone, Debug)]
pub struct InstallSnapshot {
    /// The leader's term.
    pub term: Term,
    /// Who leads.
    pub leader: PeerId,
    /// What the whole snapshot covers.
    pub meta: Arc<SnapshotMeta>,
    /// Where this piece begins, in bytes.
    pub offset: u64,
    /// The piece; it is the last if it ends at `meta.bytes`.
    pub data: Bytes,
    /// Where the answer goes.
    pub reply: Reply<ChunkTaken>,
}

/// The answer to [`InstallSnapshot`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkTaken {
    /// Who answers.
    pub from: PeerId,
    /// Its term.
    pub term: Term,
    /// How far it is.
    pub taken: Taken,
}

/// How far a follower is with a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It holds this many bytes of it, from the start: send on from there.
    Upto(u64),
    /// It holds all of it, durable and in force; its log is known to match up to here.
    Installed(Index),
    /// It can't take it now.
    Failed,
}

/// A leader's snapshot is complete and durable in our store: the end of InstallSnapshot.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The leader's term.
    pub term: Term,
    /// Who leads.
    pub leader: PeerId,
    /// What it covers.
    pub meta: Arc<SnapshotMeta>,
    /// Where the answer goes.
    pub reply: Reply<ChunkTaken>,
}

/// "Campaign at once" (thesis §3.10).
#[derive(Clone, Copy, Debug)]
pub struct TimeoutNow {
    /// The leader's term.
    pub term: Term,
    /// Who leads.
    pub leader: PeerId,
}

/// A deadline may have passed: compare with [`State::now_ms`](super::State::now_ms).
#[derive(Clone, Copy, Debug)]
pub struct Tick;

/// Commands of clients, each with the port of its outcome.
#[derive(Debug)]
pub struct Propose {
    /// What is proposed, in order. As many as `ports`.
    pub commands: Vec<Command>,
    /// Where the outcomes go.
    pub ports: Vec<Port>,
}

/// A question to the state machine.
#[derive(Debug)]
pub struct Query {
    /// The question.
    pub question: Bytes,
    /// Where the answer goes.
    pub port: Port,
}

/// Linearizable queries (§8, thesis §6.4).
#[derive(Debug)]
pub struct ReadIndex {
    /// The queries.
    pub queries: Vec<Query>,
}

/// The order to hand leadership over (thesis §3.10).
#[derive(Debug)]
pub struct Transfer {
    /// To whom; `None`: the healthy voter that is furthest.
    pub target: Option<PeerId>,
    /// `Applied` when leadership has left, `Busy` when a transfer is under way already, `Lost` when
    /// it did not succeed in time and the leader goes on.
    pub port: Port,
}

/// A replicator's follower holds the log up to here.
#[derive(Clone, Copy, Debug)]
pub struct Matched {
    /// The follower.
    pub from: PeerId,
    /// Its match index.
    pub index: Index,
    /// The round it echoed.
    pub round: u64,
    /// Whether its machine applies, and its disk has room.
    pub healthy: bool,
}

/// A replicator's follower refused entries.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// The follower.
    pub from: PeerId,
    /// Where its log parts from ours; `None` when it only can't take entries now.
    pub conflict: Option<Conflict>,
    /// The round it echoed.
    pub round: u64,
    /// Whether its machine applies, and its disk has room.
    pub healthy: bool,
}

/// A replicator has room for entries from here on.
#[derive(Clone, Copy, Debug)]
pub struct Pull {
    /// Its follower.
    pub from: PeerId,
    /// The first entry it lacks; `None`: it does not know.
    pub next: Option<Index>,
}

/// A replicator's follower takes in a snapshot, and has got on with it since this was last said.
#[derive(Clone, Copy, Debug)]
pub struct Receiving {
    /// The follower.
    pub from: PeerId,
    /// The last entry that the snapshot covers.
    pub at: Index,
}

/// A follower answered out of a newer term.
#[derive(Clone, Copy, Debug)]
pub struct Outran {
    /// That term.
    pub term: Term,
}

/// The machine was rebuilt and lacks everything from here on.
#[derive(Clone, Copy, Debug)]
pub struct CatchUp {
    /// The first entry it lacks.
    pub from: Index,
}

/// A snapshot of our own machine is durable: the log may lose its front.
#[derive(Clone, Debug)]
pub struct Snapshotted {
    /// What it covers.
    pub at: Position,
}

/// Whether our machine applies, or at which entry it stands still.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// The entry that can't be applied; `None`: all is well.
    pub poisoned: Option<Index>,
}
