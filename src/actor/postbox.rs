//! Where a peer takes what other peers say, and how it takes in a leader's snapshot.

use std::sync::Arc;

use actix::{ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};

use super::{peer::Peer, role_addr::Deliver};
use crate::{
    raft::*,
    storage::{StorageError, Wait},
    transport::{Postbox, Rpc},
};

/// A piece of a leader's snapshot: it goes to the store and not through the role.
#[derive(Message)]
#[rtype(result = "()")]
struct Chunk(InstallSnapshot);

/// The postbox of a peer in this process.
pub struct PeerPostbox(pub Addr<Peer>);

impl Postbox for PeerPostbox {
    fn deliver(&self, rpc: Rpc) {
        match rpc {
            Rpc::PreVote(rpc) => self.0.do_send(Deliver(rpc)),
            Rpc::RequestVote(rpc) => self.0.do_send(Deliver(rpc)),
            Rpc::AppendEntries(rpc) => self.0.do_send(Deliver(rpc)),
            Rpc::TimeoutNow(rpc) => self.0.do_send(Deliver(rpc)),
            Rpc::InstallSnapshot(rpc) => self.0.do_send(Chunk(rpc)),
        }
    }
}

impl Handler<Chunk> for Peer {
    type Result = ();

    /// A piece of an old leader is answered with our term; a snapshot that brings nothing new, or
    /// that is whole, goes to the role. Whoever recovers, or whose disk has not heard of the leader's
    /// term yet, says nothing: the leader's heartbeats bring the term, and the piece once more.
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
        if rpc.meta.at.index <= parts.gauges.commit() {
            let InstallSnapshot { term, leader, meta, reply, .. } = rpc;
            return self.deliver(Installed { term, leader, meta, reply });
        }
        let done = Taking { term: rpc.term, leader: rpc.leader, meta: rpc.meta.clone(), reply: rpc.reply };
        match snapshots.receive(rpc.meta, rpc.offset, rpc.data) {
            Wait::Now(held) => self.taken(done, held),
            Wait::Later(held) => {
                ctx.spawn(held.into_actor(self).map(move |held, peer, _| peer.taken(done, held)));
            }
        }
    }
}

/// A piece on its way into the store.
struct Taking {
    term: Term,
    leader: PeerId,
    meta: Arc<SnapshotMeta>,
    reply: Reply<ChunkTaken>,
}

impl Peer {
    fn taken(&mut self, taking: Taking, held: Result<u64, StorageError>) {
        let Taking { term, leader, meta, reply } = taking;
        match held {
            Ok(held) if held == meta.bytes => {
                self.parts().gauges.set_snapshot(meta.at.index);
                self.deliver(Installed { term, leader, meta, reply });
            }
            Ok(held) => self.answer_chunk(reply, term, Taken::Upto(held)),
            Err(error) => {
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
