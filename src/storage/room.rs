//! Whether a disk has room for more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether a disk has room for more entries. Clones are one: a storage says it, a peer reads it.
///
/// A disk that is full is met before it hurts: what is under way still fits, and so do terms and
/// votes. But a peer takes in no more entries, and a leader hands over, until there is room again.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicBool>);

impl Room {
    /// Says whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.0.store(full, Relaxed);
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        self.0.load(Relaxed)
    }
}
