//! Connections over a pipe, on paused time: order, bounds, ends.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use capnp::{Result, capability::Rc as Served};
use capnp_rpc::{RpcSystem, new_client, rpc_twoparty_capnp::Side};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    sync::Semaphore,
    task::{LocalSet, spawn_local},
    time::{Instant, sleep},
};

use crate::transport::capnp::{
    messages_capnp as wire,
    meter::{Bounds, Meter},
    vat::{Terms, Vat},
};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes numbers down as they come, and answers each when it may.
struct Clerk {
    numbers: Rc<RefCell<Vec<u64>>>,
    leave: Rc<Semaphore>,
}

impl wire::watcher::Server for Clerk {
    fn events(
        self: Served<Self>,
        params: wire::watcher::EventsParams,
        _: wire::watcher::EventsResults,
    ) -> impl Future<Output = Result<()>> + 'static {
        let number = params.get().map(|params| params.get_missed());
        self.numbers.borrow_mut().extend(number);
        let leave = self.leave.clone();
        async move {
            leave.acquire().await.unwrap().forget();
            Ok(())
        }
    }
}

/// A stream that can be made deaf, and counts how often something is written.
struct Ear {
    stream: DuplexStream,
    is_deaf: Rc<Cell<bool>>,
    writes: Rc<Cell<usize>>,
}

impl AsyncRead for Ear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_deaf.get() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Ear {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Two ends of a connection: one asks, the other is a clerk.
struct Ends {
    clerk: wire::watcher::Client,
    numbers: Rc<RefCell<Vec<u64>>>,
    leave: Rc<Semaphore>,
    /// Of the end that asks.
    meter: Meter,
    /// Of the clerk's.
    theirs: Meter,
    is_deaf: Rc<Cell<bool>>,
    writes: Rc<Cell<usize>>,
}

pub const BOUNDS: Bounds =
    Bounds { frame_bytes: 64 << 10, calls: 10_000, queued_bytes: 1 << 20, kept_bytes: 1 << 20 };

pub fn terms(side: Side) -> Terms {
    Terms { side, frame_time: PATIENCE, free_bytes: 64 << 10, budget: None, turnstile: None }
}

/// To be called where local tasks run. `pipe_bytes`: how much is on its way at a time.
fn ends(bounds: Bounds, pipe_bytes: usize) -> Ends {
    let (near, far) = duplex(pipe_bytes);
    let (numbers, leave) = (Rc::<RefCell<Vec<u64>>>::default(), Rc::new(Semaphore::new(0)));
    let (is_deaf, writes) = (Rc::<Cell<bool>>::default(), Rc::<Cell<usize>>::default());
    let (meter, theirs) = (Meter::new(BOUNDS), Meter::new(bounds));
    let near = Ear { stream: near, is_deaf: is_deaf.clone(), writes: writes.clone() };
    let server: wire::watcher::Client = new_client(Clerk { numbers: numbers.clone(), leave: leave.clone() });
    let vat = Vat::new(far, theirs.clone(), terms(Side::Server));
    spawn_local(RpcSystem::new(Box::new(vat), Some(server.client)));
    // Who asks has more patience than who answers.
    let patient = Terms { frame_time: 10 * PATIENCE, ..terms(Side::Client) };
    let vat = Vat::new(near, meter.clone(), patient);
    let mut system = RpcSystem::new(Box::new(vat), None);
    let clerk = system.bootstrap(Side::Server);
    spawn_local(system);
    Ends { clerk, numbers, leave, meter, theirs, is_deaf, writes }
}

type Told = capnp::capability::Promise<(), capnp::Error>;

impl Ends {
    /// Tells the clerk a number, among so many bytes.
    fn tell(&self, number: u64, bytes: usize) -> Told {
        let mut request = self.clerk.events_request();
        request.get().set_missed(number);
        if bytes > 0 {
            let mut event = request.get().init_events(1).get(0);
            event.set_name(" ".repeat(bytes));
        }
        let sent = request.send().promise;
        Told::from_future(async move { sent.await.map(drop) })
    }

    fn tell_all(&self, numbers: std::ops::Range<u64>) -> Vec<Told> {
        numbers.map(|number| self.tell(number, 0)).collect()
    }

    fn heard(&self) -> usize {
        self.numbers.borrow().len()
    }
}

/// Everything that can happen without time passing has happened.
async fn settle() {
    sleep(SECOND / 1_000).await;
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_in_one_turn_arrives_in_order() {
    local(async {
        // Also through a pipe that is shorter than any of the frames.
        for pipe_bytes in [1 << 20, 61] {
            let ends = ends(BOUNDS, pipe_bytes);
            ends.leave.add_permits(1_000);
            for told in ends.tell_all(0..1_000) {
                told.await.unwrap();
            }
            assert_eq!(*ends.numbers.borrow(), (0..1_000).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_in_one_turn_is_written_at_once() {
    local(async {
        let ends = ends(BOUNDS, 1 << 20);
        ends.leave.add_permits(1_001);
        ends.tell(0, 0).await.unwrap();
        settle().await;
        ends.writes.set(0);
        let told = ends.tell_all(1..1_000);
        settle().await;
        assert_eq!((ends.heard(), ends.writes.get() <= 2), (1_000, true), "{} writes", ends.writes.get());
        drop(told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_begun_than_may_be_under_way() {
    local(async {
        let ends = ends(Bounds { calls: 3, ..BOUNDS }, 1 << 20);
        let told = ends.tell_all(0..10);
        settle().await;
        assert_eq!(ends.heard(), 3);
        for more in 1..=7 {
            ends.leave.add_permits(1);
            settle().await;
            assert_eq!(ends.heard(), 3 + more);
        }
        ends.leave.add_permits(3);
        for told in told {
            told.await.unwrap();
        }
    })
    .await;
}

/// What nobody takes is not added to without end: the other side stops to listen, and then hangs up.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_its_answers_is_not_heard_and_then_left() {
    local(async {
        let ends = ends(Bounds { queued_bytes: 2_000, ..BOUNDS }, 4_000);
        ends.leave.add_permits(100_000);
        ends.tell(0, 0).await.unwrap();
        ends.is_deaf.set(true);
        let begun_at = Instant::now();
        let told = ends.tell_all(1..2_000);
        settle().await;
        let heard = ends.heard();
        // Some of them wait in the pipe, some in the queue.
        assert!((50..600).contains(&heard), "{heard} of 2,000");
        sleep(PATIENCE / 2).await;
        assert_eq!(
            (ends.heard(), ends.theirs.ended()),
            (heard, None),
            "not one more, and nobody is left yet"
        );
        let why = ends.theirs.until_ended().await;
        assert_eq!(why, "nobody reads the answers");
        assert!((PATIENCE..PATIENCE + SECOND).contains(&begun_at.elapsed()));
        drop(told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_ended_fails_what_is_under_way_at_once() {
    local(async {
        let ends = ends(BOUNDS, 1 << 20);
        let told = ends.tell_all(0..10);
        settle().await;
        assert_eq!(ends.heard(), 10);
        let begun_at = Instant::now();
        ends.meter.end("enough of that");
        for told in told {
            let error = told.await.unwrap_err();
            assert_eq!(error.kind, capnp::ErrorKind::Disconnected, "{error}");
        }
        // And so does what is asked later.
        assert!(ends.tell(11, 0).await.is_err());
        assert_eq!(begun_at.elapsed(), Duration::ZERO);
        assert_eq!(ends.meter.ended().unwrap(), "enough of that", "the first reason counts");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_other_side_ends_fails_what_is_under_way_at_once() {
    local(async {
        let ends = ends(BOUNDS, 1 << 20);
        let told = ends.tell_all(0..10);
        settle().await;
        let begun_at = Instant::now();
        ends.theirs.end("enough of that");
        for told in told {
            assert!(told.await.is_err());
        }
        assert_eq!(begun_at.elapsed(), Duration::ZERO);
    })
    .await;
}

/// Before the handshake frames are short; as soon as it is over they may be long, also the one that is waited for.
#[tokio::test(start_paused = true)]
async fn frames_may_be_long_from_the_handshake_on() {
    local(async {
        let ends = ends(Bounds { frame_bytes: 4 << 10, ..BOUNDS }, 1 << 20);
        ends.leave.add_permits(10);
        ends.tell(0, 3_000).await.unwrap();
        settle().await;
        let bounds = ends.theirs.bounds();
        ends.theirs.set_bounds(Bounds { frame_bytes: 64 << 10, ..bounds });
        ends.tell(1, 60_000).await.unwrap();
        let refused = ends.tell(2, 70_000).await.unwrap_err();
        assert_eq!(ends.heard(), 2, "{refused}");
        let why = ends.theirs.reason().unwrap();
        assert!(why.starts_with("a frame of 70") && why.ends_with("and 65536 are the limit"), "{why}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_long_frame_before_the_handshake_ends_the_connection() {
    local(async {
        let ends = ends(Bounds { frame_bytes: 4 << 10, ..BOUNDS }, 1 << 20);
        ends.leave.add_permits(10);
        assert!(ends.tell(0, 5_000).await.is_err());
        assert!(ends.theirs.reason().unwrap().ends_with("and 4096 are the limit"));
        assert_eq!(ends.heard(), 0);
    })
    .await;
}

/// Why a clerk hangs up on whoever sends these bytes.
async fn hung_up(bytes: &[u8]) -> String {
    let (mut near, far) = duplex(1 << 20);
    let clerk = Clerk { numbers: Rc::default(), leave: Rc::new(Semaphore::new(0)) };
    let server: wire::watcher::Client = new_client(clerk);
    let theirs = Meter::new(BOUNDS);
    let vat = Vat::new(far, theirs.clone(), terms(Side::Server));
    let system = spawn_local(RpcSystem::new(Box::new(vat), Some(server.client)));
    near.write_all(bytes).await.unwrap();
    settle().await;
    let why = theirs.reason();
    drop(near);
    settle().await;
    assert!(system.is_finished(), "it goes on after {bytes:?}");
    why.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_ends_the_connection_and_nothing_else() {
    local(async {
        let rows: [(&[u8], &str); 4] = [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "a frame of more than 64 segments"),
            (&[0; 8], "out-of-bounds"),
            (&[0xff; 64], "a frame of more than 64 segments"),
            // One word, a pointer to far beyond the message.
            (&[0, 0, 0, 0, 1, 0, 0, 0, 0xfc, 0xff, 0, 0, 1, 0, 1, 0], "out-of-bounds"),
        ];
        for (bytes, expected) in rows {
            let why = hung_up(bytes).await;
            assert!(why.contains(expected), "{bytes:?}: {why}");
        }
    })
    .await;
}
