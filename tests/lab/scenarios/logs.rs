//! The log: what is committed, cut off, searched and sent (§5.3, §5.4, §8).

use raft_actors::{
    Cluster, Config,
    error::ClientError,
    machine::Raw,
    raft::{Event, PeerId, Position, Term},
    transport::faults::Rule,
};

use crate::common::{Ledger, Load, Recording, agree, follower, leader, ms, propose_all, seeds};

/// [13] The leader is killed; whoever leads next is asked at once, before it has committed anything of
/// its own term: it waits, and then knows everything that was acknowledged (§8).
#[test]
fn a_new_leader_reads_nothing_old() {
    for seed in seeds(20) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            propose_all(&cluster, 1..=10).await;
            cluster.kill(old).await;
            let ledger = cluster.client().query(&()).await;
            assert_eq!(ledger, Ok((1..=10).collect::<Vec<_>>()));
        });
        run.unwrap();
        recording.assert_safe();
    }
}

/// [14] Messages are doubled, delayed, and overtake each other: no late one cuts off what a later one
/// brought. There is one leader all the time, so nothing is ever truncated.
#[test]
fn messages_late_twice_and_out_of_order_cut_nothing_off() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            leader(&cluster).await;
            let weather = Rule::new().duplicate(0.5).reorder(0.5, 1..=40);
            let _weather = cluster.fault(weather);
            let load = Load::start(&cluster);
            load.more(&cluster, 200).await;
            agree(&cluster, &load.stop().await).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert_eq!(recording.elections(), 1);
        assert!(!recording.has(|event| matches!(event, Event::Truncated { .. })));
    }
}

/// [15] An old leader comes back with a tail of its own, longer than the new log. Heartbeats tell it a
/// commit index that its own entries reach: it commits none of them.
#[test]
fn a_divergent_tail_is_never_committed() {
    for seed in seeds(10) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let old = leader(&cluster).await;
            let mut told = propose_all(&cluster, 1..=3).await;
            let cut = cluster.isolate(old);
            let client = cluster.client().with_deadline(ms(4_000));
            let lost: Vec<_> = (100..120u64)
                .map(|number| {
                    let client = client.clone();
                    tokio::spawn(async move { client.propose(&number).await })
                })
                .collect();
            cluster.run_for(ms(1_000)).await;
            told.extend(propose_all(&cluster, 4..=6).await);
            recording.take();
            cut.heal();
            cluster.run_for(ms(1_000)).await;
            for outcome in lost {
                assert_eq!(
                    outcome.await.unwrap(),
                    Err(ClientError::Lost),
                    "seed {seed}: {}",
                    recording.text()
                );
            }
            assert_eq!(agree(&cluster, &told).await, (1..=6).collect::<Vec<_>>());
            let of_old = recording.filter(|report| report.peer == old);
            let first =
                |holds: fn(&Event) -> bool| of_old.iter().position(|report| holds(&report.event)).unwrap();
            let truncated = first(|event| matches!(event, Event::Truncated { .. }));
            assert!(truncated < first(|event| matches!(event, Event::Committed { .. })));
        });
        run.unwrap();
    }
}

/// [18] A follower missed thousands of entries: finding that out costs a probe or two. (On links that
/// keep the order: a message that has overtaken another is refused too, and is no probe.)
#[test]
fn a_follower_far_behind_costs_a_probe_or_two() {
    let recording = Recording::default();
    let cluster = Cluster::of(|_| Ledger::default()).latency_ms(2..=2).observe(recording.clone());
    let run = cluster.simulate(1, async |cluster| {
        let away = follower(&cluster).await;
        cluster.kill(away).await;
        let session = cluster.client().session().await.unwrap();
        let mut tickets = Vec::new();
        for number in 1..=5_000 {
            tickets.push(session.submit(&number).await.unwrap());
        }
        for ticket in tickets {
            ticket.await.unwrap();
        }
        recording.take();
        cluster.restart(away).await;
        agree(&cluster, &[]).await;
    });
    run.unwrap();
    let refused = recording.count(|event| matches!(event, Event::Refused { .. }));
    assert!((1..=2).contains(&refused), "{refused} refusals");
}

/// A machine of bytes, which counts them.
#[derive(Default)]
struct Weights(u64);

impl raft_actors::machine::StateMachine for Weights {
    type Command = Raw;
    type Answer = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _: Position, command: Raw) -> u64 {
        self.0 += command.0.len() as u64;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> raft_actors::storage::SnapshotWriter {
        let weight = self.0;
        Box::new(move |into| into.write_all(&weight.to_le_bytes()))
    }

    fn restore(&mut self, snapshot: &mut dyn std::io::Read) -> std::io::Result<()> {
        let mut bytes = [0; 8];
        snapshot.read_exact(&mut bytes)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

/// [19] The largest command there may be is larger than a message should be: it travels alone. One
/// byte more is refused before anything is sent.
#[test]
fn the_largest_command_travels_alone_and_a_larger_one_is_refused() {
    let recording = Recording::default();
    let mut config = Config::default();
    (config.command_bytes_max, config.batch_bytes_max) = (10_000, 1_000);
    let cluster = Cluster::of(|_| Weights::default()).config(config).observe(recording.clone());
    let run = cluster.simulate(1, async |cluster| {
        leader(&cluster).await;
        let client = cluster.client();
        let raw = |bytes: usize| Raw(vec![7; bytes].into());
        assert_eq!(
            client.propose(&raw(10_001)).await,
            Err(ClientError::TooLarge { bytes: 10_001, max: 10_000 })
        );
        let small: Vec<_> = (0..20)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.propose(&raw(100)).await })
            })
            .collect();
        assert!(client.propose(&raw(10_000)).await.is_ok());
        for outcome in small {
            assert!(outcome.await.unwrap().is_ok());
        }
        assert_eq!(client.propose(&raw(0)).await, Ok(12_000));
        assert!(cluster.wait_until_caught_up(ms(2_000)).await);
        for peer in cluster.peers() {
            assert_eq!(client.query_local(peer, &()).await, Ok(12_000));
        }
    });
    run.unwrap();
    let large =
        recording.filter(|report| matches!(report.event, Event::Appended { bytes, .. } if bytes >= 10_000));
    assert_eq!(large.len(), 3, "each peer appended it");
    assert!(
        large
            .iter()
            .all(|report| matches!(report.event, Event::Appended { first, last, .. } if first == last.index))
    );
}

/// A log whose leader changes with every few entries is the same everywhere (Log Matching, §5.3).
#[test]
fn a_log_of_many_terms_is_the_same_everywhere() {
    for seed in seeds(3) {
        let recording = Recording::default();
        let cluster = Cluster::of(|_| Ledger::default()).peers(5).observe(recording.clone());
        let run = cluster.simulate(seed, async |cluster| {
            let mut told = Vec::new();
            for round in 0..10u64 {
                let old = leader(&cluster).await;
                told.extend(propose_all(&cluster, round * 10..round * 10 + 3).await);
                let cut = cluster.isolate(old);
                let wait = cluster.client().with_deadline(ms(1));
                assert!(wait.propose(&(round * 10 + 9)).await.is_err(), "nobody answers in a millisecond");
                cluster.run_for(ms(700)).await;
                cut.heal();
            }
            // Whether a command that was given up on is there is for the ledger to say.
            agree(&cluster, &told).await;
        });
        run.unwrap();
        recording.assert_safe();
        assert!(recording.term() >= Term(10));
        assert!(recording.has(|event| matches!(event, Event::Truncated { .. })));
        assert!(recording.filter(|report| report.peer == PeerId(1)).len() > 100);
    }
}
