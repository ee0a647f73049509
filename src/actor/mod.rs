//! Who runs it: the only room that knows actix.
pub mod custom;
pub mod door;
pub mod embody;
pub mod gauges;
pub mod host;
pub mod machine;
pub mod parts;
pub mod peer;
pub mod postbox;
pub mod replicator;
pub mod role_actor;
pub mod storage;
pub mod supervision;
pub mod timer;
