//! How far a run is: counted always, shown only on a terminal, written down if that was asked for.

use std::{
    cell::{Cell, RefCell},
    io::{self, IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use super::{acks::Acks, tally::Tally};

/// How often the line is drawn anew. Real time, also in a simulation: people look at it.
const REDRAW: Duration = Duration::from_millis(100);

/// A line on standard error that is drawn over and over, and is gone in the end.
pub struct Progress {
    /// Of the whole input; unknown of a pipe.
    total: Option<u64>,
    read: Cell<u64>,
    acknowledged: Cell<u64>,
    /// How many had been by an earlier run, once that is known.
    resumed: Cell<Option<u64>>,
    acks: RefCell<Option<Acks>>,
    tally: Tally,
    /// When it was last drawn; `None`: it is not to be shown.
    drawn: Option<Cell<Instant>>,
    is_drawn: Cell<bool>,
}

impl Progress {
    /// Nothing is done yet, of so many lines.
    pub fn new(total: Option<u64>, tally: Tally, acks: Option<Acks>) -> Progress {
        Progress {
            total,
            read: Cell::default(),
            acknowledged: Cell::default(),
            resumed: Cell::default(),
            acks: RefCell::new(acks),
            tally,
            drawn: stderr().is_terminal().then(|| Cell::new(Instant::now())),
            is_drawn: Cell::default(),
        }
    }

    /// So many lines were acknowledged by an earlier run.
    pub fn resume(&self, count: u64) -> io::Result<()> {
        self.resumed.set(Some(count));
        self.acknowledged.set(count);
        self.tell()
    }

    /// How many lines had been acknowledged when this run began.
    pub fn resumed(&self) -> Option<u64> {
        self.resumed.get()
    }

    /// So many lines were read.
    pub fn set_read(&self, read: u64) {
        self.read.set(read);
    }

    /// How many lines there are, or have been read so far if that is not known.
    pub fn lines(&self) -> u64 {
        self.total.unwrap_or(self.read.get())
    }

    /// How many lines were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// One more was.
    pub fn acknowledge(&self) {
        self.acknowledged.set(self.acknowledged.get() + 1);
    }

    /// Tells whoever wants to know.
    pub fn tell(&self) -> io::Result<()> {
        if let Some(acks) = self.acks.borrow_mut().as_mut() {
            acks.write(self.acknowledged.get())?;
        }
        if let Some(drawn) = self.drawn.as_ref().filter(|drawn| drawn.get().elapsed() >= REDRAW) {
            drawn.set(Instant::now());
            self.draw();
        }
        Ok(())
    }

    fn draw(&self) {
        self.is_drawn.set(true);
        let (terms, healed, kills) = self.tally.glance();
        let done = self.acknowledged.get();
        let far = match self.total {
            Some(total) => format!("{:>3} %  {done} of {total} lines", done * 100 / total.max(1)),
            None => format!("{done} lines"),
        };
        // A terminal that is gone is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[2K{far}  term {terms}  {healed} crashes healed  {kills} kills");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn.get() {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}
