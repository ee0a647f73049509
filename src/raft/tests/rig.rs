//! One peer on the bench: peer 1 of three (or as many as a test likes), in any role.

use std::sync::Mutex;

use super::{
    candidate::Candidate,
    dry::{Dry, Errand, Turn},
    follower::Follower,
    leader::{Leader, Order},
    pre_candidate::PreCandidate,
    *,
};

/// The time on the bench at the start: long after anybody heard anything.
pub const NOW_MS: u64 = 10_000;

/// The state of peer 1 of `count`, in `term`, with entries of `terms` behind the first membership.
pub fn state_of(count: u64, config: &Config, ballot: (u64, Option<u64>), terms: &[u64]) -> State {
    let records = disk(count, ballot, terms);
    let mut state = State::recover(&identity(1, count, config), records, None, [7; 32]).unwrap();
    state.now_ms = NOW_MS;
    state
}

/// Peer 1 of three in `role`, in `term`, with that log, after its first turn.
pub fn peer(role: RoleKind, term: u64, terms: &[u64]) -> Dry {
    peer_of(3, &Config::default(), role, term, terms)
}

/// The same, of `count` with a `config`.
pub fn peer_of(count: u64, config: &Config, role: RoleKind, term: u64, terms: &[u64]) -> Dry {
    let state = |ballot| state_of(count, config, ballot, terms);
    let role = match role {
        RoleKind::Follower => AnyRole::Follower(Follower::new(state((term, None)))),
        RoleKind::PreCandidate => {
            AnyRole::PreCandidate(PreCandidate::new(state((term, None)), Why::HeardNoLeader))
        }
        RoleKind::Candidate => {
            AnyRole::Candidate(Candidate::campaign(state((term - 1, None)), false, Why::HeardNoLeader))
        }
        RoleKind::Leader => AnyRole::Leader(Leader::elected(state((term, Some(1))))),
    };
    let mut dry = Dry::with(role);
    dry.enter();
    dry.end_turn(0);
    assert_eq!(dry.state().term(), Term(term));
    dry
}

/// A follower that recovered with this ballot and log, and has heard nobody for long.
pub fn recovered(ballot: (u64, Option<u64>), terms: &[u64]) -> Dry {
    let mut dry =
        Dry::start(&identity(1, 3, &Config::default()), disk(3, ballot, terms), None, [7; 32]).unwrap();
    dry.state_mut().now_ms = NOW_MS;
    dry
}

/// Ends the turn and those of the successors, and sends what there is to send.
pub fn end(dry: &mut Dry) -> Turn {
    let mut all = dry.end_turn(0);
    for successors in 0.. {
        if !dry.is_open() {
            break;
        }
        assert!(successors < 100, "one successor after the other");
        let turn = dry.end_turn(0);
        all.early.extend(turn.early);
        all.records.extend(turn.records);
        all.late.extend(turn.late);
        all.letters.machine.extend(turn.letters.machine);
        all.letters.replies.extend(turn.letters.replies);
        all.letters.outcomes.extend(turn.letters.outcomes);
    }
    for reply in std::mem::take(&mut all.letters.replies) {
        reply.send();
    }
    for (port, outcome) in std::mem::take(&mut all.letters.outcomes) {
        port.answer(outcome);
    }
    all
}

/// What is answered to a message by the end of its turn.
pub fn ask<T: Send + 'static>(dry: &mut Dry, hear: impl FnOnce(&mut Dry, Reply<T>)) -> Option<T> {
    let answer = Arc::new(Mutex::new(None));
    let slot = answer.clone();
    hear(dry, Reply::new(move |answer| assert!(slot.lock().unwrap().replace(answer).is_none())));
    end(dry);
    answer.lock().unwrap().take()
}

pub fn canvass(dry: &mut Dry, term: u64, candidate: u64, last: Position) -> PreVoted {
    let (term, candidate) = (Term(term), PeerId(candidate));
    ask(dry, |dry, reply| dry.deliver(PreVote { term, candidate, last, reply })).expect("always answered")
}

pub fn request_vote(dry: &mut Dry, term: u64, candidate: u64, last: Position) -> Voted {
    let (term, candidate, transfer) = (Term(term), PeerId(candidate), false);
    let hear = |dry: &mut Dry, reply| dry.deliver(RequestVote { term, candidate, last, transfer, reply });
    ask(dry, hear).expect("always answered")
}

/// A slice of entries behind `prev`, of these terms.
pub fn slice(prev: Position, terms: &[u64], commit: u64) -> Arc<Slice> {
    let mut batches = smallvec::SmallVec::new();
    let mut index = prev.index;
    for &term in terms {
        index = index.next();
        let command = data(format!("{term}.{index}"));
        batches.extend(Batch::new(Term(term), index, vec![command]));
    }
    Arc::new(Slice { prev, batches, commit: Index(commit), round: 0 })
}

pub fn append(dry: &mut Dry, term: u64, leader: u64, slice: Arc<Slice>) -> Option<Appended> {
    let (term, leader) = (Term(term), PeerId(leader));
    ask(dry, |dry, reply| dry.deliver(AppendEntries { term, leader, slice, reply }))
}

/// An empty AppendEntries that any follower accepts.
pub fn heartbeat(dry: &mut Dry, term: u64, leader: u64) -> Option<Appended> {
    append(dry, term, leader, slice(Position::ZERO, &[], 0))
}

pub fn install(dry: &mut Dry, term: u64, leader: u64, at: Position) -> Option<ChunkTaken> {
    let (term, leader) = (Term(term), PeerId(leader));
    let meta = Arc::new(SnapshotMeta { at, membership: voters(3), bytes: 1, checksum: 0 });
    ask(dry, |dry, reply| dry.deliver(Installed { term, leader, meta, reply }))
}

/// A vote for the candidate on the bench.
pub fn voted(dry: &mut Dry, from: u64, term: u64, granted: bool) {
    dry.answer(dry.tenure(), Voted { from: PeerId(from), term: Term(term), granted });
    end(dry);
}

/// A follower that holds the leader's log up to `index`.
pub fn matched(dry: &mut Dry, from: u64, index: u64) -> Turn {
    matched_in(dry, from, index, 0)
}

/// The same, echoing a round.
pub fn matched_in(dry: &mut Dry, from: u64, index: u64, round: u64) -> Turn {
    let answer = Matched { from: PeerId(from), index: Index(index), round, healthy: true };
    dry.answer(dry.tenure(), answer);
    end(dry)
}

/// A follower of the leader on the bench refuses what follows `prev`.
pub fn refused(dry: &mut Dry, from: u64, conflict: Conflict) -> Turn {
    let answer = Refused { from: PeerId(from), conflict: Some(conflict), round: 0, healthy: true };
    dry.answer(dry.tenure(), answer);
    end(dry)
}

/// Proposes one command each; the outcomes come to the receiver.
pub fn propose(
    dry: &mut Dry,
    commands: impl IntoIterator<Item = Command>,
) -> futures_channel::mpsc::UnboundedReceiver<(u64, Outcome)> {
    let (sender, outcomes) = futures_channel::mpsc::unbounded();
    let commands: Vec<_> = commands.into_iter().collect();
    let ports = (0..commands.len() as u64).map(|tag| Port::tagged(tag, sender.clone())).collect();
    dry.deliver(Propose { commands, ports });
    outcomes
}

/// A query whose outcome comes to the receiver.
pub fn query() -> (Query, oneshot::Receiver<Outcome>) {
    let (port, outcome) = Port::new();
    (Query { question: Bytes::new(), port }, outcome)
}

/// Lets `ms` pass, and wakes the peer up.
pub fn tick_after(dry: &mut Dry, ms: u64) -> Turn {
    dry.state_mut().now_ms += ms;
    dry.deliver(Tick);
    end(dry)
}

/// The orders among what was said.
pub fn orders(errands: &[Errand]) -> Vec<Order> {
    let order = |errand: &Errand| match errand {
        Errand::Order(order) => Some(order.clone()),
        _ => None,
    };
    errands.iter().filter_map(order).collect()
}

/// The end of a peer's log.
pub fn last(dry: &Dry) -> Position {
    dry.state().log().last()
}

pub fn at(term: u64, index: u64) -> Position {
    Position::new(term, index)
}
