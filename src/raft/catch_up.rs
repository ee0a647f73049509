//! How a leader brings a follower's log to its own (§5.3, §7): where the two part, what comes next, and
//! a snapshot if the log no longer reaches back.

use smallvec::SmallVec;

use super::{
    leader::{Leader, Order, Pin},
    message::{Conflict, Pull, Receiving, Refused},
    role::{Next, Outbox, Receive},
    types::{Index, PeerId, Position},
};

impl Leader {
    /// Where to look next for the entry at which a follower's log parts from ours (§5.3): skips a
    /// whole term of either log at a time, and never goes back behind what is known to match.
    /// `None`: it is gone from the front of our log.
    fn back_up(&self, conflict: Conflict, matched: Index) -> Option<Index> {
        let log = self.state.log();
        let before = match conflict.term {
            None => log.floor(conflict.first.prev(), self.state.term()),
            Some(term) => {
                let ours = log.floor(conflict.prev.index.prev(), term)?;
                let same_term = ours.term == term && ours.index >= conflict.first;
                if same_term { Some(ours) } else { log.floor(ours.index.min(conflict.first.prev()), term) }
            }
        };
        before.map(|position| position.index.max(matched))
    }

    /// Sends one follower the entries behind `prev`, or a snapshot if the log no longer reaches back.
    fn feed(&mut self, to: PeerId, prev: Index, out: &mut Outbox<Order>) {
        let log = self.state.log();
        let Some(term) = log.term_at(prev) else { return self.send_snapshot(to, out) };
        let config = self.state.config();
        let batches =
            log.slice(prev.next(), log.last().index, config.batch_entries_max, config.batch_bytes_max);
        out.early.push(Order::Feed(to, self.slice(Position { term, index: prev }, batches)));
    }

    /// Feeds a follower that is known to hold `prev`, and asks any other whether it does.
    fn find_out(&mut self, to: PeerId, prev: Index, out: &mut Outbox<Order>) {
        if prev <= self.matched(to) {
            return self.feed(to, prev, out);
        }
        let Some(term) = self.state.log().term_at(prev) else { return self.send_snapshot(to, out) };
        let slice = self.slice(Position { term, index: prev }, SmallVec::new());
        out.early.push(Order::Probe(to, slice));
    }

    /// `matchIndex` of one follower.
    pub(super) fn matched(&self, peer: PeerId) -> Index {
        self.views.get(&peer).map_or(Index(0), |view| view.matched)
    }

    /// The log that follows the snapshot stays while the follower takes it in, as long as it lives.
    /// Which snapshot it is the replicator says with its first progress.
    fn send_snapshot(&mut self, to: PeerId, out: &mut Outbox<Order>) {
        let (now_ms, base) = (self.state.now_ms, self.state.log().base().index);
        let silence_ms = self.state.config().replicator_silence_ms;
        if let Some(view) = self.views.get_mut(&to) {
            let lives = now_ms < view.heard_ms + silence_ms;
            view.pinned = lives.then_some(Pin { upto: base, until_ms: now_ms + silence_ms });
        }
        out.early.push(Order::SendSnapshot(to));
    }

    /// A follower's log matches up to here. If it is pinned, the pin goes with it until it has all that
    /// is committed: a snapshot alone is of no use, if what comes behind it is gone by then.
    pub(super) fn has_matched(&mut self, from: PeerId, index: Index) {
        let until_ms = self.state.now_ms + self.state.config().replicator_silence_ms;
        let Some(view) = self.views.get_mut(&from) else { return };
        let got_on = index > view.matched;
        view.matched = view.matched.max(index);
        if view.matched >= self.state.commit() {
            view.pinned = None;
        } else if let Some(pin) = view.pinned.as_mut().filter(|_| got_on) {
            *pin = Pin { upto: pin.upto.max(view.matched), until_ms };
        }
    }

    /// The first entry behind which the log has to stay for a follower that gets on. A follower so slow
    /// that the log would fill our memory is let go of: another snapshot costs less.
    pub(super) fn needed(&self) -> Option<Index> {
        let (now_ms, bytes_max) = (self.state.now_ms, self.state.config().unapplied_bytes_max as u64);
        let pins = self.views.values().filter_map(|view| view.pinned);
        let is_kept =
            |pin: &Pin| now_ms < pin.until_ms && self.state.log().weight_after(pin.upto) <= bytes_max;
        pins.filter(is_kept).map(|pin| pin.upto).min()
    }
}

impl Receive<Receiving> for Leader {
    /// A follower gets on with a snapshot (§7): what comes behind it must be there when it is done.
    fn receive(&mut self, receiving: Receiving, _: &mut Outbox<Order>) -> Next<Self, Receiving> {
        let until_ms = self.state.now_ms + self.state.config().replicator_silence_ms;
        if let Some(view) = self.views.get_mut(&receiving.from) {
            view.pinned = Some(Pin { upto: receiving.at.max(view.matched), until_ms });
        }
        Next::Stay
    }
}

impl Receive<Refused> for Leader {
    /// "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry" (§5.3),
    /// a whole term at a time. A refusal of what is known to match is an old one.
    fn receive(&mut self, answer: Refused, out: &mut Outbox<Order>) -> Next<Self, Refused> {
        self.hear(answer.from, answer.round, answer.healthy);
        let matched = self.matched(answer.from);
        if let Some(conflict) = answer.conflict.filter(|conflict| conflict.prev.index > matched) {
            match self.back_up(conflict, matched) {
                Some(prev) => self.find_out(answer.from, prev, out),
                None => self.send_snapshot(answer.from, out),
            }
        }
        self.confirm_reads(&mut out.letters);
        Next::Stay
    }
}

impl Receive<Pull> for Leader {
    /// A replicator has room: it gets what comes next, also while entries before that are still
    /// under way, and never again what is known to match. One that does not know where it stands is
    /// told where to look: behind what is known to match, else at the end of our log (§5.3).
    fn receive(&mut self, pull: Pull, out: &mut Outbox<Order>) -> Next<Self, Pull> {
        let (matched, last) = (self.matched(pull.from), self.state.log().last().index);
        match pull.next {
            Some(next) => self.feed(pull.from, next.prev().max(matched).min(last), out),
            None if matched > Index(0) => self.feed(pull.from, matched, out),
            None => self.find_out(pull.from, last, out),
        }
        Next::Stay
    }
}
