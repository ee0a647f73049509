//! stub
use bytes::Bytes;
use std::io::{self,Read};
use crate::{raft::Position, storage::SnapshotWriter};
use super::CodecError;
pub trait AnyMachine: Send {
 fn apply(&mut self, at: Position, command: Bytes) -> Result<Bytes, CodecError>;
 fn query(&self, q: Bytes) -> Result<Bytes, CodecError>;
 fn snapshot(&self) -> SnapshotWriter;
 fn restore(&mut self, s: &mut dyn Read) -> io::Result<()>;
}
