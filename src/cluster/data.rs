//! The data folders of a cluster in one process.
//!
//! ```text
//! DIR/
//!   cluster.json    the cluster's name and its peers: written once all their folders are made
//!   peer-1/         the data folder of a peer: see `FolderDisk`
//!   peer-2/
//! ```
//!
//! Until `cluster.json` is there no peer has run, and a start that was cut short is just done again.
//! From then on a folder that is missing is a disk that is lost: in its place an empty one would have
//! forgotten its votes. Its peer stays down, and says so; the others go on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::{
    error::ClusterError,
    raft::{Membership, PeerId},
    storage::{
        Disk, FolderDisk, FolderOptions, MemoryDisk, Opened, StorageError,
        files::{Files, RealFiles},
        folder::{read, replace, sealed},
    },
};

/// How many peers a cluster has if nobody says.
pub(super) const PEERS: usize = 3;

/// The file that says whose folders these are.
const NAME: &str = "cluster.json";

/// Where the peers of a cluster keep what they promise.
pub(super) struct Disks {
    /// The name of the cluster.
    pub cluster: String,
    /// With whom the cluster begins, or began.
    pub first_membership: Membership,
    /// One for each peer.
    pub of: Vec<(PeerId, PeerDisk)>,
    /// What the operator should know of one of them.
    pub warnings: Vec<(PeerId, String)>,
}

/// The disk of one peer. Clones are one.
#[derive(Clone)]
pub(super) enum PeerDisk {
    Memory(MemoryDisk),
    Folder(Folder),
}

/// A folder, until the cluster has been shut down: then it is free for others.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    options: FolderOptions,
    /// Nothing if it can't be opened: that is tried again whenever its peer is started.
    open: Arc<Mutex<Option<FolderDisk>>>,
}

impl PeerDisk {
    pub fn boxed(&self) -> Box<dyn Disk> {
        match self {
            PeerDisk::Memory(disk) => Box::new(disk.clone()),
            PeerDisk::Folder(folder) => Box::new(folder.clone()),
        }
    }

    /// Lets go of a folder. Blocks until what was under way is written.
    pub fn close(&self) {
        if let PeerDisk::Folder(folder) = self {
            drop(folder.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Disk for Folder {
    fn open(&mut self) -> Result<Opened, StorageError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *open {
            Some(disk) => disk.open(),
            none => none.insert(reopen(&self.path, &self.options)?).open(),
        }
    }
}

/// Opens a folder that has to be there.
fn reopen(path: &Path, options: &FolderOptions) -> Result<FolderDisk, StorageError> {
    if FolderDisk::peek(path)?.is_none() {
        let what = format!("{}: it is gone, and with it what its peer had promised", path.display());
        return Err(StorageError::Damaged { what });
    }
    FolderDisk::open(path, options.clone())
}

impl Disks {
    /// In memory, for so many peers.
    pub fn in_memory(peers: usize, disk: impl Fn(PeerId) -> MemoryDisk) -> Disks {
        let ids = (1..=peers as u64).map(PeerId);
        Disks {
            cluster: "memory".into(),
            first_membership: Membership::of(ids.clone()),
            of: ids.map(|id| (id, PeerDisk::Memory(disk(id)))).collect(),
            warnings: Vec::new(),
        }
    }

    /// In the data folder of one peer, or in those of several: of a cluster that begins with these. Blocks.
    #[cfg(feature = "capnp")]
    pub fn of_some(
        dir: &Path,
        here: &[PeerId],
        cluster: Option<String>,
        first_membership: Membership,
    ) -> Result<Disks, ClusterError> {
        let path = |peer: PeerId| match here {
            [_] => dir.to_path_buf(),
            _ => dir.join(format!("peer-{peer}")),
        };
        // A folder that is there knows the name.
        let known = here.iter().find_map(|&peer| FolderDisk::peek(&path(peer)).transpose()).transpose()?;
        let cluster = cluster.or(known.map(|(cluster, _, _)| cluster));
        let cluster = cluster.unwrap_or_else(|| named_after(&first_membership));
        let mut disks = Disks { cluster, first_membership, of: Vec::new(), warnings: Vec::new() };
        for &peer in here {
            let options = FolderOptions::new(&disks.cluster, peer, disks.first_membership.clone());
            let path = path(peer);
            let disk = FolderDisk::open(&path, options.clone())?;
            disks.first_membership = disk.first_membership().clone();
            disks.warnings.extend(disk.warnings().iter().map(|warning| (peer, warning.clone())));
            let folder = Folder { path, options, open: Arc::new(Mutex::new(Some(disk))) };
            disks.of.push((peer, PeerDisk::Folder(folder)));
        }
        Ok(disks)
    }

    /// In folders: those that are there, or new ones for so many peers. Blocks.
    pub fn in_folders(dir: &Path, asked: Option<usize>) -> Result<Disks, ClusterError> {
        RealFiles.create_dir(dir).map_err(|cause| failed("make", dir, cause))?;
        let known = Stamp::read(dir)?;
        let stamp = match &known {
            Some(stamp) => stamp.clone(),
            None => Stamp::of_new(dir, asked.unwrap_or(PEERS))?,
        };
        let first_membership = Membership::of(stamp.peers.iter().copied());
        let mut disks =
            Disks { cluster: stamp.cluster.clone(), first_membership, of: Vec::new(), warnings: Vec::new() };
        for &peer in &stamp.peers {
            disks.add_folder(dir, &stamp.cluster, peer, known.is_some())?;
        }
        if known.is_none() {
            stamp.write(dir)?;
        }
        let count = stamp.peers.len();
        if let (Some(asked), Some(&first)) = (asked.filter(|&asked| asked != count), stamp.peers.first()) {
            let what = format!(
                "{} holds a cluster of {count} peers, and it goes on with them: {asked} were asked for",
                dir.display()
            );
            disks.warnings.push((first, what));
        }
        Ok(disks)
    }

    fn add_folder(
        &mut self,
        dir: &Path,
        cluster: &str,
        peer: PeerId,
        is_known: bool,
    ) -> Result<(), StorageError> {
        let path = dir.join(format!("peer-{peer}"));
        let options = FolderOptions::new(cluster, peer, self.first_membership.clone());
        let open = match is_known {
            true => reopen(&path, &options),
            false => FolderDisk::open(&path, options.clone()),
        };
        let open = match open {
            Ok(disk) => Some(disk),
            // It is in use, or another's: nothing may be started with it, nor beside it.
            Err(error @ StorageError::Refused { .. }) => return Err(error),
            // One disk of several: its peer says what it is when it is started.
            Err(_) if is_known => None,
            Err(error) => return Err(error),
        };
        let warnings = open.as_ref().map_or(&[] as &[String], FolderDisk::warnings);
        self.warnings.extend(warnings.iter().map(|warning| (peer, warning.clone())));
        let folder = Folder { path, options, open: Arc::new(Mutex::new(open)) };
        self.of.push((peer, PeerDisk::Folder(folder)));
        Ok(())
    }
}

/// The name of a cluster that nobody gave one: its first peers and where they listen.
#[cfg(feature = "capnp")]
pub(super) fn named_after(members: &Membership) -> String {
    let members: Vec<_> = members.addresses().map(|(peer, address)| format!("{peer}={address}")).collect();
    members.join(",")
}

/// Whose folders these are.
#[derive(Clone)]
struct Stamp {
    cluster: String,
    peers: Vec<PeerId>,
}

impl Stamp {
    /// The stamp of a cluster that has not run yet. If making its folders was cut short, those that
    /// are there say whose they are.
    fn of_new(dir: &Path, peers: usize) -> Result<Stamp, StorageError> {
        for name in RealFiles.list(dir).map_err(|cause| failed("list", dir, cause))? {
            if name.starts_with("peer-")
                && let Some((cluster, _, membership)) = FolderDisk::peek(&dir.join(name))?
            {
                return Ok(Stamp { cluster, peers: membership.voters().iter().copied().collect() });
            }
        }
        let cluster = format!("local-{:016x}", rand::random::<u64>());
        Ok(Stamp { cluster, peers: (1..=peers as u64).map(PeerId).collect() })
    }

    fn read(dir: &Path) -> Result<Option<Stamp>, StorageError> {
        let path = dir.join(NAME);
        let Some(text) = read(&RealFiles, &path)? else { return Ok(None) };
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let stamp = value.and_then(|value| Stamp::from_json(&value).filter(|stamp| stamp.to_json() == value));
        let damaged = || {
            let why = format!(
                "{} is not what was written: put it back from a backup, or give a new folder",
                path.display()
            );
            StorageError::Refused { why }
        };
        stamp.map(Some).ok_or_else(damaged)
    }

    fn from_json(value: &Value) -> Option<Stamp> {
        let peers = value.get("peers")?.as_array()?;
        let peers: Option<Vec<_>> = peers.iter().map(|peer| peer.as_u64().map(PeerId)).collect();
        let peers = peers.filter(|peers| (1..=9).contains(&peers.len()))?;
        Some(Stamp { cluster: value.get("cluster")?.as_str()?.into(), peers })
    }

    /// With its checksum: a flipped bit must not make another cluster of it.
    fn to_json(&self) -> Value {
        let peers: Vec<_> = self.peers.iter().map(|peer| peer.0).collect();
        sealed(json!({ "cluster": self.cluster, "peers": peers }))
    }

    fn write(&self, dir: &Path) -> Result<(), StorageError> {
        replace(&RealFiles, dir, NAME, &format!("{:#}\n", self.to_json()))
    }
}

fn failed(what: &str, path: &Path, cause: io::Error) -> StorageError {
    StorageError::Io { what: format!("{what} {}", path.display()), cause }
}
