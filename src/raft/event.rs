//! Everything that can happen, one line each: the alphabet of the house.
//!
//! An [`Event`] is a line to print, a record in the log of a running peer, the golden text of a
//! story, the input of the invariants. It carries a [`Why`], a name in the past tense, and never a
//! payload: only positions and lengths.

use std::{borrow::Cow, fmt};

use super::types::{Index, PeerId, Position, Term};
pub use super::{
    kinds::{ActorKind, MessageKind, RoleKind},
    why::Why,
};

/// The value of one field of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A count, an id, a term, an index, a time.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Anything else, as it is printed.
    Text(Cow<'static, str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

macro_rules! values {
    ($($type:ty: $value:ident => $make:expr;)*) => {
        $(impl From<&$type> for Value {
            fn from($value: &$type) -> Value {
                $make
            }
        })*
    };
}

values! {
    u64: it => Value::Number(*it);
    usize: it => Value::Number(*it as u64);
    bool: it => Value::Flag(*it);
    PeerId: it => Value::Number(it.0);
    Term: it => Value::Number(it.0);
    Index: it => Value::Number(it.0);
    Position: it => Value::Text(it.to_string().into());
    String: it => Value::Text(it.clone().into());
    RoleKind: it => Value::Text(it.name().into());
    ActorKind: it => Value::Text(it.name().into());
    MessageKind: it => Value::Text(it.name().into());
}

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        /// One thing that happened to one peer.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[$doc])* $event {
                $($(#[$field_doc])* $field: $type,)*
                /// Why it happened.
                why: Why,
            },)*
        }

        impl Event {
            /// The names of all events, in the order of the alphabet.
            pub const NAMES: &[&'static str] = &[$(stringify!($event)),*];

            /// The name of the event.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Event::$event { .. } => stringify!($event),)*
                }
            }

            /// Why it happened.
            pub fn why(&self) -> Why {
                match self {
                    $(Event::$event { why, .. })|* => *why,
                }
            }

            /// Shows each field but the `why`, in order.
            pub fn fields(&self, show: &mut dyn FnMut(&'static str, Value)) {
                match self {
                    $(Event::$event { $($field,)* .. } => {
                        $(show(stringify!($field), Value::from($field));)*
                    })*
                }
                let _ = show;
            }
        }
    };
}

events! {
    // Roles and elections.
    /// It asked the voters whether it could win a campaign.
    Canvassed {
        /// The term it would campaign in.
        next: Term,
    }
    /// It raised its term and asked for votes.
    Campaigned { /** The end of its log. */ last: Position, }
    /// It answered a canvass.
    PreVoted {
        /// Who canvassed.
        candidate: PeerId,
        /// Whether it would vote for it.
        granted: bool,
    }
    /// It answered a request for its vote.
    Voted {
        /// Who campaigned.
        candidate: PeerId,
        /// Whether it voted for it.
        granted: bool,
    }
    /// It saw a newer term and followed into it.
    TermChanged { /** The term before. */ from: Term, }
    /// It won the election of its term.
    Elected { /** The end of its log. */ last: Position, }
    /// It laid leadership down.
    SteppedDown { /** The end of its log. */ last: Position, }
    /// A follower came to know its leader.
    Following { /** The leader. */ leader: PeerId, }

    // The log.
    /// Entries were appended.
    Appended {
        /// The first of them.
        first: Index,
        /// The last of them.
        last: Position,
        /// Their weight, in bytes.
        bytes: usize,
    }
    /// The end of the log was removed.
    Truncated { /** The first entry that went. */ from: Index, }
    /// A leader's entries were refused.
    Refused {
        /// The entry before them.
        prev: Position,
        /// Where the leader may try next.
        hint: Index,
    }
    /// The commit index moved up.
    Committed { /** To here. */ index: Index, }
    /// Entries were applied to the machine.
    Applied {
        /// The first of them.
        first: Index,
        /// The last of them.
        last: Index,
    }
    /// The front of the log was removed.
    Compacted { /** The last entry that went. */ upto: Position, }
    /// A membership came into force.
    MembershipChanged {
        /// Its entry.
        index: Index,
        /// Who belongs to it.
        members: String,
    }

    // The disk.
    /// A sync began.
    SyncBegun { /** How many records it makes durable. */ records: usize, }
    /// The sync ended: all of them are durable.
    Synced {
        /// How many records it made durable.
        records: usize,
        /// How long it took, in milliseconds of the peer's clock.
        took_ms: u64,
        /// The last entry that is durable now.
        durable: Position,
    }
    /// Records that were never synced did not survive.
    TailLost {
        /// How many records were under way.
        records: usize,
        /// How many of them survived.
        kept: usize,
        /// Whether the next was torn.
        torn: bool,
    }
    /// What is durable was read back.
    Replayed {
        /// The end of the log.
        last: Position,
        /// The vote in this term; 0 is none.
        vote: PeerId,
        /// The last entry that a snapshot covers.
        snapshot: Position,
    }

    /// The disk has no room for more entries, but for terms, votes and a new leader's no-op.
    DiskFull { /** The end of the log. */ last: Position, }
    /// The disk has room again.
    RoomAgain { /** The end of the log. */ last: Position, }

    // Snapshots.
    /// A snapshot of the machine was begun.
    SnapshotBegun { /** What it covers. */ at: Position, }
    /// The snapshot is durable.
    SnapshotTaken {
        /// What it covers.
        at: Position,
        /// Its size.
        bytes: u64,
    }
    /// A leader began to send a snapshot.
    SnapshotSent {
        /// To whom.
        to: PeerId,
        /// What it covers.
        at: Position,
        /// Its size.
        bytes: u64,
    }
    /// A leader's snapshot took the place of the log.
    SnapshotInstalled {
        /// What it covers.
        at: Position,
        /// Whether entries behind it stayed.
        kept: bool,
    }
    /// The machine was rebuilt from a snapshot.
    Restored { /** The last entry it knows. */ applied: Index, }

    // Reads and transfer.
    /// Reads were confirmed and passed to the machine.
    ReadsConfirmed {
        /// How many.
        count: usize,
        /// What the machine must have applied to answer them.
        index: Index,
    }
    /// A transfer of leadership began.
    TransferBegun { /** To whom. */ to: PeerId, }
    /// The target was told to campaign.
    TransferOrdered { /** To whom. */ to: PeerId, }
    /// The transfer was given up; the leader goes on.
    TransferAbandoned { /** To whom. */ to: PeerId, }

    // Messages.
    /// A message left.
    Sent {
        /// What it was.
        kind: MessageKind,
        /// To whom.
        to: PeerId,
        /// What it said, in brief.
        what: String,
    }
    /// A message arrived.
    Received {
        /// What it was.
        kind: MessageKind,
        /// From whom.
        from: PeerId,
        /// What it said, in brief.
        what: String,
    }
    /// A message was lost.
    Dropped {
        /// What it was.
        kind: MessageKind,
        /// To whom it was sent.
        to: PeerId,
    }
    /// A message takes longer, because a fault rule says so.
    Delayed {
        /// What it was.
        kind: MessageKind,
        /// To whom it was sent.
        to: PeerId,
        /// By how much longer, in milliseconds.
        ms: u64,
    }
    /// A message will arrive a second time.
    Doubled {
        /// What it was.
        kind: MessageKind,
        /// To whom it was sent.
        to: PeerId,
    }

    // Faults, crashes and recovery.
    /// A fault rule came into force.
    FaultBegun { /** The rule. */ rule: String, }
    /// A fault rule was lifted.
    FaultEnded { /** The rule. */ rule: String, }
    /// An actor fell.
    Crashed {
        /// Which one.
        actor: ActorKind,
        /// What it said, if it panicked.
        cause: String,
        /// Whether a sync of this peer was under way.
        during_sync: bool,
    }
    /// A fallen actor is back and works.
    Recovered {
        /// Which one.
        actor: ActorKind,
        /// Restarts without progress so far.
        restarts: u64,
    }
    /// Actors stand still for a while.
    Stalled {
        /// Which ones.
        actor: ActorKind,
        /// For how long, in milliseconds.
        ms: u64,
    }
    /// Actors are slow: each poll is put off. Told once more when they are not any more.
    Slowed {
        /// Which ones.
        actor: ActorKind,
        /// By how much each poll is put off, in milliseconds; 0: not any more.
        ms: u64,
    }
    /// The peer's clock runs at another rate.
    ClockSkewed { /** In thousandths of the cluster's. */ per_mille: u64, }
    /// The peer's power was cut.
    Killed { /** Whether a sync was under way. */ during_sync: bool, }
    /// The peer is up.
    Opened { /** How many times before. */ incarnation: u64, }
    /// The peer stopped and will not come back by itself.
    PeerStopped { /** What happened. */ cause: String, }
    /// The machine can't apply an entry.
    Poisoned { /** The entry. */ index: Index, }
    /// The machine applies again.
    Healthy { /** The last entry it applied. */ applied: Index, }
    /// Another peer is not who it should be: it is not listened to.
    TurnedAway {
        /// Who it says it is.
        who: PeerId,
        /// What was expected, what came, and what to do.
        what: String,
    }
    /// Another peer is reached over the network.
    PeerUp { /** Which peer. */ other: PeerId, /** Where it listens. */ address: String, }
    /// Another peer is not reached, or not any more. Told once until it is reached again, and once more if it then is
    /// there and refuses.
    PeerDown {
        /// Which peer.
        other: PeerId,
        /// Where it should listen.
        address: String,
        /// What came in between.
        cause: String,
    }
    /// A connection was turned away, and so many like it since this was last told.
    ConnectionRefused {
        /// From where it came.
        from: String,
        /// What was wrong with it.
        what: String,
        /// How many.
        count: u64,
    }
    /// A replicator heard nothing and was replaced.
    Renewed { /** Whose. */ to: PeerId, }
    /// Something is not as it should be, yet harmless.
    Warned { /** What. */ what: String, }
    /// A peer broke the protocol: what it sent was refused.
    Violation {
        /// Which peer.
        by: PeerId,
        /// What it did.
        what: String,
    }
}

/// `Committed index=7: a quorum holds it`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut result = Ok(());
        self.fields(&mut |name, value| {
            if result.is_ok() {
                result = write!(f, " {name}={value}");
            }
        });
        result?;
        write!(f, ": {}", self.why())
    }
}
