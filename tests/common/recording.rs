//! Everything that happened in a cluster, in order, and questions to it.

use std::sync::{Arc, Mutex};

use raft_actors::{
    lab::invariants::{Allowed, Oracle},
    observe::{Observer, Report},
    raft::{ActorKind, Event, PeerId, RoleKind, Term, Why},
};

/// Records reports. Clones are the same recording.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Report>>>);

impl Observer for Recording {
    fn observe(&mut self, report: &Report) {
        self.0.lock().unwrap().push(report.clone());
    }
}

/// A test that fails leaves its recordings where the variable `RECORDINGS` says.
impl Drop for Recording {
    fn drop(&mut self) {
        if let (true, Ok(folder)) = (std::thread::panicking(), std::env::var("RECORDINGS")) {
            let name = std::thread::current().name().unwrap_or("test").to_string();
            drop(std::fs::write(format!("{folder}/{name}.txt"), self.text()));
        }
    }
}

impl Recording {
    /// How many so far.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Everything so far.
    pub fn reports(&self) -> Vec<Report> {
        self.0.lock().unwrap().clone()
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Everything so far, one line each.
    pub fn text(&self) -> String {
        self.reports().iter().map(|report| format!("{} {report}\n", report.seq)).collect()
    }

    /// The reports for which something holds.
    pub fn filter(&self, holds: impl Fn(&Report) -> bool) -> Vec<Report> {
        self.0.lock().unwrap().iter().filter(|report| holds(report)).cloned().collect()
    }

    /// How many events there were for which something holds.
    pub fn count(&self, holds: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|report| holds(&report.event)).count()
    }

    /// Whether there was an event for which something holds.
    pub fn has(&self, holds: impl Fn(&Event) -> bool) -> bool {
        self.count(holds) > 0
    }

    /// How many elections were won.
    pub fn elections(&self) -> usize {
        self.count(|event| matches!(event, Event::Elected { .. }))
    }

    /// The highest term that any peer reached.
    pub fn term(&self) -> Term {
        self.0.lock().unwrap().iter().map(|report| report.term).max().unwrap_or_default()
    }

    /// How many crashes of this kind landed, in which role, and how many of them during a sync.
    pub fn crashes(&self, kind: ActorKind, in_role: Option<RoleKind>) -> (usize, usize) {
        let crashes = self.filter(|report| {
            matches!(report.event, Event::Crashed { actor, .. } if actor == kind) && report.role == in_role
        });
        let in_sync = |report: &&Report| matches!(report.event, Event::Crashed { during_sync: true, .. });
        (crashes.len(), crashes.iter().filter(in_sync).count())
    }

    /// Every crash was one we injected, and its actor came back on that peer, unless the whole peer
    /// went before it could. And everything else that must hold.
    pub fn assert_all_recovered(&self) {
        self.judged_by(|_| ());
    }

    /// Everything that must hold in every run. Tests that make machines fail, disks fail or peers give up
    /// say themselves what has to come of it.
    pub fn assert_safe(&self) {
        self.judged_by(|oracle| {
            oracle.allow(Allowed::Poison).allow(Allowed::Panics);
        });
    }

    /// Everything that must hold in every run, but for what is allowed in this one.
    pub fn judged_by(&self, allow: impl FnOnce(&Oracle)) {
        let mut oracle = Oracle::new();
        for why in [Why::DiskFailed, Why::NoProgress, Why::Panicked] {
            oracle.allow(Allowed::Stops(why));
        }
        allow(&oracle);
        self.reports().iter().for_each(|report| oracle.observe(report));
        oracle.assert_clean();
    }
}
