//! The bytes of a command while the log keeps them.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use crate::raft::Data;

/// Bytes that somebody else keeps: to look at them costs nothing, to [`share`](Self::share) them two atomic operations,
/// one to begin with and one to end, or else a copy. Every peer applies every command, so that is what is felt in a
/// cluster of one process: as much as all the rest of applying a small one.
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
    /// They have their place among others, which stay in memory with them.
    is_pooled: bool,
}

impl<'a> Lent<'a> {
    /// All but so many from the beginning.
    #[inline]
    pub fn behind(count: usize, bytes: &'a Bytes) -> Lent<'a> {
        Lent { bytes, from: count.min(bytes.len()), is_pooled: false }
    }

    /// All of an entry's data but so many from the beginning. `None`: they are not in one piece.
    #[inline]
    pub(crate) fn behind_header(count: usize, data: &'a Data) -> Option<Lent<'a>> {
        let (bytes, of_bytes) = data.lend(count)?;
        Some(Lent { is_pooled: data.is_pooled(), ..Lent::behind(of_bytes, bytes) })
    }

    /// These bytes, to keep for as long as one likes. What is kept by two from now on is not copied; but short ones
    /// that would keep [others](Data::pooled) in memory are.
    #[inline]
    pub fn share(self) -> Bytes {
        if self.is_pooled { Bytes::copy_from_slice(&self) } else { self.bytes.slice(self.from..) }
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
        Lent { bytes, from: 0, is_pooled: false }
    }
}

/// Like [`Bytes`].
impl fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes::copy_from_slice(self).fmt(f)
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

    #[test]
    fn whoever_keeps_what_is_pooled_keeps_no_more_than_that() {
        let data = Data::pooled(Bytes::from(vec![7; 100]));
        let lent = Lent::behind_header(1, &data).unwrap();
        let kept = lent.share();
        assert_eq!((&*kept, kept.len()), (&*lent, 99));
        assert_ne!(kept.as_ptr(), lent.as_ptr());
    }
}
