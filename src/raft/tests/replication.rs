//! Replication in whole clusters (§5.3, §5.5, §7): catching up, losing leadership, disks that lie.

use std::collections::VecDeque;

use super::{
    cluster::{Cluster, Flight, Packet},
    machine::{applied, applied_at},
    *,
};

/// The followers' refusals so far: what the search for a common entry costs.
fn refusals(cluster: &Cluster) -> u64 {
    cluster.happened.get("Refused").copied().unwrap_or(0)
}

fn is_append(flight: &Flight) -> bool {
    matches!(flight.packet, Packet::Append { .. })
}

/// Links that take a while, either way.
struct Slow {
    delay_ms: u64,
    under_way: VecDeque<(u64, Flight)>,
}

impl Slow {
    fn new(delay_ms: u64) -> Slow {
        Slow { delay_ms, under_way: VecDeque::new() }
    }

    fn run_for(&mut self, cluster: &mut Cluster, ms: u64) {
        for _ in 0..ms {
            cluster.now_ms += 1;
            let due_ms = cluster.now_ms + self.delay_ms;
            self.under_way.extend(cluster.take(|_| true).into_iter().map(|flight| (due_ms, flight)));
            while self.under_way.front().is_some_and(|&(due_ms, _)| due_ms <= cluster.now_ms) {
                cluster.deliver_all(self.under_way.pop_front().map(|(_, flight)| flight));
            }
            for id in cluster.ids() {
                let dry = cluster.peers[&id].dry.as_ref();
                if dry.is_some_and(|dry| dry.deadline_ms() <= cluster.now_ms) {
                    cluster.turn(id.0, |dry| dry.deliver(Tick));
                }
            }
        }
    }
}

/// Fifty terms of `run` entries each, `first`, `first + 2`, ..., behind ten entries of term 1.
fn fifty_terms(first: u64, run: usize) -> Vec<u64> {
    let terms = (0..50).flat_map(|number| std::iter::repeat_n(first + 2 * number, run));
    [1; 10].into_iter().chain(terms).collect()
}

/// [18] A follower 100,000 entries off, in 50 terms that the leader never saw: "one AppendEntries RPC will be
/// required for each term with conflicting entries, rather than one RPC per entry" (§5.3).
#[test]
fn a_search_takes_a_probe_for_each_term_and_not_for_each_entry() {
    let (ours, theirs) = (fifty_terms(3, 2_000), fifty_terms(2, 2_000));
    let disks = vec![disk(3, (101, None), &ours), disk(3, (101, None), &ours), disk(3, (101, None), &theirs)];
    let mut cluster = Cluster::with_disks(Config::default(), disks);
    cluster.safety.is_off = true;
    cluster.elect(1);
    cluster.run_for(1_000);
    assert!(refusals(&cluster) <= 55, "{} refusals for 50 terms", refusals(&cluster));
    assert!(refusals(&cluster) >= 25, "this was to be a long search");
    assert_eq!(terms(cluster.state(3).log()), terms(cluster.state(1).log()));
    assert_eq!(cluster.peer(3).machine.index(), Index(100_012));
}

/// The same when it only lacks them: one refusal, which says where its log ends (§5.3).
#[test]
fn a_missing_tail_takes_one_probe() {
    let ours = fifty_terms(3, 2_000);
    let disks =
        vec![disk(3, (101, None), &ours), disk(3, (101, None), &ours), disk(3, (101, None), &[1; 10])];
    let mut cluster = Cluster::with_disks(Config::default(), disks);
    cluster.safety.is_off = true;
    cluster.elect(1);
    cluster.run_for(200);
    assert_eq!((refusals(&cluster), cluster.peer(3).machine.index()), (1, Index(100_012)));
}

/// On links slower than a heartbeat interval the search is still one chain of probes: each answer finds it
/// where it left it.
#[test]
fn a_search_over_a_slow_link_is_not_begun_anew_with_each_heartbeat() {
    let (ours, theirs) = (fifty_terms(3, 2), fifty_terms(2, 2));
    let disks = vec![disk(3, (101, None), &ours), disk(3, (101, None), &ours), disk(3, (101, None), &theirs)];
    let config = Config { election_timeout_ms: 1_000..2_000, ..Config::default() };
    let mut cluster = Cluster::with_disks(config, disks);
    cluster.safety.is_off = true;
    cluster.campaign(1);
    Slow::new(60).run_for(&mut cluster, 20_000);
    assert_eq!(terms(cluster.state(3).log()), terms(cluster.state(1).log()));
    assert!(refusals(&cluster) <= 110, "{} refusals for 50 terms", refusals(&cluster));
}

/// The leader streams without waiting for answers (thesis §10.2.1). When the first of a full window is lost the
/// others are refused, and one search, not one for each, puts it right, also when nothing more is proposed.
#[test]
fn a_lost_message_costs_one_search() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.elect(1);
    cluster.run_for(100);
    for number in 0..8 {
        cluster.propose(1, data(number));
    }
    let window = cluster.take(|flight| is_append(flight) && flight.to == PeerId(2));
    assert_eq!(window.len(), 8, "pushed, not one at a time");
    cluster.deliver_all(window.into_iter().skip(1));
    cluster.settle();
    assert_eq!(cluster.state(2).log().last(), cluster.state(1).log().last());
    assert!(refusals(&cluster) <= 9, "{} refusals", refusals(&cluster));
}

/// Any one message of a stream may be the one that is lost: heartbeats find out, without any other retry.
#[test]
fn whatever_is_lost_is_found_out_by_heartbeats() {
    for lost in 0..24 {
        let mut cluster = Cluster::new(3, Config { batch_entries_max: 2, ..Config::default() });
        cluster.elect(1);
        cluster.run_for(100);
        for number in 0..6 {
            cluster.propose(1, data(number));
        }
        for number in 0.. {
            let Some(flight) = (!cluster.wire.is_empty()).then(|| cluster.wire.remove(0)) else { break };
            if number != lost {
                cluster.deliver_all([flight]);
            }
        }
        cluster.run_for(150);
        for id in 2..=3 {
            assert_eq!(cluster.state(id).commit(), cluster.state(1).log().last().index, "message {lost}");
        }
    }
}

/// Catching up uses the window: slices are pulled while earlier ones are under way.
#[test]
fn catching_up_keeps_the_window_full() {
    let config = Config { batch_entries_max: 10, window_batches_max: 4, ..Config::default() };
    let ours = vec![1; 500];
    let disks = vec![disk(3, (1, None), &ours), disk(3, (1, None), &ours), Vec::new()];
    let mut cluster = Cluster::with_disks(config, disks);
    cluster.crash(PeerId(3), 0);
    cluster.elect(1);
    cluster.start(PeerId(3));
    let mut links = Slow::new(20);
    links.run_for(&mut cluster, 260);
    let before = cluster.state(3).log().last().index;
    assert!((20..300).contains(&before.0), "it has begun: {before}");
    links.run_for(&mut cluster, 200);
    let gained = cluster.state(3).log().last().index.since(before);
    // A window of 4 slices of 10 per round trip of 40 ms; one slice at a time would make 50.
    assert!(gained >= 150, "{gained} entries in five round trips");
}

/// A replicator that is replaced, or a leader that is idle: the follower still gets all there is.
#[test]
fn a_replaced_replicator_brings_an_idle_cluster_to_the_end() {
    let config = Config { batch_entries_max: 3, replicator_silence_ms: 300, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    cluster.crash(PeerId(3), 0);
    for number in 0..50 {
        cluster.propose(1, data(number));
        cluster.settle();
    }
    cluster.run_for(2_000);
    assert!(cluster.happened["Renewed"] >= 1);
    cluster.start(PeerId(3));
    cluster.run_for(300);
    assert_eq!(cluster.state(3).log().last(), cluster.state(1).log().last());
    assert_eq!(cluster.peer(3).machine.index(), cluster.peer(1).machine.index());
}

/// [16] A follower that comes back with half of its log acknowledges nothing that it lacks, gets no vote for
/// a log that lacks it, and is not trusted with its old answers for anything new.
#[test]
fn a_follower_that_lost_its_tail_acknowledges_only_what_it_holds() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.elect(1);
    for number in 0..10 {
        cluster.propose(1, data(number));
    }
    cluster.settle();
    let whole = cluster.state(2).log().last();
    cluster.crash(PeerId(2), 0);
    let half = cluster.peer(2).disk.len() / 2;
    cluster.peer(2).disk.truncate(half);
    cluster.safety.is_off = true;
    cluster.start(PeerId(2));
    let short = cluster.state(2).log().last();
    assert!(short < whole);
    let now_ms = cluster.now_ms;
    cluster.peer(2).dry.as_mut().unwrap().state_mut().now_ms = now_ms;
    for index in 1..=whole.index.0 {
        let term = cluster.state(1).log().term_at(Index(index)).unwrap();
        let slice = rig::slice(Position { term, index: Index(index) }, &[], index);
        let dry = cluster.peer(2).dry.as_mut().unwrap();
        let answer = rig::append(dry, 1, 1, slice).unwrap();
        assert_eq!(answer.result.is_ok(), index <= short.index.0, "{index}");
    }
    cluster.now_ms += 1_000;
    let now_ms = cluster.now_ms;
    let dry = cluster.peer(3).dry.as_mut().unwrap();
    dry.state_mut().now_ms = now_ms;
    assert!(!rig::request_vote(dry, 9, 2, short).granted);
}

/// [17] While a write is under way the mailbox is shut, so no answer and no new leader can come between the
/// write and what is counted for it: only what the present leadership wrote is durable for it.
#[test]
fn a_write_of_an_earlier_leadership_counts_for_nothing() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.elect(1);
    cluster.part(&[1], &[2, 3]);
    cluster.hear_proposal(1, data("old"));
    cluster.begin_sync(PeerId(1));
    assert_eq!(cluster.state(1).commit(), Index(2));
    cluster.end_sync(PeerId(1));
    // Another takes its place at the same index, and then it leads again.
    cluster.elect_among(2, &[2, 3]);
    cluster.cut.clear();
    cluster.run_for(100);
    assert!(!cluster.safety.is_committed(&data("old")));
    assert_eq!(cluster.leaders(), [PeerId(2)]);
    cluster.run_for(1);
    cluster.elect(1);
    cluster.hear_proposal(1, data("new"));
    let index = cluster.state(1).log().last().index;
    cluster.begin_sync(PeerId(1));
    for id in [2, 3] {
        let flights = cluster.take(|flight| flight.to == PeerId(id));
        cluster.deliver_all(flights);
    }
    let answers = cluster.take(|flight| flight.to == PeerId(1));
    assert!(answers.iter().any(
        |flight| matches!(&flight.packet, Packet::Appended { answer, .. } if answer.result == Ok(index))
    ));
    answers.into_iter().for_each(|flight| cluster.deliver(flight));
    assert!(cluster.state(1).commit() < index, "all others hold it; our disk does not yet");
    cluster.end_sync(PeerId(1));
    cluster.end_turn(PeerId(1));
    assert_eq!(cluster.state(1).commit(), index);
}

/// [19] An entry as large as a message may be travels alone, and nothing is stuck behind it.
#[test]
fn an_entry_as_large_as_a_message_replicates() {
    let config = Config { batch_bytes_max: 1_000, window_bytes_max: 2_000, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    let sizes = [10, 960, 5_000, 0, 961, 959, 3_000, 1];
    let clients: Vec<_> = sizes
        .iter()
        .map(|&size| cluster.hear_proposal(1, Command::Data(Data::from(vec![0; size]))))
        .collect();
    cluster.end_turn(PeerId(1));
    let alone = |flight: &Flight| match &flight.packet {
        Packet::Append { slice, .. } => {
            slice.weight() <= 1_000 || slice.batches.iter().map(Batch::count).sum::<u64>() == 1
        }
        _ => true,
    };
    for _ in 0..1_000 {
        assert!(cluster.wire.iter().all(alone));
        let Some(flight) = (!cluster.wire.is_empty()).then(|| cluster.wire.remove(0)) else { break };
        cluster.deliver_all([flight]);
    }
    for (number, client) in (3..).zip(clients) {
        assert_eq!(cluster.outcome(client), Some(&applied(Index(number))));
    }
    cluster.run_for(100);
    assert_eq!(cluster.state(3).commit(), Index(10));
}

/// [21] A thousand in flight when leadership is lost: each client hears exactly one thing, and it is true.
#[test]
fn a_thousand_in_flight_at_a_step_down_each_hear_once() {
    let config = Config { batch_entries_max: 50, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    let mut clients = Vec::new();
    for number in 0..1_000 {
        clients.push((cluster.hear_proposal(1, data(number)), data(number)));
        if number % 20 == 0 {
            cluster.end_turn(PeerId(1));
        }
        if number == 500 {
            cluster.settle();
            // From here on only peer 2 hears of it, and nobody is heard.
            cluster.cut.insert((PeerId(1), PeerId(3)));
            cluster.cut.extend([(PeerId(2), PeerId(1)), (PeerId(3), PeerId(1))]);
        }
        if number == 800 {
            cluster.part(&[1], &[2, 3]);
        }
    }
    cluster.end_turn(PeerId(1));
    cluster.settle();
    cluster.run_for(1_000);
    cluster.cut.clear();
    cluster.run_for(1_000);
    let mut told = std::collections::BTreeMap::new();
    for (client, command) in clients {
        let outcome = cluster.outcome(client).expect("answered").clone();
        let is_done = cluster.safety.is_committed(&command);
        match outcome {
            Outcome::Applied(_) => assert!(is_done),
            Outcome::Lost => assert!(!is_done),
            outcome => panic!("{outcome:?}"),
        }
        *told.entry(is_done).or_insert(0) += 1;
    }
    assert!(told[&true] >= 500 && told[&false] >= 150, "{told:?}");
}

/// A majority full of uncommitted entries of a leader that is gone: the next one's first entry, which alone
/// can commit them (§5.4.2), is let in.
#[test]
fn uncommitted_entries_do_not_keep_out_the_one_that_commits_them() {
    let config = Config { unapplied_bytes_max: 500, ..Config::default() };
    let full = disk(3, (2, None), &[2; 50]);
    let mut cluster = Cluster::with_disks(config, vec![full.clone(), full, Vec::new()]);
    cluster.crash(PeerId(3), 0);
    cluster.elect(1);
    cluster.run_for(500);
    assert_eq!(cluster.peer(1).machine.index(), Index(52));
    cluster.start(PeerId(3));
    cluster.run_for(500);
    assert_eq!(cluster.peer(3).machine.index(), Index(52));
}

/// A machine that stands still for a while: its follower refuses entries, not heartbeats, so that it does not
/// campaign; then it catches up.
#[test]
fn a_slow_machine_holds_its_follower_back_and_nobody_else() {
    let config = Config { unapplied_bytes_max: 500, batch_entries_max: 2, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    cluster.run_for(100);
    cluster.peer(3).machine.stalled = Some(Vec::new());
    for number in 0..60 {
        cluster.propose(1, data(number));
        cluster.run_for(20);
    }
    let term = cluster.state(1).term();
    assert_eq!(cluster.state(1).commit(), Index(62));
    assert!(cluster.state(3).log().last().index < Index(30));
    let later = cluster.peer(3).machine.stalled.take().unwrap();
    for work in later {
        cluster.peer(3).machine.work(work, |_| unreachable!());
    }
    cluster.run_for(500);
    assert_eq!((cluster.state(3).commit(), cluster.state(1).term()), (Index(62), term));
}

/// [37] A follower behind the leader's log gets a snapshot, entries behind it, and applies all of it once
/// (§7); also when the leader's log moved on, and the first snapshot got lost.
#[test]
fn a_follower_behind_the_log_gets_a_snapshot_and_goes_on() {
    let config = Config { trail_entries: 2, batch_entries_max: 3, ..Config::default() };
    let mut cluster = Cluster::new(3, config);
    cluster.elect(1);
    cluster.run_for(100);
    cluster.crash(PeerId(3), 0);
    for number in 0..40 {
        cluster.propose(1, data(number));
        cluster.settle();
        if number % 10 == 9 {
            cluster.take_snapshot(1);
            cluster.end_turn(PeerId(1));
        }
    }
    assert_eq!(cluster.state(1).log().base().index, Index(40));
    cluster.start(PeerId(3));
    let mut lost = 0;
    for _ in 0..20 {
        cluster.now_ms += 50;
        cluster.turn(1, |dry| dry.deliver(Tick));
        cluster.settle_until(|packet| matches!(packet, Packet::Install { .. }) && lost < 3);
        lost += cluster.take(|flight| matches!(flight.packet, Packet::Install { .. })).len();
        cluster.propose(1, data(format!("more {lost}")));
    }
    cluster.run_for(300);
    assert!(lost >= 3 && cluster.happened["SnapshotInstalled"] == 1);
    assert_eq!(cluster.peers[&PeerId(3)].machine.applied, cluster.peers[&PeerId(1)].machine.applied);
    assert!(cluster.state(3).log().base().index >= Index(42));
}

/// Reads on a busy cluster: each sees all that was acknowledged before it was asked (§8).
#[test]
fn reads_see_what_was_acknowledged() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.elect(1);
    for number in 0..20 {
        let write = cluster.propose(1, data(number));
        cluster.settle();
        let written = applied_at(cluster.outcome(write).unwrap()).unwrap();
        let read = cluster.read(1);
        assert_eq!(cluster.outcome(read), None, "not before a quorum answered");
        cluster.settle();
        assert!(applied_at(cluster.outcome(read).unwrap()).unwrap() >= written);
    }
}
