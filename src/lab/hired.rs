//! A key-value store that is an actor of its own, in the machine's place.

use std::io;

use actix::{Actor, Context, Handler, MessageResult};

use crate::{
    actor::custom::{ApplyBatch, Question, RestoreFrom, TakeView},
    machine::{Interface, Kv, StateMachine, kv},
};

#[derive(Default)]
pub(super) struct HiredKv(Kv);

impl Actor for HiredKv {
    type Context = Context<Self>;
}

impl Interface for HiredKv {
    type Command = kv::Command;
    type Answer = kv::Answer;
    type Query = kv::Query;
    type Response = kv::Response;
}

impl Handler<ApplyBatch<HiredKv>> for HiredKv {
    type Result = Vec<kv::Answer>;

    fn handle(&mut self, ApplyBatch(batch): ApplyBatch<HiredKv>, _: &mut Self::Context) -> Vec<kv::Answer> {
        batch.into_iter().map(|(at, command)| self.0.apply(at, command)).collect()
    }
}

impl Handler<Question<HiredKv>> for HiredKv {
    type Result = MessageResult<Question<HiredKv>>;

    fn handle(&mut self, Question(query): Question<HiredKv>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.0.query(query))
    }
}

impl Handler<TakeView> for HiredKv {
    type Result = MessageResult<TakeView>;

    fn handle(&mut self, _: TakeView, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.0.snapshot())
    }
}

impl Handler<RestoreFrom> for HiredKv {
    type Result = io::Result<()>;

    fn handle(&mut self, mut from: RestoreFrom, _: &mut Self::Context) -> io::Result<()> {
        self.0.restore(&mut from.0)
    }
}
