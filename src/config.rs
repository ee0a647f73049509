//! Every limit and interval, units last in the name.

use std::ops::Range;

use crate::error::ConfigError;

/// How a peer behaves. All peers of a cluster should run with the same values.
///
/// ```
/// use raft_actors::Config;
///
/// let mut config = Config::default();
/// config.heartbeat_ms = 20;
/// config.election_timeout_ms = 100..200;
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// How long a follower waits for its leader before it canvasses, drawn anew each time, in
    /// milliseconds (§5.2). Default `150..300`. The start is also the time for which a peer that
    /// has heard its leader turns others' candidates down (thesis §4.2.3), and after which a leader
    /// that hears no quorum steps down (thesis §6.2) is the end.
    pub election_timeout_ms: Range<u64>,
    /// How often an idle leader shows that it is alive, in milliseconds. Default 50. At most half
    /// of the shortest election timeout.
    pub heartbeat_ms: u64,
    /// Whether a follower asks before it raises its term (thesis §9.6). Default true.
    pub pre_vote: bool,

    /// The most entries in one AppendEntries. Default 1,024.
    pub batch_entries_max: usize,
    /// The most bytes in one AppendEntries; a single larger command travels alone. Default 1 MiB.
    pub batch_bytes_max: usize,
    /// How many AppendEntries a replicator keeps under way to one follower. Default 8.
    pub window_batches_max: usize,
    /// How many bytes a replicator keeps under way to one follower. Default 8 MiB.
    pub window_bytes_max: usize,
    /// After how long without an answer a replicator is replaced, in milliseconds. Default 3,000.
    pub replicator_silence_ms: u64,

    /// The largest command, in bytes. Larger ones are refused before they are sent. Default 1 MiB and 64 KiB:
    /// a value of 1 MiB, its key, and what is around them.
    pub command_bytes_max: usize,
    /// How many proposals and queries may wait in front of a peer; beyond it they are answered
    /// `Busy`. Default 65,536.
    pub inbox_entries_max: usize,
    /// How many bytes of them. Default 64 MiB.
    pub inbox_bytes_max: usize,
    /// How many entries a leader holds that are not committed yet; beyond it proposals are
    /// answered `Busy`. Default 262,144.
    pub uncommitted_entries_max: u64,
    /// How many bytes of entries a peer holds that its machine has not applied yet. Beyond it a
    /// leader answers `Busy`, and a follower, which counts committed ones only, refuses entries.
    /// Default 256 MiB.
    pub unapplied_bytes_max: usize,
    /// How long a client waits for the outcome of a proposal or query before it is `Unknown`, in
    /// milliseconds. Default 5,000.
    pub deadline_ms: u64,

    /// How many messages a role takes in one turn before it writes and answers. Default 256.
    pub turn_messages_max: usize,
    /// How many bytes of entries a role takes in one turn. Default 1 MiB.
    pub turn_bytes_max: usize,

    /// A snapshot is taken when this many entries were applied since the last. Default 100,000.
    pub snapshot_entries: u64,
    /// A snapshot is taken when this many bytes of entries were applied since the last.
    /// Default 64 MiB.
    pub snapshot_bytes: usize,
    /// How many entries stay in the log behind a snapshot, for followers that are a little
    /// behind. Default 10,000.
    pub trail_entries: u64,
    /// How many bytes of entries stay there at most. Default 16 MiB.
    pub trail_bytes: usize,
    /// Whether snapshots are compressed: smaller on disk and on their way, dearer to write and to
    /// read. Needs the feature `lz4`, on every peer. Default false.
    pub compress_snapshots: bool,
    /// How many bytes of a snapshot travel in one message, at most 256 KiB: on a slow link a heartbeat
    /// waits behind one of them. Default 128 KiB; below 64 KiB each costs more than it carries.
    pub snapshot_chunk_bytes: usize,
    /// How many bytes of a snapshot are under way to one follower. Default 1 MiB.
    pub snapshot_window_bytes: usize,

    /// How many client sessions a machine remembers; over it the longest unused goes. Default 10,000.
    pub sessions_max: usize,
    /// How many commands a client session keeps under way. Default 1,024.
    pub session_window: usize,

    /// How often the actors of a peer may be restarted without any progress of its commit or
    /// applied index in between. Beyond it the peer stops. Default 16.
    pub restarts_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            election_timeout_ms: 150..300,
            heartbeat_ms: 50,
            pre_vote: true,
            batch_entries_max: 1_024,
            batch_bytes_max: 1 << 20,
            window_batches_max: 8,
            window_bytes_max: 8 << 20,
            replicator_silence_ms: 3_000,
            command_bytes_max: (1 << 20) + (64 << 10),
            inbox_entries_max: 65_536,
            inbox_bytes_max: 64 << 20,
            uncommitted_entries_max: 262_144,
            unapplied_bytes_max: 256 << 20,
            deadline_ms: 5_000,
            turn_messages_max: 256,
            turn_bytes_max: 1 << 20,
            snapshot_entries: 100_000,
            snapshot_bytes: 64 << 20,
            trail_entries: 10_000,
            trail_bytes: 16 << 20,
            compress_snapshots: false,
            snapshot_chunk_bytes: 128 << 10,
            snapshot_window_bytes: 1 << 20,
            sessions_max: 10_000,
            session_window: 1_024,
            restarts_max: 16,
        }
    }
}

impl Config {
    /// Checks that the values make sense together. Whoever starts a peer or a cluster calls it.
    ///
    /// # Errors
    /// Names the first field that is off, what it is and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |field, holds: bool, rule| if holds { Ok(()) } else { Err(ConfigError { field, rule }) };
        let election = &self.election_timeout_ms;
        check("election_timeout_ms", election.start < election.end, "must be a range that is not empty")?;
        check("heartbeat_ms", self.heartbeat_ms >= 1, "must be at least 1")?;
        check(
            "heartbeat_ms",
            self.heartbeat_ms.saturating_mul(2) <= election.start,
            "must be at most half of the shortest election timeout",
        )?;
        check(
            "replicator_silence_ms",
            self.replicator_silence_ms >= election.end,
            "must be at least the longest election timeout",
        )?;
        check("trail_entries", self.trail_entries <= u64::MAX / 2, "must be at most half of the range")?;
        for (field, limit) in [
            ("batch_entries_max", self.batch_entries_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("window_batches_max", self.window_batches_max),
            ("window_bytes_max", self.window_bytes_max),
            ("command_bytes_max", self.command_bytes_max),
            ("inbox_entries_max", self.inbox_entries_max),
            ("inbox_bytes_max", self.inbox_bytes_max),
            ("unapplied_bytes_max", self.unapplied_bytes_max),
            ("turn_messages_max", self.turn_messages_max),
            ("turn_bytes_max", self.turn_bytes_max),
            ("snapshot_bytes", self.snapshot_bytes),
            ("snapshot_chunk_bytes", self.snapshot_chunk_bytes),
            ("sessions_max", self.sessions_max),
            ("session_window", self.session_window),
        ] {
            check(field, limit >= 1, "must be at least 1")?;
        }
        for (field, limit) in [
            ("uncommitted_entries_max", self.uncommitted_entries_max),
            ("snapshot_entries", self.snapshot_entries),
            ("deadline_ms", self.deadline_ms),
        ] {
            check(field, limit >= 1, "must be at least 1")?;
        }
        check(
            "compress_snapshots",
            !self.compress_snapshots || cfg!(feature = "lz4"),
            "must be false in a program that is built without the feature `lz4`",
        )?;
        check("snapshot_chunk_bytes", self.snapshot_chunk_bytes <= 256 << 10, "must be at most 256 KiB")?;
        check(
            "snapshot_window_bytes",
            self.snapshot_window_bytes >= self.snapshot_chunk_bytes,
            "must have room for a message of snapshot_chunk_bytes",
        )?;
        check("batch_entries_max", self.batch_entries_max <= u32::MAX as usize, "must fit in 32 bits")?;
        check(
            "inbox_bytes_max",
            self.inbox_bytes_max >= self.command_bytes_max,
            "must have room for the largest command",
        )
    }
}

/// What a peer takes from the network, and how long it waits there: every limit is a bound on what somebody
/// who means harm, or is broken, can cost.
///
/// ```
/// use raft_actors::config::NetworkConfig;
///
/// let mut limits = NetworkConfig::default();
/// limits.connections_max = 64;
/// assert!(limits.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The longest frame, in bytes, on a connection that has shaken hands. It has to hold a batch of entries, a
    /// piece of a snapshot, a command. Default 4 MiB.
    pub frame_bytes_max: usize,
    /// The longest frame before that, in bytes. At most 64 KiB, which is the default.
    pub greeting_bytes_max: usize,
    /// How many connections from clients are open at a time, each with a file descriptor: leave some hundred of those
    /// that the system allows to the peer itself. Default 512.
    pub connections_max: usize,
    /// How many connections are open at a time that have not shaken hands yet; beyond it the oldest of them goes.
    /// Default 128.
    pub greetings_max: usize,
    /// How long a handshake may take, in milliseconds. Default 5,000.
    pub handshake_ms: u64,
    /// How long a frame may take from its first byte to its last, in milliseconds. Default 30,000.
    pub half_frame_ms: u64,
    /// How long a client's connection stays open on which nothing happens, in milliseconds. Default 30,000.
    pub idle_ms: u64,
    /// How many calls of one client's connection wait for their answers; what comes beyond it is not read until
    /// one of them is answered. Each costs some 3 KiB. Default 128.
    pub calls_max: usize,
    /// How many bytes of answers wait to be sent to one client before nothing more is read from it. A single answer may
    /// be longer: up to four times `frame_bytes_max`. Default 1 MiB.
    pub answer_bytes_max: usize,
    /// How many bytes of long frames, longer than `greeting_bytes_max`, are held for all clients at a time. Default
    /// 32 MiB. (Answers that they have not taken yet may take four times `frame_bytes_max`.)
    pub client_bytes_max: usize,
    /// How many watchers of one connection are told what happens. Default 4.
    pub watchers_max: usize,
    /// How long a connection to another peer may take to be made, in milliseconds. Default 1,000.
    pub connect_ms: u64,
    /// After how long without a word from a peer that was asked something the connection to it is given up and
    /// made anew, in milliseconds. Default 3,000 for votes and heartbeats; entries and snapshots have ten times as
    /// long, for on a slow link each takes its time.
    pub silence_ms: u64,
    /// The first pause before a lost connection is made again, in milliseconds; each further one is twice as long.
    /// Default 50.
    pub reconnect_ms: u64,
    /// The longest such pause, in milliseconds. Default 2,000.
    pub reconnect_ms_max: u64,
    /// How long a peer that is alone in its process looks for more after each turn that wrote or applied something, and
    /// during its sync, before it sleeps, in microseconds: to be woken up takes its time, on virtual machines above all.
    /// A core that others need it leaves to them. 0: it sleeps at once. Default 500, at most 10,000.
    pub busy_poll_us: u64,
    /// How many bytes may be under way to one other peer; what is sent beyond it is lost, as on any network.
    /// Default 32 MiB.
    pub peer_bytes_max: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        NetworkConfig {
            frame_bytes_max: 4 << 20,
            greeting_bytes_max: 64 << 10,
            connections_max: 512,
            greetings_max: 128,
            handshake_ms: 5_000,
            half_frame_ms: 30_000,
            idle_ms: 30_000,
            calls_max: 128,
            answer_bytes_max: 1 << 20,
            client_bytes_max: 32 << 20,
            watchers_max: 4,
            connect_ms: 1_000,
            silence_ms: 3_000,
            reconnect_ms: 50,
            reconnect_ms_max: 2_000,
            busy_poll_us: 500,
            peer_bytes_max: 32 << 20,
        }
    }
}

impl NetworkConfig {
    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// Names the first field that is off, and what it has to be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |field, holds: bool, rule| if holds { Ok(()) } else { Err(ConfigError { field, rule }) };
        check(
            "greeting_bytes_max",
            (1 << 10..=64 << 10).contains(&self.greeting_bytes_max),
            "must be 1 to 64 KiB",
        )?;
        check(
            "frame_bytes_max",
            (self.greeting_bytes_max..=1 << 30).contains(&self.frame_bytes_max),
            "must be at least greeting_bytes_max, and at most 1 GiB",
        )?;
        check(
            "client_bytes_max",
            self.client_bytes_max >= self.frame_bytes_max,
            "must have room for a frame of frame_bytes_max",
        )?;
        check(
            "peer_bytes_max",
            self.peer_bytes_max >= self.frame_bytes_max,
            "must have room for a frame of frame_bytes_max",
        )?;
        for (field, limit) in [
            ("connections_max", self.connections_max),
            ("greetings_max", self.greetings_max),
            ("calls_max", self.calls_max),
            ("answer_bytes_max", self.answer_bytes_max),
            ("watchers_max", self.watchers_max),
        ] {
            check(field, limit >= 1, "must be at least 1")?;
        }
        for (field, limit) in [
            ("handshake_ms", self.handshake_ms),
            ("half_frame_ms", self.half_frame_ms),
            ("idle_ms", self.idle_ms),
            ("connect_ms", self.connect_ms),
            ("silence_ms", self.silence_ms),
            ("reconnect_ms", self.reconnect_ms),
        ] {
            check(field, limit >= 1, "must be at least 1")?;
        }
        check("busy_poll_us", self.busy_poll_us <= 10_000, "must be at most 10,000")?;
        check("reconnect_ms_max", self.reconnect_ms_max >= self.reconnect_ms, "must be at least reconnect_ms")
    }
}
