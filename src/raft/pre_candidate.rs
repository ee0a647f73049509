//! Rules for peers that canvass (thesis §9.6): before a peer raises its term it asks whether a
//! majority would vote for it. So a peer that was cut off disturbs nobody when it comes back.

use std::collections::BTreeSet;

use super::{
    candidate::Candidate,
    event::{Event, RoleKind, Why},
    follower::Follower,
    message::*,
    quorum,
    role::{AnyRole, Next, Outbox, Receive, Role, Succession},
    state::State,
    types::{PeerId, Position, Term},
};

/// A peer that asks whether it could win.
#[derive(Debug)]
pub struct PreCandidate {
    state: State,
    /// Who would vote for us, ourselves included. A set: a grant that arrives twice counts once.
    willing: BTreeSet<PeerId>,
    why: Why,
    deadline_ms: u64,
}

/// The errand of a peer that canvasses or campaigns: ask every other voter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Canvass {
    /// The term that the votes are for.
    pub term: Term,
    /// The end of our log.
    pub last: Position,
    /// Whether our leader asked us to campaign.
    pub transfer: bool,
}

impl PreCandidate {
    /// Begins to canvass.
    pub fn new(mut state: State, why: Why) -> PreCandidate {
        let deadline_ms = state.election_deadline_ms();
        PreCandidate { state, willing: BTreeSet::new(), why, deadline_ms }
    }

    fn into_follower(self) -> AnyRole {
        AnyRole::Follower(Follower::new(self.state))
    }

    fn into_candidate(self) -> AnyRole {
        AnyRole::Candidate(Candidate::campaign(self.state, false, Why::MajorityWilling))
    }

    fn into_transferee(self) -> AnyRole {
        AnyRole::Candidate(Candidate::campaign(self.state, true, Why::LeaderAsked))
    }

    fn canvass(&mut self, out: &mut Outbox<Canvass>) {
        let (next, why) = (self.state.term().next(), self.why);
        self.willing = BTreeSet::from([self.state.id()]);
        self.deadline_ms = self.state.election_deadline_ms();
        self.state.note(|| Event::Canvassed { next, why });
        out.late.push(Canvass { term: next, last: self.state.log().last(), transfer: false });
    }

    /// A majority would vote for us, and our machine has not come to a stand since we asked.
    fn may_go_on(&self) -> bool {
        self.state.may_campaign()
            && quorum::agrees(self.state.membership(), |peer| self.willing.contains(&peer))
    }
}

impl Role for PreCandidate {
    type Errand = Canvass;
    const KIND: RoleKind = RoleKind::PreCandidate;

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn into_state(self) -> State {
        self.state
    }

    fn enter(&mut self, out: &mut Outbox<Canvass>) {
        self.canvass(out);
    }

    /// A cluster of one needs nobody else.
    fn synced(&mut self, deaf_ms: u64, _: &mut Outbox<Canvass>) -> Option<Succession<Self>> {
        self.deadline_ms += deaf_ms;
        self.may_go_on().then_some(Self::into_candidate)
    }

    fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }
}

impl Receive<Tick> for PreCandidate {
    /// Nobody answered in time: canvasses anew (thesis §9.6).
    fn receive(&mut self, _: Tick, out: &mut Outbox<Canvass>) -> Next<Self, Tick> {
        if self.state.now_ms < self.deadline_ms {
            return Next::Stay;
        }
        if !self.state.may_campaign() {
            return Next::Become(Self::into_follower);
        }
        self.why = Why::NoMajorityInTime;
        self.canvass(out);
        Next::Stay
    }
}

impl Receive<PreVote> for PreCandidate {
    /// Nobody leads, as far as we know: the logs decide (thesis §9.6, §5.4.1).
    fn receive(&mut self, rpc: PreVote, out: &mut Outbox<Canvass>) -> Next<Self, PreVote> {
        let answer = self.state.answer_canvass(&rpc, false);
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<PreVoted> for PreCandidate {
    /// Counts who would vote for us in the next term; a majority makes a candidate (thesis §9.6).
    fn receive(&mut self, answer: PreVoted, _: &mut Outbox<Canvass>) -> Next<Self, PreVoted> {
        if answer.granted && answer.term == self.state.term().next() {
            self.willing.insert(answer.from);
        }
        if self.may_go_on() { Next::Become(Self::into_candidate) } else { Next::Stay }
    }
}

impl Receive<RequestVote> for PreCandidate {
    /// Grants once a term, as a follower does (§5.2, §5.4.1), and then waits like one.
    fn receive(&mut self, rpc: RequestVote, out: &mut Outbox<Canvass>) -> Next<Self, RequestVote> {
        let answer = self.state.answer_candidate(&rpc, false);
        out.reply(rpc.reply, answer);
        if answer.granted { Next::Become(Self::into_follower) } else { Next::Stay }
    }
}

impl Receive<AppendEntries> for PreCandidate {
    /// A leader of our term is alive: yields to it (§5.2).
    fn receive(&mut self, rpc: AppendEntries, _: &mut Outbox<Canvass>) -> Next<Self, AppendEntries> {
        Next::Defer(Self::into_follower, rpc)
    }
}

impl Receive<Installed> for PreCandidate {
    /// A leader of our term is alive: yields to it (§5.2).
    fn receive(&mut self, rpc: Installed, _: &mut Outbox<Canvass>) -> Next<Self, Installed> {
        Next::Defer(Self::into_follower, rpc)
    }
}

impl Receive<TimeoutNow> for PreCandidate {
    /// The leader of our term, which we did not hear, hands over to us (thesis §3.10).
    fn receive(&mut self, _: TimeoutNow, _: &mut Outbox<Canvass>) -> Next<Self, TimeoutNow> {
        if self.state.may_campaign() { Next::Become(Self::into_transferee) } else { Next::Stay }
    }
}
