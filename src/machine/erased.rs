//! A machine behind bytes (temporary).
use super::{Codec, CodecError, StateMachine};
use crate::{raft::Position, storage::SnapshotWriter};
use bytes::Bytes;
use std::io::{self, Read};
pub trait AnyMachine: Send {
    fn apply(&mut self, at: Position, command: Bytes) -> Result<Bytes, CodecError>;
    fn query(&self, query: Bytes) -> Result<Bytes, CodecError>;
    fn snapshot(&self) -> SnapshotWriter;
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;
}
pub struct Typed<M>(pub M);
impl<M: StateMachine> AnyMachine for Typed<M> {
    fn apply(&mut self, at: Position, command: Bytes) -> Result<Bytes, CodecError> {
        let command = M::Command::decode(command)?;
        let mut v = Vec::new();
        self.0.apply(at, command).encode(&mut v)?;
        Ok(v.into())
    }
    fn query(&self, query: Bytes) -> Result<Bytes, CodecError> {
        let q = M::Query::decode(query)?;
        let mut v = Vec::new();
        self.0.query(q).encode(&mut v)?;
        Ok(v.into())
    }
    fn snapshot(&self) -> SnapshotWriter {
        self.0.snapshot()
    }
    fn restore(&mut self, s: &mut dyn Read) -> io::Result<()> {
        self.0.restore(s)
    }
}
