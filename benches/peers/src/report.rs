//! What is made of the rounds: medians, ratios, a table for each number in flight, or JSON.

use std::{fmt, fs, thread};

use serde::Serialize;

use crate::{load::Measured, options::Options, rounds::Row, systems::System};

/// Everything that a run has to say.
#[derive(Serialize)]
pub struct Report {
    settings: Options,
    machine: Machine,
    results: Vec<Figures>,
    ratios: Vec<Ratios>,
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    cpu: Option<String>,
    rustc: &'static str,
}

/// One system with so many commands in flight. All figures are medians over the rounds.
#[derive(Serialize)]
struct Figures {
    system: System,
    in_flight: usize,
    ops_per_second: Spread,
    p50_us: f64,
    p99_us: f64,
    cpu_us_per_op: f64,
}

#[derive(Serialize)]
struct Spread {
    rounds: Vec<f64>,
    median: f64,
    min: f64,
    max: f64,
}

/// How this library compares: its throughput through that of the best.
#[derive(Serialize)]
struct Ratios {
    in_flight: usize,
    to_best_peer: Option<Ratio>,
    to_best_openraft: Option<Ratio>,
}

#[derive(Serialize)]
struct Ratio {
    best: System,
    near: Option<f64>,
    far: Option<f64>,
}

impl Report {
    pub fn new(options: &Options, rows: Vec<Row>) -> Report {
        let results: Vec<Figures> = rows.iter().map(Figures::new).collect();
        let ratios = options.all_in_flight().into_iter().map(|in_flight| Ratios::new(in_flight, &results));
        Report { settings: options.clone(), machine: Machine::this(), ratios: ratios.collect(), results }
    }
}

impl Machine {
    fn this() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = info.lines().find(|line| line.starts_with("model name"));
        let cpu = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
        // Where this process may run is no measure: it may be pinned.
        let listed = info.lines().filter(|line| line.starts_with("processor")).count();
        let cores = match listed {
            0 => thread::available_parallelism().map_or(1, usize::from),
            listed => listed,
        };
        Machine { cores, cpu, rustc: env!("PEERS_RUSTC") }
    }
}

impl Figures {
    fn new(row: &Row) -> Figures {
        let each = |figure: fn(&Measured) -> f64| row.rounds.iter().map(figure).collect::<Vec<_>>();
        Figures {
            system: row.system,
            in_flight: row.in_flight,
            ops_per_second: Spread::new(each(|round| round.ops_per_second)),
            p50_us: median(&each(|round| round.p50_us)),
            p99_us: median(&each(|round| round.p99_us)),
            cpu_us_per_op: median(&each(|round| round.cpu_us_per_op)),
        }
    }
}

impl Spread {
    fn new(rounds: Vec<f64>) -> Spread {
        let min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let max = rounds.iter().copied().fold(0.0, f64::max);
        Spread { median: median(&rounds), min, max, rounds }
    }
}

/// The value in the middle, or between the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 }
}

impl Ratios {
    fn new(in_flight: usize, results: &[Figures]) -> Ratios {
        let best = |among: fn(System) -> bool| {
            let them = of(in_flight, results).filter(|figures| among(figures.system));
            them.max_by(|one, other| one.ops_per_second.median.total_cmp(&other.ops_per_second.median))
        };
        let ratio = |best: &Figures| Ratio {
            best: best.system,
            near: over(System::Near, best, results),
            far: over(System::Far, best, results),
        };
        Ratios {
            in_flight,
            to_best_peer: best(|system| !system.is_ours()).map(ratio),
            to_best_openraft: best(System::is_openraft).map(ratio),
        }
    }
}

fn of(in_flight: usize, results: &[Figures]) -> impl Iterator<Item = &Figures> {
    results.iter().filter(move |figures| figures.in_flight == in_flight)
}

/// The throughput of a system, if it was measured, through that of another.
fn over(system: System, other: &Figures, results: &[Figures]) -> Option<f64> {
    let its = of(other.in_flight, results).find(|figures| figures.system == system)?;
    Some(its.ops_per_second.median / other.ops_per_second.median)
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { settings, machine, results, ratios } = self;
        let Options { payload, peers, rounds, warm_up_ms, window_ms, .. } = settings;
        let pinned = settings.pin.map_or_else(|| "free".into(), |core| format!("pinned to core {core}"));
        let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
        writeln!(f, "{} cores ({cpu}), {pinned}; {}", machine.cores, machine.rustc)?;
        let copies = if settings.shared { "shared" } else { "owned" };
        writeln!(
            f,
            "{peers} peers, {payload} B, {copies}; rounds: {rounds}, of {window_ms} ms after {warm_up_ms} ms"
        )?;
        for in_flight in settings.all_in_flight() {
            writeln!(f, "\n{in_flight} in flight")?;
            table(f, in_flight, results)?;
        }
        writeln!(f)?;
        ratios.iter().try_for_each(|ratios| verdict(f, ratios))
    }
}

fn table(f: &mut fmt::Formatter<'_>, in_flight: usize, results: &[Figures]) -> fmt::Result {
    let heads = ["kops/s", "min..max", "p50 us", "p99 us", "CPU us/op", "near ÷ it", "far ÷ it"];
    let [kops, spread, p50, p99, cpu, near, far] = heads;
    writeln!(f, "{:<25} {kops:>8} {spread:>16} {p50:>8} {p99:>8} {cpu:>9} {near:>9} {far:>9}", "system")?;
    for figures in of(in_flight, results) {
        let Figures { system, ops_per_second: ops, p50_us, p99_us, cpu_us_per_op, .. } = figures;
        let spread = format!("{:.1}..{:.1}", ops.min / 1e3, ops.max / 1e3);
        let [near, far] = [System::Near, System::Far].map(|ours| times(over(ours, figures, results)));
        writeln!(
            f,
            "{:<25} {:>8.1} {spread:>16} {p50_us:>8.1} {p99_us:>8.1} {cpu_us_per_op:>9.2} {near:>9} {far:>9}",
            system.name(),
            ops.median / 1e3,
        )?;
    }
    Ok(())
}

fn verdict(f: &mut fmt::Formatter<'_>, ratios: &Ratios) -> fmt::Result {
    let in_flight = ratios.in_flight;
    for (which, ratio) in [("peer", &ratios.to_best_peer), ("openraft", &ratios.to_best_openraft)] {
        let ours = ratio.as_ref().filter(|ratio| ratio.near.is_some() || ratio.far.is_some());
        if let Some(Ratio { best, near, far }) = ours {
            let (near, far, best) = (times(*near), times(*far), best.name());
            writeln!(f, "{in_flight} in flight: near {near}, far {far} times the best {which} ({best})")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    fn row(system: System, rates: [f64; 3]) -> Row {
        let round =
            |ops_per_second| Measured { ops_per_second, p50_us: 1.0, p99_us: 2.0, cpu_us_per_op: 3.0 };
        Row { system, in_flight: 64, rounds: rates.map(round).into() }
    }

    #[test]
    fn the_best_peer_has_the_best_median() {
        let rows = [
            row(System::Near, [8.0, 6.0, 7.0]),
            row(System::Openraft09, [2.0, 2.0, 2.0]),
            row(System::RaftRs, [3.5, 3.5, 3.5]),
            row(System::OmniPaxos, [3.0, 9.0, 1.0]),
        ];
        let results: Vec<_> = rows.iter().map(Figures::new).collect();
        let ratios = Ratios::new(64, &results);
        let peer = ratios.to_best_peer.unwrap();
        assert_eq!((peer.best, peer.near, peer.far), (System::RaftRs, Some(2.0), None));
        assert_eq!(ratios.to_best_openraft.unwrap().near, Some(3.5));
    }
}
