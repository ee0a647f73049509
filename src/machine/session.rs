//! Client sessions: a command that is sent twice is applied once (thesis §6.3).
//!
//! A client whose answer got lost can't know whether its command was applied, and sends it again,
//! perhaps through another leader. So each machine remembers, for every session, how far it got
//! and which answers its client may still be missing. The table is part of the replicated state:
//! it changes by applied entries and by nothing else, no clock and no chance, lives in snapshots,
//! and is the same on every peer.
//!
//! * **A session is FIFO.** Its commands count from 1 and are applied in that order. What is ahead
//!   of its turn is answered with the number that is next and changes nothing; the client resends
//!   from there. So one number says everything about what was applied.
//! * **A repeat gets the first answer.** Answers are kept until the client's receipt (the lowest
//!   sequence it has no answer to) passes them. A client that gives no receipts gets no more than
//!   its window: beyond it the oldest answer goes, and a repeat of that command hears that it was
//!   applied, and no more. A client that keeps at most the window under way never meets this.
//! * **An unknown session is never begun by a command.** It may have been dropped after that very
//!   command was applied: the client has to hear that, and to decide.
//! * **Sessions expire by use, not by time.** Over `sessions_max` the one whose last use lies
//!   furthest back *in the log* goes. One entry uses one session, so there are no ties.
//!
//! Both limits shape the state, so they must be the same on all peers. They travel in snapshots,
//! and a table that is read from one goes on with the snapshot's: a peer that joins, or restarts
//! under another configuration, still agrees with the ones it got its state from.
//!
//! The price: at most one hash lookup for a command, and no allocation for a short answer. Sessions stand in a queue at
//! the place of *some* past use, and only an eviction moves those that were used since to their true place, so that use
//! itself moves nothing; evictions cost O(log n), amortised.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    io::{self, BufWriter, Read, Write},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use indexmap::IndexMap;

mod kept;

use kept::Kept;

use crate::binary::{invalid, read_array, read_byte, read_bytes, read_u64};
use crate::raft::Index;

/// Names a session. Chosen by the client, at random: whoever knows it can speak in it, so only a
/// part of it is ever shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u128);

impl From<u128> for SessionId {
    fn from(id: u128) -> SessionId {
        SessionId(id)
    }
}

/// The first 32 bits: enough to tell sessions apart in a log, not enough to speak in one.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}..", self.0 >> 96)
    }
}

/// The answer to a command in a session, kept for its repeats.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredAnswer {
    /// The machine's answer.
    Applied(Bytes),
    /// The command did not decode. It takes its place in the session's order all the same.
    Rejected,
}

/// Answers are payload: only their length is shown.
impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredAnswer::Applied(answer) => write!(f, "Applied({} bytes)", answer.len()),
            StoredAnswer::Rejected => f.write_str("Rejected"),
        }
    }
}

/// What to do with a command in a session.
#[derive(Debug)]
#[must_use]
pub enum Admission<'a> {
    /// It is next: apply it, and record its answer.
    Apply(Turn<'a>),
    /// It was applied before: this was its answer.
    Repeat(StoredAnswer),
    /// It was admitted before, and its answer is still to be recorded. Only who [defers](Turn::defer)
    /// ever sees this.
    UnderWay,
    /// It was applied before, and its answer is no longer kept: the client has said that it has
    /// it, or left more than a window of answers without a receipt.
    Forgotten,
    /// It is ahead of its turn, and changes nothing.
    Gap {
        /// The sequence that is next.
        expected: u64,
    },
    /// The session is unknown: never opened, closed, or the longest unused of too many.
    Expired,
}

/// The turn of one command. It is over when its answer is [recorded](Turn::record). Dropped before,
/// the command was not applied, and is still next.
#[derive(Debug)]
#[must_use]
pub struct Turn<'a> {
    session: &'a mut Session,
    window: usize,
}

impl<'a> Turn<'a> {
    /// Ends the turn: this is what became of the command.
    pub fn record(self, answer: StoredAnswer) {
        let window = self.window;
        self.end().record(window, |place| Kept::move_to(place, answer));
    }

    /// Ends the turn: the command was applied, and a copy of this answer is kept.
    pub fn record_applied(self, answer: &[u8]) {
        let window = self.window;
        self.end().record(window, |place| Kept::copy_to(place, answer));
    }

    /// Ends the turn before there is an answer, so that the next command can be admitted: for
    /// machines that apply a batch at a time. The answer has to follow by [`Sessions::record`],
    /// and before the next [`Sessions::write_to`].
    pub fn defer(self) {
        self.end();
    }

    fn end(self) -> &'a mut Session {
        self.session.admitted = self.session.admitted.saturating_add(1);
        self.session
    }
}

/// One session.
#[derive(Clone, Debug)]
struct Session {
    /// Where it stands in the queue; at most `last_use`.
    queued_at: Index,
    /// The last entry that named it.
    last_use: Index,
    /// The last sequence whose turn it was.
    admitted: u64,
    /// The last sequence whose answer is known; below `admitted` only while turns are deferred.
    recorded: u64,
    /// The answer to `recorded`, unless the client has it. A client that has one command under way at a time never
    /// needs more.
    latest: Option<Kept>,
    /// The answers to the sequences before that; with it never more than the window.
    #[expect(
        clippy::box_collection,
        reason = "most sessions have none, and a table of short ones is a quick one"
    )]
    older: Option<Box<VecDeque<Kept>>>,
    /// Where the session stands in the table that was looked up after this one, the last time; at first the one behind
    /// it. Only a guess: others come, and who stood last takes the place of one that goes.
    successor: usize,
}

impl Session {
    fn new(at: Index, successor: usize) -> Session {
        let (queued_at, last_use) = (at, at);
        Session { queued_at, last_use, admitted: 0, recorded: 0, latest: None, older: None, successor }
    }

    /// How many answers it keeps.
    fn kept(&self) -> usize {
        self.older.as_ref().map_or(0, |older| older.len()) + usize::from(self.latest.is_some())
    }

    /// The answers it keeps, in order.
    fn answers(&self) -> impl Iterator<Item = &Kept> {
        self.older.iter().flat_map(|older| older.iter()).chain(&self.latest)
    }

    /// Forgets the answers below `lowest_unanswered`.
    fn acknowledge(&mut self, lowest_unanswered: u64) {
        let unanswered = self.recorded.saturating_add(1).saturating_sub(lowest_unanswered);
        if unanswered == 0 {
            self.latest = None;
        }
        self.forget_older(usize::try_from(unanswered).unwrap_or(usize::MAX));
    }

    /// Forgets all answers but so many, of which the latest is one if it is there.
    fn forget_older(&mut self, keep: usize) {
        if let Some(older) = &mut self.older {
            let forget = (older.len() + usize::from(self.latest.is_some())).saturating_sub(keep);
            older.drain(..forget.min(older.len()));
        }
    }

    /// There is one more answer, and `put` puts it in its place.
    fn record(&mut self, window: usize, put: impl FnOnce(&mut Option<Kept>)) {
        self.recorded = self.recorded.saturating_add(1);
        let before = self.latest.take();
        put(&mut self.latest);
        if let Some(before) = before {
            self.older.get_or_insert_default().push_back(before);
            self.forget_older(window);
        }
    }

    /// The answer to `sequence`, which is at most `recorded`.
    fn answer(&self, sequence: u64) -> Option<&Kept> {
        let back = usize::try_from(self.recorded.checked_sub(sequence)?).ok()?;
        let Some(back) = back.checked_sub(1) else { return self.latest.as_ref() };
        let older = self.older.as_ref()?;
        older.get(older.len().checked_sub(back)?.checked_sub(1)?)
    }
}

/// The sessions that a machine remembers. A clone is a view for a snapshot: its price is the number
/// of sessions and stored answers, whose bytes are shared.
///
/// ```
/// use raft_actors::machine::{Admission, SessionId, Sessions, session::StoredAnswer};
/// use raft_actors::raft::Index;
///
/// let mut sessions = Sessions::new(10_000, 1_024);
/// let id = SessionId(0x5e55_1044);
/// assert_eq!(sessions.open(id, Index(1)), 0);
///
/// let Admission::Apply(turn) = sessions.admit(id, 1, 1, Index(2)) else { panic!() };
/// turn.record(StoredAnswer::Applied("done".into()));
///
/// // The answer got lost, and the client sends its command again.
/// let Admission::Repeat(answer) = sessions.admit(id, 1, 1, Index(3)) else { panic!() };
/// assert_eq!(answer, StoredAnswer::Applied("done".into()));
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    sessions_max: usize,
    window: usize,
    /// Looked up, never iterated: its order is one process's own.
    sessions: IndexMap<SessionId, Session, RandomState>,
    /// Where the session stands that was looked up last: the same is often the next, or else its successor, for those
    /// who take turns come back in the order in which they came.
    last: usize,
    /// Every session once, at its `queued_at`.
    queue: BTreeSet<(Index, SessionId)>,
}

impl Sessions {
    /// No sessions, room for `sessions_max`, and for `window` unacknowledged answers in each. Both
    /// are at least 1, and must be the same on all peers.
    pub fn new(sessions_max: usize, window: usize) -> Sessions {
        Sessions {
            sessions_max: sessions_max.max(1),
            window: window.max(1),
            sessions: IndexMap::default(),
            last: 0,
            queue: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many there may be: what [`Sessions::new`] was given, or the snapshot it was read from.
    pub fn sessions_max(&self) -> usize {
        self.sessions_max
    }

    /// How many answers without a receipt each of them keeps.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Opens a session, by the entry `at`, and tells the last sequence that was applied in it: 0
    /// if it is new. To open it again only tells. If there are too many, another one goes.
    pub fn open(&mut self, id: SessionId, at: Index) -> u64 {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.last_use = session.last_use.max(at);
            return session.admitted;
        }
        if self.sessions.len() >= self.sessions_max {
            self.evict();
        }
        self.sessions.insert(id, Session::new(at, self.sessions.len() + 1));
        self.queue.insert((at, id));
        0
    }

    /// Drops the session that was unused the longest.
    fn evict(&mut self) {
        while let Some((queued_at, id)) = self.queue.pop_first() {
            match self.sessions.get_mut(&id) {
                // Nobody stands before it, and nobody's last use is before its place: it is the one.
                Some(session) if session.last_use <= queued_at => {
                    self.sessions.swap_remove(&id);
                    return;
                }
                Some(session) => {
                    session.queued_at = session.last_use;
                    self.queue.insert((session.last_use, id));
                }
                None => {}
            }
        }
    }

    /// Closes a session, and tells whether there was one.
    pub fn close(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.swap_remove(&id) else {
            return false;
        };
        self.queue.remove(&(session.queued_at, id));
        true
    }

    /// The session of a command. To guess where it stands costs nothing, and saves the hash and a look into the cold.
    fn look_up(&mut self, id: SessionId) -> Option<&mut Session> {
        let is_at = |place: usize| self.sessions.get_index(place).is_some_and(|(there, _)| *there == id);
        if !is_at(self.last) {
            let expected = self.sessions.get_index(self.last).map(|(_, session)| session.successor);
            self.last = match expected.filter(|&place| is_at(place)) {
                Some(place) => place,
                None => self.look_up_unexpected(id)?,
            };
        }
        self.sessions.get_index_mut(self.last).map(|(_, session)| session)
    }

    /// Where a session stands that was not expected. The next time it is.
    fn look_up_unexpected(&mut self, id: SessionId) -> Option<usize> {
        let place = self.sessions.get_index_of(&id)?;
        if let Some((_, last)) = self.sessions.get_index_mut(self.last) {
            last.successor = place;
        }
        Some(place)
    }

    /// Decides on a command that came with the entry `at`. `lowest_unanswered` is the client's
    /// receipt: the answers below it go, unless the command is ahead of its turn.
    pub fn admit(
        &mut self,
        id: SessionId,
        sequence: u64,
        lowest_unanswered: u64,
        at: Index,
    ) -> Admission<'_> {
        let window = self.window;
        let Some(session) = self.look_up(id) else {
            return Admission::Expired;
        };
        session.last_use = session.last_use.max(at);
        let expected = session.admitted.saturating_add(1);
        let repeat = sequence <= session.admitted;
        // Sequence 0 is nobody's; an envelope does not carry it.
        if sequence == 0 || sequence > expected {
            return Admission::Gap { expected };
        }
        // Nobody has the answer to a command that it still sends.
        session.acknowledge(lowest_unanswered.min(sequence));
        if !repeat {
            return Admission::Apply(Turn { session, window });
        }
        if sequence > session.recorded {
            return Admission::UnderWay;
        }
        session.answer(sequence).map_or(Admission::Forgotten, |kept| Admission::Repeat(kept.into()))
    }

    /// Records the answer to a command whose turn was [deferred](Turn::defer), in the order of
    /// their sequences. If the session is gone meanwhile, or the sequence is not the one that is
    /// next to be recorded, it changes nothing and answers `false`.
    pub fn record(&mut self, id: SessionId, sequence: u64, answer: StoredAnswer) -> bool {
        match self.sessions.get_mut(&id) {
            Some(session)
                if sequence <= session.admitted && session.recorded.checked_add(1) == Some(sequence) =>
            {
                session.record(self.window, |place| Kept::move_to(place, answer));
                true
            }
            _ => false,
        }
    }
}

/// The version of the format below, as its first byte.
const VERSION: u8 = 1;
const REJECTED: u8 = 0;
const APPLIED: u8 = 1;

/// Snapshots: the version, both limits, how many sessions; each session by its last use, the
/// longest unused first: id (16 bytes), last use, last applied sequence, how many answers; each
/// answer as a tag, and if it is one of the machine's, its length and bytes. Numbers are of eight
/// bytes, the lowest first. Equal tables have equal bytes.
impl Sessions {
    /// Writes the table.
    ///
    /// # Errors
    /// It can't be written, or the answer to a [deferred](Turn::defer) turn is still to come.
    pub fn write_to(&self, into: &mut dyn Write) -> io::Result<()> {
        let mut order: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(_, id)| self.sessions.get(id).map(|session| (session.last_use, *id, session)))
            .collect();
        order.sort_unstable_by_key(|&(last_use, id, _)| (last_use, id));

        let mut into = BufWriter::new(into);
        into.write_all(&[VERSION])?;
        for number in [self.sessions_max, self.window, order.len()] {
            into.write_all(&(number as u64).to_le_bytes())?;
        }
        for (last_use, id, session) in order {
            if session.recorded != session.admitted {
                return Err(io::Error::other("sessions: a snapshot while an answer is still to come"));
            }
            into.write_all(&id.0.to_le_bytes())?;
            for number in [last_use.0, session.recorded, session.kept() as u64] {
                into.write_all(&number.to_le_bytes())?;
            }
            for answer in session.answers() {
                write_answer(answer, &mut into)?;
            }
        }
        into.flush()
    }

    /// Reads a table back, and not one byte more. Reads in small pieces: give it a buffered reader.
    ///
    /// # Errors
    /// `InvalidData` if it is no such table: never a panic, and no memory for what is not there.
    pub fn read_from(from: &mut dyn Read) -> io::Result<Sessions> {
        if read_byte(from)? != VERSION {
            return Err(invalid("sessions: the version is unknown"));
        }
        let (sessions_max, window, count) = (read_u64(from)?, read_u64(from)?, read_u64(from)?);
        if sessions_max == 0 || window == 0 || count > sessions_max {
            return Err(invalid("sessions: the limits make no sense"));
        }
        let limit = |limit| usize::try_from(limit).map_err(|_| invalid("sessions: the limits make no sense"));
        let mut sessions = Sessions::new(limit(sessions_max)?, limit(window)?);
        let mut before = None;
        for _ in 0..count {
            let id = SessionId(u128::from_le_bytes(read_array(from)?));
            let session = read_session(window, sessions.len(), from)?;
            if before.is_some_and(|before| before >= (session.last_use, id)) {
                return Err(invalid("sessions: out of order"));
            }
            before = Some((session.last_use, id));
            sessions.queue.insert((session.queued_at, id));
            if sessions.sessions.insert(id, session).is_some() {
                return Err(invalid("sessions: one of them twice"));
            }
        }
        Ok(sessions)
    }
}

fn write_answer(answer: &Kept, into: &mut dyn Write) -> io::Result<()> {
    match answer.bytes() {
        None => into.write_all(&[REJECTED]),
        Some(answer) => {
            into.write_all(&[APPLIED])?;
            into.write_all(&(answer.len() as u64).to_le_bytes())?;
            into.write_all(answer)
        }
    }
}

fn read_session(window: u64, place: usize, from: &mut dyn Read) -> io::Result<Session> {
    let (last_use, recorded, count) = (Index(read_u64(from)?), read_u64(from)?, read_u64(from)?);
    if count > window || count > recorded {
        return Err(invalid("sessions: more answers than there can be"));
    }
    let mut session = Session::new(last_use, place + 1);
    for _ in 0..count {
        let answer = match read_byte(from)? {
            REJECTED => StoredAnswer::Rejected,
            APPLIED => StoredAnswer::Applied(read_bytes(from)?),
            _ => return Err(invalid("sessions: an answer of no known kind")),
        };
        session.record(usize::MAX, |place| Kept::move_to(place, answer));
    }
    (session.admitted, session.recorded) = (recorded, recorded);
    Ok(session)
}

#[cfg(test)]
#[path = "tests/session.rs"]
mod tests;
