//! The log on files: damaged in every byte, and stopped between any two calls.

use std::{path::PathBuf, sync::Arc};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{super::Room, keeper::Keeper, recovery, *};
use crate::{
    raft::Log,
    storage::{
        conformance::author::{Author, Step},
        files::RealFiles,
    },
};

mod crashes;
mod damage;
mod spares;

const INCARNATION: u128 = 7;
const APPEND: Step = Step::Append { count: 3 };

/// A log in a folder of its own, and every turn that was written to it.
struct Rig {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    /// What the keeper takes for few turns in a segment.
    few_turns: u64,
    turns: Vec<Vec<Record>>,
}

impl Rig {
    fn new(files: Arc<dyn Files>, dir: PathBuf, segment_bytes: u64) -> Rig {
        files.create_dir(&dir).unwrap();
        create(&*files, &dir, INCARNATION, segment_bytes).unwrap();
        Rig { files, dir, segment_bytes, few_turns: keeper::FEW_TURNS, turns: Vec::new() }
    }

    fn open(&self) -> Wal {
        let (files, dir) = (self.files.clone(), self.dir.clone());
        let (segment_bytes, few_turns) = (self.segment_bytes, self.few_turns);
        let keeper = Keeper::in_person(files.clone(), dir.clone(), segment_bytes, few_turns, Room::default());
        Wal::new(files, dir, INCARNATION, keeper)
    }

    /// Writes turns as a peer would, each acknowledged.
    fn write(&mut self, seed: u64, turns: usize) {
        let (mut rng, mut author) = (ChaCha8Rng::seed_from_u64(seed), Author::default());
        let mut wal = self.open();
        wal.replay().unwrap();
        while self.turns.len() < turns {
            // In the end nothing but entries, so that some segments stay.
            let step = if self.turns.len() * 4 < turns * 3 { Step::draw(&mut rng) } else { APPEND };
            let records = author.write(step);
            if !records.is_empty() {
                wal.write(&records).unwrap();
                wal.after_turn().unwrap();
                self.turns.push(records);
            }
        }
    }

    /// Comes back, and writes one more turn.
    fn go_on(&self, record: &Record) {
        let mut wal = self.open();
        wal.replay().unwrap();
        wal.write(std::slice::from_ref(record)).unwrap();
    }

    fn recover(&self) -> Result<recovery::Recovered, StorageError> {
        recovery::recover(&*self.files, &self.dir, INCARNATION)
    }
}

/// What seals the frames of a segment, as its header says.
fn seal_of(number: u64, bytes: &bytes::Bytes) -> Seal {
    let frame::Found::Frame(frame) = frame::read(Seal::of_header(number), bytes, 0) else {
        panic!("segment {number} has no header")
    };
    let Some(frame::Said::Header(header)) = frame::decode(&frame) else {
        panic!("segment {number} has no header")
    };
    header.seal()
}

/// What a log must come to after these records.
fn folded(records: impl IntoIterator<Item = Record>) -> String {
    let (mut log, mut ballot) = (Log::default(), None);
    for record in records {
        if let Record::Ballot { term, vote } = &record {
            ballot = Some((*term, *vote));
        }
        log.replay(record).unwrap();
    }
    let batches = log.all(log.base().index.next(), Index(u64::MAX));
    let entries: Vec<_> = batches.iter().flat_map(|batch| batch.entries()).collect();
    format!("{ballot:?} {} {entries:?}", log.base())
}
