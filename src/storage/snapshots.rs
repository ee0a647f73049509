//! Snapshots of a data folder.

use std::{io::Read, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{Disk, MemoryDisk, SnapshotStore, SnapshotWriter, StorageError, Wait, files::Files};
use crate::raft::{Membership, Position, SnapshotMeta};

/// In memory, while the store on files is being built.
pub struct FileSnapshots(Arc<dyn SnapshotStore>);

impl FileSnapshots {
    /// Opens it.
    pub fn open(_: Arc<dyn Files>, _: PathBuf) -> FileSnapshots {
        match MemoryDisk::new().open() {
            Ok(opened) => FileSnapshots(opened.snapshots),
            Err(error) => panic!("{error}"),
        }
    }

    /// Loads it.
    pub fn load(&self) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}

impl SnapshotStore for FileSnapshots {
    fn latest(&self) -> Option<Arc<SnapshotMeta>> {
        self.0.latest()
    }

    fn save(
        &self,
        at: Position,
        membership: Arc<Membership>,
        write: SnapshotWriter,
    ) -> Wait<Result<Arc<SnapshotMeta>, StorageError>> {
        self.0.save(at, membership, write)
    }

    fn open(&self, at: Position) -> Result<Box<dyn Read + Send>, StorageError> {
        self.0.open(at)
    }

    fn read(&self, at: Position, offset: u64, bytes_max: usize) -> Wait<Result<Bytes, StorageError>> {
        self.0.read(at, offset, bytes_max)
    }

    fn receive(&self, meta: Arc<SnapshotMeta>, offset: u64, data: Bytes) -> Wait<Result<u64, StorageError>> {
        self.0.receive(meta, offset, data)
    }
}
