//! What can be made to go wrong in a cluster: actors, disks, links.

use std::time::Duration;

use super::{Cluster, data::PeerDisk};
use crate::{
    actor::supervision::Fall,
    machine::Interface,
    raft::{ActorKind, PeerId},
    storage::MemoryDisk,
    transport::faults::{FaultGuard, Peers, Rule},
};

/// How a peer is ended for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Crash {
    /// As if the actor had panicked.
    Panic,
    /// As if the actor had stopped.
    Stop,
}

impl<I: Interface> Cluster<I> {
    // Actors.

    /// Makes one actor of a peer fall as if it had panicked, at its next poll, also in the middle of a
    /// sync. It heals by itself. A replicator falls only on a leader.
    pub fn crash(&self, peer: PeerId, actor: ActorKind) {
        self.crash_with(peer, actor, Crash::Panic);
    }

    /// Makes one actor of a peer fall, in the way that is named.
    pub fn crash_with(&self, peer: PeerId, actor: ActorKind, how: Crash) {
        let fall = match how {
            Crash::Panic => Fall::Panic,
            Crash::Stop => Fall::Stop,
        };
        if let Some(place) = self.inner.places.get(&peer) {
            place.seat.trip(actor, fall);
        }
    }

    /// Makes the actors of one kind stand still for a while: they are not polled, whatever comes in, as on a
    /// thread that gets no time. All those of the kind do: of a leader all replicators. They can be crashed
    /// and killed meanwhile, and whoever takes their place, a rebuilt actor or the next role, stands still for
    /// the rest of the time. It ends by itself, and with this life of the peer. Nothing happens to a peer
    /// that is down.
    ///
    /// While the [`Peer`](ActorKind::Peer) itself stands still, crashes are heard only afterwards: it passes
    /// them on.
    pub fn stall(&self, peer: PeerId, actor: ActorKind, time: Duration) {
        if let Some(place) = self.inner.places.get(&peer) {
            place.seat.stall(actor, time);
        }
    }

    /// Makes the actors of one kind slow: each poll is put off by this much, as on a thread that is
    /// starved. [`Duration::ZERO`] ends it; what is put off by then still comes late. Who is slow is the kind,
    /// as in [`stall`](Cluster::stall): a rebuilt actor or the next role is too. A kill of the peer ends it.
    pub fn slow(&self, peer: PeerId, actor: ActorKind, each_poll: Duration) {
        if let Some(place) = self.inner.places.get(&peer) {
            place.seat.slow(actor, each_poll);
        }
    }

    // Clocks.

    /// Makes the clock of a peer run faster or slower, in thousandths of the cluster's clock: 1,000 is as
    /// fast, at least 100, at most 10,000. The peer's timeouts come sooner or later by that; time neither jumps nor
    /// goes back, and what a clock is ahead or behind it stays. It is the machine's clock: a kill does not end
    /// it. Disks, links and clients keep the time of the cluster, and so do reports.
    pub fn set_clock_rate(&self, peer: PeerId, per_mille: u32) {
        if let Some(place) = self.inner.places.get(&peer) {
            place.seat.set_clock_rate(per_mille);
        }
    }

    // Disks.

    /// The disk of a peer, if it is in memory: slow it down, make it fail.
    pub fn disk(&self, peer: PeerId) -> Option<&MemoryDisk> {
        match &self.inner.places.get(&peer)?.disk {
            PeerDisk::Memory(disk) => Some(disk),
            PeerDisk::Folder(_) => None,
        }
    }

    // The network.

    /// Puts a fault rule in force until the guard is dropped.
    #[must_use = "the fault is over when the guard is dropped; `keep()` makes it last"]
    pub fn fault(&self, rule: Rule) -> FaultGuard {
        self.inner.network.faults().begin(rule)
    }

    /// Cuts all links between two groups of peers, both ways, until the guard is dropped.
    #[must_use = "the partition is over when the guard is dropped; `keep()` makes it last"]
    pub fn partition(&self, one: impl Into<Peers>, other: impl Into<Peers>) -> FaultGuard {
        self.fault(Rule::new().between(one, other).cut())
    }

    /// Cuts one peer off from all others, both ways, until the guard is dropped.
    #[must_use = "the peer is back when the guard is dropped; `keep()` makes it last"]
    pub fn isolate(&self, peer: PeerId) -> FaultGuard {
        let others: Vec<_> = self.peers().into_iter().filter(|&other| other != peer).collect();
        self.partition([peer], others)
    }

    /// Cuts the link from one peer to another, that way only, until the guard is dropped.
    #[must_use = "the link is back when the guard is dropped; `keep()` makes it last"]
    pub fn cut(&self, from: PeerId, to: PeerId) -> FaultGuard {
        self.fault(Rule::new().from([from]).to([to]).cut())
    }
}
