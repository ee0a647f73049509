//! Which faults took place: a storm in which none did shows nothing.
//!
//! A fault counts once somebody felt it: a cut when it has swallowed a message, a slow disk when a sync was slow, a
//! torn tail when a replay has found it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::fault::{Fault, FaultKind};
use crate::{
    observe::{Observer, Report},
    raft::{ActorKind, Event, MessageKind, PeerId, Why},
    transport::faults::Rule,
};

/// Counts the faults that took place. Clones are the same count.
#[derive(Clone, Default)]
pub(super) struct Evidence(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    counts: BTreeMap<FaultKind, u64>,
    begun: u64,
    /// What is in force, or may yet be felt, and was not felt so far.
    unfelt: VecDeque<Unfelt>,
}

struct Unfelt {
    id: u64,
    fault: Fault,
    who: Option<PeerId>,
    rules: Vec<Rule>,
}

impl Evidence {
    /// A fault begins. Returns its number.
    pub fn begin(&self, fault: &Fault, who: Option<PeerId>, rules: &[Rule]) -> u64 {
        let mut books = self.books();
        books.begun += 1;
        let unfelt = Unfelt { id: books.begun, fault: fault.clone(), who, rules: rules.to_vec() };
        books.unfelt.push_back(unfelt);
        books.begun
    }

    /// A fault is over: whatever comes now is another's.
    pub fn end(&self, id: u64) {
        self.books().unfelt.retain(|unfelt| unfelt.id != id);
    }

    /// A fault was felt for certain.
    pub fn felt(&self, id: u64) {
        self.books().feel(|unfelt| unfelt.id == id);
    }

    /// How many faults of each kind took place.
    pub fn counts(&self) -> BTreeMap<FaultKind, u64> {
        self.books().counts.clone()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Evidence {
    fn observe(&mut self, report: &Report) {
        // By far the most frequent, and evidence of nothing.
        if !matches!(report.event, Event::Sent { .. } | Event::Received { .. }) {
            self.books().feel(|unfelt| unfelt.is_felt(report));
        }
    }
}

impl Books {
    fn feel(&mut self, is_felt: impl Fn(&Unfelt) -> bool) {
        let counts = &mut self.counts;
        self.unfelt.retain(|unfelt| {
            let felt = is_felt(unfelt);
            if felt {
                *counts.entry(unfelt.fault.kind()).or_default() += 1;
            }
            !felt
        });
    }
}

impl Unfelt {
    fn is_felt(&self, report: &Report) -> bool {
        use FaultKind::*;
        let (kind, its) = (self.fault.kind(), self.who == Some(report.peer));
        let on_link =
            |what: MessageKind, to| self.rules.iter().any(|rule| rule.is_about(report.peer, to, what));
        match report.event {
            Event::Dropped { kind: what, to, why: Why::CutByRule } => kind <= Cut && on_link(what, to),
            Event::Dropped { kind: what, to, why: Why::LostByRule } => kind == Loss && on_link(what, to),
            Event::Doubled { kind: what, to, .. } => kind == Duplicate && on_link(what, to),
            Event::Delayed { kind: what, to, why: Why::OvertakenByRule, .. } => {
                kind == Reorder && on_link(what, to)
            }
            Event::Delayed { kind: what, to, .. } => kind == Delay && on_link(what, to),
            Event::Killed { .. } => its && kind == Kill,
            Event::TailLost { records, kept, torn, .. } => {
                its && match kind {
                    KeepTail => kept == records && records > 0,
                    LoseTail => kept == 0 && records > 0 && !torn,
                    TearTail => torn,
                    _ => false,
                }
            }
            Event::Crashed { actor, why: Why::Injected, .. } => {
                its && matches!(self.fault, Fault::Crash(crashed, ..) if crashed == actor)
            }
            Event::Stalled { actor, .. } => {
                its && match self.fault {
                    Fault::Stall(stalled, _) => stalled == actor,
                    Fault::Pause(_) => actor == ActorKind::Role,
                    _ => false,
                }
            }
            Event::Slowed { actor, .. } => {
                its && matches!(self.fault, Fault::Slow(slow, ..) if slow == actor)
            }
            Event::SyncBegun { .. } => its && kind == HangDisk,
            Event::Synced { took_ms, .. } => {
                its && matches!(&self.fault, Fault::SlowDisk(_, ms) if took_ms >= *ms.start())
            }
            Event::DiskFull { .. } => its && kind == FullDisk,
            Event::PeerStopped { why: Why::DiskFailed, .. } => its && kind == FailDisk,
            Event::SnapshotBegun { .. } => its && kind == Snapshot,
            Event::SnapshotSent { to, .. } => kind == Lag && self.who == Some(to),
            Event::TransferBegun { .. } => kind == Transfer,
            _ => false,
        }
    }
}
