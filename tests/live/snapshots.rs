//! Snapshots that take their time: nobody else waits for them.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::common::{Recording, catches_up, follower, leader, ms};
use raft_actors::{
    Cluster,
    machine::StateMachine,
    raft::{ActorKind, Event, Position},
    storage::SnapshotWriter,
};

/// Takes its time to be written and to be read, and falls at the first reading if it is told to.
struct Slow {
    count: u64,
    falls: Arc<AtomicBool>,
}

const SLOW: std::time::Duration = ms(800);

impl StateMachine for Slow {
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
        let count = self.count;
        Box::new(move |out: &mut dyn Write| {
            std::thread::sleep(SLOW);
            out.write_all(&count.to_le_bytes())
        })
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        std::thread::sleep(SLOW);
        assert!(!self.falls.swap(false, Relaxed), "a reading that was to fail");
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        self.count = u64::from_le_bytes(count);
        Ok(())
    }
}

/// A live cluster, all peers on one thread: a snapshot is written, a follower begins from it. A
/// leader that waited for either would lose its office, and all others with it.
async fn is_written_and_restored(falls: bool) -> (Recording, Vec<String>) {
    let (recording, falling) = (Recording::default(), Arc::new(AtomicBool::new(false)));
    let machine = {
        let falling = falling.clone();
        move |_| Slow { count: 0, falls: falling.clone() }
    };
    let cluster = Cluster::of(machine).observe(recording.clone()).start().await.unwrap();
    let (leader, behind) = (leader(&cluster).await, follower(&cluster).await);
    for _ in 0..10 {
        cluster.client().propose(&1).await.unwrap();
    }
    assert!(cluster.take_snapshot(leader).await.is_some());
    catches_up(&cluster, behind).await;
    assert!(cluster.take_snapshot(behind).await.is_some());
    cluster.kill(behind).await;
    falling.store(falls, Relaxed);
    cluster.restart(behind).await;
    catches_up(&cluster, behind).await;
    assert_eq!(cluster.client().propose(&1).await.unwrap(), 11);
    let failures = cluster.failures();
    let _ = cluster.shutdown().await;
    (recording, failures)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_while_a_large_state_is_written_or_read() {
    let (recording, failures) = is_written_and_restored(false).await;
    let elections = recording.filter(|report| matches!(report.event, Event::Elected { .. }));
    assert_eq!((elections.len(), failures), (1, vec![]), "{elections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_falls_while_it_is_restored_heals() {
    let (recording, failures) = is_written_and_restored(true).await;
    assert!(failures.len() == 1 && failures[0].contains("a reading that was to fail"), "{failures:?}");
    assert!(recording.has(|event| matches!(event, Event::Recovered { actor: ActorKind::Machine, .. })));
}
