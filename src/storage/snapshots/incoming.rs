//! A snapshot that comes in from a leader, piece by piece.
//!
//! Its file has its front from the first piece on: so it is known which snapshot it is a part of,
//! also after a restart, and the transfer goes on where it was. Nothing before the end is trusted:
//! a power cut may have kept the length of a file and not its bytes. The checksum of the whole
//! decides, and if it does not fit, everything begins anew.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    SYNC_BYTES, header,
    name::{Kind, Name},
    shelf::{Shelf, checksum, lock},
    worker::IsWanted,
};
use crate::{
    raft::SnapshotMeta,
    storage::{StorageError, files::File},
};

/// A snapshot of a leader, as far as it is here. The file grows with what arrives, and not to what
/// the sender says: a size is only a claim.
pub(super) struct Incoming {
    meta: Arc<SnapshotMeta>,
    file: Box<dyn File>,
    begin: u64,
    /// How many bytes of its content are here, from the start, and their checksum.
    held: u64,
    checksum: u32,
    unsynced: u64,
}

impl Incoming {
    fn name(meta: &SnapshotMeta) -> Name {
        Name { at: meta.at, kind: Kind::Incoming }
    }

    fn begin(shelf: &Shelf, meta: &Arc<SnapshotMeta>) -> io::Result<Incoming> {
        let file = shelf.create(Incoming::name(meta))?;
        let front = header::encode(meta);
        file.write_all_at(&front, 0)?;
        let (meta, begin) = (meta.clone(), front.len() as u64);
        Ok(Incoming { meta, file, begin, held: 0, checksum: 0, unsynced: begin })
    }

    /// What is left of a transfer before a restart. `None`: nothing that is of use.
    pub(super) fn resume(shelf: &Shelf, name: Name) -> Option<Incoming> {
        let file = shelf.files.open(&shelf.path(name)).ok()?;
        let (meta, begin) = header::read(&*file).ok()?.ok()?;
        let held = file.len().ok()?.checked_sub(begin).filter(|&held| held <= meta.bytes)?;
        if meta.at != name.at {
            return None;
        }
        let checksum = checksum(&*file, begin, begin.saturating_add(held)).ok()?;
        if held == meta.bytes && checksum != meta.checksum {
            return None; // Its length survived a power cut, and its bytes did not.
        }
        Some(Incoming { meta: meta.into(), file, begin, held, checksum, unsynced: held })
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.begin.saturating_add(self.held))?;
        self.checksum = crc32c::crc32c_append(self.checksum, data);
        self.held = self.held.saturating_add(data.len() as u64);
        self.unsynced = self.unsynced.saturating_add(data.len() as u64);
        if self.unsynced >= SYNC_BYTES {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

impl Shelf {
    /// Takes in a piece, if it follows what is here. Returns how many bytes of the snapshot are: all
    /// of them mean that it is in force.
    pub(super) fn receive(
        &self,
        meta: &Arc<SnapshotMeta>,
        offset: u64,
        data: &Bytes,
        is_wanted: IsWanted<'_>,
    ) -> Result<u64, StorageError> {
        let mut slot = lock(&self.incoming);
        if self.covering(meta.at).is_some() {
            self.discard_stale(&mut slot);
            return Ok(meta.bytes);
        }
        let taken = self.take_in(&mut slot, meta, offset, data).and_then(|held| {
            if held < meta.bytes { Ok(held) } else { self.publish_incoming(&mut slot, meta, is_wanted) }
        });
        taken.map_err(|cause| {
            // What is here of it fills a disk that has no room, or can't be trusted.
            if let Some(broken) = slot.take() {
                self.discard(Incoming::name(&broken.meta));
            }
            StorageError::Aside { what: format!("a piece of the snapshot at {}", meta.at), cause }
        })
    }

    /// What is in force needs nothing to come in any more.
    pub(super) fn discard_stale(&self, slot: &mut Option<Incoming>) {
        let covered = |incoming: &mut Incoming| self.covering(incoming.meta.at).is_some();
        if let Some(stale) = slot.take_if(covered) {
            self.discard(Incoming::name(&stale.meta));
        }
    }

    fn take_in(
        &self,
        slot: &mut Option<Incoming>,
        meta: &Arc<SnapshotMeta>,
        offset: u64,
        data: &Bytes,
    ) -> io::Result<u64> {
        let known = slot.as_mut().filter(|incoming| incoming.meta == *meta);
        let held = known.as_ref().map_or(0, |incoming| incoming.held);
        let end = offset.checked_add(data.len() as u64);
        if offset != held || end.is_none_or(|end| end > meta.bytes) || (data.is_empty() && meta.bytes > 0) {
            return Ok(held);
        }
        if let Some(known) = known {
            return known.write(data).map(|()| known.held);
        }
        // A first piece replaces whatever else was coming in, even what is later in the log: that
        // one's leader may be gone, and nobody else has this very snapshot.
        if let Some(other) = slot.take() {
            self.discard(Incoming::name(&other.meta));
        }
        let begun = Incoming::begin(self, meta).inspect_err(|_| self.discard(Incoming::name(meta)))?;
        let incoming = slot.insert(begun);
        incoming.write(data).map(|()| incoming.held)
    }

    /// Puts what came in in force, if it is what the leader said.
    fn publish_incoming(
        &self,
        slot: &mut Option<Incoming>,
        meta: &Arc<SnapshotMeta>,
        is_wanted: IsWanted<'_>,
    ) -> io::Result<u64> {
        let Some(incoming) = slot.take() else { return Ok(0) };
        let name = Incoming::name(meta);
        if incoming.checksum != meta.checksum {
            self.discard(name);
            return Ok(0); // Damaged on the way: from the start, then.
        }
        let Incoming { file, begin, .. } = incoming;
        let published = file.sync().and_then(|()| self.publish(name, meta.clone(), file, begin, is_wanted));
        if published.is_err() {
            self.discard(name);
        }
        published.map(|_| meta.bytes)
    }
}
