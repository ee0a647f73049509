//! What is in a folder, and what a power cut leaves of it.
//!
//! Changes of one name keep their order: a file that replaces another can't be there before the other
//! has gone. Changes of different names survive each for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{NodeId, luck::Luck};

#[derive(Clone)]
enum Change {
    Put { name: String, node: NodeId },
    Rename { from: String, to: String, node: NodeId },
    Remove { name: String },
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &String> {
        let (one, other) = match self {
            Change::Put { name, .. } | Change::Remove { name } => (name, None),
            Change::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }
}

/// A folder: what the disk has, and what whoever lists it sees.
#[derive(Clone, Default)]
pub(super) struct Folder {
    durable: BTreeMap<String, NodeId>,
    now: BTreeMap<String, NodeId>,
    unsynced: Vec<Change>,
}

impl Folder {
    pub(super) fn get(&self, name: &str) -> Option<NodeId> {
        self.now.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.now.keys()
    }

    /// What is in it now, and what may be again after a cut.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let unsynced = self.unsynced.iter().filter_map(|change| match change {
            Change::Put { node, .. } | Change::Rename { node, .. } => Some(*node),
            Change::Remove { .. } => None,
        });
        self.now.values().chain(self.durable.values()).copied().chain(unsynced)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, NodeId)> {
        self.now.iter().map(|(name, &node)| (name, node))
    }

    pub(super) fn put(&mut self, name: &str, node: NodeId) {
        self.change(Change::Put { name: name.to_owned(), node });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, node: NodeId) {
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), node });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Remove { name: name.to_owned() });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.settle(|| true);
    }

    pub(super) fn cut(&mut self, luck: &mut Luck) {
        self.settle(|| luck.survives());
        self.unsynced.clear();
        self.now.clone_from(&self.durable);
    }

    /// Makes changes durable if they survive, and no change before them, of the same name, did not.
    fn settle(&mut self, mut survives: impl FnMut() -> bool) {
        let mut lost = BTreeSet::new();
        for change in self.unsynced.drain(..) {
            if !change.names().any(|name| lost.contains(name)) && survives() {
                apply(&mut self.durable, &change);
            } else {
                lost.extend(change.names().cloned());
            }
        }
    }
}

fn apply(entries: &mut BTreeMap<String, NodeId>, change: &Change) {
    match change {
        Change::Put { name, node } => {
            entries.insert(name.clone(), *node);
        }
        Change::Rename { from, to, node } => {
            entries.remove(from);
            entries.insert(to.clone(), *node);
        }
        Change::Remove { name } => {
            entries.remove(name);
        }
    }
}
