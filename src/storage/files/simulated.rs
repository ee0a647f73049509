//! A file system in memory that forgets what was not synced.
//!
//! Whether a storage survives a power cut can't be seen on a machine that is on. So this one models
//! the contract of [`Files`] and nothing kinder. What was written can be read at once, but it is in the
//! operating system's cache alone; a [`File::sync`] takes a file to the disk, and a [`Files::sync_dir`]
//! the names in a folder. [`SimulatedFiles::power_cut`] shows what a disk may have after a cut,
//! [`SimulatedFiles::stop_at`] puts the cut between any two calls, and the faults are those that disks
//! are known for.
//!
//! ```
//! use raft_actors::storage::files::{Files, Loss, SimulatedFiles};
//! use std::path::Path;
//!
//! let files = SimulatedFiles::new();
//! let file = files.create(Path::new("/acknowledged"))?;
//! file.write_all_at(b"safe", 0)?;
//! file.sync()?;
//! files.sync_dir(Path::new("/"))?;
//! file.write_all_at(b"gone", 4)?;
//!
//! files.power_cut(Loss::Everything);
//! assert_eq!(files.read(Path::new("/acknowledged"))?, b"safe");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A test that tries every point of failure runs its script once, asks [`SimulatedFiles::calls`] how
//! many there are, and runs it again on a fresh disk for each. From one such point several cuts can be
//! tried on [copies](SimulatedFiles::copy).

use std::{
    fmt, io,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{content::Content, disk::Disk, faults::Faults, luck::Luck};
use super::{File, Files, Lock};

mod content;
mod disk;
mod faults;
mod folder;
mod luck;
#[cfg(test)]
mod tests;

pub use faults::{Call, Calls, Fault};

/// A file or a folder, whatever its name.
type NodeId = u64;

/// What becomes of that which was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// All of it is lost.
    Everything,
    /// A part of it survives: of what was written to a file each sector of 512 bytes for itself, and
    /// how long the file was; of a folder the changes of each name. What is done to one sector or one
    /// name survives in order. A rename is done or not.
    Sectors {
        /// Draws what survives.
        seed: u64,
    },
    /// None of it: the process was killed, not the machine. It is no more durable than before.
    Nothing,
}

/// A file system in memory that forgets what was not synced. Clones are the same one.
///
/// Its root, `/`, is there from the start; everything below has to be made. Calls are counted from
/// one: the first from now is 1.
#[derive(Clone, Default)]
pub struct SimulatedFiles {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared(Mutex<Disk>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatedFiles {
    /// An empty disk.
    pub fn new() -> SimulatedFiles {
        SimulatedFiles::default()
    }

    /// Another disk with the same files, durable and not, and the same faults ahead. Nobody has any of
    /// them open or locked there.
    pub fn copy(&self) -> SimulatedFiles {
        let disk = self.shared.lock().copy();
        SimulatedFiles { shared: Arc::new(Shared(Mutex::new(disk))) }
    }

    /// Cuts the power, or kills the process: whatever was open is dead, each call to it an error;
    /// what was locked is free; and of what was not synced there is what [`Loss`] says. Ends
    /// [`SimulatedFiles::stop_at`], no other fault.
    pub fn power_cut(&self, how: Loss) {
        let mut disk = self.shared.lock();
        match how {
            Loss::Everything => disk.cut(Some(Luck::None)),
            Loss::Sectors { seed } => disk.cut(Some(Luck::drawn(seed))),
            Loss::Nothing => disk.cut(None),
        }
    }

    /// The `n`th call from now that changes something fails, once. A sync that fails gives up what it
    /// was to write: that can be read, but will be lost at the next cut, even if a later sync succeeds.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        self.faults(|faults| faults.add(None, n, fault, false));
    }

    /// As [`SimulatedFiles::fail_at`], and all such calls after it.
    pub fn fail_from(&self, n: u64, fault: Fault) {
        self.faults(|faults| faults.add(None, n, fault, true));
    }

    /// The `n`th call of this kind from now fails, once.
    pub fn fail_call_at(&self, call: Call, n: u64, fault: Fault) {
        self.faults(|faults| faults.add(Some(call), n, fault, false));
    }

    /// As [`SimulatedFiles::fail_call_at`], and all calls of this kind after it.
    pub fn fail_call_from(&self, call: Call, n: u64, fault: Fault) {
        self.faults(|faults| faults.add(Some(call), n, fault, true));
    }

    /// At the `n`th call from now that changes something the world stops: neither it nor any call
    /// after it does anything but fail, until the power is cut.
    pub fn stop_at(&self, n: u64) {
        self.faults(|faults| faults.stop_at(n));
    }

    /// Whether the world has stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.lock().faults.is_stopped()
    }

    /// From now on a write may write only a part, at least a byte, drawn from `seed`; and one that
    /// fails may have written a part all the same.
    pub fn short_writes(&self, seed: u64) {
        self.faults(|faults| faults.short_writes(seed));
    }

    /// Nothing goes wrong from now on. What a failed sync gave up stays lost.
    pub fn clear_faults(&self) {
        self.faults(Faults::clear);
    }

    /// From now on all files together may be that long, in bytes; `None`: as long as they like. A write
    /// writes what fits, and fails if nothing does.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes;
    }

    /// How long all files together are, in bytes: those that have a name, or that somebody has open.
    pub fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    /// What was called since the beginning.
    pub fn calls(&self) -> Calls {
        self.shared.lock().faults.calls
    }

    /// What is in a file. No fault touches this.
    ///
    /// # Errors
    /// There is no such file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut disk = self.shared.lock();
        Ok(disk.content(path)?.bytes().to_vec())
    }

    /// Does something to what is in a file, behind everybody's back, as a failing disk would. What is
    /// there then is durable.
    ///
    /// # Errors
    /// There is no such file.
    pub fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.shared.lock().content(path).map(|content| content.damage(how))
    }

    /// Flips a bit of a file; see [`SimulatedFiles::damage`]. Bits are counted from the lowest of the
    /// first byte.
    ///
    /// # Errors
    /// There is no such file, or no such bit in it.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut disk = self.shared.lock();
        let content = disk.content(path)?;
        let at = usize::try_from(bit / 8).ok().filter(|&at| at < content.len());
        let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        content.damage(|bytes| bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (bit % 8)));
        Ok(())
    }

    /// Makes a range of a file zeros; see [`SimulatedFiles::damage`]. What is not there is left out.
    ///
    /// # Errors
    /// There is no such file.
    pub fn zero(&self, path: &Path, range: Range<usize>) -> io::Result<()> {
        self.damage(path, |bytes| {
            bytes.iter_mut().take(range.end).skip(range.start).for_each(|byte| *byte = 0);
        })
    }

    /// Writes bytes over what is in a file; see [`SimulatedFiles::damage`]. What is beyond its end is
    /// left out.
    ///
    /// # Errors
    /// There is no such file.
    pub fn corrupt(&self, path: &Path, offset: usize, with: &[u8]) -> io::Result<()> {
        self.damage(path, |bytes| {
            bytes.iter_mut().skip(offset).zip(with).for_each(|(byte, with)| *byte = *with);
        })
    }

    /// Cuts a file off, durably; see [`SimulatedFiles::damage`].
    ///
    /// # Errors
    /// There is no such file.
    pub fn cut_off(&self, path: &Path, bytes: usize) -> io::Result<()> {
        self.damage(path, |content| content.truncate(bytes))
    }

    fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
    }
}

/// Names and lengths, and never what is in a file.
impl fmt::Debug for SimulatedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shared.lock().lengths()).finish()
    }
}

impl SimulatedFiles {
    fn handle(&self, disk: &mut Disk, path: &Path, may_write: bool) -> io::Result<SimulatedFile> {
        let node = disk.file(path)?;
        disk.open(node);
        Ok(SimulatedFile { shared: self.shared.clone(), node, life: disk.life, may_write })
    }
}

impl Files for SimulatedFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.lock().create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.shared.lock().list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.shared.lock();
        disk.faults.begin(Call::Create)?;
        disk.create(path)?;
        Ok(Box::new(self.handle(&mut disk, path, true)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.shared.lock();
        disk.faults.look()?;
        Ok(Box::new(self.handle(&mut disk, path, true)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.shared.lock();
        disk.faults.look()?;
        Ok(Box::new(self.handle(&mut disk, path, false)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.lock().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.lock().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.lock().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut disk = self.shared.lock();
        disk.faults.look()?;
        if let Err(error) = disk.create(path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let node = disk.file(path)?;
        if !disk.locked.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock(self.handle(&mut disk, path, true)?)))
    }
}

/// A file, as one owner has it open.
struct SimulatedFile {
    shared: Arc<Shared>,
    node: NodeId,
    /// Between which two power cuts.
    life: u64,
    may_write: bool,
}

impl SimulatedFile {
    fn reach(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.shared.lock();
        if disk.life == self.life {
            Ok(disk)
        } else {
            Err(io::Error::other("the power was cut since this was opened"))
        }
    }

    fn reach_to_write(&self) -> io::Result<MutexGuard<'_, Disk>> {
        if self.may_write { self.reach() } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut disk = self.shared.lock();
        if disk.life == self.life {
            disk.close(self.node);
        }
    }
}

impl File for SimulatedFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.reach()?;
        disk.faults.look()?;
        Ok(disk.content_of(self.node)?.read_at(into, offset))
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        self.reach_to_write()?.write(self.node, from, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.reach()?.sync(self.node)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.reach_to_write()?.set_len(self.node, bytes)
    }

    /// Here files take the room of their length, written or not.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.reach()?;
        disk.faults.look()?;
        disk.content_of(self.node).map(|content| content.len() as u64)
    }
}

/// A lock that is held. No fault touches what is in the file, but it is no more durable than others.
struct SimulatedLock(SimulatedFile);

impl Lock for SimulatedLock {
    fn leave_note(&self, note: &str) -> io::Result<()> {
        let mut disk = self.0.reach()?;
        disk.faults.look()?;
        let content: &mut Content = disk.content_of(self.0.node)?;
        content.set_len(0);
        content.write_at(note.as_bytes(), 0);
        Ok(())
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.0.reach() {
            disk.locked.remove(&self.0.node);
        }
    }
}
