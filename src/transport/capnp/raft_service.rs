//! What another peer may ask: the RPC boxes of the paper.
//!
//! A request is handed on before anything is awaited, so that requests arrive in the order in which they were
//! sent. Then its answer is waited for, and if there is none the call returns without one.

use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

use capnp::{Error, Result, capability::Rc as Served};
use tokio::{sync::oneshot, time::timeout};

use super::{
    codec, messages_capnp as wire,
    reception::{Visit, once},
};
use crate::{
    raft::{Event, PeerId, Reply, Why},
    transport::{Link, Rpc, Transport},
};

/// How long an answer is waited for. A peer that is busy answers late; one that does not want to drops its port.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one other peer may ask of this one.
pub(super) struct RaftService {
    visit: Rc<Visit>,
    peer: PeerId,
    /// Through the weather, as if it came from there in one process.
    link: Arc<dyn Link>,
}

impl RaftService {
    pub(super) fn new(visit: Rc<Visit>, peer: PeerId) -> RaftService {
        let link = visit.house.open.local.link(peer, visit.house.me());
        RaftService { visit, peer, link }
    }

    /// Hands a request on, and says where its answer comes out.
    fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reply<T>) -> Result<(u64, PeerId, Rpc)>,
    ) -> Result<oneshot::Receiver<T>> {
        let (reply, asked) = once();
        let (group, sender, rpc) = read(reply)?;
        self.check(group, sender)?;
        self.link.send(rpc);
        Ok(asked)
    }

    /// A peer speaks for itself only.
    fn check(&self, group: u64, sender: PeerId) -> Result<()> {
        check_group(group)?;
        if sender == self.peer {
            return Ok(());
        }
        let house = &self.visit.house;
        house.violations.set(house.violations.get() + 1);
        let (me, by) = (house.me(), self.peer);
        let what = format!("a message in the name of peer {sender}");
        house.open.local.note(me, || Event::Violation { by, what, why: Why::BadCredentials });
        self.visit.meter.end("it spoke in the name of another peer");
        Err(Error::failed("malformed: it speaks in the name of another peer".into()))
    }
}

/// There is one group.
pub(super) fn check_group(group: u64) -> Result<()> {
    if group == 0 {
        return Ok(());
    }
    Err(Error::failed(format!("there is no group {group} here: the only one is 0")))
}

async fn answer<T>(asked: Result<oneshot::Receiver<T>>) -> Result<Option<T>> {
    // Neither silence nor a port that was dropped is an error: the message got lost, as messages do.
    Ok(timeout(PATIENCE, asked?).await.ok().and_then(std::result::Result::ok))
}

impl wire::raft::Server for RaftService {
    fn pre_vote(
        self: Served<Self>,
        params: wire::raft::PreVoteParams,
        mut results: wire::raft::PreVoteResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let asked = self.ask(|reply| {
            let params = params.get()?;
            let rpc = codec::read_pre_vote(params.get_request()?, reply)?;
            Ok((params.get_group(), rpc.candidate, Rpc::PreVote(rpc)))
        });
        drop(params);
        async move {
            if let Some(voted) = answer(asked).await? {
                codec::write_vote(voted.from, voted.term, voted.granted, results.get().init_reply());
            }
            Ok(())
        }
    }

    fn request_vote(
        self: Served<Self>,
        params: wire::raft::RequestVoteParams,
        mut results: wire::raft::RequestVoteResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let asked = self.ask(|reply| {
            let params = params.get()?;
            let rpc = codec::read_request_vote(params.get_request()?, reply)?;
            Ok((params.get_group(), rpc.candidate, Rpc::RequestVote(rpc)))
        });
        drop(params);
        async move {
            if let Some(voted) = answer(asked).await? {
                codec::write_vote(voted.from, voted.term, voted.granted, results.get().init_reply());
            }
            Ok(())
        }
    }

    fn append_entries(
        self: Served<Self>,
        params: wire::raft::AppendEntriesParams,
        mut results: wire::raft::AppendEntriesResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let asked = self.ask(|reply| {
            let params = params.get()?;
            let rpc = codec::read_append(params.get_request()?, reply)?;
            Ok((params.get_group(), rpc.leader, Rpc::AppendEntries(rpc)))
        });
        drop(params);
        async move {
            if let Some(appended) = answer(asked).await? {
                codec::write_appended(&appended, results.get().init_reply());
            }
            Ok(())
        }
    }

    fn install_snapshot(
        self: Served<Self>,
        params: wire::raft::InstallSnapshotParams,
        mut results: wire::raft::InstallSnapshotResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let asked = self.ask(|reply| {
            let params = params.get()?;
            let rpc = codec::read_install(params.get_request()?, reply)?;
            Ok((params.get_group(), rpc.leader, Rpc::InstallSnapshot(rpc)))
        });
        drop(params);
        async move {
            if let Some(taken) = answer(asked).await? {
                codec::write_taken(&taken, results.get().init_reply());
            }
            Ok(())
        }
    }

    fn timeout_now(
        self: Served<Self>,
        params: wire::raft::TimeoutNowParams,
        _: wire::raft::TimeoutNowResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let order = || {
            let params = params.get()?;
            let rpc = codec::read_timeout_now(params.get_request()?);
            self.check(params.get_group(), rpc.leader)?;
            self.link.send(Rpc::TimeoutNow(rpc));
            Ok(())
        };
        std::future::ready(order())
    }
}
