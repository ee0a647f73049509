//! The disk that is measured on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// What `statfs` calls a filesystem that lives in memory.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A folder for everything that is written, removed in the end.
pub struct Ground(TempDir);

impl Ground {
    /// In the given folder, or beside what cargo builds.
    pub fn prepare(dir: Option<&Path>) -> Result<Ground> {
        let parent = dir.map_or_else(|| PathBuf::from("target"), Path::to_path_buf);
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let parent = parent.canonicalize()?;
        let ground = tempfile::Builder::new().prefix("durable-").tempdir_in(&parent);
        let ground = Ground(ground.with_context(|| format!("cannot write to {}", parent.display()))?);
        if ground.is_in_memory()? {
            eprintln!(
                "warning: {} is in memory: a sync costs nothing there, and nothing below is durable; see --dir",
                parent.display()
            );
        }
        Ok(ground)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn is_in_memory(&self) -> Result<bool> {
        let kind = rustix::fs::statfs(self.path())?.f_type;
        Ok(u64::try_from(kind).is_ok_and(|kind| IN_MEMORY.contains(&kind)))
    }
}
