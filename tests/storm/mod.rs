//! The parts of a storm: what a seed draws, who breaks things, who uses the cluster meanwhile, and who
//! looks on.

pub mod clients;
pub mod nemesis;
pub mod plan;
pub mod witness;

pub use clients::Books;
pub use plan::Plan;
pub use witness::Witness;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A stream of chance of its own for each part of a storm.
pub fn chance(seed: u64, part: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ part)
}
