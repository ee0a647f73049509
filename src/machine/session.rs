//! stub
use std::io::{self,Read,Write};
use bytes::Bytes;
use crate::raft::{Index,Outcome};
#[derive(Clone,Copy,PartialEq,Eq,Debug,PartialOrd,Ord)]
pub struct SessionId(pub u128);
pub enum Admission { Apply, Pending, Repeat(Outcome), Forgotten, Gap{expected:u64}, Expired }
#[derive(Clone)]
pub struct Sessions;
impl Sessions {
 pub fn new(_:usize,_:usize)->Self{Sessions}
 pub fn open(&mut self,_:SessionId,_:Index)->u64{0}
 pub fn admit(&mut self,_:SessionId,_:u64,_:u64,_:Index)->Admission{Admission::Apply}
 pub fn record(&mut self,_:SessionId,_:u64,_:&Outcome){}
 pub fn close(&mut self,_:SessionId){}
 pub fn write_to(&self,_:&mut dyn Write)->io::Result<()>{Ok(())}
 pub fn read_from(_:&mut dyn Read,_:usize,_:usize)->io::Result<Self>{Ok(Sessions)}
}
