//! raft-rs 0.7: the protocol as a state machine, in a thread for each node.
//!
//! Its defaults send each entry in a message of its own, and in a message for each proposal; so it gets messages of up
//! to 1 MiB, and appends that are batched. The storage is its own `MemStorage`, which shares the bytes of entries.
//! Followers learn of a commit with the next append, as in this library, and not by a message of its own.

use std::collections::VecDeque;

use anyhow::Result;
use raft::{
    Config, RawNode, StateRole,
    eraftpb::{Entry, Message},
    storage::MemStorage,
};
use slog::{Discard, Logger, o};
use tokio::sync::oneshot;

use super::nodes::{self, FIRST, Node, Post, Proposal, TRAIL};
use crate::load::{Load, Measured, Tally};

pub fn run(load: &Load) -> Result<Measured> {
    nodes::run::<Replica>(load)
}

/// A client that waits for an entry.
struct Waiting {
    index: u64,
    term: u64,
    answer: oneshot::Sender<u64>,
}

struct Replica {
    raft: RawNode<MemStorage>,
    waiting: VecDeque<Waiting>,
    applied: Tally,
    applied_index: u64,
    compacted_index: u64,
}

impl Replica {
    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.applied_index = entry.index;
            // A new leader's first entry carries nothing.
            if entry.data.is_empty() {
                continue;
            }
            self.applied.count();
            // Who waits for an entry that was overwritten hears that it failed: by the drop.
            while self.waiting.front().is_some_and(|waiting| waiting.index < entry.index) {
                self.waiting.pop_front();
            }
            if self.waiting.front().is_some_and(|waiting| waiting.index == entry.index)
                && let Some(waiting) = self.waiting.pop_front()
                && waiting.term == entry.term
            {
                // A client that has left needs no answer.
                let _ = waiting.answer.send(entry.data.len() as u64);
            }
        }
    }

    fn compact(&mut self) -> Result<()> {
        if self.applied_index >= self.compacted_index + 2 * TRAIL {
            self.compacted_index = self.applied_index - TRAIL;
            self.raft.store().wl().compact(self.compacted_index)?;
        }
        Ok(())
    }
}

fn send(messages: Vec<Message>, post: &Post<Message>) {
    messages.into_iter().for_each(|message| post.send(message.to, message));
}

impl Node for Replica {
    type Message = Message;

    fn new(id: u64, peers: u64, applied: Tally) -> Result<Self> {
        let config = Config {
            id,
            election_tick: 30,
            heartbeat_tick: 5,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            batch_append: true,
            skip_bcast_commit: true,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let voters: Vec<u64> = (FIRST..FIRST + peers).collect();
        let storage = MemStorage::new_with_conf_state((voters, Vec::new()));
        let mut raft = RawNode::new(&config, storage, &Logger::root(Discard, o!()))?;
        if id == FIRST {
            raft.campaign()?;
        }
        Ok(Replica { raft, waiting: VecDeque::new(), applied, applied_index: 0, compacted_index: 0 })
    }

    fn leads(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    fn tick(&mut self) {
        self.raft.tick();
    }

    fn step(&mut self, message: Message) -> Result<()> {
        // What comes from an old term, or to nobody, is refused and no failure.
        let _ = self.raft.step(message);
        Ok(())
    }

    fn propose(&mut self, Proposal { command, answer }: Proposal) {
        if self.leads() && self.raft.propose(Vec::new(), command.into()).is_ok() {
            let raft = &self.raft.raft;
            self.waiting.push_back(Waiting { index: raft.raft_log.last_index(), term: raft.term, answer });
        }
    }

    fn turn(&mut self, post: &Post<Message>) -> Result<()> {
        if !self.raft.has_ready() {
            return Ok(());
        }
        let mut ready = self.raft.ready();
        send(ready.take_messages(), post);
        if !ready.snapshot().is_empty() {
            self.raft.store().wl().apply_snapshot(ready.snapshot().clone())?;
        }
        self.apply(ready.take_committed_entries());
        self.raft.store().wl().append(ready.entries())?;
        if let Some(state) = ready.hs() {
            self.raft.store().wl().set_hardstate(state.clone());
        }
        send(ready.take_persisted_messages(), post);
        let mut light = self.raft.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.raft.store().wl().mut_hard_state().set_commit(commit);
        }
        send(light.take_messages(), post);
        self.apply(light.take_committed_entries());
        self.raft.advance_apply();
        self.compact()
    }
}
