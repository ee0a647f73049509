//! Scenarios that a consensus system must survive: given this, when that happens, then this holds.
//! Each is shown where it is sharpest; the number is that of our list.
//!
//! | # | scenario | shown by |
//! |---|---|---|
//! | 1 | a vote is on disk before it is said | [`elections::a_voter_that_was_killed_votes_for_nobody_else`], `raft::tests::elections::a_vote_survives_a_crash` |
//! | 2 | a term is on disk before it is said | [`elections::a_voter_that_was_killed_votes_for_nobody_else`] and every run that ends with `assert_safe` |
//! | 3 | a candidate's own vote survives it | [`elections::a_candidate_that_was_killed_votes_for_nobody_else`] |
//! | 4 | a vote that arrives twice counts once | [`elections::a_vote_that_arrives_twice_counts_once`] |
//! | 5 | a late vote counts in no other term | [`elections::a_late_vote_counts_in_no_other_term`] |
//! | 6 | a peer that reaches one other changes nothing | [`elections::a_partly_connected_peer_changes_nothing`] |
//! | 7 | a peer that was away returns quietly | [`elections::a_peer_that_was_away_returns_quietly`] |
//! | 8 | the highest term with the shortest log blocks nobody | [`elections::the_highest_term_with_the_shortest_log_blocks_nobody`], `raft::tests::elections` with PreVote on one side only |
//! | 9 | a leader that hears nobody makes room | [`elections::a_leader_that_hears_nobody_makes_room`] |
//! | 10 | an even split commits nothing | [`elections::an_even_split_commits_nothing`] |
//! | 11 | transfers under load lose nothing | [`elections::transfers_under_load_lose_nothing`], [`elections::a_transfer_to_a_dead_peer_ends_in_time`] |
//! | 12 | Figure 8 | `raft::tests::figures::figure_8_*` |
//! | 13 | a new leader reads nothing old | [`logs::a_new_leader_reads_nothing_old`] |
//! | 14 | a stale append cuts nothing off | [`logs::messages_late_twice_and_out_of_order_cut_nothing_off`] |
//! | 15 | a heartbeat commits only what matches | [`logs::a_divergent_tail_is_never_committed`] |
//! | 16 | a peer acknowledges only what it holds | `crashes::whole_peers_are_killed_and_come_back`, `raft::tests::replication::a_follower_that_lost_its_tail_acknowledges_only_what_it_holds` |
//! | 17 | a write of an earlier leadership counts for nothing | `raft::tests::replication::a_write_of_an_earlier_leadership_counts_for_nothing` |
//! | 18 | a search takes a probe for each term | `raft::tests::replication::a_search_takes_a_probe_for_each_term_and_not_for_each_entry`, [`logs::a_follower_far_behind_costs_a_probe_or_two`] |
//! | 19 | a huge entry travels alone, a larger one not at all | [`logs::the_largest_command_travels_alone_and_a_larger_one_is_refused`] |
//! | 20 | a repeat gets the first answer | [`clients::a_repeat_gets_the_first_answer_wherever_it_lands`] |
//! | 21 | everybody in flight hears once | [`clients::a_thousand_in_flight_each_hear_once`] |
//! | 22 | a leader cut off answers no read | [`clients::a_leader_cut_off_answers_no_read`] |
//! | 32 | a wiped voter is turned away | [`disks::a_wiped_voter_is_turned_away`], `transport::introduction` |
//! | 33 | the membership is the snapshot's | `raft::tests::states::a_snapshot_brings_its_membership`, `raft::tests::followers::a_snapshot_keeps_what_follows_it_or_nothing`, `raft::tests::memberships::the_last_membership_of_the_log_is_in_force` |
//! | 34 | no gap between snapshot and log | `raft::tests::states::a_crash_between_snapshot_and_marker_leaves_no_gap`, `storage::folder::tests::crashes::a_snapshot_is_the_old_one_or_the_new_one` |
//! | 35 | half a snapshot is none | `storage::snapshots::tests::*`: cut at any piece, repeated, out of order, older, damaged; `scenes::a_crash_during_an_installation_leaves_one_state_or_the_other` |
//! | 36 | a snapshot under load holds nobody up | `live::snapshots::nobody_waits_while_a_large_state_is_written_or_read`, `.ci/show/large-snapshot` |
//! | 37 | catching up has an end | `snapshots::a_follower_catches_up_while_the_leader_takes_snapshots`, `snapshots::a_transfer_goes_on_after_each_cut` |
//! | 38 | all replicas expire the same sessions | `machine::session::tests::the_longest_unused_goes`, story `the_longest_unused_session_expires`, and every storm, whose peers must be equal in the end |
//! | 39 | a torn tail is cut off | `storage::wal::tests::damage`, `storage::wal::tests::crashes` |
//! | 40 | damage in the middle is said | `storage::wal::tests::damage` |
//! | 41 | a failed disk acknowledges nothing more | [`disks::a_failed_disk_acknowledges_nothing_more`], `storage::wal::tests::crashes::after_a_call_that_failed_nothing_is_acknowledged` |
//! | 42 | a full disk refuses, hands over, and goes on by itself | [`disks::a_full_leader_hands_over`], [`disks::a_full_cluster_goes_on_when_there_is_room`] |
//! | 43 | leadership leaves a slow disk | [`disks::leadership_leaves_a_slow_disk`] |
//! | 44 | a rename is done or not | `storage::folder::tests::crashes` |
//! | 45 | a folder is for one peer of one cluster and one process | `storage::folder::tests::a_folder_is_for_one_peer_of_one_cluster_and_one_process`, `outside::durable_cluster` |
//! | 46 | a flood is refused with a reason | [`runtime::a_flood_is_refused_and_heartbeats_go_on`] |
//! | 47 | no half-dead peer | all of `crashes` |
//! | 48 | who recovers says nothing | [`runtime::who_recovers_says_nothing`] |
//! | 49 | a leader that slept acknowledges nothing | [`runtime::a_leader_that_stood_still_acknowledges_nothing`], `raft::tests::elections::a_leader_that_slept_acknowledges_nothing` |
//! | 50 | a graceful stop hands over | [`runtime::every_peer_stops_in_turn_under_load`] |

mod clients;
mod disks;
mod elections;
mod logs;
mod runtime;
