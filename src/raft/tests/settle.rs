//! Rules for All Servers (Figure 2), and how the state passes from role to role.

use super::{dry::Dry, rig::*, *};

const ROLES: [RoleKind; 4] =
    [RoleKind::Follower, RoleKind::PreCandidate, RoleKind::Candidate, RoleKind::Leader];

/// A leader whose quorum is not heard any more, and any other role as it is.
fn without_leader(role: RoleKind) -> Dry {
    let mut dry = peer(role, 5, &[1, 4]);
    dry.state_mut().now_ms += 1_000;
    dry
}

/// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
/// follower" (§5.1): every role, every request; and the request is answered in the new term.
#[test]
fn a_newer_request_deposes_every_role() {
    for role in ROLES {
        let mut dry = without_leader(role);
        let answer = request_vote(&mut dry, 9, 2, at(8, 9));
        assert_eq!(answer, Voted { from: PeerId(1), term: Term(9), granted: true }, "{role}");
        assert_eq!((dry.kind(), dry.state().vote()), (RoleKind::Follower, Some(PeerId(2))));

        let mut dry = without_leader(role);
        let answer = heartbeat(&mut dry, 9, 2).unwrap();
        assert_eq!((answer.term, answer.result), (Term(9), Ok(Index(0))), "{role}");
        assert_eq!((dry.leader(), dry.state().vote()), (Some(PeerId(2)), None));

        let mut dry = without_leader(role);
        let answer = install(&mut dry, 9, 2, at(8, 100)).unwrap();
        assert_eq!((answer.term, answer.taken), (Term(9), Taken::Installed(Index(100))), "{role}");
        assert_eq!((dry.kind(), last(&dry)), (RoleKind::Follower, at(8, 100)));

        let mut dry = without_leader(role);
        dry.deliver(TimeoutNow { term: Term(9), leader: PeerId(2) });
        end(&mut dry);
        // Only the leader that we know can hand over to us: this one is new.
        assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Follower, Term(9)), "{role}");
    }
}

/// The same for replies (§5.1); whoever comes after has not asked and does not get it.
#[test]
fn a_newer_reply_deposes_who_asked() {
    for role in [RoleKind::PreCandidate, RoleKind::Candidate, RoleKind::Leader] {
        let hear = |dry: &mut Dry| match role {
            RoleKind::PreCandidate => {
                dry.answer(dry.tenure(), PreVoted { from: PeerId(2), term: Term(9), granted: false });
            }
            RoleKind::Candidate => {
                dry.answer(dry.tenure(), Voted { from: PeerId(2), term: Term(9), granted: false });
            }
            _ => dry.answer(dry.tenure(), Outran { term: Term(9) }),
        };
        let mut dry = peer(role, 5, &[]);
        hear(&mut dry);
        let turn = end(&mut dry);
        assert_eq!((dry.kind(), dry.state().term(), dry.state().vote()), (RoleKind::Follower, Term(9), None));
        assert_eq!(turn.records, [Record::Ballot { term: Term(9), vote: None }]);
    }
}

/// "If term < currentTerm: reply false" (Figure 2): a stale request is answered with our term, so that
/// an old leader or candidate learns of it, and changes nothing.
#[test]
fn a_stale_request_is_told_our_term() {
    for role in ROLES {
        let mut dry = peer(role, 5, &[1, 4]);
        let before = last(&dry);
        let answer = heartbeat(&mut dry, 4, 2).unwrap();
        assert_eq!((answer.term, answer.result), (Term(5), Err(Refusal::Stale)), "{role}");
        let answer = request_vote(&mut dry, 4, 2, at(4, 99));
        assert_eq!(answer, Voted { from: PeerId(1), term: Term(5), granted: false }, "{role}");
        let answer = install(&mut dry, 4, 2, at(4, 99)).unwrap();
        assert_eq!((answer.term, answer.taken), (Term(5), Taken::Failed), "{role}");
        let answer = canvass(&mut dry, 5, 2, at(4, 99));
        assert_eq!(answer, PreVoted { from: PeerId(1), term: Term(5), granted: false }, "{role}");
        dry.deliver(TimeoutNow { term: Term(4), leader: PeerId(2) });
        end(&mut dry);
        assert_eq!((dry.kind(), last(&dry), dry.state().violations()), (role, before, 0), "{role}");
    }
}

/// A stale reply is dropped: a vote of an earlier election does not count (§5.2).
#[test]
fn a_stale_reply_is_dropped() {
    let mut dry = peer(RoleKind::Candidate, 5, &[]);
    voted(&mut dry, 2, 4, true);
    assert_eq!(dry.kind(), RoleKind::Candidate);
    voted(&mut dry, 2, 5, true);
    assert_eq!(dry.kind(), RoleKind::Leader);
    dry.answer(dry.tenure(), Outran { term: Term(4) });
    end(&mut dry);
    assert_eq!(dry.kind(), RoleKind::Leader);
}

/// "If a server receives a RequestVote request within the minimum election timeout of hearing from a
/// current leader, it does not update its term or grant its vote" (thesis §4.2.3).
#[test]
fn who_hears_its_leader_turns_candidates_down_before_terms_are_compared() {
    let mut dry = peer(RoleKind::Follower, 5, &[]);
    heartbeat(&mut dry, 5, 2);
    let config = Config::default();
    dry.state_mut().now_ms += config.election_timeout_ms.start - 1;
    let answer = request_vote(&mut dry, 9, 3, at(9, 9));
    assert_eq!(answer, Voted { from: PeerId(1), term: Term(5), granted: false });
    assert_eq!((dry.state().term(), dry.leader()), (Term(5), Some(PeerId(2))));

    dry.state_mut().now_ms += 1;
    assert!(request_vote(&mut dry, 9, 3, at(9, 9)).granted);
}

/// A leader that hears a quorum holds on too; one that does not is as good as deposed (thesis §6.2).
#[test]
fn a_leader_with_a_quorum_is_not_deposed_by_a_candidate() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    dry.state_mut().now_ms += Config::default().election_timeout_ms.end - 1;
    assert!(!request_vote(&mut dry, 9, 3, at(9, 9)).granted);
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Leader, Term(5)));
    dry.state_mut().now_ms += 1;
    assert!(request_vote(&mut dry, 9, 3, at(9, 9)).granted);
    assert_eq!(dry.kind(), RoleKind::Follower);
}

/// A campaign that the leader itself asked for is heard at once (thesis §4.2.3).
#[test]
fn a_transfer_overrules_the_living_leader() {
    for role in [RoleKind::Follower, RoleKind::Leader] {
        let mut dry = peer(role, 5, &[]);
        if role == RoleKind::Follower {
            heartbeat(&mut dry, 5, 2);
        }
        let (term, candidate, last) = (Term(6), PeerId(3), last(&dry));
        let hear = |dry: &mut Dry, reply| {
            dry.deliver(RequestVote { term, candidate, last, transfer: true, reply });
        };
        assert!(ask::<Voted>(&mut dry, hear).unwrap().granted, "{role}");
        assert_eq!(dry.state().term(), Term(6));
    }
}

/// A recovered follower counts as having just heard a leader: there may well be one.
#[test]
fn who_just_recovered_holds_on() {
    let identity = identity(1, 3, &Config::default());
    let mut state = State::recover(&identity, disk(3, (5, None), &[]), None, [7; 32]).unwrap();
    state.now_ms = NOW_MS;
    let mut dry = Dry::with(AnyRole::Follower(follower::Follower::recovered(state)));
    assert!(!request_vote(&mut dry, 9, 3, at(9, 9)).granted);
    assert!(!canvass(&mut dry, 9, 3, at(9, 9)).granted);
    dry.state_mut().now_ms += 150;
    assert!(canvass(&mut dry, 9, 3, at(9, 9)).granted);
    assert!(request_vote(&mut dry, 9, 3, at(9, 9)).granted);
}

/// A canvass and its grant never change a term, a vote, a role or the disk (thesis §9.6).
#[test]
fn a_canvass_changes_nothing() {
    for role in ROLES {
        let mut dry = without_leader(role);
        let (vote, deadline_ms) = (dry.state().vote(), dry.deadline_ms());
        canvass(&mut dry, 1_000, 2, at(9, 9));
        assert_eq!((dry.kind(), dry.state().term(), dry.state().vote()), (role, Term(5), vote), "{role}");
        assert_eq!(dry.deadline_ms(), deadline_ms, "{role}");
        assert!(end(&mut dry).records.is_empty());
    }
    let mut dry = peer(RoleKind::PreCandidate, 5, &[]);
    dry.answer(dry.tenure(), PreVoted { from: PeerId(2), term: Term(1_000), granted: true });
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::PreCandidate, Term(5)));
}

/// Terms rise one election at a time: a message from beyond all proportion is not believed, and its
/// sender reported.
#[test]
fn an_implausible_term_is_not_followed() {
    let far = 1 << 40;
    for role in ROLES {
        let mut dry = without_leader(role);
        assert_eq!(heartbeat(&mut dry, 5 + far + 1, 2), None, "{role}");
        assert_eq!((dry.kind(), dry.state().term(), dry.state().violations()), (role, Term(5), 1), "{role}");
        assert!(heartbeat(&mut dry, 5 + far, 2).is_some());
        assert_eq!(dry.state().term(), Term(5 + far));
    }
}

/// At a hand-over letters pass on to the successor, who sends them after its own sync; errands die
/// with the role that had them.
#[test]
fn letters_outlive_a_role_and_errands_do_not() {
    let mut dry = peer(RoleKind::Leader, 5, &[]);
    let mut outcomes = propose(&mut dry, [data("a")]);
    let answer = canvass_later(&mut dry);
    dry.answer(dry.tenure(), Outran { term: Term(6) });
    let turn = dry.end_turn(0);
    assert!(turn.early.is_empty() && turn.late.is_empty());
    assert!(turn.records.contains(&Record::Ballot { term: Term(6), vote: None }));
    let Some(Work::Orphans(orphans)) = turn.letters.machine.first() else { panic!("clients are kept") };
    assert_eq!((orphans[0].term, orphans[0].first, orphans[0].ports.len()), (Term(5), Index(3), 1));
    assert!(outcomes.try_recv().is_err(), "nobody knows yet what becomes of it");
    assert_eq!(turn.letters.replies.len(), 1);
    turn.letters.replies.into_iter().for_each(Letter::send);
    assert!(answer.lock().unwrap().is_some());
}

fn canvass_later(dry: &mut Dry) -> Arc<std::sync::Mutex<Option<PreVoted>>> {
    let answer = Arc::new(std::sync::Mutex::new(None));
    let slot = answer.clone();
    let reply = Reply::new(move |answer| *slot.lock().unwrap() = Some(answer));
    dry.deliver(PreVote { term: Term(6), candidate: PeerId(2), last: at(9, 9), reply });
    answer
}

/// The address is the session: an answer reaches the very role that asked, and no later one, even if
/// that one is of the same kind and term.
#[test]
fn an_answer_to_an_earlier_role_is_nobodys() {
    let mut dry = peer(RoleKind::Candidate, 5, &[]);
    let earlier = dry.tenure();
    tick_after(&mut dry, 1_000);
    assert_eq!(dry.kind(), RoleKind::PreCandidate);
    dry.answer(earlier, PreVoted { from: PeerId(2), term: Term(6), granted: true });
    assert_eq!(dry.kind(), RoleKind::PreCandidate);
    dry.answer(dry.tenure(), PreVoted { from: PeerId(2), term: Term(6), granted: true });
    assert_eq!((dry.kind(), dry.state().term()), (RoleKind::Candidate, Term(6)));
    dry.answer(earlier, Voted { from: PeerId(3), term: Term(6), granted: true });
    end(&mut dry);
    assert_eq!(dry.kind(), RoleKind::Candidate);
}

/// Who sends a term that is beyond belief is named, whatever it sent: §5.1 makes every message carry one.
#[test]
fn whoever_sends_an_implausible_term_is_named() {
    let far = Term(5 + (1 << 40) + 1);
    let named = |role: RoleKind, send: &dyn Fn(&mut Dry)| {
        let mut dry = without_leader(role);
        dry.state_mut().listen(true);
        send(&mut dry);
        match &dry.state_mut().take_events()[..] {
            [Event::Violation { by, why: Why::Implausible, .. }] => *by,
            events => panic!("{role}: {events:?}"),
        }
    };
    let (meta, slice) = (
        Arc::new(SnapshotMeta { at: at(1, 1), membership: voters(3), bytes: 1, checksum: 0 }),
        slice(at(0, 1), &[], 0),
    );
    let follower = |send: &dyn Fn(&mut Dry)| named(RoleKind::Follower, send);
    let by = PeerId(2);
    let append = || AppendEntries { term: far, leader: by, slice: slice.clone(), reply: Reply::new(drop) };
    assert_eq!(follower(&|dry| dry.deliver(append())), by);
    let install = || Installed { term: far, leader: by, meta: meta.clone(), reply: Reply::new(drop) };
    assert_eq!(follower(&|dry| dry.deliver(install())), by);
    assert_eq!(follower(&|dry| dry.deliver(TimeoutNow { term: far, leader: by })), by);
    let (last, reply) = (at(1, 1), Reply::new(drop));
    let request = RequestVote { term: far, candidate: by, last, transfer: false, reply };
    assert_eq!(follower(&|dry| dry.deliver(request.clone())), by);
    let vote = Voted { from: by, term: far, granted: true };
    assert_eq!(named(RoleKind::Candidate, &|dry| dry.answer(dry.tenure(), vote)), by);
    let denial = PreVoted { from: by, term: far, granted: false };
    assert_eq!(named(RoleKind::PreCandidate, &|dry| dry.answer(dry.tenure(), denial)), by);
    // A replicator's word is the leader's own.
    assert_eq!(named(RoleKind::Leader, &|dry| dry.answer(dry.tenure(), Outran { term: far })), PeerId(1));
    // A canvass claims no term, and says who canvasses all the same (thesis §9.6).
    let canvass = PreVote { term: far, candidate: by, last, reply: Reply::new(drop) };
    assert_eq!((canvass.claim(), canvass.sender()), (Claim::Nothing, Some(by)));
}

/// An outbox is empty if there is nothing at all to say, in any of its parts.
#[test]
fn an_outbox_is_empty_if_all_of_it_is() {
    let empty = || Outbox::<u8>::new(Letters::default());
    assert!(empty().is_empty() && empty().letters.is_empty());
    let full: [fn(&mut Outbox<u8>); 5] = [
        |out| out.early.push(1),
        |out| out.late.push(1),
        |out| out.reply(Reply::new(drop), Voted { from: PeerId(1), term: Term(1), granted: true }),
        |out| out.letters.answer_all([Port::new().0], &Outcome::Busy),
        |out| out.letters.apply(entries(&[1]).into_iter().collect(), Vec::new()),
    ];
    for (number, fill) in full.iter().enumerate() {
        let mut out = empty();
        fill(&mut out);
        assert_eq!((out.is_empty(), out.letters.is_empty()), (false, number < 2), "{number}");
    }
}

/// What is committed one after the other is applied at once; what does not follow begins anew.
#[test]
fn work_for_the_machine_joins_what_it_follows() {
    let mut letters = Letters::default();
    let batch = |first| [Batch::new(Term(1), Index(first), vec![data(first), data(first)]).unwrap()];
    for first in [2, 4, 6, 4, 9] {
        letters.apply(batch(first).into_iter().collect(), Vec::new());
    }
    let first_and_count = |work: &Work| match work {
        Work::Apply { batches, .. } => (batches[0].first().0, batches.len()),
        work => panic!("{work:?}"),
    };
    assert_eq!(letters.machine.iter().map(first_and_count).collect::<Vec<_>>(), [(2, 3), (4, 1), (9, 1)]);
}

/// The front of the log goes at any peer (§7); only a leader keeps it for somebody.
#[test]
fn only_a_leader_keeps_its_log_for_others() {
    let config = Config { trail_entries: 0, ..Config::default() };
    for role in [RoleKind::Follower, RoleKind::PreCandidate, RoleKind::Candidate] {
        let mut dry = peer_of(3, &config, role, 5, &[1, 1, 1]);
        dry.state_mut().commit_to(Index(3), Why::LeaderCommitted);
        assert_eq!(dry.pinned(), None);
        dry.deliver(Snapshotted { at: at(1, 3) });
        assert_eq!(dry.state().log().base(), at(1, 3), "{role}");
    }
}
