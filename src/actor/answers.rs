//! The answers of a batch, in as few allocations as there may be.
//!
//! Each answer is counted by reference, as whoever waits for it may keep it. Most are a few bytes long, and a
//! buffer for each would cost more than all the rest of applying it. So short ones share one, which lives as
//! long as any of them; a long one has its own, so that nobody keeps it for a neighbour's sake.

use std::{mem::take, ops::Range};

use bytes::Bytes;

use crate::machine::CodecError;

/// Longer than this an answer has a buffer of its own.
const SHORT_BYTES: usize = 256;

/// The answers so far.
#[derive(Default)]
pub(super) struct Answers {
    shared: Vec<u8>,
}

/// Where an answer is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In the buffer.
    Shared(Range<usize>),
    /// In one of its own.
    Own(Bytes),
}

impl Answers {
    /// One more, which `encode` appends to what it is given; or not, if it fails.
    pub fn add(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<Place, CodecError> {
        let begin = self.shared.len();
        let encoded = encode(&mut self.shared);
        let place = match self.shared.get(begin..) {
            Some(answer) if answer.len() > SHORT_BYTES => Place::Own(Bytes::copy_from_slice(answer)),
            _ => Place::Shared(begin..self.shared.len()),
        };
        if encoded.is_err() || matches!(place, Place::Own(_)) {
            self.shared.truncate(begin);
        }
        encoded.map(|()| place)
    }

    /// One that nobody wants, nor any of those before it. It is made all the same: that a machine's answer has no
    /// encoding must not depend on who waits for it.
    pub fn forgo(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>) {
        // Nor whether the command could be read.
        _ = encode(&mut self.shared);
        self.shared.clear();
    }

    /// The bytes of an answer.
    pub fn get<'a>(&'a self, place: &'a Place) -> &'a [u8] {
        match place {
            Place::Shared(range) => self.shared.get(range.clone()).unwrap_or_default(),
            Place::Own(answer) => answer,
        }
    }

    /// Nobody wants any of them.
    pub fn clear(&mut self) {
        self.shared.clear();
    }

    /// There are no more of these: they can be taken. The next begin anew.
    pub fn seal(&mut self) -> Sealed {
        // What nobody wanted has left a buffer that the next can use.
        let is_empty = self.shared.is_empty();
        Sealed { buffer: if is_empty { Vec::new() } else { take(&mut self.shared) }, bytes: Bytes::new() }
    }
}

/// The answers, to be taken.
pub(super) struct Sealed {
    /// Until the first of several is taken.
    buffer: Vec<u8>,
    bytes: Bytes,
}

impl Sealed {
    /// An answer.
    pub fn take(&mut self, place: Place) -> Bytes {
        match place {
            Place::Shared(range) if range.is_empty() => Bytes::new(),
            // Nobody shares it: a copy is one allocation where a view is two.
            Place::Shared(range) if range.len() == self.buffer.len() => Bytes::copy_from_slice(&self.buffer),
            Place::Shared(range) => {
                if self.bytes.is_empty() {
                    self.bytes = Bytes::from(take(&mut self.buffer));
                }
                self.bytes.slice(range)
            }
            Place::Own(answer) => answer,
        }
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
            let mut batch = Answers::default();
            let mut places = Vec::new();
            for answer in &answers {
                let place = batch.add(|into| match answer {
                    Some(length) => {
                        into.extend(encoded(*length));
                        Ok(())
                    }
                    None => {
                        into.extend([7; 300]);
                        Err(CodecError::new::<u8>("no"))
                    }
                });
                places.push(place.ok());
            }
            let lengths = answers.iter().flatten().map(|length| usize::from(*length) % 600);
            let short: usize = lengths.filter(|length| *length <= SHORT_BYTES).sum();
            prop_assert_eq!(batch.shared.len(), short, "what does not share takes no room from those who do");
            let mut sealed = batch.seal();
            let told: Vec<_> = places.into_iter().map(|place| place.map(|place| sealed.take(place))).collect();
            let expected: Vec<_> = answers.iter().map(|answer| answer.map(|length| Bytes::from(encoded(length)))).collect();
            prop_assert_eq!(told, expected);
            // Those that follow begin anew.
            let next = batch.add(|into| {
                into.push(1);
                Ok(())
            });
            let next = next.unwrap();
            prop_assert_eq!(batch.get(&next), [1]);
        }
    }

    #[test]
    fn what_is_kept_keeps_no_neighbour() {
        let mut batch = Answers::default();
        let mut add = |length| {
            let place = batch.add(|into| {
                into.resize(into.len() + length, 1);
                Ok(())
            });
            place.unwrap()
        };
        let places = [3, 200, 500].map(&mut add);
        let mut batch = batch.seal();
        let answers = places.map(|place| batch.take(place));
        let kept: Vec<Bytes> = answers.iter().map(apart).collect();
        assert_eq!(kept, answers);
        drop((answers, batch));
        assert!(kept.into_iter().all(|answer| answer.is_unique()));
    }
}
