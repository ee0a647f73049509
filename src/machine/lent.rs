//! The bytes of a command while the log keeps them.

use std::{fmt, ops::Deref};

use bytes::Bytes;

/// Bytes that somebody else keeps: to look at them costs nothing, to [`share`](Self::share) them two atomic operations,
/// one to begin with and one to end. Every peer applies every command, so that is what is felt in a cluster of one
/// process: as much as all the rest of applying a small one.
///
/// ```
/// use bytes::Bytes;
/// use raft_actors::machine::Lent;
///
/// let entry = Bytes::from("header: x = 1");
/// let command = Lent::behind(8, &entry);
/// assert_eq!(*command, *b"x = 1");
/// assert_eq!(command.share(), "x = 1");
/// assert!(Lent::behind(99, &entry).is_empty());
/// ```
#[derive(Clone, Copy)]
pub struct Lent<'a> {
    bytes: &'a Bytes,
    from: usize,
}

impl<'a> Lent<'a> {
    /// All but so many from the beginning.
    #[inline]
    pub fn behind(count: usize, bytes: &'a Bytes) -> Lent<'a> {
        Lent { bytes, from: count.min(bytes.len()) }
    }

    /// These bytes, kept by two from now on. Nothing is copied.
    #[inline]
    pub fn share(self) -> Bytes {
        self.bytes.slice(self.from..)
    }
}

impl Deref for Lent<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

impl<'a> From<&'a Bytes> for Lent<'a> {
    fn from(bytes: &'a Bytes) -> Lent<'a> {
        Lent { bytes, from: 0 }
    }
}

/// Like [`Bytes`].
impl fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_lent_is_what_is_behind(bytes: Vec<u8>, count in 0..300_usize) {
            let rest = bytes.get(count..).unwrap_or_default().to_vec();
            let bytes = Bytes::from(bytes);
            let lent = Lent::behind(count, &bytes);
            prop_assert_eq!(&*lent, &rest);
            prop_assert_eq!(lent.share(), &rest);
            prop_assert_eq!(format!("{lent:?}"), format!("{:?}", Bytes::from(rest)));
        }
    }

    #[test]
    fn only_who_shares_takes_part() {
        let bytes = Bytes::from(vec![7; 100]);
        let lent = Lent::from(&bytes);
        assert!(bytes.is_unique(), "a look takes no share");
        let shared = lent.share();
        assert!(!bytes.is_unique());
        assert_eq!(shared.as_ptr(), bytes.as_ptr(), "nor does a share copy");
    }
}
