//! Peers of one process: a message is a call into the receiver's postbox.
//!
//! A [`Local`] network has a place for each peer. A link leads to that place and not to whoever is
//! there, so it stays good when a peer is killed and started again; while nobody is there its
//! messages are lost, as they would be on a wire.
//!
//! Both ways go through the same weather. A request carries the port of its answer; the network puts
//! one of its own in its stead, so that the answer too can be seen, lost, delayed and doubled. On a
//! calm day, when nothing delays and nobody wants to hear of messages, it does not: then a message costs no allocation
//! and no more than a look at three flags. So a rule that begins while a request is with its receiver
//! touches the answer only if the weather was not calm when the request left, or somebody listened to messages.
//!
//! A peer may also be on another machine ([`Local::attach_remote`]): then what is sent to it, and has come
//! through the weather, is handed to whoever carries it there; and what arrives from there goes through the
//! weather on its way in, and the answer on its way out. So the same rules cut a process off from others, and
//! peers of one process and of others can form one cluster. Who may be listened to is then settled where the
//! wire begins, and not here.
//!
//! What arrives without delay arrives within the call that sends it, in the order of sending. What
//! is delayed waits in one line; of two messages the one with the earlier deadline
//! arrives first, and of equal deadlines the one that was sent first.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    Introduction, Link, Objection, Postbox, Rpc, Transport,
    delay::Underway,
    faults::{Faults, Verdict},
    pair::Pair,
    parcel::{Answer, Answered, Parcel},
};
use crate::{
    observe::{Hub, Witness},
    raft::{Event, PeerId, Reply, Why},
};

/// The network of the peers of one process. Clones are the same network.
#[derive(Clone)]
pub struct Local(Arc<Network>);

struct Network {
    hub: Arc<Hub>,
    faults: Faults,
    /// How long a message takes, in milliseconds, drawn anew for each; `None`: no time at all.
    latency_ms: Option<RangeInclusive<u64>>,
    underway: Underway,
    /// Around the list of places, never around a peer's state. A place stays for good.
    places: Mutex<BTreeMap<PeerId, Arc<Place>>>,
    /// What peers make of each other, by the lower and the higher id.
    pairs: Mutex<BTreeMap<(PeerId, PeerId), Arc<Pair>>>,
}

impl Local {
    /// A network without peers. A message takes `latency_ms`, drawn anew for each out of the chance
    /// of `faults`; or no time at all.
    pub fn new(hub: Arc<Hub>, faults: Faults, latency_ms: Option<RangeInclusive<u64>>) -> Local {
        let (underway, places, pairs) = (Underway::default(), Mutex::default(), Mutex::default());
        Local(Arc::new(Network { hub, faults, latency_ms, underway, places, pairs }))
    }

    /// A peer is up: what is sent to `id` arrives in `postbox` from now on, and what its messages
    /// meet is told by `witness`. Answers to what an earlier incarnation asked are lost.
    ///
    /// The network holds the postbox until [`detach`](Local::detach): whoever ends a peer must say so
    /// here, or its postbox, and what that holds, lives as long as the network.
    pub fn attach(&self, id: PeerId, witness: Witness, postbox: Arc<dyn Postbox>) {
        let place = self.place(id);
        let mut tenant = place.tenant_mut();
        tenant.incarnation += 1;
        tenant.witness = witness;
        tenant.introduction = None;
        let before = tenant.postbox.replace(postbox);
        // A postbox may do anything when it goes, also send.
        drop(tenant);
        drop(before);
    }

    /// A peer is down: what is sent to it, and arrives from now on, is lost. What it has sent may
    /// still arrive.
    pub fn detach(&self, id: PeerId) {
        let place = self.place(id);
        let mut tenant = place.tenant_mut();
        tenant.incarnation += 1;
        let before = tenant.postbox.take();
        drop(tenant);
        drop(before);
    }

    /// The peer `id` is on another machine: `postbox` carries there what is sent to it. What comes from there
    /// is sent through [`link`](Transport::link).
    pub fn attach_remote(&self, id: PeerId, postbox: Arc<dyn Postbox>) {
        let place = self.place(id);
        place.is_remote.store(true, Relaxed);
        place.tenant_mut().postbox = Some(postbox);
    }

    /// Who a peer of this process says it is; nothing while it is down or recovers.
    pub fn introduction(&self, id: PeerId) -> Option<Introduction> {
        self.place(id).introduction()
    }

    /// Where a peer takes its messages; nothing while it is down.
    pub fn postbox(&self, id: PeerId) -> Option<Arc<dyn Postbox>> {
        self.place(id).postbox()
    }

    /// Tells everybody who listens what happened to a peer of this process.
    pub fn note(&self, id: PeerId, event: impl FnOnce() -> Event) {
        if self.0.hub.is_listening() {
            self.place(id).witness().note(event);
        }
    }

    /// The weather of this network.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    fn pair(&self, one: PeerId, other: PeerId) -> Arc<Pair> {
        let mut pairs = self.0.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.entry((one.min(other), one.max(other))).or_default().clone()
    }

    fn place(&self, id: PeerId) -> Arc<Place> {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(id).or_insert_with(|| Arc::new(Place::new(id, &self.0.hub))).clone()
    }
}

impl Transport for Local {
    fn link(&self, from: PeerId, to: PeerId) -> Arc<dyn Link> {
        let (from, to) = (self.place(from), self.place(to));
        let pair = self.pair(from.id, to.id);
        Arc::new(Way { network: self.0.clone(), from, to, pair })
    }

    /// The two show themselves to each other, whoever of the others is there, in the order of their ids.
    fn introduce(&self, introduction: Introduction) {
        let place = self.place(introduction.peer);
        place.tenant_mut().introduction = Some(introduction.clone());
        let places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (id, other) in places.iter().filter(|(id, _)| **id != introduction.peer) {
            let Some(theirs) = other.introduction() else { continue };
            let pair = self.pair(place.id, *id);
            pair.begin(&introduction, &theirs);
            show(&pair, &introduction, &place, &theirs, other);
            show(&pair, &theirs, other, &introduction, &place);
        }
    }
}

/// Shows one peer to another, which says what it makes of it.
fn show(pair: &Arc<Pair>, guest: &Introduction, from: &Arc<Place>, host: &Introduction, to: &Arc<Place>) {
    let Some(postbox) = to.postbox() else { return };
    let (pair, from, host) = (pair.clone(), from.clone(), host.clone());
    let shown = guest.clone();
    let verdict = Reply::new(move |verdict: Result<(), Objection>| {
        if !pair.judge(&host, &shown, verdict.is_ok()) {
            return; // One of them has come back with another disk since: that one is judged for itself.
        }
        if let (Err(objection), Some(postbox)) = (verdict, from.postbox()) {
            postbox.turned_away(host.peer, objection);
        }
    });
    postbox.meet(guest.clone(), verdict);
}

/// Where a peer is, or was, or will be.
pub(super) struct Place {
    id: PeerId,
    /// Whether it is on another machine: said once, before anything is sent.
    is_remote: AtomicBool,
    tenant: RwLock<Tenant>,
}

struct Tenant {
    /// Goes up whenever a peer comes or goes.
    incarnation: u64,
    /// Stays when the peer goes: what it had sent may still meet something.
    witness: Witness,
    postbox: Option<Arc<dyn Postbox>>,
    /// Who it says it is, once its disk is open.
    introduction: Option<Introduction>,
}

impl Place {
    fn new(id: PeerId, hub: &Arc<Hub>) -> Place {
        let witness = Witness::new(hub.clone(), id);
        Place {
            id,
            is_remote: AtomicBool::new(false),
            tenant: RwLock::new(Tenant { incarnation: 0, witness, postbox: None, introduction: None }),
        }
    }

    /// A clone, so that nothing is called while the place is locked.
    pub(super) fn postbox(&self) -> Option<Arc<dyn Postbox>> {
        self.tenant().postbox.clone()
    }

    /// Who is there, and says so.
    fn introduction(&self) -> Option<Introduction> {
        let tenant = self.tenant();
        tenant.introduction.clone().filter(|_| tenant.postbox.is_some())
    }

    fn is_remote(&self) -> bool {
        self.is_remote.load(Relaxed)
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.tenant().incarnation
    }

    fn witness(&self) -> Witness {
        self.tenant().witness.clone()
    }

    fn tenant(&self) -> RwLockReadGuard<'_, Tenant> {
        self.tenant.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenant_mut(&self) -> RwLockWriteGuard<'_, Tenant> {
        self.tenant.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way from one place to another.
#[derive(Clone)]
struct Way {
    network: Arc<Network>,
    from: Arc<Place>,
    to: Arc<Place>,
    pair: Arc<Pair>,
}

impl Link for Way {
    fn send(&self, rpc: Rpc) {
        if !self.is_plain() {
            let rpc = self.with_way_back(rpc);
            return self.carry(rpc);
        }
        if self.is_open()
            && let Some(postbox) = self.to.postbox()
        {
            postbox.deliver(rpc);
        }
    }
}

impl Way {
    /// Whether the two listen to each other.
    fn is_open(&self) -> bool {
        self.pair.is_open() || self.from.is_remote() || self.to.is_remote()
    }

    /// Whether a message can only arrive, at once, and nobody wants to know.
    fn is_plain(&self) -> bool {
        let network = &self.network;
        network.latency_ms.is_none() && network.faults.is_calm() && !network.hub.hears_messages()
    }

    /// The request with a port whose answers go through the weather of the way back.
    fn with_way_back(&self, mut rpc: Rpc) -> Rpc {
        match &mut rpc {
            Rpc::PreVote(rpc) => rpc.reply = self.through_weather(rpc.reply.clone()),
            Rpc::RequestVote(rpc) => rpc.reply = self.through_weather(rpc.reply.clone()),
            Rpc::AppendEntries(rpc) | Rpc::Check(rpc) => rpc.reply = self.through_weather(rpc.reply.clone()),
            Rpc::InstallSnapshot(rpc) => rpc.reply = self.through_weather(rpc.reply.clone()),
            Rpc::TimeoutNow(_) => {}
        }
        rpc
    }

    fn through_weather<A: Answer>(&self, reply: Reply<A>) -> Reply<A> {
        let asked_by = self.from.incarnation();
        let (from, to, pair) = (self.to.clone(), self.from.clone(), self.pair.clone());
        let back = Way { network: self.network.clone(), from, to, pair };
        Reply::new(move |answer| back.carry(Answered { answer, reply: reply.clone(), asked_by }))
    }

    /// Sends it into the weather.
    fn carry<P: Parcel>(&self, parcel: P) {
        let (kind, to) = (parcel.kind(), self.to.id);
        let verdict = self.network.faults.judge(self.from.id, to, kind);
        let why = match verdict {
            Verdict::Deliver { delay_ms: 1.., .. } => Why::DelayedByRule,
            _ => Why::EndOfTurn,
        };
        if !self.from.is_remote() {
            self.note(&self.from, || Event::Sent { kind, to, what: parcel.brief(), why });
        }
        match verdict {
            Verdict::Drop(why) => self.note(&self.from, || Event::Dropped { kind, to, why }),
            Verdict::Deliver { delay_ms, late_ms, copy_ms } => {
                let delays = [(delay_ms.saturating_sub(late_ms), why), (late_ms, Why::OvertakenByRule)];
                for (ms, why) in delays.into_iter().filter(|(ms, _)| *ms > 0) {
                    self.note(&self.from, || Event::Delayed { kind, to, ms, why });
                }
                if let Some(copy_ms) = copy_ms {
                    self.note(&self.from, || Event::Doubled { kind, to, why: Why::DoubledByRule });
                    self.post(delay_ms, parcel.clone());
                    self.post(copy_ms, parcel);
                } else {
                    self.post(delay_ms, parcel);
                }
            }
        }
    }

    /// Lets it arrive after the latency of this network and what the rules add.
    fn post<P: Parcel>(&self, rules_ms: u64, parcel: P) {
        let Network { latency_ms, faults, underway, .. } = &*self.network;
        let latency_ms = latency_ms.as_ref().map_or(0, |range| faults.draw_ms(range));
        let delay_ms = latency_ms.saturating_add(rules_ms);
        if delay_ms == 0 {
            return self.arrive(parcel);
        }
        let way = self.clone();
        underway.post(delay_ms, move || way.arrive(parcel));
    }

    fn arrive<P: Parcel>(&self, parcel: P) {
        let (kind, to) = (parcel.kind(), self.to.id);
        let Some(door) = parcel.door(&self.to) else {
            return self.note(&self.from, || Event::Dropped { kind, to, why: Why::PeerDown });
        };
        if !self.is_open() {
            return self.note(&self.from, || Event::Dropped { kind, to, why: Why::NotIntroduced });
        }
        let from = self.from.id;
        if !self.to.is_remote() {
            self.note(&self.to, || Event::Received { kind, from, what: parcel.brief(), why: Why::Arrived });
        }
        parcel.enter(door);
    }

    /// Asks first whether anybody listens, so that nothing is locked for nobody. What happens to a peer on
    /// another machine is told by the one that is here.
    fn note(&self, place: &Place, event: impl FnOnce() -> Event) {
        if self.network.hub.hears_messages() {
            let here = if place.is_remote() { &self.to } else { place };
            here.witness().note(event);
        }
    }
}

#[cfg(test)]
mod tests;
