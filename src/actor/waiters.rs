//! The clients that wait for what a machine is about to apply.

use std::collections::VecDeque;

use crate::raft::{Index, Port, Term, Waiting};

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
