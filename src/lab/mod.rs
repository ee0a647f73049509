//! The lab: who judges a run, from what was reported of it.
//!
//! It sees events, and nothing of the insides of a peer: what holds here holds for whatever reports in
//! the same alphabet.

pub mod invariants;
