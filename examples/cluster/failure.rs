//! Why a run did not end as it should.

use std::{io, time::Duration};

use raft_actors::{
    error::ClientError,
    raft::{Index, PeerId},
};

/// Why a run did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no quorum: nothing was acknowledged for {} s", .patience.as_secs())]
    NoQuorum { patience: Duration },
    #[error("no quorum, and none to come: {stopped} of {all} peers stopped by themselves")]
    Stopped { stopped: usize, all: usize },
    #[error(
        "Poisoned: the machines fail at entry {index}, which is line {line}; nothing after it can be applied"
    )]
    Poisoned { index: Index, line: u64 },
    #[error("line {line} failed: {error}")]
    Refused { line: u64, error: ClientError },
    #[error("line {line} was answered as line {answer}: it was not applied once and in its place")]
    OutOfPlace { line: u64, answer: u64 },
    #[error("the session ended after {acknowledged} lines")]
    SessionOver { acknowledged: u64 },
    #[error("not all living peers caught up within {} s", .patience.as_secs())]
    NotCaughtUp { patience: Duration },
    #[error("the peers do not agree with the input: {0}")]
    Disagreement(String),
    #[error("peer {peer} could not be dumped: {cause}")]
    Dump { peer: PeerId, cause: String },
    #[error("something fell that nobody had asked to")]
    Unasked,
    #[error("interrupted")]
    Interrupted,
    #[error("the input can't be read behind line {line}: {cause}")]
    Input { line: u64, cause: io::Error },
    #[error(
        "the input ends after {lines} lines, and the peers hold {held}: this is not the input that they were fed with"
    )]
    Shorter { lines: u64, held: u64 },
    #[error(
        "the first {held} lines of the input are not those that the peers hold: go on with the input that they were fed with, or give another --data"
    )]
    Another { held: u64 },
    #[error(
        "the peers hold {held} lines, of which {resumed} are of this example's session: the folder was fed by something else; give another --data"
    )]
    Foreign { held: u64, resumed: u64 },
    #[error("the acknowledgements could not be written: {0}")]
    Acks(io::Error),
    #[error("standard output: {0}")]
    Output(io::Error),
}
