//! Stories: scripts that a whole cluster plays, and everything that happens in them. One story shows
//! one behaviour; its file is its name, its prose says what to look for and where the paper says so,
//! and its transcript is the proof. `UPDATE_GOLDENFILES=1 cargo test --test stories` writes the
//! transcripts anew: read the difference before it is committed.
//!
//! A script is made of blocks: commands, `---`, and what happened. The commands are listed in
//! [`runner`]. Lines are [`Report`](raft_actors::observe::Report)s as they print: the time in
//! milliseconds, the peer, its term and role, the event and why it happened.
#![cfg(feature = "serde")]

#[path = "../common/mod.rs"]
mod common;
mod groups;
mod runner;
mod stage;
mod words;

macro_rules! stories {
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            tell(stringify!($name));
        })*
    };
}

stories! {
    a_crash_lands_in_the_middle_of_a_sync
    a_divergent_follower_is_repaired
    a_failed_disk_stops_the_peer
    a_flood_is_answered_busy
    a_followers_role_falls_and_heals
    a_full_cluster_goes_on_when_there_is_room
    a_full_follower_takes_nothing_but_votes
    a_full_leader_hands_over
    a_gap_is_never_filled_by_guessing
    a_kill_loses_an_unsynced_tail
    a_lagging_follower_gets_a_snapshot
    a_leader_that_can_send_but_not_hear_steps_down
    a_leader_whose_disk_hangs_is_deposed
    a_leaders_role_falls_and_heals
    a_lost_quorum_is_said_clearly
    a_machine_that_is_an_actor_falls_and_heals
    a_peer_that_hears_its_leader_turns_candidates_down
    a_peer_that_returns_disturbs_nobody
    a_read_at_an_isolated_leader_is_refused
    a_read_costs_a_round
    a_session_applies_once_across_a_leader_change
    a_session_survives_snapshot_and_restart
    a_single_peer_commits_alone
    a_snapshot_is_taken_by_policy
    a_split_vote_ends_by_itself
    a_stop_hands_over_first
    a_transfer_to_a_dead_peer_ends
    a_wiped_voter_is_turned_away
    an_isolated_leader_steps_down
    an_uncommitted_entry_is_lost
    first_election
    leadership_is_handed_over
    nobody_commits_in_an_even_split
    poison_is_healed_by_a_snapshot
    poison_is_quarantined_and_healed_by_a_restart
    replication
    restarts_without_progress_stop_the_peer
    slow_disks_elect_one_leader_and_keep_it
    the_longest_unused_session_expires
    the_watchdog_replaces_a_silent_replicator
    without_a_canvass_a_peer_that_returns_unseats_the_leader
}

fn tell(name: &str) {
    let path = format!("{}/tests/stories/{name}.story", env!("CARGO_MANIFEST_DIR"));
    goldenscript::run(&mut runner::Runner::default(), path).unwrap();
}

/// A story that is not in the list above would be told to nobody.
#[test]
fn every_story_is_told() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories")).unwrap();
    let names = folder.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".story").map(String::from)).collect();
    names.sort();
    assert_eq!(names, STORIES);
}
