//! The shortest script that still fails: what is left out did not matter.

use super::{script::Script, storm::Storm};

/// How often a storm is run again at most.
const TRIES: usize = 400;

/// What a search for a shorter script has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Shrinking {
    /// How many storms were run.
    pub tries: usize,
    /// How many steps are left.
    pub steps: usize,
}

impl Storm {
    /// Leaves out steps of the script, as many as can be while the storm still ends with a violation, be it another
    /// one; and then the time behind them (Zeller and Hildebrandt's ddmin). `None`: it does not fail at all.
    /// `progress` is told after each try.
    pub fn shrink(&self, progress: impl FnMut(Shrinking)) -> Option<Storm> {
        let mut fails = |storm: &Storm| !storm.run().violations.is_empty();
        self.shrink_by(&mut fails, progress)
    }

    fn shrink_by(
        &self,
        fails: &mut impl FnMut(&Storm) -> bool,
        progress: impl FnMut(Shrinking),
    ) -> Option<Storm> {
        let script = self.plan().script;
        let mut search = Search { fails, progress, tries: 0, best: self.with(script) };
        if !(search.fails)(&search.best) {
            return None;
        }
        search.drop_steps();
        search.drop_time();
        Some(search.best)
    }

    fn with(&self, script: Script) -> Storm {
        Storm { script: Some(script), ..self.clone() }
    }

    fn steps(&self) -> usize {
        self.script.as_ref().map_or(0, |script| script.steps.len())
    }
}

struct Search<'a, F, P> {
    fails: &'a mut F,
    progress: P,
    tries: usize,
    best: Storm,
}

impl<F: FnMut(&Storm) -> bool, P: FnMut(Shrinking)> Search<'_, F, P> {
    /// Takes it, if it still fails.
    fn try_out(&mut self, storm: Storm) -> bool {
        if self.tries >= TRIES {
            return false;
        }
        self.tries += 1;
        let still = (self.fails)(&storm);
        if still {
            self.best = storm;
        }
        (self.progress)(Shrinking { tries: self.tries, steps: self.best.steps() });
        still
    }

    /// Halves first, then quarters, down to single steps.
    fn drop_steps(&mut self) {
        let mut size = self.best.steps();
        while size > 0 {
            let mut at = 0;
            while at < self.best.steps() {
                let shorter = self.without(at, size);
                // What came behind it is in its place now.
                if !self.try_out(shorter) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn without(&self, at: usize, size: usize) -> Storm {
        let steps = self.best.script.iter().flat_map(|script| script.steps.iter().cloned().enumerate());
        let rest = steps.filter(|(number, _)| !(at..at + size).contains(number));
        self.best.with(Script { steps: rest.map(|(_, step)| step).collect() })
    }

    fn drop_time(&mut self) {
        let end_ms = self.best.script.as_ref().map_or(0, Script::end_ms);
        let seconds = end_ms.div_ceil(1_000) + 1;
        if seconds < self.best.seconds {
            let shorter = Storm { seconds, ..self.best.clone() };
            self.try_out(shorter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{fault::FaultKind, script::Step};

    /// Fails if a crash of a role comes before a blackout.
    fn fails(storm: &Storm) -> bool {
        let steps: &[Step] = storm.script.as_ref().map_or(&[], |script| &script.steps);
        let first = steps.iter().position(|step| step.fault.kind() == FaultKind::CrashRole);
        let last = steps.iter().rposition(|step| step.fault.kind() == FaultKind::Blackout);
        first.is_some_and(|crash| last.is_some_and(|blackout| crash < blackout))
    }

    #[test]
    fn only_what_matters_is_left() {
        let mut storm = Storm::new(7);
        let script = storm.plan().script;
        assert!(script.steps.len() > 50);
        storm.script = Some(Script {
            steps: script
                .steps
                .into_iter()
                .chain("at 59000 crash role 1\nat 59500 blackout".parse::<Script>().unwrap().steps)
                .collect(),
        });
        let mut last = None;
        let shrunk = storm.shrink_by(&mut fails, |now| last = Some(now)).unwrap();
        assert!(fails(&shrunk));
        assert_eq!(shrunk.steps(), 2, "{:?}", shrunk.script);
        assert_eq!(last.map(|now| now.steps), Some(2));
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        assert!(Storm::new(7).shrink_by(&mut |_| false, |_| ()).is_none());
    }
}
