//! Figure 3: elections, logs, and what is committed.

use super::*;

#[test]
fn election_safety() {
    violates(Invariant::ElectionSafety, Stage::led(), |stage| stage.win(2, 1, at(1, 2)));
    violates(Invariant::ElectionSafety, Stage::led(), |stage| stage.win(1, 1, at(1, 2)));
    holds(Stage::led(), |stage| stage.elect(2, 2, at(1, 2)));
}

#[test]
fn election_safety_of_followers() {
    let following = |leader| Event::Following { leader: PeerId(leader), why: WHY };
    violates(Invariant::ElectionSafety, Stage::led(), |stage| stage.tell(2, following(3)));
    holds(Stage::led(), |stage| stage.tell(2, following(1)));
}

#[test]
fn leader_append_only() {
    violates(Invariant::LeaderAppendOnly, Stage::led(), |stage| {
        stage.append(1, 3, at(1, 4));
        stage.truncate(1, 4);
    });
    holds(Stage::led(), |stage| {
        stage.append(1, 3, at(1, 4));
        stage.append(2, 3, at(1, 4));
        stage.truncate(2, 4);
    });
    violates(Invariant::LeaderAppendOnly, ahead(), |stage| {
        stage.is(2, 1, Some(RoleKind::Leader));
        stage.install(2, at(1, 4), false);
    });
    holds(ahead(), |stage| stage.install(2, at(1, 4), false));
}

/// Peer 1 and 3 have committed up to 5@1, peer 2 has up to 2@1.
fn ahead() -> Stage {
    let mut stage = Stage::led();
    stage.grow(1, 3, at(1, 5));
    stage.grow(3, 3, at(1, 5));
    stage.commit(1, 5);
    stage
}

#[test]
fn log_matching() {
    // Term 2 begins at 3 in the log of its leader.
    let elected = || {
        let mut stage = Stage::led();
        stage.append(1, 3, at(1, 4));
        stage.append(3, 3, at(1, 3));
        stage.elect(2, 2, at(1, 2));
        stage.append(2, 3, at(2, 4));
        stage
    };
    violates(Invariant::LogMatching, elected(), |stage| {
        stage.enter(3, 2, RoleKind::Follower);
        stage.append(3, 4, at(2, 4));
    });
    violates(Invariant::LogMatching, elected(), |stage| {
        stage.enter(3, 2, RoleKind::Follower);
        stage.truncate(3, 3);
        stage.append(3, 3, at(2, 5));
    });
    holds(elected(), |stage| {
        stage.enter(3, 2, RoleKind::Follower);
        stage.truncate(3, 3);
        stage.append(3, 3, at(2, 3));
        stage.append(3, 4, at(2, 4));
    });
}

#[test]
fn log_matching_within_one_log() {
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.append(1, 4, at(1, 4)));
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.append(2, 3, at(0, 3)));
    holds(Stage::led(), |stage| stage.append(1, 3, at(1, 4)));
    // A leader creates entries of its own term, and nobody has any of a term to come.
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.append(1, 3, at(2, 3)));
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.append(2, 3, at(2, 3)));
    // An end of a log that its own events did not bring about.
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.sync(2, at(1, 3)));
    violates(Invariant::LogMatching, Stage::led(), |stage| stage.campaign(2, 2, at(0, 1)));
    violates(Invariant::LogMatching, Stage::led(), |stage| {
        stage.tell(1, Event::SteppedDown { last: at(1, 3), why: WHY });
    });
    holds(Stage::led(), |stage| stage.tell(1, Event::SteppedDown { last: at(1, 2), why: WHY }));
}

#[test]
fn log_matching_over_snapshots() {
    holds(ahead(), |stage| {
        stage.install(2, at(1, 4), false);
        stage.append(2, 5, at(1, 5));
        stage.elect(3, 2, at(1, 5));
        stage.append(3, 6, at(2, 6));
        stage.enter(2, 2, RoleKind::Follower);
        stage.append(2, 6, at(2, 6));
    });
    violates(Invariant::LogMatching, ahead(), |stage| {
        stage.install(2, at(1, 4), false);
        stage.elect(3, 2, at(1, 5));
        stage.append(3, 6, at(2, 6));
        stage.enter(2, 2, RoleKind::Follower);
        stage.append(2, 5, at(2, 6));
    });
    // What is said of the entries behind the snapshot is what the log had.
    violates(Invariant::LogMatching, ahead(), |stage| stage.install(2, at(1, 4), true));
    violates(Invariant::LogMatching, ahead(), |stage| stage.install(3, at(1, 4), false));
    holds(ahead(), |stage| {
        stage.install(3, at(1, 4), true);
        stage.elect(3, 2, at(1, 5));
    });
}

#[test]
fn leader_completeness() {
    // Peer 2 lacks 3@1, which is committed; or is not.
    let play = |stage: &mut Stage| stage.elect(2, 2, at(1, 2));
    violates(Invariant::LeaderCompleteness, ahead(), play);
    holds(ahead(), |stage| stage.elect(3, 2, at(1, 5)));
    let mut stage = Stage::led();
    stage.grow(1, 3, at(1, 5));
    holds(stage, play);
}

/// An old leader that hears late of a majority must not commit what its successors lack.
#[test]
fn leader_completeness_of_leaders_elected_meanwhile() {
    let stage = || {
        let mut stage = Stage::led();
        stage.grow(1, 3, at(1, 3));
        stage.grow(3, 3, at(1, 3));
        stage
    };
    violates(Invariant::LeaderCompleteness, stage(), |stage| {
        stage.elect(2, 2, at(1, 2));
        stage.commit(1, 3);
    });
    holds(stage(), |stage| {
        stage.elect(3, 2, at(1, 3));
        stage.commit(1, 3);
    });
    // Nor what a leader of an earlier term lacks that is elected late; it is no business of that one
    // what later terms commit.
    let later = |stage: &mut Stage| {
        stage.elect(3, 3, at(1, 3));
        stage.grow(3, 4, at(3, 4));
        stage.enter(1, 3, RoleKind::Follower);
        stage.grow(1, 4, at(3, 4));
        stage.commit(3, 4);
    };
    holds(stage(), |stage| {
        later(stage);
        stage.elect(2, 2, at(1, 2));
    });
    violates(Invariant::LeaderCompleteness, stage(), |stage| {
        stage.commit(1, 3);
        later(stage);
        stage.elect(2, 2, at(1, 2));
    });
}

#[test]
fn state_machine_safety() {
    // Peer 2 holds 3@2 where peer 1 and 3 hold 3@1.
    let forked = || {
        let mut stage = Stage::led();
        stage.append(1, 3, at(1, 3));
        stage.append(3, 3, at(1, 3));
        stage.elect(2, 2, at(1, 2));
        stage.grow(2, 3, at(2, 3));
        stage.enter(3, 2, RoleKind::Follower);
        stage
    };
    let replicated = |stage: &mut Stage| {
        stage.truncate(3, 3);
        stage.grow(3, 3, at(2, 3));
        stage.commit(2, 3);
    };
    holds(forked(), |stage| {
        replicated(stage);
        stage.commit(3, 3);
    });
    violates(Invariant::StateMachineSafety, forked(), |stage| {
        replicated(stage);
        stage.is(1, 1, Some(RoleKind::Follower));
        stage.commit(1, 3);
    });
    // Only leaders commit first.
    violates(Invariant::StateMachineSafety, forked(), |stage| {
        stage.truncate(3, 3);
        stage.grow(3, 3, at(2, 3));
        stage.commit(3, 3);
    });
    // What is committed stays.
    violates(Invariant::StateMachineSafety, forked(), |stage| {
        replicated(stage);
        stage.commit(3, 3);
        stage.truncate(3, 3);
    });
}

/// Whose leader is not seen may be the first to commit, but not another log than what is committed.
#[test]
fn state_machine_safety_of_what_is_below() {
    violates(Invariant::StateMachineSafety, ahead(), |stage| {
        stage.enter(2, 2, RoleKind::Follower);
        stage.append(2, 3, at(2, 6));
        stage.commit(2, 6);
    });
    holds(ahead(), |stage| {
        stage.append(2, 3, at(1, 5));
        stage.enter(2, 2, RoleKind::Follower);
        stage.append(2, 6, at(2, 6));
        stage.commit(2, 6);
    });
}

#[test]
fn snapshots_cover_what_is_committed() {
    violates(Invariant::StateMachineSafety, ahead(), |stage| stage.install(2, at(0, 4), false));
    violates(Invariant::StateMachineSafety, ahead(), |stage| stage.install(2, at(1, 6), false));
    holds(ahead(), |stage| stage.install(2, at(1, 5), false));
}
