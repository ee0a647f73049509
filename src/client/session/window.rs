//! A session's window: the commands that are under way, and what the outcome of one means for the rest.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::pool;
use crate::{
    client::{PAUSE, Way},
    error::ClientError,
    machine::{envelope, session::SessionId},
    raft::{Data, Outcome, PeerId},
};

/// Where the caller of one command waits.
pub(super) type Answer = oneshot::Sender<Result<Bytes, ClientError>>;

/// An answer, and who waits for it.
pub(super) type Told = (Answer, Result<Bytes, ClientError>);

/// A command to be sent.
pub(super) struct Parcel {
    pub to: PeerId,
    /// The sequence, and the round.
    pub about: u64,
    pub envelope: Data,
}

/// One command in the window.
struct Item {
    /// Gone once the command is settled.
    envelope: Option<Data>,
    /// Gone once the caller has been told, be it that the deadline has passed.
    answer: Option<Answer>,
    deadline: Instant,
}

/// The commands from the lowest that is not settled on.
pub(super) struct Window {
    way: Arc<Way>,
    session: SessionId,
    /// The number of the first item.
    lowest: u64,
    /// How many commands more may be under way, beside those for which a place was given away.
    pub free: usize,
    /// How many wait for a place: while there are any, no other is free for long.
    pub waiting: usize,
    items: VecDeque<Item>,
    /// How often it has sent again. An answer counts in whichever round it was asked for; a refusal
    /// of an earlier round is no news.
    round: u64,
    target: PeerId,
    attempt: usize,
    /// When commands are sent again, if they are about to be, and from which number on. Until then nothing is sent.
    resend: Option<(Instant, u64)>,
    /// When to try elsewhere, unless something is settled before.
    stalled_at: Instant,
    /// Something was settled since `stalled_at` was set.
    is_moving: bool,
    patience: Duration,
    /// The commands before this one have been under way for so long that it matters how long.
    slow_upto: u64,
    /// Whether the session's handle is there.
    pub is_open: bool,
    /// Nothing is taken in, or settled, any more.
    pub is_over: bool,
    /// When the driver looks at this again by itself.
    pub alarm: Option<Instant>,
}

/// The tag of a port: the sequence, and above it the round. No session lives for 2^48 commands; that
/// rounds begin anew after 2^16 can at worst make an old refusal look new, which costs one resend.
const SEQUENCE_BITS: u32 = 48;

fn tag(round: u64, sequence: u64) -> u64 {
    round << SEQUENCE_BITS | sequence
}

fn sequence_of(tag: u64) -> u64 {
    tag & ((1 << SEQUENCE_BITS) - 1)
}

impl Window {
    pub fn new(way: Arc<Way>, session: SessionId, last: u64) -> Window {
        let patience = way.limits.patience;
        Window {
            target: way.target(0),
            free: way.limits.session_window,
            waiting: 0,
            way,
            session,
            lowest: last + 1,
            items: VecDeque::new(),
            round: 0,
            attempt: 0,
            resend: None,
            stalled_at: Instant::now() + patience,
            is_moving: false,
            patience,
            slow_upto: 0,
            is_open: true,
            is_over: false,
            alarm: None,
        }
    }

    /// The session's next command, all of the draft: what is to be sent now, unless there is a pause, and whether the
    /// driver has to be told, as it would look too late.
    pub fn take_in(&mut self, draft: &mut Vec<u8>, answer: Answer) -> (Option<Parcel>, bool) {
        let now = Instant::now();
        if self.items.is_empty() || self.is_moving {
            self.is_moving = false;
            self.stalled_at = now + self.patience;
        }
        let sequence = self.lowest + self.items.len() as u64;
        let length = draft.len();
        envelope::put_in_session(self.session, sequence, self.lowest, draft);
        let (command, header) = draft.split_at(length);
        let envelope = pool::put(Arc::as_ptr(&self.way.endpoint).addr(), [header, command]);
        let parcel = self.resend.is_none().then(|| self.parcel(sequence, &envelope));
        let deadline = now + self.way.limits.deadline;
        self.items.push_back(Item { envelope: Some(envelope), answer: Some(answer), deadline });
        let look_at = deadline.min(self.stalled_at);
        let is_sooner = self.alarm.is_none_or(|alarm| look_at < alarm);
        if is_sooner {
            self.alarm = Some(look_at);
        }
        (parcel, is_sooner)
    }

    fn parcel(&self, sequence: u64, envelope: &Data) -> Parcel {
        Parcel { to: self.target, about: tag(self.round, sequence), envelope: envelope.clone() }
    }

    /// What became of one command; whom to tell of it, if anybody waits for it. `Err`: of all of them, for good.
    pub fn settle(&mut self, about: u64, outcome: Outcome) -> Result<Option<Told>, ClientError> {
        let sequence = sequence_of(about);
        let Some(number) = sequence.checked_sub(self.lowest).map(|number| number as usize) else {
            return Ok(None);
        };
        match outcome {
            Outcome::Applied(_) | Outcome::Rejected => {
                let mut told = None;
                if let Some(item) = self.items.get_mut(number) {
                    if sequence < self.slow_upto {
                        // On a slow link answers take long and are none the worse: what is sent again before they can
                        // be there makes them take longer still.
                        let begun = item.deadline - self.way.limits.deadline;
                        self.patience = self.way.limits.patience.max(begun.elapsed() * 3);
                    } else {
                        self.patience = self.way.limits.patience;
                    }
                    item.envelope = None;
                    let result = self.way.settle(outcome);
                    told = item.answer.take().map(|answer| (answer, result));
                }
                self.advance();
                return Ok(told);
            }
            Outcome::SessionExpired | Outcome::Poisoned { .. } | Outcome::TooLarge { .. } => {
                return self.way.settle(outcome).map(|_| None);
            }
            _ if about != tag(self.round, sequence) => {}
            // It waits for what it has answered before: this is a session of our id that began anew,
            // after ours was forgotten.
            Outcome::Gap { expected } if expected < self.lowest => return Err(ClientError::SessionExpired),
            Outcome::NotLeader { leader: Some(leader) }
                if leader != self.target && self.way.learn(Some(leader)) =>
            {
                self.resend(Duration::ZERO, Some(leader), self.lowest);
            }
            // The peer leads, and has more to do than it takes. What was sent before is under way.
            Outcome::Busy => self.resend(PAUSE, Some(self.target), sequence),
            // One got lost on the way.
            Outcome::Gap { .. } => self.resend(PAUSE, Some(self.target), self.lowest),
            Outcome::NotLeader { .. } | Outcome::Lost | Outcome::Unknown => {
                self.resend(PAUSE, None, self.lowest);
            }
        }
        Ok(None)
    }

    /// Moves on to the first command that is not settled.
    fn advance(&mut self) {
        self.is_moving = true;
        while self.items.front().is_some_and(|item| item.envelope.is_none()) {
            self.items.pop_front();
            self.lowest += 1;
            self.free += 1;
        }
        if self.items.is_empty() {
            // It begins anew at its front: one command at a time would go round through all of it, and find none of it
            // in the cache.
            self.items.clear();
        }
    }

    /// Everything `from` a number on is to be sent again, after a pause, to this peer or to the next.
    fn resend(&mut self, pause: Duration, to: Option<PeerId>, from: u64) {
        if self.resend.is_some() {
            return;
        }
        match to {
            Some(to) => self.target = to,
            None => {
                self.way.forget(self.target);
                self.attempt += 1;
                self.target = self.way.target(self.attempt);
            }
        }
        self.round += 1;
        self.resend = Some((Instant::now() + pause, from));
    }

    /// When to look at it again; `None`: when there is something new.
    pub fn look_at(&self) -> Option<Instant> {
        self.items.front()?;
        let deadlines = self.items.iter().filter(|item| item.answer.is_some()).map(|item| item.deadline);
        let resend_at = self.resend.map_or(self.stalled_at, |(at, _)| at);
        Some(deadlines.take(1).fold(resend_at, Instant::min))
    }

    /// What is due: whom to tell that their time is up, and what has to be sent again.
    pub fn look(&mut self) -> (Vec<Told>, Vec<Parcel>) {
        let now = Instant::now();
        let late = self.items.iter_mut().take_while(|item| item.deadline <= now);
        let late = late.filter_map(|item| Some((item.answer.take()?, Err(ClientError::Unknown)))).collect();
        if std::mem::take(&mut self.is_moving) {
            self.stalled_at = now + self.patience;
        }
        self.slow_upto = self.lowest + self.items.len() as u64;
        if self.resend.is_none() && self.stalled_at <= now && !self.items.is_empty() {
            // Without a limit: what is sent again too soon is appended again, and a cluster that is
            // behind falls back further with each repeat.
            self.patience = self.patience.saturating_mul(2);
            self.stalled_at = now + self.patience;
            self.resend(Duration::ZERO, None, self.lowest);
        }
        let Some((_, from)) = self.resend.take_if(|(at, _)| *at <= now) else {
            return (late, Vec::new());
        };
        let first = from.saturating_sub(self.lowest);
        let items = (self.lowest..).zip(&self.items).skip(first as usize);
        // Of what is settled behind it, the cluster has everything before it, too: it repeats no more than answers.
        let parcels =
            items.filter_map(|(sequence, item)| Some(self.parcel(sequence, item.envelope.as_ref()?)));
        (late, parcels.collect())
    }

    /// Whether anybody waits for an answer.
    pub fn is_awaited(&self) -> bool {
        self.items.iter().any(|item| item.answer.as_ref().is_some_and(|answer| !answer.is_closed()))
    }

    /// The session is over: nothing that is not settled will be. Whom to tell.
    pub fn give_up(&mut self, error: &ClientError) -> Vec<Told> {
        self.is_over = true;
        self.items.drain(..).filter_map(|item| Some((item.answer?, Err(error.clone())))).collect()
    }
}
