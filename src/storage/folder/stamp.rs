//! Whose a data folder is: written once, when it is made.

use std::path::Path;

use serde_json::{Value, json};

use super::{FolderOptions, read, replace, unreadable};
use crate::{
    raft::{Membership, PeerId},
    storage::{Incarnation, StorageError, files::Files, members},
};

/// The file.
pub(super) const NAME: &str = "stamp.json";

/// The format that this version writes, and the last that it can read.
const FORMAT: u64 = 1;

/// Whose a folder is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamp {
    pub cluster: String,
    pub peer: PeerId,
    pub incarnation: u128,
    pub first_membership: Membership,
}

impl Stamp {
    /// The stamp of a new folder.
    pub fn new(options: &FolderOptions) -> Stamp {
        Stamp {
            cluster: options.cluster.clone(),
            peer: options.peer,
            incarnation: rand::random(),
            first_membership: options.first_membership.clone(),
        }
    }

    /// Everything but the checksum. The same stamp gives the same text, always.
    fn to_json(&self) -> Value {
        json!({
            "format": FORMAT,
            "cluster": self.cluster,
            "peer": self.peer.0,
            "incarnation": Incarnation(self.incarnation).to_string(),
            "first_membership": members::to_json(&self.first_membership),
        })
    }

    fn from_json(value: &Value) -> Option<Stamp> {
        Some(Stamp {
            cluster: value.get("cluster")?.as_str()?.into(),
            peer: PeerId(value.get("peer")?.as_u64()?),
            incarnation: u128::from_str_radix(value.get("incarnation")?.as_str()?, 16).ok()?,
            first_membership: members::from_json(value.get("first_membership")?)?,
        })
    }

    /// Reads the stamp of a folder; `None` if it has none.
    pub fn read(files: &dyn Files, dir: &Path) -> Result<Option<Stamp>, StorageError> {
        let path = dir.join(NAME);
        let Some(text) = read(files, &path)? else { return Ok(None) };
        let value: Value = serde_json::from_str(&text).map_err(|_| unreadable(&path))?;
        if let Some(format) = value.get("format").and_then(Value::as_u64).filter(|&format| format > FORMAT) {
            let why = format!(
                "{} is of format {format}, and this version knows formats up to {FORMAT}: start a newer version",
                path.display()
            );
            return Err(StorageError::Refused { why });
        }
        let stamp = Stamp::from_json(&value).ok_or_else(|| unreadable(&path))?;
        match sealed(stamp.to_json()) == value {
            true => Ok(Some(stamp)),
            false => Err(unreadable(&path)),
        }
    }

    /// Writes the stamp: from then on the folder is one.
    pub fn write(&self, files: &dyn Files, dir: &Path) -> Result<(), StorageError> {
        replace(files, dir, NAME, &format!("{:#}\n", sealed(self.to_json())))
    }

    /// Whether the folder may be used for what it was opened for.
    pub fn check(
        &self,
        dir: &Path,
        options: &FolderOptions,
        warnings: &mut Vec<String>,
    ) -> Result<(), StorageError> {
        let dir = dir.display();
        let refuse = |why: String| Err(StorageError::Refused { why });
        if self.cluster != options.cluster {
            return refuse(format!(
                "{dir} belongs to the cluster `{}`, not to `{}`: give the folder of this cluster, or a new one",
                self.cluster, options.cluster
            ));
        }
        if self.peer != options.peer {
            return refuse(format!(
                "{dir} belongs to peer {}, not to peer {}: start that peer with it, or give another folder",
                self.peer, options.peer
            ));
        }
        if self.first_membership != options.first_membership {
            warnings.push(format!(
                "{dir} was begun with the peers {}, and they stay in force: {} was asked for and is ignored",
                self.first_membership, options.first_membership
            ));
        }
        Ok(())
    }
}

/// An object with the checksum of everything else in it.
pub(crate) fn sealed(mut value: Value) -> Value {
    let checksum = format!("{:08x}", crc32c::crc32c(value.to_string().as_bytes()));
    if let Some(object) = value.as_object_mut() {
        object.insert("checksum".into(), checksum.into());
    }
    value
}
