//! Everything that peers say to each other, as values that can be compared; written and read as on the wire.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use capnp::{Result, message::Builder, serialize, traits::Owned};
use tokio::runtime::Runtime;

use crate::{
    raft::*,
    storage::Incarnation,
    transport::{
        Introduction, Objection, SessionLimits,
        capnp::{
            codec::*,
            frame::{self, Allowance, Frame},
            handshake::{Refused, read_introduction, read_refused, write_introduction, write_refused},
            messages_capnp as wire,
        },
    },
};

/// A message, without the port of its answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    PreVote(Term, PeerId, Position),
    RequestVote(Term, PeerId, Position, bool),
    Append(Term, PeerId, Slice),
    Install(Term, PeerId, SnapshotMeta, u64, Bytes),
    TimeoutNow(Term, PeerId),
    PreVoted(PreVoted),
    Voted(Voted),
    Appended(Appended),
    Taken(ChunkTaken),
    Introduction(Introduction),
    Refused(Refused),
}

fn nobody<T: 'static>() -> Reply<T> {
    Reply::new(|_| {})
}

/// The cluster of every introduction here: its name travels beside it.
pub const CLUSTER: &str = "orders";

/// Who is refused, and what it says of itself.
pub fn guest() -> Introduction {
    let sessions = SessionLimits { max: 10_000, window: 1_024 };
    let incarnation = Incarnation(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    Introduction {
        cluster: CLUSTER.into(),
        peer: PeerId(3),
        first_membership: 0xdead_beef,
        incarnation,
        sessions,
    }
}

/// Whom it wanted to speak with.
pub const WANTED: PeerId = PeerId(2);

fn write<T: Owned>(fill: impl FnOnce(T::Builder<'_>)) -> Vec<u8> {
    let mut message = Builder::new_default();
    fill(message.init_root::<T::Builder<'_>>());
    serialize::write_message_to_words(&message)
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Reads a frame as a connection does, with all of its limits.
pub fn frame(bytes: &[u8], bytes_max: usize, runtime: &Runtime) -> std::io::Result<Option<Frame>> {
    let allowance = Allowance {
        bytes_max: &|| bytes_max,
        free_bytes: bytes_max,
        budget: None,
        passage: None,
        time: Duration::from_secs(1),
    };
    runtime.block_on(async { frame::read(&mut &*bytes, &allowance).await })
}

impl Message {
    pub fn write(&self) -> Vec<u8> {
        match self.clone() {
            Message::PreVote(term, candidate, last) => {
                let rpc = PreVote { term, candidate, last, reply: nobody() };
                write::<wire::pre_vote::Owned>(|to| write_pre_vote(&rpc, to))
            }
            Message::RequestVote(term, candidate, last, transfer) => {
                let rpc = RequestVote { term, candidate, last, transfer, reply: nobody() };
                write::<wire::request_vote::Owned>(|to| write_request_vote(&rpc, to))
            }
            Message::Append(term, leader, slice) => {
                let rpc = AppendEntries { term, leader, slice: Arc::new(slice), reply: nobody() };
                write::<wire::append_entries::Owned>(|to| write_append(&rpc, to))
            }
            Message::Install(term, leader, meta, offset, data) => {
                let rpc =
                    InstallSnapshot { term, leader, meta: Arc::new(meta), offset, data, reply: nobody() };
                write::<wire::install_snapshot::Owned>(|to| write_install(&rpc, to))
            }
            Message::TimeoutNow(term, leader) => {
                write::<wire::timeout_now::Owned>(|to| write_timeout_now(&TimeoutNow { term, leader }, to))
            }
            Message::PreVoted(it) => {
                write::<wire::vote::Owned>(|to| write_vote(it.from, it.term, it.granted, to))
            }
            Message::Voted(it) => {
                write::<wire::vote::Owned>(|to| write_vote(it.from, it.term, it.granted, to))
            }
            Message::Appended(it) => write::<wire::appended::Owned>(|to| write_appended(&it, to)),
            Message::Taken(it) => write::<wire::chunk_taken::Owned>(|to| write_taken(&it, to)),
            Message::Introduction(it) => write::<wire::introduction::Owned>(|to| write_introduction(&it, to)),
            Message::Refused(it) => write::<wire::refusal::Owned>(|to| write_refused(&it, to)),
        }
    }

    /// Reads a message of this kind.
    pub fn read(&self, bytes: &[u8], runtime: &Runtime) -> Result<Message> {
        let broken = |error: std::io::Error| capnp::Error::failed(error.to_string());
        let frame = frame(bytes, 64 << 20, runtime).map_err(broken)?;
        let Some(frame) = frame else { return Err(capnp::Error::failed("nothing came".into())) };
        let from = &frame.message;
        Ok(match self {
            Message::PreVote(..) => {
                let rpc = read_pre_vote(from.get_root()?, nobody())?;
                Message::PreVote(rpc.term, rpc.candidate, rpc.last)
            }
            Message::RequestVote(..) => {
                let rpc = read_request_vote(from.get_root()?, nobody())?;
                Message::RequestVote(rpc.term, rpc.candidate, rpc.last, rpc.transfer)
            }
            Message::Append(..) => {
                let rpc = read_append(from.get_root()?, nobody())?;
                Message::Append(rpc.term, rpc.leader, Slice::clone(&rpc.slice))
            }
            Message::Install(..) => {
                let rpc = read_install(from.get_root()?, nobody())?;
                Message::Install(rpc.term, rpc.leader, SnapshotMeta::clone(&rpc.meta), rpc.offset, rpc.data)
            }
            Message::TimeoutNow(..) => {
                let rpc = read_timeout_now(from.get_root()?);
                Message::TimeoutNow(rpc.term, rpc.leader)
            }
            Message::PreVoted(_) => Message::PreVoted(read_pre_voted(from.get_root()?)),
            Message::Voted(_) => Message::Voted(read_voted(from.get_root()?)),
            Message::Appended(_) => Message::Appended(read_appended(from.get_root()?)?),
            Message::Taken(_) => Message::Taken(read_taken(from.get_root()?)?),
            Message::Introduction(_) => Message::Introduction(read_introduction(CLUSTER, from.get_root()?)?),
            Message::Refused(_) => Message::Refused(read_refused(from.get_root()?, &guest(), WANTED)?),
        })
    }
}

/// One of each, and of each variety that a reader has to tell apart. In the order of the schema.
pub fn samples() -> Vec<(&'static str, Message)> {
    let mut all = handshake_samples();
    all.extend(request_samples());
    all.extend(answer_samples());
    all
}

fn handshake_samples() -> Vec<(&'static str, Message)> {
    let ours = SessionLimits { max: 1, window: 2 };
    let theirs = guest();
    let refused = |refused| Message::Refused(refused);
    let objection = |objection| Message::Refused(Refused::Objection(objection));
    vec![
        ("introduction", Message::Introduction(guest())),
        ("refusal protocol", refused(Refused::Protocol(1))),
        (
            "refusal cluster",
            objection(Objection::Cluster { ours: "another".into(), theirs: theirs.cluster.clone() }),
        ),
        (
            "refusal first membership",
            objection(Objection::Membership { ours: 0x1234_5678, theirs: theirs.first_membership }),
        ),
        ("refusal same id", objection(Objection::SameId)),
        (
            "refusal incarnation",
            objection(Objection::Incarnation { known: Incarnation(0), theirs: theirs.incarnation }),
        ),
        ("refusal session limits", objection(Objection::Sessions { ours, theirs: theirs.sessions })),
        ("refusal stranger", objection(Objection::Stranger { peer: theirs.peer })),
        ("refusal not me", refused(Refused::NotMe { wanted: WANTED, met: PeerId(1) })),
        ("refusal certificate", refused(Refused::Certificate)),
        ("refusal not ready", refused(Refused::NotReady)),
        ("refusal too many", refused(Refused::TooMany)),
        ("refusal again", refused(Refused::Again)),
    ]
}

fn data(bytes: &'static [u8]) -> Command {
    Command::Data(bytes.into())
}

fn slice(prev: Position, batches: Vec<(u64, Vec<Command>)>) -> Slice {
    let mut first = prev.index.next();
    let batches = batches.into_iter().map(|(term, commands)| {
        let batch = Batch::new(Term(term), first, commands).unwrap();
        first = batch.last().index.next();
        batch
    });
    Slice { prev, batches: batches.collect(), commit: Index(6), round: 12 }
}

fn request_samples() -> Vec<(&'static str, Message)> {
    let (term, leader, prev) = (Term(5), PeerId(1), Position::new(4, 7));
    let append = |batches| Message::Append(term, leader, slice(prev, batches));
    let simple = Membership::of([1, 2, 3].map(PeerId)).with_address(PeerId(1), "10.0.0.1:7411");
    let joint = Membership::of([1, 2, 3].map(PeerId))
        .with_learner(PeerId(9))
        .joint_to([3, 4].map(PeerId))
        .with_address(PeerId(3), "c.example.org:7411")
        .with_address(PeerId(4), "[::1]:7411");
    let membership = |membership: &Membership| Command::Membership(Arc::new(membership.clone()));
    let meta =
        SnapshotMeta { at: prev, membership: Arc::new(simple.clone()), bytes: 4_096, checksum: 0xcafe_f00d };
    let vote = |transfer| Message::RequestVote(term, PeerId(2), prev, transfer);
    vec![
        ("pre-vote", Message::PreVote(term, PeerId(2), prev)),
        ("request-vote", vote(false)),
        ("request-vote transfer", vote(true)),
        ("append-entries heartbeat", append(vec![])),
        ("append-entries noop", append(vec![(5, vec![Command::Noop])])),
        ("append-entries data", append(vec![(5, vec![data(b"set a 1"), data(b""), data(b"\0\xff")])])),
        (
            "append-entries terms",
            append(vec![(4, vec![data(b"old")]), (5, vec![Command::Noop, data(b"new")])]),
        ),
        ("append-entries membership", append(vec![(5, vec![membership(&simple)])])),
        ("append-entries joint membership", append(vec![(5, vec![membership(&joint)])])),
        (
            "install-snapshot",
            Message::Install(term, leader, meta.clone(), 1_024, Bytes::from_static(b"a piece")),
        ),
        ("install-snapshot empty", Message::Install(term, leader, meta, 4_096, Bytes::new())),
        ("timeout-now", Message::TimeoutNow(term, leader)),
    ]
}

fn answer_samples() -> Vec<(&'static str, Message)> {
    let (from, term) = (PeerId(2), Term(5));
    let appended = |result| Message::Appended(Appended { from, term, round: 12, result, healthy: true });
    let conflict =
        |term| Err(Refusal::Conflict(Conflict { prev: Position::new(4, 7), term, first: Index(3) }));
    let taken = |taken| Message::Taken(ChunkTaken { from, term, taken });
    vec![
        ("pre-vote answer", Message::PreVoted(PreVoted { from, term, granted: true })),
        ("request-vote answer", Message::Voted(Voted { from, term, granted: false })),
        ("append-entries answer match", appended(Ok(Index(9)))),
        ("append-entries answer conflict", appended(conflict(Some(Term(2))))),
        ("append-entries answer conflict term 0", appended(conflict(Some(Term(0))))),
        ("append-entries answer conflict short", appended(conflict(None))),
        ("append-entries answer stale", appended(Err(Refusal::Stale))),
        ("append-entries answer backlog", appended(Err(Refusal::Backlog))),
        ("append-entries answer no room", appended(Err(Refusal::NoRoom))),
        ("install-snapshot answer upto", taken(Taken::Upto(2_048))),
        ("install-snapshot answer installed", taken(Taken::Installed(Index(7)))),
        ("install-snapshot answer failed", taken(Taken::Failed)),
    ]
}
