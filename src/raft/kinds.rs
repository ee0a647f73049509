//! The names that events, faults and commands give to roles, actors and messages.

use std::fmt;

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum $kind {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $kind {
            /// All of them, in order.
            pub const ALL: &[$kind] = &[$($kind::$variant),*];

            /// Its name in traces, logs and commands.
            pub fn name(self) -> &'static str {
                match self {
                    $($kind::$variant => $name,)*
                }
            }

            /// The one of that name.
            pub fn from_name(name: &str) -> Option<$kind> {
                $kind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use names;

names! {
    /// The four roles a peer can hold.
    RoleKind {
        /// Follows a leader, or waits for one.
        Follower = "follower",
        /// Asks whether a campaign could be won (thesis §9.6).
        PreCandidate = "pre-candidate",
        /// Campaigns for a term.
        Candidate = "candidate",
        /// Leads a term.
        Leader = "leader",
    }
}

names! {
    /// The actors of a peer, as supervision and fault injection name them.
    ActorKind {
        /// The peer itself: routes and supervises.
        Peer = "peer",
        /// The role it holds, whichever it is.
        Role = "role",
        /// One of the leader's replicators.
        Replicator = "replicator",
        /// The timer.
        Timer = "timer",
        /// The storage.
        Storage = "storage",
        /// The state machine.
        Machine = "machine",
    }
}

names! {
    /// The messages that pass between peers, as fault rules name them.
    MessageKind {
        /// A canvass (thesis §9.6).
        PreVote = "pre-vote",
        /// Its answer.
        PreVoted = "pre-voted",
        /// A request for a vote (§5.2).
        RequestVote = "request-vote",
        /// Its answer.
        Voted = "voted",
        /// Entries for the log (§5.3).
        AppendEntries = "append-entries",
        /// AppendEntries without entries: a sign of life.
        Heartbeat = "heartbeat",
        /// The answer to either.
        Appended = "appended",
        /// A piece of a snapshot (§7).
        InstallSnapshot = "install-snapshot",
        /// Its answer.
        ChunkTaken = "chunk-taken",
        /// The order to campaign at once (thesis §3.10).
        TimeoutNow = "timeout-now",
    }
}
