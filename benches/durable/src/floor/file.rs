//! A file that can be appended to for ever, without ever growing.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result};

/// How long a file is. At its end it begins anew.
const BYTES: u64 = 64 << 20;

/// How much is filled with zeros at a time.
const PIECE_BYTES: usize = 1 << 20;

pub struct Ring {
    file: File,
    end: u64,
}

impl Ring {
    /// Filled and synced: from now on neither its length nor its place on the disk changes.
    pub fn create(path: &Path) -> Result<Ring> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        let zeros = vec![0; PIECE_BYTES];
        for at in (0..BYTES).step_by(PIECE_BYTES) {
            file.write_all_at(&zeros, at).with_context(|| format!("cannot fill {}", path.display()))?;
        }
        file.sync_all()?;
        Ok(Ring { file, end: 0 })
    }

    pub fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(BYTES - self.end)?;
            let (now, then) = bytes.split_at(bytes.len().min(room));
            self.file.write_all_at(now, self.end)?;
            self.end = (self.end + now.len() as u64) % BYTES;
            bytes = then;
        }
        Ok(())
    }

    /// fdatasync.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}
