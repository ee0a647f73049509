//! A session: commands in order, each applied once, however often it has to be sent.
//!
//! The cluster applies number *n* only after *n - 1*, answers a repeat with the answer of the first time,
//! and says which number it expects when one went missing. So a session may resend whenever it is
//! in doubt: from the lowest unanswered number on, in order, through whichever peer leads by then.
//!
//! As long as all is well, nothing stands between caller and cluster: a command is sent where it is submitted, and
//! its answer goes straight into the caller's hands. Everything else, refusals, silence, deadlines, is the business
//! of a task, the [`Driver`].
//!
//! Two locks: one keeps the order of what is sent, and is held until it is; the other is the [`Window`]'s, and nobody
//! sends or wakes anybody while it is held, for whoever wakes up may take the core, and need it. An answer never
//! waits for a lock: it comes from a peer. If somebody has the window, the driver settles it.

use std::{
    future::Future,
    marker::PhantomData,
    mem::take,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    task::{self, Poll},
};

use bytes::Bytes;
use futures_channel::mpsc;
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{PAUSE, Repeat, Way, spawn};
use crate::{
    actor::bell::Bell,
    error::ClientError,
    machine::{Codec, Interface, envelope, session::SessionId},
    raft::{Data, Listener, Outcome, Port},
};

mod driver;
mod pool;
mod window;

use driver::Driver;
use window::{Parcel, Told, Window};

/// A session with a cluster. Commands are applied in the order in which they were submitted, each
/// once, also across changes of leaders, snapshots and restarts.
pub struct Session<I: Interface> {
    id: u128,
    shared: Arc<Shared>,
    resumed_at: u64,
    types: PhantomData<fn() -> I>,
}

/// A command that was submitted: await it for the machine's answer.
pub struct Ticket<I: Interface> {
    // In this order: when it is said that nobody waits any more, nobody does.
    answer: Answer,
    _stub: Stub,
    types: PhantomData<fn() -> I>,
}

/// What a caller waits for.
type Answer = oneshot::AsyncReceiver<Result<Bytes, ClientError>>;

/// A command that has its place: whoever put it there waits for an answer, and may have to ring.
type Put = (Answer, Option<Bell>);

/// What is left of a ticket at the very end.
struct Stub(Arc<Shared>);

/// The driver of a session that is gone stays for its tickets only.
impl Drop for Stub {
    fn drop(&mut self) {
        let is_open = self.0.window().is_open;
        if !is_open {
            self.0.called.notify_one();
        }
    }
}

/// What callers, answers and the driver share.
struct Shared {
    way: Arc<Way>,
    /// Whoever sends; before the window.
    sending: Mutex<()>,
    window: Mutex<Window>,
    /// Places in the window that are given to those who wait for one, in the order in which they came.
    places: Semaphore,
    /// Outcomes that somebody has to think about, with the sequence and the round that they are about.
    trouble: mpsc::UnboundedSender<(u64, Outcome)>,
    /// The driver has to look at the window sooner than it means to.
    called: Notify,
}

impl Shared {
    fn sending(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: &Arc<Self>, parcel: Parcel) -> Option<Bell> {
        let port = Port::told(parcel.about, self.clone());
        self.way.endpoint.propose(parcel.to, parcel.envelope, port)
    }

    /// What became of one command.
    fn settle(
        &self,
        mut window: MutexGuard<'_, Window>,
        about: u64,
        outcome: Outcome,
    ) -> Result<(), ClientError> {
        let told = window.settle(about, outcome)?;
        let given = if window.waiting > 0 { take(&mut window.free) } else { 0 };
        drop(window);
        if given > 0 {
            self.places.add_permits(given);
        }
        tell(told);
        Ok(())
    }

    /// A place in the window, as soon as there is one.
    async fn place(&self) -> Result<SemaphorePermit<'_>, ClientError> {
        let _waiting = Waiting::new(self);
        self.places.acquire().await.map_err(|_| ClientError::SessionExpired)
    }

    /// The session is over, for everybody who waits and who comes.
    fn give_up(&self, error: &ClientError) {
        let told = self.window().give_up(error);
        tell(told);
        self.places.close();
    }
}

/// Somebody who waits for a place.
struct Waiting<'a>(&'a Shared);

impl Waiting<'_> {
    fn new(shared: &Shared) -> Waiting<'_> {
        let mut window = shared.window();
        window.waiting += 1;
        let given = take(&mut window.free);
        drop(window);
        shared.places.add_permits(given);
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.window().waiting -= 1;
    }
}

/// Hands answers to those who wait for them. They may have left.
fn tell(told: impl IntoIterator<Item = Told>) {
    told.into_iter().for_each(|(answer, result)| drop(answer.send(result)));
}

impl Listener for Shared {
    fn hear(&self, about: u64, outcome: Outcome) {
        let window = match outcome {
            Outcome::Applied(_) | Outcome::Rejected => self.window.try_lock(),
            _ => Err(TryLockError::WouldBlock),
        };
        let window = match window {
            Ok(window) => window,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return drop(self.trouble.unbounded_send((about, outcome))),
        };
        // Neither of the two ends a session.
        drop(self.settle(window, about, outcome));
    }
}

impl<I: Interface> Session<I> {
    pub(super) async fn open(way: Arc<Way>, id: u128) -> Result<Session<I>, ClientError> {
        let session = SessionId(id);
        let deadline = Instant::now() + way.limits.deadline;
        let mut open = Vec::new();
        envelope::put_open(session, &mut open);
        let open = Data::from(open);
        // Opening is idempotent: what is in doubt is done again.
        let last = loop {
            let send = |way: &Way, to, port| way.endpoint.propose(to, open.clone(), port);
            match way.ask(Repeat::Freely, send).await {
                Ok(last) => break u64::decode_le(&last),
                Err(ClientError::Unknown | ClientError::Busy | ClientError::Lost)
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        let (trouble, troubles) = mpsc::unbounded();
        let shared = Arc::new(Shared {
            window: Mutex::new(Window::new(way.clone(), session, last)),
            places: Semaphore::new(0),
            sending: Mutex::default(),
            way,
            trouble,
            called: Notify::new(),
        });
        spawn(Driver::new(shared.clone(), troubles).run());
        Ok(Session { id, shared, resumed_at: last, types: PhantomData })
    }

    /// The session's id: with it [`Client::resume_session`](super::Client::resume_session) takes it up
    /// again.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// How many commands of this session the cluster had applied when it was opened.
    pub fn resumed_at(&self) -> u64 {
        self.resumed_at
    }

    /// Submits a command as the session's next, waiting only for a place in its window. Await the
    /// ticket for the answer.
    ///
    /// # Errors
    /// The command is too large or can't be turned into bytes, or the session is over.
    pub async fn submit(&self, command: &I::Command) -> Result<Ticket<I>, ClientError> {
        // The bell rings at once: nobody knows when the ticket is awaited.
        let (answer, _) = match self.put(command, None)? {
            Some(put) => put,
            None => self.put_later(command).await?,
        };
        Ok(Ticket { answer, _stub: Stub(self.shared.clone()), types: PhantomData })
    }

    /// Takes a place with a command, one that was given or a free one, if there is one. No future: there is one of them
    /// for each command under way, and where there are very many it is far away each time.
    fn put(
        &self,
        command: &I::Command,
        place: Option<SemaphorePermit<'_>>,
    ) -> Result<Option<Put>, ClientError> {
        self.shared.way.with_encoded(command, |command| {
            let _in_order = self.shared.sending();
            let mut window = self.shared.window();
            if window.is_over {
                return Err(ClientError::SessionExpired);
            }
            match (place, window.free.checked_sub(1)) {
                // It is free again when the window moves on.
                (Some(place), _) => place.forget(),
                (None, Some(free)) => window.free = free,
                (None, None) => return Ok(None),
            }
            let (sender, answer) = oneshot::async_channel();
            let (parcel, is_sooner) = window.take_in(command, sender);
            drop(window);
            let bell = parcel.and_then(|parcel| self.shared.send(parcel));
            if is_sooner {
                self.shared.called.notify_one();
            }
            Ok(Some((answer, bell)))
        })?
    }

    /// Takes a place with a command as soon as one is given.
    async fn put_later(&self, command: &I::Command) -> Result<Put, ClientError> {
        loop {
            let place = self.shared.place().await?;
            if let Some(put) = self.put(command, Some(place))? {
                return Ok(put);
            }
        }
    }

    /// Submits a command and waits for its answer.
    ///
    /// # Errors
    /// See [`ClientError`]. After the deadline the outcome is `Unknown` to the caller; the session
    /// goes on to see the command through, since those behind it have to wait for it.
    pub async fn propose(&self, command: &I::Command) -> Result<I::Answer, ClientError> {
        let (answer, bell) = match self.put(command, None)? {
            Some(put) => put,
            None => self.put_later(command).await?,
        };
        if let Some(bell) = bell {
            bell.gather().await;
        }
        decode::<I>(answer.await)
    }
}

impl<I: Interface> Drop for Session<I> {
    fn drop(&mut self) {
        self.shared.window().is_open = false;
        self.shared.called.notify_one();
    }
}

impl<I: Interface> Future for Ticket<I> {
    type Output = Result<I::Answer, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(decode::<I>)
    }
}

/// What an answer says; none, because nobody is left to give it: `Unknown`.
fn decode<I: Interface>(
    answer: Result<Result<Bytes, ClientError>, oneshot::RecvError>,
) -> Result<I::Answer, ClientError> {
    Ok(I::Answer::decode(answer.unwrap_or(Err(ClientError::Unknown))?)?)
}

/// The eight bytes of an opened session's answer.
trait DecodeLe {
    fn decode_le(bytes: &[u8]) -> Self;
}

impl DecodeLe for u64 {
    fn decode_le(bytes: &[u8]) -> u64 {
        bytes.try_into().map_or(0, u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;
