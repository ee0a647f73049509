//! How a session's answers are kept: by the million, in a table that every command is looked up in.

use std::fmt;

use bytes::Bytes;

use super::StoredAnswer;

/// An answer as it is kept: a short one, and most are, right in its place. Equal answers are kept alike.
#[derive(Clone)]
pub(super) enum Kept {
    Short {
        length: u8,
        bytes: [u8; SHORT_BYTES],
    },
    /// Far away, so that the others are not as long as what counts its references.
    Long(Box<Bytes>),
    Rejected,
}

/// With its length three words.
const SHORT_BYTES: usize = 22;

impl Kept {
    /// Keeps a copy of an answer. A short one is written where it stays: what is written elsewhere and moved at once has
    /// the processor wait until it is written.
    pub fn copy_to(place: &mut Option<Kept>, answer: &[u8]) {
        let short = Kept::Short { length: answer.len() as u8, bytes: [0; SHORT_BYTES] };
        if let Kept::Short { bytes, .. } = place.insert(short)
            && let Some(bytes) = bytes.get_mut(..answer.len())
        {
            bytes.copy_from_slice(answer);
        } else {
            *place = Some(Kept::Long(Bytes::copy_from_slice(answer).into()));
        }
    }

    /// Keeps an answer, and shares a long one.
    pub fn move_to(place: &mut Option<Kept>, answer: StoredAnswer) {
        match answer {
            StoredAnswer::Applied(answer) if answer.len() > SHORT_BYTES => {
                *place = Some(Kept::Long(answer.into()));
            }
            StoredAnswer::Applied(answer) => Kept::copy_to(place, &answer),
            StoredAnswer::Rejected => *place = Some(Kept::Rejected),
        }
    }

    /// The answer's bytes; none if the command was rejected.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Kept::Short { length, bytes } => bytes.get(..usize::from(*length)),
            Kept::Long(answer) => Some(answer),
            Kept::Rejected => None,
        }
    }
}

impl From<&Kept> for StoredAnswer {
    fn from(kept: &Kept) -> StoredAnswer {
        match kept {
            Kept::Long(answer) => StoredAnswer::Applied(Bytes::clone(answer)),
            _ => kept.bytes().map_or(StoredAnswer::Rejected, |answer| {
                StoredAnswer::Applied(Bytes::copy_from_slice(answer))
            }),
        }
    }
}

/// Like [`StoredAnswer`]: only their length is shown.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(answer) => write!(f, "Applied({} bytes)", answer.len()),
            None => f.write_str("Rejected"),
        }
    }
}
