//! The clock of one peer's machine: it may run faster or slower than that of the cluster.
//!
//! Everything that a peer measures for itself it measures with this clock: its timeouts, how long it was deaf,
//! how long its syncs took. What happens to it from outside, the time that disks and wires take, passes in
//! the time of the cluster, and so do the deadlines of clients.
//!
//! A clock is a line of pieces: it goes on from where it stood when its rate changes, so it never jumps and
//! never goes back. It belongs to the machine, not to the peer: it outlives kills.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use actix::Message;
use tokio::time::Instant;

use crate::observe::Hub;

/// As fast as that of the cluster.
const STEADY_PER_MILLE: u32 = 1_000;
/// Slower or faster than this no clock runs, by far.
const RATES_PER_MILLE: (u32, u32) = (100, 10_000);

/// It runs at another rate.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClockChanged;

/// The clock of one peer. Its time is in milliseconds since the cluster began.
pub struct Clock {
    hub: Arc<Hub>,
    /// Whether its rate was ever changed: until then it is the hub's, and costs one load more.
    skewed: AtomicBool,
    piece: Mutex<Piece>,
}

/// The present piece of the line.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// When it began, in the time of the cluster and in that of the peer, in microseconds.
    from_us: u64,
    local_from_us: u64,
    per_mille: u32,
}

impl Piece {
    fn local_us(&self, now_us: u64) -> u64 {
        let passed = u128::from(now_us.saturating_sub(self.from_us));
        let local = passed * u128::from(self.per_mille) / u128::from(STEADY_PER_MILLE);
        self.local_from_us.saturating_add(u64::try_from(local).unwrap_or(u64::MAX))
    }

    /// The first microsecond of the cluster in which it is that late here; at the earliest when the piece
    /// began.
    fn global_us(&self, local_us: u64) -> u64 {
        let ahead = u128::from(local_us.saturating_sub(self.local_from_us));
        let passed = (ahead * u128::from(STEADY_PER_MILLE)).div_ceil(u128::from(self.per_mille).max(1));
        self.from_us.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The piece that goes on from here at another rate.
    fn turned(&self, now_us: u64, per_mille: u32) -> Piece {
        let from_us = now_us.max(self.from_us);
        Piece { from_us, local_from_us: self.local_us(from_us), per_mille }
    }
}

impl Clock {
    /// A clock that runs like that of the cluster.
    pub fn new(hub: Arc<Hub>) -> Clock {
        let piece = Piece { from_us: 0, local_from_us: 0, per_mille: STEADY_PER_MILLE };
        Clock { hub, skewed: AtomicBool::new(false), piece: Mutex::new(piece) }
    }

    /// Makes it run faster or slower from now on, in thousandths of the cluster's clock. Returns the rate,
    /// within bounds, or `None` if it is no other.
    pub fn set_rate(&self, per_mille: u32) -> Option<u32> {
        let (slowest, fastest) = RATES_PER_MILLE;
        let per_mille = per_mille.clamp(slowest, fastest);
        let mut piece = self.piece();
        if piece.per_mille == per_mille {
            return None;
        }
        *piece = piece.turned(self.hub.now_us(), per_mille);
        self.skewed.store(true, Relaxed);
        Some(per_mille)
    }

    /// What time it is here, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        if !self.skewed.load(Relaxed) {
            return self.hub.now_ms();
        }
        // Read under the lock, so that it is not before the piece began.
        let piece = self.piece();
        piece.local_us(self.hub.now_us()) / 1_000
    }

    /// When it will be that late here, if the rate stays as it is.
    pub fn instant(&self, ms: u64) -> Instant {
        if !self.skewed.load(Relaxed) {
            return self.hub.instant(ms);
        }
        let at_us = self.piece().global_us(ms.saturating_mul(1_000));
        self.hub.instant_us(at_us)
    }

    fn piece(&self) -> MutexGuard<'_, Piece> {
        self.piece.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_goes_on_from_where_it_stood() {
        let hub = Hub::new();
        let clock = Clock::new(hub.clone());
        let pass = async |ms| advance(Duration::from_millis(ms)).await;
        pass(100).await;
        assert_eq!(clock.now_ms(), 100);
        assert_eq!(clock.set_rate(2_000), Some(2_000));
        assert_eq!((clock.now_ms(), clock.set_rate(2_000)), (100, None));
        pass(100).await;
        assert_eq!((hub.now_ms(), clock.now_ms()), (200, 300));
        assert_eq!(clock.instant(400), hub.instant(250));
        clock.set_rate(500);
        pass(100).await;
        assert_eq!(clock.now_ms(), 350);
        clock.set_rate(1_000);
        pass(100).await;
        assert_eq!(clock.now_ms(), 450, "what it is ahead it stays");
        assert_eq!(clock.instant(500), hub.instant(450));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_has_bounds() {
        let clock = Clock::new(Hub::new());
        assert_eq!((clock.set_rate(0), clock.set_rate(u32::MAX)), (Some(100), Some(10_000)));
        assert!(clock.instant(u64::MAX) > clock.instant(1));
    }

    proptest! {
        /// Whatever the rates, and whenever they change: time never goes back, passes at the rate that is
        /// set, and at the instant of a deadline the deadline has come, and not a microsecond before.
        #[test]
        fn time_never_goes_back(
            steps in proptest::collection::vec((100..=10_000_u32, 0..10_000_000_u64, 0..1_000_000_u64), 1..20),
        ) {
            let mut piece = Piece { from_us: 0, local_from_us: 0, per_mille: 1_000 };
            let (mut now_us, mut last) = (0, 0);
            for (per_mille, passes, ahead) in steps {
                piece = piece.turned(now_us, per_mille);
                prop_assert_eq!(piece.local_us(now_us), last);
                for at in [now_us + passes / 2, now_us + passes] {
                    prop_assert!(piece.local_us(at) >= last);
                    last = piece.local_us(at);
                }
                let local = last - piece.local_from_us;
                prop_assert!(local.abs_diff(passes * u64::from(per_mille) / 1_000) <= 1);
                now_us += passes;
                let due = piece.global_us(last + ahead);
                prop_assert!(piece.local_us(due) >= last + ahead);
                prop_assert!(due <= now_us || piece.local_us(due - 1) < last + ahead);
            }
        }
    }
}
