//! `export`: what was imported, put together again: page by page and piece by piece, so that neither end
//! ever holds much of it.

use std::{
    collections::VecDeque,
    io::{Write, stderr, stdout},
};

use bytes::Bytes;
use clap::Args;
use raft_actors::machine::kv::{Query, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    answer::{Failure, Outcome},
    import::PREFIX,
    kv::{Asker, Freshness, PART_BYTES},
    reach::Reach,
};

const EXAMPLES: &str = "\
Examples:
  peer export > Cargo.lock.copy
  peer export --consistency local --at 127.0.0.1:7002 | cmp - Cargo.lock

Prints the values of the keys lines/*, in the order of the keys, and nothing in between: what `peer import`
took in. With --json it also prints one JSON object, on standard error.";

/// How many keys are asked for ahead of the one that is printed.
const AHEAD: usize = 16;

/// Prints the values of the keys lines/*, one behind the other
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// How fresh it has to be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    consistency: Freshness,
    #[command(flatten)]
    pub reach: Reach,
}

/// The first piece of a value, on its way.
struct Piece {
    key: Bytes,
    first: JoinHandle<Result<Response, Failure>>,
}

pub async fn export(args: &Export) -> Result<(), Failure> {
    let remote = args.reach.connect().await?;
    let asker = Asker::new(&remote, args.consistency, args.reach.deadline());
    let prefix = Bytes::from_static(PREFIX.as_bytes());
    let (mut keys, mut bytes, mut after) = (0_u64, 0_u64, None);
    let mut pieces = VecDeque::new();
    loop {
        let page = asker.page(&prefix, after.take()).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        keys += page.len() as u64;
        for key in page {
            pieces.push_back(ask_for(&asker, key));
            if pieces.len() > AHEAD
                && let Some(piece) = pieces.pop_front()
            {
                bytes += print(&asker, piece).await?;
            }
        }
    }
    for piece in pieces {
        bytes += print(&asker, piece).await?;
    }
    stdout().flush()?;
    if args.reach.json {
        let answer = json!({ "keys": keys, "bytes": bytes });
        // Nobody may be listening: the exit code says the same.
        let _ = writeln!(stderr(), "{}", json!({ "outcome": Outcome::Applied.name(), "answer": answer }));
    }
    Ok(())
}

fn ask_for(asker: &Asker, key: Bytes) -> Piece {
    let (asker, query) = (asker.clone(), Query::read(key.clone(), 0, PART_BYTES));
    Piece { key, first: tokio::spawn(async move { asker.ask_kindly(&query).await }) }
}

/// Prints a value; says how long it was. One that is gone by now has none.
async fn print(asker: &Asker, piece: Piece) -> Result<u64, Failure> {
    let first = piece.first.await.map_err(|error| Failure::failed(format!("a task fell: {error}")))?;
    let (mut part, mut offset) = (first?, 0);
    loop {
        let Response::Part { bytes, total } = part else { return Err(Failure::odd_answer()) };
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Ok(offset) };
        stdout().write_all(&bytes)?;
        offset += bytes.len() as u64;
        if offset >= total {
            return Ok(offset);
        }
        part = asker.ask_kindly(&Query::read(piece.key.clone(), offset, PART_BYTES)).await?;
    }
}
