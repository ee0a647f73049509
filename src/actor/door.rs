//! The door in front of a peer: bounded, coalescing, never waiting.
//!
//! Clients push command and port into an inbox; only the first rings, and the present role takes
//! everything that is there at one go, once it hears the bell: while it writes they wait outside. That
//! is the batching of concurrent clients, the bounded admission that mailboxes do not have, and the
//! guard against floods, in one small place. It holds the only lock on the way of a proposal: around
//! mail, not around state.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Addr, Message};

use super::{
    peer::Peer,
    role_addr::{Front, RoleAddr},
};
use crate::{
    config::Config,
    raft::{Command, Outcome, Port, Propose, Query, ReadIndex},
};

/// Something is in the inbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ring;

/// What waits in front of a peer.
#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    ports: Vec<Port>,
    queries: Vec<Query>,
    bytes: usize,
    /// Who lives behind the door; nobody while the peer is down.
    tenant: Option<Tenant>,
}

/// The peer behind a door, and where its role is found.
#[derive(Clone)]
pub struct Tenant {
    /// The peer.
    pub peer: Addr<Peer>,
    /// Its role.
    pub front: Arc<Front>,
}

impl Tenant {
    /// Between roles the peer answers, that it does not lead.
    fn ring(&self) {
        if !self.front.tell(RoleAddr::open_door) {
            self.peer.do_send(Ring);
        }
    }
}

impl Inbox {
    fn count(&self) -> usize {
        self.ports.len() + self.queries.len()
    }

    /// Whether `bytes` more would be too much. One always fits.
    fn is_full(&self, bytes: usize, entries_max: usize, bytes_max: usize) -> bool {
        self.count() >= entries_max || (self.count() > 0 && self.bytes + bytes > bytes_max)
    }
}

/// The door of one peer: outlives the peer's actors, and stays while it is down.
pub struct Door {
    inbox: Mutex<Inbox>,
    entries_max: usize,
    bytes_max: usize,
}

impl Door {
    /// A door with nobody behind it.
    pub fn new(config: &Config) -> Arc<Door> {
        Arc::new(Door {
            inbox: Mutex::default(),
            entries_max: config.inbox_entries_max,
            bytes_max: config.inbox_bytes_max,
        })
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer moves in, or nobody lives here any more: then what waits is answered.
    pub fn open_to(&self, tenant: Option<Tenant>) {
        let mut inbox = self.inbox();
        inbox.tenant = tenant;
        if inbox.tenant.is_none() {
            let mail = mem::take(&mut *inbox);
            drop(inbox);
            refuse(mail.ports.into_iter().chain(mail.queries.into_iter().map(|query| query.port)));
        }
    }

    /// The peer behind the door, if it is up.
    pub fn peer(&self) -> Option<Addr<Peer>> {
        self.inbox().tenant.as_ref().map(|tenant| tenant.peer.clone())
    }

    /// Puts a command in front of the peer. If there is no room it is answered `Busy` at once.
    pub fn propose(&self, command: Command, port: Port) {
        let bytes = command.weight();
        self.push(bytes, port, |inbox, port| {
            inbox.commands.push(command);
            inbox.ports.push(port);
        });
    }

    /// Puts a query in front of the peer, to be answered linearizably.
    pub fn read(&self, query: Query) {
        let Query { question, port } = query;
        self.push(question.len(), port, |inbox, port| inbox.queries.push(Query { question, port }));
    }

    fn push(&self, bytes: usize, port: Port, push: impl FnOnce(&mut Inbox, Port)) {
        let mut inbox = self.inbox();
        if inbox.tenant.is_none() {
            drop(inbox);
            return refuse([port]);
        }
        if inbox.is_full(bytes, self.entries_max, self.bytes_max) {
            drop(inbox);
            return port.answer(Outcome::Busy);
        }
        inbox.bytes += bytes;
        push(&mut inbox, port);
        if inbox.count() == 1
            && let Some(tenant) = &inbox.tenant
        {
            tenant.ring();
        }
    }

    /// Takes everything that is there.
    pub fn take(&self) -> (Option<Propose>, Option<ReadIndex>) {
        let mut inbox = self.inbox();
        inbox.bytes = 0;
        // As much room as was needed this time is likely to be needed the next.
        let room = inbox.ports.len();
        let commands = mem::replace(&mut inbox.commands, Vec::with_capacity(room));
        let ports = mem::replace(&mut inbox.ports, Vec::with_capacity(room));
        let queries = mem::take(&mut inbox.queries);
        drop(inbox);
        let proposal = (!ports.is_empty()).then_some(Propose { commands, ports });
        (proposal, (!queries.is_empty()).then_some(ReadIndex { queries }))
    }
}

/// Nothing was done, and nobody is known who would.
pub fn refuse(ports: impl IntoIterator<Item = Port>) {
    for port in ports {
        port.answer(Outcome::NotLeader { leader: None });
    }
}
