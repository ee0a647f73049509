//! Where a peer takes what other peers say, and how it takes in a leader's snapshot.

use std::sync::Arc;

use actix::{ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use bytes::Bytes;

use super::{
    early::Fate,
    introductions::{Meet, TurnedAwayBy},
    peer::Peer,
    role_addr::Front,
};
use crate::{
    raft::*,
    storage::{SnapshotStore, StorageError, Wait},
    transport::{Introduction, Objection, Postbox, Rpc},
};

/// A piece of a leader's snapshot: it goes to the store and not through the role.
#[derive(Message)]
#[rtype(result = "()")]
struct Chunk(InstallSnapshot);

/// The postbox of a peer in this process. Between roles what is for the role is dropped.
pub struct PeerPostbox {
    /// The peer.
    pub peer: Addr<Peer>,
    /// Its role.
    pub front: Arc<Front>,
}

impl Postbox for PeerPostbox {
    fn deliver(&self, rpc: Rpc) {
        if let Rpc::InstallSnapshot(piece) = rpc {
            return self.peer.do_send(Chunk(piece));
        }
        self.front.tell(|role| match rpc {
            Rpc::PreVote(rpc) => role.deliver(rpc),
            Rpc::RequestVote(rpc) => role.deliver(rpc),
            Rpc::AppendEntries(rpc) | Rpc::Check(rpc) => role.deliver(rpc),
            Rpc::TimeoutNow(rpc) => role.deliver(rpc),
            Rpc::InstallSnapshot(_) => {}
        });
    }

    fn meet(&self, theirs: Introduction, verdict: Reply<Result<(), Objection>>) {
        self.peer.do_send(Meet { theirs, verdict });
    }

    fn turned_away(&self, by: PeerId, objection: Objection) {
        self.peer.do_send(TurnedAwayBy { peer: by, objection });
    }
}

impl Handler<Chunk> for Peer {
    type Result = ();

    /// A piece of an old leader is answered with our term; a snapshot that brings nothing new, or
    /// that is whole, goes to the role. Whoever recovers, or whose disk has not heard of the leader's
    /// term yet, or who has not heard of that leader, says nothing: the leader's heartbeats bring the term, and the
    /// piece once more. Of anybody else nothing is stored: what is whole is in force.
    fn handle(&mut self, Chunk(rpc): Chunk, ctx: &mut Context<Self>) {
        let (parts, Some(snapshots)) = (self.parts().clone(), self.snapshots().cloned()) else { return };
        let term = parts.gauges.term();
        let end = rpc.offset.saturating_add(rpc.data.len() as u64);
        if rpc.term < term || end > rpc.meta.bytes {
            return self.answer_chunk(rpc.reply, term, Taken::Failed);
        }
        if rpc.term > term || self.role.is_none() {
            return;
        }
        let leader = parts.gauges.leader();
        if leader != Some(rpc.leader) {
            if leader.is_some() {
                parts.gauges.add_violation();
                let (by, what) = (rpc.leader, "a piece of a snapshot".into());
                parts.witness.note(|| Event::Violation { by, what, why: Why::SecondLeader });
            }
            return;
        }
        if rpc.meta.at.index <= parts.gauges.commit() {
            let InstallSnapshot { term, leader, meta, reply, .. } = rpc;
            return self.deliver(Installed { term, leader, meta, reply });
        }
        let InstallSnapshot { term, leader, meta, offset, data, reply } = rpc;
        match self.early.come(&meta, offset, data, Taking { term, leader, meta: meta.clone(), reply }) {
            Fate::Early(given, taking) => self.answer_chunk(taking.reply, term, Taken::Upto(given)),
            Fate::Give(data, taking) => {
                self.take_in(&snapshots, taking, offset, data, ctx);
                self.take_in_more(ctx);
            }
        }
    }
}

/// A piece on its way into the store.
#[derive(Clone, Debug)]
pub(super) struct Taking {
    term: Term,
    leader: PeerId,
    meta: Arc<SnapshotMeta>,
    reply: Reply<ChunkTaken>,
}

impl Peer {
    fn take_in(
        &mut self,
        snapshots: &Arc<dyn SnapshotStore>,
        taking: Taking,
        offset: u64,
        data: Bytes,
        ctx: &mut Context<Self>,
    ) {
        let end = offset.saturating_add(data.len() as u64);
        match snapshots.receive(taking.meta.clone(), offset, data) {
            Wait::Now(held) => self.taken(taking, end, held),
            Wait::Later(held) => {
                let held = held.into_actor(self);
                ctx.spawn(held.map(move |held, peer, ctx| {
                    peer.taken(taking, end, held);
                    peer.take_in_more(ctx);
                }));
            }
        }
    }

    /// What waited for what has been taken in.
    fn take_in_more(&mut self, ctx: &mut Context<Self>) {
        let Some(snapshots) = self.snapshots().cloned() else { return };
        while let Some((offset, data, taking)) = self.early.next() {
            self.take_in(&snapshots, taking, offset, data, ctx);
        }
    }

    fn taken(&mut self, taking: Taking, end: u64, held: Result<u64, StorageError>) {
        let Taking { term, leader, meta, reply } = taking;
        match held {
            Ok(held) if held == meta.bytes => {
                self.early.forget();
                self.parts().gauges.set_snapshot(meta.at.index);
                self.deliver(Installed { term, leader, meta, reply });
            }
            Ok(held) => {
                self.early.taken(&meta, end, held);
                self.answer_chunk(reply, term, Taken::Upto(held));
            }
            Err(error) => {
                self.early.forget();
                let what = format!("a piece of the snapshot at {} was not taken: {error}", meta.at);
                self.parts().witness.note(|| Event::Warned { what, why: Why::DiskFailed });
                self.answer_chunk(reply, term, Taken::Failed);
            }
        }
    }

    /// Answers in the term that is on our disk, and in no other.
    fn answer_chunk(&self, reply: Reply<ChunkTaken>, term: Term, taken: Taken) {
        if self.role.is_some() && term == self.parts().gauges.term() {
            reply.send(ChunkTaken { from: self.parts().identity.id, term, taken });
        }
    }
}
