//! What a leader's replicators do, without the actor: the hands of [`Progress`].

use super::{
    cluster::{Cluster, Flight, Packet, Told},
    leader::Order,
    progress::{Mode, Progress, Step},
    *,
};

/// One replicator.
pub struct Replica {
    pub progress: Progress,
    /// Its address: what was said to the one before it is not heard.
    pub number: u64,
}

impl Cluster {
    /// A leader orders its replicators, which live as long as its office.
    pub fn order(&mut self, id: PeerId, order: Order) {
        let office = self.office(id);
        let peer = self.peers.get_mut(&id).unwrap();
        if peer.replicas_of != office {
            let others = peer.dry.as_ref().unwrap().state().membership().others(id);
            let new = |to| (to, Replica { progress: Progress::new(&self.config), number: 0 });
            peer.replicas = others.map(new).collect();
            peer.replicas_of = office;
        }
        match order {
            Order::Stream(slice) => self.stream(id, &slice),
            Order::Feed(to, _) | Order::Probe(to, _) if self.progress(id, to).is_resting() => {}
            Order::Feed(to, slice) => {
                let step = self.progress(id, to).feed(&slice);
                self.append(id, to, slice);
                self.step(id, to, step);
            }
            Order::Probe(to, slice) => {
                self.progress(id, to).ask(&slice);
                self.append(id, to, slice);
            }
            Order::Beat(to, slice) => self.beat(id, to, slice),
            Order::SendSnapshot(to) => {
                self.progress(id, to).begin_snapshot();
                self.send_snapshot(id, to);
            }
            Order::TimeoutNow(to) => {
                let term = self.state(id.0).term();
                self.wire.push(Flight { from: id, to, office, packet: Packet::TimeoutNow { term } });
            }
            Order::Renew(to) => {
                let replica = self.peers.get_mut(&id).unwrap().replicas.get_mut(&to).unwrap();
                *replica = Replica { progress: Progress::new(&self.config), number: replica.number + 1 };
            }
        }
    }

    pub fn progress(&mut self, id: PeerId, to: PeerId) -> &mut Progress {
        &mut self.peers.get_mut(&id).unwrap().replicas.get_mut(&to).unwrap().progress
    }

    fn append(&mut self, from: PeerId, to: PeerId, slice: Arc<Slice>) {
        let (term, office) = (self.state(from.0).term(), self.office(from));
        let replica = self.peers[&from].replicas[&to].number;
        self.wire.push(Flight { from, to, office, packet: Packet::Append { term, slice, replica } });
    }

    fn stream(&mut self, id: PeerId, slice: &Arc<Slice>) {
        let replicas = &mut self.peers.get_mut(&id).unwrap().replicas;
        let takers: Vec<_> = replicas
            .iter_mut()
            .filter_map(|(&to, replica)| replica.progress.offer(slice).then_some(to))
            .collect();
        takers.into_iter().for_each(|to| self.append(id, to, slice.clone()));
    }

    fn beat(&mut self, id: PeerId, to: PeerId, slice: Arc<Slice>) {
        let progress = self.progress(id, to);
        let check = Slice { prev: progress.sent(), ..Slice::clone(&slice) };
        let (is_unconfirmed, step, mode) = (progress.is_unconfirmed(), progress.beat(), progress.mode());
        self.append(id, to, slice);
        if is_unconfirmed {
            self.append(id, to, Arc::new(check));
        }
        self.step(id, to, step);
        if mode == Mode::Snapshot {
            self.send_snapshot(id, to);
        }
    }

    fn send_snapshot(&mut self, from: PeerId, to: PeerId) {
        let (term, office) = (self.state(from.0).term(), self.office(from));
        let peer = &self.peers[&from];
        let (meta, content) = peer.snapshot.clone().expect("a log with a front has a snapshot before it");
        let replica = peer.replicas[&to].number;
        let packet = Packet::Install { term, meta, content, replica };
        self.wire.push(Flight { from, to, office, packet });
    }

    fn step(&mut self, id: PeerId, from: PeerId, step: Step) {
        if let Step::Pull(next) = step {
            let tenure = self.office(id).1;
            self.tell(id, tenure, Told::Pull(Pull { from, next }));
        }
    }

    /// An answer to a replicator.
    pub fn replica_hears(&mut self, flight: Flight) {
        let (id, from, tenure) = (flight.to, flight.from, flight.office.1);
        let peer = &self.peers[&id];
        if peer.replicas_of != flight.office || flight.office != self.office(id) {
            return;
        }
        let number = peer.replicas.get(&from).map(|replica| replica.number);
        let ours = self.state(id.0).term();
        match flight.packet {
            Packet::Appended { answer, replica } if number == Some(replica) => {
                if answer.term > ours {
                    return self.tell(id, tenure, Told::Outran(Outran { term: answer.term }));
                }
                self.appended(id, from, answer);
            }
            Packet::ChunkTaken { answer, at, replica } if number == Some(replica) => {
                if answer.term > ours {
                    return self.tell(id, tenure, Told::Outran(Outran { term: answer.term }));
                }
                let is_sending = self.progress(id, from).mode() == Mode::Snapshot;
                if is_sending && answer.taken == Taken::Installed(at.index) {
                    let step = self.progress(id, from).installed(at);
                    let matched = Matched { from, index: at.index, round: 0, healthy: true };
                    self.tell(id, tenure, Told::Matched(matched));
                    self.step(id, from, step);
                }
            }
            _ => {}
        }
    }

    fn appended(&mut self, id: PeerId, from: PeerId, answer: Appended) {
        let Appended { round, healthy, .. } = answer;
        let tenure = self.office(id).1;
        let conflict = match answer.result {
            Ok(index) => {
                let step = self.progress(id, from).on_matched(index);
                self.tell(id, tenure, Told::Matched(Matched { from, index, round, healthy }));
                return self.step(id, from, step);
            }
            Err(Refusal::Conflict(conflict)) => {
                Some(conflict).filter(|conflict| self.progress(id, from).on_refused(conflict.prev.index))
            }
            Err(Refusal::Backlog | Refusal::NoRoom) => {
                self.progress(id, from).on_backlog();
                None
            }
            Err(Refusal::Stale) => None,
        };
        self.tell(id, tenure, Told::Refused(Refused { from, conflict, round, healthy }));
    }
}
