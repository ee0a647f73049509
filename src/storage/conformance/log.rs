//! What a log has to do.

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    author::{Author, Step},
    cut_short, recovered, same, start, worked, write,
};
use crate::{
    raft::{Batch, Command, Data, Index, Membership, PeerId, Position, Record, Term},
    storage::Disk,
};

fn entries(term: u64, first: u64, commands: Vec<Command>) -> Record {
    match Batch::new(Term(term), Index(first), commands) {
        Some(batch) => Record::Entries(batch),
        None => panic!("the suite writes no empty batches"),
    }
}

fn noops(term: u64, first: u64, count: usize) -> Record {
    entries(term, first, vec![Command::Noop; count])
}

/// Restarts the peer, and checks that it recovers what `records` say.
async fn check_restart(disk: &mut dyn Disk, records: &[Record], promise: &str) {
    let (_opened, replay) = start(disk).await;
    same(&recovered(replay.records), &recovered(records.to_vec()), promise);
    same(&replay.tail, &None, "nothing is lost that was acknowledged");
}

pub(super) async fn begins_empty(disk: &mut dyn Disk) {
    let (_opened, replay) = start(disk).await;
    same(&replay.records, &vec![], "a new disk holds no records");
    same(&replay.tail, &None, "a new disk has lost nothing");
}

pub(super) async fn gives_back_what_was_written(disk: &mut dyn Disk) {
    let mut written = Vec::new();
    for turn in 1..=3 {
        let (mut opened, _) = start(disk).await;
        let records =
            [Record::Ballot { term: Term(turn), vote: Some(PeerId(turn)) }, noops(turn, 2 * turn - 1, 2)];
        write(&mut opened, &records).await;
        written.extend(records);
        drop(opened);
        check_restart(disk, &written, "what was acknowledged is there, also behind earlier restarts").await;
        check_restart(disk, &written, "reading a log does not change it").await;
    }
}

pub(super) async fn keeps_the_rest_of_a_log_that_holds_the_snapshot(disk: &mut dyn Disk) {
    let (mut opened, _) = start(disk).await;
    let mut written = vec![noops(1, 1, 3), noops(2, 4, 3), Record::Compact { upto: Position::new(2, 4) }];
    write(&mut opened, &written).await;
    drop(opened);
    check_restart(disk, &written, "a log that holds the snapshot's position keeps what is behind it").await;

    let (mut opened, _) = start(disk).await;
    let cut = [Record::Truncate { from: Index(6) }, noops(3, 6, 1)];
    write(&mut opened, &cut).await;
    written.extend(cut);
    drop(opened);
    check_restart(disk, &written, "a compacted log can be truncated, and goes on").await;
}

pub(super) async fn drops_a_log_that_contradicts_the_snapshot(disk: &mut dyn Disk) {
    let (mut opened, _) = start(disk).await;
    let mut written = vec![noops(1, 1, 6), Record::Compact { upto: Position::new(2, 4) }];
    write(&mut opened, &written).await;
    drop(opened);
    check_restart(disk, &written, "a log that contradicts the snapshot goes whole").await;

    let (mut opened, _) = start(disk).await;
    let more = [noops(2, 5, 1), Record::Compact { upto: Position::new(2, 9) }, noops(2, 10, 1)];
    write(&mut opened, &more).await;
    written.extend(more);
    drop(opened);
    check_restart(disk, &written, "a log that ends before the snapshot begins anew behind it").await;
}

pub(super) async fn ignores_a_marker_that_is_older(disk: &mut dyn Disk) {
    let (mut opened, _) = start(disk).await;
    let markers = [(1, 4), (1, 2), (2, 2), (2, 4)]
        .map(|(term, index)| Record::Compact { upto: Position::new(term, index) });
    let written: Vec<_> = [noops(1, 1, 6)].into_iter().chain(markers).collect();
    write(&mut opened, &written).await;
    drop(opened);
    check_restart(disk, &written, "a log never grows back at its front").await;
}

pub(super) async fn takes_a_write_of_nothing(disk: &mut dyn Disk) {
    let (mut opened, _) = start(disk).await;
    write(&mut opened, &[]).await;
    write(&mut opened, &[noops(1, 1, 1)]).await;
    write(&mut opened, &[]).await;
    drop(opened);
    check_restart(disk, &[noops(1, 1, 1)], "a write of nothing changes nothing").await;
}

pub(super) async fn takes_every_kind_and_size_of_command(disk: &mut dyn Disk) {
    let membership = Membership::of((1..=3).map(PeerId))
        .with_learner(PeerId(9))
        .with_address(PeerId(9), "[::1]:4711")
        .joint_to((2..=5).map(PeerId));
    let large = Bytes::from(vec![0xA5; (2 << 20) + 1]);
    let commands = vec![
        Command::Noop,
        Command::Data(Data::default()),
        Command::Membership(membership.into()),
        Command::Data(Data::behind(7, large.slice(..0x1_0000))),
        Command::Data(large.into()),
    ];
    let many = (0..5_000_u32).map(|number| Command::Data(number.to_be_bytes().to_vec().into())).collect();
    let ballot = Record::Ballot { term: Term(u64::MAX), vote: Some(PeerId(u64::MAX)) };
    let written = [entries(0, 1, commands), entries(u64::MAX, 6, many), ballot];
    let (mut opened, _) = start(disk).await;
    write(&mut opened, &written).await;
    drop(opened);
    check_restart(disk, &written, "every kind and size of command comes back as it was").await;
}

pub(super) async fn recovers_the_same_state(disk: &mut dyn Disk, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut author = Author::default();
    let mut written = Vec::new();
    for _ in 0..8 {
        let (mut opened, _) = start(disk).await;
        for _ in 0..rng.random_range(1..=4) {
            let steps = rng.random_range(1..=5);
            let records: Vec<_> = (0..steps).flat_map(|_| author.write(Step::draw(&mut rng))).collect();
            write(&mut opened, &records).await;
            written.extend(records);
        }
        drop(opened);
        check_restart(disk, &written, &format!("recovery is a fold over all records (seed {seed})")).await;
    }
}

pub(super) async fn keeps_a_prefix_of_a_write_cut_short(disk: &mut dyn Disk, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut opened, _) = start(disk).await;
    let before: Vec<_> = (1..=10).map(|index| noops(1, index, 1)).collect();
    write(&mut opened, &before).await;
    let under_way: Vec<_> = (11..=10 + rng.random_range(1..=6)).map(|index| noops(2, index, 1)).collect();
    let done = cut_short(opened.log.write(under_way.clone()));
    let whole = done.map(worked).is_some();
    drop(opened);

    let (mut opened, replay) = start(disk).await;
    let all: Vec<_> = before.iter().chain(&under_way).cloned().collect();
    let found = recovered(replay.records);
    let least = if whole { all.len() } else { before.len() };
    let upto = (least..=all.len()).find(|&upto| found == recovered(all.iter().take(upto).cloned().collect()));
    let Some(upto) = upto else {
        panic!("a write cut short leaves a prefix of its records, not {found:?}");
    };
    if let Some(tail) = replay.tail {
        same(&(before.len() + tail.kept), &upto, "a replay says truly how much survived");
    }

    let after = noops(3, upto as u64 + 1, 2);
    write(&mut opened, std::slice::from_ref(&after)).await;
    drop(opened);
    let written: Vec<_> = all.into_iter().take(upto).chain([after]).collect();
    check_restart(disk, &written, "what is written behind a torn tail survives the next restart").await;
}
