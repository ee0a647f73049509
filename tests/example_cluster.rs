//! The machine of the cluster example: what it gives away page by page, and what a snapshot carries,
//! is what it was given. (The example as a whole is shown by `.ci/show/exact` and its siblings.)
#![cfg(feature = "serde")]

use bytes::Bytes;
use raft_actors::{
    machine::{Raw, StateMachine},
    raft::Position,
};

#[allow(dead_code)]
#[path = "../examples/cluster/lines.rs"]
mod lines;
#[path = "../examples/cluster/value.rs"]
mod value;

use lines::{Ask, Lines, PAGE_BYTES, Summary, Told};

/// Some empty, some longer than a chunk and than a page.
fn some_lines() -> Vec<Bytes> {
    let length = |number: usize| [0, 1, 80, 70_000, 3 * PAGE_BYTES][number % 5];
    (0..40).map(|number| Bytes::from([vec![number as u8; length(number)], b"\n".to_vec()].concat())).collect()
}

fn apply(machine: &mut Lines, lines: &[Bytes], from: u64) {
    for (number, line) in (from..).zip(lines) {
        assert_eq!(machine.apply(Position::new(1, number + 1), Raw(line.clone())), number);
    }
}

fn summary(machine: &Lines) -> Summary {
    match machine.query(Ask::Summary) {
        Told::Summary(summary) => summary,
        Told::Page(_) => panic!("a page is no summary"),
    }
}

fn text(machine: &Lines) -> Vec<u8> {
    let mut text = Vec::new();
    loop {
        match machine.query(Ask::Page { offset: text.len() as u64 }) {
            Told::Page(page) if page.is_empty() => return text,
            Told::Page(page) => {
                assert!(page.len() <= PAGE_BYTES);
                text.extend_from_slice(&page);
            }
            Told::Summary(_) => panic!("a summary is no page"),
        }
    }
}

#[test]
fn pages_and_summary_are_what_was_applied() {
    let lines = some_lines();
    let mut machine = Lines::default();
    assert_eq!((text(&machine), summary(&machine)), (Vec::new(), Summary::default()));
    apply(&mut machine, &lines, 1);
    assert_eq!(text(&machine), lines.concat());
    assert_eq!(summary(&machine), lines.iter().fold(Summary::default(), |summary, line| summary.and(line)));
}

#[test]
fn a_snapshot_carries_the_lines_and_more_can_follow() {
    let lines = some_lines();
    let (early, late) = lines.split_at(17);
    let mut machine = Lines::default();
    apply(&mut machine, early, 1);
    let view = machine.snapshot();
    // A view is of the moment at which it was taken.
    apply(&mut machine, late, 18);
    let mut snapshot = Vec::new();
    view(&mut snapshot).expect("a vector takes everything");

    let mut restored = Lines::new(None);
    apply(&mut restored, late, 1);
    restored.restore(&mut snapshot.as_slice()).expect("it was written by the same machine");
    assert_eq!(text(&restored), early.concat());
    apply(&mut restored, late, 18);
    assert_eq!((text(&restored), summary(&restored)), (text(&machine), summary(&machine)));
}
