//! Writing past the operating system's cache.
//!
//! What is long, and synced at once, gains nothing from the cache: the bytes are copied there, and a sync has to look for
//! them. Past it they take half of the CPU; and a disk that fails says so to the write, while a cache may forget it.
//!
//! The disk takes whole blocks, from memory that begins at one. So what stands in the last block is kept here, and
//! is written again with what follows; the rest of the block is filled with zeros. What is short goes through the
//! cache: it would be written many times over.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::OFlags;

use super::{
    File,
    real::{RealFile, options},
};

/// What disks and file systems of today take: a multiple of what each of them wants at least.
const BLOCK: usize = 4096;

/// How much is written with one call at most: so much memory is kept.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// What is no longer than this goes through the cache.
const SHORT_BYTES: usize = 8 << 10;

/// A file that is written past the cache, if its file system has a way.
pub(super) struct DirectFile {
    /// For all but writing; and for that, too, where there is no other way.
    plain: RealFile,
    writer: Mutex<Option<Writer>>,
}

/// The way past the cache.
struct Writer {
    file: fs::File,
    /// Where the block begins of which the room holds the beginning, and how much of it.
    block: u64,
    known: usize,
    /// Whether that is where the last write ended, and the cache has none of it.
    is_past: bool,
    room: Room,
}

/// Memory from which a disk can take blocks.
#[derive(Default)]
struct Room(Vec<u8>);

impl DirectFile {
    pub fn open(path: &Path, plain: fs::File) -> io::Result<DirectFile> {
        // With another length the last block would be longer than the file.
        let is_whole = plain.metadata()?.len().is_multiple_of(BLOCK as u64);
        let flags = OFlags::DIRECT.bits().cast_signed();
        // A file system that can't do it says so here, or with the first write.
        let file = options().write(true).custom_flags(flags).open(path).ok().filter(|_| is_whole);
        let writer =
            file.map(|file| Writer { file, block: 0, known: 0, is_past: false, room: Room::default() });
        Ok(DirectFile { plain: RealFile(plain), writer: Mutex::new(writer) })
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for DirectFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.plain.read_at(into, offset)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        let from = from.get(..WRITE_BYTES_MAX).unwrap_or(from);
        let mut writer = self.writer();
        let is_long = from.len() > SHORT_BYTES;
        let writer_for_it = writer.as_mut().filter(|writer| is_long || writer.is_at(offset));
        match writer_for_it.map(|writer| writer.write(&self.plain, is_long, from, offset)) {
            None => {
                writer.as_mut().into_iter().for_each(Writer::forget);
                self.plain.write_at(from, offset)
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                *writer = None;
                self.plain.write_at(from, offset)
            }
            Some(written) => written.map(|()| from.len()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.plain.sync()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        // What is known of a block may be cut off.
        *self.writer() = None;
        self.plain.set_len(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.plain.reserve(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.plain.len()
    }
}

impl Writer {
    /// Whether a short write here goes into a block that the cache does not have: it had to be read from the disk, were
    /// not all of it written.
    fn is_at(&self, offset: u64) -> bool {
        self.is_past && offset == self.block.saturating_add(self.known as u64)
    }

    fn forget(&mut self) {
        (self.known, self.is_past) = (0, false);
    }

    /// Writes all of it, with the block that it begins in and zeros up to the end of its last one.
    fn write(&mut self, plain: &RealFile, is_long: bool, from: &[u8], offset: u64) -> io::Result<()> {
        let before = self.learn(plain, offset)?;
        let (block, end) = (self.block, before + from.len());
        let blocks = self.room.blocks(end.next_multiple_of(BLOCK), self.known);
        // Until it is there nothing is known of it.
        (self.known, self.is_past) = (0, false);
        let file = if is_long { &self.file } else { &plain.0 };
        let Some((place, behind)) =
            blocks.get_mut(before..).and_then(|rest| rest.split_at_mut_checked(from.len()))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        place.copy_from_slice(from);
        behind.fill(0);
        let mut written = 0;
        while let Some(rest) = blocks.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write_at(rest, block.saturating_add(written as u64)) {
                Ok(bytes) if bytes < BLOCK => return Err(io::ErrorKind::WriteZero.into()),
                // What is written of a block is written again with the rest of it.
                Ok(bytes) => written += bytes / BLOCK * BLOCK,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let last = end / BLOCK * BLOCK;
        blocks.copy_within(last..end, 0);
        (self.block, self.known, self.is_past) = (block.saturating_add(last as u64), end - last, is_long);
        Ok(())
    }

    /// Sees to it that the room begins with what stands before this place in its block; says how much that is.
    fn learn(&mut self, plain: &RealFile, offset: u64) -> io::Result<usize> {
        let before = (offset % BLOCK as u64) as usize;
        let block = offset - before as u64;
        if self.block != block || self.known < before {
            self.known = 0;
            let read = (plain as &dyn File).read_up_to(block, before)?;
            let place = self.room.blocks(BLOCK, 0).get_mut(..before).unwrap_or_default();
            place.fill(0); // What lies behind the end of a file is zero.
            place.iter_mut().zip(read).for_each(|(place, byte)| *place = byte);
        }
        (self.block, self.known) = (block, before);
        Ok(before)
    }
}

impl Room {
    /// So many bytes that begin where a block can; the first `known` of them stay.
    fn blocks(&mut self, bytes: usize, known: usize) -> &mut [u8] {
        let begin = |room: &Vec<u8>| room.as_ptr().align_offset(BLOCK);
        if self.0.len() < bytes + BLOCK {
            let before = std::mem::replace(&mut self.0, vec![0; (bytes + BLOCK).next_power_of_two()]);
            let (from, to) = (begin(&before), begin(&self.0));
            let known = before.get(from..from + known).unwrap_or_default();
            self.0.iter_mut().skip(to).zip(known).for_each(|(place, &byte)| *place = byte);
        }
        let begin = begin(&self.0);
        self.0.get_mut(begin..begin + bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::storage::files::{Files, RealFiles};

    const LENGTH: usize = 1 << 20;

    /// Pieces of any length behind each other, in a file that is opened again now and then, and begun anew.
    #[test]
    fn what_is_written_is_there_and_nothing_before_it_changes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("direct");
        let plain = RealFiles.create(&path).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut model = vec![0; LENGTH];
        rng.fill_bytes(&mut model);
        plain.write_all_at(&model, 0).unwrap();
        let mut file = RealFiles.open_direct(&path).unwrap();
        let mut end = 0;
        for round in 0..400 {
            match rng.random_range(0..20) {
                0 => file = RealFiles.open_direct(&path).unwrap(),
                // Where nobody wrote last, and where somebody did.
                1 => end = rng.random_range(0..LENGTH / 2),
                2 => end -= end.min(rng.random_range(0..100)),
                _ => {}
            }
            let length = match rng.random_range(0..10) {
                0 => rng.random_range(1..100_000),
                1 => BLOCK - end % BLOCK,
                2..5 => rng.random_range(SHORT_BYTES..3 * SHORT_BYTES),
                _ => rng.random_range(1..2_000),
            };
            let mut piece = vec![0; length];
            rng.fill_bytes(&mut piece);
            end = if end + length > LENGTH { 0 } else { end };
            file.write_all_at(&piece, end as u64).unwrap();
            file.sync().unwrap();
            model[end..end + length].copy_from_slice(&piece);
            end += length;
            let found = plain.read_whole().unwrap();
            assert!(found[..end] == model[..end], "round {round}: {length} bytes up to {end}");
            // What nobody may rely on: zeros up to the end of the block, or what was there.
            let behind = end.next_multiple_of(BLOCK);
            assert!(found[behind..] == model[behind..], "round {round}: behind {end}");
            let mut between = found[end..behind].iter().zip(&model[end..behind]);
            assert!(between.all(|(found, model)| *found == 0 || found == model), "round {round}: at {end}");
            model[end..behind].copy_from_slice(&found[end..behind]);
        }
        assert_eq!(file.len().unwrap(), LENGTH as u64);
    }

    #[test]
    fn a_long_piece_is_written_by_parts_and_may_make_the_file_longer() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("long");
        RealFiles.create(&path).unwrap().write_all_at(&[1; BLOCK], 0).unwrap();
        let file = RealFiles.open_direct(&path).unwrap();
        let piece: Vec<u8> = (0..3 * WRITE_BYTES_MAX + 5).map(|at| at as u8).collect();
        assert_eq!(file.write_at(&piece, 100).unwrap(), WRITE_BYTES_MAX);
        file.write_all_at(&piece, 100).unwrap();
        let found = file.read_whole().unwrap();
        assert!(found[..100] == [1; 100] && found[100..100 + piece.len()] == piece);
        assert!(found[100 + piece.len()..].iter().all(|&byte| byte == 0));
    }

    /// A file that would become longer with its last block, one that was cut, and one whose file system refuses to write.
    #[test]
    fn where_there_is_no_way_past_the_cache_the_way_is_through_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("short");
        let long = [b'r'; SHORT_BYTES + 1];
        let end = 12 + long.len() as u64;
        RealFiles.create(&path).unwrap().set_len(1_000).unwrap();
        let file = RealFiles.open_direct(&path).unwrap();
        file.write_all_at(&long, 12).unwrap();
        assert_eq!(file.len().unwrap(), end, "the last block is not filled up");
        fs::write(&path, [2; 2 * BLOCK]).unwrap();
        let file = RealFiles.open_direct(&path).unwrap();
        file.set_len(1_000).unwrap();
        file.write_all_at(&long, 12).unwrap();
        assert_eq!(file.len().unwrap(), end, "nor is that of a file that was cut");
        // This one refuses what is no number, with the very error.
        let refuses = fs::File::options().write(true).open("/proc/self/oom_score_adj").unwrap();
        let plain = RealFile(fs::File::options().read(true).write(true).open(&path).unwrap());
        let writer = Writer { file: refuses, block: 0, known: 0, is_past: false, room: Room::default() };
        let direct = DirectFile { plain, writer: Mutex::new(Some(writer)) };
        let file: &dyn File = &direct;
        file.write_all_at(&long[1..], 20_000).unwrap();
        assert!(direct.writer().is_some(), "what is short does not come to it");
        file.write_all_at(&long, 20_000 + SHORT_BYTES as u64).unwrap();
        assert!(direct.writer().is_none(), "it is not tried again");
        let found = file.read_whole().unwrap();
        assert!(found[12..][..long.len()] == long && found[20_000..] == [b'r'; 2 * SHORT_BYTES + 1]);
    }
}
