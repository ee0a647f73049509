//! Streams a machine's state into a file: a bounded piece of it is in memory at any time.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{SYNC_BYTES, worker::IsWanted};
use crate::storage::files::File;

/// How much is collected before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// The longest pause: a machine may have been slow for its own reasons.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The content of a file that is being written, with its length and checksum so far.
pub(super) struct Writing<'a> {
    file: &'a dyn File,
    /// Where in the file the buffer goes.
    place: u64,
    buffer: Vec<u8>,
    bytes: u64,
    checksum: u32,
    unsynced: u64,
    /// Something was not written. A writer that does not look at its errors must not get away with it.
    failed: bool,
    is_wanted: IsWanted<'a>,
    /// When it last gave way.
    began: Instant,
}

impl<'a> Writing<'a> {
    /// Content that begins at `place`.
    pub(super) fn new(file: &'a dyn File, place: u64, is_wanted: IsWanted<'a>) -> Writing<'a> {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Writing {
            file,
            place,
            buffer,
            bytes: 0,
            checksum: 0,
            unsynced: 0,
            failed: false,
            is_wanted,
            began: Instant::now(),
        }
    }

    /// Writes what is left, and says how many bytes there were, and their checksum.
    pub(super) fn finish(mut self) -> io::Result<(u64, u32)> {
        self.put()?;
        if self.failed {
            return Err(io::Error::other("a part of it could not be written"));
        }
        Ok((self.bytes, self.checksum))
    }

    /// Writes the buffer. The disk gets it a few MiB at a time: one sync of everything at the end
    /// would hold up the log's syncs, which go through the same queue, for as long as it takes.
    fn put(&mut self) -> io::Result<()> {
        if !(self.is_wanted)() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        let bytes = self.buffer.len() as u64;
        self.file.write_all_at(&self.buffer, self.place)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer);
        self.buffer.clear();
        self.place = self.place.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.unsynced = self.unsynced.saturating_add(bytes);
        if self.unsynced >= SYNC_BYTES {
            self.file.sync()?;
            self.unsynced = 0;
            self.give_way();
        }
        Ok(())
    }
}

impl Writing<'_> {
    /// The disk and the processor belong to the log for as long as they were ours.
    fn give_way(&mut self) {
        thread::sleep(self.began.elapsed().min(PAUSE_MAX));
        self.began = Instant::now();
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= BUFFER_BYTES {
            self.put().inspect_err(|_| self.failed = true)?;
        }
        let room = BUFFER_BYTES.saturating_sub(self.buffer.len()).min(from.len());
        self.buffer.extend_from_slice(from.get(..room).unwrap_or_default());
        Ok(room)
    }

    /// Nothing is promised before the end, so there is nothing to hurry for.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
