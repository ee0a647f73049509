//! Everything there is to see in one data folder.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use raft_actors::storage::{
    FolderDisk, StorageError,
    files::RealFiles,
    snapshots::{self, SnapshotReport},
    wal::{self, LogReport, SegmentReport},
};

/// One data folder, as far as it can be read.
pub struct Look {
    pub path: PathBuf,
    /// Cluster, peer and first membership.
    pub stamp: Option<(String, u64, String)>,
    pub segments: Vec<SegmentReport>,
    /// What it all comes to; `None` if something is damaged.
    pub log: Option<LogReport>,
    pub snapshots: Vec<SnapshotReport>,
    /// The first thing at which a peer would refuse to start.
    pub damage: Option<StorageError>,
}

impl Look {
    /// Looks at everything.
    pub fn at(path: &Path) -> Look {
        let mut look = Look {
            path: path.into(),
            stamp: None,
            segments: Vec::new(),
            log: None,
            snapshots: Vec::new(),
            damage: None,
        };
        match FolderDisk::peek(path) {
            Ok(Some((cluster, peer, members))) => look.stamp = Some((cluster, peer.0, members.to_string())),
            Ok(None) => {
                let what = format!("{}: there is no stamp.json", path.display());
                look.damage = Some(StorageError::Damaged { what });
            }
            Err(error) => look.damage = Some(error),
        }
        let log = wal::inspect(&RealFiles, &path.join("log"), |segment| look.segments.push(segment));
        look.log = look.keep(log);
        let snapshots = snapshots::inspect(Arc::new(RealFiles), &path.join("snapshots"));
        look.snapshots = look.keep(snapshots).unwrap_or_default();
        let damaged = look.snapshots.iter().rev().find_map(|snapshot| snapshot.damage.clone());
        if let Some(what) = damaged {
            look.keep(Err::<(), _>(StorageError::Damaged { what }));
        }
        look
    }

    /// The first damage counts.
    fn keep<T>(&mut self, result: Result<T, StorageError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.damage.get_or_insert(error);
                None
            }
        }
    }
}
