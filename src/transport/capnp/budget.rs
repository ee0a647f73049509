//! Memory for what is still arriving.
//!
//! The first bytes of a frame are free, up to the limit of a greeting: so much every connection has. What a
//! longer frame needs beyond that comes out of one purse for all clients, and only as its bytes arrive: an
//! announcement costs nothing. Who sends half a long frame and stops holds what it has sent; when somebody else
//! needs it, the one that has been still for longest loses its connection.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout},
};

/// How long a holder may be still before somebody else may have what it holds.
const STILL: Duration = Duration::from_millis(500);

/// How much has to move to count as movement: a drop now and then is none.
const MOVEMENT_BYTES: usize = 16 << 10;

/// How long is waited for others to finish, before a frame is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The purse. One thread's: clones are the same one.
#[derive(Clone)]
pub(super) struct Budget(Rc<Purse>);

struct Purse {
    free: Cell<usize>,
    /// Rings for whoever has the turn to look out for room; the others queue for it.
    returned: Notify,
    turn: Mutex<()>,
    holders: RefCell<Vec<Weak<Holding>>>,
}

/// What one frame holds; returned when it is dropped.
pub(super) struct Share {
    purse: Rc<Purse>,
    holding: Rc<Holding>,
}

struct Holding {
    bytes: Cell<usize>,
    moved_at: Cell<Instant>,
    /// What moved since then.
    moved_bytes: Cell<usize>,
    evicted: Notify,
    is_evicted: Cell<bool>,
}

/// There was not enough, or it was needed elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        let (returned, turn, holders) = (Notify::new(), Mutex::new(()), RefCell::default());
        Budget(Rc::new(Purse { free: Cell::new(bytes), returned, turn, holders }))
    }

    /// A share of nothing, for a frame that begins.
    pub(super) fn open(&self) -> Share {
        let holding = Rc::new(Holding {
            bytes: Cell::new(0),
            moved_at: Cell::new(Instant::now()),
            moved_bytes: Cell::new(0),
            evicted: Notify::new(),
            is_evicted: Cell::new(false),
        });
        let mut holders = self.0.holders.borrow_mut();
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(Rc::downgrade(&holding));
        Share { purse: self.0.clone(), holding }
    }
}

impl Purse {
    /// Takes what the stillest holder has away from it, if it is still enough.
    fn evict(&self, but: &Rc<Holding>) {
        let now = Instant::now();
        let holders = self.holders.borrow();
        let others = holders.iter().filter_map(Weak::upgrade).filter(|holder| !Rc::ptr_eq(holder, but));
        let idle = others.filter(|holder| {
            holder.bytes.get() > 0 && !holder.is_evicted.get() && now - holder.moved_at.get() >= STILL
        });
        if let Some(stillest) = idle.min_by_key(|holder| holder.moved_at.get()) {
            stillest.is_evicted.set(true);
            stillest.evicted.notify_one();
        }
    }
}

impl Share {
    /// Takes more, and waits for it if others have it.
    pub(super) async fn grow(&self, bytes: usize) -> Result<(), Exhausted> {
        if self.holding.is_evicted.get() {
            return Err(Exhausted);
        }
        if self.take(bytes) {
            return Ok(());
        }
        let wait = async {
            // Of all who wait one looks out for room: thousands would wake up for each byte that comes back.
            let _turn = self.purse.turn.lock().await;
            while !self.take(bytes) {
                self.purse.evict(&self.holding);
                // Whichever it was: what is there is looked at anew.
                let _ = timeout(STILL / 2, self.purse.returned.notified()).await;
            }
        };
        tokio::select! {
            biased;
            () = self.evicted() => Err(Exhausted),
            waited = timeout(PATIENCE, wait) => waited.map_err(|_| Exhausted),
        }
    }

    /// Takes more, if it is there.
    fn take(&self, bytes: usize) -> bool {
        let Some(rest) = self.purse.free.get().checked_sub(bytes) else { return false };
        self.purse.free.set(rest);
        if self.holding.bytes.replace(self.holding.bytes.get() + bytes) == 0 {
            self.holding.moved_at.set(Instant::now());
        }
        true
    }

    /// Some of the bytes that it is for have come, or have gone.
    pub(super) fn moved(&self, bytes: usize) {
        let moved = self.holding.moved_bytes.get().saturating_add(bytes);
        let is_movement = moved >= MOVEMENT_BYTES;
        self.holding.moved_bytes.set(if is_movement { 0 } else { moved });
        if is_movement {
            self.holding.moved_at.set(Instant::now());
        }
    }

    /// Gives some of it back, or all that there is.
    pub(super) fn give_back(&self, bytes: usize) {
        let held = self.holding.bytes.get();
        let back = bytes.min(held);
        self.holding.bytes.set(held - back);
        self.purse.free.set(self.purse.free.get() + back);
        self.purse.returned.notify_one();
    }

    /// Returns when what it holds is needed elsewhere.
    pub(super) async fn evicted(&self) {
        while !self.holding.is_evicted.get() {
            self.holding.evicted.notified().await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.purse.free.set(self.purse.free.get() + self.holding.bytes.get());
        self.purse.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_comes_back() {
        let budget = Budget::new(100);
        let share = budget.open();
        assert_eq!(share.grow(60).await, Ok(()));
        assert_eq!(share.grow(40).await, Ok(()));
        drop(share);
        assert_eq!(budget.open().grow(100).await, Ok(()));
        assert_eq!(budget.open().grow(101).await, Err(Exhausted), "more than there ever is");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_still_makes_room_and_who_moves_does_not() {
        let budget = Budget::new(100);
        let (still, moving) = (budget.open(), budget.open());
        still.grow(50).await.unwrap();
        moving.grow(50).await.unwrap();
        let needy = budget.open();
        let grow = needy.grow(50);
        let others = async {
            // Ends when it loses its connection, and its share with it.
            still.evicted().await;
            drop(still);
        };
        let keep_moving = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                moving.moved(MOVEMENT_BYTES);
            }
        };
        let (grown, (), ()) = tokio::join!(grow, others, keep_moving);
        assert_eq!(grown, Ok(()));
        assert!(!moving.holding.is_evicted.get());
    }
}
