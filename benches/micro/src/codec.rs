//! Commands as bytes, their envelopes, and the sessions that they belong to.

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use raft_actors::{
    machine::{
        Admission, Codec, Envelope, SessionId, Sessions, codec::to_bytes, envelope, kv, session::StoredAnswer,
    },
    raft::Index,
};

fn set(bytes: usize) -> kv::Command {
    kv::Command::set("a key of some length", vec![7; bytes])
}

#[divan::bench(args = [16, 256, 4096])]
fn encode_a_command(bencher: Bencher, bytes: usize) {
    let command = set(bytes);
    bencher.counter(BytesCount::new(bytes)).bench(|| to_bytes(divan::black_box(&command)));
}

#[divan::bench(args = [16, 256, 4096])]
fn decode_a_command(bencher: Bencher, bytes: usize) {
    let command = to_bytes(&set(bytes)).expect("it has an encoding");
    let decode = |command: Bytes| kv::Command::decode(command);
    bencher.counter(BytesCount::new(bytes)).with_inputs(|| command.clone()).bench_values(decode);
}

#[divan::bench]
fn parse_an_envelope(bencher: Bencher) {
    let mut entry = Vec::new();
    envelope::put_in_session(SessionId(7), 1 << 20, (1 << 20) - 64, &mut entry);
    entry.extend([7; 256]);
    let entry = Bytes::from(entry);
    bencher.with_inputs(|| entry.clone()).bench_values(Envelope::parse);
}

/// Admits a command of one of so many sessions, and remembers its answer.
#[divan::bench(args = [1, 64, 1024, 10_000])]
fn admit_and_record(bencher: Bencher, sessions: u128) {
    let mut all = Sessions::new(10_000, 1_024);
    (0..sessions).for_each(|id| {
        all.open(SessionId(id << 64 | id), Index(1));
    });
    let (mut id, mut sequence) = (0, 1);
    bencher.bench_local(move || {
        if let Admission::Apply(turn) =
            all.admit(SessionId(id << 64 | id), sequence, sequence, Index(sequence))
        {
            turn.record(StoredAnswer::Applied(Bytes::new()));
        }
        id += 1;
        if id == sessions {
            (id, sequence) = (0, sequence + 1);
        }
    });
}
