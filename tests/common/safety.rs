//! What must hold in every run, whatever fell: read off the events, one by one.
//!
//! These are the safety properties of the paper (Figure 3) as far as events show them, and the rules
//! about disks that make them true after a crash. The ledgers, compared at the end of a run, show the
//! last of them, State Machine Safety.

use std::collections::{BTreeMap, BTreeSet};

use raft_actors::{
    observe::Report,
    raft::{Event, Index, MessageKind, PeerId, RoleKind, Term},
};

/// One peer, as its events so far show it.
#[derive(Default)]
struct Peer {
    /// The highest term in which it has said anything. Survives crashes: it was durable (§5.1).
    spoken: Term,
    /// The end of its log, as last made durable.
    durable: Index,
    /// What it knows to be committed, in this life of its role.
    commit: Index,
    /// What its machine has applied, in this life of the machine.
    applied: Index,
}

/// Reads a run, report by report.
#[derive(Default)]
pub struct Safety {
    peers: BTreeMap<PeerId, Peer>,
    leaders: BTreeMap<Term, PeerId>,
    /// Whom each peer voted for in each term, itself included.
    votes: BTreeMap<(PeerId, Term), PeerId>,
}

/// Checks a whole run.
pub fn assert_safe(reports: &[Report]) {
    let mut safety = Safety::default();
    for report in reports {
        safety.read(report);
    }
}

impl Safety {
    fn read(&mut self, report: &Report) {
        let Report { peer, term, role, .. } = *report;
        match &report.event {
            Event::Violation { .. } => panic!("a peer broke the protocol: {report}"),
            Event::Opened { .. } => drop(self.peers.entry(peer).or_default()),
            Event::Elected { .. } => {
                let leader = *self.leaders.entry(term).or_insert(peer);
                assert_eq!(leader, peer, "two leaders in one term (Election Safety, §5.2): {report}");
            }
            Event::Sent { kind, to, what, .. } => {
                assert!(role.is_some(), "a peer that recovers says nothing: {report}");
                // A vote counts once it is durable: then it leaves, and a candidate asks for others.
                match kind {
                    MessageKind::RequestVote => self.vote(report, peer),
                    MessageKind::Voted if what.ends_with("granted=true") => self.vote(report, *to),
                    _ => {}
                }
                self.speak(report, *kind, what);
            }
            Event::Synced { durable, .. } => self.of(peer).durable = durable.index,
            Event::Replayed { last, snapshot, .. } => {
                let it = self.of(peer);
                (it.durable, it.commit) = (last.index, snapshot.index);
            }
            Event::Committed { index, .. } => self.commit(report, *index),
            Event::SnapshotInstalled { at, .. } => self.of(peer).commit = at.index,
            Event::Restored { applied, .. } => self.of(peer).applied = *applied,
            Event::Applied { first, last, .. } => {
                let it = self.of(peer);
                assert_eq!(*first, it.applied.next(), "entries are applied in order, each once: {report}");
                assert!(*last <= it.durable, "what is applied is durable here: {report}");
                it.applied = *last;
            }
            Event::Truncated { from, .. } => {
                assert!(*from > self.of(peer).commit, "what is committed stays (§5.4): {report}");
            }
            _ => {}
        }
    }

    fn of(&mut self, peer: PeerId) -> &mut Peer {
        self.peers.entry(peer).or_default()
    }

    /// One vote in a term, whatever happens in between (§5.2).
    fn vote(&mut self, report: &Report, candidate: PeerId) {
        let vote = *self.votes.entry((report.peer, report.term)).or_insert(candidate);
        assert_eq!(vote, candidate, "two votes in one term: {report}");
    }

    /// What a peer says of its term never goes back. A canvass speaks of a term that nobody is in.
    fn speak(&mut self, report: &Report, kind: MessageKind, what: &str) {
        if matches!(kind, MessageKind::PreVote | MessageKind::PreVoted) {
            return;
        }
        let said = what.strip_prefix("term=").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let said = Term(said.unwrap_or_else(|| panic!("every message tells its term: {report}")));
        let it = self.of(report.peer);
        assert!(said >= it.spoken, "it spoke in term {} before: {report}", it.spoken);
        it.spoken = said;
    }

    /// A commit index never moves back in one life of a role, and a leader's rests on the disks of a
    /// majority (§5.3).
    fn commit(&mut self, report: &Report, index: Index) {
        let it = self.of(report.peer);
        assert!(index > it.commit, "the commit index moves back: {report}");
        it.commit = index;
        if report.role == Some(RoleKind::Leader) {
            let holders: BTreeSet<_> =
                self.peers.iter().filter(|(_, peer)| peer.durable >= index).map(|(&id, _)| id).collect();
            assert!(holders.len() * 2 > self.peers.len(), "only {holders:?} have it on disk: {report}");
        }
    }
}
