//! Events as records of `slog`: what an operator of a running peer reads.
//!
//! Each peer and each of its actors has a logger of its own, made when it is first heard of, which
//! carries `peer` and `actor`. Each record carries `term` and `role`, then the fields of the event,
//! then its `why`; the message is the event's name. So records can be searched by key, and the log
//! can't drift from the tests, which read the same events.
//!
//! How loud an event is:
//!
//! | level | what |
//! |---|---|
//! | error | a peer stopped, an actor panicked, a protocol was violated, an entry can't be applied |
//! | warning | what is off and yet harmless; an actor that ended; a tail that was lost |
//! | info | roles and elections, memberships, transfers, starts and ends, faults |
//! | debug | the log: appends, commits, applies, snapshots, reads |
//! | trace | every message and every sync |
//!
//! What was injected, or asked for, is no more than info. What is passed on is decided when the
//! program runs, by [`LogObserver::with_level`] and then by the drain. slog's own macros strip levels
//! when they are compiled, trace from a debug build and debug from a release: that is a choice for
//! programs, and not one that a library makes for them.

use std::collections::BTreeMap;

use slog::{KV, Key, Level, Logger, Record, Serializer, o};

use super::{Observer, Report};
use crate::raft::{ActorKind, Event, PeerId, RoleKind, Value, Why};

/// No actor, but what carries messages from one to another.
const NETWORK: &str = "network";

/// Passes every report on to a [`Logger`].
///
/// ```
/// use raft_actors::observe::{Hub, LogObserver};
/// use slog::{Discard, Logger, o};
///
/// Hub::new().attach(LogObserver::new(Logger::root(Discard, o!("cluster" => "example"))));
/// ```
pub struct LogObserver {
    root: Logger,
    /// Events below it are not passed on.
    level: Level,
    /// Making a logger costs more than using it, so each is made once.
    loggers: BTreeMap<(PeerId, &'static str), Logger>,
}

impl LogObserver {
    /// Records go to children of `root`: info and above.
    pub fn new(root: Logger) -> LogObserver {
        LogObserver { root, level: Level::Info, loggers: BTreeMap::new() }
    }

    /// Passes on what is of this level or above. At `Debug` there are a few records for each batch of
    /// proposals, at `Trace` a few for each message.
    pub fn with_level(mut self, level: Level) -> LogObserver {
        self.level = level;
        self
    }
}

impl Observer for LogObserver {
    fn hears_messages(&self) -> bool {
        self.level == Level::Trace
    }

    fn observe(&mut self, report: &Report) {
        let level = level(&report.event);
        if !level.is_at_least(self.level) {
            return;
        }
        let (peer, actor) = (report.peer, actor(&report.event));
        let root = &self.root;
        let child = || root.new(o!("peer" => peer.0, "actor" => actor));
        let logger: &Logger = self.loggers.entry((peer, actor)).or_insert_with(child);
        // Not by one of slog's macros: those ask at compile time, and for a level that is known then.
        let place = slog::record_static!(level, "");
        let name = report.event.name();
        logger.log(&Record::new(&place, &format_args!("{name}"), slog::b!(Fields(report))));
    }
}

/// To which actor of the peer an event belongs.
fn actor(event: &Event) -> &'static str {
    let actor = match event {
        Event::Crashed { actor, .. }
        | Event::Recovered { actor, .. }
        | Event::Stalled { actor, .. }
        | Event::Slowed { actor, .. } => *actor,
        Event::Killed { .. }
        | Event::Opened { .. }
        | Event::PeerStopped { .. }
        | Event::ClockSkewed { .. } => ActorKind::Peer,
        Event::SyncBegun { .. }
        | Event::Synced { .. }
        | Event::TailLost { .. }
        | Event::DiskFull { .. }
        | Event::RoomAgain { .. }
        | Event::Replayed { .. }
        | Event::SnapshotInstalled { .. } => ActorKind::Storage,
        Event::Applied { .. }
        | Event::SnapshotBegun { .. }
        | Event::SnapshotTaken { .. }
        | Event::Restored { .. }
        | Event::Poisoned { .. }
        | Event::Healthy { .. } => ActorKind::Machine,
        Event::SnapshotSent { .. } | Event::Renewed { .. } => ActorKind::Replicator,
        Event::Sent { .. }
        | Event::Received { .. }
        | Event::Dropped { .. }
        | Event::Delayed { .. }
        | Event::Doubled { .. }
        | Event::PeerUp { .. }
        | Event::PeerDown { .. }
        | Event::ConnectionRefused { .. }
        | Event::FaultBegun { .. }
        | Event::FaultEnded { .. } => return NETWORK,
        Event::Canvassed { .. }
        | Event::Campaigned { .. }
        | Event::PreVoted { .. }
        | Event::Voted { .. }
        | Event::TermChanged { .. }
        | Event::Elected { .. }
        | Event::SteppedDown { .. }
        | Event::Following { .. }
        | Event::Appended { .. }
        | Event::Truncated { .. }
        | Event::Refused { .. }
        | Event::Committed { .. }
        | Event::Compacted { .. }
        | Event::MembershipChanged { .. }
        | Event::ReadsConfirmed { .. }
        | Event::TransferBegun { .. }
        | Event::TransferOrdered { .. }
        | Event::TransferAbandoned { .. }
        | Event::Warned { .. }
        | Event::Violation { .. } => ActorKind::Role,
        Event::TurnedAway { .. } => ActorKind::Peer,
    };
    actor.name()
}

/// How loud an event is: the table above.
fn level(event: &Event) -> Level {
    match event {
        Event::PeerStopped { why: Why::Stopped, .. } | Event::Crashed { why: Why::Injected, .. } => {
            Level::Info
        }
        Event::PeerStopped { .. }
        | Event::Poisoned { .. }
        | Event::Violation { .. }
        | Event::TurnedAway { .. }
        | Event::Crashed { why: Why::Panicked, .. } => Level::Error,
        Event::Crashed { .. }
        | Event::Warned { .. }
        | Event::TailLost { .. }
        | Event::DiskFull { .. }
        | Event::PeerDown { .. }
        | Event::ConnectionRefused { .. } => Level::Warning,
        Event::Canvassed { .. }
        | Event::Campaigned { .. }
        | Event::PreVoted { .. }
        | Event::Voted { .. }
        | Event::TermChanged { .. }
        | Event::Elected { .. }
        | Event::SteppedDown { .. }
        | Event::Following { .. }
        | Event::MembershipChanged { .. }
        | Event::TransferBegun { .. }
        | Event::TransferOrdered { .. }
        | Event::TransferAbandoned { .. }
        | Event::PeerUp { .. }
        | Event::FaultBegun { .. }
        | Event::FaultEnded { .. }
        | Event::Recovered { .. }
        | Event::Killed { .. }
        | Event::Opened { .. }
        | Event::RoomAgain { .. }
        | Event::Healthy { .. } => Level::Info,
        Event::Stalled { .. } | Event::Slowed { .. } | Event::ClockSkewed { .. } => Level::Info,
        Event::Appended { .. }
        | Event::Truncated { .. }
        | Event::Refused { .. }
        | Event::Committed { .. }
        | Event::Applied { .. }
        | Event::Compacted { .. }
        | Event::Replayed { .. }
        | Event::SnapshotBegun { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotSent { .. }
        | Event::SnapshotInstalled { .. }
        | Event::Restored { .. }
        | Event::ReadsConfirmed { .. }
        | Event::Renewed { .. } => Level::Debug,
        Event::Sent { .. } | Event::Received { .. } | Event::SyncBegun { .. } | Event::Synced { .. } => {
            Level::Trace
        }
        Event::Dropped { .. } | Event::Delayed { .. } | Event::Doubled { .. } => Level::Trace,
    }
}

/// What a record carries besides its logger's own keys.
struct Fields<'a>(&'a Report);

impl KV for Fields<'_> {
    fn serialize(&self, _: &Record, serializer: &mut dyn Serializer) -> slog::Result {
        let Fields(report) = self;
        serializer.emit_u64(Key::from("term"), report.term.0)?;
        serializer.emit_str(Key::from("role"), report.role.map_or("-", RoleKind::name))?;
        let mut result = Ok(());
        report.event.fields(&mut |name, value| {
            // The logger says it already.
            if result.is_ok() && name != "actor" {
                result = match &value {
                    Value::Number(number) => serializer.emit_u64(Key::from(name), *number),
                    Value::Flag(flag) => serializer.emit_bool(Key::from(name), *flag),
                    Value::Text(text) => serializer.emit_str(Key::from(name), text),
                };
            }
        });
        result?;
        serializer.emit_str(Key::from("why"), report.event.why().text())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        sync::{Arc, Mutex},
    };

    use slog::{Drain, OwnedKVList};

    use super::*;
    use crate::{
        observe::{Hub, Witness},
        raft::{Index, MessageKind, Term},
    };

    /// A drain that writes each record down as one line, the logger's keys first.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Lines {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Drain for Lines {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &Record, values: &OwnedKVList) -> Result<(), slog::Never> {
            let mut keys = Keys(Vec::new());
            values.serialize(record, &mut keys).unwrap();
            // A list of a logger's keys begins with the latest.
            keys.0.reverse();
            record.kv().serialize(record, &mut keys).unwrap();
            let line = format!("{} {}: {}", record.level().as_short_str(), record.msg(), keys.0.join(" "));
            self.0.lock().unwrap().push(line);
            Ok(())
        }
    }

    struct Keys(Vec<String>);

    impl Serializer for Keys {
        fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments) -> slog::Result {
            self.0.push(format!("{key}={value}"));
            Ok(())
        }
    }

    fn witness(level: Option<Level>) -> (Witness, Lines) {
        let (hub, lines) = (Hub::new(), Lines::default());
        let log = LogObserver::new(Logger::root(lines.clone().fuse(), o!("cluster" => "test")));
        hub.attach(match level {
            Some(level) => log.with_level(level),
            None => log,
        });
        (Witness::new(hub, PeerId(2)), lines)
    }

    fn crashed(why: Why) -> Event {
        Event::Crashed { actor: ActorKind::Machine, cause: "by zero".into(), during_sync: false, why }
    }

    #[test]
    fn a_record_carries_peer_actor_term_role_fields_and_why() {
        let (witness, lines) = witness(Some(Level::Trace));
        witness.note(|| Event::Opened { incarnation: 0, why: Why::Started });
        witness.present().set(Term(3), Some(RoleKind::Leader));
        witness.note(|| Event::Committed { index: Index(7), why: Why::QuorumHolds });
        witness.note(|| crashed(Why::Panicked));
        let (kind, to) = (MessageKind::Heartbeat, PeerId(1));
        witness.note(|| Event::Dropped { kind, to, why: Why::PeerDown });
        assert_eq!(
            lines.take(),
            [
                "INFO Opened: cluster=test peer=2 actor=peer term=0 role=- incarnation=0 why=the peer started",
                "DEBG Committed: cluster=test peer=2 actor=role term=3 role=leader index=7 why=a quorum holds it",
                "ERRO Crashed: cluster=test peer=2 actor=machine term=3 role=leader cause=by zero during_sync=false why=it panicked",
                "TRCE Dropped: cluster=test peer=2 actor=network term=3 role=leader kind=heartbeat to=1 why=the peer is down",
            ]
        );
    }

    #[test]
    fn only_what_is_loud_enough_is_passed_on_and_info_is_unless_told_otherwise() {
        for (level, count) in [(None, 1), (Some(Level::Error), 0), (Some(Level::Debug), 2)] {
            let (witness, lines) = witness(level);
            witness.note(|| Event::Committed { index: Index(7), why: Why::QuorumHolds });
            witness.note(|| Event::Killed { during_sync: false, why: Why::Injected });
            assert_eq!(lines.take().len(), count);
        }
    }

    #[test]
    fn what_was_injected_or_asked_for_is_no_alarm() {
        let stopped = |why| Event::PeerStopped { cause: String::new(), why };
        let violation = Event::Violation { by: PeerId(1), what: String::new(), why: Why::SecondLeader };
        for (event, expected) in [
            (crashed(Why::Injected), Level::Info),
            (crashed(Why::Panicked), Level::Error),
            (crashed(Why::Ended), Level::Warning),
            (stopped(Why::Stopped), Level::Info),
            (stopped(Why::DiskFailed), Level::Error),
            (violation, Level::Error),
            (Event::Poisoned { index: Index(7), why: Why::FailedTwice }, Level::Error),
            (Event::Warned { what: String::new(), why: Why::SlowDisk }, Level::Warning),
            (Event::SyncBegun { records: 1, why: Why::EndOfTurn }, Level::Trace),
        ] {
            assert_eq!(level(&event), expected, "{event}");
        }
    }
}
