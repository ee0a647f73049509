//! Who runs the user's machine: the machine actor itself, or an actor of the user's own.
//!
//! An actor that takes the machine's place names its [`Interface`] and handles four messages:
//! [`ApplyBatch`], [`Question`], [`TakeView`] and [`RestoreFrom`]. It runs under guard, with sessions
//! and the applied index kept in front of it; when it falls it is made anew, restored from the last
//! snapshot, and given everything after it.

use std::{
    future::Future,
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use bytes::Bytes;

use super::{
    answers::{Answers, Place},
    aside::aside,
    gauges::Gauges,
    supervision::{Child, ChildDown, Leash, spawn_guarded},
};
use crate::{
    machine::{Codec, CodecError, Interface, codec::to_bytes, erased::AnyMachine},
    raft::{ActorKind, Index, Position},
    storage::SnapshotWriter,
};

/// Apply these commands, in order, and answer each: as many answers as commands.
#[derive(Message, Debug)]
#[rtype(result = "Vec<I::Answer>")]
pub struct ApplyBatch<I: Interface>(pub Vec<(Position, I::Command)>);

/// Answer a question from the present state.
#[derive(Message, Debug)]
#[rtype(result = "I::Response")]
pub struct Question<I: Interface>(pub I::Query);

/// Take a cheap view of the present state, to be written on another thread.
#[derive(Message, Debug)]
#[rtype(result = "SnapshotWriter")]
pub struct TakeView;

/// Replace the state by what a view wrote.
#[derive(Message)]
#[rtype(result = "io::Result<()>")]
pub struct RestoreFrom(pub Box<dyn Read + Send>);

/// An actor that can take the machine's place: every actor that handles the four messages is one.
pub trait MachineLike:
    Interface
    + Actor<Context = Context<Self>>
    + Handler<ApplyBatch<Self>>
    + Handler<Question<Self>>
    + Handler<TakeView>
    + Handler<RestoreFrom>
{
}

impl<A> MachineLike for A where
    A: Interface
        + Actor<Context = Context<A>>
        + Handler<ApplyBatch<A>>
        + Handler<Question<A>>
        + Handler<TakeView>
        + Handler<RestoreFrom>
{
}

/// A future of this thread.
pub(crate) type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// What running a command gave: the answer's bytes, or that it can't be made sense of.
pub(crate) type Ran = Result<Bytes, CodecError>;

/// Who runs the user's machine.
pub(crate) enum Engine {
    /// The machine actor.
    Inline(Box<dyn AnyMachine>),
    /// Nobody now: the machine is being restored on another thread, and comes back before anybody asks.
    Away,
    /// An actor of the user's own, or a thread of the machine's own.
    Hired(Box<dyn Hired>),
}

/// Who is not the machine actor, behind bytes. A future that gives `None` says that it has fallen.
pub(crate) trait Hired: Send {
    /// Starts it.
    fn start(&mut self, parent: Recipient<ChildDown>, gauges: &Arc<Gauges>);
    /// Applies commands, in order.
    fn run(&mut self, jobs: Vec<(Position, Bytes)>) -> Local<Option<Vec<Ran>>>;
    /// Answers a question.
    fn query(&mut self, question: Bytes) -> Local<Option<Ran>>;
    /// Takes a view.
    fn view(&mut self) -> Local<Option<SnapshotWriter>>;
    /// Replaces the state.
    fn restore(&mut self, snapshot: Box<dyn Read + Send>) -> Local<Option<io::Result<()>>>;
}

/// A [`MachineLike`] actor, and its leash once it has started.
pub(crate) struct HiredActor<A: MachineLike> {
    waiting: Option<A>,
    running: Option<(Addr<A>, Leash)>,
}

impl<A: MachineLike> HiredActor<A> {
    /// An actor that is about to start.
    pub fn new(actor: A) -> HiredActor<A> {
        HiredActor { waiting: Some(actor), running: None }
    }

    fn ask<M>(&self, message: M) -> Local<Option<M::Result>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let sent = self.running.as_ref().map(|(addr, _)| addr.send(message));
        Box::pin(async move { sent?.await.ok() })
    }
}

impl<A: MachineLike> Hired for HiredActor<A> {
    fn start(&mut self, parent: Recipient<ChildDown>, gauges: &Arc<Gauges>) {
        if let Some(actor) = self.waiting.take() {
            let child = Child { kind: ActorKind::Machine, number: 0 };
            self.running = Some(spawn_guarded(child, parent, gauges, actor));
        }
    }

    fn run(&mut self, jobs: Vec<(Position, Bytes)>) -> Local<Option<Vec<Ran>>> {
        let mut commands = Vec::with_capacity(jobs.len());
        // The places of commands that can't be decoded; the actor never sees them.
        let mut rejected = Vec::new();
        for (number, (position, bytes)) in jobs.into_iter().enumerate() {
            match A::Command::decode(bytes) {
                Ok(command) => commands.push((position, command)),
                Err(error) => rejected.push((number, error)),
            }
        }
        let (count, all) = (commands.len(), commands.len() + rejected.len());
        let asked = self.ask(ApplyBatch(commands));
        Box::pin(async move {
            let answers = asked.await?;
            assert_eq!(answers.len(), count, "a machine's actor answers every command of a batch");
            let mut encoded = Answers::default();
            let encode = |answer: &A::Answer| encoded.add(|into| answer.encode(into));
            let places: Vec<Result<Place, CodecError>> = answers.iter().map(encode).collect();
            let mut encoded = encoded.seal();
            let mut ran = Vec::with_capacity(all);
            ran.extend(places.into_iter().map(|place| place.map(|place| encoded.take(place))));
            for (number, error) in rejected {
                ran.insert(number, Err(error));
            }
            Some(ran)
        })
    }

    fn query(&mut self, question: Bytes) -> Local<Option<Ran>> {
        match A::Query::decode(question) {
            Err(error) => Box::pin(std::future::ready(Some(Err(error)))),
            Ok(query) => {
                let asked = self.ask(Question(query));
                Box::pin(async move { asked.await.map(|response| to_bytes(&response)) })
            }
        }
    }

    fn view(&mut self) -> Local<Option<SnapshotWriter>> {
        self.ask(TakeView)
    }

    fn restore(&mut self, snapshot: Box<dyn Read + Send>) -> Local<Option<io::Result<()>>> {
        self.ask(RestoreFrom(snapshot))
    }
}

/// Something that is there now, or will be on this thread; `None`: the user's actor fell.
pub(crate) enum Soon<T> {
    /// It is there.
    Now(Option<T>),
    /// It will be.
    Later(Local<Option<T>>),
}

impl Engine {
    /// Starts the user's actor, if there is one.
    pub fn start(&mut self, parent: Recipient<ChildDown>, gauges: &Arc<Gauges>) {
        if let Engine::Hired(hired) = self {
            hired.start(parent, gauges);
        }
    }

    /// Has the user's actor run commands, in order. `begin` is told which entries are about to be run. A machine of
    /// the machine actor is run by that one.
    pub fn run(&mut self, jobs: Vec<(Position, Bytes)>, begin: impl Fn(Index, Index)) -> Soon<Vec<Ran>> {
        let (Some(first), Some(last)) = (jobs.first(), jobs.last()) else {
            return Soon::Now(Some(Vec::new()));
        };
        match self {
            Engine::Inline(_) | Engine::Away => Soon::Now(None),
            Engine::Hired(hired) => {
                begin(first.0.index, last.0.index);
                Soon::Later(hired.run(jobs))
            }
        }
    }

    /// Answers a question. One that makes the machine panic is answered by nobody, and changes
    /// nothing: it must not take down the machine of every peer that it is asked of.
    pub fn query(&mut self, question: Bytes) -> Soon<Ran> {
        match self {
            Engine::Inline(machine) => {
                Soon::Now(catch_unwind(AssertUnwindSafe(|| machine.query(question))).ok())
            }
            Engine::Away => Soon::Now(None),
            Engine::Hired(hired) => Soon::Later(hired.query(question)),
        }
    }

    /// Takes a view of the present state.
    pub fn view(&mut self) -> Soon<SnapshotWriter> {
        match self {
            Engine::Inline(machine) => Soon::Now(Some(machine.snapshot())),
            Engine::Away => Soon::Now(None),
            Engine::Hired(hired) => Soon::Later(hired.view()),
        }
    }

    /// Replaces the state, and the sessions in front of it, by what `open` finds. A machine of this
    /// actor goes to another thread for it, if there is one.
    pub fn restore<S: Send + 'static>(
        &mut self,
        is_live: bool,
        open: impl FnOnce() -> io::Result<(S, Box<dyn Read + Send>)> + Send + 'static,
    ) -> Soon<io::Result<(S, Engine)>> {
        match std::mem::replace(self, Engine::Away) {
            Engine::Inline(mut machine) => aside(is_live, move || {
                let (sessions, mut snapshot) = open()?;
                machine.restore(&mut snapshot)?;
                Ok((sessions, Engine::Inline(machine)))
            }),
            Engine::Hired(mut hired) => {
                let opened = aside(is_live, open);
                Soon::Later(Box::pin(async move {
                    let opened = match opened {
                        Soon::Now(opened) => opened?,
                        Soon::Later(opened) => opened.await?,
                    };
                    let (sessions, snapshot) = match opened {
                        Ok(opened) => opened,
                        Err(error) => return Some(Err(error)),
                    };
                    let restored = hired.restore(snapshot).await?;
                    Some(restored.map(|()| (sessions, Engine::Hired(hired))))
                }))
            }
            Engine::Away => Soon::Now(None),
        }
    }
}
