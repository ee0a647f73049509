//! What the tests of whole clusters share: a machine that remembers everything, clients that load a
//! cluster and remember what they were told, and a recording of everything that happened.
//!
//! A test holds when three books agree: what the clients were told, what each machine applied, and
//! what the events say.
#![allow(dead_code, unused_imports)] // Each test takes what it needs.

pub mod ledger;
pub mod load;
pub mod recording;

pub use ledger::{Cure, Ledger, LedgerActor, POISON};
pub use load::{Books, Load, Told, agree, propose_all};
pub use recording::Recording;

use std::{ops::RangeInclusive, time::Duration};

use raft_actors::{Cluster, machine::Interface, raft::*};

/// How long a simulated cluster may take for anything, in virtual time: far more than it needs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The seeds that a test runs with: as many as it says, or as the variable `SEEDS` says, for a hunt.
pub fn seeds(count: u64) -> RangeInclusive<u64> {
    1..=std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(count)
}

/// Milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The peer that leads, and has committed in its term.
pub async fn leader<I: Interface>(cluster: &Cluster<I>) -> PeerId {
    match cluster.wait_for_leader(PATIENCE).await {
        Some(leader) => leader,
        None => panic!("nobody leads: {:#?}", cluster.statuses()),
    }
}

/// The first peer that follows the leader.
pub async fn follower<I: Interface>(cluster: &Cluster<I>) -> PeerId {
    leader(cluster).await;
    let first = || cluster.statuses().into_iter().find(|status| status.role == Some(RoleKind::Follower));
    assert!(cluster.wait_until(PATIENCE, || first().is_some()).await, "{:#?}", cluster.statuses());
    first().expect("nothing happens in between").peer
}

/// Waits until a peer has applied everything that is committed now.
pub async fn catches_up<I: Interface>(cluster: &Cluster<I>, peer: PeerId) {
    let goal = cluster.statuses().iter().map(|status| status.commit).max().unwrap_or_default();
    let there = || cluster.status(peer).is_some_and(|status| status.role.is_some() && status.applied >= goal);
    assert!(cluster.wait_until(PATIENCE, there).await, "{peer} is behind {goal}: {:?}", cluster.status(peer));
}

/// Waits until a peer holds a role.
pub async fn in_role<I: Interface>(cluster: &Cluster<I>, peer: PeerId, role: RoleKind) {
    let holds = || cluster.status(peer).is_some_and(|status| status.role == Some(role));
    assert!(
        cluster.wait_until(PATIENCE, holds).await,
        "{peer} never became a {role}: {:?}",
        cluster.status(peer)
    );
}
