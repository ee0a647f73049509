//! What counts in limits, and the limits at their edges: what just fits is taken, one more is not.

use super::{rig::*, *};

/// What a command counts for: its payload and a fixed sum.
const OVERHEAD: usize = 40;

fn bytes(count: usize) -> Command {
    Command::Data(Data::from(vec![0; count]))
}

/// A command weighs its payload and a fixed sum, so that many empty ones weigh something too.
#[test]
fn a_command_weighs_its_payload_and_a_fixed_sum() {
    assert_eq!(Command::Noop.weight(), OVERHEAD);
    assert_eq!(bytes(7).weight(), OVERHEAD + 7);
    // Eight bytes an id; an address its length and what holds it.
    let joint = Membership::of([1, 2].map(PeerId)).with_learner(PeerId(3)).joint_to([2, 4, 5].map(PeerId));
    assert_eq!(Command::Membership(Arc::new(joint.clone())).weight(), OVERHEAD + 6 * 8);
    let named = joint.with_address(PeerId(1), "here").with_address(PeerId(2), "somewhere");
    assert_eq!(Command::Membership(Arc::new(named)).weight(), OVERHEAD + 6 * 8 + 16 + 4 + 16 + 9);
}

/// A turn ends when it has taken in enough bytes: entries and proposals are what weighs, nothing else.
#[test]
fn entries_and_proposals_weigh_in_a_turn() {
    let slice = slice(at(1, 2), &[3, 3], 0);
    let weight = slice.weight();
    assert_eq!(weight, slice.batches.iter().map(Batch::weight).sum::<usize>());
    assert!(weight > 2 * OVERHEAD);
    let (term, leader, reply) = (Term(3), PeerId(2), Reply::new(drop));
    assert_eq!(AppendEntries { term, leader, slice, reply }.weight(), weight);
    assert_eq!(Propose { commands: vec![bytes(3), bytes(9)], ports: Vec::new() }.weight(), 2 * OVERHEAD + 12);
    assert_eq!(Tick.weight(), 0);
    assert_eq!(ReadIndex { queries: vec![query().0] }.weight(), 0);
}

/// A follower takes entries as long as its machine is no further behind than it may be: what is
/// committed and not applied counts, what is not committed does not.
#[test]
fn a_backlog_begins_beyond_its_limit() {
    let weight = data("5.2").weight();
    let accepts = |unapplied_bytes_max| {
        let config = Config { unapplied_bytes_max, ..Config::default() };
        let mut dry = peer_of(3, &config, RoleKind::Follower, 5, &[]);
        dry.state_mut().applied = Index(1);
        append(&mut dry, 5, 2, slice(at(0, 1), &[5, 5, 5], 3));
        append(&mut dry, 5, 2, slice(at(5, 4), &[5], 3)).unwrap().result
    };
    assert_eq!(accepts(2 * weight), Ok(Index(5)), "two committed entries just fit");
    assert_eq!(accepts(2 * weight - 1), Err(Refusal::Backlog));
}

/// A leader takes proposals as long as it holds no more, committed or not, than it may.
#[test]
fn a_leader_is_full_beyond_its_limit() {
    let weight = OVERHEAD + bytes(60).weight();
    let takes_more = |unapplied_bytes_max| {
        let config = Config { unapplied_bytes_max, ..Config::default() };
        let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
        dry.state_mut().applied = Index(1);
        propose(&mut dry, [bytes(60)]);
        propose(&mut dry, [bytes(1)]);
        last(&dry) == at(5, 4)
    };
    assert!(takes_more(weight), "the blank entry and the first proposal just fit");
    assert!(!takes_more(weight - 1));
}

/// A slice is cut where one more entry would not fit, and filled up to the last byte.
#[test]
fn a_message_is_filled_to_its_limit() {
    let messages = |config: Config| {
        let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
        propose(&mut dry, [bytes(60)]);
        propose(&mut dry, [bytes(60), bytes(60)]);
        orders(&end(&mut dry).early).len()
    };
    let bytes_max = |batch_bytes_max| messages(Config { batch_bytes_max, ..Config::default() });
    assert_eq!([bytes_max(300), bytes_max(299), bytes_max(199)], [1, 2, 3]);
    let entries_max = |batch_entries_max| messages(Config { batch_entries_max, ..Config::default() });
    assert_eq!([entries_max(3), entries_max(2), entries_max(1)], [1, 2, 3]);
}

/// What is proposed at once and fits into a message is one batch.
#[test]
fn a_proposal_that_fits_is_not_cut() {
    let config = Config { batch_bytes_max: 3 * bytes(60).weight(), ..Config::default() };
    let mut dry = peer_of(3, &config, RoleKind::Leader, 5, &[]);
    propose(&mut dry, [bytes(60), bytes(60), bytes(60), bytes(60)]);
    let counts = end(&mut dry).records.into_iter().map(|record| match record {
        Record::Entries(batch) => batch.count(),
        record => panic!("{record:?}"),
    });
    assert_eq!(counts.collect::<Vec<_>>(), [3, 1]);
}

/// What a follower is fed from the log is filled to the last byte too, and never empty.
#[test]
fn what_is_fed_fills_its_limit() {
    let mut log = Log::default();
    log.append(Term(1), vec![bytes(60), bytes(60)]);
    log.append(Term(1), vec![bytes(60), bytes(60)]);
    let fed = |bytes_max| {
        let slice = log.slice(Index(1), Index(4), 9, bytes_max);
        slice.iter().map(Batch::count).collect::<Vec<_>>()
    };
    assert_eq!((fed(400), fed(399), fed(300)), (vec![2, 2], vec![2, 1], vec![2, 1]));
    assert_eq!((fed(299), fed(200), fed(199)), (vec![2], vec![2], vec![1]));
    assert_eq!((fed(100), fed(1), fed(0)), (vec![1], vec![1], vec![1]));
    // What would fit behind an entry that does not is left out all the same: no holes.
    log.append(Term(1), vec![bytes(1)]);
    let slice = log.slice(Index(3), Index(5), 9, 150);
    assert_eq!(slice.iter().map(Batch::last).collect::<Vec<_>>(), [at(1, 3)]);
}
