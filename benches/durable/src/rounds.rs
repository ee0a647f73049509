//! Turns: every system bears every load in every round.

use anyhow::{Context, Result};

use crate::{
    load::{Load, Window},
    systems::System,
};

/// What a system did under a load, a window for each round.
pub struct Cell {
    pub system: &'static str,
    pub load: Load,
    pub windows: Vec<Window>,
}

/// One system after the other, in another order each round: who comes behind whom should not matter.
pub async fn take_turns(systems: &mut [System], loads: Vec<Load>, rounds: usize) -> Result<Vec<Cell>> {
    let cell = |load, system: &System| Cell { system: system.name(), load, windows: Vec::new() };
    let mut cells: Vec<_> =
        loads.iter().flat_map(|&load| systems.iter().map(move |system| cell(load, system))).collect();
    for round in 0..rounds {
        for (cells, load) in cells.chunks_mut(systems.len().max(1)).zip(&loads) {
            let turns = cells.len();
            for turn in 0..turns {
                let place = (round + turn) % turns;
                let (cell, system) = (&mut cells[place], &mut systems[place]);
                let what = || format!("{} with {} in flight", cell.system, load.in_flight);
                let window = system.bear(load).await.with_context(what)?;
                eprintln!(
                    "round {} of {rounds}  {:>5} in flight  {:<6}  {:>9.0}/s  p50 {:.3} ms  p99 {:.3} ms",
                    round + 1,
                    load.in_flight,
                    cell.system,
                    window.per_second,
                    window.p50_ms,
                    window.p99_ms,
                );
                cell.windows.push(window);
            }
        }
    }
    Ok(cells)
}
