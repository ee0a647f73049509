//! The disk itself: files and folders, whatever their names, and the way to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
};

use super::{Call, NodeId, content::Content, faults::Faults, folder::Folder, luck::Luck};

const ROOT: NodeId = 0;

#[derive(Clone)]
enum Node {
    File {
        content: Content,
        /// How many have it open.
        open: usize,
    },
    Folder(Folder),
}

pub(super) struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
    /// How often the power was cut.
    pub(super) life: u64,
    pub(super) locked: BTreeSet<NodeId>,
    pub(super) capacity: Option<u64>,
    pub(super) faults: Faults,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            nodes: [(ROOT, Node::Folder(Folder::default()))].into(),
            next: ROOT + 1,
            life: 0,
            locked: BTreeSet::new(),
            capacity: None,
            faults: Faults::default(),
        }
    }
}

/// The names on the way to a place, from the root.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_str().ok_or(io::ErrorKind::InvalidFilename)),
        Component::ParentDir => Some(Err(io::ErrorKind::InvalidFilename)),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    Ok(parts.collect::<Result<_, _>>()?)
}

/// The folder that a path leads through, and the name in it.
fn split(path: &Path) -> io::Result<(Vec<&str>, &str)> {
    let mut names = names(path)?;
    let last = names.pop().ok_or(io::ErrorKind::IsADirectory)?;
    Ok((names, last))
}

impl Disk {
    pub(super) fn copy(&self) -> Disk {
        let mut copy = Disk {
            nodes: self.nodes.clone(),
            next: self.next,
            life: 0,
            locked: BTreeSet::new(),
            capacity: self.capacity,
            faults: self.faults.clone(),
        };
        copy.forget_owners();
        copy
    }

    fn forget_owners(&mut self) {
        self.locked.clear();
        for node in self.nodes.values_mut() {
            if let Node::File { open, .. } = node {
                *open = 0;
            }
        }
        self.collect_garbage();
    }

    /// Cuts the power; or kills the process, if there is nothing to draw.
    pub(super) fn cut(&mut self, luck: Option<Luck>) {
        if let Some(mut luck) = luck {
            for node in self.nodes.values_mut() {
                match node {
                    Node::File { content, .. } => content.cut(&mut luck),
                    Node::Folder(folder) => folder.cut(&mut luck),
                }
            }
        }
        self.life += 1;
        self.faults.restart();
        self.forget_owners();
    }

    /// What has no name, will not have one again after a cut, and is open nowhere is gone.
    fn collect_garbage(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut ahead = vec![ROOT];
        while let Some(id) = ahead.pop() {
            if let Some(Node::Folder(folder)) = self.nodes.get(&id) {
                ahead.extend(folder.nodes().filter(|&node| reached.insert(node)));
            }
        }
        self.nodes.retain(|id, node| reached.contains(id) || matches!(node, Node::File { open: 1.., .. }));
    }

    fn find(&self, names: &[&str]) -> io::Result<NodeId> {
        names.iter().try_fold(ROOT, |id, name| match self.nodes.get(&id) {
            Some(Node::Folder(folder)) => folder.get(name).ok_or_else(|| io::ErrorKind::NotFound.into()),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        })
    }

    fn folder(&mut self, id: NodeId) -> io::Result<&mut Folder> {
        match self.nodes.get_mut(&id) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The file at a path.
    pub(super) fn file(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(&names(path)?)?;
        match self.nodes.get(&id) {
            Some(Node::File { .. }) => Ok(id),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn content(&mut self, path: &Path) -> io::Result<&mut Content> {
        self.content_of(self.file(path)?)
    }

    pub(super) fn content_of(&mut self, id: NodeId) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&id) {
            Some(Node::File { content, .. }) => Ok(content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn open(&mut self, id: NodeId) {
        if let Some(Node::File { open, .. }) = self.nodes.get_mut(&id) {
            *open += 1;
        }
    }

    pub(super) fn close(&mut self, id: NodeId) {
        if let Some(Node::File { open, .. }) = self.nodes.get_mut(&id) {
            *open = open.saturating_sub(1);
        }
        self.collect_garbage();
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for name in names(path)? {
            at = match self.folder(at)?.get(name) {
                Some(id) => id,
                None => {
                    self.faults.begin(Call::CreateDir)?;
                    let id = self.add(Node::Folder(Folder::default()));
                    self.folder(at)?.put(name, id);
                    id
                }
            };
        }
        self.faults.look()?;
        self.folder(at).map(|_| ())
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        self.faults.look()?;
        let id = self.find(&names(dir)?)?;
        Ok(self.folder(id)?.names().cloned().collect())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let parent = self.find(&parent)?;
        if self.folder(parent)?.get(name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.add(Node::File { content: Content::default(), open: 0 });
        self.folder(parent)?.put(name, id);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.begin(Call::Rename)?;
        let ((parent, old), (other, new)) = (split(from)?, split(to)?);
        if parent != other {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let node = self.file(from)?;
        if self.find(&names(to)?).is_ok() {
            self.file(to)?;
        }
        let parent = self.find(&parent)?;
        if old != new {
            self.folder(parent)?.rename(old, new, node);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.faults.begin(Call::Remove)?;
        self.file(path)?;
        let (parent, name) = split(path)?;
        let parent = self.find(&parent)?;
        self.folder(parent)?.remove(name);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let id = self.find(&names(dir)?)?;
        // Names are kept in journals: one that can't be written stops the file system, and nothing that
        // was to be written is taken for written. So a failed sync of a folder gives nothing up.
        self.faults.begin(Call::SyncDir)?;
        self.folder(id)?.sync();
        self.collect_garbage();
        Ok(())
    }

    pub(super) fn sync(&mut self, id: NodeId) -> io::Result<()> {
        let stopped = self.faults.is_stopped();
        let begun = self.faults.begin(Call::Sync);
        let content = self.content_of(id)?;
        match &begun {
            Ok(()) => content.sync(),
            Err(_) if stopped => {}
            Err(_) => content.give_up(),
        }
        begun
    }

    pub(super) fn write(&mut self, id: NodeId, from: &[u8], offset: u64) -> io::Result<usize> {
        let stopped = self.faults.is_stopped();
        if let Err(error) = self.faults.begin(Call::Write) {
            // A part may be written all the same.
            let part = from.get(..self.faults.part(from.len())).unwrap_or_default();
            if !stopped {
                self.put(id, part, offset)?;
            }
            return Err(error);
        }
        let wanted = self.faults.shorten(from.len());
        self.put(id, from.get(..wanted).unwrap_or(from), offset)
    }

    /// Writes what fits.
    fn put(&mut self, id: NodeId, from: &[u8], offset: u64) -> io::Result<usize> {
        let wanted = from.len();
        let (offset, end) = Content::end_of(offset, wanted)?;
        let room = self.room();
        let content = self.content_of(id)?;
        let missing = end.saturating_sub(content.len().saturating_add(room));
        let fits = wanted.saturating_sub(missing);
        if fits == 0 && wanted > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.write_at(from.get(..fits).unwrap_or(from), offset);
        self.faults.calls.bytes_written += fits as u64;
        Ok(fits)
    }

    pub(super) fn set_len(&mut self, id: NodeId, bytes: u64) -> io::Result<()> {
        self.faults.begin(Call::SetLen)?;
        let (bytes, _) = Content::end_of(bytes, 0)?;
        let room = self.room();
        let content = self.content_of(id)?;
        if bytes.saturating_sub(content.len()) > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.set_len(bytes);
        Ok(())
    }

    /// How much longer all files together may become.
    fn room(&self) -> usize {
        let left = self.capacity.map(|capacity| capacity.saturating_sub(self.used()));
        left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX)
    }

    pub(super) fn used(&self) -> u64 {
        let mut named = BTreeSet::new();
        for node in self.nodes.values() {
            if let Node::Folder(folder) = node {
                named.extend(folder.entries().map(|(_, id)| id));
            }
        }
        let files = self.nodes.iter().filter_map(|(id, node)| match node {
            Node::File { content, open } if *open > 0 || named.contains(id) => Some(content.len() as u64),
            _ => None,
        });
        files.sum()
    }

    /// Every file, and how long it is.
    pub(super) fn lengths(&self) -> BTreeMap<PathBuf, usize> {
        let mut found = BTreeMap::new();
        let mut ahead = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = ahead.pop() {
            match self.nodes.get(&id) {
                Some(Node::File { content, .. }) => {
                    found.insert(path, content.len());
                }
                Some(Node::Folder(folder)) => {
                    ahead.extend(folder.entries().map(|(name, id)| (path.join(name), id)));
                }
                None => {}
            }
        }
        found
    }
}
