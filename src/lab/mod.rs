//! The oracle: what decides, from outside, whether a cluster kept its promises.
//!
//! Nothing in this room takes part in a cluster. It looks at what was seen, and says whether that may
//! have been: [`history`] judges what clients were answered. It is public, so that tests of an
//! application can ask it too.

pub mod history;
