//! stub
use bytes::Bytes;
use super::{CodecError,session::SessionId};
pub enum Envelope { Plain(Bytes), Open{session:SessionId}, Close{session:SessionId}, Command{session:SessionId, sequence:u64, lowest:u64, command:Bytes} }
impl Envelope { pub fn parse(b:Bytes)->Result<Envelope,CodecError>{Ok(Envelope::Plain(b))} }
