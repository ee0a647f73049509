//! What a system is asked to bear, and what was seen of it.

use std::time::Duration;

use crate::nodes::Nodes;

/// A closed loop: so many writes are under way at any time, and each that is acknowledged makes room for the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    pub in_flight: usize,
    /// How long each value is, in bytes.
    pub payload: usize,
    /// How long it runs before it counts.
    pub warm_up: Duration,
    /// For how long it counts.
    pub window: Duration,
}

/// What was seen in a window.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// What the servers' processes took of the CPUs for each write, in microseconds, if the system says so.
    pub cpu_us: Option<f64>,
    pub errors: u64,
}

impl Window {
    /// Of latencies in microseconds, one for each write that was acknowledged within `elapsed`.
    pub fn of(mut latencies: Vec<u32>, errors: u64, elapsed: Duration, cpu: Option<Duration>) -> Window {
        latencies.sort_unstable();
        let done = latencies.len();
        Window {
            per_second: done as f64 / elapsed.as_secs_f64().max(0.001),
            p50_ms: quantile(&latencies, 0.5) / 1e3,
            p99_ms: quantile(&latencies, 0.99) / 1e3,
            cpu_us: cpu.map(|cpu| cpu_us(cpu, done as u64)),
            errors,
        }
    }
}

/// CPU time for each of so many writes.
pub fn cpu_us(cpu: Duration, done: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / done.max(1) as f64
}

/// Of sorted values; 0 if there is none.
fn quantile(sorted: &[u32], quantile: f64) -> f64 {
    let place = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(place.saturating_sub(1)).map_or(0.0, |&us| f64::from(us))
}

/// The microseconds of a latency: more than an hour is an hour.
pub fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

/// What processes took of the CPUs between two looks.
pub struct CpuMeter<'a> {
    nodes: &'a Nodes,
    before: Option<Duration>,
}

impl CpuMeter<'_> {
    pub fn start(nodes: &Nodes) -> CpuMeter<'_> {
        CpuMeter { nodes, before: nodes.cpu() }
    }

    pub fn read(&self) -> Option<Duration> {
        self.nodes.cpu()?.checked_sub(self.before?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_least_value_that_so_many_do_not_exceed() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&hundred, 0.5), 50.0);
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&[7], 0.5), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
