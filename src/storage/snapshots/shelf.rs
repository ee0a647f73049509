//! What is in the folder, and how it gets there: written aside, synced, renamed, and then in force.

use std::{
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{
    PIECE_BYTES,
    header::{self, Flaw},
    incoming::Incoming,
    name::{Kind, Name},
    worker::IsWanted,
    writing::Writing,
};
use crate::{
    raft::{Membership, Position, SnapshotMeta},
    storage::{
        SnapshotWriter, StorageError,
        files::{File, Files},
    },
};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole snapshot. Its file is open for as long as anybody reads it, also when it has been removed.
pub(super) struct Stored {
    pub(super) meta: Arc<SnapshotMeta>,
    file: Box<dyn File>,
    /// Where in the file its content begins.
    begin: u64,
}

impl Stored {
    /// Up to `bytes_max` bytes of the content.
    pub(super) fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(self.meta.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.file.read_up_to(self.begin.saturating_add(offset), rest.min(bytes_max))
    }
}

/// Reads a snapshot from its beginning, and checks it on the way: what the disk has damaged since it
/// was opened ends in an error and not in another state.
pub(super) struct Reader {
    stored: Arc<Stored>,
    offset: u64,
    checksum: u32,
}

impl Reader {
    pub(super) fn new(stored: Arc<Stored>) -> Reader {
        Reader { stored, offset: 0, checksum: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.stored.read(self.offset, into.len())?;
        for (to, from) in into.iter_mut().zip(&piece) {
            *to = *from;
        }
        self.offset = self.offset.saturating_add(piece.len() as u64);
        self.checksum = crc32c::crc32c_append(self.checksum, &piece);
        let meta = &self.stored.meta;
        let is_short = piece.is_empty() && !into.is_empty() && self.offset < meta.bytes;
        if is_short || (self.offset == meta.bytes && self.checksum != meta.checksum) {
            let what = format!("the snapshot at {} is not what was written", meta.at);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(piece.len())
    }
}

/// What is in force, and what is still read although it is not.
#[derive(Default)]
pub(super) struct InForce {
    latest: Option<Arc<Stored>>,
    /// Those before it: alive for as long as anybody holds them.
    before: Vec<Weak<Stored>>,
    /// The file that a snapshot is being written to.
    aside: Option<Name>,
}

/// A folder of snapshots.
pub(super) struct Shelf {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    /// Held for moments.
    in_force: Mutex<InForce>,
    /// Held while a snapshot comes into force, or the folder is read: one at a time.
    publishing: Mutex<()>,
    /// The snapshot that comes in. Locked before `publishing`, if both are.
    pub(super) incoming: Mutex<Option<Incoming>>,
}

impl Shelf {
    pub(super) fn new(files: Arc<dyn Files>, dir: PathBuf) -> Shelf {
        let (in_force, publishing, incoming) = Default::default();
        Shelf { files, dir, in_force, publishing, incoming }
    }

    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.dir.join(name.to_string())
    }

    pub(super) fn latest(&self) -> Option<Arc<SnapshotMeta>> {
        lock(&self.in_force).latest.as_ref().map(|stored| stored.meta.clone())
    }

    /// The latest snapshot, if it leaves nothing to do for one at `at`. What snapshots cover is
    /// committed, hence their indexes alone tell which is older.
    pub(super) fn covering(&self, at: Position) -> Option<Arc<SnapshotMeta>> {
        self.latest().filter(|latest| latest.at.index >= at.index)
    }

    /// A snapshot that can be read.
    pub(super) fn find(&self, at: Position) -> Result<Arc<Stored>, StorageError> {
        let in_force = lock(&self.in_force);
        let before = in_force.before.iter().filter_map(Weak::upgrade);
        let found = in_force.latest.iter().cloned().chain(before).find(|stored| stored.meta.at == at);
        found.ok_or(StorageError::Gone { at })
    }

    /// Writes a snapshot aside, and puts it in force.
    pub(super) fn save(
        &self,
        at: Position,
        membership: Arc<Membership>,
        write: SnapshotWriter,
        is_wanted: IsWanted<'_>,
    ) -> Result<Arc<SnapshotMeta>, StorageError> {
        if let Some(latest) = self.covering(at) {
            return Ok(latest);
        }
        let name = Name { at, kind: Kind::Aside };
        lock(&self.in_force).aside = Some(name);
        let saved = self.write_aside(name, membership, write, is_wanted);
        let saved = saved.and_then(|(meta, file, begin)| self.publish(name, meta, file, begin, is_wanted));
        if saved.is_err() {
            self.discard(name);
        }
        lock(&self.in_force).aside = None;
        self.discard_stale(&mut lock(&self.incoming));
        saved.map_err(|cause| StorageError::Aside { what: format!("snapshot at {at}"), cause })
    }

    fn write_aside(
        &self,
        name: Name,
        membership: Arc<Membership>,
        write: SnapshotWriter,
        is_wanted: IsWanted<'_>,
    ) -> io::Result<(Arc<SnapshotMeta>, Box<dyn File>, u64)> {
        let file = self.create(name)?;
        let mut meta = SnapshotMeta { at: name.at, membership, bytes: 0, checksum: 0 };
        let begin = header::encode(&meta).len() as u64;
        let mut content = Writing::new(&*file, begin, is_wanted);
        // It is the machine's own code: it must not take the snapshots down with it.
        catch_unwind(AssertUnwindSafe(|| write(&mut content)))
            .unwrap_or_else(|_| Err(io::Error::other("the machine panicked while it was written")))?;
        (meta.bytes, meta.checksum) = content.finish()?;
        // The front comes last: a file without it is nothing, wherever a crash leaves it.
        file.write_all_at(&header::encode(&meta), 0)?;
        file.sync()?;
        Ok((Arc::new(meta), file, begin))
    }

    /// Makes a file; one of that name that was left behind goes.
    pub(super) fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let path = self.path(name);
        match self.files.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(&path)?;
                self.files.create(&path)
            }
            created => created,
        }
    }

    /// Removes a file that is of no use. That it can't be removed harms nobody: the next start tries
    /// again.
    pub(super) fn discard(&self, name: Name) {
        let _ = self.files.remove(&self.path(name));
    }

    /// Puts a whole and synced file in force, unless it is older than the latest; returns the latest.
    /// The one before goes, once the new one is sure to be found after a power cut. What nobody waits for
    /// any more changes nothing: whoever reads the folder anew must not find another latest a moment later.
    pub(super) fn publish(
        &self,
        from: Name,
        meta: Arc<SnapshotMeta>,
        file: Box<dyn File>,
        begin: u64,
        is_wanted: IsWanted<'_>,
    ) -> io::Result<Arc<SnapshotMeta>> {
        let _publishing = lock(&self.publishing);
        // Whoever wanted it may be gone, and the next one may have read the folder: what comes into
        // force now would do so behind its back.
        if !is_wanted() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        if let Some(latest) = self.covering(meta.at) {
            self.discard(from);
            return Ok(latest);
        }
        let name = Name { at: meta.at, kind: Kind::Whole };
        self.files.rename(&self.path(from), &self.path(name))?;
        if let Err(error) = self.files.sync_dir(&self.dir) {
            self.discard(name);
            return Err(error);
        }
        if let Some(before) = self.put_in_force(Arc::new(Stored { meta: meta.clone(), file, begin })) {
            self.discard(Name { at: before, kind: Kind::Whole });
        }
        Ok(meta)
    }

    /// Returns where the one before it was.
    fn put_in_force(&self, stored: Arc<Stored>) -> Option<Position> {
        let mut in_force = lock(&self.in_force);
        in_force.before.retain(|before| before.strong_count() > 0);
        let before = in_force.latest.replace(stored)?;
        in_force.before.push(Arc::downgrade(&before));
        Some(before.meta.at)
    }

    /// Reads the folder: what is in force, and what goes. Says what an operator should know.
    pub(super) fn load(&self) -> Result<Vec<String>, StorageError> {
        let mut incoming = lock(&self.incoming);
        let _publishing = lock(&self.publishing);
        let failed = |cause| StorageError::Io { what: self.dir.display().to_string(), cause };
        self.files.create_dir(&self.dir).map_err(failed)?;
        // Whoever put the latest in its place may have been killed before that was durable, and on what
        // is found here the log is cut off.
        self.files.sync_dir(&self.dir).map_err(failed)?;
        // Whatever is durable in a folder is gone with it, if that is not.
        if let Some(above) = self.dir.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.files.sync_dir(above).map_err(failed)?;
        }
        let mut warnings = Vec::new();
        let mut names = Vec::new();
        for text in self.files.list(&self.dir).map_err(failed)? {
            match Name::parse(&text) {
                Some(name) => names.push(name),
                None => warnings.push(format!("{}: {text} is no snapshot; it stays", self.dir.display())),
            }
        }
        let whole = names.iter().copied().filter(|name| name.kind == Kind::Whole);
        let latest = whole.max_by_key(|name| (name.at.index, name.at.term));
        let stored = latest.map(|name| self.verify(name)).transpose()?;
        // What was read before may still be read by somebody.
        match stored {
            Some(stored) if self.latest().as_ref() == Some(&stored.meta) => {}
            Some(stored) => drop(self.put_in_force(Arc::new(stored))),
            None => lock(&self.in_force).latest = None,
        }
        // From here on nothing that goes can be missed.
        let busy = lock(&self.in_force).aside;
        *incoming = None;
        for name in names.into_iter().filter(|&name| Some(name) != latest && Some(name) != busy) {
            if name.kind == Kind::Incoming && incoming.is_none() && self.covering(name.at).is_none() {
                *incoming = Incoming::resume(self, name);
                if incoming.is_some() {
                    continue;
                }
            }
            let path = self.path(name);
            if let Err(error) = self.files.remove(&path) {
                warnings.push(format!("{} is of no use, and can't be removed: {error}", path.display()));
            }
        }
        Ok(warnings)
    }

    /// Checks every bit of a snapshot.
    pub(super) fn verify(&self, name: Name) -> Result<Stored, StorageError> {
        let path = self.path(name);
        let failed = |cause| StorageError::Io { what: path.display().to_string(), cause };
        let damaged = |what| Err(StorageError::Damaged { what: format!("{}: {what}", path.display()) });
        let file = self.files.open_to_read(&path).map_err(failed)?;
        let (meta, begin) = match header::read(&*file).map_err(failed)? {
            Ok((meta, begin)) if meta.at == name.at => (meta, begin),
            Ok((meta, _)) => return damaged(format!("it is the snapshot at {}", meta.at)),
            Err(Flaw::Damaged) => return damaged("its front, at byte 0, is not what was written".into()),
            Err(Flaw::Format(format)) => {
                let why = "a newer program has written it, or it is damaged";
                return damaged(format!("it says that it is of format {format}: {why}"));
            }
        };
        let (there, end) = (file.len().map_err(failed)?, begin.saturating_add(meta.bytes));
        if there != end {
            return damaged(format!("it ends at byte {there}, and was written up to byte {end}"));
        }
        let checksum = checksum(&*file, begin, end).map_err(failed)?;
        if checksum != meta.checksum {
            return damaged(format!("between bytes {begin} and {end} it is not what was written"));
        }
        Ok(Stored { meta: Arc::new(meta), file, begin })
    }
}

/// The checksum of a part of a file.
pub(super) fn checksum(file: &dyn File, begin: u64, end: u64) -> io::Result<u32> {
    let (mut at, mut checksum) = (begin, 0);
    while at < end {
        let bytes_max = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = file.read_up_to(at, bytes_max)?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        checksum = crc32c::crc32c_append(checksum, &piece);
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(checksum)
}
