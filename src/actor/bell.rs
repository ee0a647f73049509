//! The bell at a peer's door: rung once for many.
//!
//! To wake a peer's thread costs more than a command does. Worse, on a core that both share, the woken peer takes it
//! from those who were about to come as well, finds one command, and goes through all the work of a batch for it. So
//! whoever comes first to a door where many are expected lets the others of its own thread come before it rings.
//!
//! Nobody waits for long: the bell rings at the latest when it is dropped, when as many are there as make a good batch,
//! when somebody comes from another thread, and at the peer's next tick, should its holder not be polled. Clients on the
//! peer's own thread need no bell: they wake nobody, and the peer has its turn once all of them had theirs.

use std::{
    sync::{Arc, OnceLock},
    thread::{self, ThreadId, available_parallelism},
};

use tokio::task::yield_now;

use super::door::Door;

/// So many are enough to ring for: more at a time cost no less for each.
const ENOUGH: usize = 256;

/// How many the door must have had at a time to be worth it. With a core to itself the peer rather begins with the
/// first while others come.
fn many() -> usize {
    static MANY: OnceLock<usize> = OnceLock::new();
    *MANY.get_or_init(|| match available_parallelism() {
        Ok(cores) if cores.get() == 1 => 4,
        _ => 128,
    })
}

/// The thread this is called on.
pub(super) fn here() -> ThreadId {
    thread_local! {
        static HERE: ThreadId = thread::current().id();
    }
    HERE.with(|here| *here)
}

/// Whether those who wait at a door have been heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Ringing {
    /// Nobody waits, or nobody has touched the bell yet.
    #[default]
    Silent,
    /// Somebody on this thread holds it.
    Held(ThreadId),
    /// The peer knows of them.
    Rung,
}

impl Ringing {
    /// One more has come to the door of a peer on the thread `home`, and is the last of so many; of late so many came
    /// at a time. What it has to do.
    pub fn on_arrival(&mut self, home: ThreadId, waiting: usize, crowd: usize) -> Arrival {
        match *self {
            Ringing::Rung => return Arrival::Wait,
            Ringing::Silent if crowd >= many() && here() != home => {
                *self = Ringing::Held(here());
                return Arrival::Hold;
            }
            Ringing::Held(by) if waiting < ENOUGH && here() == by => return Arrival::Wait,
            Ringing::Silent | Ringing::Held(_) => *self = Ringing::Rung,
        }
        Arrival::Ring
    }

    /// Whoever holds the bell rings. Whether it is the first to.
    pub fn ring(&mut self) -> bool {
        let is_held = matches!(self, Ringing::Held(_));
        if is_held {
            *self = Ringing::Rung;
        }
        is_held
    }
}

/// What somebody does who has come to a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// Somebody else rings, or has.
    Wait,
    /// It takes the bell.
    Hold,
    /// It rings.
    Ring,
}

/// Whoever holds it rings for all who wait; at the latest when it is dropped.
#[must_use]
pub struct Bell(pub(super) Arc<Door>);

impl Bell {
    /// Lets others of this thread come, for as long as there are any, and rings.
    ///
    /// Once, when there are none, it offers the core to the peer: if that lost it to this thread in the middle of its
    /// answers, those who wait for the rest of them are about to come too. Else they would be woken one by one.
    pub async fn gather(self) {
        let (mut before, mut has_offered) = (0, false);
        while let Some(waiting) = self.0.held() {
            if waiting <= before {
                if has_offered {
                    return;
                }
                has_offered = true;
                thread::yield_now();
            }
            before = waiting;
            yield_now().await;
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere() -> ThreadId {
        thread::spawn(|| thread::current().id()).join().unwrap()
    }

    #[test]
    fn where_few_come_or_on_the_peers_own_thread_whoever_is_first_rings() {
        for (home, crowd) in [(elsewhere(), many() - 1), (here(), 1_000)] {
            let mut rung = Ringing::default();
            assert_eq!(rung.on_arrival(home, 1, crowd), Arrival::Ring);
            for waiting in 2..600 {
                assert_eq!(rung.on_arrival(home, waiting, 1_000), Arrival::Wait);
            }
            assert!(!rung.ring(), "the peer knows");
        }
    }

    #[test]
    fn where_many_come_the_first_holds_the_bell_until_they_are_enough() {
        let (mut rung, home) = (Ringing::default(), elsewhere());
        assert_eq!(rung.on_arrival(home, 1, many()), Arrival::Hold);
        for waiting in 2..ENOUGH {
            assert_eq!(rung.on_arrival(home, waiting, many()), Arrival::Wait);
            assert_eq!(rung, Ringing::Held(here()));
        }
        assert_eq!(rung.on_arrival(home, ENOUGH, many()), Arrival::Ring);
        assert_eq!(rung.on_arrival(home, ENOUGH + 1, many()), Arrival::Wait);
        assert!(!rung.ring(), "somebody else was quicker");
    }

    #[test]
    fn nobody_waits_for_somebody_on_another_thread() {
        let (mut rung, home) = (Ringing::default(), elsewhere());
        assert_eq!(rung.on_arrival(home, 1, many()), Arrival::Hold);
        let other = thread::spawn(move || rung.on_arrival(home, 2, many()));
        assert_eq!(other.join().unwrap(), Arrival::Ring);
    }

    #[test]
    fn whoever_holds_the_bell_rings_once_and_nobody_rings_at_an_empty_door() {
        let (mut rung, home) = (Ringing::default(), elsewhere());
        assert_eq!(rung.on_arrival(home, 1, many()), Arrival::Hold);
        assert!(rung.ring());
        assert!(!rung.ring());
        rung = Ringing::Silent;
        assert!(!rung.ring());
        assert_eq!(rung.on_arrival(home, 1, 0), Arrival::Ring, "a late bell has not silenced the door");
    }
}
