//! The two state machines of this example: the list of applied lines, or only their count and digest.
//!
//! Both answer a command with the line's number. So whoever proposes in order knows from the answer
//! alone that each line was applied once, and in its place. Padding is taken off a command before
//! anything else: it is neither counted nor kept.

use std::{
    io::{self, Read},
    panic::resume_unwind,
};

use bytes::Bytes;
use raft_actors::{
    machine::{Raw, StateMachine},
    raft::Position,
    storage::SnapshotWriter,
};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::value;

/// A tail this long becomes a chunk that is shared from then on.
const CHUNK_BYTES: usize = 64 << 10;

/// The largest piece of the text that one query gives away.
pub const PAGE_BYTES: usize = 256 << 10;

/// What can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// How many lines, and which.
    Summary,
    /// The text from this byte on: a piece of it, none at its end.
    Page { offset: u64 },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    Summary(Summary),
    Page(Bytes),
}

/// How many lines were applied, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    pub count: u64,
    /// Each line is hashed with the digest of those before it as the seed: it tells order, too.
    pub digest: u64,
}

impl Summary {
    /// These lines, and one more.
    pub fn and(self, line: &[u8]) -> Summary {
        Summary { count: self.count + 1, digest: XxHash64::oneshot(self.digest, line) }
    }
}

/// Count and digest only, for runs of any length.
#[derive(Debug, Default)]
pub struct Count {
    summary: Summary,
    /// The line that it can't bear.
    poison_at: Option<u64>,
}

impl Count {
    /// A machine that panics whenever it is given this line.
    pub fn new(poison_at: Option<u64>) -> Count {
        Count { summary: Summary::default(), poison_at }
    }

    fn add(&mut self, line: &[u8]) -> u64 {
        let next = self.summary.and(line);
        if self.poison_at == Some(next.count) {
            // A panic that the panic hook does not print: every peer has it twice, and the library
            // tells of each.
            resume_unwind(Box::new(format!("line {} is poison", next.count)));
        }
        self.summary = next;
        next.count
    }

    fn header(&self) -> [u8; 16] {
        let mut header = [0; 16];
        header[..8].copy_from_slice(&self.summary.count.to_le_bytes());
        header[8..].copy_from_slice(&self.summary.digest.to_le_bytes());
        header
    }

    fn read_header(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            snapshot.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        self.summary = Summary { count: number()?, digest: number()? };
        Ok(())
    }
}

impl StateMachine for Count {
    type Command = Raw;
    type Answer = u64;
    type Query = Ask;
    type Response = Told;

    fn apply(&mut self, _: Position, Raw(command): Raw) -> u64 {
        self.add(&value::strip(&command))
    }

    fn query(&self, ask: Ask) -> Told {
        match ask {
            Ask::Summary => Told::Summary(self.summary),
            Ask::Page { .. } => Told::Page(Bytes::new()),
        }
    }

    fn snapshot(&self) -> SnapshotWriter {
        let header = self.header();
        Box::new(move |into| into.write_all(&header))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.read_header(snapshot)
    }
}

/// All lines that were applied, one behind the other.
#[derive(Debug, Default)]
pub struct Lines {
    count: Count,
    /// Where each chunk begins, and the chunk. They never change: a snapshot shares them.
    chunks: Vec<(u64, Bytes)>,
    /// What is behind the last chunk.
    tail: Vec<u8>,
}

impl Lines {
    /// A machine that panics whenever it is given this line.
    pub fn new(poison_at: Option<u64>) -> Lines {
        Lines { count: Count::new(poison_at), ..Lines::default() }
    }

    /// Where the tail begins.
    fn sealed(&self) -> u64 {
        self.chunks.last().map_or(0, |(start, chunk)| start + chunk.len() as u64)
    }

    fn seal(&mut self) {
        let start = self.sealed();
        let tail = std::mem::replace(&mut self.tail, Vec::with_capacity(CHUNK_BYTES));
        self.chunks.push((start, Bytes::from(tail)));
    }

    fn page(&self, offset: u64) -> Bytes {
        let number = self.chunks.partition_point(|(start, chunk)| start + chunk.len() as u64 <= offset);
        let (start, rest) = match self.chunks.get(number) {
            Some((start, chunk)) => (*start, chunk.clone()),
            None => (self.sealed(), Bytes::copy_from_slice(&self.tail)),
        };
        let from =
            usize::try_from(offset.saturating_sub(start)).map_or(rest.len(), |from| from.min(rest.len()));
        rest.slice(from..rest.len().min(from.saturating_add(PAGE_BYTES)))
    }
}

impl StateMachine for Lines {
    type Command = Raw;
    type Answer = u64;
    type Query = Ask;
    type Response = Told;

    fn apply(&mut self, _: Position, Raw(command): Raw) -> u64 {
        let line = value::strip(&command);
        let number = self.count.add(&line);
        self.tail.extend_from_slice(&line);
        if self.tail.len() >= CHUNK_BYTES {
            self.seal();
        }
        number
    }

    fn query(&self, ask: Ask) -> Told {
        match ask {
            Ask::Summary => Told::Summary(self.count.summary),
            Ask::Page { offset } => Told::Page(self.page(offset)),
        }
    }

    /// Cheap: the chunks are shared, only the tail is copied.
    fn snapshot(&self) -> SnapshotWriter {
        let (header, chunks, tail) = (self.count.header(), self.chunks.clone(), self.tail.clone());
        Box::new(move |into| {
            into.write_all(&header)?;
            chunks.iter().try_for_each(|(_, chunk)| into.write_all(chunk))?;
            into.write_all(&tail)
        })
    }

    /// Takes the text as it is, in one chunk: the lines in it are never looked at again.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.count.read_header(snapshot)?;
        let mut text = Vec::new();
        snapshot.read_to_end(&mut text)?;
        self.chunks = Vec::from_iter((!text.is_empty()).then(|| (0, Bytes::from(text))));
        self.tail.clear();
        Ok(())
    }
}
