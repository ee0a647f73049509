//! `import`: the lines of a file, each appended once and in order, whatever happens to the peers.
//!
//! All of them go through one session, and its window is kept full: one side reads and submits, another
//! takes the answers. The session has an id; with it an import that broke off goes on behind the last line
//! that was applied, also where nobody was told of that any more.

use std::{
    cell::Cell,
    io::{IsTerminal, Write, stderr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use raft_actors::{
    Session,
    client::Ticket,
    error::ClientError,
    machine::{
        Kv,
        kv::{self, Command},
    },
};
use serde_json::json;
use tokio::{
    pin,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::{
    answer::{Answer, Failure, Outcome, about},
    lines::Lines,
    reach::Reach,
};

const EXAMPLES: &str = "\
Examples:
  peer import Cargo.lock
  seq 100000 | peer import - --at 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
  peer import Cargo.lock --json

Line 0 to 999 go to the key lines/00000000, the next thousand to lines/00000001, and so on: `peer export`
puts them together again. To import a file twice is to append it twice; the keys of another one have to be
deleted before.

An import that breaks off says with which --session it goes on: then no line is missing, and none is there
twice. Give the same input.";

/// How many lines there are to a key.
const LINES_OF_A_KEY: u64 = 1_000;

/// What the keys begin with.
pub const PREFIX: &str = "lines/";

/// How many bytes are under way at a time. The session counts commands, whatever their size.
const BYTES_UNDER_WAY: usize = 16 << 20;

/// No answer of a session is given up one by one: whether it makes sense to wait is decided here.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often a terminal is told how far it is, and how often a file.
const REDRAW: Duration = Duration::from_millis(100);
const REPORT: Duration = Duration::from_secs(2);

/// Appends the lines of a file to the keys lines/*
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// The file; `-` is standard input
    file: PathBuf,
    /// Go on with an import that broke off: it told this
    #[arg(long, value_name = "HEX", value_parser = session_id)]
    session: Option<u128>,
    #[command(flatten)]
    pub reach: Reach,
}

fn session_id(text: &str) -> Result<u128, String> {
    u128::from_str_radix(text, 16)
        .map_err(|_| "it is no session: those are up to 32 hexadecimal digits".into())
}

/// A line on its way.
type Submitted = (Ticket<Kv>, usize, OwnedSemaphorePermit);

pub async fn import(args: &Import) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    // The key, and what is around key and line.
    let line_bytes_max = remote.command_bytes_max().saturating_sub(PREFIX.len() + 32);
    let lines = Lines::open(&args.file, line_bytes_max).map_err(about(&args.file))?;
    let client = remote.client::<Kv>().with_deadline(NEVER);
    let id = args.session.unwrap_or_else(rand::random);
    let deadline = args.reach.deadline();
    let session = match timeout(deadline, client.resume_session(id)).await {
        Ok(session) => session?,
        Err(_) => return Err(ClientError::NotLeader { leader: None, address: None }.into()),
    };
    let progress = Progress::new(lines.total, session.resumed_at());
    let (sender, tickets) = mpsc::unbounded_channel();
    let feeding = feed(args, lines, &session, line_bytes_max, sender, &progress);
    let collecting = collect(tickets, deadline, &progress);
    pin!(feeding, collecting);
    let mut fed = None;
    let collected = loop {
        tokio::select! {
            result = &mut feeding, if fed.is_none() => fed = Some(result),
            collected = &mut collecting => break collected,
        }
    };
    progress.end();
    // What the cluster says comes first: it is about an earlier line.
    match collected.and(fed.unwrap_or(Ok(()))) {
        Ok(()) => Ok(done(&progress, id)),
        Err(failure) => Err(broken_off(failure, args, &progress, id)),
    }
}

/// Reads and submits, behind what was applied before.
async fn feed(
    args: &Import,
    mut lines: Lines,
    session: &Session<Kv>,
    line_bytes_max: usize,
    tickets: mpsc::UnboundedSender<Submitted>,
    progress: &Progress,
) -> Result<(), Failure> {
    let room = Arc::new(Semaphore::new(BYTES_UNDER_WAY));
    for number in 0_u64.. {
        let Some(line) = lines.next().await.map_err(about(&args.file))? else {
            let shorter = number < progress.resumed_at;
            return if shorter { Err(another_input(number, progress.resumed_at)) } else { Ok(()) };
        };
        if line.len() > line_bytes_max {
            let what =
                format!("line {number} (counted from 0) is longer than the {line_bytes_max} bytes that fit");
            return Err(Failure::new(Outcome::TooLarge, what));
        }
        let length = line.len();
        if number < progress.resumed_at {
            progress.skip(length);
            continue;
        }
        let permits = u32::try_from(length.min(BYTES_UNDER_WAY)).unwrap_or(u32::MAX);
        let Ok(place) = room.clone().acquire_many_owned(permits).await else { return Ok(()) };
        let ticket = match session.submit(&Command::append(key_of(number), line)).await {
            Ok(ticket) => ticket,
            // The ticket at which it ended says why.
            Err(ClientError::SessionExpired) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if tickets.send((ticket, length, place)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn key_of(line: u64) -> Bytes {
    format!("{PREFIX}{:08}", line / LINES_OF_A_KEY).into()
}

fn another_input(lines: u64, applied: u64) -> Failure {
    Failure::failed(format!(
        "the input has {lines} lines, and {applied} of this session are imported already: give the input that it began with"
    ))
}

/// Takes the answers, in order.
async fn collect(
    mut tickets: mpsc::UnboundedReceiver<Submitted>,
    patience: Duration,
    progress: &Progress,
) -> Result<(), Failure> {
    while let Some((ticket, length, _place)) = tickets.recv().await {
        match timeout(patience, ticket).await {
            Ok(Ok(kv::Answer::Length(_))) => progress.acknowledge(length),
            Ok(Ok(_)) => return Err(Failure::odd_answer()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let what = format!("nothing was acknowledged for {} ms", patience.as_millis());
                return Err(Failure::new(Outcome::Unknown, what));
            }
        }
    }
    Ok(())
}

fn done(progress: &Progress, id: u128) -> Answer {
    Answer::new(json!({
        "lines": progress.lines.get(),
        "bytes": progress.bytes.get(),
        "resumed_at": progress.resumed_at,
        "session": format!("{id:032x}"),
        "elapsed_ms": progress.began.elapsed().as_millis() as u64,
    }))
}

/// Says how far it got, and how it goes on.
fn broken_off(mut failure: Failure, args: &Import, progress: &Progress, id: u128) -> Failure {
    let lines = progress.lines.get();
    failure.text = match failure.outcome {
        Outcome::SessionExpired => format!("{failure} ({lines} lines were acknowledged)"),
        _ => format!(
            "{failure}; {lines} lines were acknowledged: go on with `peer import {} --session {id:032x}`",
            args.file.display()
        ),
    };
    failure.with("lines", json!(lines)).with("session", json!(format!("{id:032x}")))
}

/// How far it is: counted always, told on standard error now and then.
struct Progress {
    total: Option<u64>,
    resumed_at: u64,
    lines: Cell<u64>,
    bytes: Cell<u64>,
    began: Instant,
    told: Cell<Instant>,
    is_terminal: bool,
}

impl Progress {
    fn new(total: Option<u64>, resumed_at: u64) -> Progress {
        let now = Instant::now();
        Progress {
            total,
            resumed_at,
            lines: Cell::new(resumed_at),
            bytes: Cell::default(),
            began: now,
            told: Cell::new(now),
            is_terminal: stderr().is_terminal(),
        }
    }

    fn skip(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    fn acknowledge(&self, bytes: usize) {
        self.lines.set(self.lines.get() + 1);
        self.skip(bytes);
        let pause = if self.is_terminal { REDRAW } else { REPORT };
        if self.told.get().elapsed() >= pause {
            self.told.set(Instant::now());
            self.tell(if self.is_terminal { "" } else { "\n" });
        }
    }

    fn end(&self) {
        self.tell("\n");
    }

    fn tell(&self, end: &str) {
        let (lines, bytes) = (self.lines.get(), self.bytes.get());
        let share = match self.total.filter(|&total| total > 0) {
            Some(total) => format!("{:>3} %  ", u128::from(bytes) * 100 / u128::from(total)),
            None => String::new(),
        };
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = (lines - self.resumed_at) as f64 / seconds.max(0.001);
        let begin = if self.is_terminal { "\r\x1b[2K" } else { "" };
        // Nobody may be listening: then it is only counted.
        let _ = write!(stderr(), "{begin}{share}{lines} lines, {bytes} bytes, {rate:.0} lines/s{end}");
    }
}
