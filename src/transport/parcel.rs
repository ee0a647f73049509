//! What a [`Local`](super::local::Local) network carries: requests to a postbox, answers to the port
//! of whoever asked. Its weather treats both alike, and this is all it needs to know of them.

use std::sync::Arc;

use super::{Postbox, Rpc, local::Place};
use crate::raft::{Appended, ChunkTaken, MessageKind, PreVoted, Refusal, Reply, Taken, Voted};

/// A message under way. A clone of it is the same message once more.
pub(super) trait Parcel: Clone + Send + 'static {
    /// Through what it is handed over.
    type Door;

    /// What it is.
    fn kind(&self) -> MessageKind;

    /// What it says, in brief: positions and lengths, never a payload.
    fn brief(&self) -> String;

    /// Where it goes in at its destination; `None` if whom it is for is not there.
    fn door(&self, to: &Place) -> Option<Self::Door>;

    /// Hands it over.
    fn enter(self, door: Self::Door);
}

impl Parcel for Rpc {
    type Door = Arc<dyn Postbox>;

    fn kind(&self) -> MessageKind {
        Rpc::kind(self)
    }

    fn brief(&self) -> String {
        Rpc::brief(self)
    }

    fn door(&self, to: &Place) -> Option<Self::Door> {
        to.postbox()
    }

    fn enter(self, door: Self::Door) {
        door.deliver(self);
    }
}

/// An answer and its way home.
#[derive(Clone)]
pub(super) struct Answered<A> {
    pub(super) answer: A,
    pub(super) reply: Reply<A>,
    /// The incarnation that asked. A later one never asked, and its port is not this one.
    pub(super) asked_by: u64,
}

impl<A: Answer> Parcel for Answered<A> {
    type Door = ();

    fn kind(&self) -> MessageKind {
        A::KIND
    }

    fn brief(&self) -> String {
        self.answer.brief()
    }

    fn door(&self, to: &Place) -> Option<()> {
        (to.incarnation() == self.asked_by).then_some(())
    }

    fn enter(self, (): ()) {
        self.reply.send(self.answer);
    }
}

/// The answer to a request.
pub(super) trait Answer: Copy + Send + 'static {
    /// What it is.
    const KIND: MessageKind;

    /// What it says, in brief.
    fn brief(&self) -> String;
}

impl Answer for PreVoted {
    const KIND: MessageKind = MessageKind::PreVoted;

    fn brief(&self) -> String {
        format!("term={} granted={}", self.term, self.granted)
    }
}

impl Answer for Voted {
    const KIND: MessageKind = MessageKind::Voted;

    fn brief(&self) -> String {
        format!("term={} granted={}", self.term, self.granted)
    }
}

impl Answer for Appended {
    const KIND: MessageKind = MessageKind::Appended;

    fn brief(&self) -> String {
        let mut text = format!("term={}", self.term);
        match &self.result {
            Ok(index) => text += &format!(" match={index}"),
            Err(Refusal::Conflict(conflict)) => {
                text += &format!(" conflict prev={}", conflict.prev);
                if let Some(term) = conflict.term {
                    text += &format!(" has={term}");
                }
                text += &format!(" first={}", conflict.first);
            }
            Err(Refusal::Stale) => text += " stale",
            Err(Refusal::Backlog) => text += " backlog",
            Err(Refusal::NoRoom) => text += " no-room",
        }
        if self.round > 0 {
            text += &format!(" round={}", self.round);
        }
        if !self.healthy {
            text += " unhealthy";
        }
        text
    }
}

impl Answer for ChunkTaken {
    const KIND: MessageKind = MessageKind::ChunkTaken;

    fn brief(&self) -> String {
        match self.taken {
            Taken::Upto(bytes) => format!("term={} bytes={bytes}", self.term),
            Taken::Installed(index) => format!("term={} installed={index}", self.term),
            Taken::Failed => format!("term={} failed", self.term),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Conflict, Index, PeerId, Position, Term};

    #[test]
    fn answers_say_in_brief_what_matters() {
        let (from, term) = (PeerId(2), Term(3));
        assert_eq!(PreVoted { from, term, granted: true }.brief(), "term=3 granted=true");
        assert_eq!(Voted { from, term, granted: false }.brief(), "term=3 granted=false");

        let appended = |result, round, healthy| Appended { from, term, round, result, healthy }.brief();
        let conflict =
            |has| Err(Refusal::Conflict(Conflict { prev: Position::new(2, 7), term: has, first: Index(5) }));
        assert_eq!(appended(Ok(Index(7)), 0, true), "term=3 match=7");
        assert_eq!(appended(Ok(Index(7)), 4, false), "term=3 match=7 round=4 unhealthy");
        assert_eq!(appended(conflict(Some(Term(1))), 0, true), "term=3 conflict prev=7@2 has=1 first=5");
        assert_eq!(appended(conflict(None), 0, true), "term=3 conflict prev=7@2 first=5");
        assert_eq!(appended(Err(Refusal::Stale), 0, true), "term=3 stale");
        assert_eq!(appended(Err(Refusal::Backlog), 0, true), "term=3 backlog");
        assert_eq!(appended(Err(Refusal::NoRoom), 0, false), "term=3 no-room unhealthy");

        let chunk = |taken| ChunkTaken { from, term, taken }.brief();
        assert_eq!(chunk(Taken::Upto(4096)), "term=3 bytes=4096");
        assert_eq!(chunk(Taken::Installed(Index(9))), "term=3 installed=9");
        assert_eq!(chunk(Taken::Failed), "term=3 failed");
    }
}
