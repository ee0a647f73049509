//! The systems under load, one module each, all entered by a `fn(&Load) -> Result<Measured>`.

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::load::{Load, Measured};

mod nodes;
mod omnipaxos;
mod openraft_0_10;
mod openraft_0_9;
mod raft_actors;
mod raft_rs;

/// What can be put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub enum System {
    #[value(name = "raft-actors-near", help = "This library, clients on the peers' own thread")]
    #[serde(rename = "raft-actors-near")]
    Near,
    #[value(name = "raft-actors-far", help = "This library, clients on a thread of their own")]
    #[serde(rename = "raft-actors-far")]
    Far,
    #[value(name = "raft-actors-near-sessions", help = "The first, a session for each client")]
    #[serde(rename = "raft-actors-near-sessions")]
    NearSessions,
    #[value(name = "raft-actors-far-sessions", help = "The second, a session for each client")]
    #[serde(rename = "raft-actors-far-sessions")]
    FarSessions,
    #[value(name = "openraft-0.9", help = "openraft 0.9.25")]
    #[serde(rename = "openraft-0.9")]
    Openraft09,
    #[value(name = "openraft-0.10", help = "openraft 0.10.0-alpha.37")]
    #[serde(rename = "openraft-0.10")]
    Openraft010,
    #[value(name = "raft-rs", help = "raft 0.7.0, by TiKV")]
    #[serde(rename = "raft-rs")]
    RaftRs,
    #[value(name = "omnipaxos", help = "OmniPaxos 0.2.4")]
    #[serde(rename = "omnipaxos")]
    OmniPaxos,
}

impl System {
    pub const OURS_IN_SESSIONS: [System; 2] = [System::NearSessions, System::FarSessions];

    /// Its name on the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is this library.
    pub fn is_ours(self) -> bool {
        matches!(self, System::Near | System::Far | System::NearSessions | System::FarSessions)
    }

    pub fn is_openraft(self) -> bool {
        matches!(self, System::Openraft09 | System::Openraft010)
    }

    /// Puts it under a load, in this process.
    pub fn run(self, load: &Load) -> Result<Measured> {
        match self {
            System::Near => raft_actors::near(load),
            System::Far => raft_actors::far(load),
            System::NearSessions => raft_actors::near_sessions(load),
            System::FarSessions => raft_actors::far_sessions(load),
            System::Openraft09 => openraft_0_9::run(load),
            System::Openraft010 => openraft_0_10::run(load),
            System::RaftRs => raft_rs::run(load),
            System::OmniPaxos => omnipaxos::run(load),
        }
    }
}
