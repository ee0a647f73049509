//! What is measured, under one face.

use anyhow::Result;

use crate::{
    args::{Args, Name},
    etcd::{self, Etcd},
    floor::Floor,
    ground::Ground,
    load::{Load, Window},
    ours::{self, Ours},
};

/// Three processes that acknowledge a write once it is on two disks.
pub enum System {
    Ours(Ours),
    Etcd(Etcd),
    Append(Floor),
    Floor(Floor),
}

impl System {
    pub fn name(&self) -> &'static str {
        match self {
            System::Ours(_) => "ours",
            System::Etcd(_) => "etcd",
            System::Append(_) => "append",
            System::Floor(_) => "floor",
        }
    }

    /// Bears a load, and says what was seen.
    pub async fn bear(&mut self, load: &Load) -> Result<Window> {
        match self {
            System::Ours(ours) => ours.bear(load).await,
            System::Etcd(etcd) => etcd.bear(load).await,
            System::Append(floor) | System::Floor(floor) => floor.bear(load).await,
        }
    }
}

/// Starts those that were asked for. All run the whole time; who has nothing to do costs the others next to nothing.
pub async fn start(args: &Args, ground: &Ground) -> Result<Vec<System>> {
    let mut systems = Vec::new();
    if args.systems.contains(&Name::Ours) {
        let program = ours::program(args.peer.as_deref())?;
        systems.push(System::Ours(Ours::start(program, ground.path(), "ours", args.connections).await?));
    }
    // Values of 1 MiB are not etcd's business.
    if args.systems.contains(&Name::Etcd) && !args.in_flight().is_empty() {
        match etcd::program(args.etcd.as_deref()) {
            Some(program) => {
                systems.push(System::Etcd(Etcd::start(&program, ground.path(), args.etcd_connections).await?))
            }
            None => {
                eprintln!("etcd is left out: there is no `etcd` on PATH (Debian: etcd-server), and no --etcd")
            }
        }
    }
    if args.systems.contains(&Name::Append) {
        systems.push(System::Append(Floor::start(ground.path(), "append", true)?));
    }
    if args.systems.contains(&Name::Floor) {
        systems.push(System::Floor(Floor::start(ground.path(), "floor", false)?));
    }
    Ok(systems)
}
