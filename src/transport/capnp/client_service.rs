//! What an application may ask: commands, queries, sessions.
//!
//! A proposal goes to the peer's door before anything is awaited, so that what one connection proposes arrives in
//! the order in which it was sent. The door bounds what waits there; what is not known when the deadline has
//! passed is `unknown`.

use std::{cell::Cell, future::Future, rc::Rc, time::Duration};

use bytes::Bytes;
use capnp::{Error, Result, capability::Rc as Served};
use futures::{StreamExt, channel::mpsc};
use tokio::time::{Instant, timeout_at};

use super::{
    budget::Share, codec::write_member, handshake::read_id, messages_capnp as wire,
    raft_service::check_group, reception::Visit, status::write_role,
};
use crate::{
    raft::{Outcome, PeerId, Port},
    transport::Submission,
};

/// The longest a caller may want to wait.
const DEADLINE_MS_MAX: u32 = 60_000;

/// What is left of a frame for everything that is no answer, in bytes.
const AROUND_BYTES: usize = 64 << 10;

/// What one answer takes besides its bytes.
const OUTCOME_BYTES: usize = 64;

/// What a client may ask.
pub(super) struct ClientService(pub(super) Rc<Visit>);

/// Outcomes that are waited for, and those that are known without.
struct Asked {
    outcomes: Vec<Option<Outcome>>,
    coming: mpsc::UnboundedReceiver<(u64, Outcome)>,
    deadline: Instant,
}

impl ClientService {
    fn deadline(&self, wanted_ms: u32) -> Instant {
        let ms = match wanted_ms {
            0 => self.0.house.open.config.deadline_ms.min(u64::from(DEADLINE_MS_MAX)),
            wanted => u64::from(wanted.min(DEADLINE_MS_MAX)),
        };
        Instant::now() + Duration::from_millis(ms)
    }

    fn command_bytes_max(&self) -> usize {
        self.0.house.open.config.command_bytes_max
    }

    fn propose_all(&self, params: &wire::client::ProposeParams) -> Result<Asked> {
        let params = params.get()?;
        check_group(params.get_group())?;
        let commands = params.get_commands()?;
        let (count, max) = (commands.len() as usize, self.0.house.open.config.batch_entries_max);
        if count > max {
            return Err(Error::failed(format!(
                "{count} commands are more than the limit of {max}: send fewer at a time"
            )));
        }
        let submissions = commands.iter().map(read_command).collect::<Result<Vec<_>>>()?;
        let (sender, coming) = mpsc::unbounded();
        let mut outcomes = vec![None; count];
        for ((place, outcome), submission) in (0..).zip(&mut outcomes).zip(submissions) {
            match submission {
                Ok((submission, bytes)) if bytes <= self.command_bytes_max() => {
                    self.0.house.open.desk.propose(submission, Port::tagged(place, sender.clone()));
                }
                Ok(_) => *outcome = Some(self.too_large()),
                Err(rejected) => *outcome = Some(rejected),
            }
        }
        Ok(Asked { outcomes, coming, deadline: self.deadline(params.get_deadline_ms()) })
    }

    /// What is asked, and until when an answer is of use; or what it is answered without being asked.
    fn question(&self, params: &wire::client::QueryParams) -> Result<std::result::Result<Asking, Outcome>> {
        let params = params.get()?;
        check_group(params.get_group())?;
        let question = params.get_question()?;
        if question.len() > self.command_bytes_max() {
            return Ok(Err(self.too_large()));
        }
        let is_local = match params.get_consistency() {
            Ok(consistency) => consistency == wire::Consistency::Local,
            Err(_) => return Err(Error::failed("malformed: a consistency of no known kind".into())),
        };
        let deadline = self.deadline(params.get_deadline_ms());
        Ok(Ok(Asking { question: Bytes::copy_from_slice(question), is_local, deadline }))
    }

    /// Asks the machine, once there is memory for as long an answer as this client has had of late: nobody knows how
    /// long one is before it is there.
    async fn ask(&self, asking: Asking) -> Outcome {
        let Asking { question, is_local, deadline } = asking;
        let deposit = self.0.answer_bytes.get();
        if !self.pay(deposit).await {
            return Outcome::Busy;
        }
        // Also if the client gives up, and this is dropped half-way.
        let paid = Deposit { purse: self.0.meter.purse(), bytes: Cell::new(deposit) };
        let (port, answer) = Port::new();
        match is_local {
            true => self.0.house.open.desk.ask_local(question, port),
            false => self.0.house.open.desk.read(question, port),
        }
        let outcome = self.tellable(Waiting { answer, deadline }.outcome().await);
        let bytes = bytes_of(&outcome);
        self.0.answer_bytes.set(bytes.max(deposit / 2));
        match bytes.checked_sub(deposit) {
            None => paid.bytes.set(deposit - bytes),
            Some(more) if self.pay(more).await => paid.bytes.set(0),
            Some(_) => return Outcome::Busy,
        }
        outcome
    }

    fn submit(&self, group: u64, submission: Submission<'_>, deadline_ms: u32) -> Result<Waiting> {
        check_group(group)?;
        let (port, answer) = Port::new();
        self.0.house.open.desk.propose(submission, port);
        Ok(Waiting { answer, deadline: self.deadline(deadline_ms) })
    }

    /// Waits until there is memory for an answer of so many bytes. `false`: there is none, for others do not take
    /// theirs.
    async fn pay(&self, bytes: usize) -> bool {
        match self.0.meter.purse() {
            Some(purse) => purse.grow(bytes).await.is_ok(),
            None => true,
        }
    }

    /// What one frame may carry; what is longer is said to be too large, and let go.
    fn tellable(&self, outcome: Outcome) -> Outcome {
        let max = self.room();
        match outcome {
            Outcome::Applied(answer) if answer.len() > max => Outcome::TooLarge { max },
            outcome => outcome,
        }
    }

    /// What is in one frame for answers, in bytes.
    fn room(&self) -> usize {
        self.0.house.answer_frame_bytes().saturating_sub(AROUND_BYTES)
    }

    fn too_large(&self) -> Outcome {
        Outcome::TooLarge { max: self.command_bytes_max() }
    }

    fn write(&self, outcome: Outcome, mut to: wire::outcome::Builder<'_>) {
        match outcome {
            Outcome::Applied(answer) => to.set_applied(&answer),
            Outcome::NotLeader { leader } => {
                let leader = leader.unwrap_or_default();
                write_member(leader, self.0.house.address(leader), to.init_not_leader());
            }
            Outcome::Busy => to.set_busy(()),
            Outcome::Lost => to.set_lost(()),
            Outcome::Unknown => to.set_unknown(()),
            Outcome::Rejected => to.set_rejected(()),
            Outcome::Poisoned { index } => to.set_poisoned(index.0),
            Outcome::Gap { expected } => to.set_gap(expected),
            Outcome::SessionExpired => to.set_session_expired(()),
            Outcome::TooLarge { max } => to.set_too_large(max as u64),
        }
    }

    fn write_session(&self, outcome: Outcome, mut to: wire::session_result::Builder<'_>) {
        let (outcome, applied) = match outcome {
            Outcome::Applied(last) => (Outcome::Applied(Bytes::new()), little_endian(&last)),
            // What is kept is asked for a sequence that nobody reaches: the gap says where it stands.
            Outcome::Gap { expected } => (Outcome::Applied(Bytes::new()), expected.saturating_sub(1)),
            other => (other, 0),
        };
        to.set_applied(applied);
        self.write(outcome, to.init_outcome());
    }
}

/// What an outcome takes in an answer.
fn bytes_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Applied(answer) => answer.len() + OUTCOME_BYTES,
        _ => OUTCOME_BYTES,
    }
}

/// Eight bytes, the lowest first.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

type Read<'a> = std::result::Result<(Submission<'a>, usize), Outcome>;

fn read_command(from: wire::command::Reader<'_>) -> Result<Read<'_>> {
    let payload = from.get_payload()?;
    let which = from.which().map_err(|_| Error::failed("malformed: a command of no known kind".into()))?;
    let submission = match which {
        wire::command::Plain(()) => Submission::Plain(payload),
        wire::command::InSession(within) => {
            let within = within?;
            let (sequence, lowest_unanswered) = (within.get_sequence(), within.get_lowest_unanswered());
            if sequence == 0 || lowest_unanswered > sequence {
                return Ok(Err(Outcome::Rejected));
            }
            let session = read_id(within.get_session()?);
            Submission::InSession { session, sequence, lowest_unanswered, payload }
        }
    };
    Ok(Ok((submission, payload.len())))
}

/// What was paid, and is to be given back.
struct Deposit {
    purse: Option<Rc<Share>>,
    bytes: Cell<usize>,
}

impl Drop for Deposit {
    fn drop(&mut self) {
        self.purse.iter().for_each(|purse| purse.give_back(self.bytes.get()));
    }
}

/// A question, out of its frame.
struct Asking {
    question: Bytes,
    is_local: bool,
    deadline: Instant,
}

/// One outcome that is waited for.
struct Waiting {
    answer: oneshot::Receiver<Outcome>,
    deadline: Instant,
}

impl Waiting {
    async fn outcome(self) -> Outcome {
        match timeout_at(self.deadline, self.answer).await {
            Ok(Ok(outcome)) => outcome,
            _ => Outcome::Unknown,
        }
    }
}

impl Asked {
    /// All outcomes, once the last is known or the deadline has passed.
    async fn outcomes(mut self) -> Vec<Outcome> {
        let mut missing = self.outcomes.iter().filter(|outcome| outcome.is_none()).count();
        while missing > 0
            && let Ok(Some((place, outcome))) = timeout_at(self.deadline, self.coming.next()).await
        {
            if let Some(slot @ None) = self.outcomes.get_mut(place as usize) {
                *slot = Some(outcome);
                missing -= 1;
            }
        }
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Unknown)).collect()
    }
}

impl wire::client::Server for ClientService {
    fn propose(
        self: Served<Self>,
        params: wire::client::ProposeParams,
        mut results: wire::client::ProposeResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let asked = self.propose_all(&params);
        drop(params);
        async move {
            let mut outcomes = asked?.outcomes().await;
            let mut room = self.room();
            let bytes = outcomes.iter().map(bytes_of).sum::<usize>().min(room);
            if !self.pay(bytes).await {
                outcomes.iter_mut().for_each(|outcome| *outcome = Outcome::Unknown);
            }
            self.0.meter.expect(bytes);
            let mut to = results.get().init_outcomes(outcomes.len() as u32);
            for (place, outcome) in (0..).zip(outcomes) {
                let rest = room.checked_sub(bytes_of(&outcome));
                // What was done, and does not fit, can't be told.
                let outcome = rest.map_or(Outcome::Unknown, |_| outcome);
                room = rest.unwrap_or(room);
                self.write(outcome, to.reborrow().get(place));
            }
            Ok(())
        }
    }

    fn query(
        self: Served<Self>,
        params: wire::client::QueryParams,
        mut results: wire::client::QueryResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let question = self.question(&params);
        drop(params);
        async move {
            let outcome = match question? {
                Ok(asking) => self.ask(asking).await,
                Err(known) => known,
            };
            self.write(outcome, results.get().init_outcome());
            Ok(())
        }
    }

    fn open_session(
        self: Served<Self>,
        params: wire::client::OpenSessionParams,
        mut results: wire::client::OpenSessionResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let submit = || {
            let params = params.get()?;
            let open = Submission::Open(read_id(params.get_session()?));
            self.submit(params.get_group(), open, params.get_deadline_ms())
        };
        let waiting = submit();
        async move {
            self.write_session(waiting?.outcome().await, results.get().init_result());
            Ok(())
        }
    }

    fn keep_session(
        self: Served<Self>,
        params: wire::client::KeepSessionParams,
        mut results: wire::client::KeepSessionResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let submit = || {
            let params = params.get()?;
            let keep = Submission::Keep(read_id(params.get_session()?));
            self.submit(params.get_group(), keep, params.get_deadline_ms())
        };
        let waiting = submit();
        async move {
            self.write_session(waiting?.outcome().await, results.get().init_result());
            Ok(())
        }
    }

    fn close_session(
        self: Served<Self>,
        params: wire::client::CloseSessionParams,
        mut results: wire::client::CloseSessionResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let submit = || {
            let params = params.get()?;
            let close = Submission::Close(read_id(params.get_session()?));
            self.submit(params.get_group(), close, params.get_deadline_ms())
        };
        let waiting = submit();
        async move {
            self.write_session(waiting?.outcome().await, results.get().init_result());
            Ok(())
        }
    }

    fn ping(
        self: Served<Self>,
        params: wire::client::PingParams,
        mut results: wire::client::PingResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let mut pong = || {
            check_group(params.get()?.get_group())?;
            let status = self.0.house.open.desk.status();
            let mut to = results.get().init_pong();
            to.set_peer(status.peer.0);
            to.set_role(write_role(status.role));
            to.set_term(status.term.0);
            to.set_applied(status.applied.0);
            let leader = status.leader.unwrap_or(PeerId(0));
            write_member(leader, self.0.house.address(leader), to.init_leader());
            Ok(())
        };
        std::future::ready(pong())
    }
}
