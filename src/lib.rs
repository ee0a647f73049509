//! Raft consensus as supervised, message-passing actors.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod actor;
pub mod client;
pub mod cluster;
pub mod config;
pub mod error;
pub mod machine;
pub mod observe;
pub mod raft;
pub mod storage;
pub mod transport;

pub use client::{Client, Consistency, Session};
pub use cluster::{Builder, Cluster};
pub use config::Config;
