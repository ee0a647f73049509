//! Who a peer says it is, and whether another listens to it.
//!
//! What peers believe of each other rests on what is on their disks (§5.1, thesis §3.8): a vote, a
//! term, an entry that was acknowledged. So a peer presents itself before it says anything: its cluster,
//! the membership with which that began, and the life of its disk. Who finds another there than it knows
//! does not listen, and says so. The decision is one function, [`Introduction::meet`], whatever carries the
//! messages.

use std::{fmt, sync::Arc};

use crate::{
    config::Config,
    raft::{Membership, PeerId, Why},
    storage::{Incarnation, Meeting, Register, StorageError, Wait},
};

/// Who a peer says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduction {
    /// The name of its cluster.
    pub cluster: Arc<str>,
    /// Its id.
    pub peer: PeerId,
    /// The digest of the membership with which its cluster began: see [`digest`].
    pub first_membership: u32,
    /// The life of its disk.
    pub incarnation: Incarnation,
    /// The limits that shape the replicated state.
    pub sessions: SessionLimits,
}

/// How many sessions a machine remembers, and how many answers without a receipt it keeps in each: peers
/// that go by different limits would drop different sessions, and come to different states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// [`Config::sessions_max`](crate::Config::sessions_max).
    pub max: u64,
    /// [`Config::session_window`](crate::Config::session_window).
    pub window: u64,
}

impl SessionLimits {
    /// Those of a configuration.
    pub fn of(config: &Config) -> SessionLimits {
        SessionLimits { max: config.sessions_max as u64, window: config.session_window as u64 }
    }
}

/// `10000 sessions, 1024 answers in each`.
impl fmt::Display for SessionLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions, {} answers in each", self.max, self.window)
    }
}

/// The CRC-32C of a membership, with all its addresses, as text.
pub fn digest(membership: &Membership) -> u32 {
    let mut text = membership.to_string();
    for (peer, address) in membership.addresses() {
        text += &format!(" {peer}={address:?}");
    }
    crc32c::crc32c(text.as_bytes())
}

/// Why a peer is not listened to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Objection {
    /// It belongs to another cluster.
    Cluster {
        /// Ours.
        ours: Arc<str>,
        /// Its.
        theirs: Arc<str>,
    },
    /// Its cluster has our name, and began with other peers.
    Membership {
        /// The digest of ours.
        ours: u32,
        /// The digest of its.
        theirs: u32,
    },
    /// It has our own id.
    SameId,
    /// Another disk is known under its id: it has forgotten what it promised.
    Incarnation {
        /// The one that is known; 0 if whoever knows it does not tell.
        known: Incarnation,
        /// The one it came with.
        theirs: Incarnation,
    },
    /// It goes by other limits of sessions.
    Sessions {
        /// Ours.
        ours: SessionLimits,
        /// Its.
        theirs: SessionLimits,
    },
    /// No peer of our cluster has its id.
    Stranger {
        /// Its id.
        peer: PeerId,
    },
}

impl Objection {
    /// The reason.
    pub fn why(&self) -> Why {
        match self {
            Objection::Cluster { .. } => Why::AnotherCluster,
            Objection::Membership { .. } => Why::AnotherMembership,
            Objection::SameId => Why::SameId,
            Objection::Incarnation { .. } => Why::AnotherDisk,
            Objection::Sessions { .. } => Why::OtherLimits,
            Objection::Stranger { .. } => Why::UnknownPeer,
        }
    }
}

/// A name in a text: what strangers call themselves may be long, and anything.
fn short(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut = if name.chars().count() > CHARS_MAX { ".." } else { "" };
    format!("{:?}{cut}", name.chars().take(CHARS_MAX).collect::<String>())
}

/// What is known, what came instead, and what to do.
impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Cluster { ours, theirs } => write!(
                f,
                "expected the cluster {}, met {}: give each peer the addresses and the data of one cluster",
                short(ours),
                short(theirs)
            ),
            Objection::Membership { ours, theirs } => write!(
                f,
                "expected a cluster that began with the membership {ours:08x}, met one that began with {theirs:08x}: give each peer the same first peers, in a new data folder"
            ),
            Objection::SameId => {
                f.write_str("both have the same id: give each peer an id and a data folder of its own")
            }
            Objection::Incarnation { known: Incarnation(0), theirs } => write!(
                f,
                "expected another disk than {theirs}: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again"
            ),
            Objection::Incarnation { known, theirs } => write!(
                f,
                "expected the disk {known}, met {theirs}: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again"
            ),
            Objection::Sessions { ours, theirs } => write!(
                f,
                "expected the limits of {ours}, met {theirs}: give each peer the same `sessions_max` and `session_window`"
            ),
            Objection::Stranger { peer } => {
                write!(
                    f,
                    "the cluster has no peer {peer}: give the peer the id under which the others know it"
                )
            }
        }
    }
}

impl Introduction {
    /// Whether who is introduced so may be listened to. Another disk than the one that `register` knows
    /// may not; the first one under an id is remembered, once nothing else speaks against it.
    pub fn meet(
        &self,
        theirs: &Introduction,
        register: &dyn Register,
    ) -> Wait<Result<Result<(), Objection>, StorageError>> {
        if let Some(objection) = self.objection_to(theirs) {
            return Wait::Now(Ok(Err(objection)));
        }
        let theirs_is = theirs.incarnation;
        let judge = move |meeting: Result<Meeting, StorageError>| match meeting? {
            Meeting::Known => Ok(Ok(())),
            Meeting::Stranger { known } => Ok(Err(Objection::Incarnation { known, theirs: theirs_is })),
        };
        match register.meet(theirs.peer, theirs_is) {
            Wait::Now(meeting) => Wait::Now(judge(meeting)),
            Wait::Later(meeting) => Wait::Later(Box::pin(async move { judge(meeting.await) })),
        }
    }

    /// What can be told without a disk.
    fn objection_to(&self, theirs: &Introduction) -> Option<Objection> {
        if self.cluster != theirs.cluster {
            return Some(Objection::Cluster { ours: self.cluster.clone(), theirs: theirs.cluster.clone() });
        }
        if self.first_membership != theirs.first_membership {
            let (ours, theirs) = (self.first_membership, theirs.first_membership);
            return Some(Objection::Membership { ours, theirs });
        }
        if self.sessions != theirs.sessions {
            return Some(Objection::Sessions { ours: self.sessions, theirs: theirs.sessions });
        }
        (self.peer == theirs.peer).then_some(Objection::SameId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, MemoryDisk};

    fn introduction(peer: u64) -> Introduction {
        let first_membership = digest(&Membership::of([1, 2].map(PeerId)));
        let incarnation = Incarnation(u128::from(peer));
        let sessions = SessionLimits { max: 10, window: 10 };
        Introduction { cluster: "orders".into(), peer: PeerId(peer), first_membership, incarnation, sessions }
    }

    fn met(theirs: &Introduction, disk: &MemoryDisk) -> Option<Why> {
        let opened = disk.clone().open().unwrap();
        match introduction(1).meet(theirs, &*opened.register) {
            Wait::Now(met) => met.unwrap().err().map(|objection| objection.why()),
            Wait::Later(_) => panic!("this disk takes no time"),
        }
    }

    /// Each objection, in the order in which they are raised; and what is objected to is not remembered.
    #[test]
    fn who_is_not_what_it_should_be_is_objected_to() {
        let disk = MemoryDisk::new();
        let other = Incarnation(9);
        let rows = [
            (
                Introduction { cluster: "other".into(), incarnation: other, ..introduction(2) },
                Some(Why::AnotherCluster),
            ),
            (
                Introduction { first_membership: 0, incarnation: other, ..introduction(2) },
                Some(Why::AnotherMembership),
            ),
            (
                Introduction { sessions: SessionLimits { max: 10, window: 9 }, ..introduction(2) },
                Some(Why::OtherLimits),
            ),
            (introduction(1), Some(Why::SameId)),
            (introduction(2), None),
            (introduction(2), None),
            (Introduction { incarnation: other, ..introduction(2) }, Some(Why::AnotherDisk)),
            (introduction(2), None),
        ];
        for (theirs, expected) in rows {
            assert_eq!(met(&theirs, &disk), expected, "{theirs:?}");
        }
    }

    #[test]
    fn a_digest_tells_memberships_and_addresses_apart() {
        let of = |ids: &[u64]| Membership::of(ids.iter().copied().map(PeerId));
        let memberships = [
            of(&[1, 2]),
            of(&[1, 2, 3]),
            of(&[1, 2]).with_learner(PeerId(3)),
            of(&[1, 2]).with_address(PeerId(1), "a:1"),
            of(&[1, 2]).with_address(PeerId(2), "a:1"),
            of(&[1, 2]).with_address(PeerId(1), "a:2"),
        ];
        let digests: std::collections::BTreeSet<_> = memberships.iter().map(digest).collect();
        assert_eq!(digests.len(), memberships.len());
        assert_eq!(
            digest(&of(&[2, 1])),
            digest(&of(&[1, 2])),
            "the order in which they are named is nothing"
        );
    }

    #[test]
    fn an_objection_says_what_is_known_what_came_and_what_to_do() {
        let objection = Objection::Incarnation { known: Incarnation(10), theirs: Incarnation(11) };
        assert_eq!(
            objection.to_string(),
            "expected the disk 0000000000000000000000000000000a, met 0000000000000000000000000000000b: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again"
        );
    }
}
