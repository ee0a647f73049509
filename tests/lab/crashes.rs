//! Every actor of a peer falls, in every role that has it, by panic and by stop, at rest, under load
//! and in the middle of a sync; whole peers lose their power. Each time it heals by itself, and
//! afterwards the books agree: what clients were told is what every machine did, once.
//!
//! A simulation fails if anything fell that was not tripped, so a healing that hides a bug fails here.

use crate::common::{
    Ledger, LedgerActor, Load, PATIENCE, Recording, agree, follower, in_role, leader, ms, propose_all, seeds,
};
use raft_actors::{
    Cluster, Config,
    actor::gauges::PeerStatus,
    cluster::{Builder, Crash},
    machine::Interface,
    raft::{ActorKind, Event, PeerId, RoleKind},
};

/// Both ways to fall.
const BOTH: [Crash; 2] = [Crash::Panic, Crash::Stop];

/// Whose actor falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Leader,
    Follower,
}

impl Whose {
    async fn peer<I: Interface>(self, cluster: &Cluster<I>) -> PeerId {
        match self {
            Whose::Leader => leader(cluster).await,
            Whose::Follower => follower(cluster).await,
        }
    }

    fn role(self) -> RoleKind {
        match self {
            Whose::Leader => RoleKind::Leader,
            Whose::Follower => RoleKind::Follower,
        }
    }
}

fn ledgers(recording: &Recording) -> Builder<Ledger> {
    Cluster::of(|_| Ledger::default()).observe(recording.clone())
}

/// One actor falls while nothing goes on: it is back before anybody asks, and the cluster goes on.
fn at_rest(whose: Whose, actor: ActorKind, how: Crash) {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(1, async |cluster| {
        let mut told = Vec::new();
        let victim = whose.peer(&cluster).await;
        told.extend(propose_all(&cluster, 1..=5).await);
        cluster.run_for(ms(100)).await;
        cluster.crash_with(victim, actor, how);
        cluster.run_for(ms(500)).await;
        leader(&cluster).await;
        told.extend(propose_all(&cluster, 6..=10).await);
        assert_eq!(agree(&cluster, &told).await, (1..=10).collect::<Vec<_>>());
    });
    run.unwrap();
    assert_eq!(crashes(&recording, actor), 1, "{}", recording.text());
    recording.assert_all_recovered();
    recording.assert_safe();
}

/// One actor falls again and again while clients are at work; wherever the leadership is by then.
fn under_load(whose: Whose, actor: ActorKind, how: Crash, seed: u64) {
    let recording = Recording::default();
    let run = ledgers(&recording).simulate(seed, async |cluster| {
        leader(&cluster).await;
        let load = Load::start(&cluster);
        for round in 0..4 {
            load.more(&cluster, 20).await;
            cluster.run_for(ms(round)).await;
            let victim = whose.peer(&cluster).await;
            cluster.crash_with(victim, actor, how);
        }
        load.more(&cluster, 20).await;
        agree(&cluster, &load.stop().await).await;
    });
    run.unwrap();
    assert_eq!(crashes(&recording, actor), 4, "{}", recording.text());
    recording.assert_all_recovered();
    recording.assert_safe();
}

/// One actor falls while its peer's sync is under way. Returns how often that was the case.
fn in_a_sync(whose: Whose, actor: ActorKind, how: Crash, seed: u64) -> usize {
    let recording = Recording::default();
    let run = ledgers(&recording).sync_ms(3..=9).simulate(seed, async |cluster| {
        leader(&cluster).await;
        let load = Load::start(&cluster);
        for _ in 0..3 {
            load.more(&cluster, 10).await;
            let victim = whose.peer(&cluster).await;
            let disk = cluster.disk(victim).unwrap();
            assert!(cluster.wait_until(PATIENCE, || disk.is_syncing()).await);
            cluster.crash_with(victim, actor, how);
            cluster.run_for(ms(1)).await;
        }
        load.more(&cluster, 20).await;
        agree(&cluster, &load.stop().await).await;
    });
    run.unwrap();
    recording.assert_all_recovered();
    recording.assert_safe();
    recording.crashes(actor, Some(whose.role())).1
}

/// How many actors of a kind fell.
fn crashes(recording: &Recording, kind: ActorKind) -> usize {
    recording.count(|event| matches!(event, Event::Crashed { actor, .. } if *actor == kind))
}

/// All three situations, in both ways.
fn falls(whose: Whose, actor: ActorKind) {
    for how in BOTH {
        at_rest(whose, actor, how);
        seeds(5).for_each(|seed| under_load(whose, actor, how, seed));
        let landed: usize = seeds(5).map(|seed| in_a_sync(whose, actor, how, seed)).sum();
        assert!(landed > 0, "no crash of a {actor} landed in a sync");
    }
}

#[test]
fn the_role_of_a_leader_falls() {
    falls(Whose::Leader, ActorKind::Role);
}

#[test]
fn the_role_of_a_follower_falls() {
    falls(Whose::Follower, ActorKind::Role);
}

#[test]
fn a_replicator_falls() {
    falls(Whose::Leader, ActorKind::Replicator);
}

#[test]
fn the_timer_of_a_leader_falls() {
    falls(Whose::Leader, ActorKind::Timer);
}

#[test]
fn the_timer_of_a_follower_falls() {
    falls(Whose::Follower, ActorKind::Timer);
}

#[test]
fn the_storage_of_a_leader_falls() {
    falls(Whose::Leader, ActorKind::Storage);
}

#[test]
fn the_storage_of_a_follower_falls() {
    falls(Whose::Follower, ActorKind::Storage);
}

#[test]
fn the_machine_of_a_leader_falls() {
    falls(Whose::Leader, ActorKind::Machine);
}

#[test]
fn the_machine_of_a_follower_falls() {
    falls(Whose::Follower, ActorKind::Machine);
}

/// A peer that lost its majority canvasses for ever, or campaigns for ever if it does not canvass:
/// then each of its actors falls in that role, and when the others are back all is as it should be.
fn without_majority(role: RoleKind, actor: ActorKind, how: Crash) {
    let recording = Recording::default();
    let mut config = Config::default();
    config.pre_vote = role == RoleKind::PreCandidate;
    let run = ledgers(&recording).config(config).simulate(2, async |cluster| {
        let mut told = propose_all(&cluster, 1..=5).await;
        let (leader, victim) = (leader(&cluster).await, follower(&cluster).await);
        let third = cluster.peers().into_iter().find(|&peer| peer != leader && peer != victim).unwrap();
        cluster.kill(leader).await;
        cluster.kill(third).await;
        for _ in 0..3 {
            in_role(&cluster, victim, role).await;
            cluster.crash_with(victim, actor, how);
            cluster.run_for(ms(700)).await;
        }
        in_role(&cluster, victim, role).await;
        cluster.restart(leader).await;
        cluster.restart(third).await;
        told.extend(propose_all(&cluster, 6..=10).await);
        assert_eq!(agree(&cluster, &told).await, (1..=10).collect::<Vec<_>>());
    });
    run.unwrap();
    let (landed, _) = recording.crashes(actor, Some(role));
    assert!(landed >= 2, "{landed} crashes of a {actor} as {role}:\n{}", recording.text());
    assert_eq!(crashes(&recording, actor), 3);
    recording.assert_all_recovered();
    recording.assert_safe();
}

#[test]
fn each_actor_of_a_pre_candidate_falls() {
    for actor in [ActorKind::Role, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine] {
        BOTH.into_iter().for_each(|how| without_majority(RoleKind::PreCandidate, actor, how));
    }
}

#[test]
fn each_actor_of_a_candidate_falls() {
    for actor in [ActorKind::Role, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine] {
        BOTH.into_iter().for_each(|how| without_majority(RoleKind::Candidate, actor, how));
    }
}

/// A candidate falls while its own vote is on its way to the disk: it never spoke, so it may vote
/// for another in that very term, or for itself in a later one, and never for two in one (§5.2).
#[test]
fn a_candidate_falls_in_the_sync_of_its_own_vote() {
    let mut landed = 0;
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).sync_ms(5..=9).simulate(seed, async |cluster| {
            let mut told = propose_all(&cluster, 1..=3).await;
            let old = leader(&cluster).await;
            cluster.kill(old).await;
            let is_candidate = |status: &PeerStatus| status.role == Some(RoleKind::Candidate);
            let someone = || cluster.statuses().into_iter().find(is_candidate);
            assert!(cluster.wait_until(PATIENCE, || someone().is_some()).await);
            cluster.crash(someone().unwrap().peer, ActorKind::Role);
            told.extend(propose_all(&cluster, 4..=6).await);
            cluster.restart(old).await;
            agree(&cluster, &told).await;
        });
        run.unwrap();
        recording.assert_all_recovered();
        recording.assert_safe();
        landed += recording.crashes(ActorKind::Role, Some(RoleKind::Candidate)).1;
    }
    assert!(landed > 0);
}

/// Whole peers lose their power in turn, the leader and followers, and come back.
#[test]
fn whole_peers_are_killed_and_come_back() {
    let mut tails_lost = 0;
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).sync_ms(2..=8).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for round in 0..6 {
                load.more(&cluster, 15).await;
                let whose = if round % 2 == 0 { Whose::Leader } else { Whose::Follower };
                let victim = whose.peer(&cluster).await;
                cluster.kill(victim).await;
                cluster.run_for(ms(50 * round)).await;
                cluster.restart(victim).await;
            }
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert_eq!(
            recording.count(|event| matches!(event, Event::Killed { .. })),
            6 + 3,
            "and three at the end"
        );
        tails_lost += recording.count(|event| matches!(event, Event::TailLost { .. }));
    }
    assert!(tails_lost > 0, "no kill lost an unsynced tail");
}

/// All peers lose their power at once, as a rack does: what was acknowledged is there afterwards.
#[test]
fn all_peers_are_killed_at_once() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let run = ledgers(&recording).peers(5).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for _ in 0..3 {
                load.more(&cluster, 20).await;
                for peer in cluster.peers() {
                    cluster.kill(peer).await;
                }
                for peer in cluster.peers() {
                    cluster.restart(peer).await;
                }
            }
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// Everything at once, on clusters of every size, with snapshots so small that healing starts from
/// them.
#[test]
fn everything_falls_on_clusters_of_every_size() {
    for peers in 1..=9 {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.snapshot_entries, config.trail_entries) = (20, 5);
        let run = ledgers(&recording).peers(peers).config(config).simulate(peers as u64, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for (round, &actor) in ActorKind::ALL.iter().cycle().take(12).enumerate() {
                load.more(&cluster, 10).await;
                let victim = if round % 2 == 0 || peers == 1 {
                    leader(&cluster).await
                } else {
                    follower(&cluster).await
                };
                cluster.crash_with(victim, actor, BOTH[round / 6]);
                if round % 4 == 3 {
                    cluster.kill(victim).await;
                    cluster.restart(victim).await;
                }
            }
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_all_recovered();
        recording.assert_safe();
        assert!(recording.has(|event| matches!(event, Event::Compacted { .. })));
    }
}

/// The user's own actor in the machine's place falls, also with a batch under way: it is made anew,
/// and given everything after the last snapshot.
#[test]
fn a_machine_that_is_an_actor_falls() {
    for (seed, how) in seeds(10).zip(BOTH.into_iter().cycle()) {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.snapshot_entries, config.trail_entries) = (30, 10);
        let cluster =
            Cluster::of_actors(|_| LedgerActor::default()).config(config).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for whose in [Whose::Leader, Whose::Follower, Whose::Leader, Whose::Follower] {
                load.more(&cluster, 20).await;
                cluster.crash_with(whose.peer(&cluster).await, ActorKind::Machine, how);
            }
            cluster.crash_with(leader(&cluster).await, ActorKind::Role, how);
            load.more(&cluster, 20).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        assert_eq!(crashes(&recording, ActorKind::Machine), 4);
        recording.assert_all_recovered();
        recording.assert_safe();
    }
}
