//! The paper.
pub mod candidate;
pub mod common;
pub mod dry;
pub mod event;
pub mod follower;
pub mod leader;
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

#[cfg(test)]
mod tests;

pub use event::{ActorKind, Event, MessageKind, RoleKind, Value, Why};
pub use log::{Log, Record};
pub use mail::*;
pub use membership::Membership;
pub use message::*;
pub use port::{Outcome, Port, Reply};
pub use role::*;
pub use state::{Identity, State};
pub use types::{Batch, Command, Index, PeerId, Position, Term};
