//! Rules for leaders (§5.3, §5.4, §8): append what clients propose, replicate it, commit what a
//! quorum holds, and step down when no quorum answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use smallvec::SmallVec;

use super::{
    event::{Event, RoleKind, Why},
    follower::Follower,
    message::*,
    port::Outcome,
    quorum,
    reads::Reads,
    role::{AnyRole, Letters, Next, Outbox, Receive, Role, Succession, Waiting, Work},
    state::State,
    transfer::HandOver,
    types::{Batch, Command, Index, PeerId, Position},
};

/// What a leader asks of its replicators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// New entries, for every follower that has everything before them.
    Stream(Arc<Slice>),
    /// Entries that one follower asked for: it holds what is before them, or that is under way.
    Feed(PeerId, Arc<Slice>),
    /// No entries: does the follower hold `prev`?
    Probe(PeerId, Arc<Slice>),
    /// A sign of life, on the fast path: its `prev` is what the follower is known to hold.
    Beat(PeerId, Arc<Slice>),
    /// The log no longer reaches back to this follower.
    SendSnapshot(PeerId),
    /// "Campaign at once."
    TimeoutNow(PeerId),
    /// This replicator has heard nothing for too long: put a new one in its place.
    Renew(PeerId),
}

/// One follower, as far as commit, quorum and reads are concerned.
#[derive(Debug)]
pub(super) struct View {
    /// `matchIndex`: only ever rises.
    pub(super) matched: Index,
    /// The last round it echoed.
    round: u64,
    /// When it last answered.
    pub(super) heard_ms: u64,
    /// Whether its machine applies, and its disk has room.
    pub(super) healthy: bool,
    /// What it will need next: what is behind that stays in the log.
    pub(super) pinned: Option<Pin>,
    /// When its replicator is to be replaced, unless it answers before; and how long that is.
    renew_ms: u64,
    patience_ms: u64,
}

/// A follower is being sent a snapshot, or what comes behind one. While it gets on, the log behind it
/// stays: else a leader that takes snapshots faster than it sends them would never be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    /// The last entry that the follower has, or will have when the snapshot is there.
    pub(super) upto: Index,
    /// When it is let go of, unless it gets on before.
    pub(super) until_ms: u64,
}

/// The leader of its term.
#[derive(Debug)]
pub struct Leader {
    pub(super) state: State,
    pub(super) views: BTreeMap<PeerId, View>,
    /// The leader's own disk is one more follower: its log is durable up to here.
    durable: Index,
    /// The first entry of our own term: nothing is committed or read before it is (§5.4.2, §8).
    first_of_term: Index,
    /// The clients of entries that are not committed yet, in order.
    waiting: VecDeque<Waiting>,
    reads: Reads,
    pub(super) hand_over: Option<HandOver>,
    /// The end of the log when the turn began, and what was appended since.
    streamed: Position,
    fresh: Vec<Batch>,
    beat_ms: u64,
}

impl Leader {
    /// "Upon election" (Figure 2): knows nothing of any follower yet.
    pub fn elected(mut state: State) -> Leader {
        let (now_ms, last) = (state.now_ms, state.log().last());
        state.note(|| Event::Elected { last, why: Why::MajorityVoted });
        let mut leader = Leader {
            views: BTreeMap::new(),
            durable: Index(0),
            first_of_term: last.index.next(),
            waiting: VecDeque::new(),
            reads: Reads::default(),
            hand_over: None,
            streamed: last,
            fresh: Vec::new(),
            beat_ms: now_ms,
            state,
        };
        leader.know_followers();
        leader
    }

    /// Keeps a view of exactly those who receive the log.
    fn know_followers(&mut self) {
        let (now_ms, patience_ms) = (self.state.now_ms, self.state.config().replicator_silence_ms);
        let membership = self.state.membership().clone();
        self.views.retain(|&peer, _| membership.contains(peer));
        for peer in membership.others(self.state.id()) {
            self.views.entry(peer).or_insert(View {
                matched: Index(0),
                round: 0,
                heard_ms: now_ms,
                healthy: true,
                pinned: None,
                renew_ms: now_ms + patience_ms,
                patience_ms,
            });
        }
    }

    fn into_follower(mut self) -> AnyRole {
        let last = self.state.log().last();
        self.state.note(|| Event::SteppedDown { last, why: Why::HeardNoQuorum });
        AnyRole::Follower(Follower::new(self.state))
    }

    /// Each follower: up to where its log matches, for how many milliseconds it has been silent, and
    /// whether its machine applies and its disk has room.
    pub fn followers(&self) -> impl Iterator<Item = (PeerId, Index, u64, bool)> {
        let now_ms = self.state.now_ms;
        self.views.iter().map(move |(&peer, view)| {
            (peer, view.matched, now_ms.saturating_sub(view.heard_ms), view.healthy)
        })
    }

    /// Check-quorum (thesis §6.2): a quorum answered within the longest election timeout.
    fn hears_quorum(&self) -> bool {
        let (me, now_ms) = (self.state.id(), self.state.now_ms);
        let patience_ms = self.state.config().election_timeout_ms.end;
        let heard = |peer| self.views.get(&peer).is_some_and(|view| now_ms < view.heard_ms + patience_ms);
        quorum::agrees(self.state.membership(), |peer| peer == me || heard(peer))
    }

    /// Appends, in batches that fit into one message each.
    fn append(&mut self, commands: Vec<Command>, why: Why) {
        let config = self.state.config().clone();
        let weight: usize = commands.iter().map(Command::weight).sum();
        // Nearly always: then nothing has to be moved.
        if commands.len() <= config.batch_entries_max && weight <= config.batch_bytes_max {
            return self.fresh.extend(self.state.append(commands, why));
        }
        let mut rest = commands.into_iter().peekable();
        while rest.peek().is_some() {
            let mut chunk = Vec::with_capacity(rest.len().min(config.batch_entries_max));
            let mut weight = 0;
            while let Some(command) = rest.next_if(|command| {
                let fits = weight + command.weight() <= config.batch_bytes_max;
                chunk.len() < config.batch_entries_max && (fits || chunk.is_empty())
            }) {
                weight += command.weight();
                chunk.push(command);
            }
            self.fresh.extend(self.state.append(chunk, why));
        }
    }

    /// Hands what the turn appended to all replicators at once, as messages of bounded size.
    fn stream(&mut self, out: &mut Outbox<Order>) {
        let config = self.state.config().clone();
        let mut fresh = std::mem::take(&mut self.fresh).into_iter().peekable();
        while fresh.peek().is_some() {
            let (mut batches, mut entries, mut bytes) = (SmallVec::new(), 0, 0);
            while let Some(batch) = fresh.next_if(|batch| {
                let fits = entries + batch.count() as usize <= config.batch_entries_max
                    && bytes + batch.weight() <= config.batch_bytes_max;
                batches.is_empty() || fits
            }) {
                entries += batch.count() as usize;
                bytes += batch.weight();
                batches.push(batch);
            }
            let slice = self.slice(self.streamed, batches);
            self.streamed = slice.end();
            out.early.push(Order::Stream(slice));
        }
    }

    pub(super) fn slice(&self, prev: Position, batches: SmallVec<[Batch; 2]>) -> Arc<Slice> {
        Arc::new(Slice { prev, batches, commit: self.state.commit(), round: self.reads.round() })
    }

    /// "Send heartbeats during idle periods to prevent election timeouts" (§5.2). What a follower is
    /// known to hold is always a `prev` that it accepts.
    fn beat(&mut self, out: &mut Vec<Order>) {
        self.beat_ms = self.state.now_ms + self.state.config().heartbeat_ms;
        for (&peer, view) in &self.views {
            let term = self.state.log().term_at(view.matched);
            let prev = term.map_or(Position::ZERO, |term| Position { term, index: view.matched });
            out.push(Order::Beat(peer, self.slice(prev, SmallVec::new())));
        }
    }

    /// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and
    /// log[N].term == currentTerm: set commitIndex = N" (§5.3, §5.4). Never before our own disk has
    /// it: what is applied on a peer is durable there.
    fn advance_commit(&mut self, letters: &mut Letters) {
        let (me, durable) = (self.state.id(), self.durable);
        let matched =
            |peer| if peer == me { Some(durable) } else { self.views.get(&peer).map(|view| view.matched) };
        let commit = quorum::reached(self.state.membership(), matched).min(durable);
        let is_ours = self.state.log().term_at(commit) == Some(self.state.term()) || planted!(OldTermCommit);
        if commit > self.state.commit() && is_ours {
            let batches = self.state.commit_to(commit, Why::QuorumHolds);
            letters.apply(batches, self.take_waiting(commit));
        }
        self.confirm_reads(letters);
    }

    /// The clients of everything up to `commit`.
    fn take_waiting(&mut self, commit: Index) -> Vec<Waiting> {
        let mut ready = Vec::new();
        while let Some(mut group) = self.waiting.pop_front() {
            if group.first > commit {
                self.waiting.push_front(group);
                break;
            }
            let due = commit.next().since(group.first) as usize;
            if due < group.ports.len() {
                let ports = group.ports.split_off(due);
                self.waiting.push_front(Waiting { term: group.term, first: commit.next(), ports });
            }
            ready.push(group);
        }
        ready
    }

    /// Releases the reads whose round a quorum echoed, once an entry of our own term is committed:
    /// before that our commit index may be behind what earlier leaders committed (§8).
    pub(super) fn confirm_reads(&mut self, letters: &mut Letters) {
        let is_settled = self.state.commit() >= self.first_of_term || planted!(NoNoopBeforeReads);
        if self.reads.count() == 0 || !is_settled {
            return;
        }
        let (me, ours) = (self.state.id(), self.reads.round());
        let echoed = |peer| {
            if peer == me || planted!(ReadWithoutQuorum) {
                Some(ours)
            } else {
                self.views.get(&peer).map(|view| view.round)
            }
        };
        let queries = self.reads.confirm(quorum::reached(self.state.membership(), echoed));
        if !queries.is_empty() {
            let (count, index) = (queries.len(), self.state.commit());
            self.state.note(|| Event::ReadsConfirmed { count, index, why: Why::QuorumEchoed });
            letters.machine.push(Work::Read { index, queries });
        }
    }

    /// A follower answered.
    pub(super) fn hear(&mut self, from: PeerId, round: u64, healthy: bool) {
        let (now_ms, silence_ms) = (self.state.now_ms, self.state.config().replicator_silence_ms);
        if let Some(view) = self.views.get_mut(&from) {
            view.heard_ms = now_ms;
            view.round = view.round.max(round);
            view.healthy = healthy;
            view.patience_ms = silence_ms;
            view.renew_ms = now_ms + silence_ms;
        }
    }
}

impl Role for Leader {
    type Errand = Order;
    const KIND: RoleKind = RoleKind::Leader;

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn into_state(self) -> State {
        self.state
    }

    /// "Each leader commits a blank no-op entry at the start of its term" (§8).
    fn enter(&mut self, out: &mut Outbox<Order>) {
        self.append(vec![Command::Noop], Why::FirstOfTerm);
        self.stream(out);
        self.beat_ms = self.state.now_ms + self.state.config().heartbeat_ms;
    }

    /// One round for all reads of the turn, one message for all its entries.
    fn close(&mut self, out: &mut Outbox<Order>) {
        let asked = self.reads.begin_round();
        if !self.fresh.is_empty() {
            self.stream(out);
        }
        if asked {
            self.beat(&mut out.early);
        }
        self.pursue_transfer(out);
    }

    /// Our own disk is one more follower.
    fn synced(&mut self, deaf_ms: u64, out: &mut Outbox<Order>) -> Option<Succession<Self>> {
        for view in self.views.values_mut() {
            view.heard_ms += deaf_ms;
            view.renew_ms += deaf_ms;
            view.pinned.iter_mut().for_each(|pin| pin.until_ms += deaf_ms);
        }
        self.durable = self.state.log().last().index;
        self.advance_commit(&mut out.letters);
        None
    }

    /// Clients of entries that are not committed are told by the machine, which will see what became
    /// of them. Reads were not answered, and nothing happened.
    fn leave(&mut self, letters: &mut Letters) {
        let queries = self.reads.give_up().into_iter();
        letters.answer_all(queries.map(|query| query.port), &Outcome::NotLeader { leader: None });
        if !self.waiting.is_empty() {
            letters.machine.push(Work::Orphans(self.waiting.drain(..).collect()));
        }
        if let Some(hand_over) = self.hand_over.take() {
            hand_over.left(letters);
        }
    }

    fn deadline_ms(&self) -> u64 {
        let hand_over_ms = self.hand_over.as_ref().map_or(u64::MAX, |hand_over| hand_over.deadline_ms);
        self.beat_ms.min(hand_over_ms)
    }

    /// A leader with a living quorum is not deposed by a candidate (thesis §4.2.3).
    fn holds_on(&self) -> bool {
        self.hears_quorum()
    }

    fn leader(&self) -> Option<PeerId> {
        Some(self.state.id())
    }

    fn pinned(&self) -> Option<Index> {
        self.needed()
    }
}

impl Receive<Tick> for Leader {
    /// Heartbeats; or steps down when no quorum was heard for an election timeout (thesis §6.2).
    fn receive(&mut self, _: Tick, out: &mut Outbox<Order>) -> Next<Self, Tick> {
        if !self.hears_quorum() {
            return Next::Become(Self::into_follower);
        }
        self.check_transfer(&mut out.letters);
        let now_ms = self.state.now_ms;
        if now_ms < self.beat_ms {
            return Next::Stay;
        }
        for (&peer, view) in self.views.iter_mut().filter(|(_, view)| now_ms >= view.renew_ms) {
            // Each time it waits twice as long: a peer that is down for a day is no news.
            view.patience_ms = view.patience_ms.saturating_mul(2);
            view.renew_ms = now_ms.saturating_add(view.patience_ms);
            view.pinned = None;
            self.state.note(|| Event::Renewed { to: peer, why: Why::Silence });
            out.early.push(Order::Renew(peer));
        }
        self.beat(&mut out.early);
        Next::Stay
    }
}

impl Receive<PreVote> for Leader {
    /// A leader that hears a quorum is alive; one that does not is about to step down
    /// (thesis §6.2, §9.6).
    fn receive(&mut self, rpc: PreVote, out: &mut Outbox<Order>) -> Next<Self, PreVote> {
        let answer = self.state.answer_canvass(&rpc, true);
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<RequestVote> for Leader {
    /// We voted for ourselves in this term (§5.2).
    fn receive(&mut self, rpc: RequestVote, out: &mut Outbox<Order>) -> Next<Self, RequestVote> {
        let answer = self.state.answer_candidate(&rpc, true);
        out.reply(rpc.reply, answer);
        Next::Stay
    }
}

impl Receive<AppendEntries> for Leader {
    /// A second leader in our term: can't be (Election Safety, §5.2), and is not believed.
    fn receive(&mut self, rpc: AppendEntries, _: &mut Outbox<Order>) -> Next<Self, AppendEntries> {
        self.state.note_violation(rpc.leader, || "entries in our own term".into(), Why::SecondLeader);
        Next::Stay
    }
}

impl Receive<Installed> for Leader {
    /// A second leader in our term: can't be (Election Safety, §5.2), and is not believed.
    fn receive(&mut self, rpc: Installed, _: &mut Outbox<Order>) -> Next<Self, Installed> {
        self.state.note_violation(rpc.leader, || "a snapshot in our own term".into(), Why::SecondLeader);
        Next::Stay
    }
}

impl Receive<TimeoutNow> for Leader {
    /// It leads already (thesis §3.10).
    fn receive(&mut self, _: TimeoutNow, _: &mut Outbox<Order>) -> Next<Self, TimeoutNow> {
        Next::Stay
    }
}

impl Receive<Propose> for Leader {
    /// "If command received from client: append entry to local log, respond after entry applied to
    /// state machine" (§5.3). Refuses at once what it can't take now.
    fn receive(&mut self, proposal: Propose, out: &mut Outbox<Order>) -> Next<Self, Propose> {
        if let Some(refusal) = self.refusal() {
            out.letters.answer_all(proposal.ports, &refusal);
            return Next::Stay;
        }
        let first = self.state.log().last().index.next();
        self.append(proposal.commands, Why::Proposed);
        self.waiting.push_back(Waiting { term: self.state.term(), first, ports: proposal.ports });
        Next::Stay
    }
}

impl Receive<ReadIndex> for Leader {
    /// Notes the queries; the turn's end begins a round for them (thesis §6.4).
    fn receive(&mut self, read: ReadIndex, out: &mut Outbox<Order>) -> Next<Self, ReadIndex> {
        let refusal = match self.state.poisoned() {
            Some(index) => Some(Outcome::Poisoned { index }),
            None if self.reads.count() > self.state.config().inbox_entries_max => Some(Outcome::Busy),
            None => None,
        };
        match refusal {
            Some(refusal) => {
                out.letters.answer_all(read.queries.into_iter().map(|query| query.port), &refusal)
            }
            None => self.reads.ask(read.queries),
        }
        Next::Stay
    }
}

impl Receive<Matched> for Leader {
    /// "If successful: update nextIndex and matchIndex for follower" (§5.3).
    fn receive(&mut self, answer: Matched, out: &mut Outbox<Order>) -> Next<Self, Matched> {
        if answer.index > self.state.log().last().index {
            let what = || format!("holds entry {}, which does not exist", answer.index);
            self.state.note_violation(answer.from, what, Why::Implausible);
            return Next::Stay;
        }
        self.hear(answer.from, answer.round, answer.healthy);
        self.has_matched(answer.from, answer.index);
        self.advance_commit(&mut out.letters);
        Next::Stay
    }
}

impl Receive<Outran> for Leader {
    /// Never of our term: the rules for all servers have dealt with it (§5.1).
    fn receive(&mut self, _: Outran, _: &mut Outbox<Order>) -> Next<Self, Outran> {
        Next::Stay
    }
}
