//! Who does what a script says, when it says so.
//!
//! Each step is a task of its own, on the cluster's own time: it begins its fault, and ends it. When the last has
//! ended nothing is broken any more that the nemesis broke.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio::{
    sync::oneshot,
    task::spawn_local,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    evidence::Evidence,
    fault::{Fault, FaultKind, Who},
    plan::{Part, Plan, chance},
    script::{Moment, Step},
};
use crate::{
    cluster::Cluster,
    machine::Interface,
    observe::{Observer, Report},
    raft::{ActorKind, PeerId, RoleKind},
    storage::Tail,
};

/// How long is waited for somebody to whom something can be done.
const SEARCH: Duration = Duration::from_secs(3);

/// What of a peer can fall, stand still, or be slow.
const ACTORS: [ActorKind; 5] =
    [ActorKind::Role, ActorKind::Replicator, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine];

/// The rate of a clock that is right, in thousandths.
const RIGHT: u32 = 1_000;

/// Rings when something happens that somebody waits for. Clones are the same bell.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<Mutex<Vec<Waiting>>>);

struct Waiting {
    event: &'static str,
    of: Option<PeerId>,
    tell: oneshot::Sender<PeerId>,
}

impl Bell {
    /// Whose the next such event was. `None`: there was none in time.
    async fn next(&self, moment: &Moment) -> Option<PeerId> {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { event: moment.event, of: moment.of, tell };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        timeout(Duration::from_millis(moment.within_ms), told).await.ok()?.ok()
    }
}

impl Observer for Bell {
    fn observe(&mut self, report: &Report) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let name = report.event.name();
        let is_it = |it: &mut Waiting| it.event == name && it.of.is_none_or(|of| of == report.peer);
        for it in waiting.extract_if(.., is_it) {
            // It may have waited for too long.
            let _ = it.tell.send(report.peer);
        }
    }
}

/// Does what a script says.
pub(super) struct Nemesis<I: Interface> {
    cluster: Cluster<I>,
    plan: Plan,
    evidence: Evidence,
    bell: Bell,
    down: RefCell<BTreeSet<PeerId>>,
    rng: RefCell<ChaCha8Rng>,
}

impl<I: Interface> Nemesis<I> {
    pub fn new(cluster: Cluster<I>, seed: u64, plan: Plan, evidence: Evidence, bell: Bell) -> Rc<Nemesis<I>> {
        let rng = RefCell::new(chance(seed, Part::Nemesis as u64));
        Rc::new(Nemesis { cluster, plan, evidence, bell, down: RefCell::default(), rng })
    }

    /// Does all of it, for `chaos` at least; then everything is whole again. Returns what went wrong with it.
    pub async fn rage(self: Rc<Self>, chaos: Duration) -> Vec<String> {
        let begun = Instant::now();
        let begin = |step: &Step| {
            let (nemesis, step) = (self.clone(), step.clone());
            spawn_local(async move {
                sleep_until(begun + Duration::from_millis(step.at_ms)).await;
                nemesis.take(step).await;
            })
        };
        let steps: Vec<_> = self.plan.script.steps.iter().map(begin).collect();
        sleep_until(begun + chaos).await;
        let mut wrong = Vec::new();
        for step in steps {
            wrong.extend(step.await.err().map(|error| format!("Nemesis: a step fell: {error}")));
        }
        self.heal().await;
        wrong
    }

    /// What a step left, if it was cut short, or two of them overlapped.
    async fn heal(&self) {
        for peer in self.cluster.peers() {
            self.cluster.set_clock_rate(peer, RIGHT);
            if let Some(disk) = self.cluster.disk(peer) {
                disk.set_sync_ms(self.plan.sync_ms.clone());
                disk.resume();
                disk.set_full(false);
                disk.repair();
                disk.set_tail(Tail::Seeded);
            }
            self.cluster.restart(peer).await;
        }
    }

    async fn take(&self, step: Step) {
        let it = match &step.on {
            Some(moment) => self.bell.next(moment).await,
            None => None,
        };
        let named = step.fault.who();
        let who = match named {
            Some(named) => self.find(named, it).await,
            None => None,
        };
        let length = Duration::from_millis(step.for_ms);
        match who {
            None if named.is_none() => self.to_all(&step.fault, length).await,
            None => {}
            Some(who) => self.to_one(&step.fault, who, length).await,
        }
    }

    /// The peer that is meant, once there is one.
    async fn find(&self, who: Who, it: Option<PeerId>) -> Option<PeerId> {
        let found = || match who {
            Who::Peer(peer) => Some(peer),
            Who::It => it,
            Who::Leader => self.cluster.leader(),
            Who::Follower => {
                let statuses = self.cluster.statuses();
                let follower = statuses.iter().find(|status| status.role == Some(RoleKind::Follower));
                follower.map(|status| status.peer)
            }
        };
        self.cluster.wait_until(SEARCH, || found().is_some()).await;
        found()
    }

    async fn to_all(&self, fault: &Fault, length: Duration) {
        let rules = fault.rules(&self.cluster.peers(), None);
        let id = self.evidence.begin(fault, None, &rules);
        match fault {
            Fault::Blackout => self.blackout(id, length).await,
            Fault::Transfer(_) => self.transfer(None).await,
            _ => {
                let guards: Vec<_> = rules.into_iter().map(|rule| self.cluster.fault(rule)).collect();
                sleep(length).await;
                drop(guards);
                self.evidence.end(id);
            }
        }
    }

    async fn to_one(&self, fault: &Fault, who: PeerId, length: Duration) {
        if let Fault::Kill(_, tail) = fault {
            return self.kill(fault, who, *tail, length).await;
        }
        if let Fault::FailDisk(_) = fault {
            return self.fail_disk(fault, who, length).await;
        }
        let cluster = &self.cluster;
        let rules = fault.rules(&cluster.peers(), Some(who));
        let id = self.evidence.begin(fault, Some(who), &rules);
        let guards: Vec<_> = rules.into_iter().map(|rule| cluster.fault(rule)).collect();
        match fault {
            Fault::Crash(actor, _, how) => cluster.crash_with(who, *actor, *how),
            Fault::Transfer(_) => self.transfer(Some(who)).await,
            Fault::Snapshot(_) => {
                cluster.take_snapshot(who).await;
            }
            Fault::Stall(actor, _) => cluster.stall(who, *actor, length),
            Fault::Slow(actor, _, ms) => cluster.slow(who, *actor, Duration::from_millis(*ms)),
            Fault::Pause(_) => ACTORS.iter().for_each(|&actor| cluster.stall(who, actor, length)),
            Fault::Clock(_, rate) => {
                cluster.set_clock_rate(who, *rate);
                self.evidence.felt(id);
            }
            Fault::Lag(_) => {}
            _ => self.touch_disk(fault, who, id),
        }
        sleep(length).await;
        match fault {
            Fault::Slow(actor, ..) => cluster.slow(who, *actor, Duration::ZERO),
            Fault::Clock(..) => cluster.set_clock_rate(who, RIGHT),
            Fault::Lag(_) => return self.leave_behind(who).await,
            _ => self.heal_disk(fault, who),
        }
        drop(guards);
        if fault.kind() <= FaultKind::Reorder {
            self.evidence.end(id);
        }
    }

    async fn transfer(&self, target: Option<PeerId>) {
        let leader = self.find(Who::Leader, None).await;
        // Nobody may lead, or the target may not be fit: then it does not take place.
        let _ = self.cluster.transfer(target.filter(|_| target != leader)).await;
    }

    fn touch_disk(&self, fault: &Fault, who: PeerId, id: u64) {
        let Some(disk) = self.cluster.disk(who) else { return };
        match fault {
            Fault::SlowDisk(_, ms) => disk.set_sync_ms(ms.clone()),
            Fault::FullDisk(_) => disk.set_full(true),
            Fault::HangDisk(_) => {
                disk.hang();
                if disk.is_syncing() {
                    self.evidence.felt(id);
                }
            }
            _ => {}
        }
    }

    fn heal_disk(&self, fault: &Fault, who: PeerId) {
        let Some(disk) = self.cluster.disk(who) else { return };
        match fault {
            Fault::SlowDisk(..) => disk.set_sync_ms(self.plan.sync_ms.clone()),
            Fault::FullDisk(_) => disk.set_full(false),
            Fault::HangDisk(_) => disk.resume(),
            _ => {}
        }
    }

    /// The others forget the entries that `who` lacks: it can only be helped with a snapshot.
    async fn leave_behind(&self, who: PeerId) {
        for peer in self.cluster.peers().into_iter().filter(|&peer| peer != who) {
            let _ = timeout(Duration::from_secs(1), self.cluster.take_snapshot(peer)).await;
        }
    }

    /// Waits until it can be taken down without leaving less than a majority. `false`: it can't.
    async fn take_down(&self, who: PeerId) -> bool {
        let peers = self.cluster.peers().len();
        let is_free = || {
            let down = self.down.borrow();
            !down.contains(&who) && ((down.len() + 1) * 2 < peers || peers == 1)
        };
        self.cluster.wait_until(SEARCH, is_free).await && self.down.borrow_mut().insert(who)
    }

    async fn kill(&self, fault: &Fault, who: PeerId, tail: Tail, length: Duration) {
        let at_once = tail != Tail::Seeded;
        if !self.take_down(who).await {
            return;
        }
        self.evidence.begin(fault, Some(who), &[]);
        if let Some(disk) = self.cluster.disk(who) {
            // Whoever had to wait for its turn waits for a tail again.
            if at_once && !disk.is_syncing() {
                self.cluster.wait_until(SEARCH, || disk.is_syncing()).await;
            }
            disk.set_tail(tail);
        }
        self.cluster.kill(who).await;
        sleep(length).await;
        self.cluster.restart(who).await;
        self.down.borrow_mut().remove(&who);
    }

    async fn fail_disk(&self, fault: &Fault, who: PeerId, length: Duration) {
        if !self.take_down(who).await {
            return;
        }
        self.evidence.begin(fault, Some(who), &[]);
        if let Some(disk) = self.cluster.disk(who) {
            disk.fail_next_write();
            let has_stopped = || self.cluster.status(who).is_none_or(|status| status.stopped.is_some());
            self.cluster.wait_until(SEARCH, has_stopped).await;
            sleep(length).await;
            self.cluster.kill(who).await;
            disk.repair();
        }
        self.cluster.restart(who).await;
        self.down.borrow_mut().remove(&who);
    }

    async fn blackout(&self, id: u64, length: Duration) {
        let mut peers = self.cluster.peers();
        for &peer in &peers {
            self.cluster.kill(peer).await;
        }
        self.evidence.felt(id);
        sleep(length).await;
        peers.shuffle(&mut *self.rng.borrow_mut());
        for peer in peers {
            self.cluster.restart(peer).await;
        }
    }
}
