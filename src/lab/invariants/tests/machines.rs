//! Commit, machines and snapshots: one way, and within bounds.

use super::*;

/// All have synced up to 6@1, and peer 1 has committed that.
fn grown() -> Stage {
    let mut stage = Stage::led();
    (1..=3).for_each(|peer| stage.grow(peer, 3, at(1, 6)));
    stage.commit(1, 6);
    stage
}

#[test]
fn commit_never_goes_back_in_one_life() {
    violates(Invariant::OneWay, grown(), |stage| stage.commit(1, 5));
    violates(Invariant::OneWay, grown(), |stage| stage.commit(2, 2));
    holds(grown(), |stage| stage.commit(2, 3));
    violates(Invariant::OneWay, grown(), |stage| {
        stage.commit(2, 6);
        stage.install(2, at(1, 5), true);
    });
    // In another life of its role it begins where the machine is.
    let fallen = || {
        let mut stage = grown();
        stage.commit(2, 6);
        stage.apply(2, 3, 4);
        stage.replay(2, 1, at(1, 6), 0, Position::ZERO);
        stage
    };
    holds(fallen(), |stage| stage.commit(2, 5));
    violates(Invariant::OneWay, fallen(), |stage| stage.commit(2, 4));
}

#[test]
fn commit_stays_within_the_log() {
    violates(Invariant::Bounds, Stage::led(), |stage| stage.commit(1, 3));
    holds(grown(), |stage| stage.commit(2, 6));
}

#[test]
fn entries_are_applied_in_order_each_once() {
    let ready = || {
        let mut stage = grown();
        stage.commit(2, 6);
        stage
    };
    violates(Invariant::StateMachineSafety, ready(), |stage| stage.apply(2, 4, 4));
    violates(Invariant::StateMachineSafety, ready(), |stage| stage.apply(2, 2, 4));
    violates(Invariant::StateMachineSafety, ready(), |stage| stage.apply(2, 3, 2));
    holds(ready(), |stage| {
        stage.apply(2, 3, 4);
        stage.apply(2, 5, 6);
        // Anew, in another life.
        stage.crash(2, ActorKind::Machine, Why::Injected);
        stage.restored(2, 0);
        stage.recover(2, ActorKind::Machine);
        stage.apply(2, 1, 6);
    });
}

#[test]
fn what_is_applied_is_committed() {
    violates(Invariant::Bounds, grown(), |stage| stage.apply(2, 3, 3));
    // What a role has committed that fell since may still be on its way to the machine.
    holds(grown(), |stage| {
        stage.commit(2, 4);
        stage.replay(2, 1, at(1, 6), 0, Position::ZERO);
        stage.apply(2, 3, 4);
    });
}

#[test]
fn what_is_applied_is_durable_here() {
    let behind = || {
        let mut stage = Stage::led();
        stage.grow(1, 3, at(1, 4));
        stage.grow(3, 3, at(1, 4));
        stage.commit(1, 4);
        stage.append(2, 3, at(1, 4));
        stage.commit(2, 4);
        stage
    };
    violates(Invariant::SyncedFirst, behind(), |stage| stage.apply(2, 3, 4));
    holds(behind(), |stage| {
        stage.sync(2, at(1, 4));
        stage.apply(2, 3, 4);
    });
}

#[test]
fn applied_never_goes_back_in_one_life() {
    violates(Invariant::OneWay, grown(), |stage| stage.restored(2, 1));
    holds(grown(), |stage| stage.restored(2, 2));
}

#[test]
fn a_machine_begins_anew_from_the_latest_snapshot() {
    let taken = || {
        let mut stage = grown();
        stage.snapshot(2, at(1, 2));
        stage.crash(2, ActorKind::Machine, Why::Injected);
        stage.recover(2, ActorKind::Machine);
        stage
    };
    violates(Invariant::Bounds, taken(), |stage| stage.restored(2, 0));
    holds(taken(), |stage| stage.restored(2, 2));
    // One that comes in while a restore is under way is for the next.
    holds(taken(), |stage| {
        stage.install(2, at(1, 5), true);
        stage.restored(2, 2);
        stage.restored(2, 5);
    });
    violates(Invariant::Bounds, taken(), |stage| {
        stage.install(2, at(1, 5), true);
        stage.restored(2, 2);
        stage.restored(2, 3);
    });
    // The role may hear later than the machine of what has come in; but nobody of what is not committed.
    holds(taken(), |stage| stage.restored(2, 6));
    violates(Invariant::StateMachineSafety, taken(), |stage| stage.restored(2, 7));
}

#[test]
fn a_snapshot_covers_what_is_applied() {
    let committed = || {
        let mut stage = grown();
        stage.commit(2, 6);
        stage
    };
    violates(Invariant::Bounds, committed(), |stage| stage.snapshot(2, at(1, 3)));
    holds(committed(), |stage| {
        stage.apply(2, 3, 3);
        stage.snapshot(2, at(1, 3));
    });
    violates(Invariant::Bounds, grown(), |stage| {
        // The machine is about to begin anew, so that what it has applied tells nothing.
        stage.install(2, at(1, 4), true);
        stage.snapshot(2, at(1, 5));
    });
    violates(Invariant::StateMachineSafety, committed(), |stage| stage.snapshot(2, at(0, 2)));
}

#[test]
fn the_log_is_purged_behind_a_snapshot_only() {
    let taken = || {
        let mut stage = grown();
        stage.commit(2, 6);
        stage.apply(2, 3, 5);
        stage.snapshot(2, at(1, 4));
        stage
    };
    violates(Invariant::Bounds, taken(), |stage| stage.purge(2, at(1, 5)));
    violates(Invariant::LogMatching, taken(), |stage| stage.purge(2, at(0, 4)));
    violates(Invariant::OneWay, taken(), |stage| {
        stage.purge(2, at(1, 4));
        stage.purge(2, at(1, 3));
    });
    holds(taken(), |stage| {
        stage.purge(2, at(1, 2));
        stage.purge(2, at(1, 4));
    });
    // Never beyond what its role knows to be committed.
    violates(Invariant::Bounds, taken(), |stage| {
        stage.crash(2, ActorKind::Machine, Why::Injected);
        stage.recover(2, ActorKind::Machine);
        stage.replay(2, 1, at(1, 6), 0, at(1, 4));
        stage.snapshot(2, at(1, 5));
        stage.purge(2, at(1, 5));
    });
}
