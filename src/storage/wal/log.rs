//! Who writes to a log: its thread, or while the disk is quick the thread that asks.
//!
//! To wake a thread and to be woken by it takes about as long as a sync of a quick disk. So a log that
//! [may](Plan::syncs_here) writes what is short where it is asked to, and stops its caller for as long as a quick
//! sync takes. As soon as one takes longer its thread takes over, until there have been some quick ones again: a
//! disk that has become slow stops its caller once, for one sync.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{sync::oneshot, task::yield_now, time::Instant};

use super::{Wal, failed, frame::bytes_max, keeper::Keeper};
use crate::{
    raft::Record,
    storage::{LogStorage, Replay, Room, StorageError, Wait, files::Files},
};

/// How long to wait before another spare is asked for, when there was no room for one.
const RETRY: Duration = Duration::from_secs(1);

/// A write and its sync are quick if they take no longer. Beyond it what it takes to wake a thread hardly counts, and
/// the peer's own thread has other things to do.
const QUICK: Duration = Duration::from_millis(1);

/// After so many quick ones in a row the next is expected to be quick, too.
const QUICK_IN_A_ROW: u32 = 8;

/// The most that is written by whoever asks, in bytes: more takes its time on any disk.
const HERE_BYTES: usize = 256 << 10;

/// After how long without a turn the last one gets its mark.
const LULL: Duration = Duration::from_millis(50);

type Answer<T> = oneshot::Sender<Result<T, StorageError>>;

/// What a thread is asked to do.
enum Job {
    Replay(Answer<Replay>),
    Write(Vec<Record>, Answer<()>),
    /// Others write: somebody has to mark what was written last.
    Watch,
}

/// One log at a time writes to a folder: the last that was opened. The threads of those before end
/// first, with what they had begun.
#[derive(Default)]
pub(in crate::storage) struct Fence(Mutex<Present>);

#[derive(Default)]
struct Present {
    /// How many logs were opened so far.
    number: u64,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Everything that a log's thread needs.
pub(in crate::storage) struct Plan {
    /// Its name.
    pub name: String,
    pub files: Arc<dyn Files>,
    /// The folder of the segments.
    pub dir: PathBuf,
    pub incarnation: u128,
    pub segment_bytes: u64,
    pub room: Room,
    /// Whether a thread that writes may be stopped by a quick sync: one that has nothing else to do meanwhile.
    pub syncs_here: bool,
    /// What has to be looked at besides when the log is read.
    pub beside: Beside,
}

/// Looks at what lies beside a log, after it was read and before anybody hears of it.
pub(in crate::storage) type Beside = Box<dyn FnMut(&mut Replay) -> Result<(), StorageError> + Send>;

/// A log on files, as its owner sees it.
pub(in crate::storage) struct WalLog {
    fence: Arc<Fence>,
    number: u64,
    table: Arc<Table>,
}

/// What the thread of a log shares with whoever writes.
#[derive(Default)]
struct Table {
    /// There while the thread lives: whoever opens the folder next waits for that to end.
    wal: Mutex<Option<Wal>>,
    syncs_here: bool,
    /// How many writes in a row were quick.
    quick: AtomicU32,
    /// Whether the thread sees to it that what was written last gets its mark; and whether something was written since
    /// it looked.
    is_watched: AtomicBool,
    has_moved: AtomicBool,
}

impl Table {
    fn wal(&self) -> MutexGuard<'_, Option<Wal>> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and sees how long it takes.
    fn write(&self, wal: &mut Wal, records: &[Record]) -> Result<(), StorageError> {
        let begun = Instant::now();
        let written = wal.write(records);
        match begun.elapsed() <= QUICK {
            true => self.quick.store(self.quick.load(Relaxed).saturating_add(1), Relaxed),
            false => self.quick.store(0, Relaxed),
        }
        written
    }

    /// Writes at once, if that is likely to be quick. `None`: it is for the thread.
    fn write_here(&self, records: &[Record]) -> Option<Result<(), StorageError>> {
        if !self.syncs_here || self.quick.load(Relaxed) < QUICK_IN_A_ROW {
            return None;
        }
        let is_short = records.iter().map(bytes_max).fold(0, usize::saturating_add) <= HERE_BYTES;
        let mut wal = self.wal.try_lock().ok().filter(|_| is_short)?;
        // To begin another segment takes several syncs.
        let wal = wal.as_mut().filter(|wal| wal.has_room_for(records))?;
        let written = self.write(wal, records);
        if written.is_ok() {
            wal.purge();
        }
        wal.keeper.look();
        self.has_moved.store(true, Relaxed);
        Some(written)
    }
}

/// However the thread ends, nobody writes any more.
struct Owner<'a>(&'a Table);

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        let wal = self.0.wal().take();
        drop(wal);
    }
}

impl WalLog {
    /// Opens the log; nothing is read yet. Whoever had it open is cut off.
    pub fn open(fence: &Arc<Fence>, plan: Plan) -> Result<WalLog, StorageError> {
        let mut present = fence.0.lock().unwrap_or_else(PoisonError::into_inner);
        present.jobs = None;
        let (jobs, queue) = mpsc::channel();
        let before = present.thread.take();
        let (name, dir) = (plan.name.clone(), plan.dir.clone());
        let table = Arc::new(Table { syncs_here: plan.syncs_here, ..Table::default() });
        let shared = table.clone();
        let run = move || {
            // It ends once it has done what it had been asked for; if it panicked, it has said so.
            before.map(JoinHandle::join);
            serve(plan, &queue, &shared);
        };
        let thread = thread::Builder::new().name(name).spawn(run);
        present.thread = Some(thread.map_err(|cause| failed("start the thread of", &dir, cause))?);
        present.jobs = Some(jobs);
        present.number += 1;
        Ok(WalLog { fence: fence.clone(), number: present.number, table })
    }
}

impl Fence {
    /// Gives the thread of the log of this number something to do. Without it the job is dropped, and its answer says
    /// so.
    fn hand_over(&self, number: u64, job: Job) {
        let present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = present.jobs.as_ref().filter(|_| present.number == number) {
            let _ = jobs.send(job);
        }
    }

    fn is_open(&self, number: u64) -> bool {
        let present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        present.number == number && present.jobs.is_some()
    }

    async fn ask<T>(&self, number: u64, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(number, job(answer));
        let gone = "this log was opened by another, or its thread has ended";
        answered.await.unwrap_or_else(|_| Err(StorageError::Refused { why: gone.into() }))
    }
}

impl LogStorage for WalLog {
    fn replay(&mut self) -> Wait<Result<Replay, StorageError>> {
        let (fence, number) = (self.fence.clone(), self.number);
        Wait::Later(Box::pin(async move { fence.ask(number, Job::Replay).await }))
    }

    fn write(&mut self, records: Vec<Record>) -> Wait<Result<(), StorageError>> {
        let (fence, number, table) = (self.fence.clone(), self.number, self.table.clone());
        Wait::Later(Box::pin(async move {
            // What this turn sends meanwhile goes first, for this thread may be about to stand still, or to lose its core
            // to the one that it wakes: the followers' syncs then run beside ours.
            yield_now().await;
            if fence.is_open(number)
                && let Some(written) = table.write_here(&records)
            {
                if !table.is_watched.swap(true, Relaxed) {
                    fence.hand_over(number, Job::Watch);
                }
                return written;
            }
            fence.ask(number, |answer| Job::Write(records, answer)).await
        }))
    }
}

impl Drop for WalLog {
    fn drop(&mut self) {
        let mut present = self.fence.0.lock().unwrap_or_else(PoisonError::into_inner);
        if present.number == self.number {
            present.jobs = None;
        }
    }
}

/// Whoever opens the folder next may be another process's: the log has to be out of it by then.
impl Drop for Present {
    fn drop(&mut self) {
        self.jobs = None;
        self.thread.take().map(JoinHandle::join);
    }
}

/// Does one job after the other until nobody can ask for more.
fn serve(plan: Plan, queue: &mpsc::Receiver<Job>, table: &Table) {
    let Plan { files, dir, incarnation, segment_bytes, room, mut beside, .. } = plan;
    // Without a keeper whoever asks hears that nobody is here.
    let Ok(keeper) = Keeper::start(files.clone(), dir.clone(), segment_bytes, room) else { return };
    // Gone before what `beside` holds: the folder is free for others when that is dropped.
    let _owner = Owner(table);
    *table.wal() = Some(Wal::new(files, dir, incarnation, keeper));
    let mut patience = None;
    // Others write all the time: who waits for room must not wait for a pause.
    let mut retried = Instant::now();
    loop {
        let job = match patience {
            Some(patience) => queue.recv_timeout(patience),
            None => queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        let mut present = table.wal();
        let Some(wal) = &mut *present else { return };
        match job {
            Ok(Job::Replay(answer)) => {
                let replay = wal.replay().and_then(|mut replay| beside(&mut replay).map(|()| replay));
                let _ = answer.send(replay);
            }
            Ok(Job::Write(records, answer)) => {
                let written = table.write(wal, &records);
                let is_written = written.is_ok();
                // Whoever asked may be gone: then nobody was promised anything.
                let _ = answer.send(written);
                if is_written {
                    wal.purge();
                }
                wal.keeper.look();
                table.is_watched.store(true, Relaxed);
                table.has_moved.store(true, Relaxed);
            }
            Ok(Job::Watch) => table.has_moved.store(true, Relaxed),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let _ = wal.after_turn();
                return;
            }
        }
        if table.is_watched.load(Relaxed) && !table.has_moved.swap(false, Relaxed) {
            // What fails here makes the next write fail, and its error says what it was.
            let _ = wal.after_turn();
            table.is_watched.store(false, Relaxed);
        }
        if retried.elapsed() >= RETRY {
            wal.keeper.retry();
            retried = Instant::now();
        }
        patience = match (table.is_watched.load(Relaxed), wal.keeper.is_waiting()) {
            (true, _) => Some(LULL),
            (false, true) => Some(RETRY),
            (false, false) => None,
        };
    }
}
