//! Clients: what they are told, once and exactly (§8; thesis §6.3, §6.4).

use raft_actors::{Cluster, Config, error::ClientError, raft::Event};

use crate::common::{Ledger, Recording, Told, agree, follower, leader, ms, propose_all, seeds};

/// [20] A session's commands are under way when the leader is killed, in the middle of a sync: they are
/// sent again through the next, are applied once, and get the answer of the first time. Then everything
/// is snapshotted, all peers are killed and started, and the session still knows what was done.
#[test]
fn a_repeat_gets_the_first_answer_wherever_it_lands() {
    let mut repeats = 0;
    for seed in seeds(10) {
        let recording = Recording::default();
        let mut config = Config::default();
        (config.snapshot_entries, config.trail_entries) = (10, 0);
        let cluster = Cluster::of(|_| Ledger::default()).config(config).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let session = cluster.client().session().await.unwrap();
            let mut told = Vec::new();
            for round in 0..4 {
                let numbers = round * 10 + 1..=round * 10 + 10;
                let mut tickets = Vec::new();
                for number in numbers {
                    tickets.push((number, session.submit(&number).await.unwrap()));
                }
                let old = leader(&cluster).await;
                let disk = cluster.disk(old).unwrap();
                cluster.wait_until(ms(50), || disk.is_syncing()).await;
                cluster.run_for(ms(seed % 7)).await;
                cluster.kill(old).await;
                for (number, ticket) in tickets {
                    told.push(Told { number, outcome: ticket.await, by_session: true });
                }
                cluster.restart(old).await;
            }
            for peer in cluster.peers() {
                cluster.kill(peer).await;
                cluster.restart(peer).await;
            }
            let again = cluster.client().resume_session(session.id()).await.unwrap();
            assert_eq!(again.resumed_at(), 40);
            assert_eq!(again.propose(&41).await, Ok(41));
            assert_eq!(agree(&cluster, &told).await, (1..=41).collect::<Vec<_>>());
        });
        run.unwrap();
        recording.assert_safe();
        // An entry for each sending: more of them than were applied.
        let entries = recording.filter(|report| matches!(report.event, Event::Appended { .. }));
        let last = entries.iter().filter_map(|report| match report.event {
            Event::Appended { last, .. } => Some(last.index.0),
            _ => None,
        });
        repeats += usize::from(last.max().unwrap() > 60);
    }
    assert!(repeats > 0, "nothing was ever sent twice");
}

/// [21] A thousand proposals are under way when their leader is cut off. Each hears exactly once:
/// applied, certainly not, or unknown; nobody waits beyond its deadline.
#[test]
fn a_thousand_in_flight_each_hear_once() {
    for seed in seeds(3) {
        let cluster = Cluster::of(|_| Ledger::default());
        let run = cluster.simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            let mut told = propose_all(&cluster, [0]).await;
            let deadline = ms(3_000);
            let client = cluster.client().with_deadline(deadline);
            let began = cluster.elapsed();
            let proposals: Vec<_> = (1..=1_000u64)
                .map(|number| {
                    let client = client.clone();
                    (number, tokio::spawn(async move { client.propose(&number).await }))
                })
                .collect();
            cluster.run_for(ms(seed)).await;
            let cut = cluster.isolate(old);
            cluster.run_for(ms(800)).await;
            cut.heal();
            for (number, proposal) in proposals {
                told.push(Told { number, outcome: proposal.await.unwrap(), by_session: false });
            }
            assert!(cluster.elapsed() - began <= deadline + ms(10));
            assert!(told.iter().all(|told| {
                matches!(
                    told.outcome,
                    Ok(_) | Err(ClientError::Lost | ClientError::Unknown | ClientError::NotLeader { .. })
                )
            }));
            agree(&cluster, &told).await;
        });
        run.unwrap();
    }
}

/// [22] A leader is cut off. Queries go on being put to it, and to whoever leads next, while others
/// write: whoever asks after a write was acknowledged sees it, wherever it asks. By name it may be old.
#[test]
fn a_leader_cut_off_answers_no_read() {
    for seed in seeds(10) {
        let run = Cluster::of(|_| Ledger::default()).simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            let session = cluster.client().session().await.unwrap();
            session.propose(&1).await.unwrap();
            let cut = cluster.isolate(old);
            let write = tokio::spawn({
                let cluster = cluster.clone();
                async move {
                    session.propose(&2).await.unwrap();
                    cluster.elapsed()
                }
            });
            let mut queries = Vec::new();
            for _ in 0..200 {
                let (asked, client) = (cluster.elapsed(), cluster.client());
                queries.push((asked, tokio::spawn(async move { client.query(&()).await })));
                cluster.run_for(ms(5)).await;
            }
            let acknowledged = write.await.unwrap();
            let mut fresh = 0;
            for (asked, query) in queries {
                let ledger = query.await.unwrap();
                assert!(asked < acknowledged || ledger == Ok(vec![1, 2]), "asked at {asked:?}: {ledger:?}");
                fresh += usize::from(asked > acknowledged);
            }
            assert!(fresh > 10);
            assert_eq!(cluster.client().query_local(old, &()).await, Ok(vec![1]));
            cut.heal();
            agree(&cluster, &propose_all(&cluster, [3]).await).await;
        });
        run.unwrap();
    }
}

/// Linearizable reads beside writes, through crashes: whoever asks after an acknowledgement sees it.
#[test]
fn a_read_sees_what_was_acknowledged_before_it() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let (writer, reader) = (cluster.client().session().await.unwrap(), cluster.client());
            for number in 1..=60 {
                writer.propose(&number).await.unwrap();
                match number % 20 {
                    5 => cluster.crash(leader(&cluster).await, raft_actors::raft::ActorKind::Role),
                    10 => cluster.crash(follower(&cluster).await, raft_actors::raft::ActorKind::Machine),
                    15 => {
                        let old = leader(&cluster).await;
                        cluster.kill(old).await;
                        cluster.restart(old).await;
                    }
                    _ => {}
                }
                // A read may fail when its leader falls; it is never old.
                if let Ok(ledger) = reader.query(&()).await {
                    assert_eq!(ledger, (1..=number).collect::<Vec<_>>());
                }
            }
        });
        run.unwrap();
        recording.assert_safe();
    }
}
