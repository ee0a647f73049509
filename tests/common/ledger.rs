//! The machine of the tests: a list of everything it was told, in order. Nothing that a cluster may
//! do wrong with commands, such as losing, doubling or reordering them, leaves it unchanged.

use std::io::{self, Read, Write};

use actix::{Actor, Context, Handler, MessageResult};
use raft_actors::{
    actor::custom::{ApplyBatch, Question, RestoreFrom, TakeView},
    machine::{Interface, StateMachine},
    raft::Position,
    storage::SnapshotWriter,
};

/// Panics when it is told this number, each time.
pub const POISON: u64 = u64::MAX;

/// A list of numbers. A command is answered with its place in the list, from 1; a query with all.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Ledger(pub Vec<u64>);

impl Ledger {
    fn enter(&mut self, number: u64) -> u64 {
        assert_ne!(number, POISON, "poison");
        self.0.push(number);
        self.0.len() as u64
    }

    fn view(&self) -> SnapshotWriter {
        let numbers = self.0.clone();
        Box::new(move |into: &mut dyn Write| {
            numbers.iter().try_for_each(|n| into.write_all(&n.to_le_bytes()))
        })
    }

    fn read(from: &mut dyn Read) -> io::Result<Ledger> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        Ok(Ledger(words.collect()))
    }
}

impl StateMachine for Ledger {
    type Command = u64;
    type Answer = u64;
    type Query = ();
    type Response = Vec<u64>;

    fn apply(&mut self, _: Position, number: u64) -> u64 {
        self.enter(number)
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self) -> SnapshotWriter {
        self.view()
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        *self = Ledger::read(snapshot)?;
        Ok(())
    }
}

/// The same as an actor of the user's own, in the machine's place.
#[derive(Default, Debug)]
pub struct LedgerActor(Ledger);

impl Actor for LedgerActor {
    type Context = Context<Self>;
}

impl Interface for LedgerActor {
    type Command = u64;
    type Answer = u64;
    type Query = ();
    type Response = Vec<u64>;
}

impl Handler<ApplyBatch<LedgerActor>> for LedgerActor {
    type Result = Vec<u64>;

    fn handle(&mut self, batch: ApplyBatch<LedgerActor>, _: &mut Self::Context) -> Vec<u64> {
        batch.0.into_iter().map(|(_, number)| self.0.enter(number)).collect()
    }
}

impl Handler<Question<LedgerActor>> for LedgerActor {
    type Result = Vec<u64>;

    fn handle(&mut self, _: Question<LedgerActor>, _: &mut Self::Context) -> Vec<u64> {
        self.0.0.clone()
    }
}

impl Handler<TakeView> for LedgerActor {
    type Result = MessageResult<TakeView>;

    fn handle(&mut self, _: TakeView, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.0.view())
    }
}

impl Handler<RestoreFrom> for LedgerActor {
    type Result = io::Result<()>;

    fn handle(&mut self, mut from: RestoreFrom, _: &mut Self::Context) -> io::Result<()> {
        self.0 = Ledger::read(&mut from.0)?;
        Ok(())
    }
}
