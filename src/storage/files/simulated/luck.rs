//! What decides about what was not synced.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The luck of one power cut.
pub(super) enum Luck {
    /// Nothing survives.
    None,
    /// A part survives.
    Drawn {
        rng: Box<ChaCha8Rng>,
        /// How many of eight survive. Cuts differ in it: if half of everything were lost at each cut,
        /// "all but one sector" would never be seen.
        eighths: u8,
    },
}

impl Luck {
    pub(super) fn drawn(seed: u64) -> Luck {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let eighths = match rng.random_range(0..3) {
            0 => 1,
            1 => 4,
            _ => 7,
        };
        Luck::Drawn { rng: Box::new(rng), eighths }
    }

    pub(super) fn survives(&mut self) -> bool {
        match self {
            Luck::None => false,
            Luck::Drawn { rng, eighths } => rng.random_range(0..8) < *eighths,
        }
    }

    /// A number from none to `most`.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        match self {
            Luck::None => 0,
            Luck::Drawn { rng, .. } => rng.random_range(0..=most),
        }
    }
}
