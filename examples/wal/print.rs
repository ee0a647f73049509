//! What was seen, for people and for programs.

use std::io::{self, Write};

use raft_actors::{
    raft::{PeerId, Position},
    storage::{
        snapshots::SnapshotReport,
        wal::{FrameContent, FrameReport, SegmentEnd, SegmentReport},
    },
};
use serde_json::{Value, json};

use super::{Detail, look::Look, sentence};

/// One line: whole, or where not.
pub fn verdict(look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let path = look.path.display();
    match (&look.damage, &look.log) {
        (Some(damage), _) => writeln!(out, "{path}: damaged: {}", sentence(damage)),
        (None, Some(log)) => {
            let warnings = log.warnings.iter().map(|warning| format!("; {warning}")).collect::<String>();
            writeln!(out, "{path}: whole: {}{warnings}", summary(look))
        }
        (None, None) => writeln!(out, "{path}: whole"),
    }
}

fn summary(look: &Look) -> String {
    let Some(log) = &look.log else { return String::new() };
    let vote = log.vote.map_or("nobody".into(), |peer| format!("peer {peer}"));
    format!("term {}, vote for {vote}, entries {}..={} in the log", log.term, log.base.index.next(), log.last)
}

/// Everything, for people.
pub fn text(look: &Look, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", look.path.display())?;
    if let Some((cluster, peer, members)) = &look.stamp {
        writeln!(out, "  peer {peer} of the cluster `{cluster}`, which began with {members}")?;
    }
    if look.log.is_some() {
        writeln!(out, "  {}", summary(look))?;
    }
    for segment in &look.segments {
        writeln!(out, "  log/{} ({} bytes)", file_name(segment), segment.bytes)?;
        if detail == Detail::Frames {
            for frame in &segment.frames {
                writeln!(
                    out,
                    "  {:>10} {:>8}  {}",
                    frame.offset,
                    format!("+{}", frame.bytes),
                    describe(&frame.content)
                )?;
            }
        }
        match segment.end {
            SegmentEnd::Torn { offset, why } => {
                writeln!(out, "  {offset:>10} {:>8}  not synced, no record: {why}", "")?;
            }
            SegmentEnd::Damaged { offset, why } => writeln!(out, "  {offset:>10} {:>8}  DAMAGED: {why}", "")?,
            _ => {}
        }
    }
    for snapshot in &look.snapshots {
        let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy();
        let state = match (&snapshot.damage, snapshot.whole) {
            (Some(_), _) => ", DAMAGED",
            (None, true) => "",
            (None, false) => ", not whole yet",
        };
        writeln!(out, "  snapshots/{name} ({} bytes): up to {}{state}", snapshot.bytes, snapshot.at)?;
    }
    for warning in look.log.iter().flat_map(|log| &log.warnings) {
        writeln!(out, "  warning: {warning}")?;
    }
    match &look.damage {
        Some(damage) => writeln!(out, "  damaged: {}", sentence(damage)),
        None => Ok(()),
    }
}

fn file_name(segment: &SegmentReport) -> String {
    segment.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into())
}

fn describe(content: &FrameContent) -> String {
    let name = content.kind().name();
    match content {
        FrameContent::Header(header) => format!(
            "{name:<12} segment {}, the one before ends at {}, term {}, vote {}, base {}, last {}",
            header.number,
            header.before_bytes,
            header.term,
            vote(header.vote),
            header.base,
            header.last
        ),
        FrameContent::Entries { first, last } => format!("{name:<12} {first}..={last}"),
        FrameContent::Ballot { term, vote: peer } => format!("{name:<12} term {term}, vote {}", vote(*peer)),
        FrameContent::Truncate { from } => format!("{name:<12} from {from}"),
        FrameContent::Compact { upto, keeps_rest: true } => format!("{name:<12} up to {upto}"),
        FrameContent::Compact { upto, .. } => format!("{name:<12} up to {upto}, and all that was behind"),
        _ => name.into(),
    }
}

fn vote(peer: Option<PeerId>) -> String {
    peer.map_or("-".into(), |peer| peer.to_string())
}

/// Everything, for programs.
pub fn to_json(look: &Look, detail: Detail) -> Value {
    let mut value = json!({
        "path": look.path.display().to_string(),
        "whole": look.damage.is_none(),
        "damage": look.damage.as_ref().map(sentence),
    });
    if let Some((cluster, peer, members)) = &look.stamp {
        value["cluster"] = json!(cluster);
        value["peer"] = json!(peer);
        value["first_membership"] = json!(members);
    }
    if let Some(log) = &look.log {
        value["term"] = json!(log.term.0);
        value["vote"] = json!(log.vote.map(|peer| peer.0));
        value["base"] = position(log.base);
        value["last"] = json!(log.last.0);
        value["warnings"] = json!(log.warnings);
    }
    if detail != Detail::Verdict {
        value["segments"] = look.segments.iter().map(|segment| segment_json(segment, detail)).collect();
        let snapshot = |snapshot: &SnapshotReport| {
            json!({
                "path": snapshot.path.display().to_string(),
                "at": position(snapshot.at),
                "whole": snapshot.whole,
                "bytes": snapshot.bytes,
                "damage": snapshot.damage,
            })
        };
        value["snapshots"] = look.snapshots.iter().map(snapshot).collect();
    }
    value
}

fn position(at: Position) -> Value {
    json!({ "term": at.term.0, "index": at.index.0 })
}

fn segment_json(segment: &SegmentReport, detail: Detail) -> Value {
    let (state, offset, why) = match segment.end {
        SegmentEnd::Clean { offset } => ("clean", offset, None),
        SegmentEnd::Torn { offset, why } => ("torn", offset, Some(why)),
        SegmentEnd::Damaged { offset, why } => ("damaged", offset, Some(why)),
        _ => ("unknown", 0, None),
    };
    let mut value = json!({
        "path": segment.path.display().to_string(),
        "number": segment.number,
        "bytes": segment.bytes,
        "frame_count": segment.frames.len(),
        "end": { "state": state, "offset": offset, "why": why },
    });
    if detail == Detail::Frames {
        value["frames"] = segment.frames.iter().map(frame_json).collect();
    }
    value
}

fn frame_json(frame: &FrameReport) -> Value {
    let mut value =
        json!({ "offset": frame.offset, "bytes": frame.bytes, "kind": frame.content.kind().name() });
    match &frame.content {
        FrameContent::Header(header) => {
            value["segment"] = json!(header.number);
            value["before_bytes"] = json!(header.before_bytes);
            value["term"] = json!(header.term.0);
            value["vote"] = json!(header.vote.map(|peer| peer.0));
            value["base"] = position(header.base);
            value["last"] = json!(header.last.0);
        }
        FrameContent::Entries { first, last } => {
            value["term"] = json!(last.term.0);
            value["first"] = json!(first.0);
            value["last"] = json!(last.index.0);
        }
        FrameContent::Ballot { term, vote } => {
            value["term"] = json!(term.0);
            value["vote"] = json!(vote.map(|peer| peer.0));
        }
        FrameContent::Truncate { from } => value["from"] = json!(from.0),
        FrameContent::Compact { upto, keeps_rest } => {
            value["upto"] = position(*upto);
            value["keeps_rest"] = json!(keeps_rest);
        }
        _ => {}
    }
    value
}
