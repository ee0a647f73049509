//! A cluster of dry peers. Messages under way are values that a test delivers, drops, doubles and
//! reorders as it likes; a disk keeps what a turn wrote when the turn ends, and not before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures_channel::mpsc;

use super::{
    dry::{Dry, Errand},
    machine::Machine,
    replicas::Replica,
    safety::Safety,
    *,
};

/// What a machine had applied.
pub type Content = Arc<Vec<(Position, Command)>>;

/// A snapshot: what it covers, and what it holds.
pub type Snapshot = (Arc<SnapshotMeta>, Content);

/// Which client was told what.
type Heard = (u64, Outcome);

/// The address of one role of one incarnation of a peer.
pub type Office = (u64, u64);

/// A message under way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub from: PeerId,
    pub to: PeerId,
    /// Of requests the office that asks, of answers the office that asked.
    pub office: Office,
    pub packet: Packet,
}

/// What peers say to one another. The second half are answers.
#[derive(Clone, Debug)]
pub enum Packet {
    PreVote { term: Term, last: Position },
    RequestVote { term: Term, last: Position, transfer: bool },
    Append { term: Term, slice: Arc<Slice>, replica: u64 },
    Install { term: Term, meta: Arc<SnapshotMeta>, content: Content, replica: u64 },
    TimeoutNow { term: Term },
    PreVoted(PreVoted),
    Voted(Voted),
    Appended { answer: Appended, replica: u64 },
    ChunkTaken { answer: ChunkTaken, at: Position, replica: u64 },
}

/// What replicators tell their leader.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Matched(Matched),
    Refused(Refused),
    Pull(Pull),
    Outran(Outran),
}

/// One peer and everything it stands on.
pub struct Peer {
    /// `None`: it is down.
    pub dry: Option<Dry>,
    /// What is durable.
    pub disk: Vec<Record>,
    /// What is being made durable: its mailbox is shut until then.
    pub writing: Option<Vec<Record>>,
    /// What its replicators told it meanwhile.
    pub mailbox: Vec<(u64, Told)>,
    /// Its latest snapshot: durable, and what it holds.
    pub snapshot: Option<Snapshot>,
    pub machine: Machine,
    pub incarnation: u64,
    pub replicas: BTreeMap<PeerId, Replica>,
    /// Whose replicas these are.
    pub replicas_of: Office,
}

/// A number of peers, and what is under way between them.
pub struct Cluster {
    pub config: Config,
    pub peers: BTreeMap<PeerId, Peer>,
    pub now_ms: u64,
    pub wire: Vec<Flight>,
    /// Links that lose everything.
    pub cut: BTreeSet<(PeerId, PeerId)>,
    pub safety: Safety,
    post: Arc<Mutex<Vec<Flight>>>,
    pub(super) home: (mpsc::UnboundedSender<Heard>, mpsc::UnboundedReceiver<Heard>),
    pub(super) outcomes: BTreeMap<u64, Outcome>,
    pub(super) clients: u64,
    /// How often each event happened.
    pub happened: BTreeMap<&'static str, u64>,
    /// Mixed into the seed of every incarnation.
    pub seed: u64,
}

impl Cluster {
    /// Peers `1..=count` that start with empty disks.
    pub fn new(count: u64, config: Config) -> Cluster {
        Cluster::with_disks(config, vec![Vec::new(); count as usize])
    }

    /// One peer for each disk.
    pub fn with_disks(config: Config, disks: Vec<Vec<Record>>) -> Cluster {
        Cluster::seeded(config, disks, 0)
    }

    /// The same with other chances.
    pub fn seeded(config: Config, disks: Vec<Vec<Record>>, seed: u64) -> Cluster {
        config.validate().unwrap();
        let mut cluster = Cluster {
            config,
            peers: BTreeMap::new(),
            now_ms: 1_000,
            wire: Vec::new(),
            cut: BTreeSet::new(),
            safety: Safety::default(),
            post: Arc::default(),
            home: mpsc::unbounded(),
            outcomes: BTreeMap::new(),
            clients: 0,
            happened: BTreeMap::new(),
            seed,
        };
        for (id, disk) in (1..).map(PeerId).zip(disks) {
            let peer = Peer {
                dry: None,
                disk,
                writing: None,
                mailbox: Vec::new(),
                snapshot: None,
                machine: Machine::default(),
                incarnation: 0,
                replicas: BTreeMap::new(),
                replicas_of: (0, 0),
            };
            cluster.peers.insert(id, peer);
        }
        for id in cluster.ids() {
            cluster.start(id);
        }
        cluster
    }

    pub fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    pub fn peer(&mut self, id: u64) -> &mut Peer {
        self.peers.get_mut(&PeerId(id)).unwrap()
    }

    /// The role of a peer that is up.
    pub fn dry(&self, id: u64) -> &Dry {
        self.peers[&PeerId(id)].dry.as_ref().expect("the peer is up")
    }

    pub fn state(&self, id: u64) -> &State {
        self.dry(id).state()
    }

    /// The peers that lead, the newest term last.
    pub fn leaders(&self) -> Vec<PeerId> {
        let up = self.peers.iter().filter_map(|(&id, peer)| peer.dry.as_ref().map(|dry| (id, dry)));
        let mut leaders: Vec<_> = up.filter(|(_, dry)| dry.kind() == RoleKind::Leader).collect();
        leaders.sort_by_key(|(_, dry)| dry.state().term());
        leaders.into_iter().map(|(id, _)| id).collect()
    }

    /// The one leader.
    pub fn leader(&self) -> u64 {
        match self.leaders()[..] {
            [leader] => leader.0,
            ref leaders => panic!("one leader expected, not {leaders:?}"),
        }
    }

    /// Starts a peer from what its disk holds: `Restart` of the specification.
    pub fn start(&mut self, id: PeerId) {
        let identity = identity(id.0, self.peers.len() as u64, &self.config);
        let peer = self.peers.get_mut(&id).unwrap();
        peer.incarnation += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&id.0.to_le_bytes());
        seed[16..24].copy_from_slice(&peer.incarnation.to_le_bytes());
        let snapshot = peer.snapshot.as_ref().map(|(meta, _)| &**meta);
        let mut state = State::recover(&identity, peer.disk.clone(), snapshot, seed).unwrap();
        state.now_ms = self.now_ms;
        state.listen(true);
        // A role can fall between a leader's snapshot and the order to restore it.
        let is_behind = |meta: &SnapshotMeta| peer.machine.index() < meta.at.index;
        if let Some((_, content)) = peer.snapshot.as_ref().filter(|(meta, _)| is_behind(meta)) {
            peer.machine.applied = content.to_vec();
        }
        // Recovery relies on it: a commit is never counted before our own disk.
        assert!(peer.machine.index() <= state.log().last().index, "{id} applied what was not durable");
        state.resume_from(peer.machine.index());
        peer.dry = Some(Dry::with(AnyRole::Follower(follower::Follower::recovered(state))));
        self.end_turn(id);
    }

    /// Cuts the power of a peer: what no turn has ended on is gone, and of what is being written
    /// only the first `kept` records are there.
    pub fn crash(&mut self, id: PeerId, kept: usize) {
        self.crash_role(id, kept);
        let identity = identity(id.0, self.peers.len() as u64, &self.config);
        let peer = self.peers.get_mut(&id).unwrap();
        let snapshot = peer.snapshot.as_ref().map(|(meta, _)| &**meta);
        let state = State::recover(&identity, peer.disk.clone(), snapshot, [0; 32]).unwrap();
        assert!(peer.machine.index() <= state.log().last().index, "{id} applied what was not durable");
        peer.machine = Machine::default();
    }

    /// Only the role falls; the machine stands.
    pub fn crash_role(&mut self, id: PeerId, kept: usize) {
        let peer = self.peers.get_mut(&id).unwrap();
        peer.dry = None;
        peer.disk.extend(peer.writing.take().into_iter().flatten().take(kept));
        peer.replicas.clear();
        peer.mailbox.clear();
        self.collect();
    }

    /// Ends the turn of a peer, and those of its successors.
    pub fn end_turn(&mut self, id: PeerId) {
        for _ in 0..100 {
            if !self.peers[&id].dry.as_ref().is_some_and(Dry::is_open) {
                return;
            }
            self.begin_sync(id);
            self.end_sync(id);
        }
        panic!("{id} has one successor after the other");
    }

    /// The first half of the end of a turn: early errands leave, records are being written.
    pub fn begin_sync(&mut self, id: PeerId) {
        let peer = self.peers.get_mut(&id).unwrap();
        let Some(dry) = &mut peer.dry else { return };
        let (early, records) = dry.close();
        peer.writing = Some(records);
        self.run(id, early);
        self.check(id);
    }

    /// The second half: the records are durable, what rests on them leaves.
    pub fn end_sync(&mut self, id: PeerId) {
        let peer = self.peers.get_mut(&id).unwrap();
        let Some(dry) = &mut peer.dry else { return };
        peer.disk.extend(peer.writing.take().into_iter().flatten());
        let (letters, late) = dry.synced(0);
        letters.replies.into_iter().for_each(Letter::send);
        letters.outcomes.into_iter().for_each(|(port, outcome)| port.answer(outcome));
        for work in letters.machine {
            let snapshot = &peer.snapshot;
            peer.machine.work(work, |at| snapshot_content(snapshot, at));
        }
        dry.state_mut().applied = peer.machine.index();
        self.run(id, late);
        self.check(id);
        self.open_mailbox(id);
    }

    /// A replicator tells its leader something: now, or as soon as the mailbox opens.
    pub fn tell(&mut self, id: PeerId, tenure: u64, told: Told) {
        self.peers.get_mut(&id).unwrap().mailbox.push((tenure, told));
        self.open_mailbox(id);
    }

    fn open_mailbox(&mut self, id: PeerId) {
        let peer = self.peers.get_mut(&id).unwrap();
        if peer.writing.is_some() {
            return;
        }
        for (tenure, told) in std::mem::take(&mut peer.mailbox) {
            self.hear(id, |dry| match told {
                Told::Matched(told) => dry.answer(tenure, told),
                Told::Refused(told) => dry.answer(tenure, told),
                Told::Pull(told) => dry.answer(tenure, told),
                Told::Outran(told) => dry.answer(tenure, told),
            });
        }
    }

    /// Lets the turn of a peer hear something, without ending it.
    pub fn hear(&mut self, id: PeerId, hear: impl FnOnce(&mut Dry)) {
        let now_ms = self.now_ms;
        let peer = self.peers.get_mut(&id).unwrap();
        assert!(peer.writing.is_none(), "its mailbox is shut while it writes");
        let Some(dry) = &mut peer.dry else { return };
        dry.state_mut().now_ms = now_ms;
        dry.state_mut().applied = peer.machine.index();
        hear(dry);
        self.check(id);
    }

    /// A turn of one message.
    pub fn turn(&mut self, id: u64, hear: impl FnOnce(&mut Dry)) {
        self.hear(PeerId(id), hear);
        self.end_turn(PeerId(id));
    }

    pub fn office(&self, id: PeerId) -> Office {
        let peer = &self.peers[&id];
        (peer.incarnation, peer.dry.as_ref().map_or(0, Dry::tenure))
    }

    fn run(&mut self, id: PeerId, errands: Vec<Errand>) {
        for errand in errands {
            match errand {
                Errand::Canvass(asked) => self.ask_voters(id, asked, false),
                Errand::Campaign(asked) => self.ask_voters(id, asked, true),
                Errand::Order(order) => self.order(id, order),
            }
        }
        self.collect();
    }

    fn ask_voters(&mut self, from: PeerId, asked: pre_candidate::Canvass, campaign: bool) {
        let pre_candidate::Canvass { term, last, transfer } = asked;
        let office = self.office(from);
        let voters: Vec<_> = self.state(from.0).membership().other_voters(from).collect();
        for to in voters {
            let packet = if campaign {
                Packet::RequestVote { term, last, transfer }
            } else {
                Packet::PreVote { term, last }
            };
            self.wire.push(Flight { from, to, office, packet });
        }
    }

    /// What was answered and what clients were told since the last call.
    pub fn collect(&mut self) {
        self.wire.append(&mut self.post.lock().unwrap());
        while let Ok((tag, outcome)) = self.home.1.try_recv() {
            assert!(self.outcomes.insert(tag, outcome).is_none(), "a client is answered once");
        }
    }

    fn check(&mut self, id: PeerId) {
        self.collect();
        let dry = self.peers.get_mut(&id).and_then(|peer| peer.dry.as_mut());
        for event in dry.map(|dry| dry.state_mut().take_events()).into_iter().flatten() {
            *self.happened.entry(event.name()).or_default() += 1;
        }
        self.safety.check(id, &self.peers, &self.wire);
    }

    /// The way back of an answer to a request.
    fn reply<T: Clone + 'static>(
        &self,
        request: &Flight,
        packet: impl Fn(T) -> Packet + Send + Sync + 'static,
    ) -> Reply<T> {
        let (post, from, to, office) = (self.post.clone(), request.to, request.from, request.office);
        Reply::new(move |answer| {
            post.lock().unwrap().push(Flight { from, to, office, packet: packet(answer) });
        })
    }

    /// Delivers a message, which may be a copy, into the open turn of whom it is for.
    pub fn deliver(&mut self, flight: Flight) {
        let (to, from) = (flight.to, flight.from);
        if self.peers[&to].dry.is_none() || self.cut.contains(&(from, to)) {
            return;
        }
        match flight.packet.clone() {
            Packet::PreVote { term, last } => {
                let reply = self.reply(&flight, Packet::PreVoted);
                self.hear(to, |dry| dry.deliver(PreVote { term, candidate: from, last, reply }));
            }
            Packet::RequestVote { term, last, transfer } => {
                let reply = self.reply(&flight, Packet::Voted);
                self.hear(to, |dry| {
                    dry.deliver(RequestVote { term, candidate: from, last, transfer, reply })
                });
            }
            Packet::Append { term, slice, replica } => {
                let reply = self.reply(&flight, move |answer| Packet::Appended { answer, replica });
                self.hear(to, |dry| dry.deliver(AppendEntries { term, leader: from, slice, reply }));
            }
            Packet::Install { term, meta, content, replica } => {
                self.store_snapshot(to, &meta, content);
                let at = meta.at;
                let reply = self.reply(&flight, move |answer| Packet::ChunkTaken { answer, at, replica });
                self.hear(to, |dry| dry.deliver(Installed { term, leader: from, meta, reply }));
            }
            Packet::TimeoutNow { term } => {
                self.hear(to, |dry| dry.deliver(TimeoutNow { term, leader: from }))
            }
            _ if flight.office.0 != self.peers[&to].incarnation => {}
            Packet::PreVoted(answer) => self.hear(to, |dry| dry.answer(flight.office.1, answer)),
            Packet::Voted(answer) => self.hear(to, |dry| dry.answer(flight.office.1, answer)),
            Packet::Appended { .. } | Packet::ChunkTaken { .. } => self.replica_hears(flight),
        }
    }

    /// The store of a peer takes a whole snapshot in, before its role hears of it.
    fn store_snapshot(&mut self, id: PeerId, meta: &Arc<SnapshotMeta>, content: Content) {
        let peer = self.peers.get_mut(&id).unwrap();
        if peer.snapshot.as_ref().is_none_or(|(ours, _)| ours.at.index < meta.at.index) {
            peer.snapshot = Some((meta.clone(), content));
        }
    }

    /// The machine of a peer writes a snapshot of all it has applied.
    pub fn take_snapshot(&mut self, id: u64) {
        let state = self.state(id);
        let membership = state.membership().clone();
        let peer = &self.peers[&PeerId(id)];
        let Some(&(at, _)) = peer.machine.applied.last() else { return };
        let content = Arc::new(peer.machine.applied.clone());
        let meta = Arc::new(SnapshotMeta { at, membership, bytes: content.len() as u64, checksum: 0 });
        self.store_snapshot(PeerId(id), &meta, content);
        self.hear(PeerId(id), |dry| dry.deliver(Snapshotted { at }));
    }
}

fn snapshot_content(snapshot: &Option<Snapshot>, at: Position) -> Vec<(Position, Command)> {
    let (meta, content) = snapshot.as_ref().expect("a restored snapshot is stored");
    // The store may have moved on to a later one: its beginning is the same.
    assert!(meta.at.index >= at.index);
    content.iter().filter(|(position, _)| position.index <= at.index).cloned().collect()
}
