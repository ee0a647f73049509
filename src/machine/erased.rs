//! A state machine without its types, as the actor that runs it sees it: bytes in, bytes out.
//!
//! The actors below a typed client are the same for every machine. [`Typed`] puts a
//! [`StateMachine`] behind [`AnyMachine`], and is the one place where bytes become commands and
//! answers become bytes. Whatever comes in may be garbage, and is refused; what goes out was made
//! by the machine itself, so an answer that has no encoding is a mistake in the program.

use std::{
    any::type_name,
    io::{self, Read},
};

use bytes::Bytes;

use super::{
    Lent, StateMachine,
    codec::{Codec, CodecError, to_bytes},
};
use crate::{raft::Position, storage::SnapshotWriter};

/// A state machine that speaks bytes.
pub trait AnyMachine: Send {
    /// Applies one command, and appends its answer to `answer`.
    ///
    /// # Errors
    /// The command does not decode: nothing changed, and every peer finds the same.
    ///
    /// # Panics
    /// If the machine panics, or if its answer has no encoding. Both are mistakes in the machine.
    fn apply(&mut self, at: Position, command: Lent<'_>, answer: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Answers a question from the present state.
    ///
    /// # Errors
    /// The query does not decode, or the response has no encoding. The latter is a mistake in the
    /// machine, but unlike a command a query can be refused without harm.
    ///
    /// # Panics
    /// If the machine panics.
    fn query(&self, query: Bytes) -> Result<Bytes, CodecError>;

    /// See [`StateMachine::snapshot`].
    fn snapshot(&self) -> SnapshotWriter;

    /// See [`StateMachine::restore`].
    ///
    /// # Errors
    /// It can't be read: the peer stops.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;
}

/// A [`StateMachine`] as an [`AnyMachine`].
///
/// ```
/// use raft_actors::machine::{AnyMachine, Codec, Lent, Typed, closure, codec};
/// use raft_actors::raft::Position;
///
/// let counter = closure(0, |total: &mut u64, add: u64| {
///     *total += add;
///     *total
/// });
/// let mut machine: Box<dyn AnyMachine> = Box::new(Typed(counter));
/// let mut answer = Vec::new();
/// machine.apply(Position::new(1, 2), Lent::from(&codec::to_bytes(&5_u64)?), &mut answer)?;
/// assert_eq!(u64::decode(answer.into())?, 5);
/// # Ok::<(), raft_actors::machine::CodecError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Typed<M>(pub M);

impl<M: StateMachine> AnyMachine for Typed<M> {
    fn apply(&mut self, at: Position, command: Lent<'_>, answer: &mut Vec<u8>) -> Result<(), CodecError> {
        if let Err(error) = self.0.apply_lent(at, command)?.encode(answer) {
            // The command has been applied: to answer anything else would be a lie.
            panic!(
                "{machine}: the answer to the command at {at} can't be encoded ({error}): \
                 its type {answer} needs another Codec",
                machine = type_name::<M>(),
                answer = type_name::<M::Answer>(),
            );
        }
        Ok(())
    }

    fn query(&self, query: Bytes) -> Result<Bytes, CodecError> {
        to_bytes(&self.0.query(M::Query::decode(query)?))
    }

    fn snapshot(&self) -> SnapshotWriter {
        self.0.snapshot()
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.0.restore(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;
    use crate::machine::{Kv, closure, kv};

    /// Speaks of nothing.
    #[derive(Debug)]
    struct Mute;

    impl Codec for Mute {
        fn encode(&self, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Err(CodecError::new::<Mute>("it has no bytes"))
        }

        fn decode(_: Bytes) -> Result<Mute, CodecError> {
            Ok(Mute)
        }
    }

    struct Silent;

    impl StateMachine for Silent {
        type Command = u64;
        type Answer = Mute;
        type Query = u64;
        type Response = Mute;

        fn apply(&mut self, _: Position, _: u64) -> Mute {
            Mute
        }

        fn query(&self, _: u64) -> Mute {
            Mute
        }

        fn snapshot(&self) -> SnapshotWriter {
            Box::new(|_| Ok(()))
        }

        fn restore(&mut self, _: &mut dyn Read) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_without_encoding_is_a_loud_mistake_of_the_machine() {
        let mut machine = Typed(Silent);
        let command = to_bytes(&1_u64).unwrap();
        let apply = catch_unwind(AssertUnwindSafe(|| {
            machine.apply(Position::new(3, 7), Lent::from(&command), &mut Vec::new())
        }));
        let message = *apply.unwrap_err().downcast::<String>().unwrap();
        for part in ["Silent", "7@3", "Mute", "it has no bytes"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(machine.query(command).unwrap_err().expected.contains("Mute"));
    }

    #[test]
    fn what_does_not_decode_changes_nothing() {
        let mut machine = Typed(closure(7, |total: &mut u64, add: u64| *total += add));
        let two = Bytes::from_static(&[1, 2]);
        assert!(machine.apply(Position::new(1, 1), Lent::from(&two), &mut Vec::new()).is_err());
        assert!(machine.query(Bytes::from_static(&[0])).is_err());
        assert_eq!(*machine.0.state(), 7);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage: Vec<u8>) {
            let mut machine = Typed(Kv::default());
            let garbage = Bytes::from(garbage);
            let _ = machine.apply(Position::new(1, 1), Lent::from(&garbage), &mut Vec::new());
            let _ = machine.query(garbage);
        }

        #[test]
        fn types_survive_the_way_through_bytes(key: Vec<u8>, value: Vec<u8>) {
            let mut machine = Typed(Kv::default());
            let set = to_bytes(&kv::Command::set(key.clone(), value.clone())).unwrap();
            let mut answer = Vec::new();
            machine.apply(Position::new(1, 1), Lent::from(&set), &mut answer).unwrap();
            prop_assert_eq!(kv::Answer::decode(answer.into()).unwrap(), kv::Answer::Before(None));
            let get = to_bytes(&kv::Query::get(key)).unwrap();
            let response = machine.query(get).unwrap();
            prop_assert_eq!(kv::Response::decode(response).unwrap(), kv::Response::Value(Some(value.into())));
        }
    }
}
