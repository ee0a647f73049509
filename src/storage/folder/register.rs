//! The disks that other peers were met with: remembered for good.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{failed, read, replace, stamp::sealed, unreadable};
use crate::{
    raft::PeerId,
    storage::{Incarnation, Meeting, Register, StorageError, Wait, files::Files},
};

/// The file.
pub(super) const NAME: &str = "peers.json";

type Known = BTreeMap<PeerId, Incarnation>;

/// The register of a data folder.
pub(super) struct FolderRegister {
    files: Arc<dyn Files>,
    dir: PathBuf,
    incarnation: Incarnation,
    /// What is known, durably. Whoever adds to it writes the file first, under this lock.
    known: Arc<Mutex<Known>>,
    /// Who writes. The folder is not free for another before they are done.
    writers: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for FolderRegister {
    fn drop(&mut self) {
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            // If it panicked, it has said so.
            let _ = writer.join();
        }
    }
}

impl FolderRegister {
    /// Reads the register of a folder.
    pub fn read(
        files: Arc<dyn Files>,
        dir: &Path,
        incarnation: Incarnation,
    ) -> Result<FolderRegister, StorageError> {
        let path = dir.join(NAME);
        let known = match read(&*files, &path)? {
            None => Known::new(),
            Some(text) => from_text(&text).ok_or_else(|| unreadable(&path))?,
        };
        Ok(FolderRegister {
            files,
            dir: dir.into(),
            incarnation,
            known: Arc::new(Mutex::new(known)),
            writers: Mutex::default(),
        })
    }
}

fn from_text(text: &str) -> Option<Known> {
    let value: Value = serde_json::from_str(text).ok()?;
    let known: Option<Known> = value
        .as_object()?
        .iter()
        .filter(|(name, _)| *name != "checksum")
        .map(|(peer, incarnation)| {
            let incarnation = u128::from_str_radix(incarnation.as_str()?, 16).ok()?;
            Some((PeerId(peer.parse().ok()?), Incarnation(incarnation)))
        })
        .collect();
    known.filter(|known| sealed(to_json(known)) == value)
}

fn to_json(known: &Known) -> Value {
    let entry = |(peer, incarnation): (&PeerId, &Incarnation)| {
        (peer.to_string(), Value::String(incarnation.to_string()))
    };
    Value::Object(known.iter().map(entry).collect::<Map<_, _>>())
}

fn meeting(known: Incarnation, incarnation: Incarnation) -> Meeting {
    if known == incarnation { Meeting::Known } else { Meeting::Stranger { known } }
}

impl Register for FolderRegister {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Who is known is answered at once. A first meeting is written down by a thread of its own: it
    /// happens once in the life of a peer.
    fn meet(&self, peer: PeerId, incarnation: Incarnation) -> Wait<Result<Meeting, StorageError>> {
        // While a meeting is written down others wait for it, off this thread.
        if let Ok(known) = self.known.try_lock()
            && let Some(&known) = known.get(&peer)
        {
            return Wait::Now(Ok(meeting(known, incarnation)));
        }
        let (files, dir, known) = (self.files.clone(), self.dir.clone(), self.known.clone());
        let (answer, answered) = oneshot::channel();
        let write_down = move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let result = match known.get(&peer) {
                Some(&known) => Ok(meeting(known, incarnation)),
                None => {
                    let mut with = known.clone();
                    with.insert(peer, incarnation);
                    let text = format!("{:#}\n", sealed(to_json(&with)));
                    replace(&*files, &dir, NAME, &text).map(|()| {
                        *known = with;
                        Meeting::Known
                    })
                }
            };
            let _ = answer.send(result);
        };
        match thread::Builder::new().name("register".into()).spawn(write_down) {
            Ok(writer) => self.writers.lock().unwrap_or_else(PoisonError::into_inner).push(writer),
            Err(cause) => return Wait::Now(Err(failed("start a thread for", &self.dir.join(NAME), cause))),
        }
        Wait::Later(Box::pin(async move {
            let gone = "the thread that writes the register has ended";
            answered.await.unwrap_or_else(|_| Err(StorageError::Refused { why: gone.into() }))
        }))
    }
}
