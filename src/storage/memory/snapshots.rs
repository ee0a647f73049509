//! The snapshots on a memory disk: the latest, those that are still being sent, and the one that
//! comes in.
//!
//! A snapshot that somebody holds stays when a later one takes its place, so that a leader that takes
//! a new one does not pull the old one from under a transfer. A reader that is open keeps its bytes
//! whatever happens, like an unlinked file.
//!
//! What comes in is kept beside the shelf, in one buffer, until it is whole. Its bytes are not
//! durable before: opening the disk forgets them, and the sender learns from the next answer that
//! it has to begin anew. An answer of `meta.bytes` is given only when the snapshot is in force, so
//! a repeated last piece waits for the same sync as the first one.

use std::{
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use bytes::{Buf, Bytes};

use super::Shared;
use crate::{
    raft::{Membership, Position, SnapshotMeta},
    storage::{Hold, SnapshotStore, SnapshotWriter, StorageError, Wait},
};

struct Stored {
    meta: Arc<SnapshotMeta>,
    bytes: Bytes,
}

/// A snapshot of a leader, as far as it is here. The buffer grows with what arrives, and not to what
/// the sender says: a size is only a claim.
struct Incoming {
    meta: Arc<SnapshotMeta>,
    bytes: Vec<u8>,
    /// Of what is here: to add up a large one at its end would hold up everybody on this thread.
    checksum: u32,
}

/// Durable snapshots, and the one that comes in.
#[derive(Default)]
pub(super) struct Shelf {
    latest: Option<Arc<Stored>>,
    /// Those before it: alive for as long as anybody holds them.
    before: Vec<Weak<Stored>>,
    incoming: Option<Incoming>,
    /// How many times what came in is on its way to become durable: a repeated last piece waits too.
    installing: usize,
    /// Whether the next one that is to be put in force is not.
    failing: bool,
}

impl Shelf {
    pub(super) fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    pub(super) fn is_installing(&self) -> bool {
        self.installing > 0
    }

    /// Fails if it was told to, once.
    fn check(&mut self, at: Position) -> Result<(), StorageError> {
        if !std::mem::take(&mut self.failing) {
            return Ok(());
        }
        let cause = io::Error::other("injected fault");
        Err(StorageError::Aside { what: format!("snapshot at {at}"), cause })
    }

    pub(super) fn forget_incoming(&mut self) {
        self.incoming = None;
    }

    #[cfg(test)]
    pub(super) fn is_expecting_nothing(&self) -> bool {
        self.incoming.is_none()
    }

    fn latest(&self) -> Option<&Arc<SnapshotMeta>> {
        self.latest.as_ref().map(|stored| &stored.meta)
    }

    /// The latest snapshot, if it leaves nothing to do for one at `at`. What snapshots cover is
    /// committed, hence their indexes alone tell which is older.
    fn covering(&self, at: Position) -> Option<&Arc<SnapshotMeta>> {
        self.latest().filter(|latest| latest.at.index >= at.index)
    }

    fn find(&self, at: Position) -> Result<Arc<Stored>, StorageError> {
        let before = self.before.iter().filter_map(Weak::upgrade);
        let found = self.latest.iter().cloned().chain(before).find(|stored| stored.meta.at == at);
        found.ok_or(StorageError::Gone { at })
    }

    /// Puts a snapshot in force, unless it is older than the latest; returns the latest.
    fn publish(&mut self, meta: Arc<SnapshotMeta>, bytes: Bytes) -> Arc<SnapshotMeta> {
        if let Some(latest) = self.covering(meta.at) {
            return latest.clone();
        }
        self.incoming.take_if(|incoming| incoming.meta.at.index <= meta.at.index);
        self.before.retain(|before| before.strong_count() > 0);
        let before = self.latest.replace(Arc::new(Stored { meta: meta.clone(), bytes }));
        self.before.extend(before.as_ref().map(Arc::downgrade));
        meta
    }

    /// How many bytes of the snapshot that comes in are here.
    fn held(&self, meta: &SnapshotMeta) -> u64 {
        let incoming = self.incoming.as_ref().filter(|incoming| incoming.meta.as_ref() == meta);
        incoming.map_or(0, |incoming| incoming.bytes.len() as u64)
    }

    /// Takes in a piece, if it follows what is here. Returns how many bytes of the snapshot are.
    fn take_in(&mut self, meta: &Arc<SnapshotMeta>, offset: u64, data: &[u8]) -> u64 {
        let held = self.held(meta);
        let end = offset.checked_add(data.len() as u64);
        if offset != held || end.is_none_or(|end| end > meta.bytes) {
            return held;
        }
        // A first piece replaces whatever else was coming in, even what is later in the log: that
        // one's leader may be gone, and nobody else has this very snapshot.
        let known = self.incoming.take_if(|incoming| incoming.meta == *meta);
        let incoming = self.incoming.insert(known.unwrap_or_else(|| Incoming {
            meta: meta.clone(),
            bytes: Vec::new(),
            checksum: 0,
        }));
        incoming.bytes.extend_from_slice(data);
        incoming.checksum = crc32c::crc32c_append(incoming.checksum, data);
        incoming.bytes.len() as u64
    }

    /// Puts what came in in force. Returns how many bytes of it are here: all, unless somebody
    /// else's snapshot took its place, or the disk was opened again, in the meantime.
    fn publish_incoming(&mut self, meta: &Arc<SnapshotMeta>) -> u64 {
        if self.covering(meta.at).is_some() {
            return meta.bytes;
        }
        let held = self.held(meta);
        // For a snapshot without bytes, nothing is all there is of it.
        if held == meta.bytes {
            let incoming = self.incoming.take_if(|incoming| incoming.meta == *meta);
            let (bytes, checksum) =
                incoming.map_or_else(Default::default, |incoming| (incoming.bytes, incoming.checksum));
            if checksum != meta.checksum {
                return 0; // Damaged on the way: from the start, then.
            }
            self.publish(meta.clone(), bytes.into());
        }
        held
    }
}

/// What came in is on its way to become durable, until it is, or until whoever waits for it goes.
struct Installing(Arc<Shared>);

impl Installing {
    fn begin(shared: &Arc<Shared>) -> Installing {
        shared.lock().shelf.installing += 1;
        Installing(shared.clone())
    }
}

impl Drop for Installing {
    fn drop(&mut self) {
        // A wiped disk has forgotten it.
        let mut platter = self.0.lock();
        platter.shelf.installing = platter.shelf.installing.saturating_sub(1);
    }
}

/// The snapshots, as everybody sees them who has the disk open.
pub(super) struct MemorySnapshots {
    shared: Arc<Shared>,
}

impl MemorySnapshots {
    pub(super) fn new(shared: Arc<Shared>) -> MemorySnapshots {
        MemorySnapshots { shared }
    }
}

impl SnapshotStore for MemorySnapshots {
    fn latest(&self) -> Option<Arc<SnapshotMeta>> {
        self.shared.lock().shelf.latest().cloned()
    }

    fn save(
        &self,
        at: Position,
        membership: Arc<Membership>,
        write: SnapshotWriter,
    ) -> Wait<Result<Arc<SnapshotMeta>, StorageError>> {
        let checked = {
            let platter = self.shared.lock();
            platter.check().map(|()| platter.shelf.covering(at).cloned())
        };
        match checked {
            Err(error) => return Wait::Now(Err(error)),
            Ok(Some(latest)) => return Wait::Now(Ok(latest)),
            Ok(None) => {}
        }
        // Not under the lock: it is the machine's own code, and may be long.
        let mut bytes = Vec::new();
        let written = catch_unwind(AssertUnwindSafe(|| write(&mut bytes)))
            .unwrap_or_else(|_| Err(io::Error::other("the machine panicked while it was written")));
        if let Err(cause) = written {
            return Wait::Now(Err(StorageError::Aside { what: format!("snapshot at {at}"), cause }));
        }
        let checksum = crc32c::crc32c(&bytes);
        let meta = Arc::new(SnapshotMeta { at, membership, bytes: bytes.len() as u64, checksum });
        let ms = self.shared.lock().draw_ms(bytes.len());
        self.shared.after(ms, move |shared| {
            let mut platter = shared.lock();
            platter.check()?;
            platter.shelf.check(meta.at)?;
            Ok(platter.shelf.publish(meta, bytes.into()))
        })
    }

    fn open(&self, at: Position) -> Result<Box<dyn Read + Send>, StorageError> {
        let stored = self.shared.lock().shelf.find(at)?;
        Ok(Box::new(stored.bytes.clone().reader()))
    }

    fn hold(&self, at: Position) -> Option<Hold> {
        self.shared.lock().shelf.find(at).ok().map(Hold::new)
    }

    fn read(&self, at: Position, offset: u64, bytes_max: usize) -> Wait<Result<Bytes, StorageError>> {
        let platter = self.shared.lock();
        Wait::Now(platter.shelf.find(at).map(|stored| {
            let bytes = &stored.bytes;
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let to = from.saturating_add(bytes_max).min(bytes.len());
            bytes.slice(from..to)
        }))
    }

    fn receive(&self, meta: Arc<SnapshotMeta>, offset: u64, data: Bytes) -> Wait<Result<u64, StorageError>> {
        let mut platter = self.shared.lock();
        if let Err(error) = platter.check() {
            return Wait::Now(Err(error));
        }
        if platter.shelf.covering(meta.at).is_some() {
            return Wait::Now(Ok(meta.bytes));
        }
        let held = platter.shelf.take_in(&meta, offset, &data);
        if held < meta.bytes {
            return Wait::Now(Ok(held));
        }
        let ms = platter.draw_ms(usize::try_from(held).unwrap_or(usize::MAX));
        drop(platter);
        let installing = Installing::begin(&self.shared);
        self.shared.after(ms, move |shared| {
            let _until_the_end = installing;
            let mut platter = shared.lock();
            platter.check()?;
            if platter.shelf.covering(meta.at).is_none()
                && let Err(error) = platter.shelf.check(meta.at)
            {
                platter.shelf.forget_incoming();
                return Err(error);
            }
            Ok(platter.shelf.publish_incoming(&meta))
        })
    }
}
