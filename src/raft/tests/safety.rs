//! The five properties of Figure 3, and what follows from "durable before it is said", checked after
//! every step of a [`Cluster`](super::cluster::Cluster).

use std::collections::BTreeMap;

use super::{
    cluster::{Flight, Office, Packet, Peer},
    *,
};

/// What an outside judge has seen so far.
#[derive(Default)]
pub struct Safety {
    /// Election Safety: who leads a term.
    leaders: BTreeMap<Term, PeerId>,
    /// Leader Append-Only: where the log of each leader ended when it was last seen.
    led: BTreeMap<(PeerId, Office), Position>,
    /// Log Matching: every entry that was ever in any log, with the one before it. Two logs that
    /// agree with this agree with one another.
    entries: BTreeMap<Position, (Position, Command)>,
    /// Leader Completeness: what is committed, and the term in which that was first seen.
    pub committed: BTreeMap<Index, (Position, Term)>,
    /// The commit index, which never moves back, of each incarnation.
    commits: BTreeMap<(PeerId, u64), Index>,
    /// What the peer's machine had applied when it was last seen.
    applied: BTreeMap<PeerId, usize>,
    /// Who got whose vote.
    votes: BTreeMap<(PeerId, Term), PeerId>,
    /// The highest term that each peer has spoken in.
    spoken: BTreeMap<PeerId, Term>,
    /// What a peer's log looked like when its entries were last compared.
    compared: BTreeMap<PeerId, (Position, Position, u64)>,
    /// For logs too large to compare after every step.
    pub is_off: bool,
    /// How many steps were checked.
    pub steps: u64,
}

impl Safety {
    /// Checks one peer after a step of its own.
    pub fn check(&mut self, id: PeerId, peers: &BTreeMap<PeerId, Peer>, wire: &[Flight]) {
        self.steps += 1;
        if self.is_off {
            return;
        }
        self.check_words(wire);
        let peer = &peers[&id];
        let Some(dry) = &peer.dry else { return };
        let state = dry.state();
        assert!(Some(&state.term()) >= self.spoken.get(&id), "peer {id} fell back behind what it said");
        assert!(state.log().last().term <= state.term(), "an entry of a later term");
        self.check_log(id, peer.incarnation, state.log());
        if dry.kind() == RoleKind::Leader {
            self.check_leader(id, (peer.incarnation, dry.tenure()), state);
        }
        self.check_commit(id, peer, peers);
        self.check_applied(id, peer);
    }

    /// One vote in a term, however often a peer crashes (§5.2), and no word out of an older term.
    fn check_words(&mut self, wire: &[Flight]) {
        for flight in wire {
            let term = match &flight.packet {
                Packet::Voted(answer) => {
                    if answer.granted {
                        let vote = *self.votes.entry((flight.from, answer.term)).or_insert(flight.to);
                        assert_eq!(vote, flight.to, "peer {} voted twice in {}", flight.from, answer.term);
                    }
                    answer.term
                }
                Packet::RequestVote { term, .. } => {
                    let vote = *self.votes.entry((flight.from, *term)).or_insert(flight.from);
                    assert_eq!(vote, flight.from, "a candidate votes for itself");
                    *term
                }
                Packet::Append { term, .. } | Packet::TimeoutNow { term } => *term,
                Packet::Appended { answer, .. } => answer.term,
                _ => continue,
            };
            let spoken = self.spoken.entry(flight.from).or_default();
            *spoken = term.max(*spoken);
        }
    }

    /// "If two logs contain an entry with the same index and term, then the logs are identical in
    /// all entries up through the given index" (Log Matching, §5.3).
    fn check_log(&mut self, id: PeerId, incarnation: u64, log: &Log) {
        // Compares again from time to time, in case a log changes behind an unchanged end.
        let seen = (log.base(), log.last(), incarnation + (self.steps / 64));
        if self.compared.insert(id, seen) == Some(seen) {
            return;
        }
        let mut before = log.base();
        for batch in log.all(Index(0), log.last().index) {
            for (position, command) in batch.entries() {
                assert_eq!(position.index, before.index.next(), "a hole in the log of {id}");
                let (prev, first) = self.entries.entry(position).or_insert((before, command.clone()));
                assert_eq!((*prev, &*first), (before, command), "Log Matching at {position} of {id}");
                before = position;
            }
        }
        assert_eq!(before, log.last());
    }

    /// "At most one leader can be elected in a given term" (§5.2); "a leader never overwrites or
    /// deletes entries in its log" (§5.3); "if a log entry is committed in a given term, then that
    /// entry will be present in the logs of the leaders for all higher-numbered terms" (§5.4).
    fn check_leader(&mut self, id: PeerId, office: Office, state: &State) {
        let first = *self.leaders.entry(state.term()).or_insert(id);
        assert_eq!(first, id, "Election Safety in term {}", state.term());
        let log = state.log();
        let is_new = !self.led.contains_key(&(id, office));
        let end = self.led.insert((id, office), log.last()).unwrap_or(log.base());
        assert!(log.last() >= end && (end < log.base() || log.has(end)), "Leader Append-Only of {id}");
        if is_new {
            self.committed.values().for_each(|committed| complete(id, state, committed));
        }
    }

    /// The commit index only rises, and nobody ever commits anything else at the same index.
    fn check_commit(&mut self, id: PeerId, peer: &Peer, peers: &BTreeMap<PeerId, Peer>) {
        let state = peer.dry.as_ref().unwrap().state();
        let known = self.commits.entry((id, peer.incarnation)).or_default();
        let (from, commit) = (*known, state.commit());
        assert!(commit >= from, "the commit index of {id} moved back");
        assert!(commit <= state.log().last().index, "{id} committed what it does not hold");
        *known = commit;
        for index in from.next().0..=commit.0 {
            let Some(term) = state.log().term_at(Index(index)) else { continue };
            let at = Position { term, index: Index(index) };
            let is_new = !self.committed.contains_key(&at.index);
            let committed = *self.committed.entry(at.index).or_insert((at, state.term()));
            assert_eq!(committed.0, at, "{id} committed something else");
            if is_new {
                let up = peers.iter().filter_map(|(&id, peer)| peer.dry.as_ref().map(|dry| (id, dry)));
                up.filter(|(_, dry)| dry.kind() == RoleKind::Leader)
                    .for_each(|(id, dry)| complete(id, dry.state(), &committed));
            }
        }
    }

    /// "If a server has applied a log entry at a given index to its state machine, no other server
    /// will ever apply a different log entry for the same index" (State Machine Safety, §5.4.3).
    fn check_applied(&mut self, id: PeerId, peer: &Peer) {
        let now = &peer.machine.applied;
        let seen = self.applied.insert(id, now.len()).filter(|&seen| seen <= now.len()).unwrap_or(0);
        for (position, command) in &now[seen..] {
            assert_eq!(self.committed[&position.index].0, *position, "State Machine Safety of {id}");
            assert_eq!(self.entries[position].1, *command, "State Machine Safety of {id}");
        }
    }

    /// The command of a committed entry.
    pub fn is_committed(&self, command: &Command) -> bool {
        self.committed.values().any(|(at, _)| self.entries[at].1 == *command)
    }
}

fn complete(id: PeerId, state: &State, &(at, term): &(Position, Term)) {
    if term < state.term() && at.index > state.log().base().index {
        assert!(state.log().has(at), "Leader Completeness: {id} lacks {at}");
    }
}
