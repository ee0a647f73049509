//! Which disk a peer speaks from: a voter that lost its disk must not vote again.
//!
//! A disk draws an [`Incarnation`] when it is made, and keeps it for life. Peers tell it to each
//! other, and each remembers the first it was told under an id, on its own disk. A peer that comes
//! back under its old id with another disk has forgotten its votes and what it acknowledged: nobody
//! who knew the old one speaks to it (scenario "wiped voter" of the thesis' discussion in §3.8:
//! correctness rests on `currentTerm`, `votedFor` and `log[]` being durable).

use std::fmt;

use super::{StorageError, Wait};
use crate::raft::PeerId;

/// The life of one disk: drawn at random when the disk is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(pub u128);

/// 32 hexadecimal digits.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What comes of meeting a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meeting {
    /// It is the one known under its id; from now on, if it is met for the first time.
    Known,
    /// Another disk is known under its id: it must not be listened to.
    Stranger {
        /// The one that is known.
        known: Incarnation,
    },
}

/// Which disk this is, and which ones other peers were met with.
pub trait Register: Send + Sync + 'static {
    /// The life of this disk.
    fn incarnation(&self) -> Incarnation;

    /// A peer presents itself. The first one under an id is remembered: when the answer is there,
    /// durably.
    fn meet(&self, peer: PeerId, incarnation: Incarnation) -> Wait<Result<Meeting, StorageError>>;
}
