//! Who watches: every event of every peer, stamped and numbered, passed to observers.
//!
//! The rules note events; whoever runs them passes them on through a [`Witness`], which knows the
//! peer, its present term and role. An event nobody listens to costs one branch.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

pub mod capture;
pub mod log;
pub mod status;
pub mod trace;

pub use capture::Capture;
pub use log::LogObserver;
pub use status::{FollowerStatus, PeerStatus, Stopped};
pub use trace::TraceFile;

use crate::raft::{Event, PeerId, RoleKind, Term};

/// An event, with where and when it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Counts the reports of a cluster, from 1.
    pub seq: u64,
    /// When, in microseconds since the cluster began.
    pub at_us: u64,
    /// Which peer.
    pub peer: PeerId,
    /// Its term.
    pub term: Term,
    /// Its role; `None` while it is down or recovers.
    pub role: Option<RoleKind>,
    /// What happened.
    pub event: Event,
}

/// `12.000 n1@3 leader Committed index=7: a quorum holds it`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.map_or("-", RoleKind::name);
        let (ms, us) = (self.at_us / 1000, self.at_us % 1000);
        write!(f, "{ms}.{us:03} n{}@{} {role} {}", self.peer, self.term, self.event)
    }
}

/// Something that wants to know what happens. Called in the order of `seq`, on the thread on which
/// it happened: it must not wait.
pub trait Observer: Send + 'static {
    /// Something happened.
    fn observe(&mut self, report: &Report);

    /// Whether it wants to hear of every message that is sent and received, too. To tell of those is by far the most
    /// work: without anybody who wants to hear of them it is not done. Asked when the observer is attached.
    fn hears_messages(&self) -> bool {
        true
    }

    /// Whether it wants to hear no more: then it is let go of.
    fn is_over(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Report) + Send + 'static> Observer for F {
    fn observe(&mut self, report: &Report) {
        self(report)
    }
}

/// Beyond any deadline, and within the range of any clock.
const CENTURY_MS: u64 = 100 * 365 * 24 * 3_600_000;

/// Where the events of all peers of a cluster come together.
pub struct Hub {
    start: Instant,
    listening: AtomicBool,
    /// Whether somebody wants to hear of messages.
    hearing_messages: AtomicBool,
    /// Around mail, not around state: the number of the last report, and who hears it.
    observers: Mutex<(u64, Vec<Box<dyn Observer>>)>,
}

impl Hub {
    /// A hub without observers. Its clock begins now: it must be called where a tokio clock runs if
    /// that clock is not the real one.
    pub fn new() -> Arc<Hub> {
        Arc::new(Hub {
            start: Instant::now(),
            listening: AtomicBool::new(false),
            hearing_messages: AtomicBool::new(false),
            observers: Mutex::new((0, Vec::new())),
        })
    }

    /// Adds an observer.
    pub fn attach(&self, observer: impl Observer) {
        self.attach_boxed(Box::new(observer));
    }

    /// Adds an observer of any kind.
    pub fn attach_boxed(&self, observer: Box<dyn Observer>) {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.1.push(observer);
        self.count(&observers.1);
    }

    fn count(&self, observers: &[Box<dyn Observer>]) {
        self.listening.store(!observers.is_empty(), Relaxed);
        self.hearing_messages.store(observers.iter().any(|observer| observer.hears_messages()), Relaxed);
    }

    /// Whether anybody listens.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Relaxed)
    }

    /// Whether anybody wants to hear of messages.
    pub fn hears_messages(&self) -> bool {
        self.hearing_messages.load(Relaxed)
    }

    /// Microseconds since the cluster began.
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Milliseconds since the cluster began.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// The instant at which the cluster is this many milliseconds old.
    pub fn instant(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms.min(CENTURY_MS))
    }

    /// The instant at which the cluster is this many microseconds old.
    pub fn instant_us(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us.min(CENTURY_MS * 1_000))
    }

    fn report(&self, peer: PeerId, present: &Present, event: Event) {
        let at_us = self.now_us();
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        let (seq, observers) = &mut *observers;
        *seq += 1;
        let report = Report { seq: *seq, at_us, peer, term: present.term(), role: present.role(), event };
        for observer in &mut *observers {
            observer.observe(&report);
        }
        if observers.iter().any(|observer| observer.is_over()) {
            observers.retain(|observer| !observer.is_over());
            self.count(observers);
        }
    }
}

/// The present term and role of a peer, as its role last published them.
#[derive(Debug, Default)]
pub struct Present {
    term: AtomicU64,
    role: AtomicU8,
}

impl Present {
    /// Publishes them.
    pub fn set(&self, term: Term, role: Option<RoleKind>) {
        self.term.store(term.0, Relaxed);
        self.role.store(role.map_or(u8::MAX, |role| role as u8), Relaxed);
    }

    /// The term.
    pub fn term(&self) -> Term {
        Term(self.term.load(Relaxed))
    }

    /// The role.
    pub fn role(&self) -> Option<RoleKind> {
        RoleKind::ALL.get(usize::from(self.role.load(Relaxed))).copied()
    }
}

/// One peer's way to the hub.
#[derive(Clone)]
pub struct Witness {
    hub: Arc<Hub>,
    peer: PeerId,
    present: Arc<Present>,
}

impl Witness {
    /// The way of `peer`.
    pub fn new(hub: Arc<Hub>, peer: PeerId) -> Witness {
        let present = Arc::new(Present::default());
        present.set(Term(0), None);
        Witness { hub, peer, present }
    }

    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The peer.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The present term and role.
    pub fn present(&self) -> &Present {
        &self.present
    }

    /// Something happened. `event` is not called if nobody listens.
    pub fn note(&self, event: impl FnOnce() -> Event) {
        if self.hub.is_listening() {
            self.hub.report(self.peer, &self.present, event());
        }
    }
}
