//! What many storms come to.

use std::{collections::BTreeMap, fmt, time::Duration};

use raft_actors::lab::{FaultKind, Outcome};
use serde_json::{Value, json};

/// What was found in one storm.
pub struct Finding {
    pub seed: u64,
    pub violations: Vec<String>,
    /// The line that runs it again.
    pub replay: String,
    /// The shortest script that still fails, and the line that plays it.
    pub shortest: Option<(String, String)>,
}

/// All of them together.
#[derive(Default)]
pub struct Summary {
    pub runs: u64,
    pub no_evidence: Vec<(u64, Vec<FaultKind>, bool)>,
    pub findings: Vec<Finding>,
    /// The kinds that were asked for, also those that never took place.
    pub faults: BTreeMap<FaultKind, u64>,
    pub took: Duration,
    lasted: Duration,
    events: u64,
    elections: u64,
    crashes: u64,
    crashes_in_sync: u64,
    acknowledged: u64,
    unknown: u64,
    refused: u64,
}

impl Summary {
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.runs += 1;
        self.lasted += outcome.lasted;
        self.events += outcome.events;
        self.elections += outcome.elections;
        self.crashes += outcome.crashes;
        self.crashes_in_sync += outcome.crashes_in_sync;
        self.acknowledged += outcome.acknowledged;
        self.unknown += outcome.unknown;
        self.refused += outcome.refused;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        if !outcome.is_evidence() {
            self.no_evidence.push((seed, outcome.missing.clone(), outcome.too_little));
        }
    }

    /// Whether nothing was violated, and something was shown.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && (self.no_evidence.len() as u64) < self.runs
    }

    pub fn virtual_hours(&self) -> f64 {
        self.lasted.as_secs_f64() / 3_600.0
    }

    /// Seconds of virtual time for each real one.
    pub fn pace(&self) -> f64 {
        self.lasted.as_secs_f64() / self.took.as_secs_f64().max(1e-9)
    }

    pub fn to_json(&self) -> Value {
        let faults: serde_json::Map<String, Value> =
            self.faults.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
        let names = |kinds: &[FaultKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>();
        json!({
            "runs": self.runs,
            "events": self.events,
            "virtual_hours": self.virtual_hours(),
            "seconds": self.took.as_secs_f64(),
            "virtual_seconds_per_second": self.pace(),
            "faults": faults,
            "crashes": self.crashes,
            "crashes_in_sync": self.crashes_in_sync,
            "elections": self.elections,
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
            "refused": self.refused,
            "no_evidence": self.no_evidence.iter().map(|(seed, missing, too_little)| json!({
                "seed": seed, "missing": names(missing), "too_little_acknowledged": too_little,
            })).collect::<Vec<_>>(),
            "violations": self.findings.iter().map(|finding| json!({
                "seed": finding.seed,
                "what": finding.violations,
                "replay": finding.replay,
                "script": finding.shortest.as_ref().map(|(script, _)| script),
                "replay_script": finding.shortest.as_ref().map(|(_, line)| line),
            })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VIOLATION under seed {}", self.seed)?;
        for violation in self.violations.iter().take(5) {
            writeln!(f, "  {violation}")?;
        }
        if self.violations.len() > 5 {
            writeln!(f, "  .. and {} more", self.violations.len() - 5)?;
        }
        writeln!(f, "  again:  {}", self.replay)?;
        let Some((script, line)) = &self.shortest else { return Ok(()) };
        writeln!(f, "  shortest script that still fails, {} steps:", script.lines().count())?;
        script.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
        writeln!(f, "  again:  {line}")
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        writeln!(f, "runs          {}", self.runs)?;
        writeln!(f, "events        {}", self.events)?;
        writeln!(
            f,
            "virtual time  {:.2} h in {:.1} s: {:.0} s for each",
            self.virtual_hours(),
            self.took.as_secs_f64(),
            self.pace()
        )?;
        writeln!(f, "elections     {}", self.elections)?;
        let in_sync = percent(self.crashes_in_sync, self.crashes);
        writeln!(f, "crashes       {}, {in_sync:.0} % of them during a sync", self.crashes)?;
        writeln!(f, "acknowledged  {}", self.acknowledged)?;
        writeln!(f, "unknown       {}", self.unknown)?;
        writeln!(f, "not done      {}", self.refused)?;
        let faults: Vec<_> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        for (number, line) in faults.chunks(5).enumerate() {
            writeln!(f, "{:<14}{}", if number == 0 { "faults" } else { "" }, line.join(", "))?;
        }
        let none = self.no_evidence.len() as u64;
        writeln!(f, "no evidence   {none} runs, {:.1} %", percent(none, self.runs))?;
        for (seed, missing, too_little) in self.no_evidence.iter().take(5) {
            let missing: Vec<_> = missing.iter().map(|kind| kind.name()).collect();
            let mut why = Vec::new();
            if !missing.is_empty() {
                why.push(format!("no {}", missing.join(", ")));
            }
            if *too_little {
                why.push("hardly anything was acknowledged".into());
            }
            writeln!(f, "              seed {seed}: {}", why.join("; "))?;
        }
        write!(f, "violations    {}", self.findings.len())?;
        if none == self.runs {
            write!(f, "\nnothing was shown: give it more --seconds, or fewer --faults")?;
        }
        Ok(())
    }
}
