//! One follower as its replicator sees it: the brain, without hands.
//!
//! At the tail entries are *pushed*: a follower that has everything so far gets each turn's slice at
//! once. Behind the tail they are *pulled*: when an answer frees the window, the replicator asks its
//! leader for what comes next. Slices it cannot use are dropped, not queued, so that a slow follower
//! costs its window and no more.
//!
//! There are no retry timers. Behind the entries each heartbeat sends an empty slice whose `prev` is
//! what was sent so far: if anything was lost the follower refuses it, and the replicator probes.

use std::collections::VecDeque;

use super::{
    message::Slice,
    types::{Index, Position},
};
use crate::config::Config;

/// How a follower is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Where its log parts from ours is not known. One message at a time finds out.
    Probe {
        /// The end of the probe under way; `None`: none is.
        asked: Option<Index>,
    },
    /// It has everything up to what was sent: entries flow, as many as the window holds.
    Stream,
    /// It lacks what the log no longer holds, and is being sent a snapshot.
    Snapshot,
}

/// A probe is given this many heartbeats before it is taken for lost. If the follower is heard all the
/// while, its answers may just be slow: the next one is given twice as many, for an answer that takes
/// longer than that must find the search where it left it.
const BEATS: u32 = 2;
const BEATS_MAX: u32 = 16;

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing, until something happens.
    Wait,
    /// Ask the leader for entries from here on; `None`: it should say where to begin.
    Pull(Option<Index>),
}

/// One message under way.
#[derive(Debug)]
struct Flight {
    end: Index,
    bytes: usize,
}

/// What a replicator knows of its follower.
#[derive(Debug)]
pub struct Progress {
    mode: Mode,
    /// Up to where the logs are known to match. Only ever rises.
    matched: Index,
    /// The end of what was sent: what follows is the `prev` of the next message.
    sent: Position,
    /// The end of the leader's log, as far as it told.
    tail: Index,
    /// Whether there may be more behind what it gave last.
    more: bool,
    /// Messages with entries under way, oldest first.
    flights: VecDeque<Flight>,
    flying_bytes: usize,
    /// Whether the leader was asked for entries and has not answered.
    pulling: bool,
    /// Whether the follower said that it can take no entries: nothing is sent before the next heartbeat.
    resting: bool,
    /// The lowest `prev` that was refused since the search began. A window that misses its first
    /// message is refused as often as it has messages: one refusal says it all.
    refused: Option<Index>,
    /// Heartbeats since the search last got on, and after how many of them it begins anew.
    beats: u32,
    beats_max: u32,
    /// Whether the follower answered anything since the search last began.
    heard: bool,
    batches_max: usize,
    bytes_max: usize,
}

impl Progress {
    /// A follower of which nothing is known.
    pub fn new(config: &Config) -> Progress {
        Progress {
            mode: Mode::Probe { asked: None },
            matched: Index(0),
            sent: Position::ZERO,
            tail: Index(0),
            more: false,
            flights: VecDeque::new(),
            flying_bytes: 0,
            pulling: false,
            resting: false,
            refused: None,
            beats: 0,
            beats_max: BEATS,
            heard: false,
            batches_max: config.window_batches_max,
            bytes_max: config.window_bytes_max,
        }
    }

    /// How the follower is spoken to.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The end of what was sent.
    pub fn sent(&self) -> Position {
        self.sent
    }

    /// Up to where the logs are known to match.
    pub fn matched(&self) -> Index {
        self.matched
    }

    /// Whether one more message fits into the window. One always does.
    fn has_room(&self) -> bool {
        self.flights.is_empty()
            || (self.flights.len() < self.batches_max && self.flying_bytes < self.bytes_max)
    }

    fn fly(&mut self, slice: &Slice) {
        self.sent = slice.end();
        self.tail = self.tail.max(self.sent.index);
        if !slice.batches.is_empty() {
            let flight = Flight { end: self.sent.index, bytes: slice.weight() };
            self.flying_bytes += flight.bytes;
            self.flights.push_back(flight);
        }
    }

    fn land(&mut self, upto: Index) {
        while self.flights.front().is_some_and(|flight| flight.end <= upto) {
            self.flying_bytes -= self.flights.pop_front().map_or(0, |flight| flight.bytes);
        }
    }

    fn clear_window(&mut self) {
        self.flights.clear();
        self.flying_bytes = 0;
        self.pulling = false;
    }

    fn probe(&mut self) {
        self.mode = Mode::Probe { asked: None };
        self.clear_window();
        self.beats = 0;
    }

    fn stream(&mut self) {
        self.mode = Mode::Stream;
        self.refused = None;
        self.beats_max = BEATS;
    }

    /// A turn's new entries are there. `true`: send them now. The first ones that a replicator sees
    /// are its probe.
    pub fn offer(&mut self, slice: &Slice) -> bool {
        self.tail = slice.end().index;
        self.more = false;
        let fits = match self.mode {
            Mode::Stream => slice.prev == self.sent && self.has_room() && !self.pulling,
            Mode::Probe { asked } => {
                let fits = asked.is_none() && !self.pulling && !self.resting;
                if fits {
                    self.mode = Mode::Probe { asked: Some(slice.end().index) };
                    self.beats = 0;
                }
                fits
            }
            Mode::Snapshot => false,
        };
        if fits {
            self.fly(slice);
        }
        fits
    }

    /// The leader gave entries whose `prev` the follower is known to hold, or that were sent before:
    /// they are to be sent. There may be more behind them, until it gives none; what there is for
    /// sure fills the window at once.
    pub fn feed(&mut self, slice: &Slice) -> Step {
        self.pulling = false;
        if self.mode != Mode::Stream || slice.prev != self.sent {
            // It begins anew there: flights stay in the order of their ends.
            self.clear_window();
            self.stream();
        }
        self.fly(slice);
        if slice.batches.is_empty() {
            self.tail = self.sent.index;
        }
        self.more = false;
        let step = self.pull_if_behind();
        self.more = !slice.batches.is_empty();
        step
    }

    /// The leader gave an empty slice, to find out whether the follower holds its `prev`: it is to
    /// be sent.
    pub fn ask(&mut self, slice: &Slice) {
        self.clear_window();
        self.mode = Mode::Probe { asked: Some(slice.end().index) };
        self.beats = 0;
        self.fly(slice);
    }

    /// The leader can only give a snapshot.
    pub fn begin_snapshot(&mut self) {
        self.clear_window();
        self.resting = false;
        self.mode = Mode::Snapshot;
    }

    /// The follower's log is the snapshot's now. There may be more behind it, which a leader that has
    /// nothing new would never tell.
    pub fn installed(&mut self, at: Position) -> Step {
        self.clear_window();
        self.stream();
        self.sent = at;
        self.tail = self.tail.max(at.index.next());
        self.on_matched(at.index)
    }

    /// The follower accepted: the logs match up to here.
    pub fn on_matched(&mut self, index: Index) -> Step {
        self.heard = true;
        self.matched = self.matched.max(index);
        self.land(self.matched);
        if let Mode::Probe { asked: Some(asked) } = self.mode
            && index >= asked
        {
            self.stream();
        }
        self.pull_if_behind()
    }

    fn pull_if_behind(&mut self) -> Step {
        let is_behind = self.sent.index < self.tail || self.more;
        if self.mode == Mode::Stream && is_behind && self.has_room() && !self.pulling {
            self.pulling = true;
            return Step::Pull(Some(self.sent.index.next()));
        }
        Step::Wait
    }

    /// The follower refused entries behind `prev`. `true`: the leader has to say where to look next.
    /// `false`: an old refusal, of what is known to match by now or of what is being looked into.
    pub fn on_refused(&mut self, prev: Index) -> bool {
        self.heard = true;
        if self.resting {
            return false;
        }
        let is_old = match self.mode {
            Mode::Stream => prev > self.sent.index,
            Mode::Probe { .. } => self.refused.is_some_and(|refused| prev >= refused),
            Mode::Snapshot => true,
        };
        if is_old || prev <= self.matched {
            return false;
        }
        self.probe();
        self.refused = Some(prev);
        self.pulling = true;
        true
    }

    /// The follower can take no entries now: the next heartbeat tries again.
    pub fn on_backlog(&mut self) {
        if self.mode != Mode::Snapshot {
            self.probe();
            self.resting = true;
        }
    }

    /// Whether what the leader gives is to be dropped. What it was asked for before the follower
    /// refused is still on its way: sent on, it would begin anew what was just given up, and be refused
    /// again, as fast as messages travel.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// A heartbeat: in `Stream` the replicator checks what it has sent; in `Probe` what has been under
    /// way for some of them is taken for lost, and the leader says where to begin anew.
    pub fn beat(&mut self) -> Step {
        match self.mode {
            Mode::Stream if self.pulling => {
                self.pulling = false;
                self.pull_if_behind()
            }
            Mode::Stream | Mode::Snapshot => Step::Wait,
            Mode::Probe { asked } => {
                if asked.is_some() || self.pulling {
                    self.beats += 1;
                    if self.beats < self.beats_max {
                        return Step::Wait;
                    }
                    if self.heard {
                        self.beats_max = BEATS_MAX.min(self.beats_max * 2);
                    }
                }
                self.heard = false;
                self.probe();
                self.refused = None;
                self.resting = false;
                self.pulling = true;
                Step::Pull(None)
            }
        }
    }

    /// Whether something was sent that no answer has confirmed.
    pub fn is_unconfirmed(&self) -> bool {
        self.mode == Mode::Stream && self.sent.index > self.matched
    }
}
