//! How a story's words are read, and how what clients hear is told.

use std::{fmt::Display, ops::Range, str::FromStr};

use goldenscript::ArgumentConsumer;
use raft_actors::{actor::gauges::PeerStatus, error::ClientError};

use crate::common::POISON;

/// The next word of a command.
pub fn word<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str, String> {
    args.next_pos().ok_or("a word is missing".to_string())
}

/// All words that are left.
pub fn rest<'a>(args: &mut ArgumentConsumer<'a>) -> Vec<&'a str> {
    std::iter::from_fn(|| args.next_pos()).collect()
}

/// The next word is this one.
pub fn expect(args: &mut ArgumentConsumer<'_>, expected: &str) -> Result<(), String> {
    match word(args)? {
        word if word == expected => Ok(()),
        word => Err(format!("`{expected}` is expected, not `{word}`")),
    }
}

/// A number.
pub fn number<N: FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("`{word}` is no number here"))
}

/// `150..300`.
pub fn range(word: &str) -> Result<Range<u64>, String> {
    let (start, end) = word.split_once("..").ok_or(format!("`{word}` is no range"))?;
    Ok(number(start)?..number(end)?)
}

/// The commands of a proposal: `7`, `1..5` (both included), `poison`.
pub fn commands(args: &mut ArgumentConsumer<'_>) -> Result<Vec<u64>, String> {
    let mut commands = Vec::new();
    for word in rest(args) {
        match word.split_once("..") {
            Some((first, last)) => commands.extend(number::<u64>(first)?..=number(last)?),
            None if word == "poison" => commands.push(POISON),
            None => commands.push(number(word)?),
        }
    }
    Ok(commands)
}

/// `1..5 9`: runs of numbers are drawn together.
pub fn of_numbers(numbers: &[u64]) -> String {
    let mut text = Vec::new();
    for run in numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        let name = |number: &u64| if *number == POISON { "poison".to_string() } else { number.to_string() };
        match run {
            [one] => text.push(name(one)),
            [first, .., last] => text.push(format!("{}..{}", name(first), name(last))),
            [] => {}
        }
    }
    if text.is_empty() { "nothing".to_string() } else { text.join(" ") }
}

/// What a query was answered.
pub fn of_ledger(ledger: &Result<Vec<u64>, ClientError>) -> String {
    match ledger {
        Ok(ledger) => of_numbers(ledger),
        Err(error) => of_error(error),
    }
}

fn of_error(error: &ClientError) -> String {
    let name = format!("{error:?}");
    let name = name.split([' ', '{', '(']).next().unwrap_or_default();
    format!("{name}: {error}")
}

/// What became of proposals: those with the same fate, one after another, share a line.
pub fn of_proposals(said: &[(u64, Result<u64, ClientError>)]) -> String {
    let fate = |outcome: &Result<u64, ClientError>| outcome.as_ref().err().map(of_error);
    let line = |run: &[(u64, Result<u64, ClientError>)]| {
        let numbers: Vec<u64> = run.iter().map(|(number, _)| *number).collect();
        let places: Vec<u64> = run.iter().filter_map(|(_, outcome)| outcome.clone().ok()).collect();
        match run.first().and_then(|(_, outcome)| fate(outcome)) {
            None => format!("-> {}: applied, at {}\n", of_numbers(&numbers), of_numbers(&places)),
            Some(error) => format!("-> {}: {error}\n", of_numbers(&numbers)),
        }
    };
    said.chunk_by(|one, next| fate(&one.1) == fate(&next.1)).map(line).collect()
}

/// One line of `status`.
pub fn of_status(status: &PeerStatus) -> String {
    let role = status.role.map_or("down", |role| role.name());
    let or_none = |it: Option<&dyn Display>| it.map_or("-".to_string(), |it| it.to_string());
    let leader = or_none(status.leader.as_ref().map(|leader| leader as &dyn Display));
    let mut line = format!(
        "-> {} {role} term={} leader={leader} last={} commit={} applied={} snapshot={} compacted={}",
        status.peer,
        status.term,
        status.last,
        status.commit,
        status.applied,
        status.snapshot,
        status.compacted
    );
    if let Some(poisoned) = status.poisoned {
        line.push_str(&format!(" poisoned={poisoned}"));
    }
    if status.disk_full {
        line.push_str(" disk-full");
    }
    for follower in &status.followers {
        line.push_str(&format!(" [{} matched={} lag={}]", follower.peer, follower.matched, follower.lag));
    }
    line + "\n"
}
