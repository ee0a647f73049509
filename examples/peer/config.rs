//! Settings from a file: two tables, both optional, and nothing in them that nobody knows.

use std::{fs, path::Path};

use raft_actors::{Config, config::NetworkConfig};
use serde::{Deserialize, Serialize};

use super::answer::{Failure, about};

/// What a file may say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How the peer behaves.
    pub raft: Config,
    /// What it takes from the network.
    pub network: NetworkConfig,
}

impl Settings {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Settings, Failure> {
        let text = fs::read_to_string(path).map_err(about(path))?;
        let settings: Settings = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            // All keys that there are make no sentence; `peer config` lists them.
            let (what, _) = error.message().split_once(", expected one of").unwrap_or((error.message(), ""));
            let what = what.trim().replace('\n', ": ");
            Failure::usage(format!(
                "{}: line {line}: {what}: `peer config` prints all keys and their defaults",
                path.display()
            ))
        })?;
        let checked = settings.raft.validate().map_err(|error| ("raft", error));
        checked.and(settings.network.validate().map_err(|error| ("network", error))).map_err(
            |(table, error)| {
                Failure::usage(format!("{}: [{table}]: `{}` {}", path.display(), error.field, error.rule))
            },
        )?;
        Ok(settings)
    }

    /// The defaults, as such a file.
    pub fn defaults() -> Result<String, Failure> {
        toml::to_string(&Settings::default()).map_err(|error| Failure::failed(error.to_string()))
    }
}
