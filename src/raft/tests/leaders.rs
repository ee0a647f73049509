//! The Leader's column of the grid (§5.3, §5.4, §8; Figure 2, "Leaders").

use super::{dry::Dry, leader::Order, rig::*, *};

/// The leader of term 5 of three, whose log is `terms` and its own first entry.
fn leading(terms: &[u64]) -> Dry {
    peer(RoleKind::Leader, 5, terms)
}

fn streamed(errands: &[dry::Errand]) -> Vec<Arc<Slice>> {
    let stream = |order| match order {
        Order::Stream(slice) => Some(slice),
        _ => None,
    };
    orders(errands).into_iter().filter_map(stream).collect()
}

/// "Upon election: send initial empty AppendEntries RPCs" and "a blank no-op entry into the log at the
/// start of its term" (§8): in one message, before its own disk has it (thesis §10.2.1).
#[test]
fn a_new_leader_sends_a_blank_entry_at_once() {
    let state = state_of(3, &Config::default(), (5, Some(1)), &[1, 4]);
    let mut dry = Dry::with(AnyRole::Leader(leader::Leader::elected(state)));
    dry.enter();
    let turn = dry.end_turn(0);
    let slices = streamed(&turn.early);
    assert_eq!((slices.len(), slices[0].prev, slices[0].end()), (1, at(4, 3), at(5, 4)));
    assert_eq!(slices[0].batches[0].commands(), [Command::Noop]);
    assert_eq!(turn.records, [Record::Entries(slices[0].batches[0].clone())]);
    assert_eq!(dry.state().commit(), Index(0));
}

/// "If command received from client: append entry to local log" (§5.3): all of a turn in one slice for
/// all followers, in the order in which they came; nothing is answered before it is applied.
#[test]
fn proposals_of_a_turn_travel_together() {
    let mut dry = leading(&[]);
    let mut one = propose(&mut dry, [data("a"), data("b")]);
    let mut two = propose(&mut dry, [data("c")]);
    let turn = end(&mut dry);
    let slices = streamed(&turn.early);
    let commands: Vec<_> =
        slices.iter().flat_map(|slice| slice.batches.iter()).flat_map(Batch::commands).collect();
    assert_eq!(commands, [&data("a"), &data("b"), &data("c")]);
    assert_eq!((slices.len(), slices[0].prev, last(&dry)), (1, at(5, 2), at(5, 5)));
    assert!(one.try_recv().is_err() && two.try_recv().is_err());
    // Committed, they go to the machine with those who wait for them.
    let work = matched(&mut dry, 2, 5).letters.machine;
    let [Work::Apply { batches, waiting }] = &work[..] else { panic!("{work:?}") };
    assert_eq!(batches.iter().map(Batch::count).sum::<u64>(), 5);
    let waits: Vec<_> = waiting.iter().map(|group| (group.term, group.first, group.ports.len())).collect();
    assert_eq!(waits, [(Term(5), Index(3), 2), (Term(5), Index(5), 1)]);
}

/// Part of what was proposed at once can be committed before the rest.
#[test]
fn clients_wait_each_for_their_own_entry() {
    let mut dry = leading(&[]);
    propose(&mut dry, (0..5).map(data));
    end(&mut dry);
    let waits = |turn: dry::Turn| match &turn.letters.machine[..] {
        [Work::Apply { waiting, .. }] => {
            waiting.iter().map(|group| (group.first.0, group.ports.len())).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    assert_eq!(waits(matched(&mut dry, 2, 2)), []);
    assert_eq!(waits(matched(&mut dry, 2, 4)), [(3, 2)]);
    assert_eq!(waits(matched(&mut dry, 3, 3)), []);
    assert_eq!(waits(matched(&mut dry, 3, 7)), [(5, 3)]);
}

/// [19] Batches are bounded in entries and bytes; an entry near the limit travels alone.
#[test]
fn a_huge_proposal_is_cut_into_messages() {
    let config = Config { batch_entries_max: 3, batch_bytes_max: 200, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
    let large = Command::Data(Data::from(vec![0; 150]));
    let commands = [data(1), data(2), data(3), data(4), large.clone(), large, data(5)];
    propose(&mut dry, commands.clone());
    let turn = end(&mut dry);
    let counts: Vec<_> = streamed(&turn.early)
        .iter()
        .map(|slice| slice.batches.iter().map(Batch::count).sum::<u64>())
        .collect();
    assert_eq!(counts, [3, 1, 1, 1, 1]);
    let mut prev = at(5, 2);
    for slice in streamed(&turn.early) {
        assert_eq!(slice.prev, prev);
        prev = slice.end();
    }
    assert_eq!(prev, last(&dry));
}

/// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and log[N].term ==
/// currentTerm: set commitIndex = N" (§5.3, §5.4): entries of earlier terms are never committed by count.
#[test]
fn only_entries_of_its_own_term_are_committed_by_count() {
    let mut dry = leading(&[1, 2, 4]);
    matched(&mut dry, 2, 4);
    matched(&mut dry, 3, 4);
    assert_eq!(dry.state().commit(), Index(0), "all hold 4@4, and it is not committed (Figure 8)");
    matched(&mut dry, 2, 5);
    assert_eq!(dry.state().commit(), Index(5), "with its own first entry all before it are");
}

/// A majority of five is three, and the leader's own disk is one of them.
#[test]
fn a_quorum_commits_and_no_fewer() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::Leader, 5, &[]);
    matched(&mut dry, 2, 2);
    matched(&mut dry, 2, 2);
    assert_eq!(dry.state().commit(), Index(0), "the same answer twice is one follower");
    matched(&mut dry, 9, 2);
    assert_eq!(dry.state().commit(), Index(0), "a stranger does not count");
    matched(&mut dry, 4, 2);
    assert_eq!(dry.state().commit(), Index(2));
}

/// A commit is never counted before our own disk: what is applied on a peer is durable there.
#[test]
fn nothing_is_committed_before_its_own_disk_has_it() {
    let mut dry = leading(&[]);
    propose(&mut dry, [data("a")]);
    for from in [2, 3] {
        let answer = Matched { from: PeerId(from), index: Index(3), round: 0, healthy: true };
        dry.answer(dry.tenure(), answer);
    }
    dry.close();
    assert_eq!(dry.state().commit(), Index(2), "all followers have it, and that is not enough");
    let (letters, _) = dry.synced(0);
    assert_eq!((dry.state().commit(), letters.machine.len()), (Index(3), 1));
}

/// matchIndex only rises, and the commit index never moves back: old answers change nothing.
#[test]
fn an_old_answer_moves_nothing_back() {
    let mut dry = leading(&[]);
    propose(&mut dry, [data("a"), data("b")]);
    end(&mut dry);
    matched(&mut dry, 2, 4);
    assert_eq!(dry.state().commit(), Index(4));
    matched(&mut dry, 2, 2);
    assert_eq!(dry.state().commit(), Index(4));
    let turn = tick_after(&mut dry, 60);
    let beats = orders(&turn.early);
    assert!(
        beats.iter().any(|order| matches!(order, Order::Beat(PeerId(2), slice) if slice.prev == at(5, 4)))
    );
}

/// A follower can't hold what does not exist: reported, not counted.
#[test]
fn an_answer_beyond_our_log_is_not_believed() {
    let mut dry = leading(&[]);
    matched(&mut dry, 2, 3);
    matched(&mut dry, 3, u64::MAX);
    assert_eq!((dry.state().commit(), dry.state().violations()), (Index(0), 2));
}

// Heartbeats and check-quorum.

/// "Repeat during idle periods to prevent election timeouts" (§5.2): every interval, to everybody; what
/// a follower is known to hold is the `prev`.
#[test]
fn it_beats_every_interval() {
    let mut dry = leading(&[1]);
    assert_eq!(dry.deadline_ms(), dry.state().now_ms + 50);
    assert!(tick_after(&mut dry, 49).early.is_empty());
    let beat = |order: &Order| match order {
        Order::Beat(to, slice) => (to.0, slice.prev, slice.batches.len()),
        _ => panic!("{order:?}"),
    };
    let turn = tick_after(&mut dry, 1);
    assert_eq!(
        orders(&turn.early).iter().map(beat).collect::<Vec<_>>(),
        [(2, Position::ZERO, 0), (3, Position::ZERO, 0)]
    );
    matched(&mut dry, 3, 2);
    let turn = tick_after(&mut dry, 50);
    assert_eq!(
        orders(&turn.early).iter().map(beat).collect::<Vec<_>>(),
        [(2, Position::ZERO, 0), (3, at(1, 2), 0)]
    );
}

/// "A leader steps down if an election timeout elapses without a successful round of heartbeats to a
/// majority" (thesis §6.2). The vote of the term is not forgotten.
#[test]
fn it_steps_down_when_no_quorum_answers() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::Leader, 5, &[]);
    let patience_ms = Config::default().election_timeout_ms.end;
    dry.state_mut().now_ms += 100;
    matched(&mut dry, 2, 1);
    matched(&mut dry, 3, 1);
    tick_after(&mut dry, patience_ms - 1);
    assert_eq!(dry.kind(), RoleKind::Leader);
    matched(&mut dry, 2, 1);
    tick_after(&mut dry, 1);
    assert_eq!(dry.kind(), RoleKind::Follower, "one of four is no quorum");
    assert_eq!((dry.state().term(), dry.state().vote(), dry.leader()), (Term(5), Some(PeerId(1)), None));
    assert!(!request_vote(&mut dry, 5, 2, at(9, 9)).granted);
}

/// A refusal is a sign of life too; time deaf is none of silence.
#[test]
fn any_answer_is_a_sign_of_life() {
    let mut dry = leading(&[1, 4]);
    for _ in 0..20 {
        dry.state_mut().now_ms += 200;
        let conflict = Conflict { prev: at(4, 3), term: None, first: Index(2) };
        refused(&mut dry, 2, conflict);
        tick_after(&mut dry, 50);
        assert_eq!(dry.kind(), RoleKind::Leader);
    }
    dry.state_mut().now_ms += 5_000;
    dry.deliver(Health { poisoned: None });
    dry.end_turn(5_000);
    tick_after(&mut dry, 50);
    assert_eq!(dry.kind(), RoleKind::Leader, "its own disk was slow: nobody was silent");
}

// Backing up.

/// The leader's log of the table below: 1@0, then terms 4 4 4 6 6 and its own.
const TERMS: [u64; 5] = [4, 4, 4, 6, 6];

/// "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry", "one AppendEntries
/// RPC will be required for each term with conflicting entries" (§5.3).
#[test]
fn it_backs_up_a_whole_term_at_a_time() {
    let cases = [
        // The follower's log ends at 3: there.
        ("too short", at(6, 6), None, 4, Order::Probe as fn(_, _) -> _, at(4, 3)),
        // It has a term 5 at 4..=6 that we lack: before its first of that.
        ("a term that we lack", at(6, 6), Some(5), 4, Order::Probe, at(4, 3)),
        // It has our term 4 up to 6: our own last of term 4.
        ("a term that we share", at(6, 6), Some(4), 2, Order::Probe, at(4, 4)),
        // It has a term 2 from the beginning: what is left is the first membership.
        ("a term before all of ours", at(4, 4), Some(2), 2, Order::Probe, at(0, 1)),
        // A term beyond ours (of a leader that failed): before its first of it.
        ("a later term than ours there", at(4, 4), Some(5), 3, Order::Probe, at(4, 2)),
    ];
    for (what, prev, term, first, order, expect) in cases {
        let config = Config::default();
        let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
        let conflict = Conflict { prev, term: term.map(Term), first: Index(first) };
        let turn = refused(&mut dry, 2, conflict);
        let asked = Arc::new(Slice { prev: expect, batches: Default::default(), commit: Index(0), round: 0 });
        assert_eq!(orders(&turn.early), [order(PeerId(2), asked)], "{what}");
    }
}

/// A stale refusal never moves back behind what is known to match, and nothing at all has a floor: the
/// older systems ran out of their log.
#[test]
fn a_stale_refusal_moves_nothing_below_match() {
    let mut dry = peer_of(3, &Config::default(), RoleKind::Leader, 9, &TERMS);
    matched(&mut dry, 2, 4);
    let stale = Conflict { prev: at(4, 4), term: None, first: Index(2) };
    assert!(refused(&mut dry, 2, stale).early.is_empty());
    let deep = Conflict { prev: at(6, 6), term: Some(Term(1)), first: Index(1) };
    let turn = refused(&mut dry, 2, deep);
    let [Order::Feed(PeerId(2), slice)] = &orders(&turn.early)[..] else { panic!("{:?}", turn.early) };
    assert_eq!((slice.prev, slice.end()), (at(4, 4), at(9, 7)));
    for prev in [at(0, 0), at(0, 1), at(99, u64::MAX)] {
        for (term, first) in [(None, 0), (Some(Term(0)), 0), (Some(Term(99)), u64::MAX), (None, u64::MAX)] {
            refused(&mut dry, 3, Conflict { prev, term, first: Index(first) });
            assert_eq!(dry.kind(), RoleKind::Leader);
        }
    }
}

/// "The leader must occasionally send snapshots to followers that lag behind" (§7): when the log no
/// longer reaches back, and what follows the snapshot stays while it is sent.
#[test]
fn who_is_behind_the_log_gets_a_snapshot() {
    let config = Config { trail_entries: 0, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
    matched(&mut dry, 2, 7);
    dry.deliver(Snapshotted { at: at(4, 4) });
    assert_eq!(dry.state().log().base(), at(4, 4));
    let behind = Conflict { prev: at(9, 7), term: None, first: Index(3) };
    assert_eq!(orders(&refused(&mut dry, 3, behind).early), [Order::SendSnapshot(PeerId(3))]);
    let other = Conflict { prev: at(6, 5), term: Some(Term(2)), first: Index(3) };
    assert_eq!(orders(&refused(&mut dry, 3, other).early), [Order::SendSnapshot(PeerId(3))]);
    assert_eq!(dry.pinned(), Some(Index(4)));
    dry.deliver(Snapshotted { at: at(9, 7) });
    assert_eq!(dry.state().log().base(), at(4, 4), "pinned");
    matched(&mut dry, 3, 4);
    dry.deliver(Snapshotted { at: at(9, 7) });
    assert_eq!(dry.state().log().base(), at(4, 4), "it needs what comes behind the snapshot");
    matched(&mut dry, 3, 7);
    assert_eq!(dry.pinned(), None, "it has all that is committed");
    dry.deliver(Snapshotted { at: at(9, 7) });
    assert_eq!(dry.state().log().base(), at(9, 7));
}

/// The log behind a snapshot stays while its follower gets on with it, however many others are taken
/// meanwhile, and goes when the follower does not.
#[test]
fn the_log_waits_for_a_follower_that_gets_on() {
    let config = Config { trail_entries: 0, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
    matched(&mut dry, 2, 7);
    dry.deliver(Snapshotted { at: at(4, 4) });
    refused(&mut dry, 3, Conflict { prev: at(9, 7), term: None, first: Index(3) });
    let receive = |dry: &mut Dry, at| dry.answer(dry.tenure(), Receiving { from: PeerId(3), at: Index(at) });
    let pass = |dry: &mut Dry, ms: u64| {
        for _ in 0..ms / 50 {
            matched(dry, 2, 7);
            tick_after(dry, 50);
        }
    };
    for _ in 0..10 {
        pass(&mut dry, 1_000);
        receive(&mut dry, 5);
        dry.deliver(Snapshotted { at: at(9, 7) });
        assert_eq!(dry.state().log().base(), at(6, 5));
    }
    // It has it: the pin goes on with it, as long as it gets on.
    matched(&mut dry, 3, 6);
    pass(&mut dry, 2_000);
    matched(&mut dry, 3, 6);
    pass(&mut dry, 950);
    assert_eq!(dry.pinned(), Some(Index(6)));
    pass(&mut dry, 50);
    assert_eq!(dry.pinned(), None, "it got on no more");
    dry.deliver(Snapshotted { at: at(9, 7) });
    assert_eq!(dry.state().log().base(), at(9, 7));
}

/// A follower that gets on too slowly is let go of before the log behind it fills the memory.
#[test]
fn a_log_that_is_too_heavy_waits_for_nobody() {
    let pinned = |unapplied_bytes_max| {
        let config = Config { trail_entries: 0, unapplied_bytes_max, ..Config::default() };
        let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
        dry.answer(dry.tenure(), Receiving { from: PeerId(3), at: Index(4) });
        let weight = dry.state().log().weight_after(Index(4)) as usize;
        (dry.pinned(), weight)
    };
    let (_, weight) = pinned(usize::MAX);
    assert_eq!(pinned(weight).0, Some(Index(4)));
    assert_eq!(pinned(weight - 1).0, None);
}

/// A follower that is silent for long pins nothing, and its replicator is replaced, each time later.
#[test]
fn a_silent_follower_is_let_go_of() {
    let config = Config { trail_entries: 0, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
    matched(&mut dry, 2, 7);
    dry.deliver(Snapshotted { at: at(9, 7) });
    refused(&mut dry, 3, Conflict { prev: at(9, 8), term: None, first: Index(3) });
    let pinned = dry.pinned();
    let mut renewed = Vec::new();
    for beat in 1..=600 {
        matched(&mut dry, 2, 7);
        let turn = tick_after(&mut dry, 50);
        renewed.extend(orders(&turn.early).contains(&Order::Renew(PeerId(3))).then_some(beat * 50));
    }
    assert_eq!((pinned, dry.pinned()), (Some(Index(7)), None));
    assert_eq!(renewed, [3_000, 9_000, 21_000]);
}

// Pull.

/// A replicator with room gets what comes next, bounded, also while what is before that is under way;
/// and never what is known to match.
#[test]
fn a_pull_is_fed_what_comes_next() {
    let config = Config { batch_entries_max: 2, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 9, &TERMS);
    let pull = |dry: &mut Dry, next: Option<u64>| {
        dry.answer(dry.tenure(), Pull { from: PeerId(2), next: next.map(Index) });
        match &orders(&end(dry).early)[..] {
            [Order::Feed(_, slice)] => ("feed", slice.prev.index.0, slice.end().index.0),
            [Order::Probe(_, slice)] => ("probe", slice.prev.index.0, slice.end().index.0),
            orders => panic!("{orders:?}"),
        }
    };
    assert_eq!(pull(&mut dry, None), ("probe", 7, 7), "nothing is known: does it hold all?");
    assert_eq!(pull(&mut dry, Some(3)), ("feed", 2, 4), "under way is as good as known");
    matched(&mut dry, 2, 3);
    assert_eq!(pull(&mut dry, None), ("feed", 3, 5));
    assert_eq!(pull(&mut dry, Some(2)), ("feed", 3, 5), "not again");
    assert_eq!(pull(&mut dry, Some(8)), ("feed", 7, 7), "it has all");
    assert_eq!(pull(&mut dry, Some(999)), ("feed", 7, 7));
}

// Limits.

/// What it can't take it refuses at once, and appends nothing: safe to try again.
#[test]
fn proposals_beyond_the_limits_are_refused() {
    let config = Config { uncommitted_entries_max: 3, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
    matched(&mut dry, 2, 2);
    propose(&mut dry, [data(1), data(2), data(3)]);
    let mut refused = propose(&mut dry, [data(4)]);
    end(&mut dry);
    assert_eq!((refused.try_recv().unwrap().1, last(&dry)), (Outcome::Busy, at(5, 5)));
    matched(&mut dry, 2, 3);
    propose(&mut dry, [data(4)]);
    assert_eq!(last(&dry), at(5, 6));

    let config = Config { unapplied_bytes_max: 150, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
    propose(&mut dry, [Command::Data(Data::from(vec![0; 200]))]);
    let mut refused = propose(&mut dry, [data(4)]);
    end(&mut dry);
    assert_eq!(refused.try_recv().unwrap().1, Outcome::Busy);
    dry.state_mut().applied = Index(3);
    let mut taken = propose(&mut dry, [data(4)]);
    assert!(taken.try_recv().is_err());
    assert_eq!(last(&dry), at(5, 4));
}

/// A leader whose machine stands still hands over to a healthy peer, and says so if there is none.
#[test]
fn a_poisoned_leader_takes_nothing_and_hands_over() {
    let mut dry = leading(&[]);
    matched(&mut dry, 3, 2);
    dry.deliver(Health { poisoned: Some(Index(2)) });
    let mut refused = propose(&mut dry, [data("a")]);
    let (query, read) = query();
    dry.deliver(ReadIndex { queries: vec![query] });
    let turn = end(&mut dry);
    assert_eq!(refused.try_recv().unwrap().1, Outcome::Busy);
    assert_eq!(read.try_recv(), Ok(Outcome::Poisoned { index: Index(2) }));
    assert_eq!(orders(&turn.late), [Order::TimeoutNow(PeerId(3))]);
    for from in [2, 3] {
        let answer = Matched { from: PeerId(from), index: Index(2), round: 0, healthy: false };
        dry.answer(dry.tenure(), answer);
    }
    let mut refused = propose(&mut dry, [data("a")]);
    end(&mut dry);
    assert_eq!(refused.try_recv().unwrap().1, Outcome::Poisoned { index: Index(2) });
}

// What can't be.

/// A second leader in our term (Election Safety, §5.2), a candidate in it, a canvass: none deposes us.
#[test]
fn nothing_of_its_own_term_deposes_a_leader() {
    let mut dry = leading(&[1]);
    assert_eq!(append(&mut dry, 5, 2, slice(at(1, 2), &[5, 5], 4)), None);
    assert_eq!(install(&mut dry, 5, 2, at(5, 9)), None);
    assert!(!request_vote(&mut dry, 5, 2, at(9, 9)).granted);
    assert!(!canvass(&mut dry, 6, 2, at(9, 9)).granted);
    dry.deliver(TimeoutNow { term: Term(5), leader: PeerId(2) });
    dry.answer(dry.tenure(), Outran { term: Term(5) });
    end(&mut dry);
    assert_eq!((dry.kind(), last(&dry), dry.state().violations()), (RoleKind::Leader, at(5, 3), 2));
    assert_eq!(dry.state().commit(), Index(0));
}

/// [21] At step-down every client hears exactly one thing: reads and transfers at once, proposals from
/// the machine, which will see what became of them.
#[test]
fn at_step_down_nobody_is_forgotten() {
    let mut dry = leading(&[]);
    let mut proposed = propose(&mut dry, (0..1_000).map(data));
    end(&mut dry);
    let (query, read) = query();
    dry.deliver(ReadIndex { queries: vec![query] });
    let (port, moved) = Port::new();
    dry.deliver(Transfer { target: Some(PeerId(2)), port });
    let turn = tick_after(&mut dry, 1_000);
    assert_eq!(dry.kind(), RoleKind::Follower);
    assert_eq!(read.try_recv(), Ok(Outcome::NotLeader { leader: None }));
    assert_eq!(moved.try_recv(), Ok(Outcome::NotLeader { leader: None }));
    let [Work::Orphans(orphans)] = &turn.letters.machine[..] else { panic!("{:?}", turn.letters.machine) };
    assert_eq!(orphans.iter().map(|group| group.ports.len()).sum::<usize>(), 1_000);
    assert!(proposed.try_recv().is_err());
    drop(turn);
    // Whoever drops them tells them that nobody knows.
    assert_eq!(
        std::iter::from_fn(|| proposed.try_recv().ok()).filter(|(_, it)| *it == Outcome::Unknown).count(),
        1_000
    );
}
