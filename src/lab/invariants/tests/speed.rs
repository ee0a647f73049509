//! What an event costs. Nothing is asserted: run it with `--release --ignored --nocapture`.

use std::time::Instant;

use super::*;

const ROUNDS: u64 = 200_000;

/// The reports of rounds of replication, as a cluster of three makes them.
fn rounds(stage: &Stage) -> Vec<Report> {
    let mut reports = Vec::new();
    for index in 3..3 + ROUNDS {
        let what = |text: &str| text.replace("{}", &index.to_string());
        let (first, last, records) = (Index(index), at(1, index), 1);
        let entries = what("term=1 prev={}@1 [{}..={}@1] commit={}");
        let sent = |kind, to: u64, what: String| Event::Sent { kind, to: PeerId(to), what, why: WHY };
        let got =
            |kind, from: u64, what: String| Event::Received { kind, from: PeerId(from), what, why: WHY };
        let append = || Event::Appended { first, last, bytes: 48, why: WHY };
        let synced = || Event::Synced { records, took_ms: 0, durable: last, why: WHY };
        let committed = || Event::Committed { index: first, why: WHY };
        let applied = || Event::Applied { first, last: first, why: WHY };
        let mut tell = |peer: u64, event: Event| {
            let (term, role) = stage.peers[&peer];
            let (peer, term) = (PeerId(peer), Term(term));
            reports.push(Report { seq: 0, at_us: 0, peer, term, role, event });
        };
        tell(1, append());
        tell(1, Event::SyncBegun { records, why: WHY });
        for follower in [2, 3] {
            tell(1, sent(MessageKind::AppendEntries, follower, entries.clone()));
            tell(follower, got(MessageKind::AppendEntries, 1, entries.clone()));
            tell(follower, append());
            tell(follower, Event::SyncBegun { records, why: WHY });
            tell(follower, synced());
            tell(follower, sent(MessageKind::Appended, 1, what("term=1 match={}")));
            tell(1, got(MessageKind::Appended, follower, what("term=1 match={}")));
        }
        tell(1, synced());
        for peer in 1..=3 {
            tell(peer, committed());
            tell(peer, applied());
        }
    }
    reports
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn an_event_costs_little() {
    let stage = Stage::led();
    let reports = rounds(&stage);
    let mut oracle = stage.oracle.clone();
    let begun = Instant::now();
    reports.iter().for_each(|report| oracle.observe(report));
    let all = begun.elapsed().as_nanos() as f64 / reports.len() as f64;
    assert!(oracle.is_clean(), "{:#?}", oracle.violations());
    println!("{all:.0} ns an event, {} events", reports.len());
}
