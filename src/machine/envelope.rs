//! temporary
use super::{CodecError, session::SessionId};
use bytes::{Buf, Bytes};
pub enum Envelope {
    Plain(Bytes),
    Open { session: SessionId },
    Close { session: SessionId },
    Command { session: SessionId, sequence: u64, lowest: u64, command: Bytes },
}
impl Envelope {
    pub fn parse(mut b: Bytes) -> Result<Envelope, CodecError> {
        Ok(match b.get_u8() {
            0 => Envelope::Plain(b),
            1 => Envelope::Open { session: SessionId(b.get_u128()) },
            2 => Envelope::Close { session: SessionId(b.get_u128()) },
            _ => {
                let session = SessionId(b.get_u128());
                let sequence = b.get_u64();
                let lowest = b.get_u64();
                Envelope::Command { session, sequence, lowest, command: b }
            }
        })
    }
}
pub fn plain() -> Vec<u8> {
    vec![0]
}
pub fn open(s: SessionId) -> Bytes {
    let mut v = vec![1];
    v.extend(s.0.to_be_bytes());
    v.into()
}
pub fn command(s: SessionId, n: u64, l: u64, _len: usize) -> Vec<u8> {
    let mut v = vec![3];
    v.extend(s.0.to_be_bytes());
    v.extend(n.to_be_bytes());
    v.extend(l.to_be_bytes());
    v
}
