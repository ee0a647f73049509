//! What went wrong in the three systems that this one descends from, each as a test that it does not
//! go wrong here. Three systems: a Raft over gRPC for learning (A), one over UDP with a switch's view
//! of the packets (B), and a library over Cap'n Proto (C).
//!
//! | | defect | shown by |
//! |---|---|---|
//! | A | a late vote of an older election counts in a newer term | `scenarios::elections::a_late_vote_counts_in_no_other_term` |
//! | A | replies are used without a look at role and term | `raft::tests::negatives::answers_to_an_earlier_office_count_for_nothing`, `raft::tests::settle` |
//! | A | repeated rejects take the next index below the log | [`a_follower_that_never_heard_anything_joins_late`], `raft::tests::negatives::endless_refusals_do_not_harm_the_leader` |
//! | A | a single peer never commits | [`a_single_peer_commits`] |
//! | A | a client is answered before commit, without result or hint | [`a_client_is_answered_after_commit_with_the_result`], [`a_client_is_told_who_leads`] |
//! | A | a step-down in the same term forgets the vote | every run that ends with `assert_safe`, `raft::tests::campaigns` |
//! | A | nothing is persisted (B and A) | [`what_was_acknowledged_survives_everybody`] |
//! | B | the value 0 can't be stored | [`any_value_is_a_value`] |
//! | B | a peer that returns in the middle of its repair is inconsistent | [`a_peer_that_falls_in_the_middle_of_its_repair`] |
//! | B | a client's request may raise an exception | [`a_command_that_does_not_decode_is_answered`] |
//! | B | "do not touch timings" | [`timings_may_be_touched`] |
//! | B | terms and indexes of 16 bits, data of 32 | [`more_entries_than_16_bits_hold`], [`more_terms_than_16_bits_hold`] |
//! | B | one proposal in flight | [`many_proposals_are_in_flight`] |
//! | B | votes look at the commit index and not at the log | `raft::tests::followers::what_is_committed_has_no_say_in_a_vote` |
//! | B | a rejected value may still commit | [`what_was_refused_never_happens`] |
//! | B | it can't always be stopped | `live::threads::a_live_cluster_ends` |
//! | C | it needs nightly and the `capnp` tool | the build; CI |
//! | C | its tests fail now and then | `determinism` |
//! | C | a query at a leader is not checked | `scenarios::clients::a_leader_cut_off_answers_no_read` |
//! | C | a newer but shorter log is refused a vote | `raft::tests::negatives::a_newer_but_shorter_log_wins` |
//! | C | entries of older terms are committed by count | `raft::tests::figures::figure_8_*` |
//! | C | the commit index moves back | every run that ends with `assert_safe` |
//! | C | an empty append truncates the log | [`heartbeats_cut_nothing_off`], `raft::tests::followers::a_late_or_empty_message_cuts_nothing_off` |
//! | C | nothing is synced | every run that ends with `assert_safe`: what a leader commits is on the disks of a majority |
//! | C | snapshot methods are never called | story `a_snapshot_is_taken_by_policy` |
//! | C | a ping is not handled | [`the_status_never_waits`] |
//! | C | a retry after a lost reply applies twice | `scenarios::clients::a_repeat_gets_the_first_answer_wherever_it_lands` |
//! | C | an unknown message is a panic | such a message does not compile: `raft::role::Receive` |
//! | C | peers can't be added | comes with membership changes |

use std::io::{self, Read};

use crate::common::{
    Ledger, Load, Recording, agree, catches_up, follower, in_role, leader, ms, propose_all, seeds,
};
use bytes::Bytes;
use raft_actors::{
    Cluster, Config,
    error::ClientError,
    machine::{Codec, CodecError, StateMachine},
    raft::{Event, Index, PeerId, Position, RoleKind, Term},
    storage::SnapshotWriter,
};

/// A follower that is reached for the first time when the log is long, and holds nothing of it.
#[test]
fn a_follower_that_never_heard_anything_joins_late() {
    let recording = Recording::default();
    let run = Cluster::of(|_| Ledger::default()).observe(recording.clone()).simulate(1, async |cluster| {
        let late = PeerId(3);
        cluster.kill(late).await;
        let told = propose_all(&cluster, 1..=500).await;
        cluster.restart(late).await;
        agree(&cluster, &told).await;
    });
    run.unwrap();
    recording.assert_safe();
    assert_eq!(recording.elections(), 1);
}

#[test]
fn a_single_peer_commits() {
    let run = Cluster::of(|_| Ledger::default())
        .peers(1)
        .simulate(1, async |cluster| agree(&cluster, &propose_all(&cluster, 1..=10).await).await);
    assert_eq!(run.unwrap(), (1..=10).collect::<Vec<_>>());
}

/// A leader that can't commit answers nobody; one that can says what the machine said.
#[test]
fn a_client_is_answered_after_commit_with_the_result() {
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        let leader = leader(&cluster).await;
        let client = cluster.client();
        assert_eq!(client.propose(&7).await, Ok(1));
        let cut = cluster.isolate(leader);
        let waits = client.clone().with_deadline(ms(100)).propose(&8).await;
        assert_eq!(waits, Err(ClientError::Unknown));
        cut.heal();
        assert!(client.propose(&9).await.is_ok_and(|place| place == 2 || place == 3));
    });
    run.unwrap();
}

/// A client asks whoever it knows, is sent to the leader, and stays with it.
#[test]
fn a_client_is_told_who_leads() {
    let recording = Recording::default();
    let run =
        Cluster::of(|_| Ledger::default()).peers(5).observe(recording.clone()).simulate(1, async |cluster| {
            // The third, so that a client that begins with the first has to be told.
            leader(&cluster).await;
            let _ = cluster.transfer(Some(PeerId(3))).await;
            in_role(&cluster, PeerId(3), RoleKind::Leader).await;
            let (client, began) = (cluster.client(), cluster.elapsed());
            assert!(client.propose(&1).await.is_ok());
            assert!(cluster.elapsed() - began < ms(100), "it did not have to search");
            assert_eq!(cluster.status(PeerId(1)).unwrap().leader, Some(PeerId(3)));
        });
    run.unwrap();
}

/// Everybody loses power, several times: what was acknowledged is there.
#[test]
fn what_was_acknowledged_survives_everybody() {
    for seed in seeds(5) {
        let run = Cluster::of(|_| Ledger::default()).simulate(seed, async |cluster| {
            let mut told = Vec::new();
            for round in 0..5u64 {
                told.extend(propose_all(&cluster, round * 3..round * 3 + 3).await);
                for peer in cluster.peers() {
                    cluster.kill(peer).await;
                }
                for peer in cluster.peers() {
                    cluster.restart(peer).await;
                }
            }
            leader(&cluster).await;
            agree(&cluster, &told).await
        });
        assert_eq!(run.unwrap(), (0..15).collect::<Vec<_>>());
    }
}

/// Zero, the largest number, and the same one twice.
#[test]
fn any_value_is_a_value() {
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        propose_all(&cluster, [0, 0, u64::from(u32::MAX) + 1, u64::MAX - 1]).await;
        agree(&cluster, &[]).await
    });
    assert_eq!(run.unwrap(), [0, 0, 1 << 32, u64::MAX - 1]);
}

/// A follower catches up in small pieces and is killed again and again meanwhile.
#[test]
fn a_peer_that_falls_in_the_middle_of_its_repair() {
    for seed in seeds(5) {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.batch_entries_max, config.window_batches_max) = (5, 2);
        let cluster = Cluster::of(|_| Ledger::default()).config(config).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let away = follower(&cluster).await;
            cluster.kill(away).await;
            let mut told = propose_all(&cluster, 1..=300).await;
            for _ in 0..10 {
                cluster.restart(away).await;
                let before = cluster.status(away).unwrap().last.index;
                let gets_on =
                    || cluster.status(away).is_some_and(|status| status.last.index > before.plus(5));
                cluster.wait_until(ms(2_000), gets_on).await;
                cluster.kill(away).await;
            }
            cluster.restart(away).await;
            told.extend(propose_all(&cluster, 301..=310).await);
            catches_up(&cluster, away).await;
            agree(&cluster, &told).await
        });
        assert_eq!(run.unwrap(), (1..=310).collect::<Vec<_>>());
        recording.assert_safe();
    }
}

/// A number with a code of its own: 13 can be written, and not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Picky(u8);

impl Codec for Picky {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.push(self.0);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Picky, CodecError> {
        match bytes.as_ref() {
            [13] | [] | [_, _, ..] => Err(CodecError { expected: "Picky", cause: "it is 13".into() }),
            [byte] => Ok(Picky(*byte)),
        }
    }
}

#[derive(Default)]
struct Last(u8);

impl StateMachine for Last {
    type Command = Picky;
    type Answer = Picky;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _: Position, Picky(number): Picky) -> Picky {
        Picky(std::mem::replace(&mut self.0, number))
    }

    fn query(&self, (): ()) -> u64 {
        self.0.into()
    }

    fn snapshot(&self) -> SnapshotWriter {
        let last = self.0;
        Box::new(move |into| into.write_all(&[last]))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        snapshot.read_exact(std::slice::from_mut(&mut self.0))
    }
}

/// It is answered `Rejected` on every peer alike, harms no machine, and takes its place in a session.
#[test]
fn a_command_that_does_not_decode_is_answered() {
    let recording = Recording::default();
    let run = Cluster::of(|_| Last::default()).observe(recording.clone()).simulate(1, async |cluster| {
        let client = cluster.client();
        assert_eq!(client.propose(&Picky(1)).await, Ok(Picky(0)));
        assert_eq!(client.propose(&Picky(13)).await, Err(ClientError::Rejected));
        let session = client.session().await.unwrap();
        assert_eq!(session.propose(&Picky(13)).await, Err(ClientError::Rejected));
        assert_eq!(session.propose(&Picky(2)).await, Ok(Picky(1)));
        assert!(cluster.wait_until_caught_up(ms(2_000)).await);
        for peer in cluster.peers() {
            assert_eq!(client.query_local(peer, &()).await, Ok(2));
        }
    });
    run.unwrap();
    assert!(!recording.has(|event| matches!(event, Event::Crashed { .. } | Event::Poisoned { .. })));
}

/// Ten times faster, ten times slower, on links and disks to match: one election, and it holds.
#[test]
fn timings_may_be_touched() {
    for (heartbeat_ms, election_ms, latency_ms, sync_ms) in [
        (5, 20..40, 0..=1, 0..=1),
        (50, 150..300, 1..=20, 1..=20),
        (500, 1_500..3_000, 50..=200, 10..=300),
        (10, 1_000..1_010, 1..=3, 1..=5),
    ] {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.heartbeat_ms, config.election_timeout_ms) = (heartbeat_ms, election_ms.clone());
        config.replicator_silence_ms = config.replicator_silence_ms.max(election_ms.end);
        let cluster = Cluster::of(|_| Ledger::default()).config(config).observe(recording.clone());
        let run = cluster.latency_ms(latency_ms).sync_ms(sync_ms).simulate(1, async |cluster| {
            leader(&cluster).await;
            recording.take();
            let load = Load::start(&cluster);
            load.more(&cluster, 50).await;
            cluster.run_for(ms(10 * election_ms.end)).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        assert_eq!(recording.elections(), 0, "{heartbeat_ms} {election_ms:?}");
    }
}

#[test]
fn more_entries_than_16_bits_hold() {
    const COUNT: u64 = 70_000;
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        let session = cluster.client().session().await.unwrap();
        let mut tickets = std::collections::VecDeque::new();
        for number in 1..=COUNT {
            // The window gives way one by one; tickets are taken as they come due.
            tickets.push_back(session.submit(&number).await.unwrap());
            if tickets.len() > 1_000 {
                tickets.pop_front().unwrap().await.unwrap();
            }
        }
        for ticket in tickets {
            ticket.await.unwrap();
        }
        let cut_at = cluster.status(leader(&cluster).await).unwrap();
        assert!(cut_at.last.index > Index(COUNT));
        // Back over the 16 bits and on: a peer that was away is repaired there too.
        let away = follower(&cluster).await;
        cluster.kill(away).await;
        propose_all(&cluster, COUNT + 1..=COUNT + 10).await;
        cluster.restart(away).await;
        agree(&cluster, &[]).await
    });
    assert_eq!(run.unwrap(), (1..=COUNT + 10).collect::<Vec<_>>());
}

/// A peer that nobody hears, and that does not ask before it campaigns, runs through the terms.
#[test]
fn more_terms_than_16_bits_hold() {
    let mut config = Config::default();
    (config.pre_vote, config.heartbeat_ms, config.election_timeout_ms) = (false, 1, 2..4);
    config.replicator_silence_ms = 100;
    let run = Cluster::of(|_| Ledger::default()).config(config).latency_ms(0..=0).sync_ms(0..=0).simulate(
        1,
        async |cluster| {
            let away = follower(&cluster).await;
            let cut = cluster.isolate(away);
            let far = || cluster.status(away).is_some_and(|status| status.term > Term(66_000));
            assert!(cluster.wait_until(ms(400_000), far).await, "{:?}", cluster.status(away));
            cut.heal();
            assert!(
                cluster
                    .wait_until(ms(1_000), || cluster.leader().is_some_and(|leader| {
                        cluster.status(leader).is_some_and(|status| status.term > Term(66_000))
                    }))
                    .await
            );
            agree(&cluster, &propose_all(&cluster, 1..=3).await).await;
        },
    );
    run.unwrap();
}

/// A thousand at once take hardly longer than one.
#[test]
fn many_proposals_are_in_flight() {
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        leader(&cluster).await;
        propose_all(&cluster, [0]).await;
        let began = cluster.elapsed();
        let client = cluster.client();
        let proposals: Vec<_> = (1..=1_000u64)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.propose(&number).await })
            })
            .collect();
        for proposal in proposals {
            assert!(proposal.await.unwrap().is_ok());
        }
        assert!(cluster.elapsed() - began < ms(200), "{:?}", cluster.elapsed() - began);
    });
    run.unwrap();
}

/// Refused for any reason, lost, or too late: where a client hears that it was not done, it never is.
/// The ledgers are compared with what was told.
#[test]
fn what_was_refused_never_happens() {
    for seed in seeds(10) {
        let mut config = Config::default();
        (config.inbox_entries_max, config.deadline_ms) = (4, 400);
        let run = Cluster::of(|_| Ledger::default()).config(config).simulate(seed, async |cluster| {
            leader(&cluster).await;
            let load = Load::start(&cluster);
            for _ in 0..3 {
                let cut = cluster.isolate(leader(&cluster).await);
                cluster.run_for(ms(900)).await;
                cut.heal();
                cluster.run_for(ms(300)).await;
            }
            let told = load.stop().await;
            assert!(told.iter().any(|told| told.outcome.is_err()));
            agree(&cluster, &told).await;
        });
        run.unwrap();
    }
}

/// An idle cluster beats for a while: logs stay as they are.
#[test]
fn heartbeats_cut_nothing_off() {
    let recording = Recording::default();
    let run = Cluster::of(|_| Ledger::default()).observe(recording.clone()).simulate(1, async |cluster| {
        let told = propose_all(&cluster, 1..=20).await;
        cluster.run_for(ms(10_000)).await;
        agree(&cluster, &told).await
    });
    assert_eq!(run.unwrap(), (1..=20).collect::<Vec<_>>());
    assert!(!recording.has(|event| matches!(event, Event::Truncated { .. })));
    recording.assert_safe();
}

/// Term, role and index of every peer, also of one whose disk hangs and of one that is down.
#[test]
fn the_status_never_waits() {
    let run = Cluster::of(|_| Ledger::default()).simulate(1, async |cluster| {
        let (hangs, down) = (leader(&cluster).await, follower(&cluster).await);
        cluster.disk(hangs).unwrap().hang();
        cluster.kill(down).await;
        cluster.run_for(ms(10)).await;
        let status = cluster.status(hangs).unwrap();
        assert_eq!((status.up, status.role, status.term), (true, Some(RoleKind::Leader), Term(1)));
        assert!(!cluster.status(down).unwrap().up);
        assert_eq!(cluster.status(PeerId(9)), None);
        cluster.disk(hangs).unwrap().resume();
    });
    run.unwrap();
}
