//! What a peer says to others, and what it promises by it.

use super::{Book, Invariant};
use crate::{
    lab::invariants::world::World,
    observe::Report,
    raft::{Index, MessageKind, PeerId, Term},
};

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

/// A leader that fell may be outlived for a moment by its replicators, which send what it had told them
/// to: it was under way when the leader fell, it promises nothing of the peer's own disk (thesis §10.2.1),
/// and the term is one that this peer did lead.
fn last_words(report: &Report, kind: MessageKind, term: Term, world: &World) -> bool {
    let of_a_replicator =
        matches!(kind, MessageKind::AppendEntries | MessageKind::Heartbeat | MessageKind::InstallSnapshot);
    of_a_replicator && term == report.term && world.leader(term) == Some(report.peer)
}

impl Book {
    /// Of a message nothing is read but its term, whether it grants a vote, and what it acknowledges.
    pub(super) fn said(
        &mut self,
        report: &Report,
        (kind, to, what): (MessageKind, PeerId, &str),
        world: &mut World,
    ) {
        let told = what.strip_prefix("term=").and_then(number);
        if report.role.is_none() && !told.is_some_and(|(term, _)| last_words(report, kind, Term(term), world))
        {
            world.accuse(report, Invariant::Silence, "it says something while it recovers");
        }
        // A canvass speaks of a term that nobody is in, and promises nothing (thesis §9.6).
        if matches!(kind, MessageKind::PreVote | MessageKind::PreVoted) {
            return;
        }
        let Some((term, rest)) = told else {
            return world.accuse(report, Invariant::OneWay, "it does not tell its term");
        };
        let term = Term(term);
        if term < self.spoken {
            world.accuse(report, Invariant::OneWay, format!("it spoke in term {} before", self.spoken));
        }
        self.spoken = self.spoken.max(term);
        if self.unsynced.is_some_and(|unsynced| term >= unsynced) {
            let what = format!("its term {term}, or its vote in it, is not synced yet");
            world.accuse(report, Invariant::SyncedFirst, what);
        }
        match kind {
            MessageKind::RequestVote => self.promise(report, term, report.peer, world),
            MessageKind::Voted if rest == " granted=true" => self.promise(report, term, to, world),
            MessageKind::Appended => {
                if let Some((index, _)) = rest.strip_prefix(" match=").and_then(number) {
                    self.acknowledge(report, term, Index(index), world);
                }
            }
            _ => {}
        }
    }

    /// It has voted, and another peer is told (§5.2).
    fn promise(&mut self, report: &Report, term: Term, candidate: PeerId, world: &mut World) {
        if let (before, Some(other)) = self.promised
            && before == term
            && other != candidate
        {
            world.accuse(report, Invariant::OneVote, format!("n{other} had its vote of term {term}"));
        }
        self.promised = (term, Some(candidate));
    }

    /// Its leader may count on it that it holds everything up to here (§5.3).
    ///
    /// What it accepted in an earlier term it may say in a later one, after the next leader had it truncated, all
    /// in one turn and one sync: in its log the one came before the other. If it voted for the next leader it did
    /// so with these entries; if it did not, others of the quorum that commits them did, and then the next leader
    /// would hold them too (§5.4.3). So only what it did since has to be on its disk.
    fn acknowledge(&mut self, report: &Report, term: Term, index: Index, world: &mut World) {
        let Some(log) = self.log else { return };
        // Most often everything is synced.
        if self.synced == Some(log) && (index <= log.index || term < report.term) {
            return;
        }
        let entry = world.tree.at(log, index);
        if index > log.index || entry.is_some_and(|entry| self.has_synced(entry, world) == Some(false)) {
            let synced = self.synced.unwrap_or_default();
            let what = format!("{index} is acknowledged, its disk has {synced}, its log {log}");
            world.accuse(report, Invariant::SyncedFirst, what);
        }
    }
}
