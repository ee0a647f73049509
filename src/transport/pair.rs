//! What two peers of one process make of each other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::Introduction;
use crate::{raft::PeerId, storage::Incarnation};

/// Two peers. Messages pass between them, either way, while both find the other to be who it should be:
/// the answers of one that is not listened to must not be heard either.
#[derive(Default)]
pub(super) struct Pair {
    /// All that a message looks at.
    open: AtomicBool,
    verdicts: Mutex<Verdicts>,
}

#[derive(Default)]
struct Verdicts {
    /// Whose verdicts these are: the disks of both, in the order of their ids.
    of: Option<[(PeerId, Incarnation); 2]>,
    /// Whether each of them, in that order, welcomes the other.
    welcome: [bool; 2],
}

fn disks(one: &Introduction, other: &Introduction) -> [(PeerId, Incarnation); 2] {
    let mut disks = [one, other].map(|peer| (peer.peer, peer.incarnation));
    disks.sort_unstable();
    disks
}

impl Pair {
    /// Whether messages pass.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are about to meet. What they made of each other stays in force meanwhile, if both come with
    /// the disks that they had.
    pub fn begin(&self, one: &Introduction, other: &Introduction) {
        let mut verdicts = self.verdicts();
        let of = Some(disks(one, other));
        if verdicts.of != of {
            *verdicts = Verdicts { of, welcome: [false; 2] };
            self.open.store(false, Relaxed);
        }
    }

    /// What `host` makes of `guest`. `false`: it is of other disks than those that meet now.
    pub fn judge(&self, host: &Introduction, guest: &Introduction, is_welcome: bool) -> bool {
        let mut verdicts = self.verdicts();
        if verdicts.of != Some(disks(host, guest)) {
            return false;
        }
        let [lower, higher] = &mut verdicts.welcome;
        let its = if host.peer < guest.peer { lower } else { higher };
        *its = is_welcome;
        self.open.store(verdicts.welcome == [true; 2], Relaxed);
        true
    }
}
