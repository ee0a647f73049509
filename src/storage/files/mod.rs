//! The operating system's files, as far as this room uses them.
//!
//! Everything that the log and the snapshots do to a disk goes through [`Files`], so that tests can
//! put a disk in its place that forgets what was not synced, fails, fills up, or stops between any two
//! calls. What is durable, and when, is the contract:
//!
//! - what was written to a file is durable after the [`File::sync`] that follows;
//! - that a file is there, under its name or no longer, is durable after the [`Files::sync_dir`] that
//!   follows;
//! - a rename is atomic: after a power cut the old name or the new one is there, never none, never half.
//!
//! No call follows a symbolic link at the end of its path. All of them block.

use std::{fmt, io, path::Path};

#[cfg(target_os = "linux")]
mod direct;
mod real;
mod simulated;

pub use real::RealFiles;
pub use simulated::{Call, Calls, Fault, Loss, SimulatedFiles};

/// A file system.
pub trait Files: Send + Sync + fmt::Debug + 'static {
    /// Makes a folder that only its owner may enter (mode 0700), and those above it. That it is there
    /// already is no error.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a new file that only its owner may read and write (mode 0600).
    ///
    /// # Errors
    /// There is one already, or what else the operating system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a file to read and write it.
    ///
    /// # Errors
    /// What the operating system says; a symbolic link is an error.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a file to write it from some place to its end, one piece behind the other, past the operating system's cache
    /// where that can be done and a piece is so long that it pays. Zeros, or what was there, stand behind each piece: up
    /// to its next multiple of 4 KiB nobody may rely on either.
    ///
    /// # Errors
    /// See [`Files::open`].
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    /// Opens a file to read it only.
    ///
    /// # Errors
    /// What the operating system says; a symbolic link is an error.
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Gives a file another name, in the same folder; a file that had that name is gone.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Whoever has it open keeps it.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which files are in a folder.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, made if there is none, until the answer is dropped or the process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: another holds it. Or what else the operating system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// An open file. Positions are bytes from its beginning.
#[allow(clippy::len_without_is_empty)]
pub trait File: Send + Sync + 'static {
    /// Reads what is there, at most what fits into `into`; none at the end.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the beginning of `from`, and says how much of it.
    ///
    /// # Errors
    /// What the operating system says. Then a part may be written all the same.
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes durable what was written, and how long the file is. After an error nothing that was not
    /// durable before will ever be known to be: a second sync that succeeds means nothing.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&self) -> io::Result<()>;

    /// Makes the file shorter, or longer by zeros.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes an empty file so long by zeros, and sets room on the disk apart for all of them: it can't run full any more
    /// when they are written.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`]: this file system can't, and the file is as it was. Or what else the operating
    /// system says; then a part may be set apart all the same.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// How long it is, in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;
}

/// A lock that is held. Dropped, it is free.
pub trait Lock: Send + Sync + 'static {
    /// Leaves a note in the locked file, for whoever finds it locked.
    ///
    /// # Errors
    /// What the operating system says.
    fn leave_note(&self, note: &str) -> io::Result<()>;
}

impl dyn File {
    /// Writes all of it, however many calls that takes.
    ///
    /// # Errors
    /// See [`File::write_at`].
    pub fn write_all_at(&self, mut from: &[u8], mut offset: u64) -> io::Result<()> {
        while !from.is_empty() {
            match self.write_at(from, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    from = from.get(written..).unwrap_or_default();
                    offset = offset.saturating_add(written as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads up to `bytes_max` bytes: fewer only at the end of the file.
    ///
    /// # Errors
    /// See [`File::read_at`].
    pub fn read_up_to(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let there = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; there.min(bytes_max)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// See [`File::read_at`].
    pub fn read_whole(&self) -> io::Result<Vec<u8>> {
        self.read_up_to(0, usize::MAX)
    }
}
