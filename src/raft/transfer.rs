//! Leadership transfer (thesis §3.10): stop taking proposals, wait until the target holds the whole
//! log, tell it to campaign; give up after an election timeout.

use bytes::Bytes;

use super::{
    event::{Event, Why},
    leader::{Leader, Order},
    message::Transfer,
    port::{Outcome, Port},
    role::{Letters, Next, Outbox, Receive},
    types::{Index, PeerId},
};

/// A transfer of leadership under way.
#[derive(Debug)]
pub(super) struct HandOver {
    target: PeerId,
    /// Nobody, if the leader itself wants to leave.
    port: Option<Port>,
    pub(super) deadline_ms: u64,
    /// When the target was last told to campaign.
    ordered_ms: Option<u64>,
}

impl HandOver {
    /// The leader lays its role down: the transfer succeeded if the target was told to campaign.
    pub(super) fn left(self, letters: &mut Letters) {
        let outcome = match self.ordered_ms {
            Some(_) => Outcome::Applied(Bytes::new()),
            None => Outcome::NotLeader { leader: None },
        };
        letters.answer_all(self.port, &outcome);
    }
}

impl Leader {
    /// Why no proposal can be taken now, if so.
    pub(super) fn refusal(&self) -> Option<Outcome> {
        let uncommitted = self.state.log().last().index.since(self.state.commit());
        let full = uncommitted >= self.state.config().uncommitted_entries_max || self.state.is_full();
        match self.state.poisoned() {
            Some(index) if self.successor().is_none() => Some(Outcome::Poisoned { index }),
            Some(_) => Some(Outcome::Busy),
            None if full || self.state.is_disk_full() || self.hand_over.is_some() => Some(Outcome::Busy),
            None => None,
        }
    }

    /// The healthy voter that is furthest; of several the one with the lowest id.
    fn successor(&self) -> Option<PeerId> {
        let voters = self.state.membership().other_voters(self.state.id());
        let healthy = voters
            .filter_map(|peer| self.views.get(&peer).filter(|view| view.healthy).map(|view| (peer, view)));
        healthy.max_by_key(|&(peer, view)| (view.matched, std::cmp::Reverse(peer))).map(|(peer, _)| peer)
    }

    fn begin_transfer(&mut self, target: PeerId, port: Option<Port>, why: Why) {
        let deadline_ms = self.state.now_ms + self.state.config().election_timeout_ms.end;
        self.hand_over = Some(HandOver { target, port, deadline_ms, ordered_ms: None });
        self.state.note(|| Event::TransferBegun { to: target, why });
    }

    /// A leader whose own machine stands still, or whose disk is full, looks for a healthy peer by
    /// itself. It must have heard from it: a new leader takes everybody for healthy, and where all
    /// disks are full leadership would go round and round. If there is none it goes on to lead.
    fn look_for_relief(&mut self) {
        let is_ours = self.hand_over.as_ref().is_none_or(|hand_over| hand_over.port.is_none());
        if !is_ours {
            return;
        }
        let why = if self.state.poisoned().is_some() { Why::FailedTwice } else { Why::NoRoom };
        let is_fit = |peer| self.views.get(&peer).is_some_and(|view| view.healthy && view.matched > Index(0));
        let needed = !self.state.is_healthy();
        match self.hand_over.as_ref().map(|hand_over| hand_over.target) {
            None if needed => {
                if let Some(target) = self.successor().filter(|&target| is_fit(target)) {
                    self.begin_transfer(target, None, why);
                }
            }
            Some(_) if !needed => self.abandon_transfer(Why::NoNeed),
            Some(target) if !is_fit(target) => self.abandon_transfer(Why::TargetUnfit),
            _ => {}
        }
    }

    fn abandon_transfer(&mut self, why: Why) {
        if let Some(HandOver { target, .. }) = self.hand_over.take() {
            self.state.note(|| Event::TransferAbandoned { to: target, why });
        }
    }

    /// The end of a turn: tells the target to campaign as soon as it holds our whole log, and again
    /// if that got lost.
    pub(super) fn pursue_transfer(&mut self, out: &mut Outbox<Order>) {
        self.look_for_relief();
        let (now_ms, last) = (self.state.now_ms, self.state.log().last().index);
        let again_ms = self.state.config().heartbeat_ms;
        let Some(hand_over) = &mut self.hand_over else { return };
        let to = hand_over.target;
        let is_due = hand_over.ordered_ms.is_none_or(|ordered_ms| now_ms >= ordered_ms + again_ms);
        if is_due && self.views.get(&to).is_some_and(|view| view.matched == last) {
            hand_over.ordered_ms = Some(now_ms);
            self.state.note(|| Event::TransferOrdered { to, why: Why::CaughtUp });
            out.late.push(Order::TimeoutNow(to));
        }
    }

    /// A transfer ends within one election timeout: then the leader goes on.
    pub(super) fn check_transfer(&mut self, letters: &mut Letters) {
        let now_ms = self.state.now_ms;
        if let Some(over) = self.hand_over.take_if(|hand_over| now_ms >= hand_over.deadline_ms) {
            letters.answer_all(over.port, &Outcome::Lost);
            self.state.note(|| Event::TransferAbandoned { to: over.target, why: Why::TransferTimedOut });
        }
    }
}

impl Receive<Transfer> for Leader {
    /// Begins to hand over, to the target or to the healthy voter that is furthest (thesis
    /// §3.10).
    fn receive(&mut self, transfer: Transfer, out: &mut Outbox<Order>) -> Next<Self, Transfer> {
        let me = self.state.id();
        let target = transfer.target.or_else(|| self.successor());
        let refusal = match target {
            _ if self.hand_over.is_some() => Some(Outcome::Busy),
            Some(target) if target == me => Some(Outcome::Applied(Bytes::new())),
            Some(target) if self.state.membership().is_voter(target) => None,
            _ => Some(Outcome::Rejected),
        };
        match (refusal, target) {
            (None, Some(target)) => self.begin_transfer(target, Some(transfer.port), Why::Requested),
            (refusal, _) => out.letters.answer_all([transfer.port], &refusal.unwrap_or(Outcome::Rejected)),
        }
        Next::Stay
    }
}
