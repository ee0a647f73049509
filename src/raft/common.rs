//! Rules that are the same in every role, and those of everybody who does not lead.

use super::{
    candidate::Candidate,
    follower::Follower,
    message::{CatchUp, Health, Propose, ReadIndex, Snapshotted, Transfer},
    port::Outcome,
    pre_candidate::PreCandidate,
    role::{Next, Outbox, Receive, Role},
};

impl<R: Role> Receive<CatchUp> for R {
    /// The machine was rebuilt from its last snapshot: it gets everything committed behind it (§5.3,
    /// §7).
    fn receive(&mut self, request: CatchUp, out: &mut Outbox<R::Errand>) -> Next<Self, CatchUp> {
        let state = self.state();
        let batches = state.log().all(request.from, state.commit());
        if !batches.is_empty() {
            out.letters.apply(batches, Vec::new());
        }
        Next::Stay
    }
}

impl<R: Role> Receive<Snapshotted> for R {
    /// The front of the log can go (§7), but for what a follower is about to need.
    fn receive(&mut self, snapshot: Snapshotted, _: &mut Outbox<R::Errand>) -> Next<Self, Snapshotted> {
        let pinned = self.pinned();
        self.state_mut().compact(snapshot.at, pinned);
        Next::Stay
    }
}

impl<R: Role> Receive<Health> for R {
    /// A peer whose machine stands still goes on to vote and to store, and never campaigns: a
    /// leader that can apply nothing can answer nobody (§8).
    fn receive(&mut self, health: Health, _: &mut Outbox<R::Errand>) -> Next<Self, Health> {
        self.state_mut().set_poisoned(health.poisoned);
        Next::Stay
    }
}

macro_rules! who_does_not_lead {
    ($($role:ident),*) => {
        $(
            impl Receive<Propose> for $role {
                /// Only a leader takes proposals; tells who that is, if it knows (§8).
                fn receive(&mut self, proposal: Propose, out: &mut Outbox<Self::Errand>) -> Next<Self, Propose> {
                    out.letters.answer_all(proposal.ports, &Outcome::NotLeader { leader: self.leader() });
                    Next::Stay
                }
            }

            impl Receive<ReadIndex> for $role {
                /// Only a leader can tell what is up to date; tells who that is, if it knows (§8).
                fn receive(&mut self, read: ReadIndex, out: &mut Outbox<Self::Errand>) -> Next<Self, ReadIndex> {
                    let ports = read.queries.into_iter().map(|query| query.port);
                    out.letters.answer_all(ports, &Outcome::NotLeader { leader: self.leader() });
                    Next::Stay
                }
            }

            impl Receive<Transfer> for $role {
                /// Only a leader can hand leadership over (thesis §3.10).
                fn receive(&mut self, transfer: Transfer, out: &mut Outbox<Self::Errand>) -> Next<Self, Transfer> {
                    out.letters.answer_all([transfer.port], &Outcome::NotLeader { leader: self.leader() });
                    Next::Stay
                }
            }
        )*
    };
}

who_does_not_lead!(Follower, PreCandidate, Candidate);
