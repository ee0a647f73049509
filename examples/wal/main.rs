//! A looking glass for data folders: what is in the log and the snapshots, and whether it is whole.
//!
//! ```text
//! cargo run --example wal -- inspect DIR
//! cargo run --example wal -- verify DIR
//! ```
//!
//! DIR is the data folder of a peer, or a folder of such folders. Nothing is changed, and no lock is
//! taken: it may look while a peer writes; then the end of the log may be a write that is under way.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use raft_actors::storage::StorageError;
use serde_json::{Value, json};

mod look;
mod print;

use look::Look;

const EXAMPLES: &str = "\
Examples:
  wal inspect data/peer-1           every segment and frame, term and vote, snapshots, damage
  wal inspect data --summary        of all peers of a cluster, without the frames
  wal inspect data/peer-1 --json    the same for programs
  wal verify data                   is a peer going to start with it?

Exit code: 0 if everything is whole; 1 if something is damaged or can't be read; 2 for a wrong call.";

/// Looks into the data folders of peers, and changes nothing.
#[derive(Parser, Debug)]
#[command(name = "wal", after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand, Debug)]
enum Order {
    /// Lists segments, frames, positions, term and vote, snapshots and damage
    Inspect {
        /// The data folder of a peer, or a folder of such folders
        dir: PathBuf,
        /// Leave the frames out
        #[arg(long)]
        summary: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Says whether everything is whole, and if not, where the first bad byte is
    Verify {
        /// The data folder of a peer, or a folder of such folders
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let (dir, json, detail) = match Args::parse().order {
        Order::Inspect { dir, json, summary: true } => (dir, json, Detail::Segments),
        Order::Inspect { dir, json, .. } => (dir, json, Detail::Frames),
        Order::Verify { dir, json } => (dir, json, Detail::Verdict),
    };
    match carry_out(&dir, json, detail) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wal: {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Verdict,
    Segments,
    Frames,
}

/// Says whether everything is whole.
fn carry_out(dir: &Path, json: bool, detail: Detail) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut whole = true;
    let mut values = Vec::new();
    for folder in data_folders(dir)? {
        let look = Look::at(&folder);
        whole &= look.damage.is_none();
        match (json, detail) {
            (true, _) => values.push(print::to_json(&look, detail)),
            (false, Detail::Verdict) => print::verdict(&look, &mut out)?,
            (false, _) => print::text(&look, detail, &mut out)?,
        }
    }
    if json {
        let value = json!({ "whole": whole, "folders": Value::Array(values) });
        writeln!(out, "{value:#}")?;
    }
    out.flush()?;
    Ok(whole)
}

/// The folder itself, if it is one; else those in it.
fn data_folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &Path| path.join("log").is_dir();
    if is_one(dir) {
        return Ok(vec![dir.into()]);
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        folders.extend(Some(entry?.path()).filter(|path| is_one(path)));
    }
    folders.sort();
    match folders.is_empty() {
        false => Ok(folders),
        true => Err(io::Error::other(
            "it is no data folder and holds none: give the folder that a peer was started with",
        )),
    }
}

/// The sentence of an error, without what to do about it: here nothing is started.
fn sentence(error: &StorageError) -> String {
    match error {
        StorageError::Damaged { what } => what.clone(),
        other => other.to_string(),
    }
}
