//! The memory of what a snapshot replaced.

use std::sync::Arc;

use bytes::Bytes;

use super::Folded;
use crate::raft::{Batch, Command, Index, Log, Position, Record, Term};

/// Four KiB, and somebody who knows whether they are in memory.
struct Kept(Vec<u8>, #[expect(dead_code, reason = "counts who is there")] Arc<()>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What a snapshot replaced goes as new entries come, and never is there much more than there was.
fn check_that_memory_comes_back(mut take: impl FnMut(Record)) {
    let kept = Arc::new(());
    let mut peak = 0;
    for round in 1..=4 {
        for index in (round - 1) * 1_000 + 1..=round * 1_000 {
            let command = Command::Data(Bytes::from_owner(Kept(vec![7; 4_096], kept.clone())).into());
            take(Record::Entries(Batch::new(Term(1), Index(index), vec![command]).unwrap()));
            peak = peak.max(Arc::strong_count(&kept) - 1);
        }
        let before = Arc::strong_count(&kept) - 1;
        assert!(before < 1_300, "{before} after round {round}, though what was cut before had time to go");
        take(Record::Compact { upto: Position::new(1, round * 1_000) });
        assert_eq!(Arc::strong_count(&kept) - 1, before, "not all at once");
    }
    assert!(peak < 1_300, "{peak} were there at a time");
}

#[test]
fn what_a_snapshot_replaced_is_given_back_by_log_and_disk() {
    let mut log = Log::default();
    check_that_memory_comes_back(|record| log.replay(record).unwrap());
    let mut disk = Folded::default();
    check_that_memory_comes_back(|record| disk.fold(record));
}
