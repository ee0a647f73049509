//! What a call ends with: an answer or a failure, as text or as one JSON object, and an exit code.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use raft_actors::{
    client::remote::{ConnectError, OperatorError},
    error::ClientError,
};
use serde_json::{Map, Value, json};

/// What came of a call, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Applied,
    NotLeader,
    Busy,
    Lost,
    Unknown,
    Rejected,
    Poisoned,
    SessionExpired,
    TooLarge,
    Unreachable,
    /// Something on this side: a file, standard output.
    Failed,
    /// The call makes no sense.
    Usage,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::NotLeader => "not_leader",
            Outcome::Busy => "busy",
            Outcome::Lost => "lost",
            Outcome::Unknown => "unknown",
            Outcome::Rejected => "rejected",
            Outcome::Poisoned => "poisoned",
            Outcome::SessionExpired => "session_expired",
            Outcome::TooLarge => "too_large",
            Outcome::Unreachable => "unreachable",
            Outcome::Failed => "failed",
            Outcome::Usage => "usage",
        }
    }

    fn exit_code(self) -> u8 {
        match self {
            Outcome::Applied => 0,
            Outcome::Usage => 2,
            Outcome::Unknown => 3,
            _ => 1,
        }
    }

    pub fn of(error: &ClientError) -> Outcome {
        match error {
            ClientError::NotLeader { .. } => Outcome::NotLeader,
            ClientError::Busy => Outcome::Busy,
            ClientError::Lost => Outcome::Lost,
            ClientError::Unknown => Outcome::Unknown,
            ClientError::Poisoned { .. } => Outcome::Poisoned,
            ClientError::SessionExpired => Outcome::SessionExpired,
            ClientError::TooLarge { .. } | ClientError::BeyondLimit { .. } => Outcome::TooLarge,
            // What can't be read is as good as refused, on whichever side that is.
            _ => Outcome::Rejected,
        }
    }
}

/// What a call was answered.
#[derive(Debug)]
pub struct Answer {
    /// For programs.
    json: Value,
    /// For people: standard output gets it with a newline behind.
    text: Option<Vec<u8>>,
    /// What else people should know.
    note: Option<String>,
    /// Whether what was asked for came about.
    is_done: bool,
    /// Whether the fields of the answer stand beside it, too.
    is_open: bool,
}

impl Answer {
    pub fn new(json: Value) -> Answer {
        Answer { json, text: None, note: None, is_done: true, is_open: false }
    }

    pub fn with_text(mut self, text: impl Into<Vec<u8>>) -> Answer {
        self.text = Some(text.into());
        self
    }

    pub fn with_note(mut self, note: impl Into<String>) -> Answer {
        self.note = Some(note.into());
        self
    }

    /// Whoever looks for one field need not know where the answer is: `jq .applied` finds it.
    pub fn open(mut self) -> Answer {
        self.is_open = true;
        self
    }

    /// The cluster answered, and did not do it.
    pub fn not_done(mut self) -> Answer {
        self.is_done = false;
        self
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    pub outcome: Outcome,
    /// What came in between and what to do, in a sentence.
    pub text: String,
    /// What programs may want to know besides.
    details: Map<String, Value>,
}

impl Failure {
    pub fn new(outcome: Outcome, text: impl Into<String>) -> Failure {
        Failure { outcome, text: text.into(), details: Map::new() }
    }

    pub fn usage(text: impl Into<String>) -> Failure {
        Failure::new(Outcome::Usage, text)
    }

    pub fn failed(text: impl Into<String>) -> Failure {
        Failure::new(Outcome::Failed, text)
    }

    /// The machine answered with something that belongs to another question.
    pub fn odd_answer() -> Failure {
        Failure::new(
            Outcome::Rejected,
            "the answer belongs to another question: is it a key-value cluster, of this version?",
        )
    }

    pub fn with(mut self, name: &str, value: Value) -> Failure {
        self.details.insert(name.into(), value);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let failure = Failure::new(Outcome::of(&error), error.to_string());
        match error {
            ClientError::NotLeader { leader: Some(leader), address } => {
                failure.with("leader", json!({ "id": leader.0, "address": address }))
            }
            ClientError::Poisoned { index } => failure.with("index", json!(index.0)),
            ClientError::BeyondLimit { max } => failure.with("bytes_max", json!(max)),
            ClientError::TooLarge { bytes, max } => {
                failure.with("bytes", json!(bytes)).with("bytes_max", json!(max))
            }
            _ => failure,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        Failure::new(Outcome::Unreachable, format!("{} (--at says where to look)", error.what))
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Failure {
        let (outcome, reason) = match &error {
            OperatorError::Unreachable { .. } => (Outcome::Unreachable, None),
            OperatorError::Failed { reason, .. } => {
                let outcome = match *reason {
                    "not_leader" => Outcome::NotLeader,
                    "busy" | "too_many" => Outcome::Busy,
                    // The leader goes on: nothing came of it, and it can be asked for again.
                    "timed_out" => Outcome::Lost,
                    _ => Outcome::Rejected,
                };
                (outcome, Some(*reason))
            }
            _ => (Outcome::Rejected, Some("not_admin")),
        };
        let failure = Failure::new(outcome, error.to_string());
        match reason {
            Some(reason) => failure.with("reason", json!(reason)),
            None => failure,
        }
    }
}

/// Standard output does not take it. Whoever reads may have seen enough: that is nothing to talk about.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::failed(""),
            _ => Failure::failed(format!("standard output: {error}")),
        }
    }
}

/// A text in memory takes everything; this is for the type's sake.
impl From<fmt::Error> for Failure {
    fn from(error: fmt::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}

/// What went wrong with a file, and with which.
pub fn about(path: &std::path::Path) -> impl Fn(io::Error) -> Failure {
    move |error| match path.as_os_str() == "-" {
        true => Failure::failed(format!("standard input: {error}")),
        false => Failure::failed(format!("{}: {error}", path.display())),
    }
}

/// Bytes in JSON: text if they are, else `{"hex": ".."}`.
pub fn json_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Says something to people, on standard error.
pub fn say(text: &str) {
    // Nobody may be listening any more: the exit code still says how it went.
    let _ = writeln!(io::stderr(), "peer: {text}");
}

/// Tells how a call ended.
pub fn tell(json: bool, result: Result<Answer, Failure>) -> ExitCode {
    let (code, told) = match result {
        Ok(answer) => (u8::from(!answer.is_done), tell_answer(json, answer)),
        Err(failure) => (failure.outcome.exit_code(), tell_failure(json, failure)),
    };
    match told {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(code),
    }
}

fn tell_answer(json: bool, answer: Answer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let mut object = Map::new();
        if let (true, Value::Object(fields)) = (answer.is_open, &answer.json) {
            object.clone_from(fields);
        }
        object.insert("outcome".into(), json!(Outcome::Applied.name()));
        object.insert("answer".into(), answer.json);
        writeln!(out, "{}", Value::Object(object))?;
        return out.flush();
    }
    if let Some(mut text) = answer.text {
        text.push(b'\n');
        out.write_all(&text)?;
        out.flush()?;
    }
    answer.note.iter().for_each(|note| say(note));
    Ok(())
}

fn tell_failure(json: bool, failure: Failure) -> io::Result<()> {
    if !failure.text.is_empty() {
        say(&failure.text);
    }
    if !json {
        return Ok(());
    }
    let mut object = failure.details;
    object.insert("outcome".into(), json!(failure.outcome.name()));
    object.insert("error".into(), json!(failure.text));
    let mut out = io::stdout().lock();
    writeln!(out, "{}", Value::Object(object))?;
    out.flush()
}
