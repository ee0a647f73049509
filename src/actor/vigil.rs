//! A peer's thread stays awake for a moment after each turn that wrote or applied something.
//!
//! Where much is going on the next message is a fraction of a millisecond away: the answer of a follower whose disk
//! takes a little longer, the next command of the same client. To sleep meanwhile and be woken up costs a good part of
//! that, on a virtual machine most of all, where an idle core is given back to the host. So the thread looks at its
//! sockets over and over (Linux calls the like of it *busy polling*), and sleeps once nothing has come for that long.
//!
//! Between two looks it offers its core to whoever else wants it. That is not enough to be a good neighbour, nor a
//! well-treated one: a thread that offers its core to one that computes is not woken when its message comes, it has to
//! wait for the other's slice to end. So whoever lost its core for that long keeps no vigil for a while, and for twice
//! as long if that happens again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{task::yield_now, time::Instant};

/// Less than others compute in one go, more than peers of the same machine need for a turn.
const LOST: Duration = Duration::from_millis(1);
/// How long there is no vigil after that: at first, and at most.
const RESTS: (Duration, Duration) = (Duration::from_millis(8), Duration::from_secs(1));

/// The vigils of one peer's thread.
pub struct Vigil {
    length: Duration,
    /// An offer that takes that long was taken by one who has much to do.
    lost: Duration,
    course: Mutex<Course>,
}

/// How the present one goes, and what the last ones led to.
#[derive(Default)]
struct Course {
    /// Until when it is kept; `None`: it is not.
    until: Option<Instant>,
    rest: Option<Rest>,
}

/// What followed a lost core.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rest {
    length: Duration,
    until: Instant,
}

impl Course {
    /// The core was lost, and is back.
    fn lose(&mut self, now: Instant) {
        let (first, longest) = RESTS;
        // Long ago is another matter.
        let again = self.rest.filter(|rest| now < rest.until + rest.length * 4);
        let length = again.map_or(first, |rest| (rest.length * 2).min(longest));
        (self.until, self.rest) = (None, Some(Rest { length, until: now + length }));
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.rest.is_some_and(|rest| now < rest.until)
    }
}

impl Vigil {
    /// Each so long.
    pub fn new(length: Duration) -> Arc<Vigil> {
        Arc::new(Vigil { length, lost: LOST, course: Mutex::default() })
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stays awake on this thread from now on, if it does not rest.
    pub fn keep(self: &Arc<Self>) {
        let now = Instant::now();
        let mut course = self.course();
        if !course.is_resting(now) && course.until.replace(now + self.length).is_none() {
            actix::spawn(self.clone().watch());
        }
    }

    async fn watch(self: Arc<Self>) {
        loop {
            // Everything that has come has its turn.
            yield_now().await;
            let offered = Instant::now();
            thread::yield_now();
            let now = Instant::now();
            let mut course = self.course();
            if now.duration_since(offered) >= self.lost {
                return course.lose(now);
            }
            if course.until.is_none_or(|until| until <= now) {
                course.until = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use tokio::{runtime, time::sleep};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn vigil(length: Duration, lost: Duration) -> Arc<Vigil> {
        Arc::new(Vigil { length, lost, course: Mutex::default() })
    }

    /// Runs something on a thread like that of a peer; it may ask how often the thread slept.
    fn on_a_thread<F: Future<Output = ()>>(run: impl FnOnce(Arc<dyn Fn() -> u64>) -> F) {
        let slept = Arc::new(AtomicU64::default());
        let sleeps = slept.clone();
        let system = actix::System::with_tokio_rt(|| {
            let mut builder = runtime::Builder::new_current_thread();
            let count = move || {
                sleeps.fetch_add(1, Relaxed);
            };
            builder.enable_all().on_thread_park(count).build().unwrap()
        });
        system.block_on(run(Arc::new(move || slept.load(Relaxed))));
    }

    async fn until_nobody_watches(vigil: &Arc<Vigil>) {
        let begun = Instant::now();
        while Arc::strong_count(vigil) > 1 {
            assert!(begun.elapsed() < HOUR / 360, "somebody watches");
            yield_now().await;
        }
    }

    #[test]
    fn the_thread_stays_awake_and_timers_ring() {
        on_a_thread(|slept| async move {
            let vigil = vigil(HOUR, HOUR);
            vigil.keep();
            yield_now().await;
            let before = slept();
            sleep(50 * MS).await;
            assert_eq!(slept(), before);
        });
    }

    #[test]
    fn it_sleeps_when_nothing_more_comes() {
        on_a_thread(|slept| async move {
            let vigil = vigil(MS, HOUR);
            vigil.keep();
            until_nobody_watches(&vigil).await;
            assert!(vigil.course().until.is_none());
            let before = slept();
            sleep(5 * MS).await;
            assert!(slept() > before);
        });
    }

    #[test]
    fn whatever_goes_on_makes_it_longer_and_nobody_watches_twice() {
        on_a_thread(|_| async {
            let vigil = vigil(HOUR, HOUR);
            vigil.keep();
            let first = vigil.course().until;
            sleep(MS).await;
            vigil.keep();
            assert!(vigil.course().until > first);
            assert_eq!(Arc::strong_count(&vigil), 2);
        });
    }

    #[test]
    fn after_the_core_was_lost_there_is_none_for_a_while() {
        on_a_thread(|_| async {
            let vigil = vigil(HOUR, Duration::ZERO);
            vigil.keep();
            until_nobody_watches(&vigil).await;
            let rest = vigil.course().rest.unwrap();
            vigil.course().rest = Some(Rest { until: Instant::now() + HOUR, ..rest });
            vigil.keep();
            assert_eq!(Arc::strong_count(&vigil), 1);
            vigil.course().rest = Some(Rest { until: Instant::now(), ..rest });
            vigil.keep();
            assert_eq!(Arc::strong_count(&vigil), 2);
        });
    }

    #[test]
    fn rests_grow_while_the_core_is_lost_again_and_again() {
        let (mut course, mut now, mut lengths) = (Course::default(), Instant::now(), Vec::new());
        for _ in 0..9 {
            course.lose(now);
            let rest = course.rest.unwrap();
            lengths.push(rest.length.as_millis());
            assert!(
                course.is_resting(now)
                    && course.is_resting(rest.until - MS)
                    && !course.is_resting(rest.until)
            );
            now = rest.until + rest.length;
        }
        assert_eq!(lengths, [8, 16, 32, 64, 128, 256, 512, 1_000, 1_000]);
        now += 8_000 * MS;
        course.lose(now);
        assert_eq!(course.rest, Some(Rest { length: 8 * MS, until: now + 8 * MS }));
    }
}
