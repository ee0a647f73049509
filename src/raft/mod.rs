//! The paper: consensus as plain rules, without actors, clocks, disks or sockets.
//!
//! "§" refers to *In Search of an Understandable Consensus Algorithm* (Ongaro and Ousterhout, the
//! extended version), "thesis §" to Ongaro's *Consensus: Bridging Theory and Practice*. Read the files
//! in this order: [`types`], [`message`], [`quorum`], [`membership`], [`log`], [`state`], [`role`],
//! [`mail`], then the rules: [`follower`], [`pre_candidate`], [`candidate`], [`leader`] (with
//! [`reads`], catching up and the transfer of leadership in files of their own), and last [`progress`].
//!
//! # Figure 2 as a grid
//!
//! Each role is a type, and each cell of the grid is an `impl Receive<Message> for Role`: a role's
//! list of implementations is its column. Where there is a dash there is no implementation, so that
//! an unwanted message does not compile.
//!
//! | message | Follower | PreCandidate | Candidate | Leader |
//! |---|---|---|---|---|
//! | `Tick` | canvass when its deadline has passed | canvass anew | canvass anew | heartbeat; step down when no quorum was heard for an election timeout |
//! | `PreVote` | grant only if no leader was heard lately | grant or deny | grant or deny | deny |
//! | `RequestVote` | grant or deny | grant and follow, or deny | deny | deny |
//! | `AppendEntries` | accept or refuse | yield to Follower, which gets it | yield | refuse, keep leading, `Violation` |
//! | `Installed` | install | yield | yield | refuse, keep leading, `Violation` |
//! | `PreVoted` / `Voted` | - | count | count; a majority leads | - |
//! | `TimeoutNow` | campaign at once | campaign | - | - |
//! | `Matched` `Refused` `Pull` `Receiving` (replicators) | - | - | - | advance commit; back up; feed; keep the log |
//! | `Propose` `ReadIndex` `Transfer` | redirect | redirect | redirect | append; confirm and read; hand over |
//!
//! The rules for all servers stand once, in [`settle`], before any role sees a message, with four
//! exceptions: a canvass and its grant never change a term; a `RequestVote` that would depose a living
//! leader is refused before terms are compared, unless that leader asked for it; a stale *request* is
//! answered with our term and only a stale *reply* is dropped; `TimeoutNow` counts only from the
//! leader of the present term.
//!
//! A candidate whose time is up canvasses before it raises its term again (the plain paper would
//! campaign at once, and does with [`Config::pre_vote`](crate::Config::pre_vote) off): a peer that is
//! cut off in the middle of a campaign must not raise its term for ever either.
//!
//! # The five properties of Figure 3
//!
//! * **Election Safety**: at most one leader in a term. A role actor lives as long as one peer holds
//!   one role in one term; a vote is set at most once in it, counts only once it is durable, and is
//!   counted in [`quorum`] alone.
//! * **Leader Append-Only**: a leader has no way to its log but `append`.
//! * **Log Matching**: `Log::check` and `Log::splice` are the only way into a follower's log.
//! * **Leader Completeness**: votes go to logs at least as up-to-date (`Position` is ordered for it),
//!   and only entries of the leader's own term are committed by counting.
//! * **State Machine Safety**: the commit index never rises beyond what is known to match, nor, on any
//!   peer, beyond what is durable there.
//!
//! # Dry and total
//!
//! Rules have no context, clock, disk, socket, error or await. Time is
//! [`State::now_ms`], written by whoever runs them; chance is a seeded stream in the [`State`]; a disk
//! that fails ends the actor, never a rule. What they want to say goes into an [`Outbox`]: `early` may
//! leave before our own disk has synced, everything that promises durability leaves after.

pub mod candidate;
mod catch_up;
mod common;
pub mod data;
pub mod dry;
pub mod event;
pub mod follower;
pub(crate) mod kinds;
pub mod leader;
pub(crate) mod leaving;
pub mod log;
pub mod mail;
pub mod membership;
pub mod message;
pub mod port;
pub mod pre_candidate;
pub mod progress;
pub mod quorum;
pub mod reads;
pub mod role;
pub mod state;
mod transfer;
pub mod types;
mod why;

#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use data::Data;
pub use event::{ActorKind, Event, MessageKind, RoleKind, Value, Why};
pub use follower::Follower;
pub use leader::{Leader, Order};
pub use log::{Log, Record};
pub use mail::{Claim, Mail, Settled, settle};
pub use membership::Membership;
pub use message::*;
pub use port::{Listener, Outcome, Port, Reply};
pub use pre_candidate::{Canvass, PreCandidate};
pub use role::{
    AnyRole, Letter, Letters, Next, Nothing, Outbox, Receive, Role, Succession, Waiting, Work, depose,
};
pub use state::{Identity, State};
pub use types::{Batch, Command, Index, PeerId, Position, Term};
