//! Why things happen, in words: an enum, rendered only when somebody reads it.

use std::fmt;

macro_rules! whys {
    ($($(#[$doc:meta])* $why:ident = $text:literal,)*) => {
        /// Why something happened.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Why {
            $(#[doc = $text] $(#[$doc])* $why,)*
        }

        impl Why {
            /// The reason in words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Why::$why => $text,)*
                }
            }
        }
    };
}

whys! {
    Started = "the peer started",
    Restarted = "a fallen actor was rebuilt",
    HeardNoLeader = "no leader was heard for an election timeout",
    HeardNoQuorum = "no quorum was heard for an election timeout",
    NoMajorityInTime = "no majority answered in time",
    MajorityWilling = "a majority would vote for us",
    MajorityVoted = "a majority voted for us",
    LeaderAsked = "the leader handed over",
    NewerTerm = "a newer term was seen",
    LeaderOfTerm = "the leader of this term was heard",
    LogUpToDate = "the log is at least as up-to-date as ours",
    LogBehind = "the log is behind ours",
    VotedForAnother = "we voted for another in this term",
    LeaderAlive = "a leader is alive",
    StaleTerm = "the term is over",
    NotAVoter = "we are not a voter",
    FirstMembership = "the cluster begins",
    FirstOfTerm = "a new leader commits in its own term",
    Proposed = "a client proposed",
    LeaderSent = "the leader sent it",
    Conflict = "the leader's log says otherwise",
    Missing = "the log does not reach there",
    Backlog = "the machine is too far behind",
    QuorumHolds = "a quorum holds it",
    LeaderCommitted = "the leader committed it",
    QuorumEchoed = "a quorum answered the round",
    WasCommitted = "it is committed",
    EndOfTurn = "the turn ended",
    Recovery = "the peer recovers",
    Policy = "enough was applied since the last",
    Requested = "it was asked for",
    FollowerBehind = "the log no longer reaches back to the follower",
    SnapshotCovers = "a snapshot covers it",
    Arrived = "it arrived",
    CutByRule = "a fault rule cuts the link",
    LostByRule = "a fault rule loses it",
    DelayedByRule = "a fault rule delays it",
    OvertakenByRule = "a fault rule lets later ones overtake it",
    DoubledByRule = "a fault rule doubles it",
    PeerDown = "the peer is down",
    Healed = "the fault is over",
    Injected = "it was injected",
    Panicked = "it panicked",
    Ended = "it ended unexpectedly",
    ParentFell = "what it depends on fell",
    Silence = "it heard nothing for too long",
    CaughtUp = "the target holds the whole log",
    TransferTimedOut = "the target did not take over in time",
    FailedTwice = "the same entry failed twice",
    AllPoisoned = "no healthy peer can lead",
    NoProgress = "restarts brought no progress",
    DiskFailed = "the disk failed",
    NoRoom = "the disk has no room for more entries",
    RoomMade = "the disk has room for more entries",
    TargetUnfit = "the target can not lead as it should either",
    NoNeed = "the reason to hand over is gone",
    AnotherCluster = "it belongs to another cluster",
    AnotherMembership = "its cluster began with other peers",
    SameId = "it has the same id",
    AnotherDisk = "it came back with another disk",
    OtherLimits = "it goes by other limits",
    UnknownPeer = "the cluster has no peer of its id",
    Unreachable = "it can't be reached",
    Reached = "it answered",
    BadCredentials = "it did not prove to be who it says it is",
    NotWelcome = "it is not welcome as it came",
    TooMany = "there are too many of them",
    NotIntroduced = "they have not been introduced",
    NeverSynced = "it was never synced",
    Stopped = "the peer was stopped",
    SlowDisk = "a sync took a quarter of the election timeout or more",
    SecondLeader = "another peer claims to lead our term",
    BelowCommit = "it contradicts what is committed",
    Malformed = "its entries do not follow one another",
    Implausible = "its term or index is out of all proportion",
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
