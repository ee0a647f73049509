//! What left the front of a log, on its way back to the allocator.
//!
//! A snapshot replaces a hundred thousand entries at once, and to free them at once keeps a thread busy for tens of
//! milliseconds, in the middle of everybody's proposals. So they go in portions, one for each portion that comes in.
//! Portions are large because allocators like neighbours to be freed together. A cluster that falls silent keeps what is
//! left until somebody proposes again.

use std::{collections::VecDeque, mem};

use super::types::Batch;

/// How much has to come in before as much, and a quarter more, is freed: some 2,500 entries of 256 bytes.
const PORTION: u64 = 1 << 20;

/// What an entry costs besides its weight: a small one is as much work as one of so many bytes.
const EACH: u64 = 128;

/// Things that are gone, and only not freed yet.
///
/// Invariant: more is freed than comes in, so that log and leaving together exceed what the log was when it was cut by
/// no more than a portion and the batch that completes it.
#[derive(Clone, Debug)]
pub(crate) struct Leaving<T> {
    gone: VecDeque<T>,
    /// How much came in since some was freed.
    came: u64,
}

/// What to free a batch costs, in bytes of its entries.
pub(crate) fn cost(batch: &Batch) -> u64 {
    batch.weight() as u64 + batch.count() * EACH
}

impl<T> Leaving<T> {
    /// Takes the first `count` of them over; the others stay where they are.
    pub(crate) fn take_front(&mut self, from: &mut VecDeque<T>, count: usize) {
        let count = count.min(from.len());
        if self.gone.is_empty() {
            // Keeps the room of both.
            mem::swap(&mut self.gone, from);
            from.extend(self.gone.drain(count..));
        } else {
            self.gone.extend(from.drain(..count));
        }
    }

    /// Something of this cost came in: frees some of what is gone, if it is time.
    #[inline]
    pub(crate) fn make_room(&mut self, came: u64, cost: impl Fn(&T) -> u64) {
        if !self.gone.is_empty() {
            self.came += came;
            if self.came >= PORTION {
                self.free(cost);
            }
        }
    }

    fn free(&mut self, cost: impl Fn(&T) -> u64) {
        let portion = self.came + self.came / 4;
        self.came = 0;
        let mut freed = 0;
        while freed < portion
            && let Some(gone) = self.gone.pop_front()
        {
            freed += cost(&gone);
        }
    }
}

impl<T> Default for Leaving<T> {
    fn default() -> Self {
        Leaving { gone: VecDeque::new(), came: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(batches: usize) -> Leaving<u64> {
        let mut leaving = Leaving::default();
        leaving.take_front(&mut (0..batches as u64).collect(), usize::MAX);
        leaving
    }

    #[test]
    fn a_quarter_more_is_freed_than_came_but_not_before_a_portion_has() {
        let mut leaving = leaving(1_000);
        let each = PORTION / 100;
        leaving.make_room(PORTION - 1, |_| each);
        assert_eq!(leaving.gone.len(), 1_000);
        leaving.make_room(1, |_| each);
        assert_eq!(leaving.gone.len(), 1_000 - 126);
        leaving.make_room(PORTION, |_| PORTION);
        assert_eq!(leaving.gone.len(), 1_000 - 128);
        leaving.make_room(100 * PORTION, |_| each);
        assert!(leaving.gone.is_empty());
    }

    #[test]
    fn the_front_leaves_and_the_rest_stays() {
        let mut held = VecDeque::from([7, 8, 9]);
        let mut leaving = leaving(0);
        leaving.take_front(&mut held, 2);
        assert_eq!((&held, &leaving.gone), (&VecDeque::from([9]), &VecDeque::from([7, 8])));
        leaving.take_front(&mut held, 1);
        assert_eq!((held, leaving.gone), (VecDeque::new(), VecDeque::from([7, 8, 9])));
    }
}
