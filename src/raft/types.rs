//! The nouns of the paper: peers, terms, indexes, positions, commands, batches.

use std::{fmt, sync::Arc};

use super::{Data, membership::Membership};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// A peer of the cluster. Chosen by whoever starts it, kept for life.
    PeerId
}
number! {
    /// A term: the logical clock of the cluster (§5.1). Term 0 is before the first election and
    /// holds only entry 1, the first membership.
    Term
}
number! {
    /// The place of an entry in the log. The first entry has index 1; 0 is "before everything".
    Index
}

impl Term {
    /// The term after this one. Saturates: a term at the end of the range can elect nobody.
    pub fn next(self) -> Term {
        Term(self.0.saturating_add(1))
    }
}

impl Index {
    /// The index after this one. Saturates.
    pub fn next(self) -> Index {
        Index(self.0.saturating_add(1))
    }

    /// The index before this one; `0` stays `0`.
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }

    /// This index moved up by `count`. Saturates.
    pub fn plus(self, count: u64) -> Index {
        Index(self.0.saturating_add(count))
    }

    /// How many entries lie after `earlier`, up to and including this one.
    pub fn since(self, earlier: Index) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Term and index of one entry. Two logs that hold an entry at the same position are identical up
/// to it (Log Matching, §5.3), and of two logs the one whose last position is greater is the more
/// up-to-date (§5.4.1): which is why the order of the fields is what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The term in which a leader created the entry.
    pub term: Term,
    /// Where the entry stands in the log.
    pub index: Index,
}

impl Position {
    /// The position before the first entry.
    pub const ZERO: Position = Position { term: Term(0), index: Index(0) };

    /// The entry `index` of `term`.
    pub fn new(term: impl Into<Term>, index: impl Into<Index>) -> Position {
        Position { term: term.into(), index: index.into() }
    }
}

/// `index@term`, as in the paper's figures: `7@3` is entry 7, created in term 3.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// What one entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Nothing: what a new leader appends first, so that it can commit in its own term (§8).
    Noop,
    /// A membership, in force from the moment it is appended (thesis §4.1). Entry 1 is always one.
    Membership(Arc<Membership>),
    /// Bytes for the state machine, opaque to Raft.
    Data(Data),
}

impl Command {
    /// What this command counts for in limits: its payload, in bytes, and a fixed sum for the rest.
    #[inline]
    pub fn weight(&self) -> usize {
        const OVERHEAD: usize = 40;
        match self {
            Command::Noop => OVERHEAD,
            Command::Membership(membership) => OVERHEAD + membership.weight(),
            Command::Data(data) => OVERHEAD + data.len(),
        }
    }
}

/// A run of neighbouring entries of one term: a view into an allocation that leader, followers,
/// machine and memory storage share. Cutting a batch cuts the view, never the data.
#[derive(Clone, Debug)]
pub struct Batch {
    term: Term,
    first: Index,
    /// The view: `commands[low..high]`, never empty.
    low: u32,
    high: u32,
    shared: Arc<Shared>,
}

/// What all views have in common; what everybody asks about every batch is counted once.
#[derive(Debug)]
struct Shared {
    commands: Vec<Command>,
    /// Of all of them.
    weight: usize,
    has_membership: bool,
}

impl Batch {
    /// The entries `first..` of `term`. `None` if there are no commands, or more than an index or
    /// a batch can count.
    pub fn new(term: Term, first: Index, commands: Vec<Command>) -> Option<Batch> {
        let high = u32::try_from(commands.len()).ok().filter(|&high| high > 0)?;
        first.0.checked_add(u64::from(high))?;
        let weight = commands.iter().map(Command::weight).sum();
        let has_membership = commands.iter().any(|command| matches!(command, Command::Membership(_)));
        Some(Batch {
            term,
            first,
            low: 0,
            high,
            shared: Arc::new(Shared { commands, weight, has_membership }),
        })
    }

    /// The term of every entry in it.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The index of its first entry.
    pub fn first(&self) -> Index {
        self.first
    }

    /// The position of its last entry.
    pub fn last(&self) -> Position {
        Position { term: self.term, index: self.first.plus(self.count()).prev() }
    }

    /// How many entries; at least one.
    pub fn count(&self) -> u64 {
        u64::from(self.high - self.low)
    }

    /// What its entries count for in limits, in bytes.
    pub fn weight(&self) -> usize {
        let commands = self.commands();
        if commands.len() == self.shared.commands.len() {
            return self.shared.weight;
        }
        commands.iter().map(Command::weight).sum()
    }

    /// The commands, in the order of their indexes.
    pub fn commands(&self) -> &[Command] {
        self.shared.commands.get(self.low as usize..self.high as usize).unwrap_or_default()
    }

    /// The memberships among them, and where they stand.
    pub fn memberships(&self) -> impl Iterator<Item = (Position, &Arc<Membership>)> {
        let entries = self.shared.has_membership.then(|| self.entries());
        entries.into_iter().flatten().filter_map(|(position, command)| match command {
            Command::Membership(membership) => Some((position, membership)),
            _ => None,
        })
    }

    /// Positions and commands, in order.
    pub fn entries(&self) -> impl Iterator<Item = (Position, &Command)> + Clone {
        let term = self.term;
        (self.first.0..)
            .zip(self.commands())
            .map(move |(index, command)| (Position::new(term, index), command))
    }

    /// The part of this batch that lies in `from..=to`, if any.
    pub fn within(&self, from: Index, to: Index) -> Option<Batch> {
        let from = from.max(self.first);
        let to = to.min(self.last().index);
        if from > to {
            return None;
        }
        // Both differences are below the batch's length, which is a u32.
        let low = self.low + from.since(self.first) as u32;
        let high = low + to.since(from) as u32 + 1;
        Some(Batch { term: self.term, first: from, low, high, shared: self.shared.clone() })
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        (self.term, self.first, self.commands()) == (other.term, other.first, other.commands())
    }
}

impl Eq for Batch {}

/// `[4..=6@2]`: entries 4 to 6, created in term 2. Never the payload.
impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..={}]", self.first, self.last())
    }
}
