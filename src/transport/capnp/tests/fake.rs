//! Peers that are none: they welcome everybody, and say what a test wants them to say.

use std::{future::Future, rc::Rc};

use capnp::{Result, capability::Rc as Served};
use capnp_rpc::{RpcSystem, new_client, rpc_twoparty_capnp::Side};
use tokio::{net::TcpListener, task::spawn_local};

use super::vats::{BOUNDS, terms};
use crate::raft::PeerId;
use crate::transport::capnp::{codec::write_member, messages_capnp as wire, meter::Meter, vat::Vat};

/// What a fake peer says.
pub struct Fake {
    pub me: PeerId,
    pub members: Vec<(PeerId, String)>,
    /// Who leads, and where; `None`: it does itself, and has applied whatever comes.
    pub leader: Option<(PeerId, String)>,
}

/// A place to listen at.
pub async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Speaks with whoever comes, while local tasks run.
pub fn serve(fake: Fake, listener: TcpListener) {
    let fake = Rc::new(fake);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let vat = Vat::new(stream, Meter::new(BOUNDS), terms(Side::Server));
            let bootstrap: wire::bootstrap::Client = new_client(Welcoming(fake.clone()));
            spawn_local(RpcSystem::new(Box::new(vat), Some(bootstrap.client)));
        }
    });
}

struct Welcoming(Rc<Fake>);

impl wire::bootstrap::Server for Welcoming {
    async fn connect(
        self: Served<Self>,
        _: wire::bootstrap::ConnectParams,
        mut results: wire::bootstrap::ConnectResults,
    ) -> Result<()> {
        let mut to = results.get().init_reply().init_welcome();
        to.set_cluster("fakes");
        to.reborrow().init_introduction().set_peer(self.0.me.0);
        let mut members = to.reborrow().init_members(self.0.members.len() as u32);
        for (place, (peer, address)) in (0..).zip(&self.0.members) {
            write_member(*peer, address, members.reborrow().get(place));
        }
        let mut limits = to.reborrow().init_limits();
        limits.set_command_bytes_max(1_000);
        limits.set_batch_entries_max(100);
        limits.set_session_window(100);
        limits.set_election_timeout_ms(100);
        to.set_client(new_client(Answering(self.0.clone())));
        Ok(())
    }
}

struct Answering(Rc<Fake>);

impl wire::client::Server for Answering {
    fn propose(
        self: Served<Self>,
        params: wire::client::ProposeParams,
        mut results: wire::client::ProposeResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let mut answer = || {
            let count = params.get()?.get_commands()?.len();
            let mut outcomes = results.get().init_outcomes(count);
            for place in 0..count {
                let outcome = outcomes.reborrow().get(place);
                match &self.0.leader {
                    Some((leader, address)) => {
                        write_member(*leader, address, outcome.init_not_leader());
                    }
                    None => {
                        let mut outcome = outcome;
                        outcome.set_applied(&[]);
                    }
                }
            }
            Ok(())
        };
        std::future::ready(answer())
    }
}
