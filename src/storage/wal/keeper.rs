//! Keeps one spare segment at hand, and takes away what is used up: on a thread of its own, so that
//! no turn waits for it.
//!
//! What is used up becomes a spare again, if one is needed, as it is: what stands in it is [sealed](super::frame::Seal)
//! otherwise than what will be written over it. So a log that is cut at its front now and then writes every byte
//! once, and has the file system find no room. A new file is filled with zeros, or for a log of long turns only
//! reserved ([`Make`]).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    frame::{Frames, Seal},
    segment_name,
};
use crate::storage::{
    Room,
    files::{File, Files},
};

/// The name of the segment that is ready to be used.
pub(super) const SPARE: &str = "spare";

/// The name of the one that is being made.
const NEW_SPARE: &str = "spare.new";

/// Behind the number of a segment that is used up, and may become a spare.
const OLD: &str = ".old";

/// How many of those are kept: about as many as one snapshot covers.
const OLD_MAX: usize = 4;

/// How much is filled with zeros, and synced, at a time: the syncs of turns wait behind no more than that, with 256 KiB
/// about as long as behind one another.
const PIECE_BYTES: u64 = 256 << 10;

/// And where that is [`SLOW`], for every sync takes its time there, however little it has to write.
const PIECE_BYTES_MAX: u64 = 4 << 20;

/// A piece that takes so long waits for the disk, and not for its own bytes.
const SLOW: Duration = Duration::from_millis(8);

/// Where so few turns filled a segment, the next spare is only reserved.
pub(super) const FEW_TURNS: u64 = 64;

/// How a new file comes to its bytes. All of them are zero, the length of the file never changes from then on, and the
/// disk can't run out of room for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Make {
    /// They are written, so that no sync has to do with where the file is. Short turns are quicker by a tenth.
    Zeros,
    /// The file system sets them apart, and notes with each sync what was written. Long turns hardly feel that, and the
    /// disk has half as much to write.
    Reserved,
}

/// Makes the first segment of a log, that is to become one.
pub(super) fn make_first(files: &dyn Files, dir: &Path, bytes: u64) -> io::Result<()> {
    make_spare(files, dir, None, |file| fill_with_zeros(file, 0, bytes, Pieces::Few))
}

/// Makes a spare, and syncs it. `old`: of this file, which nobody needs.
fn make_spare(
    files: &dyn Files,
    dir: &Path,
    old: Option<PathBuf>,
    fill: impl FnOnce(&dyn File) -> io::Result<()>,
) -> io::Result<()> {
    let (new, spare) = (dir.join(NEW_SPARE), dir.join(SPARE));
    match files.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = match old {
        None => files.create(&new),
        // That it is no segment any more has to be durable before it is cut, and before it is another one.
        Some(old) => {
            files.rename(&old, &new).and_then(|()| files.sync_dir(dir)).and_then(|()| files.open(&new))
        }
    };
    let made = file.and_then(|file| fill(&*file)).and_then(|()| files.rename(&new, &spare));
    if made.is_err() {
        // A disk without room needs what little it took. It fails only if the disk does.
        let _ = files.remove(&new);
    }
    made.and_then(|()| files.sync_dir(dir))
}

/// Makes a file so long, whatever it was; what it is longer by are zeros.
fn fit(file: &dyn File, bytes: u64) -> io::Result<()> {
    let there = file.len()?;
    if there > bytes {
        file.set_len(bytes)?;
    }
    fill_with_zeros(file, there.min(bytes), bytes, Pieces::Many)
}

/// Sets room apart, and syncs that before a turn would have to.
fn reserve(file: &dyn File, bytes: u64) -> io::Result<()> {
    file.reserve(bytes).and_then(|()| file.sync())
}

/// In what pieces zeros are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pieces {
    /// Short ones: there are turns that wait.
    Many,
    /// As long as memory likes: nobody waits.
    Few,
}

/// Writes zeros, and syncs.
pub(super) fn fill_with_zeros(file: &dyn File, from: u64, to: u64, pieces: Pieces) -> io::Result<()> {
    let (mut at, mut length) = (from, if pieces == Pieces::Many { PIECE_BYTES } else { PIECE_BYTES_MAX });
    while at < to {
        let begun = Instant::now();
        let zeros = vec![0; length.min(to - at) as usize];
        file.write_all_at(&zeros, at)?;
        at += zeros.len() as u64;
        if pieces == Pieces::Many && at < to {
            file.sync()?;
            if begun.elapsed() >= SLOW {
                length = (length * 2).min(PIECE_BYTES_MAX);
            }
        }
    }
    file.sync()
}

/// What is to be done.
enum Order {
    MakeSpare(Make),
    /// Another segment follows this one, which ends here: what is behind its end goes.
    Close(Seal, u64),
    Remove(u64),
    /// Nobody knows any more what segments were used up before.
    RemoveOld,
    /// Says that everything before it is done.
    Settle(mpsc::Sender<()>),
}

#[derive(Clone)]
struct Place {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    /// Segments that were used up.
    old: Vec<u64>,
}

impl Place {
    fn make_spare(&mut self, make: Make) -> io::Result<()> {
        let (files, dir, bytes) = (&*self.files, &self.dir, self.segment_bytes);
        let old = self.old.pop().map(|number| self.old(number));
        if old.is_none()
            && make == Make::Reserved
            && make_spare(files, dir, None, |file| reserve(file, bytes)).is_ok()
        {
            return Ok(());
        }
        // What can't be reserved may have its zeros all the same. If not, this is the error to tell.
        make_spare(files, dir, old, |file| fit(file, bytes))
    }

    fn old(&self, number: u64) -> PathBuf {
        self.dir.join(segment_name(number) + OLD)
    }

    /// Takes a segment away, or puts it aside.
    fn remove(&mut self, number: u64) -> io::Result<()> {
        let path = self.dir.join(segment_name(number));
        if self.old.len() >= OLD_MAX {
            return self.files.remove(&path);
        }
        self.files.rename(&path, &self.old(number))?;
        self.old.push(number);
        Ok(())
    }

    fn remove_old(&mut self) -> io::Result<()> {
        self.old.clear();
        for name in self.files.list(&self.dir)?.iter().filter(|name| name.ends_with(OLD)) {
            self.files.remove(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Fails only for a spare: what else can't be done now is done at the next start.
    fn carry_out(&mut self, order: Order) -> Option<io::Result<()>> {
        match order {
            Order::MakeSpare(make) => return Some(self.make_spare(make)),
            Order::Close(seal, bytes) => drop(self.close(seal, bytes)),
            Order::Remove(number) => drop(self.remove(number)),
            Order::RemoveOld => drop(self.remove_old()),
            Order::Settle(settled) => drop(settled.send(())),
        }
        None
    }

    /// Whether there is a spare. It has its name once it is whole; who wrote to it since does not matter.
    fn has_spare(&self) -> bool {
        let spare = self.files.open_to_read(&self.dir.join(SPARE)).and_then(|file| file.len());
        spare.is_ok_and(|bytes| bytes == self.segment_bytes)
    }

    fn close(&self, seal: Seal, bytes: u64) -> io::Result<()> {
        let file = self.files.open(&self.dir.join(segment_name(seal.segment)))?;
        let mut frames = Frames::default();
        frames.put_continued();
        file.write_all_at(frames.seal(seal, bytes), bytes)?;
        file.set_len(bytes + frames.len() as u64)
    }
}

/// Who carries orders out.
enum Hands {
    /// The caller: for tests that stop a disk between any two calls.
    #[cfg(test)]
    Own,
    Thread {
        orders: mpsc::Sender<Order>,
        made: mpsc::Receiver<io::Result<()>>,
        thread: thread::JoinHandle<()>,
    },
    /// It has ended.
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spare {
    /// Nobody has looked yet.
    Unknown,
    Ready,
    Ordered,
    /// There was no room for it.
    Missing,
}

/// Keeps the folder of a log in order.
pub(super) struct Keeper {
    place: Place,
    room: Room,
    spare: Spare,
    /// How the next spare is made.
    make: Make,
    /// Up to how many turns in a segment are few.
    few_turns: u64,
    hands: Hands,
}

impl Keeper {
    /// A keeper that works beside its caller, and says in `room` whether there is a spare.
    pub fn start(files: Arc<dyn Files>, dir: PathBuf, segment_bytes: u64, room: Room) -> io::Result<Keeper> {
        let place = Place { files, dir, segment_bytes, old: Vec::new() };
        let (orders, received) = mpsc::channel();
        let (sender, made) = mpsc::channel();
        let mut worker = place.clone();
        // It ends when the keeper is gone.
        let thread = thread::Builder::new().name("wal-keeper".into()).spawn(move || {
            for order in received {
                if let Some(result) = worker.carry_out(order) {
                    let _ = sender.send(result);
                }
            }
        })?;
        let hands = Hands::Thread { orders, made, thread };
        Ok(Keeper { place, room, spare: Spare::Unknown, make: Make::Zeros, few_turns: FEW_TURNS, hands })
    }

    /// A keeper that does everything at once, in the caller's thread.
    #[cfg(test)]
    pub fn in_person(
        files: Arc<dyn Files>,
        dir: PathBuf,
        segment_bytes: u64,
        few_turns: u64,
        room: Room,
    ) -> Keeper {
        let place = Place { files, dir, segment_bytes, old: Vec::new() };
        Keeper { place, room, spare: Spare::Unknown, make: Make::Zeros, few_turns, hands: Hands::Own }
    }

    /// Whether there is a spare.
    #[cfg(test)]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// How long a segment is.
    pub fn segment_bytes(&self) -> u64 {
        self.place.segment_bytes
    }

    fn order(&mut self, order: Order) {
        match &self.hands {
            #[cfg(test)]
            Hands::Own => {
                if let Some(result) = self.place.carry_out(order) {
                    self.made(result);
                }
            }
            // Without the thread there will be no spare, and that is found when it is needed.
            Hands::Thread { orders, .. } => drop(orders.send(order)),
            Hands::None => {}
        }
    }

    fn made(&mut self, result: io::Result<()>) {
        self.spare = if result.is_ok() { Spare::Ready } else { Spare::Missing };
        self.room.set_full(result.is_err());
    }

    /// A log was read: these segments nobody needs. Whether there is a spare is looked up once.
    pub fn begin(&mut self, leftovers: Vec<u64>) {
        self.order(Order::RemoveOld);
        leftovers.into_iter().for_each(|number| self.remove(number));
        if self.spare == Spare::Unknown {
            match self.place.has_spare() {
                true => self.spare = Spare::Ready,
                false => self.order_spare(),
            }
        }
    }

    /// Waits until everything that was ordered is done.
    pub fn settle(&self) {
        if let Hands::Thread { orders, .. } = &self.hands {
            let (sender, settled) = mpsc::channel();
            let _ = orders.send(Order::Settle(sender));
            // Without the thread nothing is under way.
            let _ = settled.recv();
        }
    }

    /// Has the next spare made.
    pub fn order_spare(&mut self) {
        if self.spare != Spare::Ready && self.spare != Spare::Ordered {
            self.spare = Spare::Ordered;
            self.order(Order::MakeSpare(self.make));
        }
    }

    /// Looks whether a spare that was ordered is there; tries again if there was no room.
    pub fn look(&mut self) {
        if let Hands::Thread { made, .. } = &self.hands
            && let Ok(result) = made.try_recv()
        {
            self.made(result);
        }
    }

    /// Tries again if there was no room for a spare.
    pub fn retry(&mut self) {
        self.look();
        if self.spare == Spare::Missing {
            self.order_spare();
        }
    }

    /// Whether somebody should [`look`](Keeper::look) again.
    pub fn is_waiting(&self) -> bool {
        matches!(self.spare, Spare::Ordered | Spare::Missing)
    }

    /// Sees to it that there is a spare now, and gives it away. `turns`: how many of them filled the segment before,
    /// which tells what is best for the next one.
    pub fn take_spare(&mut self, turns: u64) -> io::Result<()> {
        self.make = if turns <= self.few_turns { Make::Reserved } else { Make::Zeros };
        if self.spare == Spare::Ordered
            && let Hands::Thread { made, .. } = &self.hands
            && let Ok(result) = made.recv()
        {
            self.made(result);
        }
        if self.spare != Spare::Ready {
            self.place.make_spare(self.make)?;
        }
        self.spare = Spare::Unknown;
        Ok(())
    }

    /// Another segment follows this one, and is durable: says so at its end, and gives back what it was
    /// filled with in vain.
    pub fn close(&mut self, seal: Seal, bytes: u64) {
        self.order(Order::Close(seal, bytes));
    }

    /// A segment goes.
    pub fn remove(&mut self, number: u64) {
        self.order(Order::Remove(number));
    }
}

/// Whoever opens the log next must not find two at work in its folder.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Hands::Thread { orders, thread, .. } = std::mem::replace(&mut self.hands, Hands::None) {
            drop(orders);
            // If it panicked it has said so.
            let _ = thread.join();
        }
    }
}
