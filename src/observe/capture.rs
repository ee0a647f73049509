//! An observer that remembers: for tests, which look afterwards at what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Observer, Report};

/// Collects every report. Clones share what they collect: one is attached to the hub, another is
/// asked. It grows without limit, so it is for runs that end.
///
/// ```
/// use raft_actors::{observe::{Capture, Hub, Witness}, raft::{Event, PeerId, Why}};
///
/// let (hub, capture) = (Hub::new(), Capture::new());
/// hub.attach(capture.clone());
/// Witness::new(hub, PeerId(1)).note(|| Event::Opened { incarnation: 0, why: Why::Started });
/// assert_eq!(capture.take().len(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Capture(
    /// Around reports only.
    Arc<Mutex<Vec<Report>>>,
);

impl Capture {
    /// Nothing yet.
    pub fn new() -> Capture {
        Capture::default()
    }

    /// Everything since the last `take`, in order.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports())
    }

    /// The same as lines, left where it is.
    pub fn texts(&self) -> Vec<String> {
        self.reports().iter().map(Report::to_string).collect()
    }

    fn reports(&self) -> MutexGuard<'_, Vec<Report>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Capture {
    fn observe(&mut self, report: &Report) {
        self.reports().push(report.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::{Hub, Witness},
        raft::{Event, Index, PeerId, Why},
    };

    #[tokio::test(start_paused = true)]
    async fn clones_share_what_they_collect() {
        let (hub, capture) = (Hub::new(), Capture::new());
        hub.attach(capture.clone());
        let witness = Witness::new(hub, PeerId(2));
        witness.note(|| Event::Committed { index: Index(7), why: Why::QuorumHolds });
        assert_eq!(capture.texts(), ["0.000 n2@0 - Committed index=7: a quorum holds it"]);
        assert_eq!(capture.take().len(), 1);
        assert!(capture.texts().is_empty());
    }
}
