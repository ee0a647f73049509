//! The Follower's column of the grid (§5.2, §5.3; Figure 2, "Followers" and both receivers).

use super::{dry::Dry, rig::*, *};

/// A follower of term 5 whose leader is 2.
fn following(terms: &[u64]) -> Dry {
    let mut dry = peer(RoleKind::Follower, 5, terms);
    heartbeat(&mut dry, 5, 2);
    assert_eq!(dry.leader(), Some(PeerId(2)));
    dry
}

fn result(dry: &mut Dry, slice: Arc<Slice>) -> Result<Index, Refusal> {
    append(dry, 5, 2, slice).expect("answered").result
}

// Tick.

/// "If election timeout elapses without receiving AppendEntries from current leader or granting vote to
/// candidate: convert to candidate" (§5.2), by way of a canvass (thesis §9.6).
#[test]
fn it_canvasses_when_its_deadline_has_passed_and_not_before() {
    let mut dry = following(&[]);
    let left_ms = dry.deadline_ms() - dry.state().now_ms;
    assert!(Config::default().election_timeout_ms.contains(&left_ms));
    tick_after(&mut dry, left_ms - 1);
    assert_eq!(dry.kind(), RoleKind::Follower);
    let turn = tick_after(&mut dry, 1);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
    assert!(turn.records.is_empty());
}

/// Without PreVote it campaigns at once (Figure 2).
#[test]
fn without_pre_vote_it_campaigns() {
    let config = Config { pre_vote: false, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Follower, 5, &[]);
    let turn = tick_after(&mut dry, 1_000);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Candidate, Term(6)));
    let ballot = |vote| Record::Ballot { term: Term(6), vote };
    assert_eq!(turn.records, [ballot(None), ballot(Some(PeerId(1)))]);
}

/// A learner never campaigns (thesis §4.2.1), nor does a peer whose machine stands still.
#[test]
fn who_must_not_lead_waits_on() {
    let mut poisoned = peer(RoleKind::Follower, 5, &[]);
    poisoned.deliver(Health { poisoned: Some(Index(1)) });
    let learner = Arc::new(Membership::of([2, 3].map(PeerId)).with_learner(PeerId(1)));
    let identity = Identity { first_membership: learner, ..identity(1, 3, &Config::default()) };
    let learner = Dry::start(&identity, Vec::new(), None, [7; 32]).unwrap();
    for mut dry in [poisoned, learner] {
        let term = dry.state().term();
        for _ in 0..10 {
            tick_after(&mut dry, 1_000);
            assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Follower, term));
            assert!(dry.deadline_ms() > dry.state().now_ms, "it waits for something to come");
        }
    }
}

/// Time deaf is not time waited: a slow sync is no silence of the leader.
#[test]
fn the_time_of_a_sync_does_not_count_as_silence() {
    let mut dry = following(&[]);
    let deadline_ms = dry.deadline_ms();
    dry.state_mut().now_ms += 1_000;
    dry.deliver(Health { poisoned: None });
    dry.end_turn(1_000);
    assert_eq!(dry.deadline_ms(), deadline_ms + 1_000);
    assert!(!request_vote(&mut dry, 9, 3, at(9, 9)).granted, "it heard its leader just before");
}

// PreVote and RequestVote.

/// "Grant if the candidate's log is sufficiently up-to-date" and no leader was heard lately (thesis §9.6).
#[test]
fn it_would_vote_only_if_it_hears_no_leader() {
    let mut dry = following(&[]);
    assert!(!canvass(&mut dry, 6, 3, at(9, 9)).granted);
    dry.state_mut().now_ms += 150;
    assert_eq!(canvass(&mut dry, 6, 3, at(9, 9)), PreVoted { from: PeerId(1), term: Term(6), granted: true });
    assert!(canvass(&mut dry, 7, 2, at(9, 9)).granted, "it may say so to many");
    assert!(!canvass(&mut dry, 5, 3, at(9, 9)).granted, "that term is not to come");
}

/// "If the logs have last entries with different terms, then the log with the later term is more
/// up-to-date. If the logs end with the same term, then whichever log is longer" (§5.4.1). A newer but
/// shorter log wins: to refuse it would block elections.
#[test]
fn up_to_date_is_the_later_term_then_the_longer_log() {
    // Ours ends at 4@3.
    let cases = [
        (at(2, 99), false),
        (at(3, 3), false),
        (at(3, 4), true),
        (at(3, 5), true),
        (at(4, 1), true),
        (Position::ZERO, false),
    ];
    for (theirs, granted) in cases {
        let mut dry = peer(RoleKind::Follower, 5, &[1, 3, 3]);
        assert_eq!(canvass(&mut dry, 6, 3, theirs).granted, granted, "{theirs}");
        assert_eq!(request_vote(&mut dry, 5, 3, theirs).granted, granted, "{theirs}");
        assert_eq!(dry.state().vote(), granted.then_some(PeerId(3)), "{theirs}");
    }
}

/// The vote compares logs, not what is committed: a follower that has committed all of a shorter log
/// still votes for a longer one, and one with nothing committed refuses a shorter one.
#[test]
fn what_is_committed_has_no_say_in_a_vote() {
    let mut dry = following(&[1, 3]);
    assert_eq!(result(&mut dry, slice(at(3, 3), &[], 3)), Ok(Index(3)));
    assert_eq!(dry.state().commit(), Index(3));
    dry.state_mut().now_ms += 1_000;
    assert!(request_vote(&mut dry, 6, 3, at(3, 4)).granted);
    let mut dry = peer(RoleKind::Follower, 5, &[1, 3]);
    assert_eq!(dry.state().commit(), Index(0));
    assert!(!request_vote(&mut dry, 6, 3, at(3, 2)).granted);
}

/// "Each server will vote for at most one candidate in a given term, on a first-come-first-served
/// basis" (§5.2); asked again by the same, it says the same. The vote is written before it is said.
#[test]
fn it_votes_once_a_term() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    assert!(request_vote(&mut dry, 5, 3, at(0, 1)).granted);
    assert!(!request_vote(&mut dry, 5, 2, at(9, 9)).granted);
    let (term, candidate, last, transfer) = (Term(5), PeerId(3), at(9, 9), false);
    let reply = Reply::new(drop);
    dry.deliver(RequestVote { term, candidate, last, transfer, reply });
    let turn = dry.end_turn(0);
    assert!(turn.records.is_empty() && turn.letters.replies.len() == 1, "it is on disk already");
    assert!(request_vote(&mut dry, 6, 2, at(9, 9)).granted, "a new term, a new vote");
}

/// [1], [3] "Vote before disk": the record stands before the letter that rests on it.
#[test]
fn a_vote_is_durable_before_it_leaves() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    let (term, candidate, last, transfer) = (Term(7), PeerId(3), at(9, 9), false);
    let reply = Reply::new(|_| panic!("not before the sync"));
    dry.deliver(RequestVote { term, candidate, last, transfer, reply });
    let (early, records) = dry.close();
    assert!(early.is_empty());
    let ballot = |vote| Record::Ballot { term: Term(7), vote };
    assert_eq!(records, [ballot(None), ballot(Some(PeerId(3)))]);
    let (letters, _) = dry.synced(0);
    assert!(matches!(letters.replies[..], [Letter::Voted(_, Voted { granted: true, .. })]));
}

/// A term that has its leader elects no other; and only a granted vote restarts the timeout (§5.2).
#[test]
fn it_does_not_vote_in_a_term_that_has_its_leader() {
    let mut dry = following(&[]);
    dry.state_mut().now_ms += 200;
    let deadline_ms = dry.deadline_ms();
    assert!(!request_vote(&mut dry, 5, 3, at(9, 9)).granted);
    assert_eq!((dry.state().vote(), dry.deadline_ms()), (None, deadline_ms));
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    dry.state_mut().now_ms += 1_000;
    assert!(request_vote(&mut dry, 5, 3, at(9, 9)).granted);
    assert!(dry.deadline_ms() >= dry.state().now_ms + 150);
}

// AppendEntries.

/// "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm"
/// (receiver, step 2). Nothing changes, but the leader was heard.
#[test]
fn entries_that_do_not_follow_are_refused() {
    let mut dry = following(&[1, 1, 4]);
    dry.state_mut().now_ms += 100;
    let deadline_ms = dry.deadline_ms();
    let missing = result(&mut dry, slice(at(5, 9), &[5], 4));
    let prev = at(5, 9);
    assert_eq!(missing, Err(Refusal::Conflict(Conflict { prev, term: None, first: Index(5) })));
    let other = result(&mut dry, slice(at(3, 4), &[5], 4));
    let prev = at(3, 4);
    assert_eq!(other, Err(Refusal::Conflict(Conflict { prev, term: Some(Term(4)), first: Index(4) })));
    assert_eq!((terms(dry.state().log()), dry.state().commit()), (vec![1, 1, 4], Index(0)));
    assert_ne!(dry.deadline_ms(), deadline_ms);
}

/// "If an existing entry conflicts with a new one (same index but different terms), delete the existing
/// entry and all that follow it" and "append any new entries not already in the log" (steps 3, 4).
#[test]
fn a_conflict_cuts_the_tail_and_the_leaders_takes_its_place() {
    let mut dry = following(&[1, 1, 2, 2, 2]);
    assert_eq!(result(&mut dry, slice(at(1, 2), &[1, 3, 5], 0)), Ok(Index(5)));
    assert_eq!(terms(dry.state().log()), [1, 1, 3, 5]);
}

/// [14] An old, shorter message cuts nothing off that matches (step 3: "conflicts"), and neither does an
/// empty one: the older systems truncated there.
#[test]
fn a_late_or_empty_message_cuts_nothing_off() {
    for late in [slice(at(1, 2), &[1], 0), slice(at(1, 2), &[], 0), slice(Position::ZERO, &[], 0)] {
        let mut dry = following(&[1, 1, 2, 2]);
        let end = late.end().index;
        assert_eq!(result(&mut dry, late), Ok(end), "and says only what that message proved");
        assert_eq!(terms(dry.state().log()), [1, 1, 2, 2]);
        assert!(end_records(&mut dry).is_empty());
    }
}

fn end_records(dry: &mut Dry) -> Vec<Record> {
    dry.deliver(Health { poisoned: None });
    end(dry).records
}

/// The same message twice does what it does once (§5.5: "Raft RPCs are idempotent").
#[test]
fn a_repeated_message_changes_nothing() {
    let mut dry = following(&[1]);
    let message = slice(at(1, 2), &[5, 5], 3);
    assert_eq!(result(&mut dry, message.clone()), Ok(Index(4)));
    let log = terms(dry.state().log());
    assert_eq!(result(&mut dry, message), Ok(Index(4)));
    assert_eq!((terms(dry.state().log()), dry.state().commit()), (log, Index(3)));
}

/// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)" (step 5).
/// [15] A heartbeat commits only what is known to match, whatever tail we have.
#[test]
fn commit_goes_no_further_than_what_matches() {
    let mut dry = following(&[1, 1, 2, 2]);
    assert_eq!(result(&mut dry, slice(at(1, 2), &[], 5)), Ok(Index(2)));
    assert_eq!(dry.state().commit(), Index(2));
    assert_eq!(result(&mut dry, slice(at(1, 2), &[1, 5], 3)), Ok(Index(4)));
    assert_eq!(dry.state().commit(), Index(3));
    // And never back.
    assert_eq!(result(&mut dry, slice(at(1, 2), &[], 1)), Ok(Index(2)));
    assert_eq!(dry.state().commit(), Index(3));
}

/// What is committed goes to the machine, in order, once.
#[test]
fn what_is_committed_is_applied_once_in_order() {
    let mut dry = following(&[1, 1]);
    let (term, leader) = (Term(5), PeerId(2));
    for (slice, expect) in [
        (slice(at(1, 2), &[], 2), vec![1, 2]),
        (slice(at(1, 2), &[], 2), vec![]),
        (slice(at(1, 2), &[1, 5], 9), vec![3, 4]),
    ] {
        dry.deliver(AppendEntries { term, leader, slice, reply: Reply::new(drop) });
        let work = end(&mut dry).letters.machine;
        let entries = work.iter().flat_map(|work| match work {
            Work::Apply { batches, .. } => batches.iter().flat_map(Batch::entries),
            _ => panic!("nothing else to do"),
        });
        assert_eq!(entries.map(|(position, _)| position.index.0).collect::<Vec<_>>(), expect);
    }
}

/// A conflict at or below the commit index can't be (Leader Completeness, §5.4): refused and reported.
#[test]
fn what_is_committed_is_never_cut_off() {
    let mut dry = following(&[1, 1, 2]);
    assert_eq!(result(&mut dry, slice(at(2, 4), &[], 3)), Ok(Index(4)));
    assert_eq!(result(&mut dry, slice(at(1, 2), &[3], 0)), Err(Refusal::Stale));
    assert_eq!((terms(dry.state().log()), dry.state().violations()), (vec![1, 1, 2], 1));
    assert_eq!(result(&mut dry, slice(at(1, 3), &[3], 0)), Ok(Index(4)), "behind it, it may be");
}

/// The same for what a snapshot covers: a deposed leader's tail is not put behind it.
#[test]
fn a_tail_that_does_not_follow_our_snapshot_is_refused() {
    let mut dry = following(&[]);
    install(&mut dry, 5, 2, at(4, 10));
    assert_eq!(result(&mut dry, slice(at(1, 8), &[1, 1, 1, 1], 0)), Err(Refusal::Stale));
    assert_eq!((last(&dry), dry.state().violations()), (at(4, 10), 1));
    assert_eq!(result(&mut dry, slice(at(1, 8), &[1, 4, 4], 0)), Ok(Index(11)));
    assert_eq!(last(&dry), at(4, 11));
}

/// One leader a term (Election Safety, §5.2): another is not believed, and neither is somebody who
/// speaks in our name; the real one is heard all the same.
#[test]
fn a_second_leader_is_not_believed() {
    let mut dry = peer(RoleKind::Follower, 5, &[1]);
    assert_eq!(heartbeat(&mut dry, 5, 1), None);
    assert_eq!((dry.leader(), dry.state().violations()), (None, 1));
    assert!(heartbeat(&mut dry, 5, 2).is_some());
    let deadline_ms = dry.deadline_ms();
    dry.state_mut().now_ms += 10;
    assert_eq!(append(&mut dry, 5, 3, slice(at(1, 2), &[5], 2)), None);
    assert_eq!(install(&mut dry, 5, 3, at(5, 50)), None);
    assert_eq!((dry.leader(), dry.deadline_ms(), last(&dry)), (Some(PeerId(2)), deadline_ms, at(1, 2)));
    assert_eq!((dry.state().violations(), dry.state().commit()), (3, Index(0)));
    assert!(heartbeat(&mut dry, 5, 2).is_some());
}

/// Entries that leave a gap, fall back in term, or are of a later term than their leader: refused,
/// reported, nothing changed.
#[test]
fn malformed_entries_change_nothing() {
    let batch = |term, first| Batch::new(Term(term), Index(first), vec![Command::Noop]).unwrap();
    for batches in
        [vec![batch(5, 4)], vec![batch(4, 3), batch(3, 4)], vec![batch(6, 3)], vec![batch(4, 3), batch(4, 5)]]
    {
        let mut dry = following(&[1]);
        let slice = Slice { prev: at(1, 2), batches: batches.into(), commit: Index(9), round: 0 };
        assert_eq!(append(&mut dry, 5, 2, Arc::new(slice)), None);
        assert_eq!((last(&dry), dry.state().commit(), dry.state().violations()), (at(1, 2), Index(0), 1));
    }
    let mut dry = following(&[1]);
    assert_eq!(append(&mut dry, 5, 2, slice(at(6, 2), &[], 0)), None);
}

/// A machine too far behind refuses entries, not heartbeats; what can't be applied yet does not count,
/// or entries of an earlier leader would keep those out that alone can commit them (§5.4.2).
#[test]
fn a_backlog_refuses_entries_and_is_only_what_is_committed() {
    let config = Config { unapplied_bytes_max: 100, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Follower, 5, &[1, 2, 3, 4]);
    assert_eq!(append(&mut dry, 5, 2, slice(at(4, 5), &[5], 0)).unwrap().result, Ok(Index(6)));
    assert_eq!(append(&mut dry, 5, 2, slice(at(5, 6), &[], 6)).unwrap().result, Ok(Index(6)));
    assert_eq!(append(&mut dry, 5, 2, slice(at(5, 6), &[5], 6)).unwrap().result, Err(Refusal::Backlog));
    assert_eq!(append(&mut dry, 5, 2, slice(at(5, 6), &[], 6)).unwrap().result, Ok(Index(6)));
    dry.state_mut().applied = Index(5);
    assert_eq!(append(&mut dry, 5, 2, slice(at(5, 6), &[5], 6)).unwrap().result, Ok(Index(7)));
}

/// The answer echoes the round (thesis §6.4), and says whether the machine applies.
#[test]
fn an_answer_echoes_the_round_and_the_health() {
    let mut dry = following(&[]);
    dry.deliver(Health { poisoned: Some(Index(1)) });
    let asked = Slice { round: 7, ..Slice::clone(&slice(at(5, 9), &[], 0)) };
    let answer = append(&mut dry, 5, 2, Arc::new(asked)).unwrap();
    assert_eq!((answer.round, answer.healthy, answer.result.is_err()), (7, false, true));
    dry.deliver(Health { poisoned: None });
    assert!(heartbeat(&mut dry, 5, 2).unwrap().healthy);
}

// Installed.

/// "If existing log entry has same index and term as snapshot's last included entry, retain log
/// entries following it; discard the entire log" otherwise (Figure 13, steps 6 and 7).
#[test]
fn a_snapshot_keeps_what_follows_it_or_nothing() {
    let mut dry = following(&[1, 1, 2, 2]);
    assert_eq!(install(&mut dry, 5, 2, at(1, 3)).unwrap().taken, Taken::Installed(Index(3)));
    assert_eq!((dry.state().log().base(), last(&dry), dry.state().commit()), (at(1, 3), at(2, 5), Index(3)));
    let mut dry = following(&[1, 1, 2, 2]);
    assert_eq!(install(&mut dry, 5, 2, at(3, 3)).unwrap().taken, Taken::Installed(Index(3)));
    assert_eq!((dry.state().log().base(), last(&dry), dry.state().commit()), (at(3, 3), at(3, 3), Index(3)));
}

/// An older snapshot than our commit changes nothing; its leader learns that we have all of it.
#[test]
fn an_older_snapshot_changes_nothing() {
    let mut dry = following(&[1, 1, 2, 2]);
    assert_eq!(result(&mut dry, slice(at(2, 5), &[], 4)), Ok(Index(5)));
    assert_eq!(install(&mut dry, 5, 2, at(2, 4)).unwrap().taken, Taken::Installed(Index(4)));
    assert_eq!(
        (dry.state().log().base(), last(&dry), dry.state().commit()),
        (Position::ZERO, at(2, 5), Index(4))
    );
}

/// A snapshot from beyond its leader's term could never be followed by that leader's entries.
#[test]
fn a_snapshot_of_a_later_term_than_its_leaders_is_refused() {
    let mut dry = following(&[1]);
    assert_eq!(install(&mut dry, 5, 2, at(6, 9)), None);
    assert_eq!((last(&dry), dry.state().violations()), (at(1, 2), 1));
}

// TimeoutNow, and what clients ask.

/// Only from the current leader in the current term (thesis §3.10); then without a canvass, and the
/// request for votes says that the leader asked for it.
#[test]
fn it_campaigns_at_once_when_its_own_leader_asks() {
    let mut dry = following(&[]);
    dry.deliver(TimeoutNow { term: Term(5), leader: PeerId(3) });
    assert_eq!(dry.kind(), RoleKind::Follower);
    dry.deliver(TimeoutNow { term: Term(5), leader: PeerId(2) });
    let turn = end(&mut dry);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Candidate, Term(6)));
    assert!(matches!(turn.late[..], [dry::Errand::Campaign(pre_candidate::Canvass { transfer: true, .. })]));

    let mut poisoned = following(&[]);
    poisoned.deliver(Health { poisoned: Some(Index(1)) });
    poisoned.deliver(TimeoutNow { term: Term(5), leader: PeerId(2) });
    assert_eq!(poisoned.kind(), RoleKind::Follower);
}

/// "If the client's first choice is not the leader, that server will reject the client's request and
/// supply information about the most recent leader it has heard from" (§8).
#[test]
fn who_does_not_lead_says_who_does() {
    for (role, leader) in
        [(RoleKind::Follower, Some(PeerId(2))), (RoleKind::PreCandidate, None), (RoleKind::Candidate, None)]
    {
        let mut dry = peer(role, 5, &[]);
        if leader.is_some() {
            heartbeat(&mut dry, 5, 2);
        }
        let mut proposed = propose(&mut dry, [data("a"), data("b")]);
        let (query, read) = query();
        dry.deliver(ReadIndex { queries: vec![query] });
        let (port, moved) = Port::new();
        dry.deliver(Transfer { target: None, port });
        let records = end(&mut dry).records;
        let redirect = Outcome::NotLeader { leader };
        assert_eq!(proposed.try_recv().unwrap().1, redirect);
        assert_eq!(proposed.try_recv().unwrap().1, redirect);
        assert_eq!(read.try_recv(), Ok(redirect.clone()));
        assert_eq!(moved.try_recv(), Ok(redirect));
        assert!(records.is_empty());
    }
}
