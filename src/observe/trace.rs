//! A run as a file: one JSON object a line, the same run the same bytes.
//!
//! The first line says what follows:
//! ```json
//! {"format":"raft-actors-trace","version":1,"seed":7,"peers":[1,2,3]}
//! ```
//! then each report is a line. The first seven keys are always there, in this order; behind them are
//! the fields of the event, in the order in which they are declared:
//! ```json
//! {"seq":12,"t_ms":161,"peer":2,"term":1,"role":"leader","event":"Committed","why":"a quorum holds it","index":1}
//! ```
//! `t_ms` is in milliseconds since the cluster began, with three decimals where it is not whole.
//! `role` is `null` while the peer is down or recovers. The network itself is peer 0.
//!
//! The text is written by hand and not derived: its order is a promise to whoever compares two files.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Observer, Report};
use crate::raft::{PeerId, RoleKind, Value};

/// Writes a trace. Clones write to the same one: one is attached to the hub, another finishes it.
///
/// Lines are buffered; they are flushed when the last clone is dropped, and by
/// [`finish`](TraceFile::finish). A failing file ends the trace and not the run: nothing more is
/// written, and `finish` says why.
#[derive(Clone)]
pub struct TraceFile(
    /// Around the file only.
    Arc<Mutex<Sink>>,
);

struct Sink {
    /// `None` after the first error, and at the end.
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    error: Option<io::Error>,
    /// The line that is being written, kept for its memory.
    line: Vec<u8>,
}

impl TraceFile {
    /// A trace that goes to `out`. `seed` is that of a simulated run.
    pub fn new(
        out: impl Write + Send + 'static,
        seed: Option<u64>,
        peers: impl IntoIterator<Item = PeerId>,
    ) -> TraceFile {
        let out = Some(BufWriter::new(Box::new(out) as Box<dyn Write + Send>));
        let mut sink = Sink { out, error: None, line: Vec::new() };
        let seed = seed.map_or("null".to_owned(), |seed| seed.to_string());
        let peers: Vec<String> = peers.into_iter().map(|peer| peer.to_string()).collect();
        let peers = peers.join(",");
        sink.write(|line| {
            write!(line, r#"{{"format":"raft-actors-trace","version":1,"seed":{seed},"peers":[{peers}]}}"#)
        });
        TraceFile(Arc::new(Mutex::new(sink)))
    }

    /// A trace in a new file, in place of one that is there.
    ///
    /// # Errors
    /// The file can't be created.
    pub fn create(
        path: impl AsRef<Path>,
        seed: Option<u64>,
        peers: impl IntoIterator<Item = PeerId>,
    ) -> io::Result<TraceFile> {
        Ok(TraceFile::new(File::create(path)?, seed, peers))
    }

    /// Ends the trace, for all clones: whatever they hear afterwards is not written.
    ///
    /// # Errors
    /// The first thing that went wrong since the beginning; then the trace is not whole.
    pub fn finish(self) -> io::Result<()> {
        let mut sink = self.sink();
        let flushed = sink.out.take().map_or(Ok(()), |mut out| out.flush());
        sink.error.take().map_or(flushed, Err)
    }

    /// Brings what was written so far into the file, for whoever reads along. What goes wrong is told by
    /// [`finish`](TraceFile::finish).
    pub fn flush(&self) {
        let mut sink = self.sink();
        if let Some(Err(error)) = sink.out.as_mut().map(Write::flush) {
            sink.error = Some(error);
            sink.out = None;
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for TraceFile {
    fn observe(&mut self, report: &Report) {
        self.sink().write(|line| object(line, report));
    }
}

impl Sink {
    fn write(&mut self, line: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let Some(out) = &mut self.out else {
            return;
        };
        self.line.clear();
        let written = line(&mut self.line).and_then(|()| {
            self.line.push(b'\n');
            out.write_all(&self.line)
        });
        if let Err(error) = written {
            self.error = Some(error);
            self.out = None;
        }
    }
}

fn object(line: &mut Vec<u8>, report: &Report) -> io::Result<()> {
    let (ms, us) = (report.at_us / 1000, report.at_us % 1000);
    write!(line, r#"{{"seq":{},"t_ms":{ms}"#, report.seq)?;
    if us > 0 {
        write!(line, ".{us:03}")?;
    }
    write!(line, r#","peer":{},"term":{},"role":"#, report.peer, report.term)?;
    match report.role.map(RoleKind::name) {
        Some(role) => string(line, role)?,
        None => line.extend_from_slice(b"null"),
    }
    line.extend_from_slice(br#","event":"#);
    string(line, report.event.name())?;
    line.extend_from_slice(br#","why":"#);
    string(line, report.event.why().text())?;
    let mut result = Ok(());
    report.event.fields(&mut |name, value| {
        if result.is_ok() {
            result = field(line, name, &value);
        }
    });
    result?;
    line.push(b'}');
    Ok(())
}

/// A test sees to it that no field has the name of one of the first seven keys.
fn field(line: &mut Vec<u8>, name: &str, value: &Value) -> io::Result<()> {
    line.push(b',');
    string(line, name)?;
    line.push(b':');
    match value {
        Value::Text(text) => string(line, text),
        Value::Number(_) | Value::Flag(_) => write!(line, "{value}"),
    }
}

/// Texts may say anything: a panic's message, a rule. Escaping is left to who knows it best.
fn string(line: &mut Vec<u8>, text: &str) -> io::Result<()> {
    Ok(serde_json::to_writer(line, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::{Hub, Witness},
        raft::{ActorKind, Event, Index, Term, Why},
    };

    /// A file in memory, which fails once it holds `room` bytes.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<Vec<u8>>>, usize);

    impl Disk {
        fn new(room: usize) -> Disk {
            Disk(Arc::default(), room)
        }

        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut held = self.0.lock().unwrap();
            if held.len() + bytes.len() > self.1 {
                return Err(io::Error::other("no room"));
            }
            held.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn report(at_us: u64, role: Option<RoleKind>, event: Event) -> Report {
        Report { seq: 12, at_us, peer: PeerId(2), term: Term(3), role, event }
    }

    fn committed() -> Event {
        Event::Committed { index: Index(7), why: Why::QuorumHolds }
    }

    #[test]
    fn a_trace_is_a_header_and_a_line_for_each_report() {
        let disk = Disk::new(usize::MAX);
        let trace = TraceFile::new(disk.clone(), Some(7), [1, 2, 3].map(PeerId));
        let mut observer = trace.clone();
        observer.observe(&report(161_000, Some(RoleKind::Leader), committed()));
        let (actor, cause) = (ActorKind::Role, "a \"quoted\"\nline".to_owned());
        let crashed = Event::Crashed { actor, cause, during_sync: true, why: Why::Panicked };
        observer.observe(&report(161_005, None, crashed));
        trace.finish().unwrap();
        observer.observe(&report(162_000, None, committed()));
        assert_eq!(
            disk.lines(),
            [
                r#"{"format":"raft-actors-trace","version":1,"seed":7,"peers":[1,2,3]}"#,
                r#"{"seq":12,"t_ms":161,"peer":2,"term":3,"role":"leader","event":"Committed","why":"a quorum holds it","index":7}"#,
                r#"{"seq":12,"t_ms":161.005,"peer":2,"term":3,"role":null,"event":"Crashed","why":"it panicked","actor":"role","cause":"a \"quoted\"\nline","during_sync":true}"#,
            ]
        );
        for line in disk.lines() {
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    }

    #[test]
    fn a_live_run_has_no_seed() {
        let disk = Disk::new(usize::MAX);
        TraceFile::new(disk.clone(), None, []).finish().unwrap();
        assert_eq!(disk.lines(), [r#"{"format":"raft-actors-trace","version":1,"seed":null,"peers":[]}"#]);
    }

    #[test]
    fn the_last_clone_flushes() {
        let disk = Disk::new(usize::MAX);
        let hub = Hub::new();
        hub.attach(TraceFile::new(disk.clone(), None, []));
        let witness = Witness::new(hub, PeerId(1));
        witness.note(committed);
        assert_eq!(disk.lines().len(), 0, "not buffered");
        drop(witness);
        assert_eq!(disk.lines().len(), 2);
    }

    #[test]
    fn a_failing_file_ends_the_trace_and_says_why_at_the_end() {
        let disk = Disk::new(10_000);
        let trace = TraceFile::new(disk.clone(), None, []);
        let mut observer = trace.clone();
        for _ in 0..1_000 {
            observer.observe(&report(0, None, committed()));
        }
        // There would be room again: a trace with a hole is worse than a short one.
        assert!(trace.sink().out.is_none());
        assert_eq!(trace.finish().unwrap_err().to_string(), "no room");
        assert!(observer.finish().is_ok(), "told twice");
    }

    #[test]
    fn an_error_of_the_last_flush_is_told_too() {
        let trace = TraceFile::new(Disk::new(0), None, []);
        assert_eq!(trace.finish().unwrap_err().to_string(), "no room");
    }

    /// Reads the alphabet itself: a new event can't slip by.
    #[test]
    fn no_field_of_an_event_has_the_name_of_another_key() {
        let source = include_str!("../raft/event.rs");
        let (_, alphabet) = source.split_once("\nevents! {").unwrap();
        let (alphabet, _) = alphabet.split_once("\n}").unwrap();
        let code = alphabet.lines().filter(|line| !line.trim_start().starts_with("//"));
        let names: Vec<_> = code
            .flat_map(|line| line.split_whitespace())
            .filter_map(|word| word.strip_suffix(':'))
            .filter(|name| name.chars().all(|it| it.is_ascii_lowercase() || it == '_'))
            .collect();
        assert!(names.contains(&"index") && names.contains(&"during_sync") && names.len() > 50);
        for key in ["seq", "t_ms", "peer", "term", "role", "event", "why"] {
            assert!(!names.contains(&key), "an event has a field `{key}`");
        }
    }
}
