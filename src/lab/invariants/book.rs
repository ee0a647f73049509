//! What is known of one peer: its role, its disk, its machine, and what it has said.
//!
//! Three lives are to be told apart. What was synced belongs to the disk and survives everything; the
//! commit index belongs to the role, and begins anew with each replay; what is applied belongs to the
//! machine, and begins anew with each of its restores.

use super::{
    violation::{Allowed, Invariant},
    world::World,
};
use crate::{
    observe::Report,
    raft::{ActorKind, Event, Index, PeerId, Position, RoleKind, Term, Why},
};

mod disk;
mod machine;
mod words;

/// The vote of a peer in a term.
type Ballot = (Term, Option<PeerId>);

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The end of its log, as its role has it; `None`: not known yet, or not any more.
    log: Option<Position>,
    /// What its role knows to be committed, in this life of the role.
    commit: Index,
    /// The highest it ever knew to be committed.
    committed: Index,
    /// The last entry that is gone from the front.
    purged: Index,
    /// Its term and vote, as its role has them; and the term of what of that is not on its disk yet.
    ballot: Ballot,
    unsynced: Option<Term>,

    /// The end of the log on its disk. `None`: nothing is known to be there.
    synced: Option<Position>,
    /// How much of that must survive: what no truncation has touched that is still to be synced.
    surviving: Option<Position>,
    synced_ballot: Ballot,
    /// The latest durable snapshot.
    snapshot: Position,

    /// The last entry applied, in this life of the machine.
    applied: Index,
    /// Whether the machine is behind a snapshot, and about to begin anew from it.
    restoring: bool,
    /// The snapshot that was durable before the restore under way began: it brings no less.
    restores: Index,

    /// The highest term it has spoken in, and its last vote that others know of, over all its lives.
    spoken: Term,
    promised: Ballot,

    /// Who of it fell and is not back: who, the number of the report, and the report.
    pub(super) fallen: Vec<(ActorKind, u64, String)>,
}

impl Book {
    /// Its disk, if it holds this entry there. `None` if nothing tells.
    pub(super) fn has_synced(&self, entry: Position, world: &World) -> Option<bool> {
        world.tree.holds(self.synced.unwrap_or_default(), entry)
    }

    /// The entry at `index` in its log, if that is known.
    pub(super) fn entry(&self, index: Index, world: &World) -> Option<Position> {
        world.tree.at(self.log?, index)
    }

    /// One more event of this peer.
    pub(super) fn read(&mut self, report: &Report, world: &mut World) {
        match &report.event {
            Event::Received { .. } | Event::SyncBegun { .. } => {}
            Event::Sent { kind, to, what, .. } => self.said(report, (*kind, *to, what), world),
            Event::TermChanged { from, .. } => self.follow_into(report, *from, world),
            Event::Voted { candidate, granted: true, .. } => self.vote(report, *candidate, world),
            Event::Campaigned { last, .. } => {
                self.vote(report, report.peer, world);
                self.ends(report, *last, world);
            }
            Event::Elected { last, .. } => {
                self.ends(report, *last, world);
                world.elected(report, *last);
            }
            Event::SteppedDown { last, .. } => self.ends(report, *last, world),
            Event::Following { leader, .. } => world.following(report, *leader),
            Event::Appended { first, last, .. } => self.append(report, *first, *last, world),
            Event::Truncated { from, .. } => self.truncate(report, *from, world),
            Event::Committed { index, .. } => self.commits(report, *index, world),
            Event::Compacted { upto, .. } => self.compact(report, *upto, world),
            Event::Synced { durable, .. } => self.sync(report, *durable, world),
            Event::Replayed { last, vote, snapshot, .. } => {
                self.replay(report, *last, *vote, *snapshot, world);
            }
            Event::SnapshotInstalled { at, kept, .. } => self.install(report, *at, *kept, world),
            Event::SnapshotTaken { at, .. } => self.take_snapshot(report, *at, world),
            Event::Restored { applied, .. } => self.restored(report, *applied, world),
            Event::Applied { first, last, .. } => self.apply(report, *first, *last, world),
            _ => self.fate(report, world),
        }
    }

    /// What becomes of its actors; and what nobody should do.
    fn fate(&mut self, report: &Report, world: &mut World) {
        match &report.event {
            Event::Crashed { actor, why, .. } => {
                self.fallen.push((*actor, report.seq, report.to_string()));
                if *actor == ActorKind::Machine {
                    self.machine_fell();
                }
                if *why != Why::Injected && !world.allows(Allowed::Panics) {
                    world.accuse(
                        report,
                        Invariant::Expected,
                        format!("the {actor} fell, and nobody made it"),
                    );
                }
            }
            Event::Recovered { actor, .. } => {
                if let Some(place) = self.fallen.iter().position(|(fallen, ..)| fallen == actor) {
                    self.fallen.remove(place);
                }
            }
            Event::Opened { .. } => {
                self.fallen.clear();
                self.machine_fell();
            }
            Event::Killed { .. } => self.fallen.clear(),
            Event::PeerStopped { why, .. } => {
                self.fallen.clear();
                if !world.allows_stop(*why) {
                    world.accuse(report, Invariant::Expected, "the peer stopped, and nobody asked for it");
                }
            }
            Event::Poisoned { index, .. } if !world.allows(Allowed::Poison) => {
                world.accuse(report, Invariant::Expected, format!("entry {index} can't be applied"));
            }
            Event::Violation { by, .. } if !world.allows(Allowed::Violations) => {
                world.accuse(report, Invariant::Expected, format!("n{by} broke the protocol"));
            }
            _ => {}
        }
    }

    /// It follows into a newer term, in which it has not voted.
    fn follow_into(&mut self, report: &Report, from: Term, world: &mut World) {
        if from >= report.term {
            world.accuse(report, Invariant::OneWay, format!("its term was {from} before"));
        }
        self.ballot = (report.term, None);
        self.unsynced = Some(report.term);
    }

    /// One vote in a term (§5.2). The same once more is no other.
    fn vote(&mut self, report: &Report, candidate: PeerId, world: &mut World) {
        let vote = (report.term, Some(candidate));
        if self.ballot == vote {
            return;
        }
        if let (term, Some(other)) = self.ballot
            && term == report.term
        {
            world.accuse(report, Invariant::OneVote, format!("it voted for n{other} in term {term} before"));
        }
        self.ballot = vote;
        self.unsynced = Some(report.term);
    }

    /// A report says where its log ends. What it reported before must have brought it there.
    fn ends(&mut self, report: &Report, last: Position, world: &mut World) {
        if let Some(log) = self.log.filter(|&log| log != last) {
            let what = format!("its log ends with {last}, by its own events with {log}");
            world.accuse(report, Invariant::LogMatching, what);
        }
        self.log = Some(last);
    }

    fn append(&mut self, report: &Report, first: Index, last: Position, world: &mut World) {
        if let Some(log) = self.log {
            if first != log.index.next() || last.index < first || last.term < log.term {
                let what = format!("entries from {first} to {last} do not follow {log}");
                world.accuse(report, Invariant::LogMatching, what);
            } else {
                world.appended(report, log, first, last);
            }
        }
        let leads = report.role == Some(RoleKind::Leader);
        if last.term > report.term || leads && last.term != report.term {
            let what = format!("entries of term {} in term {}", last.term, report.term);
            world.accuse(report, Invariant::LogMatching, what);
        }
        self.log = Some(last);
    }

    fn truncate(&mut self, report: &Report, from: Index, world: &mut World) {
        if report.role == Some(RoleKind::Leader) {
            world.accuse(
                report,
                Invariant::LeaderAppendOnly,
                format!("a leader drops its log from {from} on"),
            );
        }
        if from <= self.commit {
            let what = format!("what is committed up to {} is truncated", self.commit);
            world.accuse(report, Invariant::StateMachineSafety, what);
        }
        self.log = self.log.and_then(|log| world.tree.at(log, from.prev()));
        if self.surviving.is_some_and(|surviving| surviving.index >= from) {
            self.surviving = self.surviving.and_then(|surviving| world.tree.at(surviving, from.prev()));
        }
    }

    fn commits(&mut self, report: &Report, index: Index, world: &mut World) {
        if index <= self.commit {
            let what = format!("the commit index was {} before", self.commit);
            world.accuse(report, Invariant::OneWay, what);
        }
        if let Some(log) = self.log.filter(|log| log.index < index) {
            world.accuse(report, Invariant::Bounds, format!("commit {index} is beyond the last entry {log}"));
        }
        self.commit = index;
        self.committed = self.committed.max(index);
        if let Some(entry) = self.entry(index, world) {
            world.commit(report, entry);
            if report.role == Some(RoleKind::Leader) {
                world.leader_commits(report, entry);
            }
        }
    }

    fn compact(&mut self, report: &Report, upto: Position, world: &mut World) {
        let bound = self.snapshot.index.min(self.commit);
        if upto.index > bound {
            let what = format!(
                "the log is purged up to {upto}, the snapshot covers {}, commit is {}",
                self.snapshot, self.commit
            );
            world.accuse(report, Invariant::Bounds, what);
        }
        if upto.index < self.purged {
            world.accuse(report, Invariant::OneWay, format!("it was purged up to {} before", self.purged));
        }
        if self.log.is_some_and(|log| world.tree.holds(log, upto) == Some(false)) {
            world.accuse(report, Invariant::LogMatching, format!("{upto} is purged, and was not in its log"));
        }
        self.purged = upto.index;
    }
}
