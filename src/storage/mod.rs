//! What survives: a log of [`Record`]s and the snapshots beside it.
//!
//! A [`Disk`] is the durable place of one peer. It is opened at start and after every crash, and
//! outlives the actors that use it. What it opens is a [`LogStorage`], which writes the records of
//! a turn and says when they are durable, and a [`SnapshotStore`]. Recovery is a fold over the
//! records, in the order in which they were written.
//!
//! | | what it is |
//! |---|---|
//! | [`FolderDisk`] | a folder with a write-ahead [log](wal) and [snapshots]: what a peer has unless it is an experiment |
//! | [`MemoryDisk`] | for experiments and simulations: slow, hanging, failing, forgetful, all from a seed |
//! | your own | behind the traits here, and checked by the [conformance] suite |
//!
//! Both real rooms stand on [`files`], which tests replace by files that forget what was not synced.

use std::{
    future::Future,
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;

pub mod conformance;
pub mod files;
pub(crate) mod folder;
mod members;
pub mod memory;
mod register;
mod room;
pub mod snapshots;
pub mod wal;

pub use folder::{FolderDisk, FolderOptions};
pub use memory::{MemoryDisk, SimulatedDisk, Tail};
pub use register::{Incarnation, Meeting, Register};
pub use room::Room;
pub use snapshots::FileSnapshots;

use crate::raft::{Membership, Position, Record, SnapshotMeta};

/// Something that is there now, or will be.
pub enum Wait<T> {
    /// It is there.
    Now(T),
    /// It will be. Dropped before it is, what was under way may be lost in part or whole.
    Later(Later<T>),
}

/// A boxed future.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The durable place of one peer.
pub trait Disk: Send + 'static {
    /// Opens it. Must not block for long: reading belongs into [`LogStorage::replay`].
    ///
    /// # Errors
    /// The place can't be used: [`StorageError`] says why, and what to do.
    fn open(&mut self) -> Result<Opened, StorageError>;
}

/// An open [`Disk`].
pub struct Opened {
    /// Where the records of each turn go.
    pub log: Box<dyn LogStorage>,
    /// Where snapshots are.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Which disk this is, and which ones other peers were met with.
    pub register: Arc<dyn Register>,
    /// Whether there is room for more.
    pub room: Room,
}

/// The log on a disk. One writer, one call at a time.
pub trait LogStorage: Send + 'static {
    /// Reads back everything that is durable.
    fn replay(&mut self) -> Wait<Result<Replay, StorageError>>;

    /// Writes the records of one turn, in order. When the answer is `Ok` all of them, and all
    /// before them, are durable: they survive a crash of the machine. After an error the storage
    /// must not be used again.
    fn write(&mut self, records: Vec<Record>) -> Wait<Result<(), StorageError>>;
}

/// What a log gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The records, in the order in which they were written; earlier ones may have been folded.
    pub records: Vec<Record>,
    /// What was under way and did not become durable whole, since the last replay.
    pub tail: Option<TailLost>,
    /// What an operator should know of it, a sentence each: it is no reason not to start.
    pub warnings: Vec<String>,
}

/// A write that a crash cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailLost {
    /// How many records were under way.
    pub records: usize,
    /// How many of them, from the first on, survived.
    pub kept: usize,
    /// Whether a part of the next one was found, and cut off.
    pub torn: bool,
}

/// Writes a view of a state machine, as it was when the view was taken, on any thread.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// Holds a snapshot: see [`SnapshotStore::hold`].
pub struct Hold {
    _held: Arc<dyn Send + Sync>,
}

impl Hold {
    /// A hold on whatever keeps the snapshot.
    pub fn new(held: Arc<impl Send + Sync + 'static>) -> Hold {
        Hold { _held: held }
    }
}

/// The snapshots on a disk: at least the latest one.
pub trait SnapshotStore: Send + Sync + 'static {
    /// The latest whole snapshot.
    fn latest(&self) -> Option<Arc<SnapshotMeta>>;

    /// Writes a snapshot aside, and puts it in force once it is whole and durable; the ones before
    /// it go. An older one than the latest is dropped: then the answer is the latest.
    fn save(
        &self,
        at: Position,
        membership: Arc<Membership>,
        write: SnapshotWriter,
    ) -> Wait<Result<Arc<SnapshotMeta>, StorageError>>;

    /// Opens a snapshot to read it from its beginning.
    ///
    /// # Errors
    /// It is not there any more, or can't be read.
    fn open(&self, at: Position) -> Result<Box<dyn Read + Send>, StorageError>;

    /// Keeps a snapshot readable until the answer is dropped, also when a later one is in force.
    /// `None`: it is not there any more.
    fn hold(&self, at: Position) -> Option<Hold>;

    /// Reads up to `bytes_max` bytes of a snapshot from `offset` on; none at its end.
    fn read(&self, at: Position, offset: u64, bytes_max: usize) -> Wait<Result<Bytes, StorageError>>;

    /// Takes in a piece of a leader's snapshot, behind those that it was given before: several may be
    /// under way. Pieces that do not follow what is there already change nothing. What is there stays
    /// until the next one begins, over a restart too if the disk can. The answer is how many bytes are there, from the start: `meta.bytes` means
    /// that the snapshot is whole, durable and in force, if it is not older than the latest.
    fn receive(&self, meta: Arc<SnapshotMeta>, offset: u64, data: Bytes) -> Wait<Result<u64, StorageError>>;
}

/// Why a disk can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system says no.
    #[error(
        "{what}: {cause}; after a failed write or sync nothing on this disk is trusted: check the disk, then start the peer again"
    )]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        cause: io::Error,
    },
    /// The place is not for this peer, or not for this version, or in use.
    #[error("{why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// What is there is not what was written.
    #[error(
        "{what}; do not start this peer with this data: restore it from a backup, or remove it from the cluster and add it again"
    )]
    Damaged {
        /// What is damaged.
        what: String,
    },
    /// A snapshot could not be written or read. What was in force before is, and the log is well.
    #[error("{what}: {cause}; what was there before is unharmed")]
    Aside {
        /// What was tried.
        what: String,
        /// What came in between.
        cause: io::Error,
    },
    /// The snapshot that was asked for has been replaced by a later one.
    #[error("the snapshot at {at} is gone: ask for the latest")]
    Gone {
        /// What was asked for.
        at: Position,
    },
}
