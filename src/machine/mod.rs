//! What is replicated: state machines, in three forms.
//!
//! A closure for the simplest ([`closure()`]), one trait for the rest ([`StateMachine`]), and an
//! actor of your own if you want one (`actor::custom`). Two are ready made: [`Kv`], a key-value
//! store, and [`Discard`], which measures everything but itself.
//!
//! Below this room everything is bytes, and this is where they become types, in this order:
//!
//! ```text
//! entry ── envelope ──┬── session ──┬── erased ── codec ── StateMachine
//!          what is    │   is it its │   bytes     types
//!          it?        │   turn?     │
//!                     └── plain ────┘
//! ```
//!
//! All of it is pure: no actor, no clock, no chance, no I/O, so that every peer that is fed the
//! same log comes to the same state and the same answers. `actor/machine.rs` runs it.

use std::io::{self, Read};

pub mod closure;
pub mod codec;
pub mod discard;
pub mod envelope;
pub mod erased;
pub mod kv;
mod lent;
pub mod session;
pub(crate) mod wrapping;

pub use closure::closure;
pub use codec::{Codec, CodecError, Raw};
pub use discard::Discard;
pub use envelope::Envelope;
pub use erased::{AnyMachine, Typed};
pub use kv::Kv;
pub use lent::Lent;
pub use session::{Admission, SessionId, Sessions};

use crate::{raft::Position, storage::SnapshotWriter};

/// A deterministic state machine: the same commands in the same order lead to the same state and
/// the same answers, on every peer. No clock, no chance, no I/O in `apply`.
pub trait StateMachine: Send + 'static {
    /// What changes the state.
    type Command: Codec;
    /// What a command is answered.
    type Answer: Codec;
    /// A question that changes nothing.
    type Query: Codec;
    /// What a query is answered.
    type Response: Codec;

    /// Applies one command. Commands come in the order of the log, each once.
    ///
    /// A panic here is a crash of the machine's actor: it is rebuilt from the last snapshot, and
    /// the same command is tried once more. If it fails again the peer is *poisoned* at this entry.
    fn apply(&mut self, at: Position, command: Self::Command) -> Self::Answer;

    /// Applies one command that is still in its bytes, which the log keeps. Nearly every machine leaves this as it is:
    /// the command is decoded and [applied](Self::apply). A machine of [`Raw`] commands that keeps none of their bytes
    /// does what `apply` does, here as well, and need not [share](Lent::share) them first.
    ///
    /// # Errors
    /// It does not decode: nothing changed, and every peer finds the same.
    fn apply_lent(&mut self, at: Position, command: Lent<'_>) -> Result<Self::Answer, CodecError> {
        Ok(self.apply(at, Self::Command::decode_lent(command)?))
    }

    /// Answers a question from the present state.
    fn query(&self, query: Self::Query) -> Self::Response;

    /// Takes a cheap view of the present state, which is written on another thread while the
    /// machine goes on.
    fn snapshot(&self) -> SnapshotWriter;

    /// Replaces the state by what [`StateMachine::snapshot`] wrote.
    ///
    /// # Errors
    /// It can't be read: the peer stops.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;
}

/// The four types in which clients and a machine speak to each other. Every [`StateMachine`] has
/// them; an actor in a machine's place names them itself.
pub trait Interface: Send + 'static {
    /// What changes the state.
    type Command: Codec;
    /// What a command is answered.
    type Answer: Codec;
    /// A question that changes nothing.
    type Query: Codec;
    /// What a query is answered.
    type Response: Codec;
}

impl<M: StateMachine> Interface for M {
    type Command = M::Command;
    type Answer = M::Answer;
    type Query = M::Query;
    type Response = M::Response;
}
