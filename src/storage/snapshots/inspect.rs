//! A look at a folder of snapshots that changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    name::{Kind, Name},
    shelf::Shelf,
};
use crate::{
    raft::Position,
    storage::{StorageError, files::Files},
};

/// One file of a folder of snapshots.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// The file.
    pub path: PathBuf,
    /// The last entry that it covers.
    pub at: Position,
    /// How long the file is, in bytes.
    pub bytes: u64,
    /// Whether it is whole by its name: else it is being written, or came in by half.
    pub whole: bool,
    /// What is wrong with one that should be whole.
    pub damage: Option<String>,
}

/// Looks at the snapshots in a folder, in the order of the log, and checks every bit of those that
/// should be whole.
///
/// # Errors
/// The folder can't be read.
pub fn inspect(files: Arc<dyn Files>, dir: &Path) -> Result<Vec<SnapshotReport>, StorageError> {
    let failed = |cause| StorageError::Io { what: dir.display().to_string(), cause };
    let names = match files.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(failed)?,
    };
    let shelf = Shelf::new(files.clone(), dir.into());
    let mut reports = Vec::new();
    for name in names.iter().filter_map(|name| Name::parse(name)) {
        let path = shelf.path(name);
        let bytes = files.open_to_read(&path).and_then(|file| file.len()).map_err(failed)?;
        let whole = name.kind == Kind::Whole;
        let damage = match whole.then(|| shelf.verify(name)) {
            Some(Err(StorageError::Damaged { what })) => Some(what),
            Some(Err(error)) => Some(error.to_string()),
            _ => None,
        };
        reports.push(SnapshotReport { path, at: name.at, bytes, whole, damage });
    }
    Ok(reports)
}
