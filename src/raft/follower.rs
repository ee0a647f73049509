//! Rules for followers (§5.2, §5.3): answer candidates and leaders; canvass when no leader is heard.

use super::{
    candidate::Candidate,
    event::{Event, RoleKind, Why},
    message::*,
    pre_candidate::PreCandidate,
    role::{AnyRole, Letters, Next, Nothing, Outbox, Receive, Role, Succession, Work},
    state::State,
    types::{Index, PeerId},
};

/// A peer that follows a leader, or waits for one.
#[derive(Debug)]
pub struct Follower {
    state: State,
    /// Who leads this term. Set at most once: a term has one leader (Election Safety, §5.2).
    leader: Option<PeerId>,
    /// When a leader was last heard, in [`State::now_ms`].
    heard_ms: Option<u64>,
    deadline_ms: u64,
}

impl Follower {
    /// Follows into a term whose leader is not known.
    pub fn new(mut state: State) -> Follower {
        let deadline_ms = state.election_deadline_ms();
        Follower { state, leader: None, heard_ms: None, deadline_ms }
    }

    /// The first role after a start or a crash. It counts as having just heard a leader: there may
    /// well be one, and its term is not known to be over. Only who votes alone waits for nobody.
    pub fn recovered(state: State) -> Follower {
        let now_ms = state.now_ms;
        let is_alone = state.membership().other_voters(state.id()).next().is_none();
        let follower = Follower::new(state);
        let deadline_ms = if is_alone { now_ms } else { follower.deadline_ms };
        Follower { heard_ms: Some(now_ms), deadline_ms, ..follower }
    }

    fn into_pre_candidate(self) -> AnyRole {
        AnyRole::PreCandidate(PreCandidate::new(self.state, Why::HeardNoLeader))
    }

    fn into_candidate(self) -> AnyRole {
        AnyRole::Candidate(Candidate::campaign(self.state, false, Why::HeardNoLeader))
    }

    fn into_transferee(self) -> AnyRole {
        AnyRole::Candidate(Candidate::campaign(self.state, true, Why::LeaderAsked))
    }

    fn restart_election_timeout(&mut self) {
        self.deadline_ms = self.state.election_deadline_ms();
    }

    /// A sign of life from the leader of our term. `false`: another leads it already.
    fn hear(&mut self, leader: PeerId) -> bool {
        if self.leader.is_some_and(|known| known != leader) || leader == self.state.id() {
            self.state.note_violation(leader, || "a second leader in one term".into(), Why::SecondLeader);
            return false;
        }
        if self.leader.is_none() {
            self.leader = Some(leader);
            self.state.note(|| Event::Following { leader, why: Why::LeaderOfTerm });
        }
        self.heard_ms = Some(self.state.now_ms);
        self.restart_election_timeout();
        true
    }

    /// AppendEntries, receiver, steps 2 to 5. A full disk takes no entries of clients, but those of the
    /// house: a leader's no-op still fits, so that also a cluster without any room can elect and settle.
    fn accept(&mut self, slice: &Slice) -> Result<Index, Refusal> {
        if !slice.batches.is_empty() && self.state.has_backlog() {
            return Err(Refusal::Backlog);
        }
        if self.state.is_disk_full() && slice.has_data() {
            return Err(Refusal::NoRoom);
        }
        match self.state.accept(slice.prev, &slice.batches) {
            Ok(Ok(())) => Ok(slice.end().index),
            Ok(Err(why)) => {
                let (by, end) = (self.leader.unwrap_or_default(), slice.end());
                self.state.note_violation(by, || format!("entries up to {end} against the commit"), why);
                Err(Refusal::Stale)
            }
            Err(conflict) => {
                let why = if conflict.term.is_some() { Why::Conflict } else { Why::Missing };
                self.state.note(|| Event::Refused { prev: conflict.prev, hint: conflict.first, why });
                Err(Refusal::Conflict(conflict))
            }
        }
    }

    /// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new
    /// entry)": never beyond what is known to match, whatever else our log holds.
    fn commit(&mut self, leader_commit: Index, matched: Index, letters: &mut Letters) {
        let known = if planted!(CommitBeyondMatch) { self.state.log().last().index } else { matched };
        let commit = leader_commit.min(known);
        if commit > self.state.commit() {
            let batches = self.state.commit_to(commit, Why::LeaderCommitted);
            letters.apply(batches, Vec::new());
        }
    }
}

impl Role for Follower {
    type Errand = Nothing;
    const KIND: RoleKind = RoleKind::Follower;

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn into_state(self) -> State {
        self.state
    }

    fn enter(&mut self, _: &mut Outbox<Nothing>) {}

    fn synced(&mut self, deaf_ms: u64, _: &mut Outbox<Nothing>) -> Option<Succession<Self>> {
        self.deadline_ms += deaf_ms;
        self.heard_ms = self.heard_ms.map(|heard_ms| heard_ms + deaf_ms);
        None
    }

    fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Whoever heard its leader within the shortest election timeout holds on to it.
    fn holds_on(&self) -> bool {
        let patience_ms = self.state.config().election_timeout_ms.start;
        self.heard_ms.is_some_and(|heard_ms| self.state.now_ms < heard_ms + patience_ms)
    }

    fn leader(&self) -> Option<PeerId> {
        self.leader
    }
}

impl Receive<Tick> for Follower {
    /// "If election timeout elapses without receiving AppendEntries from current leader or granting
    /// vote to candidate: convert to candidate" (§5.2), by way of a canvass (thesis §9.6).
    fn receive(&mut self, _: Tick, _: &mut Outbox<Nothing>) -> Next<Self, Tick> {
        if self.state.now_ms < self.deadline_ms {
            return Next::Stay;
        }
        if !self.state.may_campaign() {
            self.restart_election_timeout();
            return Next::Stay;
        }
        Next::Become(if self.state.config().pre_vote {
            Self::into_pre_candidate
        } else {
            Self::into_candidate
        })
    }
}

impl Receive<PreVote> for Follower {
    /// Would grant only if no leader was heard lately (thesis §9.6).
    fn receive(&mut self, rpc: PreVote, out: &mut Outbox<Nothing>) -> Next<Self, PreVote> {
        let answer = self.state.answer_canvass(&rpc, self.holds_on());
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<RequestVote> for Follower {
    /// Grants once a term, to a log at least as up-to-date as ours (§5.2, §5.4.1).
    fn receive(&mut self, rpc: RequestVote, out: &mut Outbox<Nothing>) -> Next<Self, RequestVote> {
        let answer = self.state.answer_candidate(&rpc, self.leader.is_some());
        if answer.granted {
            self.restart_election_timeout();
        }
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<AppendEntries> for Follower {
    /// AppendEntries, receiver (§5.3): accepts what follows our log, refuses the rest with a hint.
    fn receive(&mut self, rpc: AppendEntries, out: &mut Outbox<Nothing>) -> Next<Self, AppendEntries> {
        if !rpc.slice.is_well_formed(rpc.term) {
            let what = || format!("entries that do not follow one another: {}", rpc.slice);
            self.state.note_violation(rpc.leader, what, Why::Malformed);
            return Next::Stay;
        }
        if !self.hear(rpc.leader) {
            return Next::Stay;
        }
        let result = self.accept(&rpc.slice);
        if let Ok(matched) = result {
            self.commit(rpc.slice.commit, matched, &mut out.letters);
        }
        let answer = Appended {
            from: self.state.id(),
            term: self.state.term(),
            round: rpc.slice.round,
            result,
            healthy: self.state.is_healthy(),
        };
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<Installed> for Follower {
    /// InstallSnapshot, receiver, steps 5 to 8 (§7): the store holds it all, durable. An older one
    /// than our commit changes nothing.
    fn receive(&mut self, rpc: Installed, out: &mut Outbox<Nothing>) -> Next<Self, Installed> {
        let at = rpc.meta.at;
        if at.term > rpc.term {
            let what = || format!("a snapshot at {at} out of term {}", rpc.term);
            self.state.note_violation(rpc.leader, what, Why::Implausible);
            return Next::Stay;
        }
        if !self.hear(rpc.leader) {
            return Next::Stay;
        }
        if at.index > self.state.commit() {
            self.state.install(&rpc.meta);
            out.letters.machine.push(Work::Restore(rpc.meta));
        }
        let (from, term) = (self.state.id(), self.state.term());
        out.reply(rpc.reply, ChunkTaken { from, term, taken: Taken::Installed(at.index) });
        Next::Stay
    }
}

impl Receive<TimeoutNow> for Follower {
    /// Campaigns at once, without a canvass, if its own leader asks (thesis §3.10).
    fn receive(&mut self, rpc: TimeoutNow, _: &mut Outbox<Nothing>) -> Next<Self, TimeoutNow> {
        if self.leader != Some(rpc.leader) || !self.state.may_campaign() {
            return Next::Stay;
        }
        Next::Become(Self::into_transferee)
    }
}
