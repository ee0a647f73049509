//! Peers on other machines, and their clients: Cap'n Proto RPC over TCP, or over TLS.

mod tls;

pub use tls::{Tls, TlsError};

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used
)]
pub mod messages_capnp {
    include!("../../schema/messages_capnp.rs");
}
