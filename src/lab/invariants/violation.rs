//! What has to hold, and what did not.

use std::fmt;

use crate::raft::Why;

macro_rules! invariants {
    ($($(#[$doc:meta])* $invariant:ident = $name:literal, $section:literal, $sentence:literal,)*) => {
        /// What has to hold after every event of every run.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Invariant {
            $(#[doc = $sentence] #[doc = concat!("(", $section, ")")] $(#[$doc])* $invariant,)*
        }

        impl Invariant {
            /// All of them, in order.
            pub const ALL: &[Invariant] = &[$(Invariant::$invariant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Invariant::$invariant => $name,)*
                }
            }

            /// Where the paper, or the thesis, says so.
            pub fn section(self) -> &'static str {
                match self {
                    $(Invariant::$invariant => $section,)*
                }
            }

            /// What it says.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Invariant::$invariant => $sentence,)*
                }
            }
        }
    };
}

invariants! {
    ElectionSafety = "Election Safety", "§5.2",
        "At most one leader is elected in a term.",
    LeaderAppendOnly = "Leader Append-Only", "§5.3",
        "A leader never overwrites or deletes entries of its log; it only appends.",
    LogMatching = "Log Matching", "§5.3",
        "Two logs that hold an entry of the same index and term are the same up to it.",
    LeaderCompleteness = "Leader Completeness", "§5.4",
        "What is committed in a term is in the logs of the leaders of all later terms.",
    StateMachineSafety = "State Machine Safety", "§5.4.3",
        "No two peers commit or apply different entries at one index; each is applied once, in order.",
    OneWay = "One Way", "§5.1, Figure 2",
        "A term never goes back; commit and applied never do within one life of the role and the machine.",
    OneVote = "One Vote", "§5.2",
        "A peer votes for one candidate in a term, over all its lives.",
    Bounds = "Bounds", "§5.3, §7",
        "Purged <= snapshot <= commit <= last; applied <= commit; snapshot <= applied but for a restore.",
    QuorumHolds = "Quorum Holds", "§5.3, §5.4.2",
        "What a leader commits is of its own term, and on the disks of a majority of the voters.",
    SyncedFirst = "Synced First", "Figure 2; thesis §3.8, §10.2.1",
        "A promise leaves after it was synced, and what is applied is durable on that peer.",
    Survival = "Survival", "Figure 2; thesis §3.8",
        "What was synced is still there when a peer comes back.",
    Expected = "Expected", "Figure 2",
        "Nobody breaks the protocol, stops, is poisoned or falls unless somebody asked for it.",
    Silence = "Silence", "Figure 2; thesis §3.8",
        "A peer that does not know yet what it had promised says nothing.",
    Recovery = "Recovery", "§5.1; thesis §3.8",
        "What fell comes back, unless its peer was killed or stopped.",
}

/// `Log Matching (§5.3)`.
impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.section())
    }
}

/// Something that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// What should have held.
    pub invariant: Invariant,
    /// What was the case instead.
    pub what: String,
    /// The number of the report that showed it.
    pub seq: u64,
    /// That report, as it is printed.
    pub report: String,
}

/// `Log Matching (§5.3): term 3 begins at 5 behind 4@2, elsewhere at 6 behind 5@2; at #17: 12.000 n1@3 ..`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; at #{}: {}", self.invariant, self.what, self.seq, self.report)
    }
}

/// What a run may do because somebody brings it about on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Allowed {
    /// Peers that break the protocol, and are refused.
    Violations,
    /// Entries that the machine can't apply.
    Poison,
    /// Peers that stop for this reason. Being asked to stop is never unexpected.
    Stops(Why),
    /// Actors that fall though nobody injected it.
    Panics,
    /// Peers that come back with an empty disk.
    LostDisks,
}
