//! The stage of a story: a simulated cluster that does what it is told, one command at a time, and
//! shows what happens meanwhile.

use std::{collections::BTreeMap, future::Future, sync::mpsc};

use goldenscript::{ArgumentConsumer, Command};
use raft_actors::{
    Client, Cluster, Config, Session,
    cluster::{Builder, Crash},
    error::ClientError,
    observe::Report,
    raft::{ActorKind, PeerId, RoleKind},
    transport::faults::{FaultGuard, Rule},
};
use tokio::task::JoinHandle;

use crate::{
    common::{Books, Cure, Ledger, LedgerActor, PATIENCE, Recording, Told, agree, ms},
    groups::Group,
    runner::{Answer, Cue},
    words::{commands, expect, number, of_ledger, of_numbers, of_proposals, of_status, range, rest, word},
};

/// What `start` said.
pub struct Plan {
    seed: u64,
    peers: usize,
    config: Config,
    latency_ms: Option<u64>,
    sync_ms: Option<u64>,
    actor: bool,
    allow_failures: bool,
}

impl Plan {
    /// Reads the arguments of `start`.
    pub fn read(command: &Command) -> Result<Plan, String> {
        let mut plan = Plan {
            seed: 1,
            peers: 3,
            config: Config::default(),
            latency_ms: None,
            sync_ms: None,
            actor: false,
            allow_failures: false,
        };
        let mut args = command.consume_args();
        while let Some(word) = args.next_pos() {
            match word {
                "allow-failures" => plan.allow_failures = true,
                _ => return Err(format!("`{word}` says nothing to `start`")),
            }
        }
        while let Some((key, value)) = args.next_key() {
            plan.set(key, value)?;
        }
        Ok(plan)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        match key {
            "seed" => self.seed = number(value)?,
            "peers" => self.peers = number(value)?,
            "latency" => self.latency_ms = Some(number(value)?),
            "sync" => self.sync_ms = Some(number(value)?),
            "machine" => self.actor = value == "actor",
            "election" => config.election_timeout_ms = range(value)?,
            "heartbeat" => config.heartbeat_ms = number(value)?,
            "pre-vote" => config.pre_vote = value == "on",
            "silence" => config.replicator_silence_ms = number(value)?,
            "inbox" => config.inbox_entries_max = number(value)?,
            "uncommitted" => config.uncommitted_entries_max = number(value)?,
            "snapshot-entries" => config.snapshot_entries = number(value)?,
            "chunk" => config.snapshot_chunk_bytes = number(value)?,
            "trail" => config.trail_entries = number(value)?,
            "sessions" => config.sessions_max = number(value)?,
            "restarts" => config.restarts_max = number(value)?,
            "deadline" => config.deadline_ms = number(value)?,
            "batch" => config.batch_entries_max = number(value)?,
            _ => return Err(format!("`{key}` is nothing to start with")),
        }
        Ok(())
    }

    fn run<I: Books>(self, builder: Builder<I>, cure: Cure, cues: mpsc::Receiver<Cue>) -> Result<(), String> {
        let recording = Recording::default();
        let mut builder = builder.peers(self.peers).config(self.config).observe(recording.clone());
        if let Some(ms) = self.latency_ms {
            builder = builder.latency_ms(ms..=ms);
        }
        if let Some(ms) = self.sync_ms {
            builder = builder.sync_ms(ms..=ms);
        }
        if self.allow_failures {
            builder = builder.allow_failures();
        }
        let script = async |cluster| Stage::new(cluster, recording, cure).play(cues).await;
        builder.simulate(self.seed, script).map_err(|error| error.to_string())
    }
}

/// Plays a story until nobody gives cues any more.
pub fn play(plan: Plan, cues: mpsc::Receiver<Cue>) -> Result<(), String> {
    let cure = Cure::default();
    let of_machine = cure.clone();
    match plan.actor {
        false => plan.run(Cluster::of(move |_| Ledger::with(&of_machine)), cure, cues),
        true => plan.run(Cluster::of_actors(move |_| LedgerActor::with(&of_machine)), cure, cues),
    }
}

/// What goes on in the background of a story.
enum Background {
    Proposals(Vec<(u64, JoinHandle<Result<u64, ClientError>>)>),
    Query(JoinHandle<Result<Vec<u64>, ClientError>>),
    Transfer(JoinHandle<String>),
}

struct Stage<I: Books> {
    cluster: Cluster<I>,
    client: Client<I>,
    recording: Recording,
    cure: Cure,
    shown: Vec<Group>,
    names: BTreeMap<String, PeerId>,
    sessions: BTreeMap<String, Session<I>>,
    background: BTreeMap<String, Background>,
    faults: Vec<FaultGuard>,
    /// Everything that clients were told.
    told: Vec<Told>,
}

impl<I: Books> Stage<I> {
    fn new(cluster: Cluster<I>, recording: Recording, cure: Cure) -> Stage<I> {
        Stage {
            client: cluster.client(),
            cluster,
            recording,
            cure,
            shown: vec![Group::Roles, Group::Crashes],
            names: BTreeMap::new(),
            sessions: BTreeMap::new(),
            background: BTreeMap::new(),
            faults: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Waits for cues without letting go of the thread: time stands still between commands.
    async fn play(mut self, cues: mpsc::Receiver<Cue>) {
        while let Ok((command, answer)) = cues.recv() {
            let said = self.perform(&command).await;
            let mut lines: String =
                self.recording.take().iter().filter_map(|report| self.shows(report)).collect();
            let _ = answer.send(said.map(|said| {
                lines.push_str(&said);
                lines
            }));
        }
    }

    fn shows(&self, report: &Report) -> Option<String> {
        self.shown.contains(&Group::of(&report.event)).then(|| format!("{report}\n"))
    }

    async fn perform(&mut self, command: &Command) -> Answer {
        let mut args = command.consume_args();
        let said = match command.name.as_str() {
            "show" | "name" | "until" | "run" | "elect" | "settle" => self.watch(command, &mut args).await?,
            "propose" | "begin" | "begin-query" | "begin-transfer" | "await" | "session" | "query"
            | "transfer" => self.ask(command, &mut args).await?,
            "crash" | "kill" | "restart" | "stop" | "disk" | "cure" => {
                self.break_something(command, &mut args).await?
            }
            "isolate" | "partition" | "cut" | "fault" | "heal" => self.disturb(command, &mut args)?,
            "snapshot" | "status" | "check" | "failures" => self.look(command, &mut args).await?,
            name => return Err(format!("`{name}` is no command")),
        };
        args.reject_next().map_err(|error| error.to_string())?;
        Ok(said)
    }

    /// Commands that wait and watch.
    async fn watch(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        match command.name.as_str() {
            "show" => self.shown = rest(args).into_iter().map(Group::read).collect::<Result<_, _>>()?,
            "name" => {
                while let Some((name, peer)) = args.next_key() {
                    let peer = self.peer(peer)?;
                    self.names.insert(name.to_string(), peer);
                }
            }
            "run" => {
                let time = word(args)?;
                let time = time.strip_suffix("ms").ok_or("time is given in ms")?;
                self.cluster.run_for(ms(number(time)?)).await;
            }
            "elect" => {
                let leader = self.cluster.wait_for_leader(PATIENCE).await.ok_or("nobody was elected")?;
                return Ok(format!("-> peer {leader} leads\n"));
            }
            "settle" => {
                if !self.cluster.wait_until_caught_up(PATIENCE).await {
                    return Err("the peers did not catch up".to_string());
                }
            }
            _ => return self.until(args).await,
        }
        Ok(String::new())
    }

    async fn until(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let peer = self.peer(word(args)?)?;
        expect(args, "is")?;
        let state = word(args)?;
        let cluster = self.cluster.clone();
        let came = match RoleKind::from_name(state) {
            Some(role) => {
                let holds = || cluster.status(peer).is_some_and(|status| status.role == Some(role));
                cluster.wait_until(PATIENCE, holds).await
            }
            None if state == "syncing" => {
                let disk = cluster.disk(peer).ok_or("no such peer")?;
                cluster.wait_until(PATIENCE, || disk.is_syncing()).await
            }
            None => return Err(format!("`{state}` is nothing that a peer can be")),
        };
        if came { Ok(String::new()) } else { Err(format!("peer {peer} never was {state}")) }
    }

    /// What clients ask.
    async fn ask(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        match command.name.as_str() {
            "propose" => self.propose(args).await,
            "begin" => self.begin(args),
            "await" => self.finish(word(args)?).await,
            "session" => self.open_session(args).await,
            "query" => {
                let ledger = match args.take_key("of") {
                    Some(peer) => self.client.query_local(self.peer(peer)?, &()).await,
                    None => self.client.query(&()).await,
                };
                Ok(format!("-> {}\n", of_ledger(&ledger)))
            }
            "begin-query" => {
                let (name, client) = (word(args)?.to_string(), self.client_with_deadline(args)?);
                let query = tokio::spawn(async move { client.query(&()).await });
                self.background.insert(name, Background::Query(query));
                Ok(String::new())
            }
            _ => self.transfer(command, args).await,
        }
    }

    async fn transfer(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        let name = (command.name == "begin-transfer").then(|| word(args)).transpose()?;
        let target = args.take_key("to").map(|peer| self.peer(peer)).transpose()?;
        let cluster = self.cluster.clone();
        let transfer = async move {
            match cluster.transfer(target).await {
                Ok(()) => "-> handed over\n".to_string(),
                Err(error) => format!("-> {error:?}: {error}\n"),
            }
        };
        match name {
            None => Ok(transfer.await),
            Some(name) => {
                self.background.insert(name.to_string(), Background::Transfer(tokio::spawn(transfer)));
                Ok(String::new())
            }
        }
    }

    fn client_with_deadline(&self, args: &mut ArgumentConsumer<'_>) -> Result<Client<I>, String> {
        Ok(match args.take_key("deadline") {
            Some(deadline) => self.client.clone().with_deadline(ms(number(deadline)?)),
            None => self.client.clone(),
        })
    }

    async fn propose(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let session = args.take_key("session");
        let client = self.client_with_deadline(args)?;
        let mut said = Vec::new();
        for number in commands(args)? {
            let outcome = match session {
                Some(session) => self.session(session)?.propose(&number).await,
                None => client.propose(&number).await,
            };
            said.push((number, outcome.clone()));
            self.told.push(Told { number, outcome, by_session: session.is_some() });
        }
        Ok(of_proposals(&said))
    }

    fn begin(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let name = word(args)?.to_string();
        let session = args.take_key("session").map(str::to_string);
        let client = self.client_with_deadline(args)?;
        let mut proposals = Vec::new();
        for number in commands(args)? {
            let proposal = match &session {
                Some(session) => {
                    // A place in the window is free: stories do not fill it.
                    let submitted = futures_now(self.session(session)?.submit(&number))?;
                    tokio::spawn(async move { submitted?.await })
                }
                None => {
                    let client = client.clone();
                    let mut proposed = Box::pin(async move { client.propose(&number).await });
                    // Sent where it is said, like that of a session: before anything that begins later.
                    let told = futures_now(proposed.as_mut()).ok();
                    tokio::spawn(async move {
                        match told {
                            Some(told) => told,
                            None => proposed.await,
                        }
                    })
                }
            };
            proposals.push((number, proposal));
        }
        self.background.insert(name, Background::Proposals(proposals));
        Ok(String::new())
    }

    async fn finish(&mut self, name: &str) -> Answer {
        let background = self.background.remove(name).ok_or(format!("nothing was begun as `{name}`"))?;
        match background {
            Background::Proposals(proposals) => {
                let mut said = Vec::new();
                for (number, proposal) in proposals {
                    let outcome = proposal.await.map_err(|error| error.to_string())?;
                    said.push((number, outcome.clone()));
                    self.told.push(Told { number, outcome, by_session: false });
                }
                Ok(of_proposals(&said))
            }
            Background::Query(query) => {
                Ok(format!("-> {}\n", of_ledger(&query.await.map_err(|error| error.to_string())?)))
            }
            Background::Transfer(transfer) => transfer.await.map_err(|error| error.to_string()),
        }
    }

    async fn open_session(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let name = word(args)?;
        // Ids are random by default; a story repeats itself.
        let id = match args.take_key("resume") {
            Some(other) => self.session(other)?.id(),
            None => name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)),
        };
        let session = self.client.resume_session(id).await.map_err(|error| error.to_string())?;
        let applied = session.resumed_at();
        self.sessions.insert(name.to_string(), session);
        Ok(format!("-> session {name}: {applied} applied\n"))
    }

    fn session(&self, name: &str) -> Result<&Session<I>, String> {
        self.sessions.get(name).ok_or(format!("no session `{name}`"))
    }

    /// Crashes, kills and disks.
    async fn break_something(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        match command.name.as_str() {
            "crash" => {
                let kind = word(args)?;
                let actor = ActorKind::from_name(kind).ok_or(format!("`{kind}` is no actor"))?;
                expect(args, "on")?;
                let how = if args.take_key("how") == Some("stop") { Crash::Stop } else { Crash::Panic };
                self.cluster.crash_with(self.peer(word(args)?)?, actor, how);
            }
            "disk" => {
                let peer = self.peer(word(args)?)?;
                let disk = self.cluster.disk(peer).ok_or("no such peer")?;
                if let Some(slow) = args.take_key("slow") {
                    disk.set_sync_ms(number(slow)?..=number(slow)?);
                } else {
                    match word(args)? {
                        "hang" => disk.hang(),
                        "resume" => disk.resume(),
                        "wipe" => disk.wipe(),
                        "fill" => disk.set_full(true),
                        "empty" => disk.set_full(false),
                        "fail" => disk.fail_next_write(),
                        "repair" => disk.repair(),
                        other => return Err(format!("a disk can't {other}")),
                    }
                }
            }
            "cure" => self.cure.release(),
            what => {
                for peer in rest(args) {
                    let peer = self.peer(peer)?;
                    match what {
                        "kill" => self.cluster.kill(peer).await,
                        "restart" => self.cluster.restart(peer).await,
                        _ => self.cluster.stop(peer).await,
                    }
                }
            }
        }
        Ok(String::new())
    }

    /// Faults of the network.
    fn disturb(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        let guard = match command.name.as_str() {
            "heal" => {
                self.faults.clear();
                return Ok(String::new());
            }
            "isolate" => self.cluster.isolate(self.peer(word(args)?)?),
            "fault" => {
                let rule: Rule = word(args)?.parse().map_err(|error| format!("{error}"))?;
                self.cluster.fault(rule)
            }
            what => {
                let between = if what == "cut" { "to" } else { "from" };
                let words = rest(args);
                let sides: Vec<_> = words.split(|&word| word == between).collect();
                let [one, other] = sides.as_slice() else {
                    return Err(format!("`{between}` stands between two sides"));
                };
                let (one, other) = (self.side(one, other)?, self.side(other, one)?);
                match what {
                    "cut" => self.cluster.fault(Rule::new().cut().from(one).to(other)),
                    _ => self.cluster.partition(one, other),
                }
            }
        };
        self.faults.push(guard);
        Ok(String::new())
    }

    /// What a spectator can find out.
    async fn look(&mut self, command: &Command, args: &mut ArgumentConsumer<'_>) -> Answer {
        match command.name.as_str() {
            "snapshot" => {
                expect(args, "of")?;
                let taken = self.cluster.take_snapshot(self.peer(word(args)?)?).await;
                Ok(taken
                    .map_or("-> no snapshot\n".to_string(), |index| format!("-> a snapshot up to {index}\n")))
            }
            "check" => {
                let ledger = agree(&self.cluster, &self.told).await;
                Ok(format!("-> all ledgers hold {}\n", of_numbers(&ledger)))
            }
            "failures" => {
                Ok(self.cluster.failures().iter().map(|failure| format!("-> {failure}\n")).collect())
            }
            _ => Ok(self.cluster.statuses().iter().map(of_status).collect()),
        }
    }

    /// The peers of one side; `rest` is everybody who is not on the other.
    fn side(&self, side: &[&str], other: &[&str]) -> Result<Vec<PeerId>, String> {
        if side != ["rest"] {
            return side.iter().map(|peer| self.peer(peer)).collect();
        }
        let other = self.side(other, &[])?;
        Ok(self.cluster.peers().into_iter().filter(|peer| !other.contains(peer)).collect())
    }

    fn peer(&self, word: &str) -> Result<PeerId, String> {
        let follower =
            |status: &raft_actors::actor::gauges::PeerStatus| status.role == Some(RoleKind::Follower);
        match word {
            "leader" => self.cluster.leader().ok_or("nobody leads".to_string()),
            "follower" => {
                let first = self.cluster.statuses().into_iter().find(follower);
                Ok(first.ok_or("nobody follows")?.peer)
            }
            word => match self.names.get(word) {
                Some(&peer) => Ok(peer),
                None => Ok(PeerId(number(word)?)),
            },
        }
    }
}

/// The value of a future that does not have to wait.
fn futures_now<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Ok(value),
        std::task::Poll::Pending => Err("it has to wait".to_string()),
    }
}
