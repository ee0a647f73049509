//! What goes wrong, and when; and what was called.

use std::io;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A call that changes something, or makes a change durable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Call {
    /// [`Files::create_dir`](super::Files::create_dir), if there is something to make.
    CreateDir,
    /// [`Files::create`](super::Files::create).
    Create,
    /// [`File::write_at`](super::File::write_at).
    Write,
    /// [`File::set_len`](super::File::set_len).
    SetLen,
    /// [`File::sync`](super::File::sync).
    Sync,
    /// [`Files::rename`](super::Files::rename).
    Rename,
    /// [`Files::remove`](super::Files::remove).
    Remove,
    /// [`Files::sync_dir`](super::Files::sync_dir).
    SyncDir,
}

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// With an error of this kind.
    Kind(io::ErrorKind),
    /// With this error number of the operating system.
    Errno(i32),
}

impl Fault {
    /// The disk does not work.
    pub const EIO: Fault = Fault::Errno(5);
    /// There is no room.
    pub const ENOSPC: Fault = Fault::Kind(io::ErrorKind::StorageFull);

    fn error(self) -> io::Error {
        match self {
            Fault::Kind(kind) => kind.into(),
            Fault::Errno(errno) => io::Error::from_raw_os_error(errno),
        }
    }
}

/// How often each was called, whether it worked or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Calls {
    /// [`Call::CreateDir`].
    pub create_dirs: u64,
    /// [`Call::Create`].
    pub creates: u64,
    /// [`Call::Write`].
    pub writes: u64,
    /// How many bytes were written.
    pub bytes_written: u64,
    /// [`Call::SetLen`].
    pub set_lens: u64,
    /// [`Call::Sync`].
    pub syncs: u64,
    /// [`Call::Rename`].
    pub renames: u64,
    /// [`Call::Remove`].
    pub removes: u64,
    /// [`Call::SyncDir`].
    pub sync_dirs: u64,
}

impl Calls {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.create_dirs
            + self.creates
            + self.writes
            + self.set_lens
            + self.syncs
            + self.renames
            + self.removes
            + self.sync_dirs
    }

    fn count(&mut self, call: Call) {
        let counter = match call {
            Call::CreateDir => &mut self.create_dirs,
            Call::Create => &mut self.creates,
            Call::Write => &mut self.writes,
            Call::SetLen => &mut self.set_lens,
            Call::Sync => &mut self.syncs,
            Call::Rename => &mut self.renames,
            Call::Remove => &mut self.removes,
            Call::SyncDir => &mut self.sync_dirs,
        };
        *counter += 1;
    }
}

/// A fault that waits for its call.
#[derive(Clone)]
struct Trap {
    /// Only such calls count; `None`: all.
    call: Option<Call>,
    /// How many go well before.
    before: u64,
    fault: Fault,
    for_good: bool,
}

/// What is to go wrong.
#[derive(Clone, Default)]
pub(super) struct Faults {
    traps: Vec<Trap>,
    /// How many calls go well before everything stops.
    stop: Option<u64>,
    short: Option<ChaCha8Rng>,
    pub(super) calls: Calls,
}

fn stopped() -> io::Error {
    io::Error::other("everything has stopped here: cut the power")
}

impl Faults {
    pub(super) fn add(&mut self, call: Option<Call>, n: u64, fault: Fault, for_good: bool) {
        self.traps.push(Trap { call, before: n.saturating_sub(1), fault, for_good });
    }

    pub(super) fn stop_at(&mut self, n: u64) {
        self.stop = Some(n.saturating_sub(1));
    }

    pub(super) fn short_writes(&mut self, seed: u64) {
        self.short = Some(ChaCha8Rng::seed_from_u64(seed));
    }

    /// All is well again. What was called stays counted.
    pub(super) fn clear(&mut self) {
        *self = Faults { calls: self.calls, ..Faults::default() };
    }

    /// Everything goes on after a power cut; what was to fail still does.
    pub(super) fn restart(&mut self) {
        self.stop = None;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop == Some(0)
    }

    /// A call that changes nothing begins.
    pub(super) fn look(&self) -> io::Result<()> {
        if self.is_stopped() { Err(stopped()) } else { Ok(()) }
    }

    /// A call that changes something begins.
    pub(super) fn begin(&mut self, call: Call) -> io::Result<()> {
        self.look()?;
        self.calls.count(call);
        let mut failed = None;
        self.traps.retain_mut(|trap| {
            if trap.call.is_some_and(|only| only != call) {
                return true;
            }
            if trap.before > 0 {
                trap.before -= 1;
                return true;
            }
            failed = failed.or(Some(trap.fault));
            trap.for_good
        });
        if let Some(before) = &mut self.stop {
            *before = before.saturating_sub(1);
        }
        failed.map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// How much of a write is written.
    pub(super) fn shorten(&mut self, bytes: usize) -> usize {
        match &mut self.short {
            Some(rng) if bytes > 1 => rng.random_range(1..=bytes),
            _ => bytes,
        }
    }

    /// How much of a write that fails is written.
    pub(super) fn part(&mut self, bytes: usize) -> usize {
        self.short.as_mut().map_or(0, |rng| rng.random_range(0..=bytes))
    }
}
