//! Terms, votes and acknowledgements: what is said, and what it rests on.

use super::*;

const KIND: MessageKind = MessageKind::AppendEntries;

#[test]
fn terms_never_go_back() {
    let later = || {
        let mut stage = Stage::led();
        stage.enter(2, 3, RoleKind::Follower);
        stage.sync(2, at(1, 2));
        stage.ack(2, 1, 2);
        stage
    };
    violates(Invariant::OneWay, later(), |stage| stage.say(2, 1, MessageKind::Appended, "term=2 stale"));
    holds(later(), |stage| stage.say(2, 1, MessageKind::Appended, "term=3 stale"));
    violates(Invariant::OneWay, later(), |stage| stage.enter(2, 3, RoleKind::Follower));
    // A canvass speaks of terms that nobody is in.
    holds(later(), |stage| {
        stage.say(2, 1, MessageKind::PreVote, "term=4 last=2@1");
        stage.say(2, 1, MessageKind::PreVoted, "term=2 granted=true");
        stage.say(2, 1, MessageKind::Appended, "term=3 stale");
    });
    violates(Invariant::OneWay, later(), |stage| stage.say(2, 1, MessageKind::Appended, "stale"));
}

/// Over all lives: what it had said in it, it had synced.
#[test]
fn what_was_said_is_said_for_all_lives() {
    let spoken = |stage: &mut Stage, term| {
        stage.reboot(2, 1, at(1, 2), 0, Position::ZERO);
        stage.say(2, 1, MessageKind::Appended, &format!("term={term} stale"));
        stage.reboot(2, 1, at(1, 2), 0, Position::ZERO);
        stage.say(2, 1, MessageKind::Appended, "term=4 stale");
    };
    violates(Invariant::OneWay, Stage::led(), |stage| spoken(stage, 5));
    holds(Stage::led(), |stage| spoken(stage, 4));
}

#[test]
fn one_vote_a_term() {
    let vote = |candidate| Event::Voted { candidate: PeerId(candidate), granted: true, why: WHY };
    let voted = || {
        let mut stage = Stage::led();
        stage.enter(2, 2, RoleKind::Follower);
        stage.tell(2, vote(3));
        stage.sync(2, at(1, 2));
        stage
    };
    violates(Invariant::OneVote, voted(), |stage| {
        stage.tell(2, vote(1));
        stage.sync(2, at(1, 2));
    });
    holds(voted(), |stage| {
        stage.tell(2, vote(3));
        stage.say(2, 3, MessageKind::Voted, "term=2 granted=true");
        stage.tell(2, Event::Voted { candidate: PeerId(1), granted: false, why: WHY });
        stage.say(2, 1, MessageKind::Voted, "term=2 granted=false");
        stage.enter(2, 3, RoleKind::Follower);
        stage.tell(2, vote(1));
    });
    violates(Invariant::OneVote, voted(), |stage| stage.campaign_again(2));
}

impl Stage {
    /// A candidate of a term in which it had voted.
    fn campaign_again(&mut self, peer: u64) {
        self.tell(peer, Event::Campaigned { last: at(1, 2), why: WHY });
    }
}

/// What others were told counts, whatever the peer itself remembers.
#[test]
fn one_vote_over_all_lives() {
    let twice = |stage: &mut Stage, kind, to| {
        stage.is(2, 2, Some(RoleKind::Follower));
        stage.say(2, 3, MessageKind::Voted, "term=2 granted=true");
        stage.reboot(2, 2, at(1, 2), 3, Position::ZERO);
        stage.say(
            2,
            to,
            kind,
            if kind == MessageKind::Voted { "term=2 granted=true" } else { "term=2 last=2@1" },
        );
    };
    violates(Invariant::OneVote, Stage::led(), |stage| twice(stage, MessageKind::Voted, 1));
    violates(Invariant::OneVote, Stage::led(), |stage| twice(stage, MessageKind::RequestVote, 1));
    holds(Stage::led(), |stage| twice(stage, MessageKind::Voted, 3));
}

#[test]
fn terms_and_votes_are_synced_before_they_are_said() {
    violates(Invariant::SyncedFirst, Stage::led(), |stage| {
        stage.enter(2, 2, RoleKind::Follower);
        stage.say(2, 3, MessageKind::Appended, "term=2 match=2");
    });
    violates(Invariant::SyncedFirst, Stage::led(), |stage| {
        stage.enter(2, 2, RoleKind::Follower);
        stage.sync(2, at(1, 2));
        stage.tell(2, Event::Voted { candidate: PeerId(3), granted: true, why: WHY });
        stage.say(2, 3, MessageKind::Voted, "term=2 granted=true");
    });
    violates(Invariant::SyncedFirst, Stage::led(), |stage| {
        stage.campaign(2, 2, at(1, 2));
        stage.say(2, 3, MessageKind::RequestVote, "term=2 last=2@1");
    });
    holds(Stage::led(), |stage| {
        stage.campaign(2, 2, at(1, 2));
        // A leader that has gone may still be heard.
        stage.say(2, 3, KIND, "term=1 prev=2@1 commit=2");
        stage.sync(2, at(1, 2));
        stage.say(2, 3, MessageKind::RequestVote, "term=2 last=2@1");
        stage.enter(3, 2, RoleKind::Follower);
        stage.tell(3, Event::Voted { candidate: PeerId(2), granted: true, why: WHY });
        stage.sync(3, at(1, 2));
        // It has voted so already: nothing new has to be written.
        stage.tell(3, Event::Voted { candidate: PeerId(2), granted: true, why: WHY });
        stage.say(3, 2, MessageKind::Voted, "term=2 granted=true");
    });
}

#[test]
fn entries_are_synced_before_they_are_acknowledged() {
    let appended = || {
        let mut stage = Stage::led();
        stage.append(1, 3, at(1, 5));
        stage.append(2, 3, at(1, 5));
        stage
    };
    violates(Invariant::SyncedFirst, appended(), |stage| stage.ack(2, 1, 5));
    violates(Invariant::SyncedFirst, appended(), |stage| stage.ack(2, 1, 3));
    holds(appended(), |stage| {
        stage.ack(2, 1, 2);
        stage.sync(2, at(1, 5));
        stage.ack(2, 1, 5);
    });
    violates(Invariant::SyncedFirst, appended(), |stage| {
        stage.sync(2, at(1, 5));
        stage.ack(2, 1, 6);
    });
    // The same indexes are on the disk, of another term.
    violates(Invariant::SyncedFirst, appended(), |stage| {
        stage.sync(2, at(1, 5));
        stage.elect(3, 2, at(1, 2));
        stage.append(3, 3, at(2, 4));
        stage.enter(2, 2, RoleKind::Follower);
        stage.sync(2, at(1, 5));
        stage.truncate(2, 3);
        stage.append(2, 3, at(2, 4));
        stage.ack(2, 3, 4);
    });
}

/// Accepted in term 1, truncated in term 2, in one turn: what was accepted may still be said, once all is synced.
#[test]
fn what_was_accepted_before_the_next_term_may_be_said_in_it() {
    let truncated = || {
        let mut stage = Stage::led();
        stage.append(1, 3, at(1, 5));
        stage.append(2, 3, at(1, 5));
        stage.elect(3, 2, at(1, 2));
        stage.enter(2, 2, RoleKind::Follower);
        stage.truncate(2, 3);
        stage
    };
    let of_term_1 = |stage: &mut Stage| stage.say(2, 1, MessageKind::Appended, "term=1 match=5 round=0");
    holds(truncated(), |stage| {
        stage.sync(2, at(1, 2));
        of_term_1(stage);
    });
    violates(Invariant::SyncedFirst, truncated(), |stage| {
        stage.append(3, 3, at(2, 3));
        stage.append(2, 3, at(2, 3));
        of_term_1(stage);
    });
    violates(Invariant::SyncedFirst, truncated(), |stage| {
        stage.sync(2, at(1, 2));
        stage.say(2, 3, MessageKind::Appended, "term=2 match=5 round=0");
    });
}

#[test]
fn a_leader_commits_what_a_majority_has_synced() {
    let two = |index, of: u64| {
        move |stage: &mut Stage| {
            stage.append(1, 3, at(1, 4));
            stage.append(2, 3, at(1, 4));
            stage.sync(1, at(1, 4));
            if of > 1 {
                stage.sync(2, at(1, 4));
            }
            stage.commit(1, index);
        }
    };
    violates(Invariant::QuorumHolds, Stage::led(), two(3, 1));
    holds(Stage::led(), two(4, 2));
    // A leader whose own disk is behind counts two others.
    holds(Stage::led(), |stage| {
        stage.append(1, 3, at(1, 3));
        stage.grow(2, 3, at(1, 3));
        stage.grow(3, 3, at(1, 3));
        stage.commit(1, 3);
    });
    // Who was cut off, and came back with less, holds less.
    violates(Invariant::QuorumHolds, Stage::led(), |stage| {
        stage.grow(1, 3, at(1, 3));
        stage.append(2, 3, at(1, 3));
        stage.reboot(2, 1, at(1, 2), 0, Position::ZERO);
        stage.commit(1, 3);
    });
    holds(Stage::led(), |stage| {
        stage.grow(1, 3, at(1, 3));
        stage.append(2, 3, at(1, 3));
        stage.reboot(2, 1, at(1, 3), 0, Position::ZERO);
        stage.commit(1, 3);
    });
}

/// The same index of another term is not the same entry.
#[test]
fn a_majority_holds_the_very_entry() {
    let forked = |synced| {
        move |stage: &mut Stage| {
            stage.grow(1, 3, at(1, 3));
            stage.grow(3, 3, at(1, 3));
            stage.elect(2, 2, at(1, 2));
            stage.grow(2, 3, at(2, 3));
            if synced {
                stage.enter(3, 2, RoleKind::Follower);
                stage.truncate(3, 3);
                stage.grow(3, 3, at(2, 3));
            }
            stage.commit(2, 3);
        }
    };
    violates(Invariant::QuorumHolds, Stage::led(), forked(false));
    holds(Stage::led(), forked(true));
}

#[test]
fn a_leader_counts_for_its_own_term_only() {
    let older = || {
        let mut stage = Stage::led();
        stage.grow(1, 3, at(1, 3));
        stage.grow(2, 3, at(1, 3));
        stage.elect(2, 2, at(1, 3));
        stage
    };
    violates(Invariant::QuorumHolds, older(), |stage| stage.commit(2, 3));
    holds(older(), |stage| {
        stage.grow(2, 4, at(2, 4));
        stage.enter(1, 2, RoleKind::Follower);
        stage.grow(1, 4, at(2, 4));
        stage.commit(2, 4);
    });
}

/// Who votes can be told, and then who never came counts too.
#[test]
fn voters_that_never_came_hold_nothing() {
    let commit = |oracle: Oracle| {
        let mut stage = Stage { oracle, seq: 0, peers: BTreeMap::new() };
        stage.open(1);
        stage.elect(1, 1, at(0, 1));
        stage.grow(1, 2, at(1, 2));
        stage
    };
    let of = |voters: &[u64]| commit(Oracle::of(voters.iter().map(|&peer| PeerId(peer))));
    violates(Invariant::QuorumHolds, of(&[1, 2, 3]), |stage| stage.commit(1, 2));
    violates(Invariant::QuorumHolds, of(&[1, 2]), |stage| stage.commit(1, 2));
    holds(of(&[1]), |stage| stage.commit(1, 2));
    holds(commit(Oracle::new()), |stage| stage.commit(1, 2));
}

#[test]
fn who_recovers_is_silent() {
    let fallen = || {
        let mut stage = Stage::led();
        stage.crash(1, ActorKind::Role, Why::Injected);
        stage.crash(2, ActorKind::Role, Why::Injected);
        stage.oracle.judge().peers.values_mut().for_each(|book| book.fallen.clear());
        stage
    };
    violates(Invariant::Silence, fallen(), |stage| stage.ack(2, 1, 2));
    violates(Invariant::Silence, fallen(), |stage| stage.say(2, 1, MessageKind::PreVote, "term=2 last=2@1"));
    violates(Invariant::Silence, fallen(), |stage| stage.say(2, 3, KIND, "term=1 prev=2@1 commit=2"));
    violates(Invariant::Silence, fallen(), |stage| {
        stage.say(1, 3, MessageKind::TimeoutNow, "term=1");
    });
    // It fell in a later term than the one it led.
    violates(Invariant::Silence, Stage::led(), |stage| {
        stage.enter(1, 3, RoleKind::Follower);
        stage.sync(1, at(1, 2));
        stage.crash(1, ActorKind::Role, Why::Injected);
        stage.recover(1, ActorKind::Role);
        stage.say(1, 3, KIND, "term=1 prev=2@1 commit=2");
    });
    holds(fallen(), |stage| {
        // What the fallen leader had told its replicators to send.
        stage.say(1, 3, KIND, "term=1 prev=2@1 commit=2");
        stage.replay(2, 1, at(1, 2), 0, Position::ZERO);
        stage.ack(2, 1, 2);
    });
}
