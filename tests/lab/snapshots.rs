//! Snapshots on their way: a follower that is far behind catches up with a busy leader, whatever
//! happens to the link, and nobody else notices.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::common::{PATIENCE, Recording, catches_up, follower, leader, ms, seeds};
use raft_actors::{
    Cluster, Config,
    machine::StateMachine,
    observe::Report,
    raft::{Event, MessageKind, PeerId, Position},
    storage::SnapshotWriter,
    transport::faults::Rule,
};
use tokio::task::JoinHandle;

/// Counts, and carries a load in its snapshots.
struct Heavy {
    count: u64,
    bytes: usize,
}

impl Heavy {
    fn load(&self) -> impl Iterator<Item = u8> + use<> {
        let count = self.count;
        (0..self.bytes as u64).map(move |place| (place.wrapping_mul(2_654_435_761) >> 13) as u8 ^ count as u8)
    }
}

impl StateMachine for Heavy {
    type Command = u64;
    type Answer = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _: Position, more: u64) -> u64 {
        self.count += more;
        self.count
    }

    fn query(&self, (): ()) -> u64 {
        self.count
    }

    fn snapshot(&self) -> SnapshotWriter {
        let (count, load) = (self.count, self.load());
        Box::new(move |out: &mut dyn Write| {
            out.write_all(&count.to_le_bytes())?;
            out.write_all(&load.collect::<Vec<_>>())
        })
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        self.count = u64::from_le_bytes(count);
        let mut load = Vec::new();
        from.read_to_end(&mut load)?;
        assert!(self.load().eq(load), "a snapshot arrives as it was sent");
        Ok(())
    }
}

/// Clients that go on until they are told to stop.
struct Writers(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Writers {
    fn start(cluster: &Cluster<Heavy>) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let write = |_| {
            let (client, stop) = (cluster.client(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let _ = client.propose(&1).await;
                }
            })
        };
        let clients = (0..12).map(write).collect();
        Writers(stop, clients)
    }

    async fn stop(self) {
        self.0.store(true, Relaxed);
        for client in self.1 {
            client.await.unwrap();
        }
    }
}

fn config() -> Config {
    let mut config = Config::default();
    (config.snapshot_entries, config.trail_entries) = (200, 20);
    (config.snapshot_chunk_bytes, config.snapshot_window_bytes) = (4 << 10, 16 << 10);
    config
}

/// A follower was down while the log went on, and is back. The leader goes on, and takes snapshots.
async fn fall_behind(cluster: &Cluster<Heavy>) -> (PeerId, PeerId, Writers) {
    let (leader, behind) = (leader(cluster).await, follower(cluster).await);
    cluster.kill(behind).await;
    let writers = Writers::start(cluster);
    let is_compacted = || cluster.status(leader).is_some_and(|status| status.snapshot.0 > 400);
    assert!(cluster.wait_until(PATIENCE, is_compacted).await);
    cluster.restart(behind).await;
    (leader, behind, writers)
}

/// The bytes of all pieces that were sent, in whole snapshots.
fn sent(reports: &[Report]) -> f64 {
    let piece = |report: &Report| match &report.event {
        Event::Sent { kind: MessageKind::InstallSnapshot, what, .. } => {
            let (range, whole) = what.split_once("bytes=")?.1.split_once('/')?;
            let (from, to) = range.split_once("..")?;
            let number = |text: &str| text.parse::<f64>().unwrap();
            Some((number(to) - number(from)) / number(whole))
        }
        _ => None,
    };
    reports.iter().filter_map(piece).sum()
}

/// Waits until some more pieces have arrived.
async fn gets_on(cluster: &Cluster<Heavy>, recording: &Recording) {
    let answered = || {
        let is_answer =
            |event: &Event| matches!(event, Event::Received { kind: MessageKind::ChunkTaken, .. });
        recording.filter(|report| is_answer(&report.event)).len()
    };
    let before = answered();
    assert!(cluster.wait_until(PATIENCE, || answered() > before + 40).await);
}

fn count(reports: &[Report], what: impl Fn(&Report) -> bool) -> usize {
    reports.iter().filter(|report| what(report)).count()
}

/// [37] Whatever `weather` does to the link, the follower catches up by one snapshot.
fn catches_up_with_a_busy_leader(
    seed: u64,
    bytes: usize,
    weather: impl AsyncFn(&Cluster<Heavy>, &Recording, PeerId, PeerId),
) -> Vec<Report> {
    let recording = Recording::default();
    let builder = Cluster::of(move |_| Heavy { count: 0, bytes }).config(config()).observe(recording.clone());
    let script = async |cluster: Cluster<Heavy>| {
        let (leader, behind, writers) = fall_behind(&cluster).await;
        let began = recording.len();
        weather(&cluster, &recording, leader, behind).await;
        let is_installed =
            || recording.has(|event| matches!(event, Event::SnapshotInstalled { kept: false, .. }));
        assert!(cluster.wait_until(PATIENCE, is_installed).await, "seed {seed}");
        catches_up(&cluster, behind).await;
        writers.stop().await;
        assert!(cluster.wait_until_caught_up(PATIENCE).await, "seed {seed}");
        assert_eq!(cluster.leader(), Some(leader), "seed {seed}");
        (leader, began)
    };
    let (leader, began) = builder.simulate(seed, script).unwrap();
    recording.assert_safe();
    let reports = recording.reports().split_off(began);
    let elections = count(&reports, |report| matches!(report.event, Event::Elected { .. }));
    assert_eq!(elections, 0, "seed {seed}");
    let snapshots = count(&reports, |report| matches!(report.event, Event::SnapshotSent { .. }));
    assert_eq!(snapshots, 1, "seed {seed}: a later snapshot begins no other transfer");
    let taken =
        |report: &&Report| report.peer == leader && matches!(report.event, Event::SnapshotTaken { .. });
    let installed = reports
        .iter()
        .take_while(|report| !matches!(report.event, Event::SnapshotInstalled { .. }))
        .filter(taken)
        .count();
    assert!(installed >= 2, "seed {seed}: {installed} snapshots were taken meanwhile");
    reports
}

#[test]
fn a_follower_catches_up_while_the_leader_takes_snapshots() {
    for seed in seeds(4) {
        let reports = catches_up_with_a_busy_leader(seed, 2 << 20, async |_, _, _, _| {});
        let sent = sent(&reports);
        assert!((1.0..1.1).contains(&sent), "seed {seed}: {sent} snapshots were sent");
    }
}

/// The link is cut five times, for pieces alone or whole.
#[test]
fn a_transfer_goes_on_after_each_cut() {
    for seed in seeds(4) {
        let reports =
            catches_up_with_a_busy_leader(seed, 2 << 20, async |cluster, recording, leader, behind| {
                for cut in 0..5 {
                    gets_on(cluster, recording).await;
                    let rule = Rule::new().between(leader.0, behind.0).cut();
                    let pieces = [MessageKind::InstallSnapshot, MessageKind::ChunkTaken];
                    let _cut = cluster.fault(if cut % 2 == 0 { rule.kinds(pieces) } else { rule });
                    cluster.run_for(ms(if cut % 2 == 0 { 1_400 } else { 100 })).await;
                }
            });
        let sent = sent(&reports);
        assert!((1.0..1.3).contains(&sent), "seed {seed}: {sent} snapshots were sent");
    }
}

/// Messages are lost, doubled and overtaken: each costs a piece, and none brings on a flood.
#[test]
fn bad_weather_causes_no_avalanche() {
    for seed in seeds(4) {
        let reports = catches_up_with_a_busy_leader(seed, 1 << 20, async |cluster, _, leader, behind| {
            let rule = Rule::new()
                .between(leader.0, behind.0)
                .kinds([MessageKind::InstallSnapshot, MessageKind::ChunkTaken]);
            let weather = rule.loss(0.01).duplicate(0.3).reorder(0.3, 1..=20);
            cluster.fault(weather).keep();
        });
        let sent = sent(&reports);
        assert!((1.0..1.3).contains(&sent), "seed {seed}: {sent} snapshots were sent");
    }
}

/// A cluster whose snapshots are compressed: it starts with the feature alone, and one follower begins
/// from such a snapshot that its leader sent.
#[test]
fn snapshots_can_be_compressed() {
    let recording = Recording::default();
    let mut config = config();
    config.compress_snapshots = true;
    let builder = Cluster::of(|_| Heavy { count: 0, bytes: 100_000 }).config(config);
    let ran = builder.observe(recording.clone()).simulate(1, async |cluster: Cluster<Heavy>| {
        let (_, behind, writers) = fall_behind(&cluster).await;
        catches_up(&cluster, behind).await;
        writers.stop().await;
        assert!(cluster.wait_until_caught_up(PATIENCE).await);
    });
    if cfg!(feature = "lz4") {
        ran.unwrap();
        assert!(recording.has(|event| matches!(event, Event::SnapshotInstalled { .. })));
    } else {
        assert!(ran.unwrap_err().to_string().contains("built without the feature `lz4`"));
    }
}
