//! A fault rule: which messages it is about, and what becomes of them.
//!
//! A rule is data, not code: it can be printed, read back, shown in a trace, typed on a command
//! line. It names messages by sender, receiver and kind; what it does not name it is about all of.
//! It has any number of effects, and without any it changes nothing.
//!
//! ```
//! use raft_actors::{raft::MessageKind, transport::faults::Rule};
//!
//! let rule = Rule::new().loss(0.1).from(1).to([2, 3]).kind(MessageKind::Heartbeat);
//! assert_eq!(rule.to_string(), "loss 0.1 from=1 to=2,3 kind=heartbeat");
//! assert_eq!("loss 0.1 from=1 to=2,3 kind=heartbeat".parse(), Ok(rule));
//! ```

use std::{fmt, ops::RangeInclusive, str::FromStr};

use crate::raft::{MessageKind, PeerId};

/// The longest delay a rule may add, in milliseconds: a day. It keeps every deadline in the range of
/// the clock.
pub const DELAY_MS_MAX: u64 = 86_400_000;

/// How an empty list is written, so that every rule can be read back.
const NONE: &str = "none";

/// Some peers: one, or a list of them in any order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peers(
    /// Sorted and without repeats, so that equal sets are equal and print the same.
    Vec<PeerId>,
);

impl Peers {
    /// They, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = PeerId> {
        self.0.iter().copied()
    }

    fn contains(&self, peer: PeerId) -> bool {
        self.0.binary_search(&peer).is_ok()
    }
}

impl<P: Into<PeerId>> FromIterator<P> for Peers {
    fn from_iter<I: IntoIterator<Item = P>>(peers: I) -> Peers {
        let mut peers: Vec<PeerId> = peers.into_iter().map(Into::into).collect();
        peers.sort_unstable();
        peers.dedup();
        Peers(peers)
    }
}

impl From<u64> for Peers {
    fn from(peer: u64) -> Peers {
        Peers(vec![PeerId(peer)])
    }
}

impl From<PeerId> for Peers {
    fn from(peer: PeerId) -> Peers {
        Peers(vec![peer])
    }
}

impl<P: Into<PeerId>, const N: usize> From<[P; N]> for Peers {
    fn from(peers: [P; N]) -> Peers {
        peers.into_iter().collect()
    }
}

impl<P: Into<PeerId>> From<Vec<P>> for Peers {
    fn from(peers: Vec<P>) -> Peers {
        peers.into_iter().collect()
    }
}

impl From<&[PeerId]> for Peers {
    fn from(peers: &[PeerId]) -> Peers {
        peers.iter().copied().collect()
    }
}

/// `1,2,3`.
impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, &self.0)
    }
}

/// What becomes of the messages that a rule is about.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Effect {
    /// None arrives.
    Cut,
    /// Each is lost with this probability.
    Loss(f64),
    /// Each takes this much longer, drawn anew, in milliseconds.
    Delay(RangeInclusive<u64>),
    /// Each arrives a second time with this probability.
    Duplicate(f64),
    /// Each takes this much longer with this probability: later ones overtake it.
    Reorder(f64, RangeInclusive<u64>),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Cut => f.write_str("cut"),
            Effect::Loss(chance) => write!(f, "loss {chance}"),
            Effect::Delay(ms) => write!(f, "delay {}..={}", ms.start(), ms.end()),
            Effect::Duplicate(chance) => write!(f, "duplicate {chance}"),
            Effect::Reorder(chance, ms) => write!(f, "reorder {chance} {}..={}", ms.start(), ms.end()),
        }
    }
}

/// A fault rule. Each filter narrows it down; said twice, the latter counts. Effects add up.
///
/// Put in force with [`Faults::begin`](super::faults::Faults::begin).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rule {
    effects: Vec<Effect>,
    from: Option<Peers>,
    to: Option<Peers>,
    between: Option<(Peers, Peers)>,
    /// Sorted and without repeats.
    kinds: Option<Vec<MessageKind>>,
}

impl Rule {
    /// A rule about every message, without any effect yet.
    pub fn new() -> Rule {
        Rule::default()
    }

    /// Only messages that these peers send.
    pub fn from(mut self, peers: impl Into<Peers>) -> Rule {
        self.from = Some(peers.into());
        self
    }

    /// Only messages that are sent to these peers.
    pub fn to(mut self, peers: impl Into<Peers>) -> Rule {
        self.to = Some(peers.into());
        self
    }

    /// Only messages from one side to the other, in both directions.
    pub fn between(mut self, a: impl Into<Peers>, b: impl Into<Peers>) -> Rule {
        self.between = Some((a.into(), b.into()));
        self
    }

    /// Only messages of this kind.
    pub fn kind(self, kind: MessageKind) -> Rule {
        self.kinds([kind])
    }

    /// Only messages of these kinds.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = MessageKind>) -> Rule {
        let mut kinds: Vec<MessageKind> = kinds.into_iter().collect();
        kinds.sort_unstable();
        kinds.dedup();
        self.kinds = Some(kinds);
        self
    }

    /// None of them arrives.
    pub fn cut(self) -> Rule {
        self.with(Effect::Cut)
    }

    /// Each of them is lost with this probability.
    ///
    /// # Panics
    /// The probability is not in `0.0..=1.0`.
    pub fn loss(self, probability: f64) -> Rule {
        self.with(Effect::Loss(probability))
    }

    /// Each of them takes this much longer, drawn anew for each. Where the range has more than one
    /// value, one message may overtake another; those with equal delays keep their order.
    ///
    /// # Panics
    /// The range is empty or goes beyond [`DELAY_MS_MAX`].
    pub fn delay_ms(self, ms: RangeInclusive<u64>) -> Rule {
        self.with(Effect::Delay(ms))
    }

    /// Each of them arrives a second time with this probability. The copy has delays of its own.
    ///
    /// # Panics
    /// The probability is not in `0.0..=1.0`.
    pub fn duplicate(self, probability: f64) -> Rule {
        self.with(Effect::Duplicate(probability))
    }

    /// Each of them takes this much longer with this probability, so that later ones overtake it.
    ///
    /// # Panics
    /// The probability is not in `0.0..=1.0`, or the range is empty or goes beyond [`DELAY_MS_MAX`].
    pub fn reorder(self, probability: f64, extra_ms: RangeInclusive<u64>) -> Rule {
        self.with(Effect::Reorder(probability, extra_ms))
    }

    /// A number out of range in a program is a bug of that program; in a text it is a [`RuleError`].
    fn with(mut self, effect: Effect) -> Rule {
        let checked = check(&effect);
        assert!(checked.is_ok(), "{effect}: {}", checked.err().unwrap_or_default());
        self.effects.push(effect);
        self
    }

    /// Whether it is about messages of this kind on this link.
    pub fn is_about(&self, from: PeerId, to: PeerId, kind: MessageKind) -> bool {
        self.from.as_ref().is_none_or(|peers| peers.contains(from))
            && self.to.as_ref().is_none_or(|peers| peers.contains(to))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && self.between.as_ref().is_none_or(|(a, b)| {
                (a.contains(from) && b.contains(to)) || (b.contains(from) && a.contains(to))
            })
    }

    pub(super) fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

fn check(effect: &Effect) -> Result<(), &'static str> {
    let (chance, ms) = match effect {
        Effect::Cut => (None, None),
        Effect::Loss(chance) | Effect::Duplicate(chance) => (Some(chance), None),
        Effect::Delay(ms) => (None, Some(ms)),
        Effect::Reorder(chance, ms) => (Some(chance), Some(ms)),
    };
    // `contains` also refuses a NaN.
    if chance.is_some_and(|chance| !(0.0..=1.0).contains(chance)) {
        return Err("a probability lies in 0..=1");
    }
    if ms.is_some_and(|ms| ms.is_empty() || *ms.end() > DELAY_MS_MAX) {
        return Err("a delay is a range of milliseconds, not empty, up to a day");
    }
    Ok(())
}

/// `loss 0.1 delay 10..=50 from=1 to=2,3 between=1,2|3 kind=append-entries,heartbeat`: the effects in
/// order, `pass` if there are none, then the filters.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.effects.is_empty() {
            f.write_str("pass")?;
        }
        for (at, effect) in self.effects.iter().enumerate() {
            write!(f, "{}{effect}", if at > 0 { " " } else { "" })?;
        }
        if let Some(peers) = &self.from {
            write!(f, " from={peers}")?;
        }
        if let Some(peers) = &self.to {
            write!(f, " to={peers}")?;
        }
        if let Some((a, b)) = &self.between {
            write!(f, " between={a}|{b}")?;
        }
        if let Some(kinds) = &self.kinds {
            f.write_str(" kind=")?;
            list(f, kinds)?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    if items.is_empty() {
        return f.write_str(NONE);
    }
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
    }
    Ok(())
}

/// Why a text is not a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}; a rule reads like `cut from=1 to=2,3` or `loss 0.1 delay 10..=50 kind=heartbeat`")]
pub struct RuleError {
    what: String,
}

fn error(what: impl Into<String>) -> RuleError {
    RuleError { what: what.into() }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        let mut rule = Rule::new();
        let mut words = text.split_whitespace();
        let mut said = Vec::new();
        while let Some(word) = words.next() {
            if let Some((key, value)) = word.split_once('=') {
                if said.contains(&key) {
                    return Err(error(format!("`{key}=` is said twice")));
                }
                said.push(key);
                rule = rule.narrowed(key, value)?;
                continue;
            }
            let mut next = || words.next().ok_or_else(|| error(format!("`{word}` lacks a number")));
            let effect = match word {
                "pass" => continue,
                "cut" => Effect::Cut,
                "loss" => Effect::Loss(number(next()?)?),
                "delay" => Effect::Delay(range(next()?)?),
                "duplicate" => Effect::Duplicate(number(next()?)?),
                "reorder" => Effect::Reorder(number(next()?)?, range(next()?)?),
                _ => return Err(error(format!("`{word}` is no effect"))),
            };
            check(&effect).map_err(|what| error(format!("{effect}: {what}")))?;
            rule.effects.push(effect);
        }
        // A filter alone, or nothing, is more likely a slip than a wish; `pass` says it on purpose.
        if rule.effects.is_empty() && !text.split_whitespace().any(|word| word == "pass") {
            return Err(error("it has no effect"));
        }
        Ok(rule)
    }
}

impl Rule {
    fn narrowed(self, key: &str, value: &str) -> Result<Rule, RuleError> {
        match key {
            "from" => Ok(self.from(peers(value)?)),
            "to" => Ok(self.to(peers(value)?)),
            "between" => {
                let (a, b) = value
                    .split_once('|')
                    .ok_or_else(|| error(format!("`between={value}` lacks a `|` between its two sides")))?;
                Ok(self.between(peers(a)?, peers(b)?))
            }
            "kind" => {
                let kind = |name| {
                    MessageKind::from_name(name).ok_or_else(|| error(format!("`{name}` is no message kind")))
                };
                Ok(self.kinds(items(value).map(kind).collect::<Result<Vec<_>, _>>()?))
            }
            _ => Err(error(format!("`{key}=` is no filter"))),
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(move |_| text != NONE)
}

fn peers(text: &str) -> Result<Peers, RuleError> {
    items(text).map(number::<u64>).collect()
}

fn number<N: FromStr>(text: &str) -> Result<N, RuleError> {
    text.parse().map_err(|_| error(format!("`{text}` is no number that fits here")))
}

/// `10..=50`, or `10` for `10..=10`.
fn range(text: &str) -> Result<RangeInclusive<u64>, RuleError> {
    let (start, end) = text.split_once("..=").unwrap_or((text, text));
    Ok(number(start)?..=number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(rule: &Rule, from: u64, to: u64, kind: MessageKind) -> bool {
        rule.is_about(PeerId(from), PeerId(to), kind)
    }

    #[test]
    fn every_rule_reads_back_from_its_text() {
        let rules = [
            (Rule::new(), "pass"),
            (Rule::new().cut(), "cut"),
            (Rule::new().cut().from(1).to([3, 2, 3]), "cut from=1 to=2,3"),
            (
                Rule::new().loss(0.1).kinds([MessageKind::Heartbeat, MessageKind::AppendEntries]),
                "loss 0.1 kind=append-entries,heartbeat",
            ),
            (Rule::new().delay_ms(10..=50).from(PeerId(1)), "delay 10..=50 from=1"),
            (Rule::new().between([1, 2], vec![3u64]).duplicate(1.0), "duplicate 1 between=1,2|3"),
            (Rule::new().reorder(0.25, 5..=20).loss(0.0), "reorder 0.25 5..=20 loss 0"),
            (Rule::new().from(&[] as &[PeerId]).kinds([]), "pass from=none kind=none"),
            (Rule::new().loss(1e-9), "loss 0.000000001"),
        ];
        for (rule, text) in rules {
            assert_eq!(rule.to_string(), text);
            assert_eq!(text.parse(), Ok(rule), "{text}");
        }
        for kind in MessageKind::ALL {
            let rule = Rule::new().cut().kind(*kind);
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }

    #[test]
    fn the_order_of_words_is_free_and_one_number_is_a_range() {
        assert_eq!("to=2 delay 7 from=1".parse(), Ok(Rule::new().delay_ms(7..=7).from(1).to(2)));
    }

    #[test]
    fn a_text_that_is_no_rule_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "it has no effect"),
            ("from=1", "it has no effect"),
            ("cat", "`cat` is no effect"),
            ("loss", "`loss` lacks a number"),
            ("loss 1.5", "a probability lies in 0..=1"),
            ("loss NaN", "a probability lies in 0..=1"),
            ("duplicate -0.1", "a probability lies in 0..=1"),
            ("delay 5..=4", "not empty"),
            ("delay 86400001", "up to a day"),
            ("delay -1", "`-1` is no number that fits here"),
            ("reorder 0.5", "`reorder` lacks a number"),
            ("cut from=", "`` is no number"),
            ("cut from=1,x", "`x` is no number"),
            ("cut from=1 from=2", "`from=` is said twice"),
            ("cut between=1", "lacks a `|`"),
            ("cut kind=heartbeats", "`heartbeats` is no message kind"),
            ("cut via=1", "`via=` is no filter"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    #[should_panic(expected = "a probability lies in 0..=1")]
    fn a_probability_out_of_range_is_a_bug_of_the_caller() {
        let _ = Rule::new().loss(10.0);
    }

    #[test]
    fn filters_narrow_a_rule_down() {
        use MessageKind::{Heartbeat, Voted};
        assert!(about(&Rule::new(), 1, 2, Voted));

        let rule = Rule::new().from([1, 2]).to(3);
        assert!(about(&rule, 2, 3, Voted));
        assert!(!about(&rule, 3, 2, Voted));
        assert!(!about(&rule, 1, 2, Voted));

        let rule = Rule::new().between([1, 2], 3).kind(Heartbeat);
        assert!(about(&rule, 1, 3, Heartbeat));
        assert!(about(&rule, 3, 2, Heartbeat));
        assert!(!about(&rule, 1, 2, Heartbeat));
        assert!(!about(&rule, 1, 3, Voted));

        assert!(!about(&Rule::new().kinds([]), 1, 2, Voted));
    }
}
