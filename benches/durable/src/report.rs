//! What was measured, compared: tables for people, JSON for programs.

use serde_json::{Value, json};

mod spread;
mod verdict;

use spread::Spread;
use verdict::Comparison;

use crate::{
    fail_over::Gap,
    load::{Load, Window},
    rounds::Cell,
};

/// A part of the report.
pub struct Part {
    pub text: String,
    pub json: Value,
}

/// The throughput and latency of each load and system, and what ours comes to beside the others.
pub fn writes(cells: &[Cell]) -> Part {
    let mut text = Vec::new();
    let mut verdicts = Vec::new();
    let mut comparisons = Vec::new();
    for cells in cells.chunk_by(|one, other| one.load == other.load) {
        let compared = Comparison::all(cells);
        text.extend(table(cells));
        text.extend(compared.iter().map(Comparison::line));
        text.push(String::new());
        verdicts.extend(compared.iter().map(Comparison::verdict));
        comparisons.extend(compared.iter().map(Comparison::json));
    }
    text.extend(verdicts);
    let cells: Vec<_> = cells.iter().map(json_of_cell).collect();
    let text = text.join("\n").trim_end().to_owned();
    Part { text, json: json!({ "cells": cells, "ratios": comparisons }) }
}

/// How many MiB a second, and how much of what disk and loopback allow that is.
pub fn bandwidth(cells: &[Cell]) -> Part {
    let mut text: Vec<String> = Vec::new();
    if let Some(first) = cells.first() {
        text.push(title(&first.load));
    }
    for cell in cells {
        let mib = cell.load.payload as f64 / f64::from(1 << 20);
        let spread = cell.spread(|window| window.per_second * mib);
        let p50 = cell.spread(|window| window.p50_ms).median;
        text.push(format!("{:<6} {:>8} MiB/s  p50 {p50:.1} ms", cell.system, spread.show(1)));
    }
    let compared = Comparison::all(cells);
    text.extend(compared.iter().map(Comparison::line));
    let comparisons: Vec<_> = compared.iter().map(Comparison::json).collect();
    let cells: Vec<_> = cells.iter().map(json_of_cell).collect();
    Part { text: text.join("\n"), json: json!({ "cells": cells, "ratios": comparisons }) }
}

/// How long writes fail when a leader is killed.
pub fn fail_over(gaps: &[Gap]) -> Part {
    let mut ms: Vec<_> = gaps.iter().map(|gap| gap.0.as_secs_f64() * 1e3).collect();
    ms.sort_unstable_by(f64::total_cmp);
    let (spread, p90) = (Spread::of(ms.iter().copied()), spread::quantile(&ms, 0.9));
    let text = format!(
        "from the kill of a leader to the first acknowledged write, {} trials\n\
         min {:.0} ms  median {:.0} ms  p90 {p90:.0} ms  max {:.0} ms",
        ms.len(),
        spread.min,
        spread.median,
        spread.max,
    );
    let json = json!({ "trials_ms": ms, "min_ms": spread.min, "median_ms": spread.median, "p90_ms": p90, "max_ms": spread.max });
    Part { text, json }
}

impl Cell {
    fn spread(&self, of: impl Fn(&Window) -> f64) -> Spread {
        Spread::of(self.windows.iter().map(of))
    }

    /// What the servers took of the CPUs for each write, if that is known of every window.
    fn cpu_us(&self) -> Option<f64> {
        let known: Option<Vec<_>> = self.windows.iter().map(|window| window.cpu_us).collect();
        known.map(|us| Spread::of(us.into_iter()).median)
    }

    fn errors(&self) -> u64 {
        self.windows.iter().map(|window| window.errors).sum()
    }
}

fn title(load: &Load) -> String {
    format!("{} B, {} in flight, windows of {} s", load.payload, load.in_flight, load.window.as_secs())
}

fn table(cells: &[Cell]) -> Vec<String> {
    let mut lines: Vec<_> = cells.first().map(|cell| title(&cell.load)).into_iter().collect();
    let heads = ["writes/s (min..max)", "p50 ms", "p99 ms", "CPU us/write"];
    lines
        .push(format!("{:<6} {:>28} {:>9} {:>9} {:>13}  errors", "", heads[0], heads[1], heads[2], heads[3]));
    for cell in cells {
        let rate = cell.spread(|window| window.per_second).show(0);
        let p50 = cell.spread(|window| window.p50_ms).median;
        let p99 = cell.spread(|window| window.p99_ms).median;
        let cpu = cell.cpu_us().map_or("-".into(), |us| format!("{us:.1}"));
        lines.push(format!(
            "{:<6} {rate:>28} {p50:>9.3} {p99:>9.3} {cpu:>13}  {}",
            cell.system,
            cell.errors()
        ));
    }
    lines
}

fn json_of_cell(cell: &Cell) -> Value {
    let windows = cell.windows.iter().map(|window| {
        json!({
            "per_second": window.per_second,
            "p50_ms": window.p50_ms,
            "p99_ms": window.p99_ms,
            "cpu_us": window.cpu_us,
            "errors": window.errors,
        })
    });
    json!({
        "system": cell.system,
        "in_flight": cell.load.in_flight,
        "payload": cell.load.payload,
        "seconds": cell.load.window.as_secs(),
        "per_second": cell.spread(|window| window.per_second).median,
        "p50_ms": cell.spread(|window| window.p50_ms).median,
        "p99_ms": cell.spread(|window| window.p99_ms).median,
        "cpu_us": cell.cpu_us(),
        "errors": cell.errors(),
        "rounds": windows.collect::<Vec<_>>(),
    })
}
