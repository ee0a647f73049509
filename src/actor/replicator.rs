//! One for each follower and leadership: the hands of [`Progress`].
//!
//! It knows its leader by the address of the role actor itself, so that whatever it says after the
//! leadership has ended reaches nobody. It speaks only when its leader tells it to, or to go on with
//! what it was told: a leader that is deaf is silent.

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use smallvec::SmallVec;

use super::{parts::Parts, role_actor::RoleActor, role_addr::Answer, sender::OnItsWay};
use crate::{
    raft::{
        progress::{Progress, Step},
        *,
    },
    storage::SnapshotStore,
    transport::{Link, Rpc},
};

/// What a leader tells a replicator.
#[derive(Message)]
#[rtype(result = "()")]
#[allow(missing_docs)]
pub enum Run {
    Stream(Arc<Slice>),
    Feed(Arc<Slice>),
    Probe(Arc<Slice>),
    Beat(Arc<Slice>),
    SendSnapshot,
}

/// The follower answered.
#[derive(Message)]
#[rtype(result = "()")]
struct Heard(Appended);

/// The replicator actor.
pub struct Replicator {
    pub(super) leader: Addr<RoleActor<Leader>>,
    pub(super) term: Term,
    pub(super) me: PeerId,
    pub(super) to: PeerId,
    pub(super) link: Arc<dyn Link>,
    pub(super) snapshots: Arc<dyn SnapshotStore>,
    pub(super) parts: Arc<Parts>,
    pub(super) progress: Progress,
    /// The snapshot that the follower is being sent.
    pub(super) on_its_way: Option<OnItsWay>,
    /// Counts the snapshots that were sent.
    pub(super) transfers: u64,
    /// Where answers come back; made at start, once.
    reply: Option<Reply<Appended>>,
}

impl Replicator {
    /// A replicator that knows nothing of its follower yet.
    pub fn new(
        leader: Addr<RoleActor<Leader>>,
        term: Term,
        me: PeerId,
        to: PeerId,
        link: Arc<dyn Link>,
        snapshots: Arc<dyn SnapshotStore>,
        parts: Arc<Parts>,
    ) -> Replicator {
        let progress = Progress::new(&parts.identity.config);
        Replicator {
            leader,
            term,
            me,
            to,
            link,
            snapshots,
            parts,
            progress,
            on_its_way: None,
            transfers: 0,
            reply: None,
        }
    }

    fn append(&self, slice: Arc<Slice>) {
        self.send(slice, Rpc::AppendEntries);
    }

    fn send(&self, slice: Arc<Slice>, rpc: fn(AppendEntries) -> Rpc) {
        if let Some(reply) = self.reply.clone() {
            self.link.send(rpc(AppendEntries { term: self.term, leader: self.me, slice, reply }));
        }
    }

    pub(super) fn step(&self, step: Step) {
        if let Step::Pull(next) = step {
            self.leader.do_send(Answer(Pull { from: self.to, next }));
        }
    }

    /// A heartbeat, and behind the entries a check of what was sent. A heartbeat that would say the
    /// same as the check is left out.
    fn beat(&mut self, slice: Arc<Slice>, ctx: &mut Context<Self>) {
        if self.progress.is_unconfirmed() {
            let prev = self.progress.sent();
            let check = Slice { prev, batches: SmallVec::new(), commit: slice.commit, round: slice.round };
            self.append(slice);
            self.send(Arc::new(check), Rpc::Check);
        } else {
            self.append(slice);
        }
        let step = self.progress.beat();
        self.step(step);
        self.nudge_snapshot(ctx);
    }

    pub(super) fn outran(&self, term: Term) -> bool {
        if term > self.term {
            self.leader.do_send(Answer(Outran { term }));
        }
        term != self.term
    }
}

impl Actor for Replicator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        let addr = ctx.address();
        self.reply = Some(Reply::new(move |answer| addr.do_send(Heard(answer))));
    }
}

impl Handler<Run> for Replicator {
    type Result = ();

    fn handle(&mut self, run: Run, ctx: &mut Self::Context) {
        match run {
            Run::Feed(_) | Run::Probe(_) if self.progress.is_resting() => {}
            Run::Stream(slice) => {
                if self.progress.offer(&slice) {
                    self.append(slice);
                }
            }
            Run::Feed(slice) => {
                self.on_its_way = None;
                let step = self.progress.feed(&slice);
                self.append(slice);
                self.step(step);
            }
            Run::Probe(slice) => {
                self.on_its_way = None;
                self.progress.ask(&slice);
                self.append(slice);
            }
            Run::Beat(slice) => self.beat(slice, ctx),
            Run::SendSnapshot => self.begin_snapshot(ctx),
        }
    }
}

impl Handler<Heard> for Replicator {
    type Result = ();

    fn handle(&mut self, Heard(answer): Heard, _: &mut Self::Context) {
        if self.outran(answer.term) {
            return;
        }
        let Appended { round, healthy, .. } = answer;
        let from = self.to;
        match answer.result {
            Ok(index) => {
                self.leader.do_send(Answer(Matched { from, index, round, healthy }));
                let step = self.progress.on_matched(index);
                self.step(step);
            }
            Err(refusal) => {
                let conflict = match refusal {
                    Refusal::Conflict(conflict) => {
                        Some(conflict).filter(|conflict| self.progress.on_refused(conflict.prev.index))
                    }
                    Refusal::Backlog | Refusal::NoRoom => {
                        self.progress.on_backlog();
                        None
                    }
                    Refusal::Stale => None,
                };
                self.leader.do_send(Answer(Refused { from, conflict, round, healthy }));
            }
        }
    }
}
