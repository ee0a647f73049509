//! Raft consensus as supervised, message-passing actors.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod actor;
pub mod config;
pub mod error;
pub mod machine;
pub mod observe;
pub mod raft;
pub mod storage;
pub mod transport;

pub use config::Config;
