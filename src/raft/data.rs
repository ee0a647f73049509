//! What an entry carries for the state machine.

use std::fmt;

use bytes::Bytes;

/// Bytes for the state machine, opaque to Raft.
///
/// The first of them may be held apart from the others: whoever puts one byte in front of a command that it shares
/// with somebody need not copy the command for it. Nothing else tells such data from data in one piece.
///
/// They may be [pooled](Data::pooled): have their place in a buffer among others, which stays in memory for as long as
/// any of them. A log lets go of all of them, one after the other; whoever wants to keep the bytes of one for longer
/// has to copy them.
///
/// ```
/// use raft_actors::raft::Data;
///
/// let data = Data::behind(0, "x = 1".into());
/// assert_eq!(data, Data::from("\0x = 1"));
/// assert_eq!(data.split_first(), Some((0, &b"x = 1"[..])));
/// ```
#[derive(Clone, Default)]
pub struct Data {
    first: Option<u8>,
    is_pooled: bool,
    rest: Bytes,
}

impl Data {
    /// A byte, and behind it these.
    pub fn behind(first: u8, rest: Bytes) -> Data {
        Data { first: Some(first), is_pooled: false, rest }
    }

    /// Bytes in a buffer that holds others, too, which come and go at about the same time.
    pub fn pooled(bytes: Bytes) -> Data {
        Data { first: None, is_pooled: true, rest: bytes }
    }

    /// Whether they keep others in memory.
    #[inline]
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// How many bytes these are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in order, in two pieces, of which the first may be empty.
    pub fn pieces(&self) -> [&[u8]; 2] {
        [self.first.as_slice(), &self.rest]
    }

    /// The first byte, and the others.
    #[inline]
    pub fn split_first(&self) -> Option<(u8, &[u8])> {
        match self.first {
            Some(first) => Some((first, &self.rest)),
            None => self.rest.split_first().map(|(&first, rest)| (first, rest)),
        }
    }

    /// All but so many from the beginning. Shares them, unless the first that is left stands apart.
    pub fn skip(&self, count: usize) -> Bytes {
        match self.lend(count) {
            Some((rest, of_rest)) => rest.slice(of_rest.min(rest.len())..),
            None => Bytes::from(self.pieces().concat()),
        }
    }

    /// Where all but so many from the beginning are: behind so many bytes (or beyond the end) of these. They are
    /// nowhere in one piece, if the first that is left stands apart.
    #[inline]
    pub(crate) fn lend(&self, count: usize) -> Option<(&Bytes, usize)> {
        let of_rest = if self.first.is_some() { count.checked_sub(1)? } else { count };
        Some((&self.rest, of_rest))
    }

    /// All of them. Shares them, unless the first stands apart.
    pub fn to_bytes(&self) -> Bytes {
        self.skip(0)
    }
}

impl<T: Into<Bytes>> From<T> for Data {
    fn from(bytes: T) -> Data {
        Data { first: None, is_pooled: false, rest: bytes.into() }
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        self.len() == other.len() && self.split_first() == other.split_first()
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Data with a first byte apart, and the same in one piece.
        #[test]
        fn a_byte_that_stands_apart_changes_nothing(first: u8, rest: Vec<u8>, count in 0..300_usize, other: Vec<u8>) {
            let whole = [&[first][..], &rest].concat();
            let apart = Data::behind(first, rest.clone().into());
            let joined = Data::from(whole.clone());
            let pooled = Data::pooled(whole.clone().into());
            for data in [&apart, &joined, &pooled] {
                prop_assert_eq!(data.len(), whole.len());
                prop_assert!(!data.is_empty());
                prop_assert_eq!(data.pieces().concat(), whole.clone());
                prop_assert_eq!(data.split_first(), Some((first, &rest[..])));
                prop_assert_eq!(data.to_bytes(), whole.clone());
                prop_assert_eq!(&data.skip(count)[..], whole.get(count..).unwrap_or_default());
                prop_assert_eq!(format!("{data:?}"), format!("{:?}", Bytes::from(whole.clone())));
            }
            prop_assert_eq!(&apart, &joined);
            prop_assert_eq!(&joined, &apart);
            prop_assert_eq!(&joined, &pooled);
            prop_assert_eq!(apart == Data::from(other.clone()), whole == other);
        }
    }

    #[test]
    fn nothing_has_no_first_byte() {
        assert_eq!(Data::default().split_first(), None);
        assert!(Data::default().is_empty());
        assert_ne!(Data::default(), Data::behind(0, Bytes::new()));
        assert_eq!(Data::default().skip(3), Bytes::new());
    }

    #[test]
    fn what_is_behind_the_first_byte_is_shared() {
        let command = Bytes::from(vec![7; 4_096]);
        assert_eq!(Data::behind(0, command.clone()).skip(1).as_ptr(), command.as_ptr());
    }
}
