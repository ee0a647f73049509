//! How a peer meets the others: it presents itself once its disk is open, says who of them it listens to,
//! and gives up when it is not listened to itself.

use std::{collections::BTreeSet, sync::Arc};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use super::{parts::Parts, peer::Peer};
use crate::{
    raft::{Event, Membership, PeerId, Reply, Why, quorum},
    storage::{Register, StorageError, Wait},
    transport::{Introduction, Objection, SessionLimits, digest},
};

/// Who a peer is, and whom it has met.
pub(super) struct Acquaintances {
    introduction: Introduction,
    register: Arc<dyn Register>,
    /// Who does not listen to this peer.
    turned_away_by: BTreeSet<PeerId>,
}

impl Acquaintances {
    /// Presents the peer, with the disk that it has open.
    pub fn introduce(parts: &Parts, register: Arc<dyn Register>) -> Acquaintances {
        let introduction = Introduction {
            cluster: parts.cluster.clone(),
            peer: parts.identity.id,
            first_membership: digest(&parts.identity.first_membership),
            incarnation: register.incarnation(),
            sessions: SessionLimits::of(&parts.identity.config),
        };
        parts.transport.introduce(introduction.clone());
        Acquaintances { introduction, register, turned_away_by: BTreeSet::new() }
    }
}

/// Another peer presents itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Meet {
    /// Who it says it is.
    pub theirs: Introduction,
    /// Whether it is to be listened to.
    pub verdict: Reply<Result<(), Objection>>,
}

/// Another peer does not listen to this one.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TurnedAwayBy {
    /// Who.
    pub peer: PeerId,
    /// Why not.
    pub objection: Objection,
}

impl Handler<Meet> for Peer {
    type Result = ();

    /// Who is met for the first time is remembered on the disk before it is listened to.
    fn handle(&mut self, meet: Meet, ctx: &mut Context<Self>) {
        let Some(own) = &self.acquaintances else { return };
        match own.introduction.meet(&meet.theirs, &*own.register) {
            Wait::Now(met) => self.met(meet, met, ctx),
            Wait::Later(met) => {
                ctx.spawn(met.into_actor(self).map(move |met, peer, ctx| peer.met(meet, met, ctx)));
            }
        }
    }
}

/// A peer that came back with another disk stops at once: whoever says so is of its own cluster. Of another
/// cluster anybody may be, also somebody who got lost: that one must not stop a peer that its own cluster
/// knows, so it takes so many that the others are no quorum.
fn must_stop(why: Why, turned_away_by: &BTreeSet<PeerId>, membership: &Membership) -> bool {
    why == Why::AnotherDisk || !quorum::agrees(membership, |peer| !turned_away_by.contains(&peer))
}

impl Handler<TurnedAwayBy> for Peer {
    type Result = ();

    /// Stops with the reason, or goes on with a warning.
    fn handle(&mut self, away: TurnedAwayBy, ctx: &mut Context<Self>) {
        let Some(own) = &mut self.acquaintances else { return };
        own.turned_away_by.insert(away.peer);
        let (why, by) = (away.objection.why(), own.turned_away_by.clone());
        let stops = must_stop(why, &by, &self.parts().identity.first_membership);
        let what = format!("peer {} does not listen to this one: {}", away.peer, away.objection);
        if !stops {
            return self.parts().witness.note(|| Event::Warned { what, why });
        }
        self.stop(what, why, ctx);
    }
}

impl Peer {
    fn met(&mut self, meet: Meet, met: Result<Result<(), Objection>, StorageError>, ctx: &mut Context<Self>) {
        let verdict = match met {
            Ok(verdict) => verdict,
            Err(error) => return self.stop(error.to_string(), Why::DiskFailed, ctx),
        };
        if let Err(objection) = &verdict {
            let (who, why) = (meet.theirs.peer, objection.why());
            let what = objection.to_string();
            self.parts().witness.note(|| Event::TurnedAway { who, what, why });
        }
        meet.verdict.send(verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_got_lost_stops_nobody() {
        let membership = Membership::of([1, 2, 3].map(PeerId));
        let stops = |why, by: &[u64]| must_stop(why, &by.iter().copied().map(PeerId).collect(), &membership);
        for why in [Why::AnotherCluster, Why::AnotherMembership, Why::SameId] {
            for (by, expected) in
                [(&[9][..], false), (&[2], false), (&[2, 9], false), (&[2, 3], true), (&[2, 3, 9], true)]
            {
                assert_eq!(stops(why, by), expected, "{why}, by {by:?}");
            }
        }
        assert!(stops(Why::AnotherDisk, &[2]), "who forgot what it promised does not wait for a second");
    }
}
