//! Single keys: set, get, delete, cas, append, keys.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use raft_actors::{
    Client,
    client::Remote,
    error::ClientError,
    machine::{
        Kv,
        kv::{self, Command, Query, Response},
    },
    raft::PeerId,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    answer::{Answer, Failure, Outcome, about, json_bytes},
    reach::Reach,
};

const SET_EXAMPLES: &str = "\
Examples:
  peer set colour red
  peer set balance -5                              numbers may be negative
  peer set note ''                                 an empty value is a value
  peer set -- note --dashes                        behind `--` anything may begin with a dash
  printf 'a long one' | peer set note --value-from -
  peer set colour red --at 127.0.0.1:7002,127.0.0.1:7003 --json

The kernel limits an argument to 128 KiB: longer values come with --value-from.";

const GET_EXAMPLES: &str = "\
Examples:
  peer get colour
  peer get colour --json                           {\"answer\":\"red\",\"outcome\":\"applied\"}
  peer get colour --consistency local              what the peer at --at has: it may be behind

Prints the value as it is, and a newline. A key that is not there has no value: nothing is printed, and
`answer` is null. In JSON a value that is not UTF-8 is {\"hex\": \"..\"}.";

const DELETE_EXAMPLES: &str = "\
Examples:
  peer delete colour
  peer delete colour --json                        `answer` is the value that was there, or null";

const CAS_EXAMPLES: &str = "\
Examples:
  peer cas lock --absent mine                      take it if nobody has it
  peer cas lock mine yours                         hand it over if it is mine
  peer cas lock yours --delete                     let go of it

If something else is there, that is printed, and the exit code is 1.";

const APPEND_EXAMPLES: &str = "\
Examples:
  peer append log 'one more'                       prints how long the value is by then
  date | peer append log --value-from -";

const KEYS_EXAMPLES: &str = "\
Examples:
  peer keys
  peer keys lines/ --json
  peer keys --consistency local                    of the peer at --at: it may be behind

In order, one a line.";

/// How many keys are asked for at a time.
const PAGE_KEYS: u64 = 1_000;

/// How much of a long value is asked for at a time, in bytes.
pub const PART_BYTES: u64 = 256 << 10;

/// How long to wait before a question is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a value is read anew that changes while it is read in parts.
const ATTEMPTS: usize = 8;

/// Sets the value of a key
#[derive(Args, Debug)]
#[command(after_help = SET_EXAMPLES)]
pub struct Set {
    #[command(flatten)]
    what: KeyAndValue,
    #[command(flatten)]
    pub reach: Reach,
}

/// Puts a value behind the one that a key has
#[derive(Args, Debug)]
#[command(after_help = APPEND_EXAMPLES)]
pub struct Append {
    #[command(flatten)]
    what: KeyAndValue,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Args, Debug)]
struct KeyAndValue {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// The value
    #[arg(allow_negative_numbers = true, required_unless_present = "value_from")]
    value: Option<OsString>,
    /// Read the value from FILE, as it is; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    value_from: Option<PathBuf>,
}

/// Prints the value of a key
#[derive(Args, Debug)]
#[command(after_help = GET_EXAMPLES)]
pub struct Get {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// How fresh the answer has to be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    consistency: Freshness,
    #[command(flatten)]
    pub reach: Reach,
}

/// Takes a key away
#[derive(Args, Debug)]
#[command(after_help = DELETE_EXAMPLES)]
pub struct Delete {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    #[command(flatten)]
    pub reach: Reach,
}

/// Sets the value of a key if it is what you expect
#[derive(Args, Debug)]
#[command(
    after_help = CAS_EXAMPLES,
    override_usage = "peer cas [OPTIONS] <KEY> <OLD|--absent> <NEW|--delete>"
)]
pub struct Cas {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// What should be there, and what shall be there from then on
    #[arg(value_name = "VALUE", allow_negative_numbers = true, num_args = 0..=2)]
    values: Vec<OsString>,
    /// Expect nothing there, in place of OLD
    #[arg(long)]
    absent: bool,
    /// Take the key away, in place of NEW
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// Lists the keys
#[derive(Args, Debug)]
#[command(after_help = KEYS_EXAMPLES)]
pub struct Keys {
    /// Only those that begin so
    #[arg(allow_negative_numbers = true)]
    prefix: Option<OsString>,
    /// How fresh the answer has to be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    consistency: Freshness,
    #[command(flatten)]
    pub reach: Reach,
}

/// How fresh an answer has to be.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It shows everything that was done before
    Linearizable,
    /// What the addressed peer, the first of --at, happens to know
    Local,
}

/// Asks, and asks again as long as there is time: a question changes nothing.
#[derive(Clone)]
pub struct Asker {
    client: Client<Kv>,
    /// Whose machine is asked, if it is to be just that one's.
    of: Option<PeerId>,
    deadline: Duration,
}

impl Asker {
    pub fn new(remote: &Remote, freshness: Freshness, deadline: Duration) -> Asker {
        let of = (freshness == Freshness::Local).then(|| remote.addressed());
        Asker { client: remote.client(), of, deadline }
    }

    pub async fn ask(&self, query: &Query) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            let answer = match self.of {
                None => self.client.query(query).await,
                Some(peer) => self.client.query_local(peer, query).await,
            };
            match answer {
                Err(ClientError::Unknown | ClientError::Lost | ClientError::Busy)
                    if Instant::now() + PAUSE < deadline =>
                {
                    sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// The same, for people: there is nothing to be afraid of when a question gets no answer.
    pub async fn ask_kindly(&self, query: &Query) -> Result<Response, Failure> {
        self.ask(query).await.map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: ClientError) -> Failure {
        match error {
            ClientError::Unknown => Failure::new(
                Outcome::Unknown,
                format!(
                    "there was no answer within {} ms: a question changes nothing, ask again or give it a longer --deadline-ms",
                    self.deadline.as_millis()
                ),
            ),
            error => error.into(),
        }
    }

    /// The next keys behind `after`. An answer may be too long for the wire: then fewer of them.
    pub async fn page(&self, prefix: &Bytes, after: Option<Bytes>) -> Result<Vec<Bytes>, Failure> {
        let mut limit = PAGE_KEYS;
        loop {
            let query = match Query::keys(prefix.clone(), limit) {
                Query::Keys { prefix, limit, .. } => Query::Keys { prefix, after: after.clone(), limit },
                other => other,
            };
            match self.ask(&query).await {
                Ok(Response::Keys(keys)) => return Ok(keys),
                Ok(_) => return Err(Failure::odd_answer()),
                Err(error) if is_too_long(&error) && limit > 1 => limit /= 2,
                Err(error) => return Err(self.unanswered(error)),
            }
        }
    }

    async fn get(&self, key: &Bytes) -> Result<Option<Bytes>, Failure> {
        match self.ask(&Query::get(key.clone())).await {
            Ok(Response::Value(value)) => Ok(value),
            Ok(_) => Err(Failure::odd_answer()),
            Err(error) if is_too_long(&error) => self.get_in_parts(key).await,
            Err(error) => Err(self.unanswered(error)),
        }
    }

    /// A value that is too long for one answer. If its length changes on the way it is read anew.
    async fn get_in_parts(&self, key: &Bytes) -> Result<Option<Bytes>, Failure> {
        for _ in 0..ATTEMPTS {
            let (mut value, mut whole) = (Vec::new(), None);
            loop {
                let query = Query::read(key.clone(), value.len() as u64, PART_BYTES);
                let Response::Part { bytes, total } = self.ask_kindly(&query).await? else {
                    return Err(Failure::odd_answer());
                };
                let Some(bytes) = bytes else { return Ok(None) };
                if *whole.get_or_insert(total) != total {
                    break;
                }
                value.extend_from_slice(&bytes);
                if value.len() as u64 >= total || bytes.is_empty() {
                    return Ok(Some(value.into()));
                }
            }
        }
        Err(Failure::new(Outcome::Busy, "the value changes faster than it can be read: try again later"))
    }
}

/// Whether the answer to a question does not fit on the wire.
fn is_too_long(error: &ClientError) -> bool {
    Outcome::of(error) == Outcome::TooLarge
}

/// The bytes of an argument.
fn bytes(argument: &OsString) -> Bytes {
    Bytes::copy_from_slice(argument.as_encoded_bytes())
}

impl KeyAndValue {
    fn read(&self, max: usize) -> Result<(Bytes, Bytes), Failure> {
        let value = match (&self.value, &self.value_from) {
            (Some(value), _) => bytes(value),
            (None, Some(path)) => read(path, max)?,
            (None, None) => return Err(Failure::usage("give a value, or --value-from a file")),
        };
        Ok((bytes(&self.key), value))
    }
}

/// Reads a file, but not much more than could be sent.
fn read(path: &Path, max: usize) -> Result<Bytes, Failure> {
    let about = about(path);
    let mut file: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(&about)?),
    };
    let mut value = Vec::new();
    file.by_ref().take(max as u64 + 1).read_to_end(&mut value).map_err(&about)?;
    if value.len() > max {
        let more = io::copy(&mut file, &mut io::sink()).map_err(&about)?;
        let bytes = value.len() + usize::try_from(more).unwrap_or(usize::MAX / 2);
        return Err(ClientError::TooLarge { bytes, max }.into());
    }
    Ok(value.into())
}

fn json_maybe(value: Option<&Bytes>) -> Value {
    value.map_or(Value::Null, |value| json_bytes(value))
}

async fn propose(remote: &Remote, command: &Command) -> Result<kv::Answer, Failure> {
    Ok(remote.client::<Kv>().propose(command).await?)
}

pub async fn set(args: &Set) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let (key, value) = args.what.read(remote.command_bytes_max())?;
    match propose(&remote, &Command::set(key, value)).await? {
        kv::Answer::Before(before) => Ok(Answer::new(json_maybe(before.as_ref())).with_text("applied")),
        _ => Err(Failure::odd_answer()),
    }
}

pub async fn append(args: &Append) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let (key, value) = args.what.read(remote.command_bytes_max())?;
    match propose(&remote, &Command::append(key, value)).await? {
        kv::Answer::Length(length) => Ok(Answer::new(json!(length)).with_text(length.to_string())),
        _ => Err(Failure::odd_answer()),
    }
}

pub async fn delete(args: &Delete) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    match propose(&remote, &Command::delete(bytes(&args.key))).await? {
        kv::Answer::Before(before) => {
            let answer = Answer::new(json_maybe(before.as_ref())).with_text("applied");
            Ok(if before.is_some() { answer } else { answer.with_note("there was nothing") })
        }
        _ => Err(Failure::odd_answer()),
    }
}

pub async fn cas(args: &Cas) -> Result<Answer, Failure> {
    let (old, new) = match (args.absent, args.delete, args.values.as_slice()) {
        (false, false, [old, new]) => (Some(old), Some(new)),
        (true, false, [new]) => (None, Some(new)),
        (false, true, [old]) => (Some(old), None),
        (true, true, []) => (None, None),
        _ => {
            return Err(Failure::usage(
                "give OLD or --absent, and NEW or --delete: `peer cas KEY OLD NEW`; `peer cas --help` has examples",
            ));
        }
    };
    let command = Command::compare_and_set(bytes(&args.key), old.map(bytes), new.map(bytes));
    let remote = args.reach.connect().await?;
    match propose(&remote, &command).await? {
        kv::Answer::Swapped => Ok(Answer::new(json!({ "swapped": true })).with_text("applied")),
        kv::Answer::Different(present) => {
            let json = json!({ "swapped": false, "present": json_maybe(present.as_ref()) });
            let answer = Answer::new(json).not_done();
            Ok(match present {
                Some(present) => answer
                    .with_text(present)
                    .with_note("not done: this is there instead; go on from it, or leave it"),
                None => answer.with_note("not done: nothing is there; --absent expects that"),
            })
        }
        _ => Err(Failure::odd_answer()),
    }
}

pub async fn get(args: &Get) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let asker = Asker::new(&remote, args.consistency, args.reach.deadline());
    let value = asker.get(&bytes(&args.key)).await?;
    let answer = Answer::new(json_maybe(value.as_ref()));
    Ok(match value {
        Some(value) => answer.with_text(value),
        None => answer.with_note("there is no such key"),
    })
}

pub async fn keys(args: &Keys) -> Result<Answer, Failure> {
    let remote = args.reach.connect().await?;
    let asker = Asker::new(&remote, args.consistency, args.reach.deadline());
    let prefix = args.prefix.as_ref().map(bytes).unwrap_or_default();
    let mut keys: Vec<Bytes> = Vec::new();
    loop {
        let page = asker.page(&prefix, keys.last().cloned()).await?;
        if page.is_empty() {
            break;
        }
        keys.extend(page);
    }
    let answer = Answer::new(keys.iter().map(|key| json_bytes(key)).collect());
    Ok(if keys.is_empty() { answer } else { answer.with_text(keys.join(&b'\n')) })
}
