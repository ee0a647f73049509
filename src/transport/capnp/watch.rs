//! Events that are pushed to whoever wants to know.
//!
//! A watcher has a queue of its own. It is told what is in it as soon as it has answered for what it was told
//! before, so that a slow watcher slows nobody; what does not fit is counted, and it is told how much it missed.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_local},
    time::timeout,
};

use super::{messages_capnp as wire, reception::Visit, status::write_role};
use crate::{
    observe::{Observer, Report},
    raft::Value,
};

/// How many events wait for a watcher.
const QUEUE_EVENTS: usize = 4_096;

/// How many it is told at once.
const TELL_EVENTS: usize = 256;

/// After how long it is told that nothing happened: so that both see that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long its answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens to everything that happens in this process.
struct Listener {
    queue: mpsc::Sender<Report>,
    missed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Observer for Listener {
    fn observe(&mut self, report: &Report) {
        if self.queue.try_send(report.clone()).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }
}

/// A watcher's wish: dropped, it ends.
pub(super) struct Watching {
    visit: Rc<Visit>,
    over: Arc<AtomicBool>,
    telling: AbortHandle,
}

impl wire::watch::Server for Watching {}

impl Drop for Watching {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        self.telling.abort();
        self.visit.watchers.set(self.visit.watchers.get().saturating_sub(1));
    }
}

/// Tells a watcher what happens from now on.
pub(super) fn watch(visit: &Rc<Visit>, watcher: wire::watcher::Client) -> Watching {
    let (queue, events) = mpsc::channel(QUEUE_EVENTS);
    let (missed, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    visit.watchers.set(visit.watchers.get() + 1);
    visit.house.open.hub.attach(Listener { queue, missed: missed.clone(), over: over.clone() });
    // Well before the connection counts as idle.
    let keep_alive = KEEP_ALIVE.min(Duration::from_millis(visit.house.limits().idle_ms / 2));
    let telling = spawn_local(tell(watcher, events, missed, over.clone(), keep_alive)).abort_handle();
    Watching { visit: visit.clone(), over, telling }
}

async fn tell(
    watcher: wire::watcher::Client,
    mut events: mpsc::Receiver<Report>,
    missed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    keep_alive: Duration,
) {
    let mut reports = Vec::new();
    while !over.load(Relaxed) {
        // Nothing in time is told as well.
        if timeout(keep_alive, events.recv_many(&mut reports, TELL_EVENTS)).await == Ok(0) {
            break;
        }
        let mut request = watcher.events_request();
        request.get().set_missed(missed.swap(0, Relaxed));
        let mut to = request.get().init_events(reports.len() as u32);
        for (place, report) in (0..).zip(reports.drain(..)) {
            write_report(&report, to.reborrow().get(place));
        }
        if !matches!(timeout(PATIENCE, request.send().promise).await, Ok(Ok(_))) {
            break;
        }
    }
    over.store(true, Relaxed);
}

fn write_report(report: &Report, mut to: wire::event::Builder<'_>) {
    to.set_seq(report.seq);
    to.set_at_us(report.at_us);
    to.set_peer(report.peer.0);
    to.set_term(report.term.0);
    to.set_role(write_role(report.role));
    to.set_name(report.event.name());
    to.set_why(report.event.why().text());
    let mut fields = Vec::new();
    report.event.fields(&mut |name, value| fields.push((name, value)));
    let mut list = to.init_fields(fields.len() as u32);
    for (place, (name, value)) in (0..).zip(fields) {
        let mut to = list.reborrow().get(place);
        to.set_name(name);
        match value {
            Value::Number(number) => to.set_number(number),
            Value::Flag(flag) => to.set_flag(flag),
            Value::Text(text) => to.set_text(&*text),
        }
    }
}
