//! Whose frame is next, where clients send more than the thread can take.
//!
//! One thread carries the consensus of a peer and the frames of its clients. Hundreds of connections that send
//! without end would each have a frame in each round of the thread, and what peers say to each other, and clients
//! of few words, would have to wait for all of them. So whoever keeps sending queues here, and a few pass in each
//! round; whoever pauses between one thing and the next passes by. Of a long frame each piece queues.

use std::{cell::Cell, rc::Rc};

use tokio::{sync::Semaphore, task::yield_now};

/// How many of those who queue pass in one round of the thread.
const AT_A_TIME: usize = 4;

/// How much one may say without a pause before it queues: a call, and what belongs to it.
const WITHOUT_PAUSE: u32 = 8;

/// The turnstile of one peer. Clones are the same one.
#[derive(Clone)]
pub(super) struct Turnstile(Rc<Semaphore>);

/// One connection's way through it.
pub(super) struct Passage {
    turnstile: Turnstile,
    /// How many frames came without a pause between them.
    without_pause: Cell<u32>,
}

impl Turnstile {
    pub(super) fn new() -> Turnstile {
        Turnstile(Rc::new(Semaphore::new(AT_A_TIME)))
    }

    pub(super) fn passage(&self) -> Passage {
        Passage { turnstile: self.clone(), without_pause: Cell::default() }
    }
}

impl Passage {
    /// A frame begins: was it waited for?
    pub(super) fn begin(&self, paused: bool) {
        self.without_pause.set(if paused { 0 } else { self.without_pause.get().saturating_add(1) });
    }

    /// Before a frame is dealt with. What was waited for is dealt with at once.
    pub(super) async fn pass(&self) {
        if self.without_pause.get() > 0 {
            self.turn(self.without_pause.get() > WITHOUT_PAUSE).await;
        }
    }

    /// Before the next piece of a long frame is read: the bytes of the rest are under way, however slowly.
    pub(super) async fn pass_at_length(&self) {
        self.turn(true).await;
    }

    async fn turn(&self, queues: bool) {
        let turn = if queues { self.turnstile.0.acquire().await.ok() } else { None };
        // One at a time, and then it is everybody else's turn.
        yield_now().await;
        drop(turn);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    /// Hundreds that say very much, and one that says a little: who is done first?
    #[tokio::test]
    async fn who_says_little_does_not_wait_for_those_who_say_much() {
        let (turnstile, passed) = (Turnstile::new(), Rc::new(Cell::new(0)));
        let local = LocalSet::new();
        for _ in 0..300 {
            let (passage, passed) = (turnstile.passage(), passed.clone());
            local.spawn_local(async move {
                for said in 1..=200 {
                    passage.begin(false);
                    passage.pass().await;
                    passed.set(passed.get() + u32::from(said > WITHOUT_PAUSE));
                }
            });
        }
        let little = async {
            let passage = turnstile.passage();
            for said in 0..100 {
                passage.begin(said % 3 == 0);
                passage.pass().await;
            }
            passed.get()
        };
        let before = local.run_until(little).await;
        assert!(before <= 100 * (AT_A_TIME as u32 + 1), "{before} frames came before a hundred of its own");
        local.await;
        assert_eq!(passed.get(), 300 * (200 - WITHOUT_PAUSE), "everybody gets through");
    }
}
