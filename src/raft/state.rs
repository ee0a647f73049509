//! The State box of Figure 2, and what a peer needs to keep it: its clock, its chance, its limits.
//!
//! A [`State`] belongs to exactly one role, and is moved to the next. It is never shared, locked or
//! cloned.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smallvec::SmallVec;

use super::{
    event::{Event, Why},
    log::{Log, Record, Unfit},
    membership::{History, Membership},
    message::{Conflict, PreVote, PreVoted, RequestVote, SnapshotMeta, Voted},
    types::{Batch, Command, Index, PeerId, Position, Term},
};
use crate::config::Config;

/// What a peer knows of its cluster before it hears of it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who it is.
    pub id: PeerId,
    /// The first membership of the cluster: entry 1 of its log.
    pub first_membership: Arc<Membership>,
    /// How it behaves.
    pub config: Arc<Config>,
}

/// `currentTerm`, `votedFor`, `log[]`, `commitIndex`, and the membership that the log implies.
#[derive(Debug)]
pub struct State {
    id: PeerId,
    config: Arc<Config>,
    /// The time, in milliseconds since an arbitrary start. Written by the shell at the start of
    /// each turn: rules have no clock.
    pub now_ms: u64,
    /// The last entry the machine has applied, as the shell knows it at the start of the turn.
    pub applied: Index,
    /// Chance: one stream for each incarnation of the role.
    rng: ChaCha8Rng,

    /// Only ever rises.
    term: Term,
    /// Set at most once in a term.
    vote: Option<PeerId>,
    log: Log,
    /// Only ever rises, and never beyond the end of the log.
    commit: Index,
    /// What the log says of the membership.
    memberships: History,
    /// The entry at which our machine stands still.
    poisoned: Option<Index>,
    /// Whether our disk has room for small things only.
    disk_full: bool,

    /// How often another peer broke the protocol.
    violations: u64,
    listening: bool,
    events: Vec<Event>,
}

impl State {
    /// `Restart` of the specification: what storage gave back, and nothing else. The commit index
    /// begins at the snapshot; see [`State::resume_from`].
    ///
    /// # Errors
    /// What storage gave back is damaged.
    pub fn recover(
        identity: &Identity,
        records: Vec<Record>,
        snapshot: Option<&SnapshotMeta>,
        seed: [u8; 32],
    ) -> Result<State, Unfit> {
        let mut state = State {
            id: identity.id,
            config: identity.config.clone(),
            now_ms: 0,
            applied: Index(0),
            rng: ChaCha8Rng::from_seed(seed),
            term: Term(0),
            vote: None,
            log: Log::default(),
            commit: Index(0),
            memberships: History::default(),
            poisoned: None,
            disk_full: false,
            violations: 0,
            listening: false,
            events: Vec::new(),
        };
        for record in records {
            if let Record::Ballot { term, vote } = record {
                (state.term, state.vote) = (term, vote);
            }
            state.log.replay(record)?;
        }
        if let Some(snapshot) = snapshot {
            state.memberships = History::new(snapshot.membership.clone());
            state.commit = snapshot.at.index;
            // A crash between the snapshot and its marker in the log: finish the installation.
            if !state.log.has(snapshot.at) {
                state.log.compact(snapshot.at);
            }
        }
        if state.log.last() == Position::ZERO && !identity.first_membership.members().is_empty() {
            let first = Command::Membership(identity.first_membership.clone());
            state.log.append(Term(0), vec![first]);
        }
        let ahead = state.log.all(state.commit.next(), state.log.last().index);
        state.note_memberships(&ahead);
        // A snapshot can be durable before the term of the leader that sent it. That term was
        // reached, and no vote was cast in it: a vote is durable before it counts.
        let newest = state.log.last().term;
        if newest > state.term {
            state.enter_term(newest, Why::Recovery);
        }
        Ok(state)
    }

    /// Takes over the commit index of what the machine has applied already: all of it was
    /// committed.
    pub fn resume_from(&mut self, applied: Index) {
        self.applied = applied;
        self.commit = self.commit.max(applied).min(self.log.last().index);
    }

    /// Who we are.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// How we behave.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// `currentTerm`.
    pub fn term(&self) -> Term {
        self.term
    }

    /// `votedFor`.
    pub fn vote(&self) -> Option<PeerId> {
        self.vote
    }

    /// `log[]`.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// `commitIndex`.
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// The membership in force.
    pub fn membership(&self) -> &Arc<Membership> {
        self.memberships.present()
    }

    /// The entry at which our machine stands still, if it does.
    pub fn poisoned(&self) -> Option<Index> {
        self.poisoned
    }

    /// Whether our disk has room for terms, votes and a new leader's no-op, and for nothing more.
    pub fn is_disk_full(&self) -> bool {
        self.disk_full
    }

    /// Whether we could lead as it should be: our machine applies, and our disk has room.
    pub fn is_healthy(&self) -> bool {
        self.poisoned.is_none() && !self.disk_full
    }

    /// Whether we may campaign: a voter whose machine can apply. A full disk is no hindrance: if all
    /// are full somebody must lead, or nobody would go on when there is room again; and a term, a vote
    /// and a no-op still fit. A leader whose disk is full hands over to one that has room, if there is
    /// any. A term at the end of the range has no next one.
    pub fn may_campaign(&self) -> bool {
        self.membership().is_voter(self.id) && self.poisoned.is_none() && self.term.next() > self.term
    }

    /// Follows into a newer term, in which we have not voted.
    pub fn enter_term(&mut self, term: Term, why: Why) {
        assert!(term > self.term, "a term only ever rises");
        let from = self.term;
        self.term = term;
        self.vote = None;
        if !planted!(ForgottenTerm) {
            self.log.record_ballot(term, None);
        }
        self.note(|| Event::TermChanged { from, why });
    }

    /// Votes in the present term.
    pub fn vote_for(&mut self, peer: PeerId) {
        if self.vote != Some(peer) {
            assert!(self.vote.is_none(), "one vote a term");
            self.vote = Some(peer);
            if !planted!(ForgottenVote) {
                self.log.record_ballot(self.term, self.vote);
            }
        }
    }

    /// A new election deadline: random, so that splits end by themselves (§5.2).
    pub fn election_deadline_ms(&mut self) -> u64 {
        self.now_ms + self.rng.random_range(self.config.election_timeout_ms.clone())
    }

    /// The Leader appends commands of its own term.
    pub fn append(&mut self, commands: Vec<Command>, why: Why) -> Option<Batch> {
        let batch = self.log.append(self.term, commands)?;
        self.note_appended(std::slice::from_ref(&batch), why);
        Some(batch)
    }

    /// AppendEntries, receiver, steps 2 to 4. Afterwards the log is the leader's up to the end of
    /// `batches`. What contradicts a committed entry changes nothing: the `Err` of the inner result.
    pub fn accept(&mut self, prev: Position, batches: &[Batch]) -> Result<Result<(), Why>, Conflict> {
        self.log.check(prev)?;
        if let Some(from) = self.log.conflict(batches) {
            if from <= self.commit {
                return Ok(Err(Why::BelowCommit));
            }
            self.memberships.truncate(from);
            self.note(|| Event::Truncated { from, why: Why::Conflict });
        }
        let new = self.log.splice(batches);
        self.note_appended(&new, Why::LeaderSent);
        Ok(Ok(()))
    }

    fn note_appended(&mut self, batches: &[Batch], why: Why) {
        for batch in batches {
            self.note(|| Event::Appended {
                first: batch.first(),
                last: batch.last(),
                bytes: batch.weight(),
                why,
            });
        }
        self.note_memberships(batches);
    }

    /// A membership is in force from the moment it is appended (thesis §4.1).
    fn note_memberships(&mut self, batches: &[Batch]) {
        for (position, membership) in batches.iter().flat_map(Batch::memberships) {
            self.memberships.append(position.index, membership.clone());
            let why = if position.term == Term(0) { Why::FirstMembership } else { Why::LeaderSent };
            let (index, members) = (position.index, membership);
            self.note(|| Event::MembershipChanged { index, members: members.to_string(), why });
        }
    }

    /// Moves the commit index up to `index`, and returns what is newly committed.
    pub fn commit_to(&mut self, index: Index, why: Why) -> SmallVec<[Batch; 2]> {
        assert!(index > self.commit && index <= self.log.last().index, "commit rises, within the log");
        let batches = self.log.all(self.commit.next(), index);
        self.commit = index;
        self.note(|| Event::Committed { index, why });
        batches
    }

    /// A snapshot of our own machine is durable: drops the log in front of it but for the
    /// configured trail, and never what is `pinned` because a follower needs it next.
    pub fn compact(&mut self, snapshot: Position, pinned: Option<Index>) {
        let trail = self.trail_behind(snapshot.index);
        let upto = pinned.map_or(trail, |pinned| trail.min(pinned)).min(self.commit);
        let Some(term) = self.log.term_at(upto) else { return };
        let upto = Position { term, index: upto };
        if self.log.compact(upto) {
            self.memberships.compact(upto.index);
            self.note(|| Event::Compacted { upto, why: Why::SnapshotCovers });
        }
    }

    /// Where the log is to begin: as many entries, and as many bytes, before a snapshot as are configured.
    fn trail_behind(&self, snapshot: Index) -> Index {
        let behind = self.log.weight_after(snapshot);
        let (mut low, mut high) = (snapshot.0.saturating_sub(self.config.trail_entries), snapshot.0);
        // The further on it begins, the less of it there is.
        while low < high {
            let middle = low + (high - low) / 2;
            let weight = self.log.weight_after(Index(middle)).saturating_sub(behind);
            if weight <= self.config.trail_bytes as u64 { high = middle } else { low = middle + 1 }
        }
        Index(low)
    }

    /// Puts a leader's snapshot in place of the log up to it. Returns whether entries behind it
    /// stayed (Figure 13, steps 6 and 7).
    pub fn install(&mut self, meta: &SnapshotMeta) -> bool {
        assert!(meta.at.index > self.commit, "an older snapshot installs nothing");
        let kept = self.log.has(meta.at);
        self.log.compact(meta.at);
        self.commit = meta.at.index;
        self.memberships.install(meta.at.index, meta.membership.clone(), kept);
        self.note(|| Event::SnapshotInstalled { at: meta.at, kept, why: Why::LeaderSent });
        kept
    }

    /// Whether the machine is so far behind what is committed that no more entries should come in.
    /// What is not committed does not count: the machine can't apply it, and only more entries can
    /// commit it (§5.4.2).
    pub fn has_backlog(&self) -> bool {
        let unapplied = self.log.weight_after(self.applied);
        let uncommitted = self.log.weight_after(self.commit);
        unapplied.saturating_sub(uncommitted) > self.config.unapplied_bytes_max as u64
    }

    /// Whether a leader holds as much as it may, committed or not, that its machine has not applied.
    pub fn is_full(&self) -> bool {
        self.log.weight_after(self.applied) > self.config.unapplied_bytes_max as u64
    }

    /// Our machine stands still at an entry, or applies again.
    pub fn set_poisoned(&mut self, poisoned: Option<Index>) {
        self.poisoned = poisoned;
    }

    /// Our disk is full, or has room again, as the shell sees it at the start of a turn.
    pub fn set_disk_full(&mut self, full: bool) {
        if self.disk_full != full {
            self.disk_full = full;
            let last = self.log.last();
            self.note(|| match full {
                true => Event::DiskFull { last, why: Why::NoRoom },
                false => Event::RoomAgain { last, why: Why::RoomMade },
            });
        }
    }

    /// A canvass (thesis §9.6): would we vote for this peer in that term? No vote is cast, no term
    /// changes, and nothing needs to be durable.
    pub fn answer_canvass(&mut self, rpc: &PreVote, leader_alive: bool) -> PreVoted {
        let why = if rpc.term <= self.term {
            Why::StaleTerm
        } else if leader_alive {
            Why::LeaderAlive
        } else if rpc.last < self.log.last() {
            Why::LogBehind
        } else {
            Why::LogUpToDate
        };
        let (candidate, granted) = (rpc.candidate, why == Why::LogUpToDate);
        self.note(|| Event::PreVoted { candidate, granted, why });
        PreVoted { from: self.id, term: if granted { rpc.term } else { self.term }, granted }
    }

    /// RequestVote, receiver (Figure 2): grants once a term (§5.2), to a log at least as up-to-date
    /// as ours (§5.4.1), and not in a term that has its leader.
    pub fn answer_candidate(&mut self, rpc: &RequestVote, leader_known: bool) -> Voted {
        let why = if self.vote.is_some_and(|vote| vote != rpc.candidate) {
            Why::VotedForAnother
        } else if leader_known {
            Why::LeaderOfTerm
        } else if rpc.last < self.log.last() {
            Why::LogBehind
        } else {
            Why::LogUpToDate
        };
        let (candidate, granted) = (rpc.candidate, why == Why::LogUpToDate);
        if granted {
            self.vote_for(candidate);
        }
        self.note(|| Event::Voted { candidate, granted, why });
        Voted { from: self.id, term: self.term, granted }
    }

    /// The records of all changes since the last call, for storage.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.log.take_records()
    }

    /// Starts or stops to keep events for [`State::take_events`].
    pub fn listen(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Something happened. Costs one branch if nobody listens.
    pub fn note(&mut self, event: impl FnOnce() -> Event) {
        if self.listening {
            self.events.push(event());
        }
    }

    /// A peer broke the protocol. What it sent is refused and nothing is changed.
    pub fn note_violation(&mut self, by: PeerId, what: impl FnOnce() -> String, why: Why) {
        self.violations += 1;
        self.note(|| Event::Violation { by, what: what(), why });
    }

    /// How often another peer broke the protocol.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether anything happened since the last call of [`State::take_events`].
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }
}
