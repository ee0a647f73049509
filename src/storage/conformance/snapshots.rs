//! What a store of snapshots has to do.

use std::{
    io::{self, Read, Write},
    panic::resume_unwind,
    sync::Arc,
};

use bytes::Bytes;

use super::{arrived, cut_short, same, start, worked};
use crate::{
    raft::{Membership, PeerId, Position, SnapshotMeta},
    storage::{Disk, SnapshotStore, SnapshotWriter, StorageError, Wait},
};

fn membership() -> Arc<Membership> {
    Membership::of((1..=3).map(PeerId)).with_learner(PeerId(4)).into()
}

fn meta(at: Position, content: &[u8]) -> Arc<SnapshotMeta> {
    let checksum = crc32c::crc32c(content);
    SnapshotMeta { at, membership: membership(), bytes: content.len() as u64, checksum }.into()
}

/// Bytes in which no two places look alike.
fn content(bytes: u32) -> Bytes {
    (0..bytes).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Writes `content` in two parts, as machines do.
fn writer(content: &Bytes) -> SnapshotWriter {
    let content = content.clone();
    Box::new(move |out: &mut dyn Write| {
        let (front, back) = content.split_at(content.len() / 2);
        out.write_all(front)?;
        out.write_all(back)
    })
}

fn save(
    store: &dyn SnapshotStore,
    at: Position,
    content: &Bytes,
) -> Wait<Result<Arc<SnapshotMeta>, StorageError>> {
    store.save(at, membership(), writer(content))
}

async fn receive(store: &dyn SnapshotStore, meta: &Arc<SnapshotMeta>, offset: u64, data: &Bytes) -> u64 {
    worked(arrived(store.receive(meta.clone(), offset, data.clone())).await)
}

/// Checks that a snapshot is in force, and can be read in both ways.
async fn check_latest(store: &dyn SnapshotStore, at: Position, content: &Bytes) {
    same(&store.latest(), &Some(meta(at, content)), "the latest whole snapshot is in force");
    let mut whole = Vec::new();
    let read = worked(store.open(at)).read_to_end(&mut whole);
    assert!(read.is_ok_and(|bytes| bytes == content.len()), "a reader gives the whole snapshot");
    assert!(whole == *content, "a reader gives what was written");
    let mut pieces = Vec::new();
    loop {
        let piece = worked(arrived(store.read(at, pieces.len() as u64, 1_000)).await);
        assert!(piece.len() <= 1_000, "a piece is not larger than asked for");
        if piece.is_empty() {
            break;
        }
        pieces.extend_from_slice(&piece);
    }
    assert!(pieces == *content, "the pieces of a snapshot are the snapshot");
    let beyond = worked(arrived(store.read(at, u64::MAX, usize::MAX)).await);
    same(&beyond, &Bytes::new(), "there is nothing beyond the end");
}

pub(super) async fn begin_with_none(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let at = Position::new(1, 5);
    same(&opened.snapshots.latest(), &None, "a new disk holds no snapshot");
    assert!(
        matches!(opened.snapshots.open(at), Err(StorageError::Gone { at: gone }) if gone == at),
        "what was never there is gone"
    );
    assert!(
        matches!(arrived(opened.snapshots.read(at, 0, 10)).await, Err(StorageError::Gone { .. })),
        "what was never there is gone"
    );
}

pub(super) async fn are_given_back_when_saved(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    for (index, bytes) in [(5, 10_001), (6, 0), (9, 300_000)] {
        let (at, content) = (Position::new(2, index), content(bytes));
        let saved = worked(arrived(save(&*opened.snapshots, at, &content)).await);
        same(&saved, &meta(at, &content), "a save answers what is in force");
        check_latest(&*opened.snapshots, at, &content).await;
    }
}

pub(super) async fn survive_a_restart(disk: &mut dyn Disk) {
    let (at, content) = (Position::new(2, 5), content(5_000));
    let (opened, _) = start(disk).await;
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    drop(opened);
    let (opened, _) = start(disk).await;
    check_latest(&*opened.snapshots, at, &content).await;

    let (later, more) = (Position::new(2, 8), content.slice(7..));
    same(&receive(&*opened.snapshots, &meta(later, &more), 0, &more).await, &4_993, "it is whole");
    drop(opened);
    let (opened, _) = start(disk).await;
    check_latest(&*opened.snapshots, later, &more).await;
}

pub(super) async fn never_go_back(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(2, 5), content(100));
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    for older in [Position::new(1, 4), at] {
        let other = Bytes::from_static(b"other");
        let answer = worked(arrived(save(&*opened.snapshots, older, &other)).await);
        same(&answer, &meta(at, &content), "what is not newer is dropped, and the answer is the latest");
        check_latest(&*opened.snapshots, at, &content).await;
    }
}

pub(super) async fn outlive_a_failing_writer(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(2, 5), content(100));
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    let failing: SnapshotWriter = Box::new(|out| {
        out.write_all(b"half")?;
        Err(io::Error::other("the machine can't"))
    });
    let answer = arrived(opened.snapshots.save(Position::new(2, 7), membership(), failing)).await;
    assert!(answer.is_err(), "a writer that fails is heard");
    check_latest(&*opened.snapshots, at, &content).await;

    let later = Position::new(2, 7);
    worked(arrived(save(&*opened.snapshots, later, &content)).await);
    check_latest(&*opened.snapshots, later, &content).await;
}

pub(super) async fn outlive_a_writer_that_panics(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(2, 5), content(100));
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    let later = Position::new(2, 7);
    let panicking: SnapshotWriter = Box::new(|out| {
        out.write_all(b"half")?;
        // Not `panic!`: it would run the panic hook, and this one is meant.
        resume_unwind(Box::new("the machine has a mistake"))
    });
    let answer = arrived(opened.snapshots.save(later, membership(), panicking)).await;
    assert!(answer.is_err(), "a writer that panics is heard");
    check_latest(&*opened.snapshots, at, &content).await;
    worked(arrived(save(&*opened.snapshots, later, &content)).await);
    check_latest(&*opened.snapshots, later, &content).await;
}

pub(super) async fn stay_while_they_are_held(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let store = &*opened.snapshots;
    let (at, content) = (Position::new(2, 5), content(3_000));
    assert!(store.hold(at).is_none(), "what was never there can't be held");
    worked(arrived(save(store, at, &content)).await);
    let Some(hold) = store.hold(at) else { panic!("the latest snapshot can be held") };
    for index in [6, 9] {
        worked(arrived(save(store, Position::new(2, index), &content.slice(1..))).await);
    }
    let piece = worked(arrived(store.read(at, 1_000, 500)).await);
    assert!(piece == content.slice(1_000..1_500), "a snapshot that is held stays as it is");
    let again = store.hold(at);
    assert!(again.is_some(), "what is held can be held once more");
    drop((hold, again));
    worked(arrived(save(store, Position::new(2, 12), &content)).await);
    let gone = arrived(store.read(at, 0, 10)).await;
    assert!(matches!(gone, Err(StorageError::Gone { .. })), "what nobody holds any more is gone");
    check_latest(store, Position::new(2, 12), &content).await;
}

pub(super) async fn outlive_a_save_cut_short(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(2, 5), content(10_000));
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    let (later, new) = (Position::new(2, 7), content.slice(1..));
    let done = cut_short(save(&*opened.snapshots, later, &new)).is_some();
    drop(opened);
    let (opened, _) = start(disk).await;
    // An older one is dropped, behind what may still be under way.
    worked(arrived(save(&*opened.snapshots, Position::new(1, 1), &content)).await);
    let in_force = opened.snapshots.latest();
    // What was under way may have become whole all the same, but not by half.
    if done || in_force == Some(meta(later, &new)) {
        check_latest(&*opened.snapshots, later, &new).await;
    } else {
        check_latest(&*opened.snapshots, at, &content).await;
    }
}

pub(super) async fn come_in_by_pieces(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(2_500));
    let meta = meta(at, &content);
    for (offset, end) in [(0, 1_000), (1_000, 2_000), (2_000, 2_500)] {
        same(&opened.snapshots.latest(), &None, "a part of a snapshot is not in force");
        let piece = content.slice(offset..end);
        let held = receive(&*opened.snapshots, &meta, offset as u64, &piece).await;
        same(&held, &(end as u64), "a piece that follows is taken in");
    }
    check_latest(&*opened.snapshots, at, &content).await;
    let last = content.slice(2_000..);
    same(&receive(&*opened.snapshots, &meta, 2_000, &last).await, &2_500, "a repeat changes nothing");
    check_latest(&*opened.snapshots, at, &content).await;
}

pub(super) async fn take_pieces_in_any_order(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(30));
    let meta = meta(at, &content);
    for (offset, end, held) in
        [(10, 20, 0), (0, 10, 10), (0, 10, 10), (20, 30, 10), (5, 15, 10), (10, 20, 20), (0, 30, 20)]
    {
        let piece = content.slice(offset..end);
        let answer = receive(&*opened.snapshots, &meta, offset as u64, &piece).await;
        same(&answer, &held, "a piece that does not follow changes nothing");
    }
    let last = content.slice(20..);
    let first = opened.snapshots.receive(meta.clone(), 20, last.clone());
    let second = opened.snapshots.receive(meta.clone(), 20, last);
    same(&worked(arrived(second).await), &30, "a repeat that overtakes is answered alike");
    check_latest(&*opened.snapshots, at, &content).await;
    same(&worked(arrived(first).await), &30, "the overtaken piece is answered alike");
    check_latest(&*opened.snapshots, at, &content).await;
}

pub(super) async fn take_several_pieces_at_once(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(70_000));
    let meta = meta(at, &content);
    let ends = (1..=7).map(|piece| piece * 10_000);
    let under_way: Vec<_> = ends
        .map(|end| {
            let piece = content.slice(end - 10_000..end);
            (end as u64, opened.snapshots.receive(meta.clone(), end as u64 - 10_000, piece))
        })
        .collect();
    for (end, held) in under_way {
        same(&worked(arrived(held).await), &end, "pieces are taken in the order in which they are given");
    }
    check_latest(&*opened.snapshots, at, &content).await;
}

pub(super) async fn go_on_after_a_restart(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(30_000));
    let meta = meta(at, &content);
    let half = content.slice(..20_000);
    same(&receive(&*opened.snapshots, &meta, 0, &half).await, &20_000, "it begins");
    drop(opened);
    let (opened, _) = start(disk).await;
    let store = &*opened.snapshots;
    same(&store.latest(), &None, "a part of a snapshot is not in force");
    // A disk may have forgotten what was not whole. But it says so, and never mixes.
    let held = receive(store, &meta, 0, &content.slice(..10)).await as usize;
    assert!([10, 20_000].contains(&held), "it goes on where it was, or begins anew: {held}");
    let rest = content.slice(held..);
    same(&receive(store, &meta, held as u64, &rest).await, &30_000, "it is whole");
    check_latest(store, at, &content).await;
}

pub(super) async fn begin_anew_when_damaged_on_the_way(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let store = &*opened.snapshots;
    let (at, content) = (Position::new(3, 8), content(100));
    let meta = meta(at, &content);
    same(&receive(store, &meta, 0, &content.slice(..60)).await, &60, "it begins");
    same(&receive(store, &meta, 60, &content.slice(..40)).await, &0, "it is not what was sent");
    same(&store.latest(), &None, "what is damaged is not in force");
    same(&receive(store, &meta, 0, &content).await, &100, "it is whole");
    check_latest(store, at, &content).await;
}

pub(super) async fn refuse_what_is_beyond_their_end(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(20));
    let meta = meta(at, &content.slice(..10));
    let store = &*opened.snapshots;
    same(&receive(store, &meta, 0, &content).await, &0, "a piece beyond the end changes nothing");
    same(&receive(store, &meta, 0, &content.slice(..6)).await, &6, "the right piece is taken in");
    same(&receive(store, &meta, 6, &content.slice(6..11)).await, &6, "too much changes nothing");
    same(&receive(store, &meta, u64::MAX, &content).await, &6, "nonsense changes nothing");
    same(&opened.snapshots.latest(), &None, "a part of a snapshot is not in force");
    same(&receive(store, &meta, 6, &content.slice(6..10)).await, &10, "the right piece ends it");
    check_latest(store, at, &content.slice(..10)).await;
}

pub(super) async fn may_be_empty(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, nothing) = (Position::new(3, 8), Bytes::new());
    same(&receive(&*opened.snapshots, &meta(at, &nothing), 0, &nothing).await, &0, "it is whole");
    check_latest(&*opened.snapshots, at, &nothing).await;
}

pub(super) async fn give_way_to_another(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let store = &*opened.snapshots;
    let content = content(30);
    let abandoned = meta(Position::new(3, 9), &content);
    same(&receive(store, &abandoned, 0, &content.slice(..20)).await, &20, "it begins");

    // Its leader is gone; the next one has a snapshot that covers less.
    let (at, other) = (Position::new(3, 8), content.slice(5..));
    let meta = meta(at, &other);
    same(&receive(store, &meta, 20, &other.slice(20..)).await, &0, "nothing of the other is here");
    same(&receive(store, &meta, 0, &other.slice(..10)).await, &10, "the other begins anew");
    same(&receive(store, &meta, 10, &other.slice(10..)).await, &25, "the other is whole");
    check_latest(store, at, &other).await;
}

pub(super) async fn ignore_what_is_older(disk: &mut dyn Disk) {
    let (opened, _) = start(disk).await;
    let (at, content) = (Position::new(3, 8), content(30));
    worked(arrived(save(&*opened.snapshots, at, &content)).await);
    for older in [Position::new(2, 7), at] {
        let meta = meta(older, &content.slice(..20));
        let held = receive(&*opened.snapshots, &meta, 0, &content.slice(..10)).await;
        same(&held, &20, "of what the latest covers, nothing is missing");
        check_latest(&*opened.snapshots, at, &content).await;
    }
}
