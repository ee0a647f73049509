//! A snapshot on its way to a follower: the brain, without hands.
//!
//! A window of pieces is under way at a time, so that a transfer is as fast as the link and not as its
//! round trips. Each answer says how much the follower holds from the start: what is new in it moves
//! the window, and nothing else does, so that a network that doubles or delays messages brings on no
//! piece more. The follower keeps what comes early; so what got lost is one piece at a time, and shows
//! by silence.
//!
//! After silence one piece is sent, alone: its answer tells where the follower is, be it that it has
//! everything that followed, or nothing any more because it was started again. A transfer begins in
//! the same way, and so goes on where it was before a leader or a follower fell.

use std::collections::VecDeque;

use crate::{config::Config, raft::SnapshotMeta};

/// For how many heartbeats an answer is waited for at first, and at most: a follower that is back
/// after an hour is not to wait for another one, and a link may just be slow.
const PATIENCE_BEATS: u32 = 4;
const PATIENCE_BEATS_MAX: u32 = 16;

/// For how many at most on a link where answers are known to take long: what is sent again before they can be there
/// makes them take longer still.
const SLOW_BEATS_MAX: u32 = 256;

/// A piece that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Which one: counts all that were sent, so that no two have the same.
    pub number: u64,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: usize,
}

/// How far a transfer is.
#[derive(Debug)]
pub struct Sending {
    bytes: u64,
    piece_bytes_max: u64,
    window_bytes: u64,
    /// What the follower says it has, from the start.
    held: u64,
    /// Where the next piece begins. Never before `held`.
    next: u64,
    /// The last piece that was sent.
    number: u64,
    /// Whether one piece alone is under way, to find out where the follower is; `true` until it is sent.
    asking: Option<bool>,
    /// For how many heartbeats nothing was heard, and after how many a piece is sent again.
    beats: u32,
    patience_beats: u32,
    /// How many heartbeats there were, and where the pieces under way end, with the heartbeat after which each left.
    clock: u32,
    under_way: VecDeque<(u64, u32)>,
    /// Whether it has got on since this was last asked.
    advanced: bool,
}

impl Sending {
    /// A transfer that begins.
    pub fn new(meta: &SnapshotMeta, config: &Config) -> Sending {
        Sending {
            bytes: meta.bytes,
            piece_bytes_max: config.snapshot_chunk_bytes as u64,
            window_bytes: config.snapshot_window_bytes as u64,
            held: 0,
            next: 0,
            number: 0,
            asking: Some(true),
            beats: 0,
            patience_beats: PATIENCE_BEATS,
            clock: 0,
            under_way: VecDeque::new(),
            advanced: false,
        }
    }

    /// The next piece that may be sent now.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let left = self.bytes.saturating_sub(self.next);
        let bytes = left.min(self.piece_bytes_max);
        let under_way = self.next.saturating_sub(self.held);
        let may = match self.asking {
            Some(unsent) => unsent,
            None => left > 0 && under_way.saturating_add(bytes) <= self.window_bytes,
        };
        if !may {
            return None;
        }
        self.asking = self.asking.map(|_| false);
        self.number += 1;
        let piece = Piece { number: self.number, offset: self.next, bytes: bytes as usize };
        self.next += bytes;
        // One that is sent again left when it left first.
        if self.under_way.back().is_none_or(|&(end, _)| end < self.next) {
            self.under_way.push_back((self.next, self.clock));
        }
        Some(piece)
    }

    /// Whether a piece that took its time to be read is still to be sent: not if the transfer has
    /// gone back since.
    pub fn is_wanted(&self, piece: Piece) -> bool {
        self.asking.is_none() || piece.number == self.number
    }

    /// The follower answered a piece: it holds this much from the start.
    pub fn heard(&mut self, number: u64, held: u64) {
        let is_answer = self.asking == Some(false) && number == self.number;
        if held > self.bytes || (held <= self.held && !is_answer) {
            return;
        }
        if held > self.held {
            (self.asking, self.advanced) = (None, true);
            (self.beats, self.patience_beats) = (0, self.patience_for(held));
            // What it holds may be more than was sent: then somebody else had sent it.
            (self.held, self.next) = (held, self.next.max(held));
        } else if held < self.held {
            // It has lost what it had.
            (self.held, self.next, self.asking) = (held, held, Some(true));
            self.under_way.clear();
        }
    }

    /// How long to wait from now on, after the answer that says that so much is held.
    fn patience_for(&mut self, held: u64) -> u32 {
        let mut left_at = self.clock;
        while let Some(&(end, beat)) = self.under_way.front()
            && end <= held
        {
            self.under_way.pop_front();
            left_at = beat;
        }
        let took = self.clock.wrapping_sub(left_at);
        took.saturating_mul(2).saturating_add(PATIENCE_BEATS).min(SLOW_BEATS_MAX)
    }

    /// A heartbeat. After some of them without news a piece is sent again, alone.
    pub fn beat(&mut self) {
        self.beats += 1;
        self.clock = self.clock.wrapping_add(1);
        if self.beats >= self.patience_beats {
            self.beats = 0;
            self.patience_beats = PATIENCE_BEATS_MAX.min(self.patience_beats * 2).max(self.patience_beats);
            (self.next, self.asking) = (self.held, Some(true));
        }
    }

    /// Whether it has got on since this was last asked.
    pub fn take_advanced(&mut self) -> bool {
        std::mem::take(&mut self.advanced)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::raft::Position;

    /// 1,000 bytes in pieces of 100, 300 of them under way.
    fn sending(bytes: u64) -> Sending {
        let mut config = Config::default();
        (config.snapshot_chunk_bytes, config.snapshot_window_bytes) = (100, 300);
        let meta = SnapshotMeta { at: Position::new(1, 9), membership: Arc::default(), bytes, checksum: 0 };
        Sending::new(&meta, &config)
    }

    /// The offsets of all pieces that may be sent now.
    fn sent(sending: &mut Sending) -> Vec<u64> {
        std::iter::from_fn(|| sending.next_piece()).map(|piece| piece.offset).collect()
    }

    /// A transfer that has got to 300 and has three pieces under way: numbers 4, 5, 6.
    fn under_way() -> Sending {
        let mut sending = sending(1_000);
        assert_eq!(sent(&mut sending), [0]);
        sending.heard(1, 100);
        assert_eq!(sent(&mut sending), [100, 200, 300]);
        sending.heard(2, 200);
        sending.heard(3, 300);
        assert_eq!(sent(&mut sending), [400, 500]);
        sending
    }

    fn silence(sending: &mut Sending, beats: u32) -> Vec<u64> {
        (0..beats).for_each(|_| sending.beat());
        sent(sending)
    }

    #[test]
    fn one_piece_asks_and_then_the_window_is_full() {
        let mut sending = under_way();
        for (number, held) in [(4, 400), (5, 500), (6, 600), (7, 700)] {
            sending.heard(number, held);
            assert_eq!(sent(&mut sending), [held + 200]);
        }
        sending.heard(8, 800);
        sending.heard(9, 900);
        assert_eq!(sent(&mut sending), [0; 0], "all of it is under way");
    }

    #[test]
    fn the_last_piece_is_as_long_as_what_is_left() {
        let mut sending = sending(250);
        sending.next_piece();
        sending.heard(1, 100);
        let pieces: Vec<_> = std::iter::from_fn(|| sending.next_piece()).collect();
        let piece = |number, offset, bytes| Piece { number, offset, bytes };
        assert_eq!(pieces, [piece(2, 100, 100), piece(3, 200, 50)]);
    }

    #[test]
    fn an_empty_snapshot_is_one_empty_piece() {
        let mut sending = sending(0);
        assert_eq!(sending.next_piece(), Some(Piece { number: 1, offset: 0, bytes: 0 }));
        assert_eq!(sending.next_piece(), None);
        assert_eq!(silence(&mut sending, PATIENCE_BEATS), [0], "it got lost");
    }

    #[test]
    fn it_goes_on_where_the_follower_is() {
        let mut sending = sending(1_000);
        assert_eq!(sent(&mut sending), [0]);
        sending.heard(1, 640);
        assert_eq!(sent(&mut sending), [640, 740, 840]);
    }

    #[test]
    fn answers_that_say_nothing_new_bring_on_nothing() {
        let mut sending = under_way();
        for _ in 0..5 {
            for (number, held) in [(1, 100), (3, 300), (6, 300), (5, 0), (6, 1_001), (6, u64::MAX)] {
                sending.heard(number, held);
                assert_eq!(sent(&mut sending), [0; 0], "{number} {held}");
            }
        }
        sending.heard(6, 600);
        assert_eq!(sent(&mut sending), [600, 700, 800], "one answer may say it for all");
        sending.heard(4, 400);
        assert_eq!(sent(&mut sending), [0; 0], "an overtaken one says nothing");
    }

    #[test]
    fn silence_is_broken_by_one_piece_alone() {
        let mut sending = under_way();
        assert_eq!(silence(&mut sending, PATIENCE_BEATS - 1), [0; 0]);
        assert_eq!(silence(&mut sending, 1), [300]);
        assert_eq!(silence(&mut sending, 2 * PATIENCE_BEATS - 1), [0; 0], "the link may be slow");
        assert_eq!(silence(&mut sending, 1), [300]);
        let mut gone = (0..1_000).map(|_| silence(&mut sending, 1).len());
        assert!((60..=66).contains(&gone.by_ref().sum::<usize>()), "but not for ever slower");
    }

    #[test]
    fn where_answers_take_long_they_are_waited_for() {
        let mut sending = sending(10_000);
        sending.next_piece();
        assert_eq!(silence(&mut sending, PATIENCE_BEATS - 1), [0; 0]);
        sending.heard(1, 100);
        assert_eq!(sent(&mut sending), [100, 200, 300]);
        assert_eq!(silence(&mut sending, 3 * PATIENCE_BEATS - 3), [0; 0], "the last one took three");
        assert_eq!(silence(&mut sending, 1), [100]);
    }

    #[test]
    fn what_followed_the_lost_piece_is_not_sent_again() {
        let mut sending = under_way();
        silence(&mut sending, PATIENCE_BEATS);
        sending.heard(7, 600);
        assert_eq!(sent(&mut sending), [600, 700, 800]);

        let mut sending = under_way();
        silence(&mut sending, PATIENCE_BEATS);
        sending.heard(7, 400);
        assert_eq!(sent(&mut sending), [400, 500, 600], "unless it is lost too");
    }

    #[test]
    fn a_late_answer_ends_the_question() {
        let mut sending = under_way();
        silence(&mut sending, PATIENCE_BEATS);
        sending.heard(5, 500);
        assert_eq!(sent(&mut sending), [500, 600, 700]);
        sending.heard(7, 500);
        assert_eq!(sent(&mut sending), [0; 0]);
    }

    #[test]
    fn a_follower_that_lost_everything_gets_it_again() {
        let mut sending = under_way();
        silence(&mut sending, PATIENCE_BEATS);
        sending.heard(7, 0);
        assert_eq!(sent(&mut sending), [0], "again, one piece alone");
        sending.heard(7, 0);
        assert_eq!(sent(&mut sending), [0; 0], "a doubled answer");
        sending.heard(8, 100);
        assert_eq!(sent(&mut sending), [100, 200, 300]);
    }

    #[test]
    fn a_piece_that_was_read_too_late_is_not_sent() {
        let mut sending = sending(1_000);
        let first = sending.next_piece().unwrap();
        assert!(sending.is_wanted(first));
        sending.heard(1, 100);
        let second = sending.next_piece().unwrap();
        sending.next_piece();
        assert!(sending.is_wanted(second));
        assert_eq!(silence(&mut sending, PATIENCE_BEATS), [100]);
        assert!(!sending.is_wanted(second));
    }

    #[test]
    fn what_got_on_is_told_once() {
        let mut sending = under_way();
        assert!(sending.take_advanced() && !sending.take_advanced());
        sending.heard(4, 300);
        assert!(!sending.take_advanced());
    }
}
