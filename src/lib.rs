//! Raft consensus as supervised, message-passing actors.
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod config;
pub mod error;
pub mod machine;
pub mod observe;
pub mod raft;
pub mod storage;
pub mod transport;

pub use config::Config;
