//! Raft
pub mod config;
pub mod error;
pub mod raft;
pub use config::Config;
