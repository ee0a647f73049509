//! What is known of the whole cluster: its logs, its leaders, and what is committed.

use std::collections::BTreeMap;

use super::{
    tree::{Fault, Tree},
    violation::{Allowed, Invariant, Violation},
};
use crate::{
    observe::Report,
    raft::{Index, PeerId, Position, RoleKind, Term, Why},
};

/// How many violations are kept: what comes after them is most often their consequence.
const KEPT_MAX: usize = 100;

/// One term's leader.
#[derive(Debug)]
struct Leader {
    peer: PeerId,
    /// The end of its log when it was elected.
    last: Position,
    /// The last entry it has committed.
    committed: Position,
}

/// The cluster, as all its peers' events so far show it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    leaders: BTreeMap<Term, Leader>,
    /// The last entry that is committed anywhere, and the term of the leader that committed it.
    committed: Position,
    committed_in: Term,
    allowed: Vec<Allowed>,
    pub(super) violations: Vec<Violation>,
    /// All of them, also those that are not kept.
    pub(super) violated: u64,
}

impl World {
    pub(super) fn new() -> World {
        World {
            tree: Tree::new(),
            leaders: BTreeMap::new(),
            committed: Position::ZERO,
            committed_in: Term(0),
            allowed: Vec::new(),
            violations: Vec::new(),
            violated: 0,
        }
    }

    pub(super) fn allow(&mut self, allowed: Allowed) {
        self.allowed.push(allowed);
    }

    pub(super) fn allows(&self, what: Allowed) -> bool {
        self.allowed.contains(&what)
    }

    /// Whether a peer may stop for this reason.
    pub(super) fn allows_stop(&self, why: Why) -> bool {
        why == Why::Stopped || self.allows(Allowed::Stops(why))
    }

    /// Something does not hold.
    pub(super) fn accuse(&mut self, report: &Report, invariant: Invariant, what: impl Into<String>) {
        self.violated += 1;
        if self.violations.len() < KEPT_MAX {
            let (what, seq, report) = (what.into(), report.seq, report.to_string());
            self.violations.push(Violation { invariant, what, seq, report });
        }
    }

    /// The last entry that is committed anywhere.
    pub(super) fn committed(&self) -> Position {
        self.committed
    }

    /// Whether the leader of this term was seen to be elected. Who is not seen may do what is not seen.
    pub(super) fn knows_leader(&self, term: Term) -> bool {
        self.leaders.contains_key(&term)
    }

    /// Who was seen to be elected in this term.
    pub(super) fn leader(&self, term: Term) -> Option<PeerId> {
        self.leaders.get(&term).map(|leader| leader.peer)
    }

    /// Election Safety (§5.2), and Leader Completeness (§5.4) for what is committed already.
    pub(super) fn elected(&mut self, report: &Report, last: Position) {
        let leader = Leader { peer: report.peer, last, committed: Position::ZERO };
        if let Some(other) = self.leaders.insert(report.term, leader) {
            let what = format!("n{} was elected in term {} already", other.peer, report.term);
            self.accuse(report, Invariant::ElectionSafety, what);
        }
        if self.committed_in < report.term {
            return self.lacks(report, last, self.committed, self.committed_in);
        }
        // An election that is won late: some of what is committed may be of leaders after this one.
        let before = self.leaders.range(..report.term).map(|(&term, leader)| (leader.committed, term));
        if let Some((committed, term)) = before.max_by_key(|(committed, _)| committed.index) {
            self.lacks(report, last, committed, term);
        }
    }

    fn lacks(&mut self, report: &Report, last: Position, committed: Position, by: Term) {
        if self.tree.holds(last, committed) == Some(false) {
            let what = format!("elected with a log up to {last}, and term {by} has committed {committed}");
            self.accuse(report, Invariant::LeaderCompleteness, what);
        }
    }

    /// A follower has come to know who leads its term.
    pub(super) fn following(&mut self, report: &Report, leader: PeerId) {
        if let Some(known) = self.leaders.get(&report.term)
            && known.peer != leader
        {
            let what = format!("it follows n{leader}, and n{} was elected in that term", known.peer);
            self.accuse(report, Invariant::ElectionSafety, what);
        }
    }

    /// Log Matching (§5.3): entries follow `before` in a peer's log.
    pub(super) fn appended(&mut self, report: &Report, before: Position, first: Index, last: Position) {
        let term = last.term;
        let leads = report.role == Some(RoleKind::Leader) && report.term == term;
        let what = match self.tree.grow(before, first, last, leads) {
            Ok(()) => return,
            Err(Fault::Elsewhere(index, behind)) => format!(
                "the entries of term {term} begin at {first} behind {before}, elsewhere at {index} behind {behind}"
            ),
            Err(Fault::Uncreated(end)) => format!("the leader of term {term} has created none behind {end}"),
        };
        self.accuse(report, Invariant::LogMatching, what);
    }

    /// State Machine Safety (§5.4.3): this entry is committed, so whatever is committed is in one log with
    /// it; and only a leader is the first to commit.
    pub(super) fn commit(&mut self, report: &Report, entry: Position) {
        let news = entry.index > self.committed.index;
        let agrees = if news {
            self.tree.holds(entry, self.committed)
        } else {
            self.tree.holds(self.committed, entry)
        };
        if agrees == Some(false) {
            let what = format!("{entry} is committed, and so is {}, of another log", self.committed);
            self.accuse(report, Invariant::StateMachineSafety, what);
        }
        if news {
            if report.role != Some(RoleKind::Leader) && self.knows_leader(report.term) {
                let what = format!("no leader has committed beyond {}", self.committed);
                self.accuse(report, Invariant::StateMachineSafety, what);
            }
            (self.committed, self.committed_in) = (entry, report.term);
        }
    }

    /// What a snapshot ends with is committed (§7).
    pub(super) fn covered(&mut self, report: &Report, entry: Position) {
        if entry.index <= self.committed.index || self.knows_leader(report.term) {
            if self.tree.holds(self.committed, entry) == Some(false) {
                let what =
                    format!("a snapshot covers {entry}; what is committed ends with {}", self.committed);
                self.accuse(report, Invariant::StateMachineSafety, what);
            }
        } else {
            (self.committed, self.committed_in) = (entry, report.term);
        }
    }

    /// Leader Completeness (§5.4): whoever was elected in a later term meanwhile had it in its log; and a
    /// leader counts for entries of its own term only (§5.4.2).
    pub(super) fn leader_commits(&mut self, report: &Report, entry: Position) {
        if let Some(leader) = self.leaders.get_mut(&report.term) {
            leader.committed = entry;
        }
        if entry.term != report.term {
            let what = format!("the leader of term {} counts replicas of {entry}", report.term);
            self.accuse(report, Invariant::QuorumHolds, what);
        }
        let later = self.leaders.range(report.term.next()..);
        let without = later.filter(|(_, leader)| self.tree.holds(leader.last, entry) == Some(false));
        let without: Vec<_> = without.map(|(&term, leader)| (term, leader.peer, leader.last)).collect();
        for (term, peer, last) in without {
            let what = format!(
                "{entry} is committed, and n{peer} was elected in term {term} with a log up to {last}"
            );
            self.accuse(report, Invariant::LeaderCompleteness, what);
        }
    }
}
