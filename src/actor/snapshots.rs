//! How a machine is written down while it goes on, and how it begins anew from what was written.

use std::{
    io::{self, BufReader, Read, Write},
    sync::Arc,
};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use bytes::Bytes;

use super::{
    aside::aside,
    custom::Soon,
    machine::{MachineActor, SaveNow},
    poison::Healed,
    role_addr::Deliver,
    storage::DiskFailed,
};
use crate::{
    machine::{Sessions, wrapping},
    raft::*,
    storage::{SnapshotStore, StorageError, Wait},
};

impl MachineActor {
    /// Takes a snapshot if enough was applied since the last one was begun.
    pub(super) fn save_if_due(&mut self, ctx: &mut Context<Self>) {
        let config = &self.parts.identity.config;
        let is_due =
            self.entries_since >= config.snapshot_entries || self.bytes_since >= config.snapshot_bytes;
        if is_due && !self.fallen {
            self.save(Why::Policy, ctx);
        }
    }

    /// Takes a view and has it written while the machine goes on.
    pub(super) fn save(&mut self, why: Why, ctx: &mut Context<Self>) {
        if self.saving || self.applied == Position::ZERO {
            return;
        }
        self.saving = true;
        (self.entries_since, self.bytes_since) = (0, 0);
        // What the view will show, whenever it comes: by then more may have been applied.
        let (at, sessions, membership) = (self.applied, self.sessions.clone(), self.membership.clone());
        #[cfg(raft_actors_planted)]
        let sessions = if planted!(SessionsNotInSnapshot) { Sessions::new(64, 64) } else { sessions };
        let view = self.engine.view();
        self.when_run(view, ctx, move |actor, view, ctx| {
            actor.parts.witness.note(|| Event::SnapshotBegun { at, why });
            if planted!(MarkerFirst) {
                actor.peer.do_send(Deliver(Snapshotted { at }));
            }
            let compress = actor.parts.identity.config.compress_snapshots;
            let writer = Box::new(move |into: &mut dyn Write| {
                wrapping::write(compress, into, |into| {
                    sessions.write_to(into)?;
                    view(into)
                })
            });
            let snapshots = actor.snapshots.clone();
            // A store may run the writer before it answers.
            match aside(actor.parts.is_live, move || snapshots.save(at, membership, writer)) {
                Soon::Now(Some(Wait::Now(saved))) => actor.saved(at, saved, why, ctx),
                begun => {
                    let saved = when_saved(begun).into_actor(actor);
                    ctx.spawn(saved.map(move |saved, actor, ctx| actor.saved(at, saved, why, ctx)));
                }
            }
        });
    }

    fn saved(
        &mut self,
        begun: Position,
        saved: Result<Arc<SnapshotMeta>, StorageError>,
        why: Why,
        ctx: &mut Context<Self>,
    ) {
        self.saving = false;
        match saved {
            Ok(meta) => {
                let (at, bytes) = (meta.at, meta.bytes);
                self.parts.gauges.set_snapshot(at.index);
                // A leader's snapshot may have come into force meanwhile, ahead of what this machine has
                // applied. That one is not taken here: the role is told of it as it came.
                if at == begun || planted!(OvertakenSnapshot) {
                    self.parts.witness.note(|| Event::SnapshotTaken { at, bytes, why });
                    self.peer.do_send(Deliver(Snapshotted { at }));
                }
                let answer = Bytes::copy_from_slice(&at.index.0.to_le_bytes());
                self.savers.drain(..).for_each(|port| port.answer(Outcome::Applied(answer.clone())));
            }
            Err(error) => {
                // The log stays as it is, and the next snapshot is tried when it is due.
                self.savers.clear();
                let what = format!("a snapshot was not taken: {error}");
                self.parts.witness.note(|| Event::Warned { what, why: Why::DiskFailed });
            }
        }
        // The next may have fallen due while this one was written, and nothing more may ever be applied.
        self.save_if_due(ctx);
    }

    /// Begins anew from the latest snapshot, if it is ahead of what is applied.
    pub(super) fn restore(&mut self, ctx: &mut Context<Self>) {
        let Some(meta) = self.snapshots.latest().filter(|meta| meta.at.index > self.applied.index) else {
            return self.restored(ctx);
        };
        let (snapshots, at) = (self.snapshots.clone(), meta.at);
        // A later one may come into force before it is open.
        let Some(hold) = snapshots.hold(at) else { return self.restore(ctx) };
        let open = move || {
            let mut snapshot = open_snapshot(&*snapshots, at)?;
            drop(hold);
            Ok((Sessions::read_from(&mut snapshot)?, snapshot))
        };
        let restored = self.engine.restore(self.parts.is_live, open);
        self.when_run(restored, ctx, move |actor, restored, ctx| match restored {
            Ok((sessions, engine)) => {
                (actor.sessions, actor.engine) = (sessions, engine);
                actor.applied = meta.at;
                if planted!(AppliedTwice) {
                    actor.applied.index = meta.at.index.prev();
                }
                actor.membership = meta.membership.clone();
                actor.restored(ctx);
            }
            Err(error) => actor.stand_down(meta.at, &error.to_string()),
        });
    }

    /// Tells everybody where the machine stands, and asks for everything after it.
    pub(super) fn restored(&mut self, ctx: &mut Context<Self>) {
        let applied = self.applied.index;
        self.parts.gauges.set_applied(applied);
        self.parts.witness.note(|| Event::Restored { applied, why: Why::Recovery });
        // What became of entries that a snapshot has swallowed nobody can say any more.
        self.orphans.pass_over(applied);
        self.orphans.answer_lost(self.applied.term);
        if self.poisoned.is_some_and(|index| index <= applied) {
            self.poisoned = None;
            self.peer.do_send(Healed);
        }
        self.ask_for_more();
        self.after_apply(ctx);
    }

    pub(super) fn ask_for_more(&self) {
        self.peer.do_send(Deliver(CatchUp { from: self.applied.index.next() }));
    }

    /// The snapshot can't be read: there is nothing to begin from.
    pub(super) fn stand_down(&mut self, at: Position, cause: &str) {
        self.fallen = true;
        let what = format!("the snapshot at {at} can't be restored: {cause}");
        self.peer.do_send(DiskFailed(StorageError::Damaged { what }));
    }
}

async fn when_saved(
    begun: Soon<Wait<Result<Arc<SnapshotMeta>, StorageError>>>,
) -> Result<Arc<SnapshotMeta>, StorageError> {
    let begun = match begun {
        Soon::Now(begun) => begun,
        Soon::Later(begun) => begun.await,
    };
    match begun {
        Some(Wait::Now(saved)) => saved,
        Some(Wait::Later(saved)) => saved.await,
        None => {
            Err(StorageError::Aside { what: "snapshot".into(), cause: io::Error::other("the peer ends") })
        }
    }
}

impl Handler<SaveNow> for MachineActor {
    type Result = ();

    fn handle(&mut self, SaveNow(port): SaveNow, ctx: &mut Self::Context) {
        // Of a machine that has applied nothing there is no snapshot: the port, dropped, says so.
        if self.applied > Position::ZERO {
            self.savers.push(port);
            self.save(Why::Requested, ctx);
        }
        if !self.saving {
            // There is nothing to be saved yet: the port, dropped, says so.
            self.savers.clear();
        }
    }
}

/// How much of a snapshot is read at once.
const READ_BYTES: usize = 256 << 10;

fn open_snapshot(snapshots: &dyn SnapshotStore, at: Position) -> io::Result<Box<dyn Read + Send>> {
    let snapshot = snapshots.open(at).map_err(io::Error::other)?;
    wrapping::read(Box::new(BufReader::with_capacity(READ_BYTES, snapshot)))
}
