//! How each role's errands are run: whom it asks, and where the answers come back.

use std::{collections::BTreeMap, sync::Arc};

use actix::{Addr, AsyncContext, Context};

use super::{
    gauges::FollowerStatus,
    peer::{CrewFell, Hired},
    replicator::{Replicator, Run},
    role_actor::{Desk, RoleActor},
    role_addr::Answer,
    supervision::{Child, ChildDown, Leash, spawn_guarded},
};
use crate::{
    raft::*,
    transport::{Link, Rpc},
};

/// What an actor must know of a role beyond its rules: how its errands are run.
pub trait Embody: Role + Receive<Tick> + Receive<Propose> + Receive<ReadIndex> {
    /// The actors that run errands for this role, and end with it.
    type Crew: Default + Unpin + 'static;

    /// Runs one errand.
    fn run(
        errand: Self::Errand,
        crew: &mut Self::Crew,
        role: &Self,
        desk: &Desk,
        ctx: &mut Context<RoleActor<Self>>,
    );

    /// Who follows: of a leader, every other member.
    fn followers(&self) -> Vec<FollowerStatus> {
        Vec::new()
    }

    /// One of the crew fell.
    fn child_down(
        _down: ChildDown,
        _crew: &mut Self::Crew,
        _role: &Self,
        _desk: &Desk,
        _ctx: &mut Context<RoleActor<Self>>,
    ) {
    }
}

impl Embody for Follower {
    type Crew = ();

    fn run(errand: Nothing, (): &mut (), _: &Self, _: &Desk, _: &mut Context<RoleActor<Self>>) {
        match errand {}
    }
}

impl Embody for PreCandidate {
    type Crew = ();

    fn run(canvass: Canvass, (): &mut (), role: &Self, desk: &Desk, ctx: &mut Context<RoleActor<Self>>) {
        let me = role.state().id();
        let reply = Reply::new({
            let addr = ctx.address();
            move |answer: PreVoted| addr.do_send(Answer(answer))
        });
        for to in role.state().membership().other_voters(me) {
            let (term, last, reply) = (canvass.term, canvass.last, reply.clone());
            let rpc = PreVote { term, candidate: me, last, reply };
            desk.parts.transport.link(me, to).send(Rpc::PreVote(rpc));
        }
    }
}

impl Embody for Candidate {
    type Crew = ();

    fn run(canvass: Canvass, (): &mut (), role: &Self, desk: &Desk, ctx: &mut Context<RoleActor<Self>>) {
        let me = role.state().id();
        let reply = Reply::new({
            let addr = ctx.address();
            move |answer: Voted| addr.do_send(Answer(answer))
        });
        for to in role.state().membership().other_voters(me) {
            let Canvass { term, last, transfer } = canvass;
            let rpc = RequestVote { term, candidate: me, last, transfer, reply: reply.clone() };
            desk.parts.transport.link(me, to).send(Rpc::RequestVote(rpc));
        }
    }
}

/// A leader's replicators.
#[derive(Default)]
pub struct Replicators {
    members: BTreeMap<PeerId, Member>,
    hired: u64,
}

struct Member {
    addr: Addr<Replicator>,
    _leash: Leash,
    number: u64,
    link: Arc<dyn Link>,
}

impl Replicators {
    /// Puts a new replicator to work for `to`; the one before it, if any, ends.
    fn hire(&mut self, to: PeerId, role: &Leader, desk: &Desk, ctx: &mut Context<RoleActor<Leader>>) {
        let (me, term) = (role.state().id(), role.state().term());
        self.hired += 1;
        let child = Child { kind: ActorKind::Replicator, number: self.hired };
        let link = desk.parts.transport.link(me, to);
        let snapshots = desk.snapshots.clone();
        let replicator =
            Replicator::new(ctx.address(), term, me, to, link.clone(), snapshots, desk.parts.clone());
        let (parent, gauges) = (ctx.address().recipient(), &desk.parts.gauges);
        let (addr, leash) = spawn_guarded(child, parent, gauges, replicator);
        desk.peer.do_send(Hired(leash.tripwire()));
        self.members.insert(to, Member { addr, _leash: leash, number: self.hired, link });
    }

    fn get(
        &mut self,
        to: PeerId,
        role: &Leader,
        desk: &Desk,
        ctx: &mut Context<RoleActor<Leader>>,
    ) -> Option<&Member> {
        if !self.members.contains_key(&to) {
            self.hire(to, role, desk, ctx);
        }
        self.members.get(&to)
    }
}

impl Embody for Leader {
    type Crew = Replicators;

    fn run(
        order: Order,
        crew: &mut Replicators,
        role: &Self,
        desk: &Desk,
        ctx: &mut Context<RoleActor<Self>>,
    ) {
        match order {
            Order::Stream(slice) => {
                let membership = role.state().membership();
                crew.members.retain(|&peer, _| membership.contains(peer));
                for to in membership.others(role.state().id()) {
                    if let Some(member) = crew.get(to, role, desk, ctx) {
                        member.addr.do_send(Run::Stream(slice.clone()));
                    }
                }
            }
            Order::Feed(to, slice) => tell(crew.get(to, role, desk, ctx), Run::Feed(slice)),
            Order::Probe(to, slice) => tell(crew.get(to, role, desk, ctx), Run::Probe(slice)),
            Order::Beat(to, slice) => {
                tell(crew.get(to, role, desk, ctx), Run::Beat(slice));
                desk.parts.gauges.publish_followers(Embody::followers(role));
            }
            Order::SendSnapshot(to) => tell(crew.get(to, role, desk, ctx), Run::SendSnapshot),
            Order::TimeoutNow(to) => {
                if let Some(member) = crew.get(to, role, desk, ctx) {
                    let (term, leader) = (role.state().term(), role.state().id());
                    member.link.send(Rpc::TimeoutNow(TimeoutNow { term, leader }));
                }
            }
            Order::Renew(to) => crew.hire(to, role, desk, ctx),
        }
    }

    fn followers(&self) -> Vec<FollowerStatus> {
        let last = self.state().log().last().index;
        let status = |(peer, matched, silent_ms, healthy)| FollowerStatus {
            peer,
            matched,
            lag: last.since(matched),
            silent_ms,
            healthy,
        };
        Leader::followers(self).map(status).collect()
    }

    /// A replicator holds nothing that can't be found out again: a new one starts with a probe.
    fn child_down(
        down: ChildDown,
        crew: &mut Replicators,
        role: &Self,
        desk: &Desk,
        ctx: &mut Context<RoleActor<Self>>,
    ) {
        let fallen = crew.members.iter().find(|(_, member)| member.number == down.child.number);
        let Some(to) = fallen.map(|(&to, _)| to) else { return };
        desk.parts.note_crash(&down);
        crew.hire(to, role, desk, ctx);
        desk.peer.do_send(CrewFell { kind: ActorKind::Replicator });
    }
}

fn tell(member: Option<&Member>, run: Run) {
    if let Some(member) = member {
        member.addr.do_send(run);
    }
}
