//! Snapshots as files in a folder.
//!
//! Each snapshot is a file of its own: a front that says what it is, and the content. It is written
//! aside, synced, renamed, and the folder synced; then it is in force, and the one before it is
//! removed. So at any moment a crash leaves the old one whole or the new one whole, and what it leaves
//! beside them is recognised by its name and removed at the next start.
//!
//! The latest one is checked bit by bit at the start, for a state that has changed by itself is worse
//! than none. Its file stays open, and so does that of a snapshot that is being sent when a later one
//! takes its place: an open file can be read when its name is gone, and the disk gets its room back
//! when the last reader is done, or the process is.
//!
//! All that blocks is done by two threads. One writes the machine's snapshots, which takes as long as
//! the state is large. The other moves pieces, to and from other peers, and must not wait for that.

use std::{fmt, io::Read, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{Hold, SnapshotStore, SnapshotWriter, StorageError, Wait, files::Files};
use crate::raft::{Membership, Position, SnapshotMeta};

mod header;
mod incoming;
mod inspect;
mod name;
mod shelf;
#[cfg(test)]
mod tests;
mod worker;
mod writing;

pub use self::inspect::{SnapshotReport, inspect};
use self::{
    shelf::{Reader, Shelf},
    worker::Worker,
};

/// After how many bytes a file that grows is synced.
const SYNC_BYTES: u64 = 2 << 20;

/// How much of a file is read at once when it is checked.
const PIECE_BYTES: usize = 256 << 10;

/// The snapshots in a folder. One of these serves a folder for as long as the process has it, also
/// when the log beside it is opened anew: who holds it knows of every snapshot that comes into force.
pub struct FileSnapshots {
    shelf: Arc<Shelf>,
    saves: Worker,
    pieces: Worker,
}

impl FileSnapshots {
    /// The snapshots in `dir`. Reads nothing: see [`FileSnapshots::load`].
    pub fn open(files: Arc<dyn Files>, dir: PathBuf) -> FileSnapshots {
        FileSnapshots {
            shelf: Arc::new(Shelf::new(files, dir)),
            saves: Worker::new("raft-snapshots"),
            pieces: Worker::new("raft-pieces"),
        }
    }

    /// Reads the folder, made if there is none: checks the latest snapshot and puts it in force, finds
    /// the transfer that was under way, and removes what was never finished. Blocks. Answers with what
    /// an operator should know.
    ///
    /// # Errors
    /// The latest snapshot is damaged, or the folder can't be read.
    pub fn load(&self) -> Result<Vec<String>, StorageError> {
        self.shelf.load()
    }
}

impl fmt::Debug for FileSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSnapshots").field("dir", &self.shelf.dir).finish_non_exhaustive()
    }
}

impl SnapshotStore for FileSnapshots {
    fn latest(&self) -> Option<Arc<SnapshotMeta>> {
        self.shelf.latest()
    }

    fn save(
        &self,
        at: Position,
        membership: Arc<Membership>,
        write: SnapshotWriter,
    ) -> Wait<Result<Arc<SnapshotMeta>, StorageError>> {
        let shelf = self.shelf.clone();
        self.saves.run(move |is_wanted| shelf.save(at, membership, write, is_wanted))
    }

    fn open(&self, at: Position) -> Result<Box<dyn Read + Send>, StorageError> {
        Ok(Box::new(Reader::new(self.shelf.find(at)?)))
    }

    fn hold(&self, at: Position) -> Option<Hold> {
        self.shelf.find(at).ok().map(Hold::new)
    }

    fn read(&self, at: Position, offset: u64, bytes_max: usize) -> Wait<Result<Bytes, StorageError>> {
        let stored = match self.shelf.find(at) {
            Ok(stored) => stored,
            Err(gone) => return Wait::Now(Err(gone)),
        };
        self.pieces.run(move |_| {
            let read = stored.read(offset, bytes_max).map(Bytes::from);
            read.map_err(|cause| StorageError::Aside { what: format!("snapshot at {at}"), cause })
        })
    }

    fn receive(&self, meta: Arc<SnapshotMeta>, offset: u64, data: Bytes) -> Wait<Result<u64, StorageError>> {
        let shelf = self.shelf.clone();
        self.pieces.run(move |is_wanted| shelf.receive(&meta, offset, &data, is_wanted))
    }
}
