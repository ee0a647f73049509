//! Pieces of a leader's snapshot that came before those in front of them.
//!
//! A snapshot store takes pieces in order. A network that delays one of a window must not cost the
//! rest of it, so what comes early waits here, up to a window of it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::raft::SnapshotMeta;

/// Pieces that wait for those in front of them, each with what is to be done with its answer.
#[derive(Debug)]
pub struct Early<T> {
    /// The snapshot that comes in.
    meta: Option<Arc<SnapshotMeta>>,
    /// Up to where the store was given it.
    given: u64,
    waiting: BTreeMap<u64, (Bytes, T)>,
    bytes: usize,
    bytes_max: usize,
}

/// What becomes of a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// The store is to have it.
    Give(Bytes, T),
    /// It waits, or there is no room for it; the store has been given this much.
    Early(u64, T),
}

impl<T: Clone> Early<T> {
    /// Nothing waits; up to `bytes_max` bytes may.
    pub fn new(bytes_max: usize) -> Early<T> {
        Early { meta: None, given: 0, waiting: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// A piece has come. Of a snapshot of which nothing is known the store says how much it has.
    pub fn come(&mut self, meta: &Arc<SnapshotMeta>, offset: u64, data: Bytes, tag: T) -> Fate<T> {
        let end = offset.saturating_add(data.len() as u64);
        if self.meta.as_ref() != Some(meta) {
            (self.meta, self.given, self.bytes) = (Some(meta.clone()), offset, 0);
            self.waiting.clear();
        }
        if offset <= self.given {
            if offset == self.given {
                self.given = end;
            }
            return Fate::Give(data, tag);
        }
        if self.bytes.saturating_add(data.len()) <= self.bytes_max && !self.waiting.contains_key(&offset) {
            self.bytes += data.len();
            self.waiting.insert(offset, (data, tag.clone()));
        }
        Fate::Early(self.given, tag)
    }

    /// The store has been given everything in front of the next one that waits: it is to have it now.
    pub fn next(&mut self) -> Option<(u64, Bytes, T)> {
        while let Some((offset, (data, tag))) = self.waiting.pop_first() {
            if offset > self.given {
                self.waiting.insert(offset, (data, tag));
                return None;
            }
            self.bytes = self.bytes.saturating_sub(data.len());
            if offset == self.given {
                self.given = self.given.saturating_add(data.len() as u64);
                return Some((offset, data, tag));
            }
        }
        None
    }

    /// The store has answered a piece that ended at `end`: it holds this much. If that is something
    /// else it knows better.
    pub fn taken(&mut self, meta: &Arc<SnapshotMeta>, end: u64, held: u64) {
        if self.meta.as_ref() == Some(meta) && held != end && (held < end || held > self.given) {
            self.given = held;
        }
    }

    /// The store has failed, or is done: nothing that waits is of use.
    pub fn forget(&mut self) {
        (self.meta, self.given, self.bytes) = (None, 0, 0);
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Position;

    fn meta(index: u64) -> Arc<SnapshotMeta> {
        let (at, membership) = (Position::new(1, index), Arc::default());
        SnapshotMeta { at, membership, bytes: 100, checksum: 0 }.into()
    }

    fn come(early: &mut Early<()>, offset: u64, bytes: usize) -> Result<(), u64> {
        match early.come(&meta(1), offset, vec![0; bytes].into(), ()) {
            Fate::Give(..) => Ok(()),
            Fate::Early(given, ()) => Err(given),
        }
    }

    fn given(early: &mut Early<()>) -> Vec<u64> {
        std::iter::from_fn(|| early.next()).map(|(offset, ..)| offset).collect()
    }

    #[test]
    fn what_comes_early_waits_for_what_is_in_front_of_it() {
        let mut early = Early::new(40);
        assert_eq!(come(&mut early, 0, 10), Ok(()));
        assert_eq!(come(&mut early, 30, 10), Err(10));
        assert_eq!(come(&mut early, 20, 10), Err(10));
        assert_eq!(come(&mut early, 20, 10), Err(10), "a doubled one");
        assert_eq!(given(&mut early), [0; 0]);
        assert_eq!(come(&mut early, 10, 10), Ok(()));
        assert_eq!(given(&mut early), [20, 30]);
        assert_eq!(come(&mut early, 20, 10), Ok(()), "what is old the store answers");
        assert_eq!(come(&mut early, 40, 10), Ok(()));
    }

    #[test]
    fn only_a_window_waits() {
        let mut early = Early::new(25);
        come(&mut early, 0, 10).unwrap();
        for offset in [20, 30, 40] {
            assert_eq!(come(&mut early, offset, 10), Err(10));
        }
        come(&mut early, 10, 10).unwrap();
        assert_eq!(given(&mut early), [20, 30]);
        assert_eq!(early.bytes, 0);
    }

    #[test]
    fn the_store_knows_better() {
        let mut early = Early::new(100);
        assert_eq!(come(&mut early, 50, 10), Ok(()), "nothing is known of it yet");
        early.taken(&meta(1), 60, 20);
        assert_eq!(come(&mut early, 50, 10), Err(20));
        early.taken(&meta(1), 10, 40);
        assert_eq!(come(&mut early, 40, 10), Ok(()));
        assert_eq!(given(&mut early), [50]);
        early.taken(&meta(1), 50, 50);
        assert_eq!(come(&mut early, 60, 10), Ok(()), "an answer of what is given says nothing new");
        early.taken(&meta(2), 70, 0);
        assert_eq!(come(&mut early, 70, 10), Ok(()), "another snapshot's answer");
    }

    #[test]
    fn another_snapshot_begins_anew() {
        let mut early = Early::new(100);
        come(&mut early, 0, 10).unwrap();
        assert_eq!(come(&mut early, 20, 10), Err(10));
        assert!(matches!(early.come(&meta(2), 0, vec![0; 20].into(), ()), Fate::Give(..)));
        assert_eq!(given(&mut early), [0; 0]);
        early.forget();
        assert_eq!((early.given, early.bytes), (0, 0));
    }
}
