//! How a replicator sends a snapshot: the hands of [`Sending`].

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use bytes::Bytes;

use super::{
    replicator::Replicator,
    role_addr::Answer,
    sending::{Piece, Sending},
};
use crate::{
    raft::{progress::Mode, *},
    storage::{Hold, StorageError, Wait},
    transport::Rpc,
};

/// The follower answered a piece of a snapshot.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HeardChunk {
    /// The number of the transfer, and of the piece.
    transfer: u64,
    piece: u64,
    answer: ChunkTaken,
}

/// A snapshot on its way.
pub(super) struct OnItsWay {
    /// Tells it from those before it.
    number: u64,
    meta: Arc<SnapshotMeta>,
    sending: Sending,
    /// Later snapshots must not take it away.
    _hold: Hold,
}

impl Replicator {
    /// Begins to send the latest snapshot. One that is under way goes on, whatever was taken since: to
    /// begin anew with each later one would be never to arrive.
    pub(super) fn begin_snapshot(&mut self, ctx: &mut Context<Self>) {
        self.progress.begin_snapshot();
        if self.on_its_way.is_some() {
            return;
        }
        let Some(meta) = self.snapshots.latest() else { return };
        let Some(hold) = self.snapshots.hold(meta.at) else { return };
        let (to, at, bytes) = (self.to, meta.at, meta.bytes);
        self.parts.witness.note(|| Event::SnapshotSent { to, at, bytes, why: Why::FollowerBehind });
        self.transfers += 1;
        let sending = Sending::new(&meta, &self.parts.identity.config);
        self.on_its_way = Some(OnItsWay { number: self.transfers, meta, sending, _hold: hold });
        self.send_pieces(ctx);
    }

    /// A heartbeat: tells the leader that it gets on, and sends again what may have got lost.
    pub(super) fn nudge_snapshot(&mut self, ctx: &mut Context<Self>) {
        let Some(on_its_way) = &mut self.on_its_way else {
            if self.progress.mode() == Mode::Snapshot {
                self.begin_snapshot(ctx);
            }
            return;
        };
        if on_its_way.sending.take_advanced() {
            let receiving = Receiving { from: self.to, at: on_its_way.meta.at.index };
            self.leader.do_send(Answer(receiving));
        }
        on_its_way.sending.beat();
        self.send_pieces(ctx);
    }

    fn send_pieces(&mut self, ctx: &mut Context<Self>) {
        while let Some(on_its_way) = &mut self.on_its_way
            && let Some(piece) = on_its_way.sending.next_piece()
        {
            let number = on_its_way.number;
            match self.snapshots.read(on_its_way.meta.at, piece.offset, piece.bytes) {
                Wait::Now(data) => self.piece_read(number, piece, data, ctx),
                Wait::Later(read) => {
                    let read = read.into_actor(self);
                    ctx.spawn(read.map(move |data, actor, ctx| actor.piece_read(number, piece, data, ctx)));
                }
            }
        }
    }

    fn piece_read(
        &mut self,
        transfer: u64,
        piece: Piece,
        data: Result<Bytes, StorageError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(on_its_way) = &self.on_its_way else { return };
        if on_its_way.number != transfer || !on_its_way.sending.is_wanted(piece) {
            return;
        }
        let data = match data {
            Ok(data) => data,
            Err(StorageError::Gone { .. }) => return self.on_its_way = None,
            Err(error) => {
                // The heartbeats will try again, with patience.
                let what = format!("a piece of a snapshot was not sent: {error}");
                return self.parts.witness.note(|| Event::Warned { what, why: Why::DiskFailed });
            }
        };
        let reply = Reply::new({
            let (addr, piece) = (ctx.address(), piece.number);
            move |answer| addr.do_send(HeardChunk { transfer, piece, answer })
        });
        let (term, leader, meta, offset) = (self.term, self.me, on_its_way.meta.clone(), piece.offset);
        self.link.send(Rpc::InstallSnapshot(InstallSnapshot { term, leader, meta, offset, data, reply }));
    }
}

impl Handler<HeardChunk> for Replicator {
    type Result = ();

    fn handle(&mut self, heard: HeardChunk, ctx: &mut Self::Context) {
        if self.outran(heard.answer.term) {
            return;
        }
        let transfer = heard.transfer;
        let Some(on_its_way) = self.on_its_way.as_mut().filter(|sent| sent.number == transfer) else {
            return;
        };
        let at = on_its_way.meta.at;
        match heard.answer.taken {
            Taken::Upto(held) => {
                on_its_way.sending.heard(heard.piece, held);
                self.send_pieces(ctx);
            }
            Taken::Installed(index) if index == at.index => {
                self.on_its_way = None;
                self.leader.do_send(Answer(Matched { from: self.to, index, round: 0, healthy: true }));
                let step = self.progress.installed(at);
                self.step(step);
            }
            // The heartbeats will try again.
            _ => {}
        }
    }
}
