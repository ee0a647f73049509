//! Rules for candidates (§5.2): raise the term, vote for yourself, ask everybody; lead with a
//! majority, yield to a leader, try again when the votes were split.

use std::collections::BTreeSet;

use super::{
    event::{Event, RoleKind, Why},
    follower::Follower,
    leader::Leader,
    message::*,
    pre_candidate::{Canvass, PreCandidate},
    quorum,
    role::{AnyRole, Next, Outbox, Receive, Role, Succession},
    state::State,
    types::PeerId,
};

/// A peer that asks for votes in its term.
#[derive(Debug)]
pub struct Candidate {
    state: State,
    /// Who voted for us. A set: a vote that arrives twice counts once. Our own vote is in it only
    /// once it is durable, so that nobody leads in a term that is not on its disk.
    votes: BTreeSet<PeerId>,
    transfer: bool,
    deadline_ms: u64,
}

impl Candidate {
    /// "On conversion to candidate, start election: increment currentTerm, vote for self, reset
    /// election timer, send RequestVote RPCs to all other servers" (§5.2).
    pub fn campaign(mut state: State, transfer: bool, why: Why) -> Candidate {
        state.enter_term(state.term().next(), why);
        state.vote_for(state.id());
        let (last, deadline_ms) = (state.log().last(), state.election_deadline_ms());
        state.note(|| Event::Campaigned { last, why });
        let votes = BTreeSet::new();
        #[cfg(raft_actors_planted)]
        let votes = crate::planted::late_votes(state.id()).unwrap_or(votes);
        Candidate { state, votes, transfer, deadline_ms }
    }

    fn into_follower(self) -> AnyRole {
        AnyRole::Follower(Follower::new(self.state))
    }

    fn into_leader(self) -> AnyRole {
        AnyRole::Leader(Leader::elected(self.state))
    }

    fn anew(self) -> AnyRole {
        AnyRole::Candidate(Candidate::campaign(self.state, false, Why::NoMajorityInTime))
    }

    fn into_pre_candidate(self) -> AnyRole {
        AnyRole::PreCandidate(PreCandidate::new(self.state, Why::NoMajorityInTime))
    }

    /// Our own vote is durable, and a majority is for us.
    fn is_elected(&self) -> bool {
        self.votes.contains(&self.state.id())
            && quorum::agrees(self.state.membership(), |peer| self.votes.contains(&peer))
    }
}

impl Role for Candidate {
    type Errand = Canvass;
    const KIND: RoleKind = RoleKind::Candidate;

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn into_state(self) -> State {
        self.state
    }

    /// The requests leave after the sync, like all that rests on our vote.
    fn enter(&mut self, out: &mut Outbox<Canvass>) {
        let (term, last) = (self.state.term(), self.state.log().last());
        out.late.push(Canvass { term, last, transfer: self.transfer });
    }

    /// Our own vote counts now that it is durable, and patience begins only here. Whoever votes for us has to sync first,
    /// too: we wait longer by as long as that took us, or on slow disks the next term began before the votes were here.
    fn synced(&mut self, deaf_ms: u64, _: &mut Outbox<Canvass>) -> Option<Succession<Self>> {
        self.deadline_ms += deaf_ms;
        if self.votes.insert(self.state.id()) {
            self.deadline_ms += deaf_ms;
        }
        self.is_elected().then_some(Self::into_leader)
    }

    fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }
}

impl Receive<Tick> for Candidate {
    /// "If election timeout elapses: start new election" (§5.2). With PreVote it canvasses first: a
    /// candidate that was cut off in mid-campaign must not raise its term for ever either.
    fn receive(&mut self, _: Tick, _: &mut Outbox<Canvass>) -> Next<Self, Tick> {
        if self.state.now_ms < self.deadline_ms {
            return Next::Stay;
        }
        if !self.state.may_campaign() {
            return Next::Become(Self::into_follower);
        }
        Next::Become(if self.state.config().pre_vote { Self::into_pre_candidate } else { Self::anew })
    }
}

impl Receive<PreVote> for Candidate {
    /// Nobody leads, as far as we know: the logs decide (thesis §9.6, §5.4.1).
    fn receive(&mut self, rpc: PreVote, out: &mut Outbox<Canvass>) -> Next<Self, PreVote> {
        let answer = self.state.answer_canvass(&rpc, false);
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<RequestVote> for Candidate {
    /// We voted for ourselves in this term (§5.2).
    fn receive(&mut self, rpc: RequestVote, out: &mut Outbox<Canvass>) -> Next<Self, RequestVote> {
        let answer = self.state.answer_candidate(&rpc, false);
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<Voted> for Candidate {
    /// "If votes received from majority of servers: become leader" (§5.2).
    fn receive(&mut self, answer: Voted, _: &mut Outbox<Canvass>) -> Next<Self, Voted> {
        if answer.granted {
            #[cfg(raft_actors_planted)]
            self.votes.extend(crate::planted::more_votes(&self.state, &self.votes, answer.from));
            self.votes.insert(answer.from);
        }
        if self.is_elected() { Next::Become(Self::into_leader) } else { Next::Stay }
    }
}

impl Receive<AppendEntries> for Candidate {
    /// "If AppendEntries RPC received from new leader: convert to follower" (§5.2).
    fn receive(&mut self, rpc: AppendEntries, _: &mut Outbox<Canvass>) -> Next<Self, AppendEntries> {
        Next::Defer(Self::into_follower, rpc)
    }
}

impl Receive<Installed> for Candidate {
    /// Only a leader sends snapshots: yields to it (§5.2, §7).
    fn receive(&mut self, rpc: Installed, _: &mut Outbox<Canvass>) -> Next<Self, Installed> {
        Next::Defer(Self::into_follower, rpc)
    }
}

impl Receive<TimeoutNow> for Candidate {
    /// It campaigns already (thesis §3.10).
    fn receive(&mut self, _: TimeoutNow, _: &mut Outbox<Canvass>) -> Next<Self, TimeoutNow> {
        Next::Stay
    }
}
