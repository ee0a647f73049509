//! How tests drive a [`Cluster`]: messages in order, time, links, campaigns, clients.

use super::{
    cluster::{Cluster, Flight, Packet, Peer},
    *,
};

/// Whoever has not come to rest after so many steps never will: a test fails, and does not hang.
const STEPS_MAX: usize = 50_000;

impl Cluster {
    /// Delivers everything in the order in which it was sent, until nothing is under way.
    pub fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.wire.is_empty() {
                return;
            }
            let flight = self.wire.remove(0);
            let to = flight.to;
            self.deliver(flight);
            self.end_turn(to);
        }
        panic!("the cluster does not come to rest");
    }

    /// Delivers in order until nothing is under way but what satisfies `stop`, which stays there.
    pub fn settle_until(&mut self, stop: impl Fn(&Packet) -> bool) {
        self.deliver_while(|flight| !stop(&flight.packet));
    }

    /// Delivers the first that is among these, one turn each, until there is none.
    fn deliver_while(&mut self, among: impl Fn(&Flight) -> bool) {
        for _ in 0..STEPS_MAX {
            let Some(number) = self.wire.iter().position(&among) else { return };
            let flight = self.wire.remove(number);
            self.deliver_all([flight]);
        }
        panic!("the cluster does not come to rest");
    }

    /// Takes out of the wire what satisfies `which`, in order.
    pub fn take(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let (taken, rest) = std::mem::take(&mut self.wire).into_iter().partition(which);
        self.wire = rest;
        taken
    }

    /// Delivers these, one turn each.
    pub fn deliver_all(&mut self, flights: impl IntoIterator<Item = Flight>) {
        for flight in flights {
            let to = flight.to;
            self.deliver(flight);
            self.end_turn(to);
        }
    }

    /// Time passes and whoever waits for it wakes up; messages take no time.
    pub fn run_for(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        for _ in 0..STEPS_MAX {
            self.settle();
            let deadline =
                |(&id, peer): (&PeerId, &Peer)| peer.dry.as_ref().map(|dry| (dry.deadline_ms(), id));
            let due = self.peers.iter().filter_map(deadline).min();
            match due.filter(|&(due_ms, _)| due_ms <= until_ms) {
                Some((due_ms, id)) => {
                    self.now_ms = self.now_ms.max(due_ms);
                    self.turn(id.0, |dry| dry.deliver(Tick));
                }
                None => {
                    self.now_ms = until_ms;
                    return;
                }
            }
        }
        panic!("somebody's deadline has always passed");
    }

    /// Makes a peer campaign, after a silence that lets everybody forget the leader before it.
    pub fn campaign(&mut self, id: u64) {
        self.now_ms += 10_000;
        self.turn(id, |dry| dry.deliver(Tick));
    }

    /// Makes a peer lead.
    pub fn elect(&mut self, id: u64) {
        self.campaign(id);
        self.settle();
        assert_eq!(self.dry(id).kind(), RoleKind::Leader);
    }

    /// Makes a peer lead with the votes of these, and waits for nobody else.
    pub fn elect_among(&mut self, id: u64, friends: &[u64]) {
        for _ in 0..100 {
            if self.dry(id).kind() == RoleKind::Leader {
                return;
            }
            self.campaign(id);
            self.deliver_while(|flight| [flight.from, flight.to].iter().all(|it| friends.contains(&it.0)));
        }
        panic!("{id} is never elected");
    }

    /// Delivers in order all that is not for this peer.
    pub fn settle_except(&mut self, id: u64) {
        self.deliver_while(|flight| flight.to != PeerId(id));
    }

    /// Cuts or heals both directions between two groups.
    pub fn part(&mut self, one: &[u64], other: &[u64]) {
        for (&a, &b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.cut.extend([(PeerId(a), PeerId(b)), (PeerId(b), PeerId(a))]);
        }
    }

    /// A port whose outcome [`Cluster::outcome`] tells.
    pub fn port(&mut self) -> (u64, Port) {
        self.clients += 1;
        (self.clients, Port::tagged(self.clients, self.home.0.clone()))
    }

    /// What a client was told.
    pub fn outcome(&self, client: u64) -> Option<&Outcome> {
        self.outcomes.get(&client)
    }

    /// A client proposes, in the open turn of a peer.
    pub fn hear_proposal(&mut self, id: u64, command: Command) -> u64 {
        let (client, port) = self.port();
        self.hear(PeerId(id), |dry| dry.deliver(Propose { commands: vec![command], ports: vec![port] }));
        self.collect();
        client
    }

    /// A client proposes; the turn ends.
    pub fn propose(&mut self, id: u64, command: Command) -> u64 {
        let client = self.hear_proposal(id, command);
        self.end_turn(PeerId(id));
        client
    }

    /// A client reads, in the open turn of a peer.
    pub fn hear_read(&mut self, id: u64) -> u64 {
        let (client, port) = self.port();
        let query = Query { question: Bytes::new(), port };
        self.hear(PeerId(id), |dry| dry.deliver(ReadIndex { queries: vec![query] }));
        client
    }

    /// A client reads; the turn ends.
    pub fn read(&mut self, id: u64) -> u64 {
        let client = self.hear_read(id);
        self.end_turn(PeerId(id));
        client
    }

    /// How many clients were told something.
    pub fn told(&self) -> usize {
        self.outcomes.len()
    }
}
