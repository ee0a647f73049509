//! How much of what is long is on its way at a time, so that what is urgent gets through.
//!
//! Both connections to a peer share one link. TCP fills the queues of a slow one until something is lost, and
//! then a sign of life waits behind a second of entries, or is the one that is lost, and a healthy leader is deposed.
//! So the signs of life are timed. While they travel about as fast as they did at best, and what is long waits for
//! room, twice as much of it may be on its way in the kernel's buffer; when they take longer, half as much.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use socket2::Socket;

/// The least that may be on its way, in bytes: on 10 Mbit/s it takes 26 ms.
const WINDOW_MIN: usize = 32 << 10;

/// The most.
const WINDOW_MAX: usize = 4 << 20;

/// How much slower than at best a sign of life may be, before there is too much on its way.
const SLACK: Duration = Duration::from_millis(20);

/// How many are looked at together: the fastest of them counts, for the others may have waited for a disk.
const SAMPLES: usize = 4;

/// How slowly the best is forgotten, should the link have become a longer one: in so many looks.
const MEMORY: u32 = 256;

/// What is known of a link, and what is done about it.
#[derive(Default)]
pub(super) struct Pace(Mutex<Link>);

#[derive(Default)]
struct Link {
    best: Option<Duration>,
    recent: Vec<Duration>,
    window: Window,
    /// What carries what is long, while it is there.
    socket: Option<Socket>,
}

/// How many bytes may be on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window(usize);

impl Default for Window {
    fn default() -> Window {
        Window(WINDOW_MIN)
    }
}

impl Pace {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this carries what is long; or nothing does.
    pub(super) fn set_socket(&self, socket: Option<Socket>) {
        let mut link = self.link();
        link.socket = socket;
        link.window = Window::default();
        link.apply();
    }

    /// A sign of life was answered after so long, while so much of what is long was not answered yet.
    pub(super) fn heard(&self, took: Duration, underway_bytes: usize) {
        let mut link = self.link();
        if link.heard(took, underway_bytes) {
            link.apply();
        }
    }
}

impl Link {
    /// Whether the window is another one now.
    fn heard(&mut self, took: Duration, underway_bytes: usize) -> bool {
        self.recent.push(took);
        if self.recent.len() < SAMPLES {
            return false;
        }
        let fastest = self.recent.drain(..).min().unwrap_or(took);
        let best = self.best.unwrap_or(fastest);
        let Window(window) = self.window;
        let next = if fastest > best + SLACK {
            window / 2
        } else if underway_bytes > window {
            window * 2
        } else {
            window
        };
        self.best = Some(best.saturating_add(fastest.saturating_sub(best) / MEMORY).min(fastest));
        let before = std::mem::replace(&mut self.window, Window(next.clamp(WINDOW_MIN, WINDOW_MAX)));
        before != self.window
    }

    /// A system that does not let us goes on as it does.
    fn apply(&self) {
        if let Some(socket) = &self.socket {
            let _ = socket.set_send_buffer_size(self.window.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(link: &mut Link, ms: u64, underway_bytes: usize) -> usize {
        for late in [30, 0, 90, 5] {
            link.heard(Duration::from_millis(ms + late), underway_bytes);
        }
        link.window.0
    }

    #[test]
    fn it_opens_while_signs_of_life_are_fast_and_closes_when_they_are_not() {
        let mut link = Link::default();
        assert_eq!(look(&mut link, 1, 0), WINDOW_MIN, "nothing waits");
        assert_eq!(look(&mut link, 1, 1 << 20), 2 * WINDOW_MIN);
        assert_eq!(look(&mut link, 15, 1 << 20), 4 * WINDOW_MIN);
        assert_eq!(look(&mut link, 60, 1 << 20), 2 * WINDOW_MIN);
        assert_eq!(look(&mut link, 60, 1 << 20), WINDOW_MIN);
        assert_eq!(look(&mut link, 60, 1 << 20), WINDOW_MIN, "and no further");
        for _ in 0..20 {
            look(&mut link, 1, usize::MAX);
        }
        assert_eq!(link.window.0, WINDOW_MAX);
    }

    #[test]
    fn a_link_that_became_longer_is_learned() {
        let mut link = Link::default();
        look(&mut link, 1, 0);
        let looks = (1..).find(|_| look(&mut link, 60, usize::MAX) > WINDOW_MIN);
        assert!((50..500).contains(&looks.unwrap()), "{looks:?}");
    }
}
