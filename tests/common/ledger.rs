//! The machine of the tests: a list of everything it was told, in order. Nothing that a cluster may
//! do wrong with commands, such as losing, doubling or reordering them, leaves it unchanged.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use actix::{Actor, Context, Handler, MessageResult};
use raft_actors::{
    actor::custom::{ApplyBatch, Question, RestoreFrom, TakeView},
    machine::{Interface, StateMachine},
    raft::Position,
    storage::SnapshotWriter,
};

/// Makes a ledger panic, each time, until it is [cured](Cure).
pub const POISON: u64 = u64::MAX;

/// A ledger's next version, which knows how to deal with poison: it enters it like any other number.
#[derive(Clone, Default, Debug)]
pub struct Cure(Arc<AtomicBool>);

impl Cure {
    /// From now on every ledger that has this cure can take poison.
    pub fn release(&self) {
        self.0.store(true, Relaxed);
    }
}

/// A list of numbers. A command is answered with its place in the list, from 1; a query with all.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    numbers: Vec<u64>,
    cure: Cure,
}

impl Ledger {
    /// An empty ledger.
    pub fn with(cure: &Cure) -> Ledger {
        Ledger { numbers: Vec::new(), cure: cure.clone() }
    }

    fn enter(&mut self, number: u64) -> u64 {
        assert!(number != POISON || self.cure.0.load(Relaxed), "poison");
        self.numbers.push(number);
        self.numbers.len() as u64
    }

    fn view(&self) -> SnapshotWriter {
        let numbers = self.numbers.clone();
        Box::new(move |into: &mut dyn Write| {
            numbers.iter().try_for_each(|n| into.write_all(&n.to_le_bytes()))
        })
    }

    fn read(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        self.numbers = words.collect();
        Ok(())
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
        self.numbers.clone()
    }

    fn snapshot(&self) -> SnapshotWriter {
        self.view()
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.read(snapshot)
    }
}

/// The same as an actor of the user's own, in the machine's place.
#[derive(Default, Debug)]
pub struct LedgerActor(Ledger);

impl LedgerActor {
    /// An empty ledger.
    pub fn with(cure: &Cure) -> LedgerActor {
        LedgerActor(Ledger::with(cure))
    }
}

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
        self.0.numbers.clone()
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
        self.0.read(&mut from.0)
    }
}
