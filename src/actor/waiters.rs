//! The clients that wait for what a machine is about to apply.

use std::collections::{BTreeMap, VecDeque};

use crate::raft::{Index, Outcome, Port, Position, Term, Waiting};

/// The clients that wait for entries of one `Apply`, in order.
pub struct Waiters {
    groups: VecDeque<(Term, Index, std::vec::IntoIter<Port>)>,
}

impl Waiters {
    /// The clients of an `Apply`.
    pub fn new(waiting: Vec<Waiting>) -> Waiters {
        let groups = waiting.into_iter().map(|group| (group.term, group.first, group.ports.into_iter()));
        Waiters { groups: groups.collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The client that waits for `index`. Those of earlier entries were passed over: their ports,
    /// dropped, say that nobody knows.
    pub fn take(&mut self, index: Index) -> Option<Port> {
        while let Some((_, next, ports)) = self.groups.front_mut() {
            if *next > index {
                return None;
            }
            let port = ports.nth(index.since(*next) as usize);
            *next = index.next();
            if ports.len() == 0 {
                self.groups.pop_front();
            }
            if port.is_some() {
                return port;
            }
        }
        None
    }

    /// Everybody who still waits, by index.
    pub fn rest(self) -> impl Iterator<Item = (Index, Term, Port)> {
        self.groups.into_iter().flat_map(|(term, next, ports)| {
            (next.0..).map(Index).zip(ports).map(move |(index, port)| (index, term, port))
        })
    }
}

/// The clients whose leader stepped down; by index, with the term in which they proposed.
#[derive(Default)]
pub struct Orphans(BTreeMap<Index, (Term, Port)>);

impl Orphans {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    pub fn adopt(&mut self, index: Index, proposed: Term, port: Port) {
        self.0.insert(index, (proposed, port));
    }

    /// The client that waits for this very entry. If another leader's entry took the place of what was proposed, that
    /// certainly never happened, and the client is told so.
    pub fn take(&mut self, at: Position) -> Option<Port> {
        if self.0.is_empty() {
            return None;
        }
        let (proposed, port) = self.0.remove(&at.index)?;
        if proposed == at.term {
            return Some(port);
        }
        port.answer(Outcome::Lost);
        None
    }

    /// An entry of a later term is committed in front of theirs: terms only rise along a log, so no log
    /// that holds that entry can hold what was proposed in an earlier term behind it (§5.3, §5.4).
    pub fn answer_lost(&mut self, applied: Term) {
        for (index, (proposed, port)) in std::mem::take(&mut self.0) {
            if proposed < applied {
                port.answer(Outcome::Lost);
            } else {
                self.0.insert(index, (proposed, port));
            }
        }
    }

    /// Those up to `index` were passed over: their ports, dropped, say that nobody knows.
    pub fn pass_over(&mut self, index: Index) {
        self.0 = self.0.split_off(&index.next());
    }

    /// They have stopped waiting: their ports, dropped, say that nobody knows.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
