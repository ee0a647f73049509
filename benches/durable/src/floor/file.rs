//! A file that can be appended to for ever: one that never grows, or one that does.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result};

/// How long a file is that never grows. At its end it begins anew.
const BYTES: u64 = 64 << 20;

/// How long one that grows becomes. Then it is emptied.
const GROWN_BYTES: u64 = 256 << 20;

/// How much is filled with zeros at a time.
const PIECE_BYTES: usize = 1 << 20;

pub struct Tape {
    file: File,
    end: u64,
    bytes: u64,
    grows: bool,
}

impl Tape {
    /// One that grows is empty. The other is filled and synced: from now on neither its length nor its place on the disk
    /// changes.
    pub fn create(path: &Path, grows: bool) -> Result<Tape> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        if grows {
            return Ok(Tape { file, end: 0, bytes: GROWN_BYTES, grows });
        }
        let zeros = vec![0; PIECE_BYTES];
        for at in (0..BYTES).step_by(PIECE_BYTES) {
            file.write_all_at(&zeros, at).with_context(|| format!("cannot fill {}", path.display()))?;
        }
        file.sync_all()?;
        Ok(Tape { file, end: 0, bytes: BYTES, grows })
    }

    pub fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.bytes - self.end)?;
            let (now, then) = bytes.split_at(bytes.len().min(room));
            self.file.write_all_at(now, self.end)?;
            self.end += now.len() as u64;
            bytes = then;
            if self.end == self.bytes {
                self.end = 0;
                if self.grows {
                    self.file.set_len(0)?;
                }
            }
        }
        Ok(())
    }

    /// fdatasync.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}
