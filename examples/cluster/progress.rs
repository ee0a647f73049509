//! How far a run is: counted always, shown only on a terminal.

use std::{
    cell::Cell,
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use super::tally::Tally;

/// How often the line is drawn anew. Real time, also in a simulation: people look at it.
const REDRAW: Duration = Duration::from_millis(100);

/// A line on standard error that is drawn over and over, and is gone in the end.
pub struct Progress {
    lines: u64,
    acknowledged: Cell<u64>,
    tally: Tally,
    /// When it was last drawn; `None`: it is not to be shown.
    drawn: Option<Cell<Instant>>,
    is_drawn: Cell<bool>,
}

impl Progress {
    /// Nothing is done yet, of so many lines.
    pub fn new(lines: u64, tally: Tally) -> Progress {
        let drawn = stderr().is_terminal().then(|| Cell::new(Instant::now()));
        Progress { lines, acknowledged: Cell::new(0), tally, drawn, is_drawn: Cell::new(false) }
    }

    /// How many lines were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// One more was.
    pub fn acknowledge(&self) {
        self.acknowledged.set(self.acknowledged.get() + 1);
        // The clock is read for one line in 16: a window of them is over in no time.
        if self.acknowledged.get().is_multiple_of(16)
            && let Some(drawn) = &self.drawn
            && drawn.get().elapsed() >= REDRAW
        {
            drawn.set(Instant::now());
            self.draw();
        }
    }

    fn draw(&self) {
        self.is_drawn.set(true);
        let (terms, healed, kills) = self.tally.glance();
        let done = self.acknowledged.get() * 100 / self.lines.max(1);
        // A terminal that is gone is no reason to stop.
        let _ = write!(
            stderr(),
            "\r\x1b[2K{done:>3} %  {} of {} lines  term {terms}  {healed} crashes healed  {kills} kills",
            self.acknowledged.get(),
            self.lines,
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn.get() {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}
