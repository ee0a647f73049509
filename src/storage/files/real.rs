//! The files of the operating system.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use fs4::{FileExt, TryLockError};

use super::{File, Files, Lock};

/// The files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

/// What this process may do with what it opens.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A link may lead out of the folder, to a file that is not ours.
fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link, and none is followed here",
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn open(path: &Path, options: &OpenOptions) -> io::Result<Box<dyn File>> {
    refuse_link(path)?;
    Ok(Box::new(RealFile(options.open(path)?)))
}

impl Files for RealFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // What is no text is no name of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        open(path, options().write(true).create_new(true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        open(path, options().write(true))
    }

    #[cfg(target_os = "linux")]
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        refuse_link(path)?;
        let plain = options().write(true).open(path)?;
        super::direct::DirectFile::open(path, plain).map(|file| Box::new(file) as Box<dyn File>)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        open(path, &options())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    /// The operating system has no such call, and keeps its folders in order by itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        refuse_link(path)?;
        let file = options().write(true).create(true).truncate(false).open(path)?;
        match FileExt::try_lock(&file) {
            Ok(()) => Ok(Box::new(RealLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

pub(super) struct RealFile(pub fs::File);

impl File for RealFile {
    #[cfg(unix)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, into, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, into, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, from, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, from, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        FileExt::allocate(&self.0, bytes)
    }

    /// Elsewhere nobody has tried what it does.
    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The file is locked for as long as it is open.
struct RealLock(fs::File);

impl Lock for RealLock {
    fn leave_note(&self, note: &str) -> io::Result<()> {
        use std::io::{Seek, Write};
        self.0.set_len(0)?;
        let mut file = &self.0;
        file.rewind()?;
        file.write_all(note.as_bytes())
    }
}
