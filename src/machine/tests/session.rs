use proptest::prelude::*;

use super::*;

const A: SessionId = SessionId(0xa);
const B: SessionId = SessionId(0xb);
const C: SessionId = SessionId(0xc);

/// What became of a command, told without borrowing the table. `Done` is an application.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Done(Bytes),
    Repeat(StoredAnswer),
    UnderWay,
    Forgotten,
    Gap(u64),
    Expired,
}

/// Some are short and some are long, for they are kept in different ways.
fn answer_of(at: u64) -> Bytes {
    let padding = if at % 4 == 1 { 30 } else { 0 };
    format!("by entry {at}{:padding$}", "").into()
}

/// Submits a command whose answer names the entry that applied it, so that a second application
/// would show.
fn submit(sessions: &mut Sessions, id: SessionId, sequence: u64, lowest: u64, at: u64) -> Told {
    match sessions.admit(id, sequence, lowest, Index(at)) {
        Admission::Apply(turn) => {
            // To keep a copy, and to keep what is handed over, is the same.
            match at % 3 {
                0 => turn.record_applied(&answer_of(at)),
                _ => turn.record(StoredAnswer::Applied(answer_of(at))),
            }
            Told::Done(answer_of(at))
        }
        Admission::Repeat(answer) => Told::Repeat(answer),
        Admission::UnderWay => Told::UnderWay,
        Admission::Forgotten => Told::Forgotten,
        Admission::Gap { expected } => Told::Gap(expected),
        Admission::Expired => Told::Expired,
    }
}

fn repeat(at: u64) -> Told {
    Told::Repeat(StoredAnswer::Applied(answer_of(at)))
}

fn bytes_of(sessions: &Sessions) -> Vec<u8> {
    let mut bytes = Vec::new();
    sessions.write_to(&mut bytes).unwrap();
    bytes
}

fn reread(sessions: &Sessions) -> Sessions {
    Sessions::read_from(&mut bytes_of(sessions).as_slice()).unwrap()
}

#[test]
fn a_repeat_gets_the_first_answer_and_is_not_applied() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    assert_eq!(submit(&mut sessions, A, 1, 1, 2), Told::Done(answer_of(2)));
    assert_eq!(submit(&mut sessions, A, 2, 1, 3), Told::Done(answer_of(3)));
    assert_eq!(submit(&mut sessions, A, 1, 1, 4), repeat(2));
    assert_eq!(submit(&mut sessions, A, 2, 1, 5), repeat(3));
    assert_eq!(submit(&mut sessions, A, 3, 1, 6), Told::Done(answer_of(6)));
}

#[test]
fn what_is_ahead_of_its_turn_changes_nothing() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    submit(&mut sessions, A, 1, 1, 2);
    assert_eq!(submit(&mut sessions, A, 3, 3, 3), Told::Gap(2));
    assert_eq!(submit(&mut sessions, A, 0, 0, 4), Told::Gap(2));
    assert_eq!(submit(&mut sessions, A, u64::MAX, 3, 5), Told::Gap(2));
    assert_eq!(submit(&mut sessions, A, 1, 1, 6), repeat(2), "its receipt counted");
    assert_eq!(submit(&mut sessions, A, 2, 1, 7), Told::Done(answer_of(7)));
}

#[test]
fn a_rejected_command_takes_its_place_in_the_order() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    let Admission::Apply(turn) = sessions.admit(A, 1, 1, Index(2)) else { panic!() };
    turn.record(StoredAnswer::Rejected);
    let mut sessions = reread(&sessions);
    assert_eq!(submit(&mut sessions, A, 1, 1, 3), Told::Repeat(StoredAnswer::Rejected));
    assert_eq!(submit(&mut sessions, A, 2, 1, 4), Told::Done(answer_of(4)));
}

#[test]
fn answers_go_when_the_client_has_them() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    for sequence in 1..=3 {
        submit(&mut sessions, A, sequence, 1, 1 + sequence);
    }
    // The receipt for 1 and 2 rides on 4.
    submit(&mut sessions, A, 4, 3, 5);
    assert_eq!(submit(&mut sessions, A, 2, 1, 6), Told::Forgotten);
    assert_eq!(submit(&mut sessions, A, 3, 3, 7), repeat(4));
    // Nobody has the answer to a command that it still sends, whatever its receipt says.
    assert_eq!(submit(&mut sessions, A, 3, 9, 8), repeat(4));
}

#[test]
fn a_client_without_receipts_gets_its_window_and_no_more() {
    let mut sessions = Sessions::new(9, 3);
    sessions.open(A, Index(1));
    for sequence in 1..=100 {
        submit(&mut sessions, A, sequence, 0, 1 + sequence);
    }
    assert_eq!(sessions.sessions[&A].kept(), 3);
    assert_eq!(submit(&mut sessions, A, 97, 0, 200), Told::Forgotten);
    assert_eq!(submit(&mut sessions, A, 98, 0, 201), repeat(99));
    assert_eq!(submit(&mut sessions, A, 100, 0, 202), repeat(101));
}

#[test]
fn an_unknown_session_is_never_begun_by_a_command() {
    let mut sessions = Sessions::new(9, 9);
    assert_eq!(submit(&mut sessions, A, 1, 1, 1), Told::Expired);
    assert!(sessions.is_empty());
    sessions.open(A, Index(2));
    assert!(sessions.close(A));
    assert!(!sessions.close(A));
    assert_eq!(submit(&mut sessions, A, 1, 1, 3), Told::Expired);
    assert!(sessions.queue.is_empty());
}

#[test]
fn to_open_again_tells_how_far_it_got() {
    let mut sessions = Sessions::new(9, 9);
    assert_eq!(sessions.open(A, Index(1)), 0);
    assert_eq!(sessions.open(A, Index(2)), 0);
    submit(&mut sessions, A, 1, 1, 3);
    assert_eq!(sessions.open(A, Index(4)), 1);
    assert_eq!(submit(&mut sessions, A, 1, 1, 5), repeat(3));
    assert_eq!(sessions.len(), 1);
}

/// Every kind of use counts: an opening, a command, a repeat, a gap.
#[test]
fn the_longest_unused_goes() {
    type Use = fn(&mut Sessions) -> bool;
    let uses: [Use; 4] = [
        |sessions| sessions.open(A, Index(9)) == 1,
        |sessions| submit(sessions, A, 2, 1, 9) == Told::Done(answer_of(9)),
        |sessions| submit(sessions, A, 1, 1, 9) == repeat(3),
        |sessions| submit(sessions, A, 7, 1, 9) == Told::Gap(2),
    ];
    for refresh in uses {
        let mut sessions = Sessions::new(2, 9);
        sessions.open(A, Index(1));
        sessions.open(B, Index(2));
        submit(&mut sessions, A, 1, 1, 3);
        submit(&mut sessions, B, 1, 1, 4);
        assert!(refresh(&mut sessions));
        sessions.open(C, Index(10));
        assert_eq!(sessions.len(), 2);
        assert_eq!(submit(&mut sessions, B, 2, 1, 11), Told::Expired);
        assert_eq!(submit(&mut sessions, A, 1, 1, 12), repeat(3));
    }
}

/// In whichever order they take turns, the table comes to expect it; and is right where it expects another.
#[test]
fn those_who_take_turns_are_expected() {
    let mut sessions = Sessions::new(10, 10);
    for (at, id) in (1..).zip([A, B, C]) {
        sessions.open(id, Index(at));
    }
    let expected = |sessions: &Sessions| {
        let (_, last) = sessions.sessions.get_index(sessions.last).unwrap();
        sessions.sessions.get_index(last.successor).map(|(id, _)| *id)
    };
    let (mut at, mut sequence) = (3, 0);
    for order in [[A, B, C], [B, A, C], [C, A, B]] {
        for round in 1..=3 {
            sequence += 1;
            for id in order {
                at += 1;
                let before = expected(&sessions);
                assert_eq!(submit(&mut sessions, id, sequence, 1, at), Told::Done(answer_of(at)));
                // In the first round they come as nobody knew, and the first of the second ends the circle.
                assert!(round < 3 || before == Some(id), "{id:?} was not expected");
                // To come twice in a row says nothing of who is next.
                let next = expected(&sessions);
                assert_eq!(submit(&mut sessions, id, sequence, 1, at), repeat(at));
                assert_eq!(expected(&sessions), next);
            }
        }
    }
    // Who stood last takes the place of one that goes.
    assert!(sessions.close(A));
    assert_eq!(submit(&mut sessions, A, sequence + 1, 1, at + 1), Told::Expired);
    for (at, id) in (at + 2..).zip([C, B]) {
        assert_eq!(submit(&mut sessions, id, sequence + 1, 1, at), Told::Done(answer_of(at)));
    }
}

#[test]
fn a_turn_that_is_dropped_is_still_next() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    assert!(matches!(sessions.admit(A, 1, 1, Index(2)), Admission::Apply(_)));
    assert_eq!(submit(&mut sessions, A, 1, 1, 3), Told::Done(answer_of(3)));
}

#[test]
fn a_batch_is_admitted_first_and_recorded_later() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    for sequence in 1..=2 {
        let Admission::Apply(turn) = sessions.admit(A, sequence, 1, Index(1 + sequence)) else { panic!() };
        turn.defer();
    }
    assert_eq!(submit(&mut sessions, A, 1, 1, 4), Told::UnderWay);
    assert_eq!(submit(&mut sessions, A, 4, 1, 5), Told::Gap(3));
    assert!(sessions.write_to(&mut Vec::new()).is_err(), "a snapshot without their answers");

    let answer = |at| StoredAnswer::Applied(answer_of(at));
    assert!(!sessions.record(A, 2, answer(3)), "out of order");
    assert!(sessions.record(A, 1, answer(2)));
    assert!(!sessions.record(A, 1, answer(9)), "twice");
    assert!(sessions.record(A, 2, answer(3)));
    assert!(!sessions.record(A, 3, answer(9)), "never admitted");
    assert!(!sessions.record(B, 1, answer(9)), "never opened");
    assert_eq!(submit(&mut sessions, A, 1, 1, 6), repeat(2));
    assert_eq!(submit(&mut sessions, A, 2, 1, 7), repeat(3));
}

/// A log that ends after 2^64 commands of one session is long enough, but must not wrap.
#[test]
fn the_last_sequence_is_applied_once() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    let session = sessions.sessions.get_mut(&A).unwrap();
    (session.admitted, session.recorded) = (u64::MAX - 1, u64::MAX - 1);
    assert_eq!(submit(&mut sessions, A, u64::MAX, 1, 2), Told::Done(answer_of(2)));
    assert_eq!(submit(&mut sessions, A, u64::MAX, 1, 3), repeat(2));
}

#[test]
fn a_snapshots_limits_go_with_it() {
    let read = reread(&Sessions::new(7, 5));
    assert_eq!((read.sessions_max(), read.window()), (7, 5));
}

#[test]
fn reading_takes_not_one_byte_more() {
    let mut sessions = Sessions::new(9, 9);
    sessions.open(A, Index(1));
    submit(&mut sessions, A, 1, 1, 2);
    let bytes = [&bytes_of(&sessions)[..], b"the machine's"].concat();
    let mut rest = bytes.as_slice();
    Sessions::read_from(&mut rest).unwrap();
    assert_eq!(rest, b"the machine's");
}

fn refused(bytes: &[u8]) -> String {
    let error = Sessions::read_from(&mut &*bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    error.to_string()
}

/// The format is on disks: these bytes must not change. And what is not such a table is refused.
#[test]
fn the_format_is_fixed_and_what_breaks_it_is_refused() {
    let number = |number: u64| number.to_le_bytes();
    let session = |id: u64, last_use: u64| [number(id), number(0), number(last_use)].concat();
    let head =
        |max: u64, window: u64, count: u64| [&[1][..], &[max, window, count].map(number).concat()].concat();

    let mut sessions = Sessions::new(3, 2);
    sessions.open(B, Index(1));
    sessions.open(A, Index(2));
    submit(&mut sessions, B, 1, 1, 3);
    let Admission::Apply(turn) = sessions.admit(B, 2, 1, Index(4)) else { panic!() };
    turn.record(StoredAnswer::Rejected);
    let (a, b) = (session(0xa, 2), session(0xb, 4));
    let none = [number(0), number(0)].concat();
    let two = [number(2), number(2)].concat();
    let answers = [&[1][..], &number(10), b"by entry 3", &[0]].concat();
    let good = [&head(3, 2, 2)[..], &a, &none, &b, &two, &answers].concat();
    assert_eq!(bytes_of(&sessions), good);

    for end in 0..good.len() {
        refused(&good[..end]);
    }
    assert!(refused(&[2]).contains("version"));
    for (max, window, count) in [(0, 2, 0), (3, 0, 0), (3, 2, 4)] {
        assert!(refused(&head(max, window, count)).contains("limits"));
    }
    let pair = |first: &[u8], second: &[u8]| [&head(3, 2, 2)[..], first, &none, second, &none].concat();
    assert!(refused(&pair(&b, &a)).contains("out of order"));
    assert!(refused(&pair(&a, &a)).contains("out of order"));
    assert!(refused(&pair(&a, &session(0xa, 3))).contains("twice"));
    let counts =
        |applied, answers| [&head(3, 2, 1)[..], &a, &number(applied), &number(answers), &[0; 9]].concat();
    assert!(refused(&counts(9, 3)).contains("more answers"));
    assert!(refused(&counts(1, 2)).contains("more answers"));
    assert!(refused(&[&head(3, 2, 1)[..], &a, &number(1), &number(1), &[7]].concat()).contains("kind"));
}

/// The table again, as plain as can be: everything that ever happened, in a list.
#[derive(Clone)]
struct Model {
    sessions_max: usize,
    window: u64,
    sessions: Vec<ModelSession>,
}

#[derive(Clone)]
struct ModelSession {
    id: SessionId,
    last_use: u64,
    /// The answers to all commands since 1.
    answers: Vec<Bytes>,
    /// The highest receipt.
    receipt: u64,
}

impl Model {
    fn open(&mut self, id: SessionId, at: u64) -> u64 {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            session.last_use = at;
            return session.answers.len() as u64;
        }
        if self.sessions.len() == self.sessions_max {
            let oldest = self.sessions.iter().map(|session| session.last_use).min();
            self.sessions.retain(|session| Some(session.last_use) != oldest);
        }
        self.sessions.push(ModelSession { id, last_use: at, answers: Vec::new(), receipt: 0 });
        0
    }

    fn close(&mut self, id: SessionId) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|session| session.id != id);
        self.sessions.len() < before
    }

    fn submit(&mut self, id: SessionId, sequence: u64, lowest: u64, at: u64) -> Told {
        let window = self.window;
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else {
            return Told::Expired;
        };
        session.last_use = at;
        let next = session.answers.len() as u64 + 1;
        if sequence == 0 || sequence > next {
            return Told::Gap(next);
        }
        session.receipt = session.receipt.max(lowest.min(sequence));
        if sequence == next {
            session.answers.push(answer_of(at));
            return Told::Done(answer_of(at));
        }
        if sequence < session.receipt || sequence + window < next {
            return Told::Forgotten;
        }
        Told::Repeat(StoredAnswer::Applied(session.answers[sequence as usize - 1].clone()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(SessionId),
    Close(SessionId),
    /// A command `ahead` of the next one minus 3, with a receipt so far behind it.
    Submit {
        id: SessionId,
        ahead: u64,
        behind: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let id = || (0..5_u128).prop_map(SessionId);
    prop_oneof![
        3 => id().prop_map(Step::Open),
        1 => id().prop_map(Step::Close),
        // Mostly the next one, so that sessions get somewhere.
        9 => (id(), prop_oneof![3 => Just(3_u64), 2 => 0..6_u64], 0..5_u64)
            .prop_map(|(id, ahead, behind)| Step::Submit { id, ahead, behind }),
    ]
}

proptest! {
    /// Applied exactly once and in order, repeats answered with the first answer, the same session
    /// expired: as the plain list does it, for a table that lives on and for one that went through
    /// a snapshot before every step.
    #[test]
    fn it_does_what_a_plain_list_does(
        sessions_max in 1..4_usize,
        window in 1..4_usize,
        steps in prop::collection::vec(step(), 0..60),
        reread_at: u64,
    ) {
        let mut model = Model { sessions_max, window: window as u64, sessions: Vec::new() };
        let mut living = Sessions::new(sessions_max, window);
        let mut fresh = living.clone();
        for (at, step) in (1..).zip(steps) {
            // Not before every step in every case: a table that was just read is in perfect order,
            // and what follows an imperfect one matters too.
            if reread_at >> (at % 64) & 1 == 1 {
                fresh = reread(&fresh);
            }
            match step {
                Step::Open(id) => {
                    let applied = model.open(id, at);
                    prop_assert_eq!(living.open(id, Index(at)), applied);
                    prop_assert_eq!(fresh.open(id, Index(at)), applied);
                }
                Step::Close(id) => {
                    let closed = model.close(id);
                    prop_assert_eq!(living.close(id), closed);
                    prop_assert_eq!(fresh.close(id), closed);
                }
                Step::Submit { id, ahead, behind } => {
                    let session = model.sessions.iter().find(|session| session.id == id);
                    let applied = session.map_or(0, |session| session.answers.len() as u64);
                    let sequence = (applied + 1 + ahead).saturating_sub(3);
                    let lowest = sequence.saturating_sub(behind);
                    let told = model.submit(id, sequence, lowest, at);
                    prop_assert_eq!(submit(&mut living, id, sequence, lowest, at), told.clone());
                    prop_assert_eq!(submit(&mut fresh, id, sequence, lowest, at), told);
                }
            }
            prop_assert_eq!(bytes_of(&living), bytes_of(&fresh));
            prop_assert_eq!(living.queue.len(), living.len());
            prop_assert_eq!(living.len(), model.sessions.len());
            for session in living.sessions.values() {
                prop_assert!(session.kept() <= window);
            }
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(mut garbage: Vec<u8>, honest: bool) {
        // Some garbage gets past the limits, to be refused later.
        if honest {
            let head = [&[1][..], &100_u64.to_le_bytes(), &9_u64.to_le_bytes(), &3_u64.to_le_bytes()].concat();
            garbage.splice(..0, head);
        }
        if let Err(error) = Sessions::read_from(&mut garbage.as_slice()) {
            prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_flipped_byte_is_no_panic(commands in 0..20_u64, place: prop::sample::Index, flip in 1..=255_u8) {
        let mut sessions = Sessions::new(9, 9);
        sessions.open(A, Index(1));
        sessions.open(B, Index(2));
        for at in 3..3 + commands {
            submit(&mut sessions, if at % 3 == 0 { A } else { B }, at / 3, 0, at);
        }
        let mut bytes = bytes_of(&sessions);
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let _ = Sessions::read_from(&mut bytes.as_slice());
    }
}
