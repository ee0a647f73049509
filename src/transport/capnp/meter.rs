//! What one connection has under way, and when it was last heard of: the figures that its limits are about.
//!
//! capnp-rpc itself bounds nothing: it takes what comes, starts every call, and queues every answer. So the
//! frames are looked at on their way in and out. Each call is answered by exactly one return, and each return is
//! acknowledged by exactly one finish, unless it says that it needs none; their difference is what is under way.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
};

use capnp_rpc::rpc_capnp::message;
use tokio::{sync::Notify, time::Instant};

use super::budget::Share;

/// The most room that a message is given at once, in words.
const EXPECTED_WORDS_MAX: usize = 2 << 20;

/// What may be under way on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The longest frame, in bytes.
    pub frame_bytes: usize,
    /// Calls that wait for their answers.
    pub calls: usize,
    /// Bytes that wait to be written, before nothing more is read.
    pub queued_bytes: usize,
    /// Bytes of answers that were not acknowledged, before the connection ends.
    pub kept_bytes: usize,
}

/// The figures of one connection. Clones are the same.
#[derive(Clone)]
pub(super) struct Meter(Rc<Figures>);

struct Figures {
    bounds: Cell<Bounds>,
    trusted: Cell<bool>,
    heard: Cell<bool>,
    /// Calls that came, and were not answered yet: nor given up by who asked.
    calls: RefCell<HashSet<u32>>,
    /// Answers that were not acknowledged yet, and how long they are.
    kept: RefCell<HashMap<u32, usize>>,
    kept_bytes: Cell<usize>,
    /// Calls that went out, and were not answered yet.
    asked: Cell<usize>,
    /// Since when it has been waited for a word.
    waiting_since: Cell<Option<Instant>>,
    queued_bytes: Cell<usize>,
    /// Bytes of answers that the purse pays for: those that wait to be written, and those that are kept.
    owed_bytes: Cell<usize>,
    heard_at: Cell<Instant>,
    /// How long the next message will be, if that is known before it is begun.
    expected_words: Cell<Option<u32>>,
    purse: RefCell<Option<Rc<Share>>>,
    /// Why what came was not taken.
    refused: RefCell<Option<String>>,
    /// Why it is to end at once.
    end: RefCell<Option<String>>,
    changed: Notify,
}

impl Meter {
    pub(super) fn new(bounds: Bounds) -> Meter {
        Meter(Rc::new(Figures {
            bounds: Cell::new(bounds),
            trusted: Cell::default(),
            heard: Cell::default(),
            calls: RefCell::default(),
            kept: RefCell::default(),
            kept_bytes: Cell::default(),
            asked: Cell::default(),
            waiting_since: Cell::default(),
            queued_bytes: Cell::default(),
            owed_bytes: Cell::default(),
            heard_at: Cell::new(Instant::now()),
            expected_words: Cell::default(),
            purse: RefCell::default(),
            refused: RefCell::default(),
            end: RefCell::default(),
            changed: Notify::new(),
        }))
    }

    /// Whether both are of one connection.
    pub(super) fn is(&self, other: &Meter) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.0.bounds.get()
    }

    /// Whoever is there may take the thread for as long as it needs: it is another peer, or whom we called.
    pub(super) fn trust(&self) {
        self.0.trusted.set(true);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.0.trusted.get()
    }

    /// Whether anything came that could be read.
    pub(super) fn was_heard(&self) -> bool {
        self.0.heard.get()
    }

    /// From now on more is welcome: who is there is known.
    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.0.bounds.set(bounds);
        self.0.changed.notify_waiters();
    }

    /// Ends the connection; the first reason counts.
    pub(super) fn end(&self, why: impl Into<String>) {
        self.0.end.borrow_mut().get_or_insert_with(|| why.into());
        self.0.changed.notify_waiters();
    }

    /// What came can't be taken: it ends once that was told.
    pub(super) fn refuse(&self, why: impl Into<String>) {
        self.0.refused.borrow_mut().get_or_insert_with(|| why.into());
    }

    /// Why it ended, or is about to.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.refused.borrow().clone().or_else(|| self.ended())
    }

    /// Why it is to end at once, if it is.
    pub(super) fn ended(&self) -> Option<String> {
        self.0.end.borrow().clone()
    }

    /// Returns when it is to end.
    pub(super) async fn until_ended(&self) -> String {
        loop {
            let changed = self.0.changed.notified();
            if let Some(why) = self.ended() {
                return why;
            }
            changed.await;
        }
    }

    /// Returns when any of it has changed.
    pub(super) async fn until_changed(&self) {
        self.0.changed.notified().await;
    }

    /// Returns when there is room for one more call, and for its answer.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.0.changed.notified();
            let bounds = self.bounds();
            if self.0.calls.borrow().len() < bounds.calls && self.0.queued_bytes.get() < bounds.queued_bytes {
                return;
            }
            changed.await;
        }
    }

    /// A frame came.
    pub(super) fn came(&self, message: message::Reader<'_>) -> Result<(), String> {
        self.0.heard_at.set(Instant::now());
        self.0.heard.set(true);
        match message.which() {
            Ok(message::Call(Ok(call))) => self.begun(call.get_question_id()),
            Ok(message::Bootstrap(Ok(call))) => self.begun(call.get_question_id()),
            Ok(message::Return(_)) => {
                let asked = self.0.asked.get().saturating_sub(1);
                self.0.asked.set(asked);
                self.0.waiting_since.set((asked > 0).then(Instant::now));
            }
            Ok(message::Finish(Ok(finish))) => {
                // What is given up is not answered any more.
                self.settled(finish.get_question_id());
                self.acknowledged(finish.get_question_id());
            }
            _ => {}
        }
        let bounds = self.bounds();
        if self.0.kept.borrow().len() > bounds.calls.saturating_mul(16) {
            return Err("too many answers were not acknowledged".into());
        }
        if self.0.kept_bytes.get() > bounds.kept_bytes {
            return Err("too many bytes of answers were not acknowledged".into());
        }
        Ok(())
    }

    /// A frame of so many bytes is queued to be written.
    pub(super) fn queued(&self, message: message::Reader<'_>, bytes: usize) {
        self.0.queued_bytes.set(self.0.queued_bytes.get() + bytes);
        match message.which() {
            Ok(message::Return(Ok(answer))) => {
                self.settled(answer.get_answer_id());
                // A number may be used again once its answer was acknowledged, or needs not be.
                self.acknowledged(answer.get_answer_id());
                self.0.owed_bytes.set(self.0.owed_bytes.get() + bytes);
                if !answer.get_no_finish_needed() {
                    self.0.kept.borrow_mut().insert(answer.get_answer_id(), bytes);
                    self.0.kept_bytes.set(self.0.kept_bytes.get() + bytes);
                }
            }
            Ok(message::Call(_) | message::Bootstrap(_)) => {
                if self.0.asked.get() == 0 {
                    self.0.waiting_since.set(Some(Instant::now()));
                }
                self.0.asked.set(self.0.asked.get() + 1);
            }
            _ => {}
        }
    }

    /// The message that is begun next carries so much: it gets room for that in one piece. capnp-rpc itself takes eight
    /// kilobytes for any call and next to none for any answer, and then more, and more.
    pub(super) fn expect(&self, bytes: usize) {
        const AROUND_WORDS: usize = 64;
        let words = bytes.div_ceil(8).saturating_add(AROUND_WORDS).min(EXPECTED_WORDS_MAX);
        self.0.expected_words.set(u32::try_from(words).ok());
    }

    pub(super) fn take_expected_words(&self) -> Option<u32> {
        self.0.expected_words.take()
    }

    fn begun(&self, question: u32) {
        self.0.calls.borrow_mut().insert(question);
    }

    fn settled(&self, question: u32) {
        self.0.calls.borrow_mut().remove(&question);
        self.0.changed.notify_waiters();
    }

    fn acknowledged(&self, answer: u32) {
        if let Some(bytes) = self.0.kept.borrow_mut().remove(&answer) {
            self.0.kept_bytes.set(self.0.kept_bytes.get().saturating_sub(bytes));
            self.settle_up(bytes);
        }
    }

    /// An answer takes memory until it is written, and until it is acknowledged: what is neither waited for nor kept
    /// is paid for no more. `moved`: so many bytes went, one way or the other. Small answers are owed for although
    /// nobody paid for them: that may give some of another's deposit back early, by no more than may be kept.
    fn settle_up(&self, moved: usize) {
        let Some(purse) = self.purse() else { return };
        purse.moved(moved);
        let due = self.0.queued_bytes.get().max(self.0.kept_bytes.get());
        let free = self.0.owed_bytes.get().saturating_sub(due);
        self.0.owed_bytes.set(self.0.owed_bytes.get() - free);
        purse.give_back(free);
        if due == 0 && self.idle_since().is_some() {
            // What was paid too much, for an answer is not known to the byte before it is there.
            purse.give_back(usize::MAX);
        }
    }

    /// Pays for what waits to be written: returned as it is.
    pub(super) fn set_purse(&self, purse: Share) {
        *self.0.purse.borrow_mut() = Some(Rc::new(purse));
    }

    /// What pays for what waits to be written, if anything does.
    pub(super) fn purse(&self) -> Option<Rc<Share>> {
        self.0.purse.borrow().clone()
    }

    /// So many bytes were written.
    pub(super) fn written(&self, bytes: usize) {
        self.0.queued_bytes.set(self.0.queued_bytes.get().saturating_sub(bytes));
        self.settle_up(bytes);
        self.0.changed.notify_waiters();
    }

    /// Since when nothing was heard, if a call of the other side is not under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.0.calls.borrow().is_empty() && self.0.queued_bytes.get() == 0).then(|| self.0.heard_at.get())
    }

    /// Since when nothing was said, if neither side waits for an answer.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        self.idle_since().filter(|_| self.0.asked.get() == 0)
    }

    /// Since when an answer has been waited for in vain, while nothing else came either.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        self.0.waiting_since.get().map(|since| since.max(self.0.heard_at.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capnp::message::Builder;

    fn meter() -> Meter {
        Meter::new(Bounds { frame_bytes: 100, calls: 2, queued_bytes: 100, kept_bytes: 1_000 })
    }

    fn frame(fill: impl FnOnce(message::Builder<'_>), look: impl FnOnce(message::Reader<'_>)) {
        let mut builder = Builder::new_default();
        fill(builder.init_root());
        look(builder.get_root_as_reader().unwrap());
    }

    fn call(id: u32) -> impl FnOnce(message::Builder<'_>) {
        move |to| to.init_call().set_question_id(id)
    }

    fn answer(id: u32) -> impl FnOnce(message::Builder<'_>) {
        move |to| to.init_return().set_answer_id(id)
    }

    fn finish(id: u32) -> impl FnOnce(message::Builder<'_>) {
        move |to| to.init_finish().set_question_id(id)
    }

    fn has_room(meter: &Meter) -> bool {
        futures::FutureExt::now_or_never(meter.room()).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_under_way_until_they_are_answered_and_what_waits_until_it_is_written() {
        let meter = meter();
        frame(call(1), |frame| meter.came(frame).unwrap());
        assert!(has_room(&meter) && meter.idle_since().is_none());
        frame(call(2), |frame| meter.came(frame).unwrap());
        assert!(!has_room(&meter), "as many as there may be");
        frame(answer(1), |frame| meter.queued(frame, 10));
        assert!(has_room(&meter));
        frame(answer(2), |frame| meter.queued(frame, 90));
        assert!(!has_room(&meter), "nobody takes the answers");
        meter.written(100);
        assert!(has_room(&meter) && meter.idle_since().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_kept_until_they_are_acknowledged() {
        let meter = meter();
        for id in 0..32 {
            frame(call(id), |frame| meter.came(frame).unwrap());
            frame(answer(id), |frame| meter.queued(frame, 1));
        }
        frame(call(33), |frame| meter.came(frame).unwrap());
        frame(answer(33), |frame| meter.queued(frame, 1));
        frame(call(34), |frame| assert!(meter.came(frame).is_err(), "32 are the most"));
        for id in 0..34 {
            frame(finish(id), |frame| drop(meter.came(frame)));
        }
        frame(call(35), |frame| meter.came(frame).unwrap());
        frame(answer(35), |frame| meter.queued(frame, 1_001));
        frame(call(36), |frame| assert!(meter.came(frame).is_err(), "too many bytes"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_needs_no_acknowledgement_is_not_kept() {
        let meter = meter();
        let whole = |to: message::Builder<'_>| {
            let mut answer = to.init_return();
            answer.set_answer_id(1);
            answer.set_no_finish_needed(true);
        };
        for _ in 0..100 {
            frame(call(1), |frame| meter.came(frame).unwrap());
            frame(whole, |frame| meter.queued(frame, 900));
            meter.written(900);
        }
        assert!(has_room(&meter));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_while_something_was_asked() {
        let meter = meter();
        assert!(meter.unanswered_since().is_none());
        frame(call(1), |frame| meter.queued(frame, 1));
        let asked_at = Instant::now();
        assert_eq!(meter.unanswered_since(), Some(asked_at));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        frame(finish(9), |frame| meter.came(frame).unwrap());
        assert_eq!(meter.unanswered_since(), Some(Instant::now()), "it is not mute");
        frame(answer(1), |frame| meter.came(frame).unwrap());
        assert!(meter.unanswered_since().is_none());
    }
}
