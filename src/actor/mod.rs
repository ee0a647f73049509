//! Who runs it: the only room that knows actix.
//!
//! ```text
//! host (one for each thread)
//!  └─ peer                     starts, presents, supervises, rebuilds
//!      ├─ role                 one actor for each role in each term: turn, sync, hand-over
//!      │   └─ replicator       one for each follower and leadership
//!      ├─ storage              one write at a time
//!      ├─ machine              applies, answers, keeps sessions, takes snapshots
//!      │   └─ an actor of the user's own, if the machine is one
//!      └─ timer                sleeps to the role's deadline
//! ```
//!
//! # Order
//!
//! A mailbox is a queue: what one sender says to one actor arrives in the order in which it was said.
//! Nothing is promised between senders. Mail for a peer (`Deliver`) reaches
//! whichever role is present, also across a hand-over: it is found at the peer's front (`role_addr`), and forwards to its
//! successor. An answer (`Answer`) reaches the very role actor that asked, or nobody.
//!
//! # Turns
//!
//! A role acts in turns: all the mail that waits, up to a limit, then one sync, then everything that
//! rests on it. Nothing is awaited inside a rule; during the sync the mailbox is shut. See
//! `role_actor`.
//!
//! # Panics
//!
//! Every actor runs under guard (`supervision`): a panic or a stop is told to its parent, which
//! rebuilds it from durable state. No state is shared between actors but figures that one of them
//! publishes ([`gauges`]), so that a crash leaves nothing half-done behind; and the log (`storage`), which goes
//! with whoever falls over it. A restart without progress
//! is counted; too many of them stop the peer.
//!
//! # Back-pressure
//!
//! Mailboxes have no bound of their own: `do_send` never fails and never waits. What is unbounded is
//! bounded before it gets there. Clients pass a door (`door`) that takes so many and no more;
//! replicators keep a window; a role takes in so much a turn and then lets others have the thread.

mod answers;
mod apply;
mod aside;
pub(crate) mod bell;
mod clock;
pub mod custom;
mod desk;
pub(crate) mod door;
mod drag;
mod early;
mod embody;
pub mod gauges;
pub(crate) mod host;
mod introductions;
mod leash;
pub(crate) mod machine;
mod orders;
pub(crate) mod own_thread;
pub(crate) mod parts;
mod peer;
mod poison;
mod postbox;
mod replicator;
mod role_actor;
mod role_addr;
mod sender;
mod sending;
mod snapshots;
mod storage;
pub(crate) mod supervision;
mod timer;
#[cfg_attr(not(feature = "capnp"), allow(dead_code, reason = "only a peer on a network keeps vigils"))]
pub(crate) mod vigil;
mod waiters;
