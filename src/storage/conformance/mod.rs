//! What every [`Disk`] has to do, as a suite that any implementation can run.
//!
//! A consensus library stands on a few promises of its storage: what was acknowledged is there, in
//! order, after whatever; what was not is there from its start up to some point, or not at all; a
//! snapshot is in force whole or not at all. Who writes a storage of their own checks them here:
//!
//! ```
//! use raft_actors::storage::{MemoryDisk, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check(|| Box::new(MemoryDisk::new())).await;
//! # }
//! ```
//!
//! The factory gives an empty disk each time it is called; opening the same one again is how the
//! suite restarts a peer. It drops what it had opened before. The suite panics at the first promise
//! that is broken, and says which.

use std::{
    fmt::Debug,
    task::{Context, Poll, Waker},
};

use super::{Disk, Opened, Replay, StorageError, Wait};
use crate::{
    config::Config,
    raft::{Command, Identity, Index, Membership, PeerId, Position, Record, State, Term},
};

pub(in crate::storage) mod author;
mod log;
mod snapshots;

/// Checks everything.
///
/// # Panics
/// The disk breaks a promise.
pub async fn check(mut make: impl FnMut() -> Box<dyn Disk>) {
    check_log(&mut make).await;
    check_snapshots(&mut make).await;
}

/// Checks the log alone.
///
/// # Panics
/// The disk breaks a promise.
pub async fn check_log(mut make: impl FnMut() -> Box<dyn Disk>) {
    log::begins_empty(&mut *make()).await;
    log::gives_back_what_was_written(&mut *make()).await;
    log::keeps_the_rest_of_a_log_that_holds_the_snapshot(&mut *make()).await;
    log::drops_a_log_that_contradicts_the_snapshot(&mut *make()).await;
    log::ignores_a_marker_that_is_older(&mut *make()).await;
    log::takes_a_write_of_nothing(&mut *make()).await;
    log::takes_every_kind_and_size_of_command(&mut *make()).await;
    for seed in 0..8 {
        log::recovers_the_same_state(&mut *make(), seed).await;
        log::keeps_a_prefix_of_a_write_cut_short(&mut *make(), seed).await;
    }
}

/// Checks the snapshots alone.
///
/// # Panics
/// The disk breaks a promise.
pub async fn check_snapshots(mut make: impl FnMut() -> Box<dyn Disk>) {
    snapshots::begin_with_none(&mut *make()).await;
    snapshots::are_given_back_when_saved(&mut *make()).await;
    snapshots::survive_a_restart(&mut *make()).await;
    snapshots::never_go_back(&mut *make()).await;
    snapshots::outlive_a_failing_writer(&mut *make()).await;
    snapshots::outlive_a_save_cut_short(&mut *make()).await;
    snapshots::outlive_a_writer_that_panics(&mut *make()).await;
    snapshots::stay_while_they_are_held(&mut *make()).await;
    snapshots::come_in_by_pieces(&mut *make()).await;
    snapshots::take_pieces_in_any_order(&mut *make()).await;
    snapshots::take_several_pieces_at_once(&mut *make()).await;
    snapshots::go_on_after_a_restart(&mut *make()).await;
    snapshots::begin_anew_when_damaged_on_the_way(&mut *make()).await;
    snapshots::refuse_what_is_beyond_their_end(&mut *make()).await;
    snapshots::may_be_empty(&mut *make()).await;
    snapshots::give_way_to_another(&mut *make()).await;
    snapshots::ignore_what_is_older(&mut *make()).await;
}

/// What a peer knows of itself when it recovers from records.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Recovered {
    term: Term,
    vote: Option<PeerId>,
    base: Position,
    last: Position,
    entries: Vec<(Position, Command)>,
    membership: Membership,
}

/// What recovery makes of records.
pub(super) fn recovered(records: Vec<Record>) -> Recovered {
    let identity = Identity {
        id: PeerId(1),
        first_membership: Membership::default().into(),
        config: Config::default().into(),
    };
    let state = match State::recover(&identity, records, None, [0; 32]) {
        Ok(state) => state,
        Err(unfit) => panic!("{unfit}"),
    };
    let (base, last) = (state.log().base(), state.log().last());
    let batches = state.log().all(base.index.next(), Index(u64::MAX));
    let entries = batches.iter().flat_map(|batch| batch.entries());
    Recovered {
        term: state.term(),
        vote: state.vote(),
        base,
        last,
        entries: entries.map(|(position, command)| (position, command.clone())).collect(),
        membership: state.membership().as_ref().clone(),
    }
}

/// What is there, when it is.
pub(in crate::storage) async fn arrived<T>(wait: Wait<T>) -> T {
    match wait {
        Wait::Now(value) => value,
        Wait::Later(later) => later.await,
    }
}

/// Starts something and drops it before it is done; `None` if it was done at once.
pub(super) fn cut_short<T>(wait: Wait<T>) -> Option<T> {
    match wait {
        Wait::Now(value) => Some(value),
        Wait::Later(mut later) => match later.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        },
    }
}

/// What has to work here.
pub(super) fn worked<T>(result: Result<T, StorageError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the disk must work here: {error}"),
    }
}

/// Opens a disk and reads its log.
async fn start(disk: &mut dyn Disk) -> (Opened, Replay) {
    let mut opened = worked(disk.open());
    let replay = worked(arrived(opened.log.replay()).await);
    (opened, replay)
}

async fn write(opened: &mut Opened, records: &[Record]) {
    worked(arrived(opened.log.write(records.to_vec())).await);
}

#[track_caller]
fn same<T: PartialEq + Debug>(found: &T, expected: &T, promise: &str) {
    assert!(found == expected, "{promise}\n   found: {found:?}\nexpected: {expected:?}");
}
