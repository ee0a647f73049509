//! Groups of events: a transcript shows those that its story is about.

use raft_actors::raft::{Event, MessageKind};

/// Which events belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Elections, and who leads.
    Roles,
    /// What is appended, committed and applied.
    Log,
    /// Syncs.
    Disk,
    /// Snapshots and compaction.
    Snapshots,
    /// Reads.
    Reads,
    /// Transfers of leadership.
    Transfers,
    /// Faults, crashes, recovery, and everything that is loud.
    Crashes,
    /// Messages, but for heartbeats and their answers.
    Messages,
    /// Heartbeats and the answers to all AppendEntries.
    Heartbeats,
}

impl Group {
    /// Where an event belongs.
    pub fn of(event: &Event) -> Group {
        use Event::*;
        match event {
            Canvassed { .. } | Campaigned { .. } | PreVoted { .. } | Voted { .. } | TermChanged { .. } => {
                Group::Roles
            }
            Elected { .. } | SteppedDown { .. } | Following { .. } => Group::Roles,
            Appended { .. } | Truncated { .. } | Refused { .. } | Committed { .. } | Applied { .. } => {
                Group::Log
            }
            MembershipChanged { .. } => Group::Log,
            SyncBegun { .. } | Synced { .. } => Group::Disk,
            Compacted { .. } | SnapshotBegun { .. } | SnapshotTaken { .. } => Group::Snapshots,
            SnapshotSent { .. } | SnapshotInstalled { .. } => Group::Snapshots,
            ReadsConfirmed { .. } => Group::Reads,
            TransferBegun { .. } | TransferOrdered { .. } | TransferAbandoned { .. } => Group::Transfers,
            Sent { kind, .. }
            | Received { kind, .. }
            | Dropped { kind, .. }
            | Delayed { kind, .. }
            | Doubled { kind, .. } => match kind {
                MessageKind::Heartbeat | MessageKind::Appended => Group::Heartbeats,
                _ => Group::Messages,
            },
            _ => Group::Crashes,
        }
    }

    /// A group by its name.
    pub fn read(name: &str) -> Result<Group, String> {
        Ok(match name {
            "roles" => Group::Roles,
            "log" => Group::Log,
            "disk" => Group::Disk,
            "snapshots" => Group::Snapshots,
            "reads" => Group::Reads,
            "transfers" => Group::Transfers,
            "crashes" => Group::Crashes,
            "messages" => Group::Messages,
            "heartbeats" => Group::Heartbeats,
            _ => return Err(format!("`{name}` is no group of events")),
        })
    }
}
