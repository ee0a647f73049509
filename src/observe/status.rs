//! How a peer does, as it last published it.

use std::fmt;

use crate::raft::{Index, PeerId, Position, RoleKind, Term, Why};

/// Why a peer stopped by itself. It does not come back before somebody starts it again.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// The reason.
    pub why: Why,
    /// What happened, in words: of a disk, what was tried on which file, and what the system said.
    pub cause: String,
}

/// `the disk failed: wal-1: sync: Input/output error`.
impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.why, self.cause)
    }
}

/// One follower as its leader last saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FollowerStatus {
    /// Who it is.
    pub peer: PeerId,
    /// Up to where its log is known to be the leader's.
    pub matched: Index,
    /// How many of the leader's entries it lacks, as far as is known.
    pub lag: u64,
    /// How long it has not answered, in milliseconds.
    pub silent_ms: u64,
    /// Whether its machine applies what is committed, and its disk has room.
    pub healthy: bool,
}

/// How a peer does, as it last published it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Who it is.
    pub peer: PeerId,
    /// Whether it runs.
    pub up: bool,
    /// Why it stopped by itself, if it did and was not started again since.
    pub stopped: Option<Stopped>,
    /// Its role; `None` while it is down or recovers.
    pub role: Option<RoleKind>,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leader: Option<PeerId>,
    /// The end of its log.
    pub last: Position,
    /// Its commit index.
    pub commit: Index,
    /// Whether what it committed last is of its own term. A leader of whom that holds knows everything
    /// that was ever committed (§8).
    pub settled: bool,
    /// The last entry its machine has applied.
    pub applied: Index,
    /// The last entry that its latest snapshot covers.
    pub snapshot: Index,
    /// The last entry that is gone from the front of its log.
    pub compacted: Index,
    /// The entry that its machine can't apply, if it stands still.
    pub poisoned: Option<Index>,
    /// Whether its disk has no room for more entries: it refuses them, and does not lead if another can.
    /// It goes on by itself when there is room.
    pub disk_full: bool,
    /// How often another peer broke the protocol towards it, since its role was last rebuilt.
    pub violations: u64,
    /// If it leads: its followers.
    pub followers: Vec<FollowerStatus>,
}
