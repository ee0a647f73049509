//! What a seed draws before the storm begins: how many peers, which machine, which limits.

use std::ops::RangeInclusive;

use raft_actors::Config;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::chance;

/// One storm.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub peers: u64,
    /// Whether an actor takes the machine's place.
    pub hired: bool,
    pub config: Config,
    pub sync_ms: RangeInclusive<u64>,
    pub latency_ms: RangeInclusive<u64>,
    pub sessions: u64,
    pub plain: u64,
    pub readers: u64,
    /// How many acts the nemesis has.
    pub acts: u64,
    /// How long it pauses between two of them, at most.
    pub pause_ms: u64,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut rng = chance(seed, 1);
        let rng = &mut rng;
        Plan {
            seed,
            peers: pick(rng, &[1, 3, 3, 3, 5, 5]),
            hired: rng.random_bool(0.3),
            config: config(rng),
            sync_ms: pick(rng, &[0..=0, 1..=5, 1..=5, 1..=20, 10..=60]),
            latency_ms: pick(rng, &[0..=0, 0..=1, 1..=3, 1..=3, 1..=25]),
            sessions: rng.random_range(1..=3),
            plain: rng.random_range(1..=3),
            readers: rng.random_range(1..=2),
            acts: rng.random_range(5..=25),
            pause_ms: pick(rng, &[5, 30, 120, 400]),
        }
    }
}

pub fn pick<T: Clone>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())].clone()
}

/// Limits so small that they are met.
fn config(rng: &mut ChaCha8Rng) -> Config {
    let mut config = Config::default();
    // A nemesis spends any budget.
    config.restarts_max = u32::MAX;
    config.pre_vote = rng.random_bool(0.8);
    if rng.random_bool(0.3) {
        config.election_timeout_ms = 300..600;
        config.heartbeat_ms = rng.random_range(10..=150);
    }
    if rng.random_bool(0.6) {
        config.snapshot_entries = rng.random_range(1..=40);
        config.trail_entries = pick(rng, &[0, 0, 1, 10]);
        config.snapshot_chunk_bytes = pick(rng, &[16, 64, 300, 1 << 17]);
    }
    if rng.random_bool(0.4) {
        config.batch_entries_max = rng.random_range(1..=8);
        config.window_batches_max = rng.random_range(1..=3);
    }
    if rng.random_bool(0.2) {
        config.batch_bytes_max = rng.random_range(1..=300);
        config.window_bytes_max = rng.random_range(1..=300);
    }
    if rng.random_bool(0.3) {
        config.turn_messages_max = rng.random_range(1..=4);
    }
    if rng.random_bool(0.2) {
        config.turn_bytes_max = rng.random_range(1..=200);
    }
    if rng.random_bool(0.3) {
        config.uncommitted_entries_max = rng.random_range(1..=8);
    }
    if rng.random_bool(0.3) {
        config.unapplied_bytes_max = rng.random_range(1..=800);
    }
    if rng.random_bool(0.25) {
        config.inbox_entries_max = rng.random_range(1..=8);
    }
    if rng.random_bool(0.2) {
        config.replicator_silence_ms = config.election_timeout_ms.end;
    }
    config.session_window = pick(rng, &[1, 2, 8, 64]);
    config.deadline_ms = pick(rng, &[300, 1_000, 5_000]);
    config
}
