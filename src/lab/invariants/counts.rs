//! How much happened: what a run that is clean has to show for it.

use std::{
    collections::BTreeMap,
    mem::{Discriminant, discriminant},
};

use crate::raft::{ActorKind, Event};

/// How often something happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// All events.
    pub reports: u64,
    /// Elections that were won.
    pub elections: u64,
    /// How often a commit index moved up, on any peer.
    pub commits: u64,
    /// Actors that fell.
    pub crashes: u64,
    /// Power cuts.
    pub kills: u64,
    /// Power cuts while a sync was under way.
    pub kills_during_sync: u64,
    /// Actors that fell, by their kind; and how many of them while a sync of their peer was under way.
    pub crashes_of: BTreeMap<ActorKind, (u64, u64)>,
    /// Events by their name.
    pub events: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// How many events of this name there were.
    pub fn of(&self, event: &str) -> u64 {
        self.events.get(event).copied().unwrap_or_default()
    }

    /// Actors that fell while a sync of their peer was under way.
    pub fn crashes_during_sync(&self) -> u64 {
        self.crashes_of.values().map(|(_, during_sync)| during_sync).sum()
    }
}

/// Counts while it goes on. The event that comes often moves to the front: looking it up costs a step
/// or two, and the same run always does the same.
#[derive(Debug, Default)]
pub(super) struct Tally {
    reports: u64,
    events: Vec<(Discriminant<Event>, &'static str, u64)>,
    crashes_of: BTreeMap<ActorKind, (u64, u64)>,
    kills_during_sync: u64,
}

impl Tally {
    pub(super) fn add(&mut self, event: &Event) {
        self.reports += 1;
        match event {
            Event::Crashed { actor, during_sync, .. } => {
                let crashes = self.crashes_of.entry(*actor).or_default();
                crashes.0 += 1;
                crashes.1 += u64::from(*during_sync);
            }
            Event::Killed { during_sync: true, .. } => self.kills_during_sync += 1,
            _ => {}
        }
        let kind = discriminant(event);
        match self.events.iter_mut().position(|(known, ..)| *known == kind) {
            Some(place) => {
                if let Some((.., count)) = self.events.get_mut(place) {
                    *count += 1;
                }
                if place > 0 {
                    self.move_up(place);
                }
            }
            None => self.events.push((kind, event.name(), 1)),
        }
    }

    /// Past the one before it, if that one comes less often.
    fn move_up(&mut self, place: usize) {
        if let Some([before, this]) = self.events.get_mut(place - 1..=place)
            && this.2 > before.2
        {
            std::mem::swap(before, this);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            reports: self.reports,
            kills_during_sync: self.kills_during_sync,
            crashes_of: self.crashes_of.clone(),
            events: self.events.iter().map(|&(_, name, count)| (name, count)).collect(),
            ..Counts::default()
        };
        counts.elections = counts.of("Elected");
        counts.commits = counts.of("Committed");
        counts.crashes = counts.of("Crashed");
        counts.kills = counts.of("Killed");
        counts
    }
}
