//! Peers on other machines, and their clients: Cap'n Proto RPC over TCP, or over TLS.
//!
//! What is said is in `schema/messages.capnp`, for readers of any language. How it is said here:
//!
//! ```text
//!   another peer ──┐                                        ┌── lanes (remote) ── another peer
//!   a client ──────┤ server ── reception ─┬─ raft_service ──┤
//!   an operator ───┘   │       handshake  ├─ client_service  │ the Local network of this process,
//!                      │                  └─ admin_service   │ with its weather
//!        vat: frame, meter, budget, turnstile     watch     │
//!                                                            └── the peers of this process
//! ```
//!
//! * **In.** [`serve`] listens. Each connection has a task and a `Vat` of its own, which bounds what it may
//!   cost; its handshake hands out what its guest may ask. Requests of other peers go through the
//!   [`Local`](super::local::Local) network of this process, as if they came from within: so the same fault rules
//!   are about them, and a cluster may have peers in one process and in others.
//! * **Out.** [`reach`] makes a postbox for another peer: what it is sent travels on two lanes, one for what is short and
//!   one for what is long, each an actor that keeps its connection and begins anew when it is lost.
//! * **Clients** of this language call through a [`Caller`], which shares calls among all that ask at a time.
//!
//! Nobody waits inside a call for anything but an actor's answer, and every wait has an end: capnp-rpc has no deadlines
//! and no bounds, so they are all here. Its types are bound to one thread: they never leave this room, and what is used
//! elsewhere is an address.
//!
//! # Who may do what
//!
//! With TLS a certificate says who its bearer is (see `tls`): a peer, a client, an operator. Without it nobody can be told
//! from anybody: whoever reaches the port may do everything, also pose as a peer that nobody has met yet. So plaintext
//! stays on this machine, unless it is asked for by name.

mod admin_service;
mod budget;
mod caller;
mod client_service;
mod codec;
mod dial;
mod frame;
mod handshake;
mod house;
mod line;
mod manners;
mod meter;
mod operator;
mod pace;
mod raft_service;
mod reception;
mod remote;
mod server;
mod status;
mod tls;
mod turnstile;
mod vat;
mod watch;

pub use caller::{Caller, CallerPlan, Known, Proposal};
pub use dial::Security;
pub use house::Open;
pub use operator::{OperatorError, RemoteEvent, Watched};
pub use remote::{LaneStart, RemotePostbox, Route, reach};
pub use server::serve;
pub use status::{PeerReport, PeerView};
pub use tls::{Tls, TlsError};

/// What `schema/messages.capnp` says, in Rust: generated.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
pub(crate) mod messages_capnp {
    include!("../../schema/messages_capnp.rs");
}

#[cfg(test)]
mod tests;
