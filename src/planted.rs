//! Bugs that are planted on purpose, to see whether a storm finds them.
//!
//! They exist only in builds with `--cfg raft_actors_planted`, and even there each has to be asked for. In every other
//! build `planted!(..)` is `false`, and what it guards is not compiled in. `.ci/planted` plants one after the other.

/// Whether this bug is planted.
#[cfg(not(raft_actors_planted))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

/// Whether this bug is planted.
#[cfg(raft_actors_planted)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

#[cfg(raft_actors_planted)]
pub use bugs::{Bug, behind, is, late_votes, more_votes, plant};

#[cfg(raft_actors_planted)]
mod bugs {
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use crate::raft::{Batch, Index, PeerId, State};

    macro_rules! bugs {
        ($($(#[$doc:meta])* $bug:ident = $name:literal,)*) => {
            /// What can be planted.
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub enum Bug {
                $($(#[$doc])* $bug,)*
            }

            impl Bug {
                /// All of them.
                pub const ALL: &[Bug] = &[$(Bug::$bug),*];

                /// What it is called.
                pub fn name(self) -> &'static str {
                    match self {
                        $(Bug::$bug => $name,)*
                    }
                }
            }
        };
    }

    bugs! {
        /// A vote leaves before it is on the disk.
        VoteBeforeSync = "vote before sync",
        /// A vote is not written down at all.
        ForgottenVote = "forgotten vote",
        /// What a majority holds of an older term counts as committed (Figure 8).
        OldTermCommit = "old-term commit",
        /// A new leader reads before it has committed anything.
        NoNoopBeforeReads = "no no-op before reads",
        /// An old, shorter message cuts off what came after it.
        TruncateOnAppend = "truncate on any append",
        /// A vote that arrives twice counts twice.
        DuplicateVotes = "duplicate votes counted",
        /// A snapshot lacks the sessions of clients.
        SessionsNotInSnapshot = "session table not in the snapshot",
        /// A leader answers reads without asking whether it still is one.
        ReadWithoutQuorum = "read without quorum",
        /// Entries are acknowledged before they are on the disk.
        AckBeforeSync = "ack before sync",
        /// The last entry of a snapshot is applied once more.
        AppliedTwice = "applied twice after restart",
        /// A vote of an older term counts in the next campaign.
        LateVote = "late vote of an older term counted",
        /// The log's front goes before the snapshot that covers it is there.
        MarkerFirst = "snapshot marker before the snapshot",
        /// A follower takes the leader's commit index, whatever of its log is known to match.
        CommitBeyondMatch = "commit beyond what matches",
        /// A leader's snapshot that overtook our own is told as taken. A storm found this one in earnest.
        OvertakenSnapshot = "overtaken snapshot told as taken",
        /// A term that was seen is not written down.
        ForgottenTerm = "forgotten term",
    }

    /// The place in [`Bug::ALL`] of what is planted, from 1; 0 is nothing.
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static LATE_VOTES: RefCell<BTreeMap<PeerId, BTreeSet<PeerId>>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Plants a bug in this process, in place of another; `None`: none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), SeqCst);
    }

    /// Whether this bug is planted.
    pub fn is(bug: Bug) -> bool {
        PLANTED.load(SeqCst) == bug as usize + 1
    }

    /// Where a message ends that brings less than the log holds, if that is to be cut off.
    pub fn behind(batches: &[Batch], base: Index, last: Index) -> Option<Index> {
        let end = batches.last()?.last().index;
        (is(Bug::TruncateOnAppend) && end >= base && end < last).then(|| end.next())
    }

    /// Who voted for a candidate in earlier terms, if that is to count: on this thread, which runs one storm.
    pub fn late_votes(of: PeerId) -> Option<BTreeSet<PeerId>> {
        is(Bug::LateVote).then(|| LATE_VOTES.with_borrow(|votes| votes.get(&of).cloned().unwrap_or_default()))
    }

    /// Whose votes count besides, when `from` votes: somebody else's, if it has voted already.
    pub fn more_votes(state: &State, votes: &BTreeSet<PeerId>, from: PeerId) -> Option<PeerId> {
        if is(Bug::LateVote) {
            LATE_VOTES.with_borrow_mut(|late| late.entry(state.id()).or_default().insert(from));
        }
        let is_second = is(Bug::DuplicateVotes) && votes.contains(&from);
        let mut others = state.membership().others(state.id()).filter(|peer| !votes.contains(peer));
        others.next().filter(|_| is_second)
    }
}
