//! A peer of a key-value cluster, and everything that is asked of one: the library over the wire.
//!
//! ```text
//! cargo run --release --example peer -- serve --id 1 --peers 1=127.0.0.1:7001 --data data-1
//! cargo run --release --example peer -- set colour red
//! cargo run --release --example peer -- get colour
//! cargo run --release --example peer -- --help
//! ```
//!
//! Where to read: `serve.rs` runs a peer, in three calls of the library; `reach.rs` finds a cluster; `kv.rs`
//! speaks to its machine, `import.rs` through a session; `operate.rs`, `status.rs` and `watch.rs` are an
//! operator's. What calls end with is in `answer.rs`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use serde_json::json;

mod answer;
mod bench;
#[cfg(feature = "tls")]
mod certs;
mod config;
mod export;
mod import;
mod kv;
mod lines;
mod log;
mod operate;
mod reach;
mod serve;
mod signals;
mod status;
mod watch;

use answer::{Answer, Failure, tell};
use config::Settings;

const EXAMPLES: &str = "\
Examples:
  peer serve --id 1 --peers 1=127.0.0.1:7001 --data data-1
  peer set colour red
  peer get colour
  peer status --all
  peer COMMAND --help                              says more, with examples

Clients look for the cluster at 127.0.0.1:7001 unless --at says otherwise; any of its peers will do, and they
find the leader from there. Of a cluster behind TLS (`peer certs certs` makes what it takes) they are asked
  peer status --tls-ca certs/ca.pem --tls-cert certs/admin.pem --tls-key certs/admin.key

Exit code: 0 if it was done; 1 if not; 2 for a wrong call; 3 if it is not known whether it was done.";

/// A peer of a key-value cluster, and everything that is asked of one
#[derive(Parser, Debug)]
#[command(name = "peer", after_help = EXAMPLES)]
struct Call {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand, Debug)]
enum Order {
    Serve(serve::Serve),
    Set(kv::Set),
    Get(kv::Get),
    Delete(kv::Delete),
    Cas(kv::Cas),
    Append(kv::Append),
    Keys(kv::Keys),
    Import(import::Import),
    Export(export::Export),
    Status(status::Status),
    Transfer(operate::Transfer),
    Snapshot(operate::Snapshot),
    Watch(watch::Watch),
    Isolate(operate::Isolate),
    Reconnect(operate::Reconnect),
    Fault(operate::Fault),
    Heal(operate::Heal),
    Bench(bench::Bench),
    Config(Config),
    Certs(Certs),
}

/// Prints the settings of `peer serve --config`, with their defaults
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  peer config > peer.toml
  peer serve --id 1 --peers 1=127.0.0.1:7001 --data data-1 --config peer.toml

What each means is in src/config.rs. Keys may be left out, and so may tables.")]
struct Config {}

/// Makes an authority and certificates, to try TLS with
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  peer certs certs
  peer certs certs --peers 3 --host peer-1.example --host 10.0.0.1

Needs a program that is built with `--features tls`.")]
struct Certs {
    /// Where they are put
    dir: PathBuf,
    /// For how many peers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = reach::in_range(1..=1_000))]
    peers: u64,
    /// Under which names the peers are reached, besides localhost; may be repeated
    #[arg(long, value_name = "NAME", num_args = 1..)]
    host: Vec<String>,
}

fn main() -> ExitCode {
    let call = Call::parse();
    let json = is_json(&call.order);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(carry_out(call.order));
            // A thread may wait for standard input: it is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::failed(format!("no runtime: {error}"))),
    };
    match result {
        Ok(Some(answer)) => tell(json, Ok(answer)),
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => tell(json, Err(failure)),
    }
}

fn is_json(order: &Order) -> bool {
    match order {
        Order::Set(args) => args.reach.json,
        Order::Get(args) => args.reach.json,
        Order::Delete(args) => args.reach.json,
        Order::Cas(args) => args.reach.json,
        Order::Append(args) => args.reach.json,
        Order::Keys(args) => args.reach.json,
        Order::Import(args) => args.reach.json,
        Order::Status(args) => args.reach.json,
        Order::Transfer(args) => args.reach.json,
        Order::Snapshot(args) => args.reach.json,
        Order::Isolate(args) => args.reach.json,
        Order::Reconnect(args) => args.reach.json,
        Order::Fault(args) => args.reach.json,
        Order::Heal(args) => args.reach.json,
        Order::Bench(args) => args.reach.json,
        // Their standard output belongs to what they print on the way.
        Order::Serve(_) | Order::Export(_) | Order::Watch(_) | Order::Config(_) | Order::Certs(_) => false,
    }
}

/// `None`: it has told everything by itself.
async fn carry_out(order: Order) -> Result<Option<Answer>, Failure> {
    match &order {
        Order::Serve(args) => return serve::serve(args).await.map(|()| None),
        Order::Export(args) => return export::export(args).await.map(|()| None),
        Order::Watch(args) => return watch::watch(args).await.map(|()| None),
        Order::Set(args) => kv::set(args).await,
        Order::Get(args) => kv::get(args).await,
        Order::Delete(args) => kv::delete(args).await,
        Order::Cas(args) => kv::cas(args).await,
        Order::Append(args) => kv::append(args).await,
        Order::Keys(args) => kv::keys(args).await,
        Order::Import(args) => import::import(args).await,
        Order::Status(args) => status::status(args).await,
        Order::Transfer(args) => operate::transfer(args).await,
        Order::Snapshot(args) => operate::snapshot(args).await,
        Order::Isolate(args) => operate::isolate(args).await,
        Order::Reconnect(args) => operate::reconnect(args).await,
        Order::Fault(args) => operate::fault(args).await,
        Order::Heal(args) => operate::heal(args).await,
        Order::Bench(args) => bench::bench(args).await,
        Order::Config(_) => {
            Settings::defaults().map(|text| Answer::new(json!(text)).with_text(text.trim_end()))
        }
        Order::Certs(args) => make_certificates(args),
    }
    .map(Some)
}

#[cfg(feature = "tls")]
fn make_certificates(args: &Certs) -> Result<Answer, Failure> {
    let made = certs::make(&args.dir, args.peers, &args.host).map_err(Failure::failed)?;
    let paths: Vec<_> = made.iter().map(|path| path.display().to_string()).collect();
    let answer = Answer::new(json!(paths));
    Ok(match paths.is_empty() {
        true => answer.with_note("everything is there already"),
        false => answer.with_text(paths.join("\n")),
    })
}

#[cfg(not(feature = "tls"))]
fn make_certificates(args: &Certs) -> Result<Answer, Failure> {
    let Certs { dir, peers, host } = args;
    let host: String = host.iter().map(|host| format!(" --host {host}")).collect();
    Err(Failure::usage(format!(
        "this program was built without TLS: `cargo run --features tls --example peer -- certs {} --peers {peers}{host}`",
        dir.display()
    )))
}
