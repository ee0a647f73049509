//! The log of a peer: on standard error, for people or for programs.

use std::io::{IsTerminal, LineWriter, stderr};

use clap::ValueEnum;
use slog::{Drain, Level, Logger, o};
use slog_async::{Async, AsyncGuard};
use slog_json::Json;
use slog_term::{FullFormat, PlainDecorator, TermDecorator, timestamp_utc};

/// How many records wait to be written. What is beyond it is dropped, and their number is told: a slow
/// terminal must not slow a peer.
const RECORDS_MAX: usize = 4_096;

/// How much is logged.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loudness {
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

impl Loudness {
    pub fn level(self) -> Level {
        match self {
            Loudness::Error => Level::Error,
            Loudness::Warning => Level::Warning,
            Loudness::Info => Level::Info,
            Loudness::Debug => Level::Debug,
            Loudness::Trace => Level::Trace,
        }
    }
}

/// A logger, and what writes the last of its records when it is dropped.
pub fn logger(json: bool) -> (Logger, AsyncGuard) {
    // Nobody may be listening any more: that is no reason to fall.
    match (json, stderr().is_terminal()) {
        (true, _) => root(Json::default(LineWriter::new(stderr())).ignore_res()),
        (false, true) => {
            let terminal = TermDecorator::new().stderr().build();
            root(FullFormat::new(terminal).use_custom_timestamp(timestamp_utc).build().ignore_res())
        }
        (false, false) => {
            let plain = PlainDecorator::new(LineWriter::new(stderr()));
            root(FullFormat::new(plain).use_custom_timestamp(timestamp_utc).build().ignore_res())
        }
    }
}

fn root(drain: impl Drain<Err = slog::Never, Ok = ()> + Send + 'static) -> (Logger, AsyncGuard) {
    let (drain, guard) = Async::new(drain).chan_size(RECORDS_MAX).build_with_guard();
    (Logger::root(drain.ignore_res(), o!()), guard)
}
