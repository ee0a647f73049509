//! The names of the files in a folder of snapshots: what a file is can be seen without opening it.
//!
//! `00000000000000000042-00000000000000000007.snapshot` covers the log up to entry 42 of term 7. All
//! digits are written, so that a listing is in the order of the log.

use std::fmt;

use crate::raft::{Index, Position, Term};

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// A whole snapshot, durable.
    Whole,
    /// One that is being saved. It is worth nothing after a crash: the machine goes on elsewhere.
    Aside,
    /// One that comes in from a leader, as far as it is here.
    Incoming,
}

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Kind::Whole => "snapshot",
            Kind::Aside => "tmp",
            Kind::Incoming => "incoming",
        }
    }
}

/// A file of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

impl Name {
    /// `None`: it is no file of ours.
    pub(super) fn parse(text: &str) -> Option<Name> {
        let (stem, ending) = text.split_once('.')?;
        let (index, term) = stem.split_once('-')?;
        let kinds = [Kind::Whole, Kind::Aside, Kind::Incoming];
        let kind = kinds.into_iter().find(|kind| kind.ending() == ending)?;
        let at = Position { term: Term(term.parse().ok()?), index: Index(index.parse().ok()?) };
        let name = Name { at, kind };
        // There is one way to write a name: "+7" and "7" are none.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:020}.{}", self.at.index.0, self.at.term.0, self.kind.ending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_can_be_read_back_and_no_other() {
        for kind in [Kind::Whole, Kind::Aside, Kind::Incoming] {
            for at in [Position::new(7, 42), Position::new(0, 0), Position::new(u64::MAX, u64::MAX)] {
                let name = Name { at, kind };
                assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }
        let good = Name { at: Position::new(7, 42), kind: Kind::Whole }.to_string();
        assert_eq!(good, "00000000000000000042-00000000000000000007.snapshot");
        for bad in [
            "",
            ".",
            "snapshot",
            "42-7.snapshot",
            "+0000000000000000042-00000000000000000007.snapshot",
            "00000000000000000042-00000000000000000007.snapshot.old",
            "00000000000000000042-00000000000000000007.Snapshot",
            "99999999999999999999-00000000000000000007.snapshot",
        ] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
