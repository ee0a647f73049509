//! The simplest state machine: a value, and a function that changes it.
//!
//! The value is the whole state. Snapshots, restoring and queries need no code of yours: the value
//! is cloned and encoded, a query is `()`, and its response the value itself.
//!
//! That has a price worth knowing: a query copies the state, and a snapshot clones it while
//! commands wait. For a state of megabytes write a [`StateMachine`].

use std::{
    fmt,
    io::{self, Read},
    marker::PhantomData,
};

use bytes::Bytes;

use super::{
    StateMachine,
    codec::{Codec, to_bytes},
};
use crate::{raft::Position, storage::SnapshotWriter};

/// A state machine from a value and a function that changes it.
///
/// Keep all state in the value. What the function captures and changes by itself is in no
/// snapshot, so that peers would part ways after the first one.
///
/// ```
/// use raft_actors::machine::{StateMachine, closure};
/// use raft_actors::raft::Position;
///
/// let mut highest = closure(0, |highest: &mut u64, bid: u64| {
///     *highest = bid.max(*highest);
///     *highest
/// });
/// assert_eq!(highest.apply(Position::new(1, 2), 30), 30);
/// assert_eq!(highest.apply(Position::new(1, 3), 20), 30);
/// assert_eq!(highest.query(()), 30);
/// ```
pub fn closure<S, C, A, F>(initial: S, apply: F) -> Closure<S, C, A, F>
where
    S: Codec + Clone,
    C: Codec,
    A: Codec,
    F: FnMut(&mut S, C) -> A + Send + 'static,
{
    Closure { state: initial, apply, speaks: PhantomData }
}

/// What [`closure()`] makes.
pub struct Closure<S, C, A, F> {
    state: S,
    apply: F,
    speaks: PhantomData<fn(C) -> A>,
}

impl<S, C, A, F> Closure<S, C, A, F> {
    /// The present state.
    pub fn state(&self) -> &S {
        &self.state
    }
}

/// The state may be anybody's secret: only its type is shown.
impl<S, C, A, F> fmt::Debug for Closure<S, C, A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closure over {}", std::any::type_name::<S>())
    }
}

impl<S, C, A, F> StateMachine for Closure<S, C, A, F>
where
    S: Codec + Clone,
    C: Codec,
    A: Codec,
    F: FnMut(&mut S, C) -> A + Send + 'static,
{
    type Command = C;
    type Answer = A;
    type Query = ();
    type Response = S;

    fn apply(&mut self, _: Position, command: C) -> A {
        (self.apply)(&mut self.state, command)
    }

    fn query(&self, (): ()) -> S {
        self.state.clone()
    }

    fn snapshot(&self) -> SnapshotWriter {
        let state = self.state.clone();
        Box::new(move |into| into.write_all(&to_bytes(&state).map_err(io::Error::other)?))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        self.state = S::decode(Bytes::from(bytes)).map_err(invalid)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum() -> impl StateMachine<Command = u64, Answer = u64, Query = (), Response = u64> {
        closure(0, |total: &mut u64, add: u64| {
            *total += add;
            *total
        })
    }

    #[test]
    fn a_snapshot_is_the_state_when_it_was_taken() {
        let mut machine = sum();
        machine.apply(Position::new(1, 1), 300);
        let snapshot = machine.snapshot();
        machine.apply(Position::new(1, 2), 1);

        let mut bytes = Vec::new();
        snapshot(&mut bytes).unwrap();
        let mut other = sum();
        other.restore(&mut bytes.as_slice()).unwrap();
        assert_eq!((machine.query(()), other.query(())), (301, 300));
    }

    #[test]
    fn garbage_is_refused_and_changes_nothing() {
        let mut machine = sum();
        machine.apply(Position::new(1, 1), 5);
        for garbage in [&[][..], &[0xff], &[1, 2]] {
            let error = machine.restore(&mut &garbage[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(machine.query(()), 5);
    }

    #[test]
    fn the_state_is_not_shown() {
        let machine = closure(4_711, |_: &mut u64, (): ()| ());
        assert_eq!(format!("{machine:?}"), "Closure over u64");
    }
}
