//! Who breaks things in a storm: actors, peers, links, disks; and asks for what takes time.

use std::{cell::RefCell, rc::Rc};

use raft_actors::{
    Cluster,
    cluster::Crash,
    raft::{ActorKind, PeerId},
    transport::faults::{FaultGuard, Rule},
};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};

use super::{Books, Plan, Witness, chance, plan::pick};
use crate::common::ms;

const ACTORS: [ActorKind; 5] =
    [ActorKind::Role, ActorKind::Replicator, ActorKind::Timer, ActorKind::Storage, ActorKind::Machine];

/// What it waits for, to strike right then.
const MOMENTS: [&str; 14] = [
    "SyncBegun",
    "SyncBegun",
    "SyncBegun",
    "Synced",
    "Elected",
    "Campaigned",
    "TransferOrdered",
    "SnapshotBegun",
    "SnapshotTaken",
    "SnapshotSent",
    "SnapshotInstalled",
    "Replayed",
    "Restored",
    "Truncated",
];

pub struct Nemesis<I: Books> {
    cluster: Cluster<I>,
    witness: Witness,
    plan: Plan,
    rng: ChaCha8Rng,
    /// Faults in force, and after how many acts they heal.
    faults: Vec<(u64, FaultGuard)>,
    down: Rc<RefCell<Vec<PeerId>>>,
}

impl<I: Books> Nemesis<I> {
    pub fn new(cluster: Cluster<I>, witness: Witness, plan: Plan) -> Nemesis<I> {
        let rng = chance(plan.seed, 2);
        Nemesis { cluster, witness, plan, rng, faults: Vec::new(), down: Rc::default() }
    }

    /// Rages, and then heals everything.
    pub async fn rage(mut self) {
        for act in 0..self.plan.acts {
            self.faults.retain(|(until, _)| *until > act);
            let who = self.moment().await;
            self.act(act, who).await;
        }
        self.faults.clear();
        for peer in self.cluster.peers() {
            if let Some(disk) = self.cluster.disk(peer) {
                disk.set_sync_ms(1..=5);
                disk.resume();
                disk.set_full(false);
            }
            self.cluster.restart(peer).await;
        }
    }

    /// Waits for a while, or for something to happen; says to whom.
    async fn moment(&mut self) -> PeerId {
        let pause = ms(self.rng.random_range(0..=self.plan.pause_ms));
        let anybody = PeerId(self.rng.random_range(1..=self.plan.peers));
        if self.rng.random_bool(0.5) {
            sleep(pause).await;
            return anybody;
        }
        let moment = pick(&mut self.rng, &MOMENTS);
        timeout(ms(300), self.witness.next(moment)).await.unwrap_or(anybody)
    }

    async fn act(&mut self, act: u64, who: PeerId) {
        let rng = &mut self.rng;
        let until = act + rng.random_range(1..=4);
        match rng.random_range(0..100) {
            0..40 => self.crash(who),
            40..50 => self.kill(who).await,
            50..53 => self.kill_all().await,
            53..72 => {
                let rule = self.rule(who);
                let guard = self.cluster.fault(rule);
                self.faults.push((until, guard));
            }
            72..80 => {
                let sync_ms = pick(rng, &[0..=0, 1..=5, 1..=5, 20..=80, 100..=200]);
                if let Some(disk) = self.cluster.disk(who) {
                    disk.set_sync_ms(sync_ms);
                }
            }
            80..82 => self.hang(who),
            82..90 => {
                let target = Some(who).filter(|_| rng.random_bool(0.5));
                let cluster = self.cluster.clone();
                self.witness.watch("a transfer", async move { _ = cluster.transfer(target).await });
            }
            90..97 => {
                let cluster = self.cluster.clone();
                let witness = self.witness.clone();
                witness.watch("a snapshot", async move { _ = cluster.take_snapshot(who).await });
            }
            97..99 => self.fill(who),
            _ => self.faults.clear(),
        }
    }

    /// One actor, or several of one peer, or the same of all.
    fn crash(&mut self, who: PeerId) {
        let rng = &mut self.rng;
        let how = pick(rng, &[Crash::Panic, Crash::Stop]);
        match rng.random_range(0..10) {
            0..7 => self.cluster.crash_with(who, pick(rng, &ACTORS), how),
            7..9 => {
                for actor in ACTORS {
                    if rng.random_bool(0.5) {
                        self.cluster.crash_with(who, actor, how);
                    }
                }
            }
            _ => {
                let actor = pick(rng, &ACTORS);
                for peer in self.cluster.peers() {
                    self.cluster.crash_with(peer, actor, how);
                }
            }
        }
    }

    /// Cuts the power of one peer, as long as a majority stays, and gives it back after a while.
    async fn kill(&mut self, who: PeerId) {
        let down = self.down.borrow().len() as u64;
        let is_down = self.down.borrow().contains(&who);
        if is_down || (down + 1) * 2 > self.plan.peers && self.plan.peers > 1 {
            return;
        }
        self.down.borrow_mut().push(who);
        self.cluster.kill(who).await;
        let pause = ms(pick(&mut self.rng, &[0, 1, 30, 400, 2_000]));
        let (cluster, down) = (self.cluster.clone(), self.down.clone());
        self.witness.watch("a restart", async move {
            sleep(pause).await;
            cluster.restart(who).await;
            down.borrow_mut().retain(|&peer| peer != who);
        });
    }

    async fn kill_all(&mut self) {
        let mut peers = self.cluster.peers();
        for &peer in &peers {
            self.cluster.kill(peer).await;
        }
        sleep(ms(self.rng.random_range(0..=50))).await;
        peers.shuffle(&mut self.rng);
        for peer in peers {
            self.cluster.restart(peer).await;
        }
    }

    fn hang(&mut self, who: PeerId) {
        let Some(disk) = self.cluster.disk(who).cloned() else { return };
        disk.hang();
        let pause = ms(self.rng.random_range(1..=1_500));
        self.witness.watch("a hanging disk", async move {
            sleep(pause).await;
            disk.resume();
        });
    }

    /// Fills one disk, or all, for a while.
    fn fill(&mut self, who: PeerId) {
        let all = self.rng.random_bool(0.3);
        let peers = self.cluster.peers().into_iter().filter(|&peer| all || peer == who);
        let disks: Vec<_> = peers.filter_map(|peer| self.cluster.disk(peer).cloned()).collect();
        disks.iter().for_each(|disk| disk.set_full(true));
        let pause = ms(self.rng.random_range(1..=1_500));
        self.witness.watch("a full disk", async move {
            sleep(pause).await;
            disks.iter().for_each(|disk| disk.set_full(false));
        });
    }

    fn rule(&mut self, who: PeerId) -> Rule {
        let rng = &mut self.rng;
        let mut peers = self.cluster.peers();
        peers.shuffle(rng);
        let others: Vec<PeerId> = peers.iter().copied().filter(|&peer| peer != who).collect();
        let part = rng.random_range(0..peers.len());
        match rng.random_range(0..8) {
            0 => Rule::new().between([who], others).cut(),
            1 => Rule::new().from([who]).to(others).cut(),
            2 => Rule::new().from(others).to([who]).cut(),
            3 => Rule::new().between(&peers[..part], &peers[part..]).cut(),
            4 => Rule::new().loss(rng.random_range(0.0..0.2)),
            5 => Rule::new().duplicate(rng.random_range(0.0..0.5)),
            6 => Rule::new().reorder(rng.random_range(0.0..0.3), 1..=60),
            _ => Rule::new().delay_ms(0..=rng.random_range(1..=100)),
        }
    }
}
