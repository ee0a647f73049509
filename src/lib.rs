//! Raft consensus as supervised, message-passing actors: a whole cluster in one process, live or
//! simulated on virtual time, that you can see, break, trust and extend.
//!
//! ```
//! use std::time::Duration;
//! use raft_actors::{Cluster, machine::closure, raft::ActorKind};
//!
//! // Three peers replicate a sum: a closure is the simplest state machine.
//! let sum = Cluster::of(|_| closure(0u64, |sum: &mut u64, more: u64| { *sum += more; *sum }))
//!     .simulate(7, async |cluster: Cluster<_>| {
//!         let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a leader");
//!
//!         // A session applies each command once, in order, whatever happens.
//!         let session = cluster.client().session().await?;
//!         session.propose(&40).await?;
//!         cluster.crash(leader, ActorKind::Role); // The leader's role actor panics, and heals.
//!         session.propose(&2).await?;
//!
//!         // A query sees everything that was done before it.
//!         cluster.client().query(&()).await
//!     })??;
//! assert_eq!(sum, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `simulate(seed, ..)` runs everything on this thread and on virtual time: the same seed gives the
//! same run, event by event. `start().await` in its place gives a live cluster, on threads of its own.
//!
//! # The house
//!
//! ```text
//!             lab                 storms, and an oracle that judges them
//!              │
//!        client, cluster          propose, query, sessions · start, crash, cut, watch
//!              │
//!            actor                one actor for each role, replicator, timer, storage, machine
//!   ┌──────────┼──────────┬───────────┐
//! storage   machine   transport    observe
//!   └──────────┼──────────┴───────────┘
//!            raft                 the paper: plain rules, no actors, clocks or I/O
//! ```
//!
//! Read it from below: [`raft`] is the paper, its roles and messages under the paper's names; `actor`
//! runs it; [`cluster`] puts peers together. [`machine`] is where your own state machine comes in: a
//! [closure](machine::closure()), a [trait](machine::StateMachine), or an
//! [actor of your own](actor::custom). [`storage`] is where promises are kept: in a data folder with a
//! write-ahead log, or in memory; [`transport`] carries messages, within a process or over Cap'n Proto; [`observe`] is told everything that
//! happens. [`lab`] blows storms over all of it, and judges what became of it.
//!
//! # Guarantees
//!
//! * A command is acknowledged after it was made durable on a majority, committed and applied.
//!   With [data folders](Builder::data) it survives a kill and a power cut; a disk that fails or is damaged
//!   stops its peer, and never makes it forget.
//! * What a client hears about an outcome is exact: see [`ClientError`]. Only after `Unknown` a command
//!   may have been done or not; in a [`Session`] even then it is done at most once.
//! * A query is linearizable unless it is asked for as [`Consistency::Local`].
//! * An actor that panics or stops is rebuilt from durable state; a leader never from memory. An entry
//!   that makes the machine panic twice is quarantined: the peer goes on to vote and to store, and says
//!   `Poisoned`.
//!
//! # Features
//!
//! | feature | default | what for |
//! |---|---|---|
//! | `serde` | yes | commands and answers of any serde type, in the postcard format |
//! | `capnp` | yes | peers on several machines, and their clients: `cluster::Network`, `client::Remote` |
//! | `tls` | no | mutual TLS for them |
//! | `lz4` | no | snapshots that are compressed: [`Config::compress_snapshots`] |

#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(not(raft_actors_planted))]
#[macro_use]
mod planted;
#[cfg(raft_actors_planted)]
#[macro_use]
pub mod planted;

pub mod actor;
mod binary;
pub mod client;
pub mod cluster;
pub mod config;
pub mod error;
pub mod lab;
pub mod machine;
pub mod observe;
pub mod raft;
pub mod storage;
pub mod transport;

pub use client::{Client, Consistency, Session};
pub use cluster::{Builder, Cluster};
pub use config::Config;
pub use error::{ClientError, ClusterError, ConfigError, TransferError};

/// The blocks of README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
