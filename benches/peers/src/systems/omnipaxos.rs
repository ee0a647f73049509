//! OmniPaxos 0.2: the protocol as a state machine, in a thread for each node.
//!
//! It gets its defaults, and so no batching of proposals: a batch of its own making waits for a tick of the clock. What
//! a node takes in one pass leaves in one message anyhow. The storage is its own `MemoryStorage`, trimmed by the leader.
//! Entries share their bytes: it clones them for each follower and for each read.

use std::collections::VecDeque;

use anyhow::{Result, anyhow};
use omnipaxos::{
    ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig,
    messages::{Message, sequence_paxos::PaxosMsg},
    storage::{Entry, NoSnapshot},
    util::LogEntry,
};
use omnipaxos_storage::memory_storage::MemoryStorage;
use tokio::sync::oneshot;

use super::nodes::{self, FIRST, Node, Post, Proposal, TRAIL};
use crate::load::{Load, Measured, Payload, Tally};

pub fn run(load: &Load) -> Result<Measured> {
    nodes::run::<Replica>(load)
}

/// A command, with a number by which the node that proposed it knows it again.
#[derive(Clone, Debug)]
struct Command {
    number: u64,
    payload: Payload,
}

impl Entry for Command {
    type Snapshot = NoSnapshot;
}

/// A client that waits for a command.
struct Waiting {
    number: u64,
    answer: oneshot::Sender<u64>,
}

struct Replica {
    id: u64,
    paxos: OmniPaxos<Command, MemoryStorage<Command>>,
    outgoing: Vec<Message<Command>>,
    proposed: u64,
    waiting: VecDeque<Waiting>,
    applied: Tally,
    applied_index: usize,
}

impl Replica {
    fn apply(&mut self) -> Result<()> {
        if self.paxos.get_decided_idx() == self.applied_index {
            return Ok(());
        }
        let decided = self.paxos.read_decided_suffix(self.applied_index).unwrap_or_default();
        self.applied_index += decided.len();
        for entry in decided {
            let LogEntry::Decided(command) = entry else {
                return Err(anyhow!("an entry was trimmed before it was applied"));
            };
            self.applied.count();
            // Who waits for a command that was lost hears that it failed: by the drop.
            while self.waiting.front().is_some_and(|waiting| waiting.number < command.number) {
                self.waiting.pop_front();
            }
            if self.waiting.front().is_some_and(|waiting| waiting.number == command.number)
                && let Some(waiting) = self.waiting.pop_front()
            {
                // A client that has left needs no answer.
                let _ = waiting.answer.send(command.payload.len() as u64);
            }
        }
        Ok(())
    }

    fn trim(&mut self) {
        let trail = TRAIL as usize;
        if self.leads() && self.applied_index >= self.paxos.get_compacted_idx() + 2 * trail {
            // A follower that has not accepted so much yet forbids it; the next pass tries again.
            let _ = self.paxos.trim(Some(self.applied_index - trail));
        }
    }
}

impl Node for Replica {
    type Message = Message<Command>;

    fn new(id: u64, peers: u64, applied: Tally) -> Result<Self> {
        let config = OmniPaxosConfig {
            cluster_config: ClusterConfig {
                configuration_id: 1,
                nodes: (FIRST..FIRST + peers).collect(),
                flexible_quorum: None,
            },
            server_config: ServerConfig {
                pid: id,
                election_tick_timeout: 20,
                leader_priority: u32::from(id == FIRST),
                ..ServerConfig::default()
            },
        };
        let paxos = config.build(MemoryStorage::default()).map_err(|error| anyhow!("{error:?}"))?;
        let (outgoing, waiting) = (Vec::new(), VecDeque::new());
        Ok(Replica { id, paxos, outgoing, proposed: 0, waiting, applied, applied_index: 0 })
    }

    fn leads(&self) -> bool {
        self.paxos.get_current_leader() == Some((self.id, true))
    }

    fn tick(&mut self) {
        self.paxos.tick();
    }

    fn step(&mut self, message: Message<Command>) -> Result<()> {
        // What the leader has trimmed may have been decided in this very pass.
        if let Message::SequencePaxos(paxos) = &message
            && matches!(paxos.msg, PaxosMsg::Compaction(_))
        {
            self.apply()?;
        }
        self.paxos.handle_incoming(message);
        Ok(())
    }

    fn propose(&mut self, Proposal { command, answer }: Proposal) {
        let number = self.proposed + 1;
        let command = Command { number, payload: command };
        if self.leads() && self.paxos.append(command).is_ok() {
            self.proposed = number;
            self.waiting.push_back(Waiting { number, answer });
        }
    }

    fn turn(&mut self, post: &Post<Message<Command>>) -> Result<()> {
        self.paxos.take_outgoing_messages(&mut self.outgoing);
        for message in self.outgoing.drain(..) {
            post.send(message.get_receiver(), message);
        }
        self.apply()?;
        self.trim();
        Ok(())
    }
}
