//! For each invariant reports that violate exactly it, and neighbours that do not.

mod lives;
mod logs;
mod machines;
mod promises;

use super::*;
use crate::raft::{ActorKind, Index, MessageKind, Position, Term, Why};

const WHY: Why = Why::EndOfTurn;

fn at(term: u64, index: u64) -> Position {
    Position::new(term, index)
}

/// Tells an oracle what happens, as peers would.
struct Stage {
    oracle: Oracle,
    seq: u64,
    /// Term and role of each peer.
    peers: BTreeMap<u64, (u64, Option<RoleKind>)>,
}

impl Stage {
    /// Three peers, nobody leads.
    fn set() -> Stage {
        let mut stage = Stage { oracle: Oracle::new(), seq: 0, peers: BTreeMap::new() };
        (1..=3).for_each(|peer| stage.open(peer));
        stage
    }

    /// Peer 1 leads term 1, all hold its no-op 2@1, and have committed and applied it.
    fn led() -> Stage {
        let mut stage = Stage::set();
        stage.elect(1, 1, at(0, 1));
        stage.grow(1, 2, at(1, 2));
        for follower in [2, 3] {
            stage.follow(follower, 1, 1);
            stage.grow(follower, 2, at(1, 2));
            stage.ack(follower, 1, 2);
        }
        for peer in 1..=3 {
            stage.commit(peer, 2);
            stage.apply(peer, 1, 2);
        }
        stage
    }

    fn tell(&mut self, peer: u64, event: Event) {
        self.seq += 1;
        let (term, role) = self.peers.get(&peer).copied().unwrap_or_default();
        let (seq, at_us, peer, term) = (self.seq, self.seq * 1000, PeerId(peer), Term(term));
        self.oracle.observe(&Report { seq, at_us, peer, term, role, event });
    }

    fn is(&mut self, peer: u64, term: u64, role: Option<RoleKind>) {
        self.peers.insert(peer, (term, role));
    }

    fn open(&mut self, peer: u64) {
        self.is(peer, 0, None);
        self.tell(peer, Event::Opened { incarnation: 0, why: WHY });
        self.replay(peer, 0, at(0, 1), 0, Position::ZERO);
        self.restored(peer, 0);
        self.sync(peer, at(0, 1));
    }

    fn replay(&mut self, peer: u64, term: u64, last: Position, vote: u64, snapshot: Position) {
        self.is(peer, term, Some(RoleKind::Follower));
        self.tell(peer, Event::Replayed { last, vote: PeerId(vote), snapshot, why: WHY });
    }

    fn enter(&mut self, peer: u64, term: u64, role: RoleKind) {
        let from = Term(self.peers.get(&peer).copied().unwrap_or_default().0);
        self.is(peer, term, Some(role));
        self.tell(peer, Event::TermChanged { from, why: WHY });
    }

    fn elect(&mut self, peer: u64, term: u64, last: Position) {
        self.campaign(peer, term, last);
        self.sync(peer, last);
        self.win(peer, term, last);
    }

    fn campaign(&mut self, peer: u64, term: u64, last: Position) {
        self.enter(peer, term, RoleKind::Candidate);
        self.tell(peer, Event::Campaigned { last, why: WHY });
    }

    fn win(&mut self, peer: u64, term: u64, last: Position) {
        self.is(peer, term, Some(RoleKind::Leader));
        self.tell(peer, Event::Elected { last, why: WHY });
    }

    fn follow(&mut self, peer: u64, term: u64, leader: u64) {
        self.enter(peer, term, RoleKind::Follower);
        self.tell(peer, Event::Following { leader: PeerId(leader), why: WHY });
    }

    fn append(&mut self, peer: u64, first: u64, last: Position) {
        self.tell(peer, Event::Appended { first: Index(first), last, bytes: 1, why: WHY });
    }

    /// Appends, and syncs.
    fn grow(&mut self, peer: u64, first: u64, last: Position) {
        self.append(peer, first, last);
        self.sync(peer, last);
    }

    fn truncate(&mut self, peer: u64, from: u64) {
        self.tell(peer, Event::Truncated { from: Index(from), why: WHY });
    }

    fn sync(&mut self, peer: u64, durable: Position) {
        self.tell(peer, Event::Synced { records: 1, took_ms: 0, durable, why: WHY });
    }

    fn commit(&mut self, peer: u64, index: u64) {
        self.tell(peer, Event::Committed { index: Index(index), why: WHY });
    }

    fn apply(&mut self, peer: u64, first: u64, last: u64) {
        self.tell(peer, Event::Applied { first: Index(first), last: Index(last), why: WHY });
    }

    fn restored(&mut self, peer: u64, applied: u64) {
        self.tell(peer, Event::Restored { applied: Index(applied), why: WHY });
    }

    fn snapshot(&mut self, peer: u64, at: Position) {
        self.tell(peer, Event::SnapshotTaken { at, bytes: 1, why: WHY });
    }

    fn install(&mut self, peer: u64, at: Position, kept: bool) {
        self.tell(peer, Event::SnapshotInstalled { at, kept, why: WHY });
    }

    fn purge(&mut self, peer: u64, upto: Position) {
        self.tell(peer, Event::Compacted { upto, why: WHY });
    }

    fn say(&mut self, peer: u64, to: u64, kind: MessageKind, what: &str) {
        self.tell(peer, Event::Sent { kind, to: PeerId(to), what: what.into(), why: WHY });
    }

    fn ack(&mut self, peer: u64, to: u64, index: u64) {
        let term = self.peers.get(&peer).copied().unwrap_or_default().0;
        self.say(peer, to, MessageKind::Appended, &format!("term={term} match={index} round=3"));
    }

    fn crash(&mut self, peer: u64, actor: ActorKind, why: Why) {
        self.tell(peer, Event::Crashed { actor, cause: String::new(), during_sync: false, why });
        if matches!(actor, ActorKind::Role | ActorKind::Storage) {
            let term = self.peers.get(&peer).copied().unwrap_or_default().0;
            self.is(peer, term, None);
        }
    }

    fn recover(&mut self, peer: u64, actor: ActorKind) {
        self.tell(peer, Event::Recovered { actor, restarts: 1, why: WHY });
    }

    fn kill(&mut self, peer: u64) {
        self.tell(peer, Event::Killed { during_sync: false, why: Why::Injected });
    }

    /// Cut off, and back with this on its disk.
    fn reboot(&mut self, peer: u64, term: u64, last: Position, vote: u64, snapshot: Position) {
        self.kill(peer);
        self.is(peer, 0, None);
        self.tell(peer, Event::Opened { incarnation: 1, why: WHY });
        self.replay(peer, term, last, vote, snapshot);
    }
}

/// What did not hold, in order.
fn found(mut stage: Stage, play: impl FnOnce(&mut Stage)) -> Vec<Invariant> {
    assert!(stage.oracle.is_clean(), "{:#?}", stage.oracle.verdict());
    play(&mut stage);
    stage.oracle.verdict().iter().map(|violation| violation.invariant).collect()
}

/// What violates this invariant, once, and no other.
#[track_caller]
fn violates(invariant: Invariant, stage: Stage, play: impl FnOnce(&mut Stage)) {
    assert_eq!(found(stage, play), [invariant]);
}

/// What violates none.
#[track_caller]
fn holds(stage: Stage, play: impl FnOnce(&mut Stage)) {
    assert_eq!(found(stage, play), []);
}

#[test]
fn a_run_in_which_all_is_well_is_clean_and_counted() {
    let mut stage = Stage::led();
    stage.crash(1, ActorKind::Timer, Why::Injected);
    stage.recover(1, ActorKind::Timer);
    stage.tell(2, Event::Killed { during_sync: true, why: Why::Injected });
    let counts = stage.oracle.counts();
    assert!(stage.oracle.verdict().is_empty() && stage.oracle.is_clean());
    assert_eq!((counts.elections, counts.commits, counts.crashes, counts.kills), (1, 3, 1, 1));
    assert_eq!((counts.crashes_during_sync(), counts.kills_during_sync), (0, 1));
    assert_eq!(counts.crashes_of, BTreeMap::from([(ActorKind::Timer, (1, 0))]));
    assert_eq!(counts.events.values().sum::<u64>(), counts.reports);
    assert_eq!((counts.of("Opened"), counts.of("Applied"), counts.of("Poisoned")), (3, 3, 0));
}

#[test]
fn a_violation_says_what_and_where() {
    let mut stage = Stage::led();
    stage.commit(1, 2);
    let told = stage.oracle.violations();
    let [violation] = &told[..] else { panic!("{told:?}") };
    assert_eq!(violation.seq, stage.seq);
    assert_eq!(
        violation.to_string(),
        format!(
            "One Way (§5.1, Figure 2): the commit index was 2 before; at #{}: {}.000 n1@1 leader \
             Committed index=2: the turn ended",
            stage.seq, stage.seq
        )
    );
}

#[test]
fn the_first_hundred_are_kept() {
    let mut stage = Stage::led();
    (0..150).for_each(|_| stage.commit(1, 2));
    assert_eq!(stage.oracle.violations().len(), 100);
    assert!(!stage.oracle.is_clean());
}

#[test]
fn each_invariant_has_a_name_a_section_and_a_sentence() {
    for invariant in Invariant::ALL {
        assert!(invariant.section().contains(['§', 'F']) && invariant.sentence().ends_with('.'));
        assert!(invariant.to_string().starts_with(invariant.name()));
    }
}

#[test]
#[should_panic(expected = "1 invariants did not hold:\n  Expected (Figure 2): n3 broke the protocol")]
fn whoever_asks_for_a_clean_run_is_told_what_was_not() {
    let mut stage = Stage::led();
    let (by, what) = (PeerId(3), String::new());
    stage.tell(1, Event::Violation { by, what, why: Why::Malformed });
    stage.oracle.assert_clean();
}

/// Who is seen from the middle of its life on is not judged: it is not known what it had before.
#[test]
fn peers_are_judged_from_their_opening_on() {
    holds(Stage::led(), |stage| {
        stage.is(9, 4, Some(RoleKind::Leader));
        stage.append(9, 77, at(4, 80));
        stage.commit(9, 80);
        stage.apply(9, 78, 80);
    });
}
