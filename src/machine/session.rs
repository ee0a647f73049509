//! temporary
use crate::raft::{Index, Outcome};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct SessionId(pub u128);
pub enum Admission {
    Apply,
    Pending,
    Repeat(Outcome),
    Forgotten,
    Gap { expected: u64 },
    Expired,
}
#[derive(Clone, Default)]
pub struct Sessions(BTreeMap<SessionId, (u64, BTreeMap<u64, Option<Outcome>>)>);
impl Sessions {
    pub fn new(_: usize, _: usize) -> Self {
        Sessions::default()
    }
    pub fn open(&mut self, id: SessionId, _: Index) -> u64 {
        self.0.entry(id).or_default().0
    }
    pub fn admit(&mut self, id: SessionId, seq: u64, low: u64, _: Index) -> Admission {
        let Some(s) = self.0.get_mut(&id) else { return Admission::Expired };
        s.1 = s.1.split_off(&low);
        if seq == s.0 + 1 {
            s.0 = seq;
            s.1.insert(seq, None);
            return Admission::Apply;
        }
        if seq > s.0 {
            return Admission::Gap { expected: s.0 + 1 };
        }
        match s.1.get(&seq) {
            Some(Some(o)) => Admission::Repeat(o.clone()),
            Some(None) => Admission::Pending,
            None => Admission::Forgotten,
        }
    }
    pub fn record(&mut self, id: SessionId, seq: u64, o: &Outcome) {
        if let Some(s) = self.0.get_mut(&id) {
            s.1.insert(seq, Some(o.clone()));
        }
    }
    pub fn close(&mut self, id: SessionId) {
        self.0.remove(&id);
    }
    pub fn write_to(&self, w: &mut dyn Write) -> io::Result<()> {
        w.write_all(&(self.0.len() as u64).to_le_bytes())?;
        for (id, s) in &self.0 {
            w.write_all(&id.0.to_le_bytes())?;
            w.write_all(&s.0.to_le_bytes())?;
            w.write_all(&(s.1.len() as u64).to_le_bytes())?;
            for (n, o) in &s.1 {
                w.write_all(&n.to_le_bytes())?;
                let b = match o {
                    Some(Outcome::Applied(b)) => b.clone(),
                    _ => Bytes::new(),
                };
                w.write_all(&(b.len() as u64).to_le_bytes())?;
                w.write_all(&b)?;
            }
        }
        Ok(())
    }
    pub fn read_from(r: &mut dyn Read, _: usize, _: usize) -> io::Result<Self> {
        fn u(r: &mut dyn Read) -> io::Result<u64> {
            let mut b = [0; 8];
            r.read_exact(&mut b)?;
            Ok(u64::from_le_bytes(b))
        }
        let mut out = Sessions::default();
        for _ in 0..u(r)? {
            let mut b = [0; 16];
            r.read_exact(&mut b)?;
            let id = SessionId(u128::from_le_bytes(b));
            let last = u(r)?;
            let mut m = BTreeMap::new();
            for _ in 0..u(r)? {
                let n = u(r)?;
                let mut v = vec![0; u(r)? as usize];
                r.read_exact(&mut v)?;
                m.insert(n, Some(Outcome::Applied(v.into())));
            }
            out.0.insert(id, (last, m));
        }
        Ok(out)
    }
}
