//! Pieces of the cluster example. The machine: what it gives away page by page, and what a snapshot
//! carries, is what it was given. Padding: whatever the bytes, it comes off again. Acknowledgements:
//! the file holds one number at any time. (The example as a whole is shown by `durable_cluster`,
//! `.ci/show/exact` and its siblings.)

use std::{fs, path::Path};

use bytes::Bytes;
use proptest::prelude::*;
use raft_actors::{
    machine::{Raw, StateMachine},
    raft::Position,
};

#[allow(dead_code)]
#[path = "../../examples/cluster/acks.rs"]
mod acks;
#[allow(dead_code)]
#[path = "../../examples/cluster/lines.rs"]
mod lines;
#[allow(dead_code)]
#[path = "../../examples/cluster/value.rs"]
mod value;

use acks::Acks;
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

#[test]
fn padding_is_neither_counted_nor_kept() {
    let lines = some_lines();
    let (mut plain, mut padded) = (Lines::default(), Lines::default());
    apply(&mut plain, &lines, 1);
    let commands: Vec<_> = lines.iter().map(|line| value::pad(line.clone(), Some(300))).collect();
    apply(&mut padded, &commands, 1);
    assert_eq!((text(&padded), summary(&padded)), (text(&plain), summary(&plain)));
}

#[test]
fn a_line_is_its_command_unless_it_is_to_be_longer() {
    let line = Bytes::from("a line\n");
    for bytes in [None, Some(0), Some(6), Some(7)] {
        assert_eq!(value::pad(line.clone(), bytes), line, "{bytes:?}");
    }
    assert_eq!(value::pad(line.clone(), Some(8)).len(), 8);
    assert_eq!(value::strip(&Bytes::new()), Bytes::new());
    // Nobody makes these: they say that they are padded with more than they are long.
    for odd in [&[4][..], &[0], &[1, 2, 3, 0], &[255, 255, 255, 255, 0]] {
        assert_eq!(value::strip(&Bytes::from_static(odd)), odd);
    }
}

proptest! {
    #[test]
    fn padding_comes_off_whatever_the_bytes(
        line in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..40),
        bytes in prop::option::of(0..60usize),
    ) {
        let line = Bytes::from(line);
        let command = value::pad(line.clone(), bytes);
        prop_assert_eq!(value::strip(&command), &line);
        let wanted = bytes.unwrap_or_default().max(line.len());
        let escape = usize::from(command.len() > wanted);
        prop_assert!(command.len() == wanted + escape && escape <= value::OVERHEAD_BYTES_MAX);
        // Only a line without a newline can look like padding.
        prop_assert!(escape == 0 || line.last().is_some_and(|&last| last < 5));
    }
}

#[test]
fn the_file_of_acknowledgements_holds_one_number() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("acks-{}", std::process::id()));
    let told = || fs::read_to_string(&path).unwrap();
    let mut acks = Acks::open(&path).unwrap();
    assert_eq!(told(), "0\n");
    for count in [7, 7, 99, 100, 12_345] {
        acks.write(count).unwrap();
        assert_eq!(told(), format!("{count}\n"));
    }
    // What is there stays until there is more to say, be it less.
    let mut acks = Acks::open(&path).unwrap();
    assert_eq!(told(), "12345\n");
    acks.write(54_321).unwrap();
    assert_eq!(told(), "54321\n");
    let mut acks = Acks::open(&path).unwrap();
    acks.write(0).unwrap();
    assert_eq!(told(), "0\n");
    acks.write(10).unwrap();
    assert_eq!(told(), "10\n");
    assert!(Acks::open(Path::new(env!("CARGO_TARGET_TMPDIR"))).is_err(), "a folder holds no number");
    fs::remove_file(&path).unwrap();
}
