//! A disk in memory, that can be slow, hang, fail, and lose or tear what it had not synced.
//!
//! Experiments want a cluster that needs no folder, and simulations want one whose disks take time
//! and forget in every way in which a real one may, the same way for the same seed. So a
//! [`MemoryDisk`] models the contract of [`Disk`] and nothing kinder:
//!
//! - A write whose future is dropped before it completed is a power cut: a seeded prefix of its
//!   records survives, from none to all, and the next one may be torn. The next replay says so.
//!   Completed writes survive whole.
//! - Opening a disk cuts off whoever had it open: a write of a former owner that is still under way
//!   is settled then and there, as a power cut, and can't land behind the back of a replay.
//!   [`MemoryDisk::set_tail`] decides it instead of the seed, once.
//! - After a failed write the disk is of no use, also after it is opened again, until
//!   [`MemoryDisk::repair`].
//! - A snapshot is in force once it is whole and its time has passed, and never before.
//!
//! The disk belongs to the cluster and not to the peer: clones share one platter, which
//! outlives the actors that write to it. The lock around it is held for moments, never while a
//! machine writes its snapshot, nor over an await.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use self::{
    platter::{Platter, WriteId},
    snapshots::MemorySnapshots,
};
use super::{Disk, Incarnation, LogStorage, Meeting, Opened, Register, Replay, Room, StorageError, Wait};
use crate::raft::{PeerId, Record};

mod platter;
mod snapshots;
#[cfg(test)]
mod tests;

/// How long a simulated disk takes.
///
/// ```
/// use raft_actors::storage::{MemoryDisk, SimulatedDisk};
///
/// let mut slow = SimulatedDisk::default();
/// slow.sync_ms = 200..=200;
/// let disk = MemoryDisk::simulated([7; 32], slow);
/// # let _ = disk;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SimulatedDisk {
    /// How long a sync takes, drawn anew for each, in milliseconds. Default `1..=5`. A sync of 0 ms
    /// is done before the call returns. A range that is upside down counts as its start alone.
    pub sync_ms: RangeInclusive<u64>,
    /// How much longer a snapshot takes for each MiB, in milliseconds. Default 10.
    pub snapshot_ms_per_mib: u64,
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        SimulatedDisk { sync_ms: 1..=5, snapshot_ms_per_mib: 10 }
    }
}

/// What a power cut leaves of the write that it cuts short.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Tail {
    /// What the seed decides: any prefix of its records, from none to all, and the next one may be torn.
    #[default]
    Seeded,
    /// All of it: it was durable, only nobody had heard so yet.
    Kept,
    /// Nothing.
    Lost,
    /// A prefix that the seed decides, but not all of it, and the next record is torn.
    Torn,
}

/// A disk in memory. Clones are the same disk, which lasts as long as any of them.
///
/// ```
/// use raft_actors::raft::{Record, Term};
/// use raft_actors::storage::{Disk, MemoryDisk, Wait};
///
/// let mut disk = MemoryDisk::new();
/// let ballot = Record::Ballot { term: Term(1), vote: None };
/// let mut before = disk.open()?;
/// assert!(matches!(before.log.write(vec![ballot.clone()]), Wait::Now(Ok(()))));
///
/// let mut after = disk.open()?;
/// let Wait::Now(replay) = after.log.replay() else { panic!("this disk takes no time") };
/// assert_eq!(replay?.records, [ballot]);
/// # Ok::<(), raft_actors::storage::StorageError>(())
/// ```
#[derive(Clone)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

impl MemoryDisk {
    /// An empty disk that takes no time: everything it is asked for is there at once.
    pub fn new() -> MemoryDisk {
        MemoryDisk::simulated(rand::random(), SimulatedDisk { sync_ms: 0..=0, snapshot_ms_per_mib: 0 })
    }

    /// An empty disk that takes a time drawn from `seed`, on tokio's clock, and loses what the same
    /// stream decides. Waiting for it needs a tokio runtime with time enabled.
    pub fn simulated(seed: [u8; 32], disk: SimulatedDisk) -> MemoryDisk {
        let platter = Mutex::new(Platter::new(seed, disk));
        let (room, met) = (Room::default(), Mutex::default());
        MemoryDisk { shared: Arc::new(Shared { platter, resumed: Notify::new(), room, met }) }
    }

    /// Changes how long a sync takes, in milliseconds; see [`SimulatedDisk::sync_ms`]. Holds for
    /// what begins from now on.
    pub fn set_sync_ms(&self, sync_ms: RangeInclusive<u64>) {
        self.shared.lock().set_sync_ms(sync_ms);
    }

    /// From now on nothing completes, not even what is under way, until [`MemoryDisk::resume`].
    /// What is in force can still be read.
    pub fn hang(&self) {
        self.shared.lock().set_hanging(true);
    }

    /// Ends [`MemoryDisk::hang`]: what was held up completes, once its time has passed.
    pub fn resume(&self) {
        self.shared.lock().set_hanging(false);
        self.shared.resumed.notify_waiters();
    }

    /// The next write to the log fails, and a seeded prefix of it survives. From then on every
    /// write, replay and opening fails, and no snapshot is taken in, until [`MemoryDisk::repair`].
    pub fn fail_next_write(&self) {
        self.shared.lock().fail_next_write();
    }

    /// What the next power cut leaves of the write that it cuts short, if one is under way; the one after
    /// that is left to the seed again. It waits for a write of at least one record. [`Tail::Seeded`] takes
    /// it back.
    pub fn set_tail(&self, tail: Tail) {
        self.shared.lock().set_tail(tail);
    }

    /// The next snapshot that is about to become durable does not, after its time: one of the peer's own,
    /// or a leader's whose last piece has come. The one before it stays in force, of what came in nothing is
    /// left, and the log is unharmed.
    pub fn fail_next_snapshot(&self) {
        self.shared.lock().shelf.set_failing(true);
    }

    /// The operator has seen to it that the disk works again, with what is on it.
    pub fn repair(&self) {
        self.shared.lock().repair();
    }

    /// Puts an empty disk in its place, with a life of its own: everything that was on it is lost, also
    /// what its peer had promised. Whoever has it open is cut off. So let the peer be killed first; it
    /// is turned away when it comes back, for a peer that forgot its votes could vote twice.
    ///
    /// ```
    /// use raft_actors::storage::{Disk, MemoryDisk};
    ///
    /// let mut disk = MemoryDisk::new();
    /// let before = disk.open()?.register.incarnation();
    /// disk.wipe();
    /// assert_ne!(disk.open()?.register.incarnation(), before);
    /// # Ok::<(), raft_actors::storage::StorageError>(())
    /// ```
    pub fn wipe(&self) {
        self.shared.lock().wipe();
        self.shared.met.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.room.set_full(false);
    }

    /// Makes the disk full, or gives it room again: see [`Room`].
    pub fn set_full(&self, full: bool) {
        self.shared.room.set_full(full);
    }

    /// How many writes became durable whole.
    pub fn writes(&self) -> u64 {
        self.shared.lock().writes()
    }

    /// How many records became durable with them.
    pub fn records(&self) -> u64 {
        self.shared.lock().records()
    }

    /// Whether a leader's snapshot is whole and on its way to become durable: a kill now loses it.
    pub fn is_installing(&self) -> bool {
        self.shared.lock().shelf.is_installing()
    }

    /// Whether a write is under way.
    pub fn is_syncing(&self) -> bool {
        self.shared.lock().is_syncing()
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        MemoryDisk::new()
    }
}

/// Counts, and never what is on it.
impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platter = self.shared.lock();
        f.debug_struct("MemoryDisk")
            .field("writes", &platter.writes())
            .field("records", &platter.records())
            .field("syncing", &platter.is_syncing())
            .finish_non_exhaustive()
    }
}

impl Disk for MemoryDisk {
    fn open(&mut self) -> Result<Opened, StorageError> {
        let owner = self.shared.lock().open()?;
        let log = MemoryLog { shared: self.shared.clone(), owner };
        let snapshots = MemorySnapshots::new(self.shared.clone());
        Ok(Opened {
            log: Box::new(log),
            snapshots: Arc::new(snapshots),
            register: self.shared.clone(),
            room: self.shared.room.clone(),
        })
    }
}

/// What all clones of a disk, and everybody who has it open, share.
struct Shared {
    platter: Mutex<Platter>,
    /// Rings when a disk that hung goes on. It wakes in the order of waiting, which a simulation
    /// can repeat.
    resumed: Notify,
    room: Room,
    /// The disks that other peers were met with.
    met: Mutex<BTreeMap<PeerId, Incarnation>>,
}

impl Register for Shared {
    fn incarnation(&self) -> Incarnation {
        self.lock().incarnation()
    }

    fn meet(&self, peer: PeerId, incarnation: Incarnation) -> Wait<Result<Meeting, StorageError>> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *met.entry(peer).or_insert(incarnation);
        Wait::Now(Ok(if known == incarnation { Meeting::Known } else { Meeting::Stranger { known } }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `settle`, after the disk took its time; at once if that is none. Whoever drops the answer
    /// before drops `settle` uncalled.
    fn after<T: 'static>(
        self: &Arc<Self>,
        ms: u64,
        settle: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Wait<T> {
        let hanging = self.lock().is_hanging();
        if ms == 0 && !hanging {
            return Wait::Now(settle(self));
        }
        let shared = self.clone();
        Wait::Later(Box::pin(async move {
            shared.pass(ms).await;
            settle(&shared)
        }))
    }

    async fn pass(&self, ms: u64) {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        loop {
            // Listens before it looks, so that it can't miss the bell in between.
            let resumed = self.resumed.notified();
            if !self.lock().is_hanging() {
                return;
            }
            resumed.await;
        }
    }
}

/// The log, as one owner has it open.
struct MemoryLog {
    shared: Arc<Shared>,
    /// Which opening this is: a later one cuts it off.
    owner: u64,
}

impl LogStorage for MemoryLog {
    fn replay(&mut self) -> Wait<Result<Replay, StorageError>> {
        let (owner, ms) = (self.owner, self.shared.lock().draw_ms(0));
        // Reads at the end of its time: a replay that a crash cuts short has not told of the tail.
        self.shared.after(ms, move |shared| shared.lock().replay(owner))
    }

    fn write(&mut self, records: Vec<Record>) -> Wait<Result<(), StorageError>> {
        let begun = self.shared.lock().begin(self.owner, records);
        let (id, ms) = match begun {
            Ok(begun) => begun,
            Err(error) => return Wait::Now(Err(error)),
        };
        let write = UnderWay { shared: self.shared.clone(), id };
        self.shared.after(ms, move |_| write.finish())
    }
}

/// A write under way. Dropped before it is finished, the power is cut.
struct UnderWay {
    shared: Arc<Shared>,
    id: WriteId,
}

impl UnderWay {
    fn finish(self) -> Result<(), StorageError> {
        let mut platter = self.shared.lock();
        platter.finish(self.id)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.lock().cut(self.id);
    }
}
