//! Peers on other machines, and their clients: Cap'n Proto RPC over TCP, or over TLS.

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
mod meter;
mod operator;
mod pace;
mod raft_service;
mod reception;
mod remote;
mod server;
mod status;
mod tls;
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
