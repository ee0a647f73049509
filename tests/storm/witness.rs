//! Who looks on in a storm: the properties that can be seen from events alone, as they happen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use raft_actors::{
    observe::{Observer, Report},
    raft::{ActorKind, Event, Index, MessageKind, PeerId, Position, RoleKind, Term},
};
use tokio::{sync::oneshot, time::timeout};

/// Looks on. Clones are the same witness.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

/// One peer, as far as events tell.
#[derive(Default)]
struct Peer {
    is_dying: bool,
    commit: Index,
    applied: Index,
    /// The terms of the entries in its log that are known.
    terms: BTreeMap<Index, Term>,
    /// Whether it has something to write, and the end of its log on its disk.
    dirty: bool,
    durable: Index,
    /// Its last vote.
    vote: Option<(Term, PeerId)>,
    /// Who of it fell and is not back.
    fallen: BTreeMap<ActorKind, i64>,
}

#[derive(Default)]
pub struct Seen {
    peers: BTreeMap<PeerId, Peer>,
    leaders: BTreeMap<Term, PeerId>,
    /// What is committed anywhere.
    committed: BTreeMap<Index, Term>,
    complaints: Vec<String>,
    hash: DefaultHasher,
    hashes: bool,
    /// Who waits for an event of this name.
    waiting: Vec<(&'static str, oneshot::Sender<PeerId>)>,
    watching: BTreeSet<(u64, &'static str)>,
    watched: u64,
    pub counts: BTreeMap<&'static str, u64>,
    text: Option<String>,
}

impl Observer for Witness {
    fn observe(&mut self, report: &Report) {
        self.seen().see(report);
    }
}

impl Witness {
    /// `hashes`: every report goes into one number. `records`: every report is kept.
    pub fn new(hashes: bool, records: bool) -> Witness {
        let text = records.then(String::new);
        Witness(Arc::new(Mutex::new(Seen { hashes, text, ..Seen::default() })))
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// Waits for the next event of this name; says whose it was.
    pub async fn next(&self, event: &'static str) -> PeerId {
        let (sender, receiver) = oneshot::channel();
        self.seen().waiting.push((event, sender));
        receiver.await.unwrap_or_default()
    }

    /// Runs something beside the storm that has to come to an end.
    pub fn watch(&self, what: &'static str, task: impl Future<Output = ()> + 'static) {
        let mut seen = self.seen();
        seen.watched += 1;
        let number = seen.watched;
        seen.watching.insert((number, what));
        let witness = self.clone();
        drop(tokio::task::spawn_local(async move {
            let ended = timeout(Duration::from_secs(60), task).await;
            let mut seen = witness.seen();
            seen.watching.remove(&(number, what));
            if ended.is_err() {
                seen.complaints.push(format!("{what} has no end"));
            }
        }));
    }

    pub fn is_idle(&self) -> bool {
        self.seen().watching.is_empty()
    }
}

impl Seen {
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What is wrong, at the end of a run at which everything has healed.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.complaints.clone();
        for (id, peer) in &self.peers {
            for (actor, count) in peer.fallen.iter().filter(|(_, count)| **count != 0) {
                complaints.push(format!("n{id}: {count} crashes of the {actor} have no recovery"));
            }
        }
        complaints.extend(self.watching.iter().map(|(_, what)| format!("{what} has no end")));
        complaints
    }

    fn see(&mut self, report: &Report) {
        *self.counts.entry(report.event.name()).or_default() += 1;
        if self.hashes {
            report.to_string().hash(&mut self.hash);
        }
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{report}");
        }
        let name = report.event.name();
        for (_, waiting) in self.waiting.extract_if(.., |(event, _)| *event == name) {
            let _ = waiting.send(report.peer);
        }
        let mut wrong = Vec::new();
        self.check(report, &mut wrong);
        self.complaints.extend(wrong.into_iter().map(|what| format!("{what}, at: {report}")));
    }

    fn check(&mut self, report: &Report, wrong: &mut Vec<String>) {
        let id = report.peer;
        let peer = self.peers.entry(id).or_default();
        // Its power is cut, and its actors are on their way out.
        if peer.is_dying && !matches!(report.event, Event::Opened { .. }) {
            return;
        }
        match &report.event {
            Event::Elected { last, .. } => {
                if let Some(other) = self.leaders.insert(report.term, id) {
                    wrong.push(format!("n{other} leads this term already"));
                }
                let committed = self.committed.last_key_value();
                if let Some((index, term)) = committed
                    && *last < (Position { term: *term, index: *index })
                {
                    wrong.push(format!("elected without {index}@{term}, which is committed"));
                }
            }
            Event::Appended { first, last, .. } => {
                peer.dirty = true;
                peer.terms.extend((first.0..=last.index.0).map(|index| (Index(index), last.term)));
            }
            Event::Truncated { from, .. } => {
                peer.dirty = true;
                drop(peer.terms.split_off(from));
                if *from <= peer.commit {
                    wrong.push(format!("what is committed up to {} is truncated", peer.commit));
                }
            }
            Event::TermChanged { .. } => peer.dirty = true,
            Event::Voted { candidate, granted: true, .. } => {
                let vote = Some((report.term, *candidate));
                peer.dirty |= peer.vote != vote;
                peer.vote = vote;
            }
            Event::SyncBegun { .. } => {}
            Event::Synced { durable, .. } => (peer.dirty, peer.durable) = (false, durable.index),
            Event::Committed { index, .. } => {
                if *index <= peer.commit {
                    wrong.push(format!("the commit index was {}", peer.commit));
                }
                if *index > peer.durable && report.role == Some(RoleKind::Leader) {
                    wrong.push("committed before its own disk has it".into());
                }
                for (&at, &term) in peer.terms.range(peer.commit.next()..=*index) {
                    let known = *self.committed.entry(at).or_insert(term);
                    if known != term {
                        wrong.push(format!("entry {at} is committed in term {known} and in term {term}"));
                    }
                }
                peer.commit = *index;
            }
            Event::SnapshotInstalled { at, .. } => {
                peer.commit = at.index;
                peer.terms.clear();
                if self.committed.get(&at.index).is_some_and(|term| *term != at.term) {
                    wrong.push("a snapshot of what was never committed".into());
                }
            }
            Event::Replayed { last, snapshot, vote, .. } => {
                peer.durable = last.index;
                // It may be asked for the same vote again, and that one is durable.
                peer.vote = (*vote != PeerId::default()).then_some((report.term, *vote));
                // Where it begins again only its machine knows.
                peer.commit = snapshot.index;
                peer.terms.clear();
                peer.dirty = false;
            }
            Event::Restored { applied, .. } => peer.applied = *applied,
            Event::Applied { first, last, .. } => {
                if *first != peer.applied.next() || last < first {
                    wrong.push(format!("applied up to {} before", peer.applied));
                }
                peer.applied = *last;
            }
            Event::Sent { kind: MessageKind::Appended, what, .. }
                if peer.dirty && what.contains("match=") =>
            {
                wrong.push("acknowledged before the sync".into());
            }
            Event::Sent { kind: MessageKind::Voted, what, .. }
                if peer.dirty && what.contains("granted=true") =>
            {
                wrong.push("voted before the sync".into());
            }
            Event::Crashed { actor, .. } => *peer.fallen.entry(*actor).or_default() += 1,
            Event::Recovered { actor, .. } => *peer.fallen.entry(*actor).or_default() -= 1,
            Event::Killed { .. } => *peer = Peer { is_dying: true, ..Peer::default() },
            Event::Opened { .. } => peer.is_dying = false,
            Event::Violation { .. } | Event::Poisoned { .. } | Event::PeerStopped { .. } => {
                wrong.push("nobody did that".into());
            }
            _ => {}
        }
    }
}
