//! The ways home of answers: to clients a [`Port`], to other peers a [`Reply`].

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_channel::mpsc;

use super::types::{Index, PeerId};

/// What became of one proposal or query.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Done: the machine's answer.
    Applied(Bytes),
    /// Not done: this peer does not lead. Safe to try elsewhere.
    NotLeader {
        /// Who does, as far as this peer knows.
        leader: Option<PeerId>,
    },
    /// Not done: it was never appended. Safe to try again, a little later.
    Busy,
    /// Certainly not done: another entry took its place. Safe to try again.
    Lost,
    /// It may have happened, or may still happen.
    Unknown,
    /// Not done, on any peer: the machine can't make sense of the bytes.
    Rejected,
    /// Not done: the machines of this cluster can't apply the entry at `index`.
    Poisoned {
        /// The entry they fail at.
        index: Index,
    },
    /// Not done: a session's commands are applied in order, and this one is ahead of its turn.
    Gap {
        /// The sequence number that is next.
        expected: u64,
    },
    /// Not done: the cluster no longer knows the session.
    SessionExpired,
    /// A command or a question is longer than this many bytes, and was not taken; or the answer to a question is,
    /// and can't be told.
    TooLarge {
        /// How long it may be.
        max: usize,
    },
}

/// Somebody who hears outcomes where they arrive: on a peer's thread, in the middle of its work.
pub trait Listener: Send + Sync {
    /// Hears an outcome. Must not wait.
    fn hear(&self, tag: u64, outcome: Outcome);
}

/// One proposal's way home. Dropped unanswered it says [`Outcome::Unknown`].
pub struct Port(Way);

enum Way {
    /// To somebody who waits for this one.
    Alone(oneshot::Sender<Outcome>),
    /// To somebody who waits for many and tells them apart by a tag.
    Tagged(u64, mpsc::UnboundedSender<(u64, Outcome)>),
    /// To somebody who does, too, and deals with each where it arrives.
    Told(u64, Arc<dyn Listener>),
    Answered,
}

impl Port {
    /// A port and the other end of it. The receiver hears only that nothing comes any more if the port is
    /// dropped: that is `Unknown`.
    pub fn new() -> (Port, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Port(Way::Alone(sender)), receiver)
    }

    /// A port whose outcome arrives at `sender` together with `tag`.
    pub fn tagged(tag: u64, sender: mpsc::UnboundedSender<(u64, Outcome)>) -> Port {
        Port(Way::Tagged(tag, sender))
    }

    /// A port whose outcome `listener` hears, together with `tag`.
    pub fn told(tag: u64, listener: Arc<dyn Listener>) -> Port {
        Port(Way::Told(tag, listener))
    }

    /// Sends the outcome home. Nobody may be waiting any more.
    pub fn answer(mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, Way::Answered) {
            Way::Alone(sender) => drop(sender.send(outcome)),
            Way::Tagged(tag, sender) => drop(sender.unbounded_send((tag, outcome))),
            Way::Told(tag, listener) => listener.hear(tag, outcome),
            Way::Answered => {}
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        match &self.0 {
            Way::Tagged(tag, sender) => drop(sender.unbounded_send((*tag, Outcome::Unknown))),
            Way::Told(tag, listener) => listener.hear(*tag, Outcome::Unknown),
            Way::Alone(_) | Way::Answered => {}
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Port")
    }
}

/// The way back of an answer to another peer. It is an address: the answer reaches the very actor
/// that asked, and nobody if that one is gone. A network may carry one answer more than once.
pub struct Reply<T>(Arc<dyn Fn(T) + Send + Sync>);

impl<T> Reply<T> {
    /// A way back that ends in `deliver`.
    pub fn new(deliver: impl Fn(T) + Send + Sync + 'static) -> Reply<T> {
        Reply(Arc::new(deliver))
    }

    /// Sends the answer.
    pub fn send(&self, answer: T) {
        (self.0)(answer)
    }
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Reply(self.0.clone())
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
