//! The data folder of a peer: log and snapshots, whose they are, and who has it open.
//!
//! ```text
//! DIR/
//!   lock           held by the process that uses the folder
//!   stamp.json     format, cluster, peer, incarnation, first membership
//!   peers.json     the incarnations of the disks that other peers were met with
//!   log/           segments of the write-ahead log, one of them spare
//!   snapshots/
//! ```
//!
//! The stamp is the last thing that is made of a new folder, so that a folder with a stamp has a log:
//! an empty one in its place would have forgotten what it promised.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

mod register;
mod stamp;
#[cfg(test)]
mod tests;

pub(crate) use self::stamp::sealed;
use self::{register::FolderRegister, stamp::Stamp};
use super::{
    Disk, Incarnation, Opened, Room, StorageError,
    files::{Files, Lock, RealFiles},
    snapshots::FileSnapshots,
    wal::{self, Fence, Plan, WalLog},
};
use crate::raft::{Membership, PeerId};

/// The names of a data folder, beside those of files that are being written.
const NAMES: [&str; 5] = ["lock", stamp::NAME, register::NAME, "log", "snapshots"];

/// Behind the name of a file that is being written and has not taken its place yet.
const NEW: &str = ".new";

/// What a data folder is opened for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderOptions {
    /// The name of the cluster.
    pub cluster: String,
    /// Whose folder it is.
    pub peer: PeerId,
    /// With whom the cluster begins, if it begins with this folder.
    pub first_membership: Membership,
    /// How long a segment of the log is, in bytes. Default 16 MiB. Each peer has one spare.
    pub segment_bytes: u64,
    /// The files of the operating system, or what takes their place in tests.
    pub files: Arc<dyn Files>,
}

impl FolderOptions {
    /// A folder for this peer of this cluster.
    pub fn new(cluster: impl Into<String>, peer: PeerId, first_membership: Membership) -> FolderOptions {
        let (cluster, segment_bytes) = (cluster.into(), wal::SEGMENT_BYTES);
        let files = Arc::new(RealFiles);
        FolderOptions { cluster, peer, first_membership, segment_bytes, files }
    }
}

/// A data folder that this process has locked. Clones are one.
///
/// ```
/// use raft_actors::raft::{Membership, PeerId};
/// use raft_actors::storage::{FolderDisk, FolderOptions};
///
/// # let place = std::env::temp_dir().join(format!("raft-actors-doc-{}", std::process::id()));
/// let options = FolderOptions::new("orders", PeerId(1), Membership::of((1..=3).map(PeerId)));
/// let disk = FolderDisk::open(&place, options.clone())?;
/// let again = FolderDisk::open(&place, options);
/// assert!(again.is_err_and(|error| error.to_string().contains("in use")));
/// # drop(disk);
/// # std::fs::remove_dir_all(&place).ok();
/// # Ok::<(), raft_actors::storage::StorageError>(())
/// ```
#[derive(Clone)]
pub struct FolderDisk(Arc<Folder>);

struct Folder {
    path: PathBuf,
    stamp: Stamp,
    warnings: Vec<String>,
    segment_bytes: u64,
    files: Arc<dyn Files>,
    fence: Arc<Fence>,
    register: Arc<FolderRegister>,
    snapshots: Arc<FileSnapshots>,
    room: Room,
    /// The threads hold it, too: the folder is free when the last of them has ended.
    lock: Arc<dyn Lock>,
}

impl fmt::Debug for FolderDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderDisk").field("path", &self.0.path).finish_non_exhaustive()
    }
}

fn failed(what: &str, path: &Path, cause: io::Error) -> StorageError {
    StorageError::Io { what: format!("{what} {}", path.display()), cause }
}

impl FolderDisk {
    /// Opens a data folder, or makes one. Blocks for some milliseconds, and longer to make one.
    ///
    /// # Errors
    /// The folder belongs to another cluster or peer, was written by a newer version, is in use, is
    /// damaged, or can't be made; the error says which, and what to do.
    pub fn open(path: &Path, options: FolderOptions) -> Result<FolderDisk, StorageError> {
        let files = options.files.clone();
        check_is_ours(&*files, path)?;
        for folder in [path.to_path_buf(), path.join("log"), path.join("snapshots")] {
            files.create_dir(&folder).map_err(|cause| failed("make", &folder, cause))?;
        }
        let lock = take_lock(&*files, path)?;
        let found = Stamp::read(&*files, path)?;
        let stamp = match &found {
            Some(stamp) => stamp.clone(),
            None => make(&*files, path, &options)?,
        };
        make_durable(&*files, path)?;
        let mut warnings = Vec::new();
        stamp.check(path, &options, &mut warnings)?;
        let register = FolderRegister::read(files.clone(), path, Incarnation(stamp.incarnation))?;
        let snapshots = FileSnapshots::open(files.clone(), path.join("snapshots"));
        Ok(FolderDisk(Arc::new(Folder {
            path: path.into(),
            stamp,
            warnings,
            segment_bytes: options.segment_bytes,
            files,
            fence: Arc::default(),
            register: Arc::new(register),
            snapshots: Arc::new(snapshots),
            room: Room::default(),
            lock: lock.into(),
        })))
    }

    /// The name of the cluster that a folder was made for, its peer, and the membership with which the
    /// cluster began; `None` if it is no data folder yet. Takes no lock.
    ///
    /// # Errors
    /// The stamp can't be read.
    pub fn peek(path: &Path) -> Result<Option<(String, PeerId, Membership)>, StorageError> {
        let stamp = Stamp::read(&RealFiles, path)?;
        Ok(stamp.map(|stamp| (stamp.cluster, stamp.peer, stamp.first_membership)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The name of its cluster.
    pub fn cluster(&self) -> &str {
        &self.0.stamp.cluster
    }

    /// The membership with which its cluster began, whatever was asked for.
    pub fn first_membership(&self) -> &Membership {
        &self.0.stamp.first_membership
    }

    /// What the operator should know of it, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }
}

impl Disk for FolderDisk {
    fn open(&mut self) -> Result<Opened, StorageError> {
        let folder = &self.0;
        let (snapshots, lock) = (folder.snapshots.clone(), folder.lock.clone());
        let plan = Plan {
            name: format!("wal-{}", folder.stamp.peer),
            files: folder.files.clone(),
            dir: folder.path.join("log"),
            incarnation: folder.stamp.incarnation,
            segment_bytes: folder.segment_bytes,
            room: folder.room.clone(),
            beside: Box::new(move |replay| {
                let _held = &lock;
                replay.warnings.extend(snapshots.load()?);
                Ok(())
            }),
        };
        Ok(Opened {
            log: Box::new(WalLog::open(&folder.fence, plan)?),
            snapshots: folder.snapshots.clone(),
            register: folder.register.clone(),
            room: folder.room.clone(),
        })
    }
}

/// A folder that holds other things is none that we may write to.
fn check_is_ours(files: &dyn Files, path: &Path) -> Result<(), StorageError> {
    let names = match files.list(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed("list", path, cause)),
    };
    let is_known = |name: &&String| NAMES.contains(&name.strip_suffix(NEW).unwrap_or(name));
    if names.iter().any(|name| name == stamp::NAME) {
        return Ok(());
    }
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(other) => Err(StorageError::Refused {
            why: format!(
                "{} is not empty and no data folder (it holds `{other}`): give a new or empty folder",
                path.display()
            ),
        }),
    }
}

fn take_lock(files: &dyn Files, path: &Path) -> Result<Box<dyn Lock>, StorageError> {
    let file = path.join("lock");
    let lock = match files.lock(&file) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let holder = files.open_to_read(&file).and_then(|file| file.read_up_to(0, 64));
            let holder = holder.ok().and_then(|note| String::from_utf8(note).ok());
            let holder = holder.map(|note| note.trim().to_string()).filter(|note| !note.is_empty());
            let holder = holder.map_or(String::new(), |note| format!(" by {note}"));
            let why =
                format!("{} is in use{holder}: stop that one first, or give another folder", path.display());
            return Err(StorageError::Refused { why });
        }
        Err(cause) => return Err(failed("lock", &file, cause)),
    };
    // Only for the reader of an error: what can't be said is not said.
    let _ = lock.leave_note(&format!("process {}", std::process::id()));
    Ok(lock)
}

/// Makes a new folder: the log first, the stamp last.
fn make(files: &dyn Files, path: &Path, options: &FolderOptions) -> Result<Stamp, StorageError> {
    let log = path.join("log");
    let names = files.list(&path.join("snapshots")).map_err(|cause| failed("list", path, cause))?;
    if !wal::is_unused(files, &log)? || !names.is_empty() {
        let what = format!("{}: it holds a log or snapshots, and no {}", path.display(), stamp::NAME);
        return Err(StorageError::Damaged { what });
    }
    // What an earlier try left there carries another incarnation.
    for name in files.list(&log).map_err(|cause| failed("list", &log, cause))? {
        let leftover = log.join(name);
        files.remove(&leftover).map_err(|cause| failed("remove", &leftover, cause))?;
    }
    let stamp = Stamp::new(options);
    wal::create(files, &log, stamp.incarnation, options.segment_bytes)?;
    stamp.write(files, path)?;
    Ok(stamp)
}

/// Makes durable what was found or made, before anybody relies on it: whoever made it may have been killed
/// before it came so far, and then only the operating system knows of it yet.
fn make_durable(files: &dyn Files, path: &Path) -> Result<(), StorageError> {
    files.sync_dir(path).map_err(|cause| failed("sync folder", path, cause))?;
    // A folder whose own name gets lost takes everything along.
    let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    for (number, parent) in parents.enumerate() {
        match files.sync_dir(parent) {
            Err(cause) if number == 0 => return Err(failed("sync folder", parent, cause)),
            // Further up are folders that we may not look into, and that were there before.
            _ => {}
        }
    }
    Ok(())
}

/// Puts a small file in the place of another, whole and durable.
pub(crate) fn replace(files: &dyn Files, dir: &Path, name: &str, text: &str) -> Result<(), StorageError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}{NEW}")));
    let write = || {
        match files.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = files.create(&new)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync()?;
        files.rename(&new, &path)?;
        files.sync_dir(dir)
    };
    write().map_err(|cause| failed("write", &path, cause))
}

/// Reads a small file of text; `None` if there is none.
pub(crate) fn read(files: &dyn Files, path: &Path) -> Result<Option<String>, StorageError> {
    let bytes = match files.open_to_read(path).and_then(|file| file.read_whole()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed("read", path, cause)),
    };
    String::from_utf8(bytes).map(Some).map_err(|_| unreadable(path))
}

/// A small file of ours that is not what was written.
fn unreadable(path: &Path) -> StorageError {
    StorageError::Damaged { what: format!("{}: offset 0: it is not what was written", path.display()) }
}
