//! Crashes, power cuts, and what is found on the disk afterwards.

use super::*;

/// Peer 2 has synced up to 4@1, and a vote for 3 in term 2.
fn synced() -> Stage {
    let mut stage = Stage::led();
    stage.append(1, 3, at(1, 4));
    stage.grow(2, 3, at(1, 4));
    stage.enter(2, 2, RoleKind::Follower);
    stage.tell(2, Event::Voted { candidate: PeerId(3), granted: true, why: WHY });
    stage.sync(2, at(1, 4));
    stage
}

#[test]
fn what_was_synced_survives() {
    let back = |term, last, vote| move |stage: &mut Stage| stage.reboot(2, term, last, vote, Position::ZERO);
    holds(synced(), back(2, at(1, 4), 3));
    violates(Invariant::Survival, synced(), back(2, at(1, 3), 3));
    violates(Invariant::Survival, synced(), back(1, at(1, 4), 0));
    violates(Invariant::Survival, synced(), back(2, at(1, 4), 0));
    violates(Invariant::Survival, synced(), back(2, at(1, 4), 1));
    // Also if only its role fell.
    violates(Invariant::Survival, synced(), |stage| stage.replay(2, 2, at(1, 3), 3, Position::ZERO));
}

#[test]
fn what_was_not_synced_may_survive_in_part() {
    let unsynced = || {
        let mut stage = synced();
        stage.elect(3, 3, at(1, 2));
        stage.append(3, 3, at(3, 6));
        stage.enter(2, 3, RoleKind::Follower);
        stage.truncate(2, 4);
        stage.truncate(2, 3);
        stage.append(2, 3, at(3, 6));
        stage
    };
    for last in [at(1, 4), at(1, 3), at(1, 2), at(3, 4), at(3, 6)] {
        holds(unsynced(), |stage| stage.reboot(2, 3, last, 0, Position::ZERO));
    }
    holds(unsynced(), |stage| stage.reboot(2, 2, at(1, 4), 3, Position::ZERO));
    violates(Invariant::Survival, unsynced(), |stage| stage.reboot(2, 3, at(0, 1), 0, Position::ZERO));
    // Entries that nobody ever created.
    violates(Invariant::LogMatching, unsynced(), |stage| stage.reboot(2, 3, at(3, 7), 0, Position::ZERO));
}

/// What a truncation cut off that was synced afterwards is not missed.
#[test]
fn a_synced_truncation_is_what_survives() {
    let cut = || {
        let mut stage = synced();
        stage.truncate(2, 3);
        stage.sync(2, at(1, 2));
        stage
    };
    holds(cut(), |stage| stage.reboot(2, 2, at(1, 2), 3, Position::ZERO));
    violates(Invariant::Survival, cut(), |stage| stage.reboot(2, 2, at(0, 1), 3, Position::ZERO));
}

#[test]
fn snapshots_survive() {
    let taken = || {
        let mut stage = synced();
        stage.snapshot(2, at(1, 2));
        stage
    };
    holds(taken(), |stage| stage.reboot(2, 2, at(1, 4), 3, at(1, 2)));
    violates(Invariant::Survival, taken(), |stage| stage.reboot(2, 2, at(1, 4), 3, Position::ZERO));
    violates(Invariant::Survival, taken(), |stage| stage.reboot(2, 2, at(1, 3), 3, at(1, 2)));
    violates(Invariant::Bounds, taken(), |stage| {
        stage.grow(1, 5, at(1, 5));
        stage.grow(3, 3, at(1, 5));
        stage.commit(1, 5);
        stage.reboot(2, 2, at(1, 4), 3, at(1, 5));
    });
}

/// A snapshot that came in covers what was behind it, whether its role had heard of it or not.
#[test]
fn what_a_snapshot_covers_is_not_missed() {
    let ahead = || {
        let mut stage = synced();
        stage.grow(1, 5, at(1, 8));
        stage.grow(3, 3, at(1, 8));
        stage.commit(1, 8);
        stage
    };
    holds(ahead(), |stage| stage.reboot(2, 2, at(1, 8), 3, at(1, 8)));
    holds(ahead(), |stage| {
        stage.install(2, at(1, 8), false);
        stage.reboot(2, 2, at(1, 8), 3, at(1, 8));
    });
    violates(Invariant::Survival, ahead(), |stage| {
        stage.install(2, at(1, 8), false);
        stage.reboot(2, 2, at(1, 4), 3, Position::ZERO);
    });
}

/// Also where its log had gone another way, up to where and beyond.
#[test]
fn what_a_snapshot_replaces_is_not_missed() {
    let forked = || {
        let mut stage = Stage::led();
        stage.append(1, 3, at(1, 9));
        stage.grow(2, 3, at(1, 9));
        stage.elect(3, 2, at(1, 2));
        stage.grow(3, 3, at(2, 8));
        stage.enter(1, 2, RoleKind::Follower);
        stage.truncate(1, 3);
        stage.grow(1, 3, at(2, 8));
        stage.commit(3, 6);
        stage
    };
    violates(Invariant::Survival, forked(), |stage| stage.reboot(2, 1, at(2, 6), 0, Position::ZERO));
    holds(forked(), |stage| stage.reboot(2, 1, at(2, 6), 0, at(2, 6)));
    holds(forked(), |stage| {
        stage.commit(3, 8);
        stage.truncate(2, 9);
        stage.reboot(2, 1, at(2, 8), 0, at(2, 8));
    });
    holds(forked(), |stage| {
        stage.enter(2, 2, RoleKind::Follower);
        stage.sync(2, at(1, 9));
        stage.install(2, at(2, 6), false);
        stage.ack(2, 3, 6);
        stage.append(2, 7, at(2, 8));
        stage.truncate(2, 8);
        stage.reboot(2, 2, at(2, 7), 0, at(2, 6));
    });
}

#[test]
fn a_lost_disk_can_be_allowed() {
    let lost = |stage: &mut Stage| {
        stage.reboot(2, 0, at(0, 1), 0, Position::ZERO);
        stage.restored(2, 0);
        stage.enter(2, 1, RoleKind::Follower);
        stage.sync(2, at(0, 1));
        stage.say(2, 1, MessageKind::Appended, "term=1 match=1");
    };
    violates(Invariant::Survival, synced(), lost);
    let stage = synced();
    stage.oracle.allow(Allowed::LostDisks);
    holds(stage, lost);
}

#[test]
fn nothing_unexpected_happens() {
    let stopped = |why| {
        move |stage: &mut Stage| {
            stage.tell(2, Event::PeerStopped { cause: String::new(), why });
        }
    };
    let poisoned =
        |stage: &mut Stage| stage.tell(2, Event::Poisoned { index: Index(2), why: Why::FailedTwice });
    let broke = |stage: &mut Stage| {
        let (by, what) = (PeerId(3), String::new());
        stage.tell(2, Event::Violation { by, what, why: Why::Malformed });
    };
    let fell = |why| {
        move |stage: &mut Stage| {
            stage.crash(2, ActorKind::Timer, why);
            stage.recover(2, ActorKind::Timer);
        }
    };
    violates(Invariant::Expected, Stage::led(), stopped(Why::DiskFailed));
    violates(Invariant::Expected, Stage::led(), poisoned);
    violates(Invariant::Expected, Stage::led(), broke);
    violates(Invariant::Expected, Stage::led(), fell(Why::Panicked));
    violates(Invariant::Expected, Stage::led(), fell(Why::Ended));
    holds(Stage::led(), fell(Why::Injected));
    holds(Stage::led(), stopped(Why::Stopped));

    let allowing = |allowed| {
        let stage = Stage::led();
        stage.oracle.allow(allowed);
        stage
    };
    holds(allowing(Allowed::Stops(Why::DiskFailed)), stopped(Why::DiskFailed));
    violates(Invariant::Expected, allowing(Allowed::Stops(Why::DiskFailed)), stopped(Why::NoProgress));
    holds(allowing(Allowed::Poison), poisoned);
    holds(allowing(Allowed::Violations), broke);
    holds(allowing(Allowed::Panics), fell(Why::Panicked));
}

#[test]
fn what_fell_comes_back() {
    let fell = |stage: &mut Stage| {
        stage.crash(2, ActorKind::Timer, Why::Injected);
        stage.crash(2, ActorKind::Replicator, Why::Injected);
        stage.crash(2, ActorKind::Timer, Why::Injected);
        stage.recover(2, ActorKind::Timer);
        stage.recover(2, ActorKind::Replicator);
    };
    violates(Invariant::Recovery, Stage::led(), fell);
    holds(Stage::led(), |stage| {
        fell(stage);
        stage.recover(2, ActorKind::Timer);
    });
    // With its peer.
    holds(Stage::led(), |stage| {
        fell(stage);
        stage.kill(2);
    });
    holds(Stage::led(), |stage| {
        fell(stage);
        stage.tell(2, Event::PeerStopped { cause: String::new(), why: Why::Stopped });
    });
    holds(Stage::led(), |stage| {
        fell(stage);
        stage.reboot(2, 1, at(1, 2), 0, Position::ZERO);
    });
}
