//! The wire, from its bytes up to a peer that is spoken with.

mod codec;
mod fake;
mod frames;
mod golden;
mod messages;
mod vats;
mod visits;
