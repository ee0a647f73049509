//! The answers of a batch, in as few allocations as there may be.
//!
//! Each answer is counted by reference, as whoever waits for it may keep it. Most are a few bytes long, and a
//! buffer for each would cost more than all the rest of applying it. So short ones share one, which lives as
//! long as any of them; a long one has its own, so that nobody keeps it for a neighbour's sake.

use std::ops::Range;

use bytes::Bytes;

use super::custom::Ran;
use crate::machine::CodecError;

/// Longer than this an answer has a buffer of its own.
const SHORT_BYTES: usize = 256;

/// The answers so far.
pub(super) struct Answers {
    shared: Vec<u8>,
    answers: Vec<Result<Place, CodecError>>,
}

enum Place {
    Shared(Range<usize>),
    Own(Bytes),
}

impl Answers {
    /// Room for so many.
    pub fn with_capacity(count: usize) -> Answers {
        Answers { shared: Vec::new(), answers: Vec::with_capacity(count) }
    }

    /// One more, which `encode` appends to what it is given; or not, if it fails.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>) {
        let begin = self.shared.len();
        let place = encode(&mut self.shared).map(|()| match self.shared.get(begin..) {
            Some(answer) if answer.len() > SHORT_BYTES => Place::Own(Bytes::copy_from_slice(answer)),
            _ => Place::Shared(begin..self.shared.len()),
        });
        if !matches!(place, Ok(Place::Shared(_))) {
            self.shared.truncate(begin);
        }
        self.answers.push(place);
    }

    /// All of them, in order.
    pub fn finish(self) -> Vec<Ran> {
        let mut shared = match self.answers.as_slice() {
            // Nobody shares it, and a copy is one allocation where a view is two.
            [Ok(Place::Shared(_))] => Bytes::copy_from_slice(&self.shared),
            _ => Bytes::from(self.shared),
        };
        let mut place = |place| match place {
            Place::Shared(range) if range.is_empty() => Bytes::new(),
            Place::Shared(range) if range.len() == shared.len() => std::mem::take(&mut shared),
            Place::Shared(range) => shared.slice(range),
            Place::Own(answer) => answer,
        };
        self.answers.into_iter().map(|answer| answer.map(&mut place)).collect()
    }
}

/// An answer to be kept for long: of a shared buffer nothing but itself.
pub(super) fn apart(answer: &Bytes) -> Bytes {
    if answer.len() > SHORT_BYTES { answer.clone() } else { Bytes::copy_from_slice(answer) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever their lengths, and whichever of them fail half-way.
        #[test]
        fn each_answer_is_what_was_encoded(answers: Vec<Option<u16>>) {
            let encoded = |length: u16| vec![length as u8; usize::from(length) % 600];
            let mut batch = Answers::with_capacity(answers.len());
            for answer in &answers {
                batch.push(|into| match answer {
                    Some(length) => {
                        into.extend(encoded(*length));
                        Ok(())
                    }
                    None => {
                        into.extend([7; 300]);
                        Err(CodecError::new::<u8>("no"))
                    }
                });
            }
            let lengths = answers.iter().flatten().map(|length| usize::from(*length) % 600);
            let short: usize = lengths.filter(|length| *length <= SHORT_BYTES).sum();
            prop_assert_eq!(batch.shared.len(), short, "what does not share takes no room from those who do");
            let told: Vec<_> = batch.finish().into_iter().map(Result::ok).collect();
            let expected: Vec<_> = answers.iter().map(|answer| answer.map(|length| Bytes::from(encoded(length)))).collect();
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_is_kept_keeps_no_neighbour() {
        let mut batch = Answers::with_capacity(2);
        for length in [3, 200, 500] {
            batch.push(|into| {
                into.resize(into.len() + length, 1);
                Ok(())
            });
        }
        let answers: Vec<Bytes> = batch.finish().into_iter().map(Result::unwrap).collect();
        let kept: Vec<Bytes> = answers.iter().map(apart).collect();
        assert_eq!(kept, answers);
        drop(answers);
        assert!(kept.into_iter().all(|answer| answer.is_unique()));
    }
}
