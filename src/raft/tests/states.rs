//! `state.rs` and `message.rs`: recovery, terms and votes, what is well formed (§5.1, §7).

use super::*;

fn recover(records: Vec<Record>, snapshot: Option<(Position, u64)>) -> State {
    let meta =
        snapshot.map(|(at, count)| SnapshotMeta { at, membership: voters(count), bytes: 1, checksum: 0 });
    State::recover(&identity(1, 3, &Config::default()), records, meta.as_ref(), [7; 32]).unwrap()
}

/// A new peer writes the first membership as entry 1, at term 0; an existing one does not.
#[test]
fn entry_one_is_the_first_membership() {
    let mut state = recover(Vec::new(), None);
    assert_eq!((state.log().last(), state.term()), (Position::new(0, 1), Term(0)));
    assert_eq!(state.membership(), &voters(3));
    let records = state.take_records();
    assert_eq!(records.len(), 1);
    let mut again = recover(records, None);
    assert!(again.take_records().is_empty());
    assert_eq!((again.log().last(), again.membership()), (Position::new(0, 1), &voters(3)));
}

/// `Restart` of the specification: term, vote and log are what is durable, all else is forgotten.
#[test]
fn a_restart_keeps_term_vote_and_log() {
    let mut state = recover(disk(3, (5, Some(2)), &[1, 1, 4]), None);
    assert_eq!((state.term(), state.vote()), (Term(5), Some(PeerId(2))));
    assert_eq!((terms(state.log()), state.commit()), (vec![1, 1, 4], Index(0)));
    state.resume_from(Index(3));
    assert_eq!((state.commit(), state.applied), (Index(3), Index(3)));
}

/// [31] The membership in force is the last in the log, and the earlier one again once its entry is cut.
#[test]
fn a_truncated_membership_is_out_of_force() {
    let mut records = disk(3, (2, None), &[1]);
    let five = Command::Membership(voters(5));
    records.push(Record::Entries(Batch::new(Term(2), Index(3), vec![five]).unwrap()));
    let mut state = recover(records, None);
    assert_eq!(state.membership(), &voters(5));
    let other = Batch::new(Term(3), Index(3), vec![Command::Noop]).unwrap();
    state.accept(Position::new(1, 2), &[other]).unwrap().unwrap();
    assert_eq!(state.membership(), &voters(3));
}

/// [33] A snapshot over a divergent tail: the membership is the snapshot's. Its entry compacted away: it
/// stays in force.
#[test]
fn a_snapshot_brings_its_membership() {
    let mut state = recover(disk(3, (5, None), &[1, 1]), None);
    let meta = SnapshotMeta { at: Position::new(4, 9), membership: voters(5), bytes: 1, checksum: 0 };
    assert!(!state.install(&meta));
    assert_eq!((state.membership(), state.commit()), (&voters(5), Index(9)));
    let state = recover(disk(3, (5, None), &[1, 1]), Some((Position::new(4, 9), 5)));
    assert_eq!(
        (state.membership(), state.commit(), state.log().base()),
        (&voters(5), Index(9), Position::new(4, 9))
    );

    let config = Config { trail_entries: 0, ..Config::default() };
    let mut state =
        State::recover(&identity(1, 3, &config), disk(3, (5, None), &[1, 1]), None, [7; 32]).unwrap();
    state.commit_to(Index(3), Why::QuorumHolds);
    state.compact(Position::new(1, 3), None);
    assert_eq!((state.log().base(), state.membership()), (Position::new(1, 3), &voters(3)));
}

/// [34] A crash between the snapshot and its marker in the log, either order: contiguous afterwards. The
/// snapshot can even be of a term that is not on disk yet: then the peer is in it, and has not voted.
#[test]
fn a_crash_between_snapshot_and_marker_leaves_no_gap() {
    // The log holds the snapshot's entry: its suffix stays.
    let mut state = recover(disk(3, (5, Some(1)), &[1, 1, 4]), Some((Position::new(1, 3), 3)));
    assert_eq!(
        (terms(state.log()), state.commit(), state.vote()),
        (vec![1, 1, 4], Index(3), Some(PeerId(1)))
    );
    assert!(state.take_records().is_empty());
    // It does not: it goes, and that is finished on disk too.
    let mut state = recover(disk(3, (5, Some(1)), &[1, 1, 4]), Some((Position::new(6, 3), 3)));
    assert_eq!((state.log().base(), state.log().last()), (Position::new(6, 3), Position::new(6, 3)));
    assert_eq!((state.term(), state.vote()), (Term(6), None));
    let upto = Position::new(6, 3);
    assert_eq!(
        state.take_records(),
        [Record::Compact { upto }, Record::Ballot { term: Term(6), vote: None }]
    );
    // The marker came first: the log begins where the snapshot ends.
    let mut records = disk(3, (6, None), &[1, 1, 4]);
    records.push(Record::Compact { upto });
    let mut state = recover(records, Some((upto, 3)));
    assert_eq!((state.log().base(), state.commit()), (upto, Index(3)));
    assert!(state.take_records().is_empty());
}

/// A snapshot leaves the configured trail in front of it, what is pinned, and all that is not committed.
#[test]
fn compaction_leaves_trail_pins_and_what_is_not_committed() {
    let compact = |trail_entries, pinned: Option<u64>, commit| {
        let config = Config { trail_entries, ..Config::default() };
        let mut state =
            State::recover(&identity(1, 3, &config), disk(3, (5, None), &[1; 9]), None, [7; 32]).unwrap();
        state.commit_to(Index(commit), Why::QuorumHolds);
        state.compact(Position::new(1, 8), pinned.map(Index));
        state.log().base().index.0
    };
    assert_eq!(compact(0, None, 9), 8);
    assert_eq!(compact(3, None, 9), 5);
    assert_eq!(compact(3, Some(2), 9), 2);
    assert_eq!(compact(0, None, 6), 6);
    assert_eq!(compact(100, None, 9), 0);
}

/// Few entries may be heavy: the trail is bounded by bytes too.
#[test]
fn the_trail_behind_a_snapshot_is_bounded_by_bytes() {
    let compact = |trail_entries, trail_bytes, at: u64| {
        let config = Config { trail_entries, trail_bytes, ..Config::default() };
        let entry = |index| {
            let command = Command::Data(Data::from("command"));
            Batch::new(Term(1), Index(index), vec![command]).map(Record::Entries)
        };
        let records = (1..=9).filter_map(entry).collect();
        let mut state = State::recover(&identity(1, 3, &config), records, None, [7; 32]).unwrap();
        state.commit_to(Index(9), Why::QuorumHolds);
        let weight = state.log().weight_after(Index(7)) - state.log().weight_after(Index(8));
        state.compact(Position::new(1, at), None);
        (state.log().base().index.0, weight as usize)
    };
    let (_, weight) = compact(0, 0, 8);
    for (entries, bytes, at, base) in [
        (8, usize::MAX, 8, 0),
        (8, 3 * weight, 8, 5),
        (8, 3 * weight - 1, 8, 6),
        (8, 3 * weight + 1, 8, 5),
        (2, 3 * weight, 8, 6),
        (8, 0, 8, 8),
        (8, weight, 9, 8),
        (100, 3 * weight, 5, 2),
    ] {
        assert_eq!(compact(entries, bytes, at).0, base, "{entries} entries, {bytes} bytes, at {at}");
    }
}

/// "Each server will vote for at most one candidate in a given term" (§5.2) and terms only rise (§5.1):
/// a rule that forgets it stops the peer, whoever wrote it.
#[test]
fn votes_and_terms_guard_themselves() {
    let breaks = |act: fn(&mut State)| {
        let mut state = recover(disk(3, (5, Some(2)), &[]), None);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || act(&mut state))).is_err()
    };
    assert!(!breaks(|state| state.vote_for(PeerId(2))));
    assert!(breaks(|state| state.vote_for(PeerId(3))));
    assert!(breaks(|state| state.enter_term(Term(5), Why::NewerTerm)));
    assert!(breaks(|state| drop(state.commit_to(Index(9), Why::QuorumHolds))));
    assert!(breaks(|state| drop(state.commit_to(Index(0), Why::QuorumHolds))));
}

/// A rebuilt machine gets everything committed from where it is; what is committed in the same turn
/// follows, and what was handed over before does not mix with it.
#[test]
fn a_rebuilt_machine_catches_up_without_a_gap() {
    use super::rig::{append, at, end, heartbeat, peer, slice};
    let mut dry = peer(RoleKind::Follower, 5, &[1, 1, 1]);
    heartbeat(&mut dry, 5, 2);
    append(&mut dry, 5, 2, slice(at(1, 4), &[], 2));
    let commit = |commit| AppendEntries {
        term: Term(5),
        leader: PeerId(2),
        slice: slice(at(1, 4), &[], commit),
        reply: Reply::new(drop),
    };
    dry.deliver(commit(3));
    dry.deliver(CatchUp { from: Index(1) });
    dry.deliver(commit(4));
    let work = end(&mut dry).letters.machine;
    let indexes = work.iter().map(|work| match work {
        Work::Apply { batches, .. } => {
            batches.iter().flat_map(Batch::entries).map(|(position, _)| position.index.0).collect()
        }
        _ => Vec::new(),
    });
    assert_eq!(indexes.collect::<Vec<_>>(), [vec![3], vec![1, 2, 3, 4]]);
}

/// A well-formed slice: gapless, terms that do not fall, none later than the leader's.
#[test]
fn a_slice_is_contiguous_and_of_terms_that_do_not_fall() {
    use super::rig::{at, slice};
    assert!(slice(at(1, 2), &[1, 1, 3], 0).is_well_formed(Term(3)));
    assert!(!slice(at(1, 2), &[1, 1, 3], 0).is_well_formed(Term(2)));
    assert!(!slice(at(2, 2), &[1], 0).is_well_formed(Term(3)));
    assert_eq!(slice(at(1, 2), &[1, 1, 3], 0).end(), at(3, 5));
    assert_eq!(slice(at(1, 2), &[], 0).end(), at(1, 2));
    assert_eq!(slice(at(1, 2), &[3], 7).to_string(), "prev=2@1 [3..=3@3] commit=7");
}

/// A batch is a view: cutting it keeps positions and commands together.
#[test]
fn a_cut_batch_is_the_same_entries() {
    let batch = Batch::new(Term(3), Index(5), (5..10).map(data).collect()).unwrap();
    for from in 0..12 {
        for to in 0..12 {
            let cut = batch.within(Index(from), Index(to));
            let expect: Vec<_> =
                batch.entries().filter(|(at, _)| (from..=to).contains(&at.index.0)).collect();
            let found = cut.as_ref().map(|cut| cut.entries().collect::<Vec<_>>()).unwrap_or_default();
            assert_eq!(found, expect);
            assert_eq!(cut.is_none(), expect.is_empty());
        }
    }
    assert_eq!(Batch::new(Term(1), Index(1), Vec::new()), None);
    assert_eq!(Batch::new(Term(1), Index(u64::MAX), vec![Command::Noop]), None);
    assert_eq!(batch.to_string(), "[5..=9@3]");
}

/// Batches are the same if their entries are, wherever they were cut from.
#[test]
fn batches_are_the_same_if_their_entries_are() {
    let batch =
        |term, first, from: u64| Batch::new(Term(term), Index(first), (from..from + 2).map(data).collect());
    assert_eq!(batch(3, 5, 7), batch(3, 5, 7));
    assert_eq!(
        Batch::new(Term(3), Index(4), (6..9).map(data).collect()).unwrap().within(Index(5), Index(6)),
        batch(3, 5, 7)
    );
    for other in [batch(4, 5, 7), batch(3, 6, 7), batch(3, 5, 8)] {
        assert!(batch(3, 5, 7) != other, "{other:?}");
    }
}

/// A port is answered once: dropped it says `Unknown`, and only then.
#[test]
fn a_port_is_answered_once() {
    let (sender, mut outcomes) = futures_channel::mpsc::unbounded();
    Port::tagged(1, sender.clone()).answer(Outcome::Busy);
    drop(Port::tagged(2, sender));
    let heard: Vec<_> = std::iter::from_fn(|| outcomes.try_recv().ok()).collect();
    assert_eq!(heard, [(1, Outcome::Busy), (2, Outcome::Unknown)]);
    let (port, outcome) = Port::new();
    drop(port);
    assert_eq!(outcome.try_recv(), Err(oneshot::TryRecvError::Disconnected));
}
