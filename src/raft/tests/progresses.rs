//! `progress.rs`: one follower as its replicator sees it (§5.3; thesis §10.2.1).

use progress::{Mode, Progress, Step};

use super::{
    rig::{at, slice},
    *,
};

/// A window of three messages.
fn progress() -> Progress {
    Progress::new(&Config { window_batches_max: 3, window_bytes_max: 1_000, ..Config::default() })
}

/// In `Stream`, with everything up to `index` of term 1 sent and matched.
fn streaming(index: u64) -> Progress {
    let mut progress = progress();
    assert_eq!(progress.beat(), Step::Pull(None));
    progress.ask(&slice(at(1, index), &[], 0));
    assert_eq!(progress.on_matched(Index(index)), Step::Wait);
    assert_eq!((progress.mode(), progress.sent()), (Mode::Stream, at(1, index)));
    progress
}

/// The entries of term 1 from..=to.
fn entries(from: u64, to: u64) -> Arc<Slice> {
    slice(at(1, from - 1), &vec![1; (to - from + 1) as usize], 0)
}

/// The first entries of a leader are its probe; nothing else is sent until it is answered.
#[test]
fn a_new_replicator_sends_one_message_and_waits() {
    let mut progress = progress();
    assert!(progress.offer(&entries(5, 6)));
    assert_eq!(progress.mode(), Mode::Probe { asked: Some(Index(6)) });
    assert!(!progress.offer(&entries(7, 7)));
    assert_eq!(progress.on_matched(Index(3)), Step::Wait, "an answer to something else");
    assert_eq!(
        progress.on_matched(Index(6)),
        Step::Pull(Some(Index(7))),
        "what it could not use it now needs"
    );
    assert_eq!((progress.mode(), progress.matched()), (Mode::Stream, Index(6)));
}

/// Pushed at the tail: what follows what was sent goes at once, while the window has room. What can't be
/// used is dropped, and pulled when an answer frees the window.
#[test]
fn it_pushes_while_the_window_has_room_and_pulls_behind_it() {
    let mut progress = streaming(4);
    assert!((5..=7).all(|index| progress.offer(&entries(index, index))));
    assert!(!progress.offer(&entries(8, 8)), "the window is full");
    assert!(!progress.offer(&entries(9, 9)), "and this does not follow");
    assert!(progress.is_unconfirmed());
    assert_eq!(progress.on_matched(Index(5)), Step::Pull(Some(Index(8))));
    assert_eq!(progress.on_matched(Index(6)), Step::Wait, "it has asked");
    assert!(!progress.offer(&entries(10, 10)), "what it asked for comes first");
    progress.feed(&entries(8, 10));
    assert_eq!(progress.sent(), at(1, 10));
    assert!(progress.offer(&entries(11, 11)));
    assert_eq!(progress.on_matched(Index(11)), Step::Wait, "all is there");
    assert!(!progress.is_unconfirmed());
}

/// The window is bounded in bytes too, and one message always fits.
#[test]
fn the_window_is_bounded_in_bytes() {
    let mut progress = streaming(1);
    let large = |index: u64| {
        let batch = Batch::new(Term(1), Index(index), vec![Command::Data(Data::from(vec![0; 2_000]))]);
        Slice { prev: at(1, index - 1), batches: batch.into_iter().collect(), commit: Index(0), round: 0 }
    };
    assert!(progress.offer(&large(2)));
    assert!(!progress.offer(&large(3)));
    assert_eq!(progress.on_matched(Index(2)), Step::Pull(Some(Index(3))));
}

/// What has landed frees its bytes, and no others'; a window that is exactly full is full.
#[test]
fn what_has_landed_frees_its_bytes() {
    let entry = |index: u64, weight: usize| {
        let command = Command::Data(Data::from(vec![0; weight - Command::Noop.weight()]));
        let batch = Batch::new(Term(1), Index(index), vec![command]);
        Slice { prev: at(1, index - 1), batches: batch.into_iter().collect(), commit: Index(0), round: 0 }
    };
    let mut progress =
        Progress::new(&Config { window_batches_max: 9, window_bytes_max: 1_000, ..Config::default() });
    progress.beat();
    progress.feed(&slice(at(1, 1), &[], 0));
    assert!(progress.offer(&entry(2, 600)) && progress.offer(&entry(3, 359)));
    assert!(progress.offer(&entry(4, 41)), "there is room yet");
    assert!(!progress.offer(&entry(5, 100)), "and now there is none");
    assert_eq!(progress.on_matched(Index(2)), Step::Pull(Some(Index(5))));
    progress.feed(&entry(5, 600));
    assert!(!progress.offer(&entry(6, 100)), "the others are under way yet");
    assert_eq!(progress.on_matched(Index(5)), Step::Pull(Some(Index(6))));
}

/// A heartbeat behind the entries asks for all that was sent: refused, it begins a search (§5.3).
#[test]
fn a_refusal_of_the_very_end_is_news() {
    let mut progress = streaming(4);
    assert!(progress.offer(&entries(5, 6)));
    assert!(!progress.on_refused(Index(7)), "that was never sent");
    assert!(progress.on_refused(Index(6)));
}

/// A replicator that is rebuilt knows nothing of the leader's log: it goes on until there is no more, also
/// when nobody proposes anything.
#[test]
fn a_rebuilt_replicator_catches_up_with_an_idle_leader() {
    let mut progress = progress();
    assert_eq!(progress.beat(), Step::Pull(None));
    progress.feed(&entries(5, 6));
    assert_eq!(progress.on_matched(Index(6)), Step::Pull(Some(Index(7))));
    progress.feed(&entries(7, 8));
    assert_eq!(progress.on_matched(Index(8)), Step::Pull(Some(Index(9))));
    progress.feed(&slice(at(1, 8), &[], 0));
    assert_eq!(progress.on_matched(Index(8)), Step::Wait, "the leader has no more");
    assert!(progress.offer(&entries(9, 9)));

    // The same when it first had to find out where.
    let mut progress = self::progress();
    progress.beat();
    progress.ask(&slice(at(1, 90), &[], 0));
    assert!(progress.on_refused(Index(90)));
    progress.ask(&slice(at(1, 40), &[], 0));
    assert_eq!(progress.on_matched(Index(40)), Step::Pull(Some(Index(41))));
}

/// A window whose first message was lost is refused once for each of the others: one refusal says it all,
/// and the search is one chain of probes.
#[test]
fn a_refused_window_starts_one_search() {
    let mut progress = streaming(4);
    assert!((5..=7).all(|index| progress.offer(&entries(index, index))));
    assert!(progress.on_refused(Index(5)));
    assert_eq!(progress.mode(), Mode::Probe { asked: None });
    assert!(!progress.on_refused(Index(6)));
    assert!(!progress.on_refused(Index(5)), "the same again");
    assert!(!progress.offer(&entries(8, 8)), "the leader has been asked");
    progress.ask(&slice(at(1, 3), &[], 0));
    assert!(!progress.on_refused(Index(6)), "still an echo");
    assert!(!progress.on_refused(Index(3)), "known to match");
}

/// A search goes down and down, and each refusal below the last is news.
#[test]
fn a_search_goes_on_with_each_lower_refusal() {
    let mut progress = progress();
    progress.beat();
    for prev in [90, 60, 30] {
        progress.ask(&slice(at(1, prev), &[], 0));
        assert!(progress.on_refused(Index(prev)), "{prev}");
    }
    progress.ask(&slice(at(1, 10), &[], 0));
    assert!(!progress.on_refused(Index(30)));
    assert_eq!(progress.on_matched(Index(10)), Step::Pull(Some(Index(11))));
    progress.feed(&entries(11, 40));
    assert!(progress.on_refused(Index(30)), "what streams may be refused again");
}

/// A stale refusal of what is known to match changes nothing, nor does one of what was never sent.
#[test]
fn an_old_refusal_changes_nothing() {
    let mut progress = streaming(4);
    assert!(progress.offer(&entries(5, 5)));
    for prev in [0, 1, 4, 6, 99] {
        assert!(!progress.on_refused(Index(prev)), "{prev}");
        assert_eq!(progress.mode(), Mode::Stream);
    }
    assert_eq!(progress.on_matched(Index(2)), Step::Wait);
    assert_eq!(progress.matched(), Index(4), "only ever rises");
}

/// A probe whose answer takes longer than a heartbeat must not begin anew with each: it gets ever more
/// time, as long as the follower answers heartbeats. Who is down is asked again and again.
#[test]
fn a_slow_answer_is_given_more_time_each_time() {
    let restarts = |progress: &mut Progress, is_up: bool| {
        let mut restarts = Vec::new();
        for beat in 0..40 {
            if progress.beat() == Step::Pull(None) {
                restarts.push(beat);
                progress.ask(&slice(at(1, 90), &[], 0));
            }
            if is_up {
                assert_eq!(progress.on_matched(Index(0)), Step::Wait);
            }
        }
        restarts
    };
    assert_eq!(restarts(&mut progress(), false), (0..40).step_by(2).collect::<Vec<_>>());
    let mut progress = progress();
    assert_eq!(restarts(&mut progress, true), [0, 2, 6, 14, 30]);
    assert!(progress.on_refused(Index(90)), "and its answer counts, however late");
    progress.ask(&slice(at(1, 10), &[], 0));
    progress.on_matched(Index(10));
    assert_eq!(progress.mode(), Mode::Stream);
}

/// Two answers to one pull: flights stay in order, and a lost one does not hold the window for ever.
#[test]
fn a_second_feed_begins_a_new_window() {
    let mut progress = streaming(4);
    progress.feed(&entries(5, 7));
    assert_eq!(progress.feed(&entries(5, 5)), Step::Pull(Some(Index(6))), "there is more for sure");
    assert_eq!(progress.sent(), at(1, 5));
    // The answer to the first never comes.
    assert_eq!(progress.on_matched(Index(5)), Step::Wait, "it has asked");
    assert_eq!(progress.feed(&entries(6, 6)), Step::Pull(Some(Index(7))));
    assert_eq!(progress.feed(&entries(7, 7)), Step::Wait, "that may be all");
    progress.feed(&entries(8, 8));
    assert_eq!(progress.on_matched(Index(8)), Step::Pull(Some(Index(9))), "and maybe not");
}

/// What was sent twice and matched once has landed, whichever answer says that there is more to do.
#[test]
fn a_flight_that_ends_in_what_matches_has_landed() {
    let mut progress = streaming(4);
    progress.on_matched(Index(6));
    progress.feed(&entries(5, 5));
    progress.feed(&entries(6, 6));
    assert!(!progress.offer(&entries(9, 9)));
    assert!(progress.on_matched(Index(0)) != Step::Wait, "nothing is under way");
}

/// Behind the entries each heartbeat checks what was sent; what was asked of the leader and never given is
/// asked again.
#[test]
fn a_heartbeat_asks_again_for_what_never_came() {
    let mut progress = streaming(4);
    assert!(!progress.offer(&entries(9, 9)));
    assert_eq!(progress.on_matched(Index(4)), Step::Pull(Some(Index(5))));
    assert_eq!(progress.beat(), Step::Pull(Some(Index(5))));
    progress.feed(&entries(5, 9));
    assert_eq!(progress.beat(), Step::Wait);
    assert!(progress.is_unconfirmed(), "so that an empty slice behind it checks it");
}

/// A follower that can take nothing now is tried again with the next heartbeat.
#[test]
fn a_backlog_is_tried_again() {
    let mut progress = streaming(4);
    assert!(progress.offer(&entries(5, 5)));
    progress.on_backlog();
    assert_eq!((progress.mode(), progress.beat()), (Mode::Probe { asked: None }, Step::Pull(None)));
}

/// What was asked for before it refused, and comes after, begins nothing anew; nor do new entries, nor what
/// else it refuses meanwhile. The heartbeat does.
#[test]
fn who_can_take_nothing_is_left_alone_until_the_next_heartbeat() {
    let mut progress = streaming(4);
    assert!(progress.offer(&entries(5, 5)));
    progress.on_backlog();
    assert!(progress.is_resting() && !progress.offer(&entries(6, 6)) && !progress.on_refused(Index(5)));
    assert_eq!(progress.on_matched(Index(5)), Step::Wait);
    assert_eq!(progress.beat(), Step::Pull(None));
    assert!(!progress.is_resting());
    progress.feed(&entries(6, 6));
    assert_eq!(progress.mode(), Mode::Stream);
}

/// While a snapshot is sent nothing else is; afterwards entries flow from its end (§7).
#[test]
fn a_snapshot_replaces_the_search() {
    let mut progress = streaming(4);
    assert!(progress.offer(&entries(5, 5)));
    progress.begin_snapshot();
    assert!(!progress.offer(&entries(6, 6)) && !progress.on_refused(Index(5)));
    progress.on_backlog();
    assert!(!progress.is_resting());
    assert_eq!(
        (progress.mode(), progress.beat(), progress.is_unconfirmed()),
        (Mode::Snapshot, Step::Wait, false)
    );
    assert!(!progress.offer(&entries(7, 20)));
    assert_eq!(progress.installed(at(1, 15)), Step::Pull(Some(Index(16))));
    assert_eq!((progress.mode(), progress.matched(), progress.sent()), (Mode::Stream, Index(15), at(1, 15)));
}
