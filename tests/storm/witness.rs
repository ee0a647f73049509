//! Who looks on in a storm: the oracle, and whoever waits for something to happen.

use std::{
    collections::BTreeSet,
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use raft_actors::{
    lab::invariants::{Counts, Oracle, Violation},
    observe::{Observer, Report},
    raft::PeerId,
};
use tokio::{sync::oneshot, time::timeout};

/// Looks on. Clones are the same witness.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

#[derive(Default)]
pub struct Seen {
    oracle: Oracle,
    complaints: Vec<String>,
    hash: DefaultHasher,
    hashes: bool,
    /// Who waits for an event of this name.
    waiting: Vec<(&'static str, oneshot::Sender<PeerId>)>,
    watching: BTreeSet<(u64, &'static str)>,
    watched: u64,
    text: Option<String>,
}

impl Observer for Witness {
    fn observe(&mut self, report: &Report) {
        self.seen().see(report);
    }
}

impl Witness {
    /// `hashes`: every report goes into one number. `records`: every report is kept.
    pub fn new(hashes: bool, records: bool) -> Witness {
        let text = records.then(String::new);
        Witness(Arc::new(Mutex::new(Seen { hashes, text, ..Seen::default() })))
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// Waits for the next event of this name; says whose it was.
    pub async fn next(&self, event: &'static str) -> PeerId {
        let (sender, receiver) = oneshot::channel();
        self.seen().waiting.push((event, sender));
        receiver.await.unwrap_or_default()
    }

    /// Runs something beside the storm that has to come to an end.
    pub fn watch(&self, what: &'static str, task: impl Future<Output = ()> + 'static) {
        let mut seen = self.seen();
        seen.watched += 1;
        let number = seen.watched;
        seen.watching.insert((number, what));
        let witness = self.clone();
        drop(tokio::task::spawn_local(async move {
            let ended = timeout(Duration::from_secs(60), task).await;
            let mut seen = witness.seen();
            seen.watching.remove(&(number, what));
            if ended.is_err() {
                seen.complaints.push(format!("{what} has no end"));
            }
        }));
    }

    pub fn is_idle(&self) -> bool {
        self.seen().watching.is_empty()
    }
}

impl Seen {
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub fn counts(&self) -> Counts {
        self.oracle.counts()
    }

    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What is wrong, at the end of a run at which everything has healed.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.complaints.clone();
        complaints.extend(self.oracle.verdict().iter().map(Violation::to_string));
        complaints.extend(self.watching.iter().map(|(_, what)| format!("{what} has no end")));
        complaints
    }

    fn see(&mut self, report: &Report) {
        self.oracle.observe(report);
        if self.hashes {
            report.to_string().hash(&mut self.hash);
        }
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{report}");
        }
        let name = report.event.name();
        for (_, waiting) in self.waiting.extract_if(.., |(event, _)| *event == name) {
            let _ = waiting.send(report.peer);
        }
    }
}
