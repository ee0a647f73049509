//! The weather between peers: the fault rules in force, and what they make of a message.
//!
//! A test, a command line or a story lays a [`Rule`] and holds its [`FaultGuard`]: when that goes,
//! the fault is over. So no fault outlives the lines that are about it, also when a test fails in
//! between. Several rules can be in force at once; a network asks [`Faults::judge`] about each
//! message, and gets one [`Verdict`].
//!
//! All chance comes from one seeded stream. The same seed, the same rules and the same messages, in
//! the same order, have the same fate.
//!
//! ```
//! use raft_actors::{observe::Hub, transport::faults::{Faults, Rule}};
//!
//! let faults = Faults::new(7, Hub::new());
//! let guard = faults.begin(Rule::new().cut().between(1, [2, 3]));
//! assert!(!faults.is_calm());
//! guard.heal();
//! assert!(faults.is_calm());
//! ```

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rule::Effect;
pub use super::rule::{DELAY_MS_MAX, Peers, Rule, RuleError};
use crate::{
    observe::{Hub, Witness},
    raft::{Event, MessageKind, PeerId, Why},
};

/// Who reports what happens to the network itself: no peer has this id.
pub const NETWORK: PeerId = PeerId(0);

/// What becomes of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is lost.
    Drop(Why),
    /// It arrives.
    Deliver {
        /// How much longer it takes, in milliseconds.
        delay_ms: u64,
        /// How much of that is there to let later ones overtake it.
        late_ms: u64,
        /// If it arrives a second time: how much longer that takes, in milliseconds.
        copy_ms: Option<u64>,
    },
}

impl Verdict {
    /// It arrives as if there were no rules.
    pub const PASS: Verdict = Verdict::Deliver { delay_ms: 0, late_ms: 0, copy_ms: None };
}

/// The rules in force. Cheap to clone: all clones are the same weather, on every thread.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// How many rules are in force, so that a message on a calm day costs one load. `Relaxed`: a
    /// thread that was told of a rule by any other means sees it; no message is promised more.
    in_force: AtomicUsize,
    /// Around rules and chance, never around a peer's state. Not held while anything is reported.
    weather: Mutex<Weather>,
    witness: Witness,
}

struct Weather {
    rng: ChaCha8Rng,
    /// In the order in which they were laid, each under a number of its own.
    rules: Vec<(u64, Rule)>,
    laid: u64,
}

impl Faults {
    /// No rules yet. `seed` decides everything that is left to chance. What begins and ends is
    /// reported to `hub`, as [`NETWORK`].
    pub fn new(seed: u64, hub: Arc<Hub>) -> Faults {
        let weather = Weather { rng: ChaCha8Rng::seed_from_u64(seed), rules: Vec::new(), laid: 0 };
        Faults(Arc::new(Inner {
            in_force: AtomicUsize::new(0),
            weather: Mutex::new(weather),
            witness: Witness::new(hub, NETWORK),
        }))
    }

    /// Puts a rule in force, until the guard is dropped. Messages that are under way already are not
    /// touched.
    pub fn begin(&self, rule: Rule) -> FaultGuard {
        // Noted first: what the rule does is told after it.
        self.0.witness.note(|| Event::FaultBegun { rule: rule.to_string(), why: Why::Requested });
        let mut weather = self.weather();
        weather.laid += 1;
        let laid = weather.laid;
        weather.rules.push((laid, rule));
        self.0.in_force.store(weather.rules.len(), Relaxed);
        FaultGuard { faults: self.clone(), laid: Some(laid) }
    }

    /// Ends every rule, kept or held by a guard.
    pub fn heal_all(&self) {
        let mut weather = self.weather();
        let rules = std::mem::take(&mut weather.rules);
        self.0.in_force.store(0, Relaxed);
        drop(weather);
        for (_, rule) in rules {
            self.ended(&rule);
        }
    }

    /// Whether no rule is in force.
    pub fn is_calm(&self) -> bool {
        self.0.in_force.load(Relaxed) == 0
    }

    /// The rules in force, in the order in which they were laid.
    pub fn rules(&self) -> Vec<Rule> {
        self.weather().rules.iter().map(|(_, rule)| rule.clone()).collect()
    }

    /// What becomes of a message: any cut or loss drops it, delays add up, and of all duplicates
    /// there is one extra copy with delays of its own.
    pub fn judge(&self, from: PeerId, to: PeerId, kind: MessageKind) -> Verdict {
        if self.is_calm() {
            return Verdict::PASS;
        }
        self.weather().judge(from, to, kind)
    }

    /// A number out of the network's own stream of chance. A range of one value draws nothing.
    pub(super) fn draw_ms(&self, range: &RangeInclusive<u64>) -> u64 {
        if range.start() >= range.end() { *range.start() } else { draw(&mut self.weather().rng, range) }
    }

    fn end(&self, laid: u64) {
        let mut weather = self.weather();
        let Some(at) = weather.rules.iter().position(|(number, _)| *number == laid) else {
            return;
        };
        let (_, rule) = weather.rules.remove(at);
        self.0.in_force.store(weather.rules.len(), Relaxed);
        drop(weather);
        self.ended(&rule);
    }

    fn ended(&self, rule: &Rule) {
        self.0.witness.note(|| Event::FaultEnded { rule: rule.to_string(), why: Why::Healed });
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.0.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weather {
    fn judge(&mut self, from: PeerId, to: PeerId, kind: MessageKind) -> Verdict {
        let rules = self.rules.iter().map(|(_, rule)| rule);
        let effects = rules.filter(|rule| rule.is_about(from, to, kind)).flat_map(Rule::effects);
        let mut doubled = false;
        for effect in effects.clone() {
            match effect {
                Effect::Cut => return Verdict::Drop(Why::CutByRule),
                Effect::Loss(chance) if self.rng.random_bool(*chance) => {
                    return Verdict::Drop(Why::LostByRule);
                }
                // Drawn first: each rule draws for itself, whatever the others drew.
                Effect::Duplicate(chance) => doubled = self.rng.random_bool(*chance) || doubled,
                Effect::Loss(_) | Effect::Delay(_) | Effect::Reorder(..) => {}
            }
        }
        let (delay_ms, late_ms) = delay_ms_of(&mut self.rng, effects.clone());
        let copy_ms = doubled.then(|| delay_ms_of(&mut self.rng, effects).0);
        Verdict::Deliver { delay_ms, late_ms, copy_ms }
    }
}

/// All of the delay, and how much of it reorders.
fn delay_ms_of<'a>(rng: &mut ChaCha8Rng, effects: impl Iterator<Item = &'a Effect>) -> (u64, u64) {
    effects.fold((0_u64, 0_u64), |(all, late), effect| {
        let (more, later) = match effect {
            Effect::Delay(ms) => (draw(rng, ms), 0),
            Effect::Reorder(chance, ms) if rng.random_bool(*chance) => {
                let ms = draw(rng, ms);
                (ms, ms)
            }
            _ => (0, 0),
        };
        (all.saturating_add(more), late.saturating_add(later))
    })
}

fn draw(rng: &mut ChaCha8Rng, range: &RangeInclusive<u64>) -> u64 {
    rng.random_range(range.clone())
}

/// Holds a rule in force; dropped, it heals the fault.
#[must_use = "the fault is over as soon as its guard is dropped"]
pub struct FaultGuard {
    faults: Faults,
    /// The number of the rule; `None` once it is kept.
    laid: Option<u64>,
}

impl FaultGuard {
    /// Leaves the rule in force for good, or until [`Faults::heal_all`].
    pub fn keep(mut self) {
        self.laid = None;
    }

    /// Ends the rule: the same as dropping the guard, in a word.
    pub fn heal(self) {}
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if let Some(laid) = self.laid {
            self.faults.end(laid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Capture;
    use MessageKind::{AppendEntries, Heartbeat};

    fn judge(faults: &Faults) -> Verdict {
        faults.judge(PeerId(1), PeerId(2), AppendEntries)
    }

    fn faults() -> Faults {
        Faults::new(7, Hub::new())
    }

    /// How many of a thousand messages the rule loses, doubles and delays.
    fn thousand(faults: &Faults) -> [usize; 3] {
        let mut count = [0; 3];
        for _ in 0..1000 {
            match judge(faults) {
                Verdict::Drop(_) => count[0] += 1,
                Verdict::Deliver { delay_ms, copy_ms, .. } => {
                    count[1] += usize::from(copy_ms.is_some());
                    count[2] += usize::from(delay_ms > 0);
                }
            }
        }
        count
    }

    #[test]
    fn a_guard_heals_on_drop_and_only_its_own_rule() {
        let faults = faults();
        let cut = faults.begin(Rule::new().cut());
        let delay = faults.begin(Rule::new().delay_ms(5..=5));
        assert_eq!(judge(&faults), Verdict::Drop(Why::CutByRule));
        drop(cut);
        assert_eq!(judge(&faults), Verdict::Deliver { delay_ms: 5, late_ms: 0, copy_ms: None });
        assert_eq!(faults.rules(), [Rule::new().delay_ms(5..=5)]);
        // A later one may go first.
        faults.begin(Rule::new().cut()).heal();
        assert_eq!(faults.rules(), [Rule::new().delay_ms(5..=5)]);
        delay.heal();
        assert!(faults.is_calm());
        assert_eq!(judge(&faults), Verdict::PASS);
    }

    #[test]
    fn a_kept_rule_stays_until_all_is_healed() {
        let faults = faults();
        faults.begin(Rule::new().cut()).keep();
        assert_eq!(judge(&faults), Verdict::Drop(Why::CutByRule));
        let guard = faults.begin(Rule::new().loss(1.0));
        faults.heal_all();
        assert!(faults.is_calm());
        // Its rule is gone already: nothing to end, and nothing of others is touched.
        faults.begin(Rule::new().cut()).keep();
        drop(guard);
        assert_eq!(faults.rules().len(), 1);
    }

    #[test]
    fn rules_touch_only_what_they_are_about() {
        let faults = faults();
        let _guard = faults.begin(Rule::new().cut().from(1).kind(Heartbeat));
        assert_eq!(judge(&faults), Verdict::PASS);
        assert_eq!(faults.judge(PeerId(1), PeerId(2), Heartbeat), Verdict::Drop(Why::CutByRule));
        assert_eq!(faults.judge(PeerId(2), PeerId(1), Heartbeat), Verdict::PASS);
    }

    #[test]
    fn delays_add_up_and_duplicates_make_one_copy_with_a_delay_of_its_own() {
        let faults = faults();
        let rules = [
            Rule::new().delay_ms(10..=10).duplicate(1.0),
            Rule::new().delay_ms(1..=1000).duplicate(1.0),
            Rule::new().reorder(1.0, 5..=5),
        ];
        let _guards = rules.map(|rule| faults.begin(rule));
        let Verdict::Deliver { delay_ms, late_ms, copy_ms: Some(copy_ms) } = judge(&faults) else {
            panic!("not doubled");
        };
        assert!((16..=1015).contains(&delay_ms) && (16..=1015).contains(&copy_ms));
        assert_eq!(late_ms, 5);
        assert_ne!(delay_ms, copy_ms);
    }

    #[test]
    fn chance_is_what_the_rule_says() {
        let faults = faults();
        let rule = Rule::new().loss(0.2).duplicate(0.5).reorder(0.25, 1..=9);
        let _guard = faults.begin(rule);
        let [lost, doubled, late] = thousand(&faults);
        assert!((150..250).contains(&lost), "{lost}");
        assert!((350..450).contains(&doubled), "{doubled}");
        assert!((150..250).contains(&late), "{late}");
    }

    #[test]
    fn the_same_seed_has_the_same_weather() {
        let run = |seed| {
            let faults = Faults::new(seed, Hub::new());
            let _guard = faults.begin(Rule::new().loss(0.3).delay_ms(0..=9).duplicate(0.3));
            let mut verdicts: Vec<_> = (0..50).map(|_| judge(&faults)).collect();
            verdicts.push(Verdict::Deliver {
                delay_ms: faults.draw_ms(&(0..=1000)),
                late_ms: 0,
                copy_ms: None,
            });
            verdicts
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn what_begins_and_ends_is_reported_by_the_network() {
        let hub = Hub::new();
        let capture = Capture::new();
        hub.attach(capture.clone());
        let faults = Faults::new(7, hub);
        drop(faults.begin(Rule::new().cut().to(3)));
        faults.begin(Rule::new().loss(0.5)).keep();
        faults.heal_all();
        let reports = capture.take();
        assert!(reports.iter().all(|report| report.peer == NETWORK));
        let texts: Vec<_> = reports.iter().map(|report| report.event.to_string()).collect();
        assert_eq!(
            texts,
            [
                "FaultBegun rule=cut to=3: it was asked for",
                "FaultEnded rule=cut to=3: the fault is over",
                "FaultBegun rule=loss 0.5: it was asked for",
                "FaultEnded rule=loss 0.5: the fault is over",
            ]
        );
    }
}
