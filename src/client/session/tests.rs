//! Sessions with a cluster that answers what the test has it answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::{JoinHandle, yield_now},
    time::Instant,
};

use super::*;
use crate::{
    client::{Client, Endpoint, Limits},
    machine::{Discard, Envelope, Raw},
    raft::PeerId,
};

/// One peer, that keeps what it is asked.
#[derive(Default)]
struct Silent(Mutex<VecDeque<(Data, Port)>>);

impl Silent {
    fn asked(&self) -> MutexGuard<'_, VecDeque<(Data, Port)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers what it was asked first, and says which command of its session that was.
    fn answer(&self) -> u64 {
        let (data, port) = self.asked().pop_front().unwrap();
        port.answer(Outcome::Applied(Bytes::from_static(&[0; 8])));
        match Envelope::parse(data).unwrap() {
            Envelope::InSession { sequence, .. } => sequence,
            _ => 0,
        }
    }
}

impl Endpoint for Silent {
    fn peers(&self) -> Vec<PeerId> {
        vec![PeerId(1)]
    }

    fn address(&self, _: PeerId) -> Option<String> {
        None
    }

    fn propose(&self, _: PeerId, command: Data, port: Port) -> Option<Bell> {
        self.asked().push_back((command, port));
        None
    }

    fn read(&self, _: PeerId, _: Bytes, _: Port) -> Option<Bell> {
        None
    }

    fn ask_local(&self, _: PeerId, _: Bytes, _: Port) {}
}

/// Lets others run for as long as they have something to do; no time passes.
async fn settle() {
    let now = Instant::now();
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(now, Instant::now());
}

/// A session that has so many commands under way at a time.
async fn session(session_window: usize) -> (Arc<Silent>, Session<Discard>) {
    let peer = Arc::new(Silent::default());
    let (deadline, patience) = (Duration::from_secs(5), Duration::from_secs(1));
    let limits = Limits { command_bytes_max: 100, deadline, session_window, patience };
    let client: Client<Discard> = Client::new(peer.clone(), limits);
    let opened = tokio::spawn(async move { client.session().await.unwrap() });
    settle().await;
    peer.answer();
    (peer, opened.await.unwrap())
}

fn command() -> Raw {
    Raw::from("do it")
}

/// A command from somebody who waits for its place; who has it is finished.
fn submit(session: &Arc<Session<Discard>>) -> JoinHandle<Result<Ticket<Discard>, ClientError>> {
    let session = session.clone();
    tokio::spawn(async move { session.submit(&command()).await })
}

#[tokio::test(start_paused = true)]
async fn the_driver_of_a_session_that_is_gone_stays_for_its_tickets_and_no_longer() {
    let (peer, session) = session(10).await;
    let shared = Arc::downgrade(&session.shared);
    let (first, second) =
        (session.submit(&command()).await.unwrap(), session.submit(&command()).await.unwrap());
    drop(session);
    drop(first);
    settle().await;
    let of_the_other = 1 + peer.asked().len();
    assert!(shared.strong_count() > of_the_other, "the driver is there");
    drop(second);
    settle().await;
    assert_eq!(shared.strong_count(), peer.asked().len(), "only what was asked knows of the session");
}

#[tokio::test(start_paused = true)]
async fn so_many_commands_are_under_way_and_the_others_come_in_their_order() {
    let (peer, session) = session(2).await;
    let session = Arc::new(session);
    let waiting: Vec<_> = (0..5).map(|_| submit(&session)).collect();
    settle().await;
    for answered in 1..=5 {
        assert_eq!(peer.asked().len(), 2.min(6 - answered));
        assert_eq!(peer.answer(), answered as u64);
        settle().await;
        assert_eq!(waiting.iter().filter(|submitted| submitted.is_finished()).count(), 5.min(2 + answered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_nobody_takes_any_more_is_free_for_others() {
    let (peer, session) = session(2).await;
    let session = Arc::new(session);
    let waiting: Vec<_> = (0..4).map(|_| submit(&session)).collect();
    settle().await;
    peer.answer();
    // The third is given the place, and leaves before it takes it; the fourth is gone as well.
    for late in &waiting[2..] {
        late.abort();
    }
    settle().await;
    peer.answer();
    let submitted: Vec<_> = (0..3).map(|_| submit(&session)).collect();
    settle().await;
    assert_eq!(peer.asked().len(), 2);
    assert!(submitted[0].is_finished() && submitted[1].is_finished() && !submitted[2].is_finished());
    assert_eq!(session.shared.window().waiting, 1, "who left waits no more, nor does who has a place");
}
