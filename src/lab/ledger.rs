//! What clients appended in sessions, and whether it is all there: once, in their order.

use std::collections::BTreeMap;

use super::history::Outcome;
use crate::{error::ClientError, machine::kv};

/// How many entries a key has, so that no value grows for ever.
const PAGE: u64 = 100;

/// What was told about one entry.
enum Fate {
    UnderWay,
    /// Done: then the page was this long.
    Done(u64),
    NotDone,
    Unknown,
}

/// The books of all sessions.
#[derive(Default)]
pub(super) struct Ledger {
    /// By client and token; tokens count from 1, over all lives of a session.
    entries: BTreeMap<(u64, u64), Fate>,
    last: BTreeMap<u64, u64>,
}

impl Ledger {
    /// The next token of a client.
    pub fn begin(&mut self, client: u64) -> u64 {
        let token = self.last.entry(client).or_default();
        *token += 1;
        self.entries.insert((client, *token), Fate::UnderWay);
        *token
    }

    /// The command that enters a token.
    pub fn entry(client: u64, token: u64) -> kv::Command {
        kv::Command::append(page(client, token / PAGE), format!("{token};"))
    }

    /// What was told about it.
    pub fn end(&mut self, client: u64, token: u64, outcome: Result<kv::Answer, ClientError>) {
        let fate = match Outcome::from(outcome) {
            Outcome::Answered(kv::Answer::Length(length)) => Fate::Done(length),
            Outcome::Answered(_) | Outcome::Unknown => Fate::Unknown,
            Outcome::NotDone => Fate::NotDone,
        };
        self.entries.insert((client, token), fate);
    }

    /// The keys that hold entries.
    pub fn pages(&self) -> Vec<(u64, String)> {
        let mut pages = Vec::new();
        for (&client, &last) in &self.last {
            pages.extend((0..=last / PAGE).map(|number| (client, page(client, number))));
        }
        pages
    }

    /// Compares the books with the pages as they are in the end.
    pub fn compare(&self, pages: &[(u64, String)]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut found = BTreeMap::<(u64, u64), (u32, u64)>::new();
        for (client, page) in pages {
            let (mut before, mut length) = (0, 0);
            for entry in page.split_terminator(';') {
                length += entry.len() as u64 + 1;
                let Ok(token) = entry.parse::<u64>() else {
                    wrong.push(format!("session {client}: `{entry}` was never appended"));
                    continue;
                };
                if token <= before {
                    wrong.push(format!("session {client}: {token} was applied after {before}"));
                }
                before = token;
                found.entry((*client, token)).or_insert((0, length)).0 += 1;
            }
        }
        for (&(client, token), fate) in &self.entries {
            let times = found.get(&(client, token)).map_or(0, |(times, _)| *times);
            let what = match fate {
                Fate::Done(_) if times == 0 => "was acknowledged, and is lost",
                Fate::Done(told) if found.get(&(client, token)).is_some_and(|(_, at)| at != told) => {
                    "is not where it was said to be"
                }
                Fate::NotDone if times > 0 => "was certainly not done, and is there",
                _ if times > 1 => "was applied more than once",
                _ => continue,
            };
            wrong.push(format!("session {client}: {token} {what}"));
        }
        for (client, token) in found.keys().filter(|key| !self.entries.contains_key(key)) {
            wrong.push(format!("session {client}: {token} was never appended"));
        }
        wrong
    }
}

fn page(client: u64, number: u64) -> String {
    format!("s{client}/{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One client, tokens 1 to 3: done, unknown, certainly not done.
    fn books() -> Ledger {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.begin(7);
        }
        ledger.end(7, 1, Ok(kv::Answer::Length(2)));
        ledger.end(7, 2, Err(ClientError::Unknown));
        ledger.end(7, 3, Err(ClientError::Lost));
        ledger
    }

    #[test]
    fn what_is_there_once_in_order_is_right() {
        for page in ["1;", "1;2;"] {
            assert_eq!(books().compare(&[(7, page.into())]), Vec::<String>::new(), "{page}");
        }
    }

    #[test]
    fn each_way_to_be_wrong_is_said() {
        let table = [
            ("", "1 was acknowledged, and is lost"),
            ("1;1;", "1 was applied more than once"),
            ("1;2;2;", "2 was applied more than once"),
            ("1;3;", "3 was certainly not done, and is there"),
            ("2;1;", "1 was applied after 2"),
            ("2;1;", "1 is not where it was said to be"),
            ("1;4;", "4 was never appended"),
            ("1;x;", "`x` was never appended"),
        ];
        for (page, what) in table {
            let wrong = books().compare(&[(7, page.into())]);
            assert!(wrong.iter().any(|wrong| wrong.ends_with(what)), "{page}: {wrong:?}");
        }
    }
}
