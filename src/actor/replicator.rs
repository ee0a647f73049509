//! One for each follower and leadership: the hands of [`Progress`].
//!
//! It knows its leader by the address of the role actor itself, so that whatever it says after the
//! leadership has ended reaches nobody. It speaks only when its leader tells it to, or to go on with
//! what it was told: a leader that is deaf is silent.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use bytes::Bytes;
use smallvec::SmallVec;

use super::{parts::Parts, role_actor::RoleActor, role_addr::Answer};
use crate::{
    raft::{
        progress::{Progress, Step},
        *,
    },
    storage::{SnapshotStore, StorageError, Wait},
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

/// The follower answered a piece of a snapshot.
#[derive(Message)]
#[rtype(result = "()")]
struct HeardChunk {
    /// The number of the piece.
    piece: u64,
    answer: ChunkTaken,
}

/// A snapshot on its way.
struct Sending {
    meta: Arc<SnapshotMeta>,
    /// Where the piece under way begins, and its number: the first answer to it counts, and no second
    /// one, for each brings on the next piece. A network that doubles messages would double the rest
    /// of the snapshot each time.
    offset: u64,
    piece: u64,
    /// For how many heartbeats it has not been answered.
    beats: u32,
    /// After how many it is sent again: doubles, for a link may just be slow.
    patience_beats: u32,
}

/// For how many heartbeats a piece of a snapshot is waited for at first, and at most: a follower that
/// is back after an hour is not to wait for another one.
const CHUNK_PATIENCE_BEATS: u32 = 4;
const CHUNK_PATIENCE_BEATS_MAX: u32 = 64;

/// The replicator actor.
pub struct Replicator {
    leader: Addr<RoleActor<Leader>>,
    term: Term,
    me: PeerId,
    to: PeerId,
    link: Arc<dyn Link>,
    snapshots: Arc<dyn SnapshotStore>,
    parts: Arc<Parts>,
    progress: Progress,
    sending: Option<Sending>,
    /// Counts the pieces of all snapshots.
    pieces: u64,
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
            sending: None,
            pieces: 0,
            reply: None,
        }
    }

    fn append(&self, slice: Arc<Slice>) {
        if let Some(reply) = self.reply.clone() {
            let rpc = AppendEntries { term: self.term, leader: self.me, slice, reply };
            self.link.send(Rpc::AppendEntries(rpc));
        }
    }

    fn step(&self, step: Step) {
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
            self.append(Arc::new(check));
        } else {
            self.append(slice);
        }
        let step = self.progress.beat();
        self.step(step);
        self.nudge_snapshot(ctx);
    }

    fn begin_snapshot(&mut self, ctx: &mut Context<Self>) {
        let Some(meta) = self.snapshots.latest() else { return };
        let is_same = self.sending.as_ref().is_some_and(|sending| sending.meta.at == meta.at);
        self.progress.begin_snapshot();
        if is_same {
            return;
        }
        let (to, at, bytes) = (self.to, meta.at, meta.bytes);
        self.parts.witness.note(|| Event::SnapshotSent { to, at, bytes, why: Why::FollowerBehind });
        self.pieces += 1;
        let (piece, patience_beats) = (self.pieces, CHUNK_PATIENCE_BEATS);
        self.sending = Some(Sending { meta, offset: 0, piece, beats: 0, patience_beats });
        self.send_chunk(ctx);
    }

    /// A piece that has not been answered for some heartbeats is sent again.
    fn nudge_snapshot(&mut self, ctx: &mut Context<Self>) {
        let Some(sending) = &mut self.sending else { return };
        sending.beats += 1;
        if sending.beats >= sending.patience_beats {
            sending.patience_beats = CHUNK_PATIENCE_BEATS_MAX.min(sending.patience_beats * 2);
            self.send_chunk(ctx);
        }
    }

    /// Sends the piece at the present offset; the first one also asks how much is there already.
    fn send_chunk(&mut self, ctx: &mut Context<Self>) {
        let Some(sending) = &mut self.sending else { return };
        sending.beats = 0;
        let (at, offset) = (sending.meta.at, sending.offset);
        match self.snapshots.read(at, offset, self.parts.identity.config.snapshot_chunk_bytes) {
            Wait::Now(data) => self.chunk_read(at, offset, data, ctx),
            Wait::Later(read) => {
                let read = read.into_actor(self);
                ctx.spawn(read.map(move |data, actor, ctx| actor.chunk_read(at, offset, data, ctx)));
            }
        }
    }

    fn chunk_read(
        &mut self,
        at: Position,
        offset: u64,
        data: Result<Bytes, StorageError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(sending) = &self.sending else { return };
        if (sending.meta.at, sending.offset) != (at, offset) {
            return;
        }
        let Ok(data) = data else {
            // Replaced by a later one: begin with that.
            self.sending = None;
            return self.begin_snapshot(ctx);
        };
        let reply = Reply::new({
            let (addr, piece) = (ctx.address(), sending.piece);
            move |answer| addr.do_send(HeardChunk { piece, answer })
        });
        let (term, leader, meta) = (self.term, self.me, sending.meta.clone());
        self.link.send(Rpc::InstallSnapshot(InstallSnapshot { term, leader, meta, offset, data, reply }));
    }

    fn outran(&self, term: Term) -> bool {
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
            Run::Stream(slice) => {
                if self.progress.offer(&slice) {
                    self.append(slice);
                }
            }
            Run::Feed(slice) => {
                self.sending = None;
                let step = self.progress.feed(&slice);
                self.append(slice);
                self.step(step);
            }
            Run::Probe(slice) => {
                self.sending = None;
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

impl Handler<HeardChunk> for Replicator {
    type Result = ();

    fn handle(&mut self, HeardChunk { piece, answer }: HeardChunk, ctx: &mut Self::Context) {
        if self.outran(answer.term) {
            return;
        }
        let Some(sending) = &mut self.sending else { return };
        match answer.taken {
            Taken::Upto(offset) if piece == sending.piece && offset <= sending.meta.bytes => {
                self.pieces += 1;
                (sending.offset, sending.piece) = (offset, self.pieces);
                sending.patience_beats = CHUNK_PATIENCE_BEATS;
                self.send_chunk(ctx);
            }
            Taken::Installed(index) if index == sending.meta.at.index => {
                let at = sending.meta.at;
                self.sending = None;
                self.leader.do_send(Answer(Matched { from: self.to, index, round: 0, healthy: true }));
                let step = self.progress.installed(at);
                self.step(step);
            }
            // The heartbeats will try again.
            _ => {}
        }
    }
}
