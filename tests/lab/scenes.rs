//! Scenes from the literature, played by the lab: scripts of a few lines, under several seeds each, with clients at
//! work and the oracle looking on. What makes a scene what it is, is asserted; safety always is.

use raft_actors::{
    Config,
    lab::Storm,
    observe::{Capture, Report},
    raft::{Event, PeerId, RoleKind, Term},
};

/// A scene: how many peers, their limits, and what happens.
struct Scene {
    peers: u64,
    seconds: u64,
    config: Config,
    script: &'static str,
}

/// What happened in one run.
struct Played {
    seed: u64,
    reports: Vec<Report>,
}

fn scene(peers: u64, script: &'static str) -> Scene {
    Scene { peers, seconds: 6, config: Config::default(), script }
}

impl Scene {
    /// Plays it under these seeds; nothing may be violated, and everything has to take place.
    fn play(&self, seeds: std::ops::RangeInclusive<u64>) -> Vec<Played> {
        seeds.map(|seed| self.play_one(seed)).collect()
    }

    fn play_one(&self, seed: u64) -> Played {
        let mut storm = Storm::new(seed);
        storm.peers = Some(self.peers);
        storm.seconds = self.seconds;
        storm.config = Some(self.config.clone());
        storm.script = Some(self.script.parse().expect("a script"));
        let capture = Capture::new();
        let outcome = storm.run_with(vec![Box::new(capture.clone())]);
        assert!(outcome.violations.is_empty(), "seed {seed}: {outcome}");
        assert!(outcome.is_evidence(), "seed {seed}: {outcome:?}");
        Played { seed, reports: capture.take() }
    }
}

impl Played {
    /// The reports between two moments, in milliseconds.
    fn between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(move |report| (from_ms * 1000..to_ms * 1000).contains(&report.at_us))
    }

    fn count(&self, from_ms: u64, to_ms: u64, holds: impl Fn(&Report) -> bool) -> usize {
        self.between(from_ms, to_ms).filter(|report| holds(report)).count()
    }

    /// Who led last before a moment.
    fn leader_at(&self, ms: u64) -> (PeerId, Term) {
        let elected =
            self.between(0, ms).filter(|report| matches!(report.event, Event::Elected { .. })).last();
        elected
            .map(|report| (report.peer, report.term))
            .unwrap_or_else(|| panic!("seed {}: no leader", self.seed))
    }

    fn highest_term(&self, to_ms: u64) -> Term {
        self.between(0, to_ms).map(|report| report.term).max().unwrap_or_default()
    }
}

fn is_elected(report: &Report) -> bool {
    matches!(report.event, Event::Elected { .. })
}

fn is_commit_of_leader(report: &Report) -> bool {
    matches!(report.event, Event::Committed { .. }) && report.role == Some(RoleKind::Leader)
}

/// All begin at once, with timeouts that are hardly different: votes are split, and chance ends it (§5.2).
#[test]
fn a_split_vote_ends_by_chance() {
    let mut scene = scene(4, "at 1000 for 100 blackout");
    scene.config.pre_vote = false;
    scene.config.election_timeout_ms = 150..175;
    let mut split = 0;
    for played in scene.play(1..=12) {
        let campaigned = |term| {
            played.count(1000, 6000, |report| {
                matches!(report.event, Event::Campaigned { .. }) && report.term == term
            })
        };
        let terms = played.leader_at(1000).1.0 + 1..=played.highest_term(6000).0;
        split += terms
            .filter(|&term| campaigned(Term(term)) > 1)
            .filter(|&term| {
                !played.reports.iter().any(|report| is_elected(report) && report.term == Term(term))
            })
            .count();
        assert!(played.count(1100, 6000, is_elected) > 0, "seed {}: nobody was elected", played.seed);
    }
    assert!(split > 0, "no vote was split");
}

/// A leader that is cut off commits nothing, and steps down; another leads meanwhile (§5.4, thesis §6.2).
#[test]
fn an_isolated_leader_commits_nothing_and_steps_down() {
    for played in scene(5, "at 2000 for 2000 isolate leader").play(1..=5) {
        let (old, term) = played.leader_at(2000);
        let its_commits = |report: &Report| report.peer == old && is_commit_of_leader(report);
        assert_eq!(played.count(2100, 4000, its_commits), 0, "seed {}", played.seed);
        let stepped_down =
            |report: &Report| report.peer == old && matches!(report.event, Event::SteppedDown { .. });
        assert!(played.count(2000, 4000, stepped_down) > 0, "seed {}", played.seed);
        let (new, later) = played.leader_at(4000);
        assert!(new != old && later > term, "seed {}", played.seed);
    }
}

/// Two halves hear each other through one peer only: a leader stands all the while, or a new one soon does, and terms
/// do not race (the partial failure of a switch).
#[test]
fn a_bridge_keeps_one_leader() {
    for played in scene(5, "at 2000 for 3000 bridge 1,2|3|4,5").play(1..=5) {
        let before = played.leader_at(2000).1;
        let during = played.highest_term(5000);
        assert!(during.0 <= before.0 + 2, "seed {}: from term {before} to {during}", played.seed);
        assert!(played.count(3000, 5000, is_commit_of_leader) > 10, "seed {}", played.seed);
    }
}

/// Each hears a majority, and no two the same one: work goes on.
#[test]
fn a_ring_of_majorities_goes_on() {
    for played in scene(5, "at 2000 for 3000 ring 1,2,3,4,5").play(1..=5) {
        let (before, during) = (played.leader_at(2000).1, played.highest_term(5000));
        assert!(during.0 <= before.0 + 6, "seed {}: from term {before} to {during}", played.seed);
    }
}

/// Figure 8: entries of an older term are on some peers, leaders fall one after the other, and nothing counts as
/// committed because a majority happens to hold it (§5.4.2). The oracle judges each commit.
#[test]
fn figure_8_commits_nothing_of_an_older_term_by_counting() {
    let script = "\
at 1500 for 900 halves 1,2|3,4,5
at 1900 for 600 kill leader
at 2500 for 900 halves 1,5|2,3,4
at 2900 for 600 kill leader
at 3500 for 900 halves 1,2,3|4,5
at 3900 for 600 kill leader
";
    let truncated =
        |played: &Played| played.count(0, 6000, |report| matches!(report.event, Event::Truncated { .. }));
    let cut_off: usize = scene(5, script).play(1..=20).iter().map(truncated).sum();
    assert!(cut_off > 0, "no entry was ever overwritten: that is no Figure 8");
}

const AWAY: &str = "at 2000 for 3000 isolate follower";

/// With a canvass before each campaign who was away comes back without a word (thesis §9.6).
#[test]
fn a_returning_peer_disturbs_nobody() {
    let mut scene = scene(5, AWAY);
    scene.seconds = 7;
    for played in scene.play(1..=5) {
        assert_eq!(played.highest_term(7000), played.leader_at(2000).1, "seed {}", played.seed);
    }
}

/// Without it its term has grown, and the leader is unseated.
#[test]
fn without_a_canvass_a_returning_peer_unseats_the_leader() {
    let mut scene = scene(5, AWAY);
    scene.seconds = 7;
    scene.config.pre_vote = false;
    for played in scene.play(1..=5) {
        assert!(played.highest_term(7000) > played.leader_at(2000).1, "seed {}", played.seed);
        assert!(played.count(5000, 9000, is_elected) > 0, "seed {}", played.seed);
    }
}

fn with_snapshots(mut scene: Scene) -> Scene {
    scene.config.snapshot_entries = 20;
    scene.config.trail_entries = 0;
    scene
}

/// A follower that is behind the front of the log is helped with a snapshot (§7).
#[test]
fn a_lagging_follower_gets_a_snapshot() {
    for played in with_snapshots(scene(5, "at 1500 for 2000 lag follower")).play(1..=5) {
        let installed = |report: &Report| matches!(report.event, Event::SnapshotInstalled { .. });
        assert!(played.count(3500, 9000, installed) > 0, "seed {}", played.seed);
    }
}

/// It falls while it takes the snapshot in, at any point of it: the old state stands, or the new one (§7).
#[test]
fn a_crash_during_an_installation_leaves_one_state_or_the_other() {
    let script = "\
at 1500 for 2000 lag 1
at 1500 on SnapshotSent within 3000 for 100 kill 1
at 3600 on SnapshotInstalled of 1 within 2000 for 100 kill 1
";
    let mut scene = with_snapshots(scene(3, script));
    scene.seconds = 8;
    scene.config.snapshot_chunk_bytes = 100;
    for seed in 1..=10 {
        let mut storm = Storm::new(seed);
        storm.peers = Some(scene.peers);
        storm.seconds = scene.seconds;
        storm.config = Some(scene.config.clone());
        storm.script = Some(scene.script.parse().expect("a script"));
        let outcome = storm.run();
        assert!(outcome.violations.is_empty(), "seed {seed}: {outcome}");
    }
}

/// Leaders fall with commands of sessions under way, which are sent again to the next one: each is applied once
/// (thesis §6.3). The ledgers of the storm say so.
#[test]
fn a_request_that_is_repeated_after_a_fail_over_is_applied_once() {
    let script = "\
at 1500 on Appended within 500 for 200 kill leader
at 2500 on Committed within 500 for 200 kill it
at 3500 on Synced within 500 for 200 kill it
at 4500 on Applied within 500 for 200 kill leader
";
    for played in scene(3, script).play(1..=10) {
        assert!(played.count(1500, 6000, is_elected) > 0, "seed {}", played.seed);
    }
}

/// A leader that can send but not hear makes room (thesis §6.2).
#[test]
fn a_leader_behind_a_one_way_link_makes_room() {
    let scenes = [
        "at 2000 for 2000 one-way 2,3>1",
        "at 2000 for 2000 one-way 1,3>2",
        "at 2000 for 2000 one-way 1,2>3",
    ];
    let mut deaf_leaders = 0;
    for (deaf, script) in (1..).zip(scenes) {
        for played in scene(3, script).play(1..=5) {
            let (leader, term) = played.leader_at(2000);
            if leader != PeerId(deaf) {
                continue;
            }
            deaf_leaders += 1;
            let (new, later) = played.leader_at(4000);
            assert!(new != leader && later > term, "seed {}: {leader} still leads", played.seed);
        }
    }
    assert!(deaf_leaders > 0, "no leader was deaf");
}

/// A leader whose syncs take longer than an election timeout: leadership moves, and the cluster goes on.
#[test]
fn a_slow_disk_on_the_leader_moves_leadership_or_costs_time_only() {
    for played in scene(3, "at 2000 for 3000 slow-disk leader 400..=500").play(1..=5) {
        let (old, _) = played.leader_at(2000);
        let moved = played.leader_at(5000).0 != old;
        assert!(moved, "seed {}", played.seed);
        assert!(played.count(3500, 5000, is_commit_of_leader) > 10, "seed {}", played.seed);
    }
}
