//! Frames, whole and broken, over a pipe and on paused time.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use capnp::{message::Builder, serialize};
use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    task::{LocalSet, yield_now},
    time::{Instant, sleep, timeout},
};

use super::messages;
use crate::transport::capnp::{
    budget::Budget,
    frame::{self, Allowance, Frame},
    messages_capnp as wire,
    turnstile::{Passage, Turnstile},
};

const SECOND: Duration = Duration::from_secs(1);
const MAX: usize = 1 << 20;

/// A frame with so many bytes of data in it.
fn encoded(bytes: usize) -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<wire::install_snapshot::Builder<'_>>().set_data(&vec![7; bytes]);
    serialize::write_message_to_words(&message)
}

fn data(frame: &Frame) -> usize {
    frame.message.get_root::<wire::install_snapshot::Reader<'_>>().unwrap().get_data().unwrap().len()
}

async fn read_all(from: &mut DuplexStream, budget: Option<&Budget>) -> io::Result<Option<Frame>> {
    let free_bytes = if budget.is_some() { 64 << 10 } else { MAX };
    frame::read(from, &Allowance { bytes_max: &|| MAX, free_bytes, budget, passage: None, time: SECOND })
        .await
}

async fn read(from: &mut DuplexStream) -> io::Result<Option<Frame>> {
    read_all(from, None).await
}

/// Why bytes that are all there are is are no frame.
fn refused(bytes: &[u8]) -> io::Error {
    match messages::frame(bytes, MAX, &messages::runtime()) {
        Ok(frame) => panic!("a frame: {}", frame.is_some()),
        Err(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_one_write_are_read_one_by_one_and_the_end_between_two_is_clean() {
    let (mut to, mut from) = duplex(MAX);
    let sizes = [0, 1, 100, 70_000, 3];
    to.write_all(&sizes.map(encoded).concat()).await.unwrap();
    drop(to);
    for size in sizes {
        assert_eq!(data(&read(&mut from).await.unwrap().unwrap()), size);
    }
    assert!(read(&mut from).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_frame_may_come_byte_by_byte() {
    let (mut to, mut from) = duplex(1);
    let bytes = encoded(1_000);
    let write = async { to.write_all(&bytes).await.unwrap() };
    let (frame, ()) = tokio::join!(read(&mut from), write);
    assert_eq!(data(&frame.unwrap().unwrap()), 1_000);
}

/// However much of it came, and also when more drips in; but nobody has to begin one.
#[tokio::test(start_paused = true)]
async fn a_frame_has_its_time_from_the_first_byte_on() {
    let bytes = encoded(1_000);
    for part in [1, 3, 4, 7, 8, 9, bytes.len() - 1] {
        let (mut to, mut from) = duplex(MAX);
        assert!(timeout(1_000 * SECOND, read(&mut from)).await.is_err(), "there is no first byte yet");
        to.write_all(&bytes[..part]).await.unwrap();
        let begun_at = Instant::now();
        let late = match read(&mut from).await {
            Ok(_) => panic!("{part} bytes are no frame"),
            Err(error) => error,
        };
        assert_eq!((late.kind(), begun_at.elapsed()), (io::ErrorKind::TimedOut, SECOND), "{part}");
    }
    let (mut to, mut from) = duplex(MAX);
    let drip = async {
        for byte in &bytes {
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(SECOND / 50).await;
        }
    };
    let (dripped, ()) = tokio::join!(
        async {
            let read = read(&mut from).await.map(drop);
            drop(from);
            read
        },
        drip
    );
    assert_eq!(dripped.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn what_is_announced_is_compared_with_the_limit_before_anything_else() {
    let runtime = messages::runtime();
    let bytes = encoded(1_000);
    assert!(messages::frame(&bytes, bytes.len(), &runtime).is_ok());
    let refused = messages::frame(&bytes, bytes.len() - 1, &runtime).map(drop).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    assert_eq!(
        refused.to_string(),
        format!("a frame of {} bytes, and {} are the limit", bytes.len(), bytes.len() - 1)
    );
    // Nothing of these is there but what they announce. The longest has 2^38 bytes.
    for segments in [1u32, 2, 64] {
        let table = [segments - 1].into_iter().chain((0..segments).map(|_| u32::MAX));
        let mut bytes: Vec<u8> = table.flat_map(u32::to_le_bytes).collect();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let refused = messages::frame(&bytes, 64 << 20, &runtime).map(drop).unwrap_err();
        assert!(refused.to_string().contains("are the limit"), "{refused}");
    }
}

/// The limit is that of the moment at which a frame begins, and not of the one at which somebody began to wait.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_counts_for_the_frame_that_is_waited_for() {
    let (mut to, mut from) = duplex(MAX);
    let limit = std::cell::Cell::new(100);
    let bytes_max = || limit.get();
    let allowance =
        Allowance { bytes_max: &bytes_max, free_bytes: MAX, budget: None, passage: None, time: SECOND };
    let raise = async {
        sleep(SECOND).await;
        limit.set(MAX);
        to.write_all(&encoded(1_000)).await.unwrap();
    };
    let (frame, ()) = tokio::join!(frame::read(&mut from, &allowance), raise);
    assert_eq!(data(&frame.unwrap().unwrap()), 1_000);
}

#[test]
fn a_frame_has_so_many_segments_and_no_more() {
    let segments = |count: u32| {
        let table = [count.wrapping_sub(1)].into_iter().chain((0..count).map(|_| 0));
        let mut bytes: Vec<u8> = table.flat_map(u32::to_le_bytes).collect();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let runtime = messages::runtime();
    for count in [1, 2, 63, 64] {
        assert!(messages::frame(&segments(count), MAX, &runtime).is_ok(), "{count}");
    }
    for bytes in [segments(65), segments(1_000), vec![0xff; 8], vec![0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0]] {
        assert_eq!(refused(&bytes).to_string(), "a frame of more than 64 segments");
    }
}

#[test]
fn a_frame_that_is_cut_short_is_an_error_wherever_it_is_cut() {
    let bytes = encoded(100);
    for length in 1..bytes.len() {
        assert_eq!(refused(&bytes[..length]).kind(), io::ErrorKind::UnexpectedEof, "{length}");
    }
}

/// A frame without a word in it, or without a root, says nothing; whoever looks for its root learns that.
#[test]
fn an_empty_message_has_no_root_and_harms_nobody() {
    let runtime = messages::runtime();
    let empty = [0; 8];
    let frame = messages::frame(&empty, MAX, &runtime).unwrap().unwrap();
    assert!(frame.message.get_root::<capnp_rpc::rpc_capnp::message::Reader<'_>>().is_err());
    let null = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let frame = messages::frame(&null, MAX, &runtime).unwrap().unwrap();
    let root = frame.message.get_root::<capnp_rpc::rpc_capnp::message::Reader<'_>>();
    assert!(root.is_ok_and(|root| root.which().is_ok()), "a null root reads as a default");
}

proptest! {
    #[test]
    fn garbage_is_a_frame_or_an_error(bytes in vec(any::<u8>(), 0..600), small in any::<bool>()) {
        let mut bytes = bytes;
        if small && bytes.len() > 8 {
            // Else nearly all of it announces more segments than there may be.
            bytes[..8].copy_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0]);
        }
        if let Ok(Some(frame)) = messages::frame(&bytes, MAX, &messages::runtime()) {
            let _ = frame.message.get_root::<capnp_rpc::rpc_capnp::message::Reader<'_>>().map(|root| root.which().is_ok());
        }
    }
}

/// Whether so much can be had of the purse now.
async fn has(budget: &Budget, bytes: usize) -> bool {
    timeout(Duration::from_millis(100), budget.open().grow(bytes)).await.is_ok_and(|grown| grown.is_ok())
}

#[tokio::test(start_paused = true)]
async fn a_long_frame_is_paid_for_until_it_is_dropped() {
    let bytes = encoded(200_000);
    let beyond = bytes.len() - (64 << 10);
    let budget = Budget::new(beyond);
    let (mut to, mut from) = duplex(MAX);
    to.write_all(&bytes).await.unwrap();
    let frame = read_all(&mut from, Some(&budget)).await.unwrap().unwrap();
    assert!(!has(&budget, 1).await, "all of it is held");
    drop(frame);
    assert!(has(&budget, beyond).await);
}

#[tokio::test(start_paused = true)]
async fn a_short_frame_costs_nothing() {
    let budget = Budget::new(0);
    let (mut to, mut from) = duplex(MAX);
    to.write_all(&encoded(60_000)).await.unwrap();
    assert_eq!(data(&read_all(&mut from, Some(&budget)).await.unwrap().unwrap()), 60_000);
}

/// What a frame holds grows with what has come of it, a piece ahead at most; and goes with it when it is broken.
#[tokio::test(start_paused = true)]
async fn to_announce_a_long_frame_costs_nothing() {
    let bytes = encoded(900_000);
    let budget = Budget::new(1_000_000);
    let (mut to, mut from) = duplex(MAX);
    to.write_all(&bytes[..8]).await.unwrap();
    {
        let read = read_all(&mut from, Some(&budget));
        tokio::pin!(read);
        assert!(timeout(SECOND / 10, &mut read).await.is_err());
        assert!(has(&budget, 990_000).await, "only the first piece beyond what is free is held");
        to.write_all(&bytes[8..400_000]).await.unwrap();
        assert!(timeout(SECOND / 10, &mut read).await.is_err());
        assert!(!has(&budget, 700_000).await && has(&budget, 550_000).await);
        drop(to);
        assert_eq!(read.await.map(drop).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
    assert!(has(&budget, 1_000_000).await);
}

/// What a client may send that has much to say.
fn long<'a>(budget: &'a Budget, passage: Option<&'a Passage>) -> Allowance<'a> {
    Allowance { bytes_max: &|| MAX, free_bytes: 64 << 10, budget: Some(budget), passage, time: 60 * SECOND }
}

/// A hundred send long frames, and all of each is there: the thread belongs to others too.
#[tokio::test]
async fn long_frames_are_read_in_turns() {
    let (bytes, budget, turnstile) = (encoded(250_000), Budget::new(100 << 20), Turnstile::new());
    let (read, local) = (Rc::new(Cell::new(0)), LocalSet::new());
    for _ in 0..100 {
        let (mut to, mut from) = duplex(MAX);
        to.write_all(&bytes).await.unwrap();
        let (read, budget, passage) = (read.clone(), budget.clone(), turnstile.passage());
        local.spawn_local(async move {
            frame::read(&mut from, &long(&budget, Some(&passage))).await.unwrap().unwrap();
            read.set(read.get() + 1);
            drop(to);
        });
    }
    let rounds = async {
        for _ in 0..20 {
            yield_now().await;
        }
        read.get()
    };
    let early = local.run_until(rounds).await;
    assert!(early <= 20, "{early} of 4 pieces each in 20 rounds");
    local.await;
    assert_eq!(read.get(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_nobody_has_room_for_is_refused() {
    let budget = Budget::new(10_000);
    let (mut to, mut from) = duplex(MAX);
    to.write_all(&encoded(200_000)).await.unwrap();
    let allowance = long(&budget, None);
    let refused = frame::read(&mut from, &allowance).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "there is no room for so long a frame now");
}

/// Who sent half of a long frame and stopped loses it to whoever needs the room.
#[tokio::test(start_paused = true)]
async fn half_a_frame_makes_room_for_a_whole_one() {
    let bytes = encoded(200_000);
    let budget = Budget::new(150_000);
    let ((mut to, mut from), (mut other_to, mut other_from)) = (duplex(MAX), duplex(MAX));
    to.write_all(&bytes[..190_000]).await.unwrap();
    let allowance = long(&budget, None);
    let half = async { frame::read(&mut from, &allowance).await.map(drop).unwrap_err().to_string() };
    let whole = async {
        sleep(SECOND).await;
        other_to.write_all(&bytes).await.unwrap();
        frame::read(&mut other_from, &allowance).await.unwrap().is_some()
    };
    let begun_at = Instant::now();
    let (half, whole) = tokio::join!(half, whole);
    assert_eq!(half, "a frame was left unfinished, and others needed the room");
    assert!(whole && begun_at.elapsed() < 3 * SECOND);
}
