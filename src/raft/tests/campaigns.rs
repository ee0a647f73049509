//! The PreCandidate's and the Candidate's columns of the grid (§5.2; thesis §9.6).

use super::{
    dry::{Dry, Errand},
    pre_candidate::Canvass,
    rig::*,
    *,
};

fn pre_voted(dry: &mut Dry, from: u64, term: u64) {
    let answer = PreVoted { from: PeerId(from), term: Term(term), granted: true };
    dry.answer(dry.tenure(), answer);
    end(dry);
}

// PreCandidate.

/// "A candidate only increments its term if it first learns from a majority of the cluster that they
/// would be willing to grant it their votes" (thesis §9.6).
#[test]
fn a_canvasser_raises_its_term_only_with_a_majority() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::PreCandidate, 5, &[1]);
    pre_voted(&mut dry, 2, 6);
    // A grant that arrives three times counts once; nor does one from a stranger, or of another term.
    pre_voted(&mut dry, 2, 6);
    pre_voted(&mut dry, 9, 6);
    pre_voted(&mut dry, 3, 5);
    pre_voted(&mut dry, 3, 7);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
    pre_voted(&mut dry, 3, 6);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Candidate, Term(6)));
}

/// A denial, even in our own term, is none of those.
#[test]
fn a_denied_canvass_does_not_count() {
    let mut dry = peer(RoleKind::PreCandidate, 5, &[]);
    for from in [2, 3] {
        let denied = PreVoted { from: PeerId(from), term: Term(5), granted: false };
        dry.answer(dry.tenure(), denied);
        let odd = PreVoted { from: PeerId(from), term: Term(4), granted: false };
        dry.answer(dry.tenure(), odd);
    }
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
}

/// It asks for the term after its own, with the end of its log, after the sync; nobody answered in
/// time: it asks again, and its term stays (thesis §9.6).
#[test]
fn a_canvass_is_repeated_and_the_term_stays() {
    let mut dry = peer(RoleKind::Follower, 5, &[1, 4]);
    for _ in 0..5 {
        let turn = tick_after(&mut dry, 1_000);
        let asked = Canvass { term: Term(6), last: at(4, 3), transfer: false };
        assert_eq!(turn.late, [Errand::Canvass(asked)]);
        assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
        assert!(turn.records.is_empty());
    }
    let turn = tick_after(&mut dry, 1);
    assert!(turn.late.is_empty(), "not before its deadline");
}

/// The leader of our term is alive: yields, and the message is answered by the follower (§5.2).
#[test]
fn both_yield_to_a_leader_of_their_term() {
    for role in [RoleKind::PreCandidate, RoleKind::Candidate] {
        let mut dry = peer(role, 5, &[1]);
        let vote = dry.state().vote();
        let answer = append(&mut dry, 5, 2, slice(at(1, 2), &[5], 0)).unwrap();
        assert_eq!((answer.result, dry.leader()), (Ok(Index(3)), Some(PeerId(2))), "{role}");
        assert_eq!((dry.kind(), dry.state().vote()), (RoleKind::Follower, vote), "the vote is not forgotten");

        let mut dry = peer(role, 5, &[1]);
        let answer = install(&mut dry, 5, 2, at(4, 9)).unwrap();
        assert_eq!((answer.taken, dry.kind()), (Taken::Installed(Index(9)), RoleKind::Follower), "{role}");
    }
}

/// A canvasser votes as a follower does, and then waits like one (§5.2, §5.4.1).
#[test]
fn a_canvasser_votes_and_then_waits() {
    let mut dry = peer(RoleKind::PreCandidate, 5, &[1, 4]);
    assert!(!request_vote(&mut dry, 5, 2, at(1, 9)).granted);
    assert_eq!(dry.kind(), RoleKind::PreCandidate);
    assert!(request_vote(&mut dry, 5, 2, at(4, 3)).granted);
    assert_eq!((dry.kind(), dry.state().vote()), (RoleKind::Follower, Some(PeerId(2))));
    assert!(!request_vote(&mut dry, 5, 3, at(4, 9)).granted);
}

/// Two that canvass at once may both be willing to vote for the other: the logs decide.
#[test]
fn those_who_hear_no_leader_grant_a_canvass_by_the_logs() {
    for role in [RoleKind::PreCandidate, RoleKind::Candidate] {
        let mut dry = peer(role, 5, &[1, 4]);
        assert!(canvass(&mut dry, 6, 2, at(4, 3)).granted, "{role}");
        assert!(!canvass(&mut dry, 6, 2, at(4, 2)).granted, "{role}");
        assert!(!canvass(&mut dry, 5, 2, at(4, 3)).granted, "{role}");
        assert_eq!(dry.kind(), role);
    }
}

/// The leader hands over to us, whom we did not hear (thesis §3.10).
#[test]
fn a_canvasser_campaigns_when_told_to() {
    let mut dry = peer(RoleKind::PreCandidate, 5, &[]);
    dry.deliver(TimeoutNow { term: Term(5), leader: PeerId(2) });
    let turn = end(&mut dry);
    let asked = Canvass { term: Term(6), last: at(0, 1), transfer: true };
    assert_eq!((dry.kind(), &turn.late[..]), (RoleKind::Candidate, &[Errand::Campaign(asked)][..]));
    dry.deliver(TimeoutNow { term: Term(6), leader: PeerId(2) });
    end(&mut dry);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Candidate, Term(6)), "it campaigns already");
}

/// A machine that came to a stand while the peer canvassed: it must not lead.
#[test]
fn who_is_poisoned_in_mid_canvass_does_not_campaign() {
    let mut dry = peer(RoleKind::PreCandidate, 5, &[]);
    dry.deliver(Health { poisoned: Some(Index(1)) });
    pre_voted(&mut dry, 2, 6);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
    tick_after(&mut dry, 1_000);
    assert_eq!(dry.kind(), RoleKind::Follower);
    let mut dry = peer(RoleKind::Candidate, 5, &[]);
    dry.deliver(Health { poisoned: Some(Index(1)) });
    tick_after(&mut dry, 1_000);
    assert_eq!(dry.kind(), RoleKind::Follower);
}

// Candidate.

/// "On conversion to candidate: increment currentTerm, vote for self, reset election timer, send
/// RequestVote RPCs to all other servers" (§5.2): first the disk, then the requests.
#[test]
fn a_campaign_writes_its_term_and_vote_and_then_asks() {
    let mut dry = peer(RoleKind::PreCandidate, 5, &[1, 4]);
    dry.answer(dry.tenure(), PreVoted { from: PeerId(2), term: Term(6), granted: true });
    let turn = dry.end_turn(0);
    let ballot = |vote| Record::Ballot { term: Term(6), vote };
    assert_eq!(turn.records, [ballot(None), ballot(Some(PeerId(1)))]);
    assert!(turn.early.is_empty(), "nothing rests on a vote that is not durable");
    assert_eq!(turn.late, [Errand::Campaign(Canvass { term: Term(6), last: at(4, 3), transfer: false })]);
    assert!(dry.deadline_ms() >= dry.state().now_ms + 150);
}

/// "Votes received from majority of servers: become leader" (§5.2). [4] A vote that arrives three times
/// counts once; a denial does not count, nor does a stranger's.
#[test]
fn a_candidate_leads_with_a_majority_of_votes() {
    let mut dry = peer_of(5, &Config::default(), RoleKind::Candidate, 5, &[1]);
    voted(&mut dry, 2, 5, true);
    voted(&mut dry, 2, 5, true);
    voted(&mut dry, 2, 5, true);
    voted(&mut dry, 3, 5, false);
    voted(&mut dry, 9, 5, true);
    assert_eq!(dry.kind(), RoleKind::Candidate);
    voted(&mut dry, 4, 5, true);
    assert_eq!((dry.kind(), dry.state().term(), last(&dry)), (RoleKind::Leader, Term(5), at(5, 3)));
}

/// Its own vote counts once it is durable: nobody leads in a term that is not on its disk.
#[test]
fn its_own_vote_counts_only_when_durable() {
    let state = state_of(3, &Config::default(), (4, None), &[]);
    let candidate = candidate::Candidate::campaign(state, false, Why::HeardNoLeader);
    let mut dry = Dry::with(AnyRole::Candidate(candidate));
    dry.enter();
    for from in [2, 3] {
        dry.answer(dry.tenure(), Voted { from: PeerId(from), term: Term(5), granted: true });
    }
    dry.close();
    assert_eq!(dry.kind(), RoleKind::Candidate);
    let (letters, late) = dry.synced(0);
    assert_eq!(dry.kind(), RoleKind::Leader);
    assert!(late.is_empty() && letters.is_empty(), "the requests for votes die with the candidate");
}

/// Who votes alone has nobody to wait for: its first deadline is now, where others wait for a leader
/// that may be alive (§5.2).
#[test]
fn a_single_peer_waits_for_nobody_after_a_start() {
    let wait_ms = |peers| {
        let state = state_of(peers, &Config::default(), (0, None), &[]);
        let now_ms = state.now_ms;
        Follower::recovered(state).deadline_ms() - now_ms
    };
    assert_eq!(wait_ms(1), 0);
    assert!(Config::default().election_timeout_ms.contains(&wait_ms(3)));
}

/// "A cluster of one": it elects itself and commits alone.
#[test]
fn a_single_peer_leads_and_commits_alone() {
    let mut dry = peer_of(1, &Config::default(), RoleKind::Follower, 0, &[]);
    tick_after(&mut dry, 1_000);
    assert_eq!((dry.kind(), dry.state().term(), dry.state().commit()), (RoleKind::Leader, Term(1), Index(2)));
    propose(&mut dry, [data("a")]);
    end(&mut dry);
    assert_eq!(dry.state().commit(), Index(3));
    tick_after(&mut dry, 100_000);
    assert_eq!(dry.kind(), RoleKind::Leader);
}

/// "If election timeout elapses: start new election" (§5.2), by way of a canvass, so that who was cut
/// off in mid-campaign does not raise its term for ever (thesis §9.6).
#[test]
fn a_split_vote_ends_with_a_new_attempt() {
    let mut dry = peer(RoleKind::Candidate, 5, &[]);
    let left_ms = dry.deadline_ms() - dry.state().now_ms;
    tick_after(&mut dry, left_ms - 1);
    assert_eq!(dry.kind(), RoleKind::Candidate);
    tick_after(&mut dry, 1);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));

    let config = Config { pre_vote: false, ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Candidate, 5, &[]);
    voted(&mut dry, 9, 5, true);
    let turn = tick_after(&mut dry, 1_000);
    assert_eq!((dry.kind(), dry.state().term(), turn.late.len()), (RoleKind::Candidate, Term(6), 1));
    // Votes of the last election are over.
    voted(&mut dry, 2, 5, true);
    assert_eq!(dry.kind(), RoleKind::Candidate);
}

/// It voted for itself: nobody else gets its vote in this term, also after a restart ([3]).
#[test]
fn a_candidate_votes_for_nobody_else() {
    let mut dry = peer(RoleKind::Candidate, 5, &[]);
    assert!(!request_vote(&mut dry, 5, 2, at(9, 9)).granted);
    let mut dry = recovered((5, Some(1)), &[]);
    assert!(!request_vote(&mut dry, 5, 2, at(9, 9)).granted);
    assert!(request_vote(&mut dry, 6, 2, at(9, 9)).granted);
}

/// Patience begins when the requests can leave, not when the disk begins to write; and a vote for us waits for a disk,
/// too.
#[test]
fn a_slow_disk_does_not_end_a_campaign_before_it_began() {
    let state = state_of(3, &Config::default(), (4, None), &[]);
    let candidate = candidate::Candidate::campaign(state, false, Why::HeardNoLeader);
    let mut dry = Dry::with(AnyRole::Candidate(candidate));
    dry.enter();
    let deadline_ms = dry.deadline_ms();
    dry.end_turn(2_000);
    assert_eq!(dry.deadline_ms(), deadline_ms + 4_000, "its own vote, and then those of others");
    dry.state_mut().now_ms += 2_000;
    dry.deliver(Health { poisoned: None });
    dry.end_turn(2_000);
    assert_eq!(dry.deadline_ms(), deadline_ms + 6_000, "time deaf is not time waited");
}

/// Deadlines are random, so that splits end by themselves (§5.2), and the seed decides them.
#[test]
fn election_timeouts_are_random_and_replayable() {
    let draw = |seed: u8| {
        let identity = identity(1, 3, &Config::default());
        let mut state = State::recover(&identity, Vec::new(), None, [seed; 32]).unwrap();
        (0..100).map(|_| state.election_deadline_ms()).collect::<Vec<_>>()
    };
    let (one, again, other) = (draw(1), draw(1), draw(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert!(one.iter().all(|ms| (150..300).contains(ms)));
    assert!(one.iter().collect::<std::collections::BTreeSet<_>>().len() > 30);
}

/// A term at the end of the range elects nobody, and breaks nothing.
#[test]
fn the_last_term_has_no_campaign() {
    let mut dry = peer(RoleKind::Follower, u64::MAX, &[]);
    tick_after(&mut dry, 1_000);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Follower, Term(u64::MAX)));
}
