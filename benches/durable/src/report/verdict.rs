//! What ours comes to beside another system, and whether that is what it should come to.

use serde_json::{Value, json};

use super::Spread;
use crate::rounds::Cell;

/// Alone, a write may take so many times as long as at a floor.
const LATENCY_MAX: f64 = 1.5;

/// With some in flight there have to be so many writes for each of a floor's.
const THROUGHPUT_MIN: f64 = 0.4;

/// With how many in flight.
const THROUGHPUT_AT: [usize; 2] = [64, 256];

/// Ours beside another, under one load: each ratio is of windows of one round.
pub struct Comparison {
    other: &'static str,
    in_flight: usize,
    throughput: Spread,
    p50: Spread,
}

impl Comparison {
    /// Ours beside each other system that got the same load.
    pub fn all(cells: &[Cell]) -> Vec<Comparison> {
        let Some(ours) = cells.iter().find(|cell| cell.system == "ours") else { return Vec::new() };
        cells
            .iter()
            .filter(|cell| cell.system != ours.system)
            .map(|other| Comparison::of(ours, other))
            .collect()
    }

    fn of(ours: &Cell, other: &Cell) -> Comparison {
        let rounds = || ours.windows.iter().zip(&other.windows);
        Comparison {
            other: other.system,
            in_flight: ours.load.in_flight,
            throughput: Spread::of(rounds().map(|(ours, other)| ours.per_second / other.per_second)),
            p50: Spread::of(rounds().map(|(ours, other)| ours.p50_ms / other.p50_ms)),
        }
    }

    pub fn line(&self) -> String {
        let (rate, p50) = (self.throughput.show(2), self.p50.show(2));
        format!("ours ÷ {:<6}  writes/s {rate}   p50 {p50}", self.other)
    }

    /// What there is to say of it, in a sentence.
    pub fn verdict(&self) -> String {
        let Comparison { other, in_flight, throughput, p50 } = self;
        match self.is_met() {
            Some(is_met) if *in_flight == 1 => format!(
                "{in_flight:>5} in flight: {:.2} x the latency of {other}; at most {LATENCY_MAX} is {}",
                p50.median,
                met(is_met),
            ),
            Some(is_met) => format!(
                "{in_flight:>5} in flight: {:.0} % of the throughput of {other}; at least {:.0} % is {}",
                throughput.median * 1e2,
                THROUGHPUT_MIN * 1e2,
                met(is_met),
            ),
            None => {
                format!("{in_flight:>5} in flight: {:.2} x the throughput of {other}", throughput.median)
            }
        }
    }

    /// Whether a goal is met, if there is one.
    fn is_met(&self) -> Option<bool> {
        match (self.other, self.in_flight) {
            ("append" | "floor", 1) => Some(self.p50.median <= LATENCY_MAX),
            ("append" | "floor", at) if THROUGHPUT_AT.contains(&at) => {
                Some(self.throughput.median >= THROUGHPUT_MIN)
            }
            _ => None,
        }
    }

    pub fn json(&self) -> Value {
        let spread = |it: &Spread| json!({ "median": it.median, "min": it.min, "max": it.max });
        json!({
            "ours_beside": self.other,
            "in_flight": self.in_flight,
            "throughput": spread(&self.throughput),
            "p50": spread(&self.p50),
            "is_met": self.is_met(),
        })
    }
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
