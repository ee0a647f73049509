//! How many lines were acknowledged, in a file: for whoever kills this process and wants to know what
//! must not be lost.
//!
//! The file is one decimal number and a newline, overwritten in place. As long as it grows, a number
//! never gets shorter: so one small write replaces all of it, and whoever reads at any moment, also
//! after a SIGKILL, sees a whole number that was true.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file that says how many lines were acknowledged.
pub struct Acks {
    path: PathBuf,
    file: File,
    /// How long the text in it is.
    bytes: u64,
    /// What it says, if this run wrote it.
    count: Option<u64>,
}

impl Acks {
    /// Opens the file. What an earlier run left in it stays until there is more to say.
    pub fn open(path: &Path) -> io::Result<Acks> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file: it has to be one that can be overwritten"));
        }
        let mut acks = Acks { path: path.into(), file, bytes: metadata.len(), count: None };
        if acks.bytes == 0 {
            acks.write(0)?;
        }
        Ok(acks)
    }

    /// So many were. Cheap if it says so already.
    pub fn write(&mut self, count: u64) -> io::Result<()> {
        if self.count == Some(count) {
            return Ok(());
        }
        let text = format!("{count}\n");
        if self.bytes > text.len() as u64 {
            return self.begin_anew(count, &text);
        }
        write_all_at_start(&self.file, text.as_bytes())?;
        (self.bytes, self.count) = (text.len() as u64, Some(count));
        Ok(())
    }

    /// It says more than this, from another run: a new file takes its place.
    fn begin_anew(&mut self, count: u64, text: &str) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".new");
        self.file = File::create(&aside)?;
        self.file.write_all(text.as_bytes())?;
        fs::rename(&aside, &self.path)?;
        (self.bytes, self.count) = (text.len() as u64, Some(count));
        Ok(())
    }
}

#[cfg(unix)]
fn write_all_at_start(file: &File, text: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, text, 0)
}

#[cfg(not(unix))]
fn write_all_at_start(mut file: &File, text: &[u8]) -> io::Result<()> {
    io::Seek::rewind(&mut file)?;
    file.write_all(text)
}
