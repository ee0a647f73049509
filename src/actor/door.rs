//! The door in front of a peer: bounded, coalescing, never waiting.
//!
//! Clients push command and port into an inbox; only one rings ([`Bell`]), and the present role takes what is there at
//! one go, as far as it goes into one turn, once it hears the bell: while it writes they wait outside. That
//! is the batching of concurrent clients, the bounded admission that mailboxes do not have, and the
//! guard against floods, in one small place. It holds the only lock on the way of a proposal: around
//! mail, not around state.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::ThreadId,
};

use actix::{Addr, Message};

use super::{
    bell::{Arrival, Bell, Ringing},
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
    rung: Ringing,
    /// How many were taken in at a time: the most, of late.
    crowd: usize,
    /// Who lives behind the door; nobody while the peer is down.
    tenant: Option<Arc<Tenant>>,
}

/// The peer behind a door, and where its role is found.
pub struct Tenant {
    /// The peer.
    pub peer: Addr<Peer>,
    /// Its role.
    pub front: Arc<Front>,
    /// Where both live.
    pub thread: ThreadId,
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

    /// How many commands have no more than so many bytes; at least one, if there is one.
    fn within(&self, bytes: usize) -> usize {
        if self.bytes <= bytes {
            return self.commands.len();
        }
        let mut sum = 0usize;
        let fits = |command: &&Command| {
            sum = sum.saturating_add(command.weight());
            sum <= bytes
        };
        self.commands.iter().take_while(fits).count().max(1).min(self.commands.len())
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
        inbox.tenant = tenant.map(Arc::new);
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

    /// Puts a command in front of the peer. If there is no room it is answered `Busy` at once. Some get the bell to
    /// ring.
    pub fn propose(self: &Arc<Self>, command: Command, port: Port) -> Option<Bell> {
        let bytes = command.weight();
        self.push(bytes, port, |inbox, port| {
            inbox.commands.push(command);
            inbox.ports.push(port);
        })
    }

    /// Puts a query in front of the peer, to be answered linearizably.
    pub fn read(self: &Arc<Self>, query: Query) -> Option<Bell> {
        let Query { question, port } = query;
        self.push(question.len(), port, |inbox, port| inbox.queries.push(Query { question, port }))
    }

    fn push(self: &Arc<Self>, bytes: usize, port: Port, push: impl FnOnce(&mut Inbox, Port)) -> Option<Bell> {
        let mut inbox = self.inbox();
        let Some(home) = inbox.tenant.as_ref().map(|tenant| tenant.thread) else {
            drop(inbox);
            refuse([port]);
            return None;
        };
        if inbox.is_full(bytes, self.entries_max, self.bytes_max) {
            drop(inbox);
            port.answer(Outcome::Busy);
            return None;
        }
        inbox.bytes += bytes;
        push(&mut inbox, port);
        let (waiting, crowd) = (inbox.count(), inbox.crowd);
        match inbox.rung.on_arrival(home, waiting, crowd) {
            Arrival::Wait => None,
            Arrival::Hold => Some(Bell(self.clone())),
            Arrival::Ring => {
                ring_for(inbox);
                None
            }
        }
    }

    /// How many wait, if somebody holds the bell.
    pub(super) fn held(&self) -> Option<usize> {
        let inbox = self.inbox();
        matches!(inbox.rung, Ringing::Held(_)).then(|| inbox.count())
    }

    /// Rings, if somebody holds the bell who has not.
    pub fn ring(&self) {
        let mut inbox = self.inbox();
        if inbox.rung.ring() {
            ring_for(inbox);
        }
    }

    /// Takes what is there: of commands as many as one turn is to have, and one at least. More of them in one sync
    /// would keep a leader deaf and mute for as long as the disk takes for all.
    pub fn take(&self, turn_bytes: usize) -> Taken {
        let mut inbox = self.inbox();
        let count = inbox.within(turn_bytes);
        let (commands, ports) = (front(&mut inbox.commands, count), front(&mut inbox.ports, count));
        let queries = mem::take(&mut inbox.queries);
        inbox.bytes = inbox.commands.iter().map(Command::weight).sum();
        let is_more = !inbox.ports.is_empty();
        // What does not fit into a turn leaves a small rest behind, and a rest is no sign that few will come.
        inbox.crowd = (count + queries.len()).max(inbox.crowd - inbox.crowd.div_ceil(16));
        inbox.rung = if is_more { Ringing::Rung } else { Ringing::Silent };
        drop(inbox);
        Taken {
            proposal: (!ports.is_empty()).then_some(Propose { commands, ports }),
            read: (!queries.is_empty()).then_some(ReadIndex { queries }),
            is_more,
        }
    }
}

/// Tells the peer of those who wait.
fn ring_for(inbox: MutexGuard<'_, Inbox>) {
    let tenant = inbox.tenant.clone();
    // Whoever wakes up may take this core, and come for the inbox first of all.
    drop(inbox);
    if let Some(tenant) = tenant {
        tenant.ring();
    }
}

/// So many from the front.
fn front<T>(items: &mut Vec<T>, count: usize) -> Vec<T> {
    if count < items.len() {
        let rest = items.split_off(count);
        return mem::replace(items, rest);
    }
    // As much room as was needed this time is likely to be needed the next.
    mem::replace(items, Vec::with_capacity(count))
}

/// What was taken in at a door.
pub struct Taken {
    /// Commands.
    pub proposal: Option<Propose>,
    /// Queries.
    pub read: Option<ReadIndex>,
    /// Whether some are left, for which nobody rings again.
    pub is_more: bool,
}

/// Nothing was done, and nobody is known who would.
pub fn refuse(ports: impl IntoIterator<Item = Port>) {
    for port in ports {
        port.answer(Outcome::NotLeader { leader: None });
    }
}
