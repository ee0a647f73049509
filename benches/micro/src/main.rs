//! The hot pieces of raft-actors, each by itself: what one of them costs, and how that grows.
//!
//! `cargo run --release` for all of them, `cargo run --release -- log` for those with `log` in their names. The files of
//! the write-ahead log are made in the folder that `TMPDIR` names: on a file system in memory a sync costs nothing.

mod codec;
mod log;
mod quorum;
mod storage;

fn main() {
    // Run as a program it would only try each once; as a benchmark of cargo it would measure.
    divan::Divan::from_args().run_benches();
}

/// A batch of so many commands of 256 bytes each.
fn commands(count: usize) -> Vec<raft_actors::raft::Command> {
    let command = bytes::Bytes::from(vec![7; 256]);
    (0..count).map(|_| raft_actors::raft::Command::Data(command.clone())).collect()
}
