//! Reading one line of a script.

use std::ops::RangeInclusive;

use super::{Moment, Step};
use crate::{
    cluster::Crash,
    lab::fault::{Fault, FaultKind, Who},
    raft::{ActorKind, PeerId},
    storage::Tail,
    transport::faults::{Peers, Rule},
};

type Read<T> = Result<T, String>;

/// What is left of a line, word by word.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let (word, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn next(&mut self, what: &str) -> Read<&'a str> {
        self.take().ok_or_else(|| format!("it ends where {what} should be"))
    }

    fn number(&mut self, what: &str) -> Read<u64> {
        number(self.next(what)?, what)
    }

    fn who(&mut self) -> Read<Who> {
        who(self.next("a peer")?)
    }

    fn actor(&mut self) -> Read<ActorKind> {
        let word = self.next("an actor")?;
        let actor = ActorKind::from_name(word).filter(|&actor| actor != ActorKind::Peer);
        actor.ok_or_else(|| {
            format!("`{word}` is no actor: it is one of role, replicator, timer, storage and machine")
        })
    }

    fn end(mut self) -> Read<()> {
        self.take().map_or(Ok(()), |word| Err(format!("`{word}` is too much")))
    }
}

pub(super) fn step(line: &str) -> Read<Step> {
    let mut words = Words(line);
    let (mut at_ms, mut on, mut for_ms) = (None, None, 0);
    loop {
        let what_happens = words.0;
        match words.next("what happens")? {
            "at" => at_ms = Some(words.number("a time in milliseconds")?),
            "for" => for_ms = words.number("a time in milliseconds")?,
            "on" => on = Some(moment(&mut words)?),
            _ => {
                let at_ms = at_ms.ok_or("it does not say when: `at` and a time in milliseconds")?;
                return Ok(Step { at_ms, on, for_ms, fault: fault(what_happens)? });
            }
        }
    }
}

fn moment(words: &mut Words<'_>) -> Read<Moment> {
    let event = words.next("the name of an event")?;
    let mut moment = Moment::of(event, None, 0).ok_or_else(|| format!("`{event}` is no event"))?;
    let mut word = words.next("`within` and a time")?;
    if word == "of" {
        moment.of = Some(peer(words.next("a peer")?)?);
        word = words.next("`within` and a time")?;
    }
    if word != "within" {
        return Err(format!("`{word}` where `within` and a time in milliseconds should be"));
    }
    moment.within_ms = words.number("a time in milliseconds")?;
    Ok(moment)
}

fn fault(text: &str) -> Read<Fault> {
    let mut words = Words(text);
    let word = words.next("what happens")?;
    let kind = match word {
        "crash" => FaultKind::CrashRole,
        _ => FaultKind::from_name(word).ok_or_else(|| format!("`{word}` is nothing that can happen"))?,
    };
    let fault = match kind {
        FaultKind::Cut | FaultKind::Loss | FaultKind::Delay | FaultKind::Duplicate | FaultKind::Reorder => {
            return text.trim().parse::<Rule>().map(Fault::Network).map_err(|error| error.to_string());
        }
        FaultKind::Halves | FaultKind::OneWay | FaultKind::Bridge | FaultKind::Ring => {
            parts(kind, words.next("peers")?)?
        }
        FaultKind::Blackout => Fault::Blackout,
        FaultKind::Kill => Fault::Kill(words.who()?, Tail::Seeded),
        FaultKind::KeepTail => Fault::Kill(words.who()?, Tail::Kept),
        FaultKind::LoseTail => Fault::Kill(words.who()?, Tail::Lost),
        FaultKind::TearTail => Fault::Kill(words.who()?, Tail::Torn),
        FaultKind::CrashRole if word == "crash" => {
            let (actor, who) = (words.actor()?, words.who()?);
            let how = match words.take() {
                None => Crash::Panic,
                Some("stop") => Crash::Stop,
                Some(other) => return Err(format!("`{other}` is too much: there is `stop`, or nothing")),
            };
            Fault::Crash(actor, who, how)
        }
        FaultKind::Stall => Fault::Stall(words.actor()?, words.who()?),
        FaultKind::Slow => Fault::Slow(words.actor()?, words.who()?, words.number("milliseconds")?),
        FaultKind::Isolate => Fault::Isolate(words.who()?),
        FaultKind::Pause => Fault::Pause(words.who()?),
        FaultKind::SlowDisk => Fault::SlowDisk(words.who()?, range(words.next("milliseconds")?)?),
        FaultKind::HangDisk => Fault::HangDisk(words.who()?),
        FaultKind::FullDisk => Fault::FullDisk(words.who()?),
        FaultKind::FailDisk => Fault::FailDisk(words.who()?),
        FaultKind::Clock => Fault::Clock(words.who()?, rate(words.number("a rate in thousandths")?)?),
        FaultKind::Snapshot => Fault::Snapshot(words.who()?),
        FaultKind::Lag => Fault::Lag(words.who()?),
        FaultKind::Transfer => Fault::Transfer(words.take().map(who).transpose()?),
        _ => return Err(format!("`{word}` is not written so: say `crash` and the actor")),
    };
    words.end()?;
    Ok(fault)
}

fn parts(kind: FaultKind, text: &str) -> Read<Fault> {
    let wrong = || format!("`{text}` where {} should be", shape(kind));
    if kind == FaultKind::Ring {
        return Ok(Fault::Ring(text.split(',').map(peer).collect::<Read<_>>()?));
    }
    let separator = if kind == FaultKind::OneWay { '>' } else { '|' };
    let mut parts = text.split(separator).map(peers);
    let mut part = || parts.next().unwrap_or_else(|| Err(wrong()));
    let fault = match kind {
        FaultKind::Halves => Fault::Halves(part()?, part()?),
        FaultKind::OneWay => Fault::OneWay(part()?, part()?),
        _ => Fault::Bridge(part()?, part()?, part()?),
    };
    parts.next().map_or(Ok(fault), |_| Err(wrong()))
}

fn shape(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Halves => "two halves like `1,2|3,4,5`",
        FaultKind::OneWay => "`1,2>3`",
        _ => "two halves with a bridge like `1,2|3|4,5`",
    }
}

fn number(word: &str, what: &str) -> Read<u64> {
    word.parse().map_err(|_| format!("`{word}` where {what} should be"))
}

fn peer(word: &str) -> Read<PeerId> {
    number(word, "the number of a peer").map(PeerId)
}

fn peers(text: &str) -> Read<Peers> {
    text.split(',').map(peer).collect()
}

fn who(word: &str) -> Read<Who> {
    Ok(match word {
        "leader" => Who::Leader,
        "follower" => Who::Follower,
        "it" => Who::It,
        _ => Who::Peer(number(word, "a peer's number, `leader`, `follower` or `it`").map(PeerId)?),
    })
}

fn rate(thousandths: u64) -> Read<u32> {
    let rate = u32::try_from(thousandths).ok().filter(|rate| (100..=10_000).contains(rate));
    rate.ok_or_else(|| format!("{thousandths} is no rate: it is 100 to 10000 thousandths"))
}

fn range(word: &str) -> Read<RangeInclusive<u64>> {
    let wrong = || format!("`{word}` where a range like `50..=100` should be");
    let (start, end) = word.split_once("..=").ok_or_else(wrong)?;
    let range = number(start, "milliseconds")?..=number(end, "milliseconds")?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}
