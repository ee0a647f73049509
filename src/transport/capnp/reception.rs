//! Where a connection begins: the handshake, and what it hands out.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use capnp::{Error, Result};
use capnp_rpc::new_client;
use tokio::{sync::oneshot, time::timeout};

use super::{
    admin_service::AdminService,
    client_service::ClientService,
    codec::write_member,
    handshake::{PROTOCOL, Refused, read_introduction, write_introduction, write_refused},
    house::House,
    messages_capnp as wire,
    meter::Meter,
    raft_service::RaftService,
    tls::Credentials,
};
use crate::{
    raft::{PeerId, Reply, Why},
    transport::{Introduction, Objection, SessionLimits},
};

/// Who came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guest {
    Client,
    Peer(PeerId),
}

/// One connection to a peer, from its beginning to its end.
pub(super) struct Visit {
    pub(super) house: Rc<House>,
    pub(super) meter: Meter,
    pub(super) from: SocketAddr,
    credentials: Credentials,
    /// Whether somebody has begun to shake hands.
    greeting: Cell<bool>,
    guest: Cell<Option<Guest>>,
    /// How many watchers it has.
    pub(super) watchers: Cell<usize>,
    /// How long its answers have been of late, in bytes; much, until it is known.
    pub(super) answer_bytes: Cell<usize>,
}

/// How long the first answer is taken to be.
const FIRST_ANSWER_BYTES: usize = 1 << 20;

impl Visit {
    pub(super) fn new(
        house: Rc<House>,
        meter: Meter,
        credentials: Credentials,
        from: SocketAddr,
    ) -> Rc<Visit> {
        let (greeting, guest, watchers) = (Cell::default(), Cell::default(), Cell::default());
        let answer_bytes = Cell::new(FIRST_ANSWER_BYTES.min(house.limits().frame_bytes_max));
        Rc::new(Visit { house, meter, from, credentials, greeting, guest, watchers, answer_bytes })
    }

    /// Who came, once the handshake is done.
    pub(super) fn guest(&self) -> Option<Guest> {
        self.guest.get()
    }

    /// Whether it has said hello, be it welcome or not.
    pub(super) fn was_greeted(&self) -> bool {
        self.greeting.get()
    }

    fn let_in(&self, guest: Guest) {
        self.guest.set(Some(guest));
        let house = &self.house;
        self.meter.set_bounds(house.bounds(true));
        if guest != Guest::Client {
            self.meter.trust();
        } else {
            house.clients.set(house.clients.get() + 1);
            self.meter.set_purse(house.answers.open());
        }
    }

    /// The connection is over, whatever still holds on to it.
    pub(super) fn leave(&self) {
        match self.guest.take() {
            Some(Guest::Client) => self.house.clients.set(self.house.clients.get().saturating_sub(1)),
            Some(Guest::Peer(peer)) => self.house.forget_peer(peer, &self.meter),
            None => {}
        }
    }
}

/// What a fresh connection offers, and nothing else.
pub(super) struct Reception(pub(super) Rc<Visit>);

impl wire::bootstrap::Server for Reception {
    async fn connect(
        self: capnp::capability::Rc<Self>,
        params: wire::bootstrap::ConnectParams,
        mut results: wire::bootstrap::ConnectResults,
    ) -> Result<()> {
        let visit = self.0.clone();
        let met = visit.meet(params.get()?.get_hello()?).await?;
        drop(params);
        let reply = results.get().init_reply();
        match met {
            Ok(welcome) => visit.write_welcome(welcome, reply.init_welcome()),
            Err(refused) => {
                let why = match refused {
                    // It comes again in a moment, and is welcome then.
                    Refused::NotReady => None,
                    Refused::TooMany => Some(Why::TooMany),
                    Refused::Certificate => Some(Why::BadCredentials),
                    _ => Some(Why::NotWelcome),
                };
                if let Some(why) = why {
                    visit.house.turn_away("refused", visit.from, &refused.to_string(), why);
                }
                write_refused(&refused, reply.init_refused());
            }
        }
        Ok(())
    }
}

/// Who is welcome, as what.
enum Welcome {
    Peer(PeerId),
    Client,
}

impl Visit {
    async fn meet(&self, hello: wire::hello::Reader<'_>) -> Result<std::result::Result<Welcome, Refused>> {
        // Also while the first is under way, and after it was refused.
        if self.greeting.replace(true) {
            return Ok(Err(Refused::Again));
        }
        if hello.get_protocol() != PROTOCOL {
            return Ok(Err(Refused::Protocol(PROTOCOL)));
        }
        let cluster = hello.get_cluster()?.to_str()?;
        let which = hello.which().map_err(|_| Error::failed("malformed: nobody says hello".into()))?;
        Ok(match which {
            wire::hello::Client(_) => self.meet_client(cluster),
            wire::hello::Peer(peer) => {
                let peer = peer?;
                let theirs = read_introduction(cluster, peer.get_introduction()?)?;
                self.meet_peer(theirs, PeerId(peer.get_to())).await
            }
        })
    }

    fn meet_client(&self, cluster: &str) -> std::result::Result<Welcome, Refused> {
        let ours = &*self.house.open.cluster;
        if !cluster.is_empty() && cluster != ours {
            return Err(Refused::Cluster { wanted: cluster.into(), met: ours.into() });
        }
        if !self.credentials.is_client() {
            return Err(Refused::Certificate);
        }
        if self.house.clients.get() >= self.house.limits().connections_max {
            return Err(Refused::TooMany);
        }
        self.let_in(Guest::Client);
        Ok(Welcome::Client)
    }

    async fn meet_peer(&self, theirs: Introduction, wanted: PeerId) -> std::result::Result<Welcome, Refused> {
        let (house, peer) = (&self.house, theirs.peer);
        // What it says of itself has to be vouched for before any of it is looked at.
        if !self.credentials.is_peer(peer) {
            return Err(Refused::Certificate);
        }
        if wanted != house.me() {
            return Err(Refused::NotMe { wanted, met: house.me() });
        }
        let Some(postbox) = house.open.local.postbox(house.me()) else { return Err(Refused::NotReady) };
        if house.open.local.introduction(house.me()).is_none() {
            return Err(Refused::NotReady);
        }
        if theirs.cluster == house.open.cluster && !house.open.members.contains_key(&peer) {
            return Err(Refused::Objection(Objection::Stranger { peer }));
        }
        let (verdict, judged) = once();
        postbox.meet(theirs, verdict);
        let patience = Duration::from_millis(house.limits().handshake_ms);
        match timeout(patience, judged).await {
            Ok(Ok(Ok(()))) => {
                self.let_in(Guest::Peer(peer));
                house.remember_peer(peer, &self.meter);
                Ok(Welcome::Peer(peer))
            }
            Ok(Ok(Err(objection))) => Err(Refused::Objection(objection)),
            _ => Err(Refused::NotReady),
        }
    }

    fn write_welcome(self: &Rc<Self>, welcome: Welcome, mut to: wire::welcome::Builder<'_>) {
        let open = &self.house.open;
        to.set_cluster(&*open.cluster);
        let mut members = to.reborrow().init_members(open.members.len() as u32);
        for (place, (&peer, address)) in (0..).zip(&*open.members) {
            write_member(peer, address, members.reborrow().get(place));
        }
        self.write_limits(to.reborrow().init_limits());
        let ours = open.local.introduction(self.house.me());
        match welcome {
            Welcome::Peer(peer) => {
                // It was there when the other was met; a moment later its peer may have stopped.
                if let Some(ours) = ours {
                    write_introduction(&ours, to.reborrow().init_introduction());
                }
                to.set_raft(new_client(RaftService::new(self.clone(), peer)));
            }
            Welcome::Client => {
                let mut about = to.reborrow().init_introduction();
                about.set_peer(self.house.me().0);
                about.set_first_membership(ours.map_or(0, |ours| ours.first_membership));
                to.set_client(new_client(ClientService(self.clone())));
                if self.credentials.is_admin() {
                    to.set_admin(new_client(AdminService(self.clone())));
                }
            }
        }
    }

    fn write_limits(&self, mut to: wire::limits::Builder<'_>) {
        let (config, limits) = (&self.house.open.config, self.house.limits());
        to.set_frame_bytes_max(limits.frame_bytes_max as u64);
        to.set_answer_bytes_max(self.house.answer_frame_bytes() as u64);
        to.set_command_bytes_max(config.command_bytes_max as u64);
        to.set_batch_entries_max(narrow(config.batch_entries_max as u64));
        to.set_calls_max(narrow(limits.calls_max as u64));
        to.set_session_window(narrow(SessionLimits::of(config).window));
        to.set_election_timeout_ms(narrow(config.election_timeout_ms.end));
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A port that is answered once, and where its answer comes out. Dropped unanswered, it says so there.
pub(super) fn once<T: Send + 'static>() -> (Reply<T>, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let reply = Reply::new(move |answer| {
        let sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        // A network may carry an answer twice, and the second one is nothing new. Whoever asked may have gone.
        if let Some(sender) = sender {
            drop(sender.send(answer));
        }
    });
    (reply, receiver)
}
