use super::*;
use crate::{
    cluster::Crash,
    lab::fault::{FaultKind, Who},
    raft::{ActorKind, MessageKind},
    storage::Tail,
    transport::faults::Rule,
};
use proptest::prelude::*;

fn error(text: &str) -> String {
    text.parse::<Script>().unwrap_err().to_string()
}

#[test]
fn a_script_is_read_as_it_is_written() {
    let text = "\
at 5 for 800 halves 1,2|3,4,5
at 10 for 800 isolate leader
at 20 for 1 one-way 1>2,3
at 30 for 1 bridge 1,2|3|4,5
at 40 for 1 ring 1,2,3,4,5
at 50 for 1 loss 0.25 delay 1..=9 from=1 kind=heartbeat
at 60 for 300 kill 3
at 61 for 300 keep-tail 3
at 62 for 300 lose-tail leader
at 63 on SyncBegun of 3 within 500 for 300 tear-tail it
at 64 for 20 blackout
at 70 for 0 crash role 3
at 71 for 0 crash machine follower stop
at 80 for 300 stall timer 2
at 81 for 300 slow storage 2 5
at 82 for 300 pause 2
at 90 for 300 slow-disk 2 100..=200
at 91 for 300 hang-disk 2
at 92 for 300 full-disk 2
at 93 for 300 fail-disk 2
at 94 for 300 clock 2 1500
at 100 for 0 snapshot 2
at 101 for 900 lag 2
at 102 for 0 transfer
at 103 on Elected within 50 for 0 transfer 2
";
    let script: Script = text.parse().unwrap();
    assert_eq!(script.to_string(), text);
    let [.., last] = script.steps.as_slice() else { panic!("no steps") };
    assert_eq!(last.on, Moment::of("Elected", None, 50));
    assert_eq!(script.steps[9].fault, Fault::Kill(Who::It, Tail::Torn));
    assert_eq!(script.steps[12].fault, Fault::Crash(ActorKind::Machine, Who::Follower, Crash::Stop));
    let rule = Rule::new().loss(0.25).delay_ms(1..=9).from(1).kind(MessageKind::Heartbeat);
    assert_eq!(script.steps[5].fault, Fault::Network(rule));
    assert_eq!(script.end_ms(), 1_001);
    assert_eq!(script.highest_peer(), PeerId(5));
}

#[test]
fn remarks_and_empty_lines_are_nothing_and_steps_are_in_order() {
    let script: Script = "# all of it\n\nat 9 transfer # now\nat 3 blackout\n".parse().unwrap();
    assert_eq!(script.to_string(), "at 3 for 0 blackout\nat 9 for 0 transfer\n");
    assert_eq!("".parse(), Ok(Script::default()));
}

#[test]
fn what_is_no_script_says_where_and_what_to_write() {
    let table = [
        ("blackout", "it does not say when"),
        ("at 5", "it ends where what happens should be"),
        ("at x blackout", "`x` where a time in milliseconds should be"),
        ("at 5 explode", "`explode` is nothing that can happen"),
        ("at 5 blackout now", "`now` is too much"),
        ("at 5 halves 1,2", "`1,2` where two halves like `1,2|3,4,5` should be"),
        ("at 5 halves 1|2|3", "`1|2|3` where two halves"),
        ("at 5 crash disk 1", "`disk` is no actor"),
        ("at 5 crash peer 1", "`peer` is no actor"),
        ("at 5 crash role 1 hard", "there is `stop`, or nothing"),
        ("at 5 crash-role 1", "say `crash` and the actor"),
        ("at 5 clock 1 50", "50 is no rate"),
        ("at 5 slow-disk 1 9..=3", "`9..=3` where a range"),
        ("at 5 loss 2", "a probability lies in 0..=1"),
        ("at 5 on Boom within 3 blackout", "`Boom` is no event"),
        ("at 5 on Elected blackout", "`blackout` where `within`"),
        ("at 5 kill him", "`him` where a peer's number, `leader`, `follower` or `it` should be"),
    ];
    for (text, what) in table {
        let error = error(&format!("# first\n{text}"));
        assert!(error.starts_with("line 2: ") && error.contains(what), "{text}: {error}");
    }
}

#[test]
fn each_kind_has_its_words() {
    assert_eq!(FaultKind::named("stall"), Some(vec![FaultKind::Stall]));
    assert_eq!(FaultKind::named("network").map(|kinds| kinds.len()), Some(9));
    assert_eq!(FaultKind::named("all").map(|kinds| kinds.len()), Some(FaultKind::ALL.len() - 1));
    assert_eq!(FaultKind::named("cut"), None, "a rule of one's own is not drawn");
    assert_eq!(FaultKind::named("weather"), None);
    let groups = ["network", "power", "crashes", "pace", "disks", "orders"];
    let of_groups: usize =
        groups.iter().filter_map(|group| FaultKind::named(group)).map(|kinds| kinds.len()).sum();
    assert_eq!(of_groups, FaultKind::drawn().count());
}

#[test]
fn in_a_ring_everybody_hears_a_majority_and_no_two_the_same() {
    for peers in [3, 4, 5, 7] {
        let all: Vec<PeerId> = (1..=peers).map(PeerId).collect();
        let rules = Fault::Ring(all.clone()).rules(&all, None);
        let hears = |to: PeerId| {
            let cut = |from| rules.iter().any(|rule| rule.is_about(from, to, MessageKind::Heartbeat));
            all.iter().copied().filter(|&from| !cut(from)).collect::<Vec<_>>()
        };
        let heard: Vec<_> = all.iter().map(|&peer| hears(peer)).collect();
        assert!(heard.iter().all(|heard| heard.len() == peers as usize / 2 + 1), "{heard:?}");
        for (at, one) in heard.iter().enumerate() {
            assert!(!heard[..at].contains(one), "{heard:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,60}") {
        let _ = text.parse::<Script>();
    }

    #[test]
    fn no_line_of_words_is_too_strange(words in proptest::collection::vec(
        prop_oneof!["at", "for", "on", "of", "within", "[0-9]{1,20}", "[a-z-]{1,9}", "[1-9,|>]{1,9}"], 0..9)) {
        let _ = words.join(" ").parse::<Script>();
    }
}
