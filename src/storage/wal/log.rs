//! The thread that writes to a log, so that a slow disk stops nobody else.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{sync::oneshot, task::yield_now, time::Instant};

use super::{Wal, failed, keeper::Keeper};
use crate::{
    raft::Record,
    storage::{LogStorage, Replay, Room, StorageError, Wait, files::Files},
};

/// How long to wait before another spare is asked for, when there was no room for one.
const RETRY: Duration = Duration::from_secs(1);

/// After how long without a turn the last one gets its mark.
const LULL: Duration = Duration::from_millis(50);

type Answer<T> = oneshot::Sender<Result<T, StorageError>>;

/// What a thread is asked to do.
enum Job {
    Replay(Answer<Replay>),
    Write(Vec<Record>, Answer<()>),
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
    /// What has to be looked at besides when the log is read.
    pub beside: Beside,
}

/// Looks at what lies beside a log, after it was read and before anybody hears of it.
pub(in crate::storage) type Beside = Box<dyn FnMut(&mut Replay) -> Result<(), StorageError> + Send>;

/// A log on files, as its owner sees it.
pub(in crate::storage) struct WalLog {
    fence: Arc<Fence>,
    number: u64,
}

impl WalLog {
    /// Opens the log; nothing is read yet. Whoever had it open is cut off.
    pub fn open(fence: &Arc<Fence>, plan: Plan) -> Result<WalLog, StorageError> {
        let mut present = fence.0.lock().unwrap_or_else(PoisonError::into_inner);
        present.jobs = None;
        let (jobs, queue) = mpsc::channel();
        let before = present.thread.take();
        let (name, dir) = (plan.name.clone(), plan.dir.clone());
        let run = move || {
            // It ends once it has done what it had been asked for; if it panicked, it has said so.
            before.map(JoinHandle::join);
            serve(plan, &queue);
        };
        let thread = thread::Builder::new().name(name).spawn(run);
        present.thread = Some(thread.map_err(|cause| failed("start the thread of", &dir, cause))?);
        present.jobs = Some(jobs);
        present.number += 1;
        Ok(WalLog { fence: fence.clone(), number: present.number })
    }
}

impl Fence {
    /// Gives the thread of the log of this number something to do, and waits for its answer.
    async fn ask<T>(&self, number: u64, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(number, job(answer));
        let gone = "this log was opened by another, or its thread has ended";
        answered.await.unwrap_or_else(|_| Err(StorageError::Refused { why: gone.into() }))
    }

    /// Without that thread the job is dropped, and its answer says so.
    fn hand_over(&self, number: u64, job: Job) {
        let present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = present.jobs.as_ref().filter(|_| present.number == number) {
            let _ = jobs.send(job);
        }
    }
}

impl LogStorage for WalLog {
    fn replay(&mut self) -> Wait<Result<Replay, StorageError>> {
        let (fence, number) = (self.fence.clone(), self.number);
        Wait::Later(Box::pin(async move { fence.ask(number, Job::Replay).await }))
    }

    fn write(&mut self, records: Vec<Record>) -> Wait<Result<(), StorageError>> {
        let (fence, number) = (self.fence.clone(), self.number);
        Wait::Later(Box::pin(async move {
            // The thread that is about to wake may take this one's core. What this turn sends meanwhile goes first: the
            // followers' syncs then run beside ours.
            yield_now().await;
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
fn serve(plan: Plan, queue: &mpsc::Receiver<Job>) {
    let Plan { files, dir, incarnation, segment_bytes, room, mut beside, .. } = plan;
    // Without a keeper whoever asks hears that nobody is here.
    let Ok(keeper) = Keeper::start(files.clone(), dir.clone(), segment_bytes, room) else { return };
    // Gone before what `beside` holds: the folder is free for others when that is dropped.
    let mut wal = Wal::new(files, dir, incarnation, keeper);
    // Whether the last turn has no mark yet: it gets one in front of the next, or once nothing comes for a while.
    let mut is_unmarked = false;
    // Others write all the time: who waits for room must not wait for a pause.
    let mut retried = Instant::now();
    loop {
        let job = match (is_unmarked, wal.keeper.is_waiting()) {
            (true, _) => queue.recv_timeout(LULL),
            (false, true) => queue.recv_timeout(RETRY),
            (false, false) => queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(Job::Replay(answer)) => {
                let replay = wal.replay().and_then(|mut replay| beside(&mut replay).map(|()| replay));
                let _ = answer.send(replay);
            }
            Ok(Job::Write(records, answer)) => {
                let written = wal.write(&records);
                let is_written = written.is_ok();
                // Whoever asked may be gone: then nobody was promised anything.
                let _ = answer.send(written);
                if is_written {
                    wal.purge();
                }
                wal.keeper.look();
                is_unmarked = true;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // What fails here makes the next write fail, and its error says what it was.
                let _ = wal.after_turn();
                is_unmarked = false;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let _ = wal.after_turn();
                return;
            }
        }
        if retried.elapsed() >= RETRY {
            wal.keeper.retry();
            retried = Instant::now();
        }
    }
}
