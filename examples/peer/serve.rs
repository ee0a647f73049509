//! `serve`: one peer of a cluster, from start to hand-over.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
    path::PathBuf,
    process,
    time::Duration,
};

use clap::Args;
use raft_actors::{
    Builder, Cluster,
    cluster::Network,
    error::ClusterError,
    machine::Kv,
    observe::{LogObserver, TraceFile},
    raft::PeerId,
};
use tokio::time::{sleep, timeout};

use super::{
    answer::{Failure, about, say},
    config::Settings,
    log::{Loudness, logger},
    reach::{Credentials, address, in_range},
    signals::Signals,
};

const EXAMPLES: &str = "\
Examples:
  peer serve --id 1 --peers 1=127.0.0.1:7001 --data data-1
  peer serve --id 1 --peers 1=127.0.0.1:0 --data data-1      any free port; standard output says which

Three peers, each in a terminal of its own (or on a machine of its own, with --tls-ca and its siblings):
  peer serve --id 1 --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 --data data-1
  peer serve --id 2 --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 --data data-2
  peer serve --id 3 --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 --data data-3

Behind TLS (`peer certs certs` makes certificates to try it with):
  peer serve --id 1 --peers 1=127.0.0.1:7001 --data data-1 \\
    --tls-ca certs/ca.pem --tls-cert certs/peer-1.pem --tls-key certs/peer-1.key

Prints one line, `listening on HOST:PORT`, once it listens. Ctrl-C and SIGTERM have it hand leadership over
and stop within 5 seconds; a second Ctrl-C ends it at once. Whatever ends it: what was acknowledged is in the
folder, and the same call goes on from there.

Exit code: 0 if it was told to stop; 1 if it stopped by itself, or could not start; 2 for a wrong call; 130
after a second Ctrl-C.";

/// How long a stop may take in all.
const STOP: Duration = Duration::from_millis(4_500);

/// How often it is seen whether the peer stopped by itself.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs a peer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Which of the peers this is
    #[arg(long, value_name = "ID", value_parser = in_range(1..=u64::MAX))]
    id: u64,
    /// All peers of the cluster, and where the others and the clients reach them. The same for each of them
    #[arg(long, value_name = "ID=HOST:PORT,...", value_delimiter = ',', required = true, value_parser = member)]
    peers: Vec<(u64, String)>,
    /// Where to listen, if that is not the peer's own address in --peers
    ///
    /// Port 0 is any free one. Without a host, as in `:7001`, it is 127.0.0.1; `0.0.0.0:7001` is all
    /// addresses of this machine.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// Where the peer keeps what it promised
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The name of the cluster [default: what the first --peers said; the folder remembers it]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Settings: a TOML file with the tables [raft] and [network]; `peer config` prints the defaults
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    #[command(flatten)]
    credentials: Credentials,
    /// Log one JSON object a line
    #[arg(long)]
    json_logs: bool,
    /// How much to log, on standard error
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Loudness::Info)]
    log_level: Loudness,
    /// Let clients cut the peer off and lay fault rules: `peer isolate`, `peer fault`
    #[arg(long)]
    allow_faults: bool,
    /// Write every event to FILE, one JSON object a line, in place of what is in it
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// Reads `1=HOST:PORT`.
fn member(text: &str) -> Result<(u64, String), String> {
    let (id, at) = text.split_once('=').ok_or("a peer is ID=HOST:PORT, as in 1=127.0.0.1:7001")?;
    let id = id
        .parse()
        .ok()
        .filter(|&id| id > 0)
        .ok_or_else(|| format!("`{id}` is no id of a peer: they begin at 1"))?;
    Ok((id, address(at)?))
}

impl Serve {
    /// What clap can't check by itself.
    fn members(&self) -> Result<BTreeMap<u64, String>, Failure> {
        let mut members = BTreeMap::new();
        for (id, at) in &self.peers {
            if members.insert(*id, at.clone()).is_some() {
                return Err(Failure::usage(format!("--peers names peer {id} twice")));
            }
        }
        if !members.contains_key(&self.id) {
            return Err(Failure::usage(format!("--id {0}: there is no peer {0} in --peers", self.id)));
        }
        if members.len() > 1
            && let Some((id, at)) = members.iter().find(|(_, at)| at.ends_with(":0"))
        {
            return Err(Failure::usage(format!(
                "--peers {id}={at}: the others could not know its port; only a peer that is alone may have any"
            )));
        }
        Ok(members)
    }

    fn builder(&self, members: BTreeMap<u64, String>) -> Result<Builder<Kv>, Failure> {
        let settings = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        let mut network = Network::new(members).here(self.id).limits(settings.network);
        if let Some(listen) = &self.listen {
            network = network.listen(self.id, listen);
        }
        if let Some(name) = &self.cluster {
            network = network.cluster(name);
        }
        if let Some(tls) = self.credentials.tls()? {
            network = network.tls(tls);
        }
        if self.credentials.plaintext {
            network = network.plaintext();
        }
        if self.allow_faults {
            network = network.allow_faults();
        }
        Ok(Cluster::of(|_| Kv::default()).network(network).data(&self.data).config(settings.raft))
    }
}

/// Runs the peer until it is told to stop, or stops by itself.
pub async fn serve(args: &Serve) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let members = args.members()?;
    let (log, _flushed_at_the_end) = logger(args.json_logs);
    let observer = LogObserver::new(log).with_level(args.log_level.level());
    let ids: Vec<_> = members.keys().copied().map(PeerId).collect();
    let mut builder = args.builder(members)?.observe(observer);
    let events = match &args.events {
        Some(path) => Some((path, TraceFile::create(path, None, ids).map_err(about(path))?)),
        None => None,
    };
    if let Some((_, trace)) = &events {
        builder = builder.observe(trace.clone());
    }
    let started = tokio::select! {
        started = builder.start() => started,
        () = signals.next() => return Ok(()),
    };
    let cluster = started.map_err(not_started)?;
    let trace = events.as_ref().map(|(_, trace)| trace);
    let ended = until_it_ends(&cluster, args.id.into(), signals, trace).await;
    if let Some((path, trace)) = events {
        trace.finish().map_err(about(path))?;
    }
    ended
}

fn not_started(error: ClusterError) -> Failure {
    match error {
        ClusterError::Config(_) | ClusterError::Peers(_) => Failure::usage(error.to_string()),
        error => Failure::failed(error.to_string()),
    }
}

async fn until_it_ends(
    cluster: &Cluster<Kv>,
    peer: PeerId,
    mut signals: Signals,
    trace: Option<&TraceFile>,
) -> Result<(), Failure> {
    if let Some(address) = cluster.local_addr(peer) {
        let mut out = stdout();
        // Whoever started it may not care.
        let _ = writeln!(out, "listening on {address}").and_then(|()| out.flush());
    }
    let stopped = tokio::select! {
        stopped = until_stopped(cluster, peer, trace) => Some(stopped),
        () = signals.next() => None,
    };
    tokio::spawn(async move {
        signals.next().await;
        process::exit(130);
    });
    stop(cluster, peer).await;
    match stopped {
        Some(why) => Err(Failure::failed(format!("peer {peer} stopped: {why}"))),
        None => Ok(()),
    }
}

/// Ends when the peer has stopped by itself, and says why.
async fn until_stopped(cluster: &Cluster<Kv>, peer: PeerId, trace: Option<&TraceFile>) -> String {
    loop {
        if let Some(stopped) = cluster.status(peer).and_then(|status| status.stopped) {
            return stopped.to_string();
        }
        trace.into_iter().for_each(TraceFile::flush);
        sleep(GLANCE).await;
    }
}

/// Hands over, finishes, stops: or has tried to for long enough.
async fn stop(cluster: &Cluster<Kv>, peer: PeerId) {
    let stopping = async {
        cluster.stop(peer).await;
        cluster.clone().shutdown().await
    };
    match timeout(STOP, stopping).await {
        Ok(Ok(())) => {}
        // It was in the log when it happened; here it is the last word.
        Ok(Err(error)) => say(&error.to_string()),
        Err(_) => {
            say("it did not finish in time, and ends as if the power had gone; nothing is lost by that")
        }
    }
}
