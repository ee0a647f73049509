//! How a call reaches the cluster: the options that all clients share.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::Args;
use raft_actors::{
    client::remote::{Driver, Remote, RemoteOptions},
    transport::capnp::Tls,
};

use super::answer::Failure;

/// How to reach the cluster.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How to reach the cluster")]
pub struct Reach {
    /// Where a peer of the cluster listens, or several: the first that answers tells who else there is
    #[arg(
        long,
        value_name = "ADDR[,ADDR...]",
        value_delimiter = ',',
        default_value = "127.0.0.1:7001",
        value_parser = address
    )]
    pub at: Vec<String>,
    /// How long to wait for an answer
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = in_range(1..=86_400_000))]
    pub deadline_ms: u64,
    /// Speak to the cluster of this name only
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Print one JSON object: `outcome`, and `answer` or `error`
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub credentials: Credentials,
}

/// Who vouches for whom.
#[derive(Args, Clone, Debug)]
pub struct Credentials {
    /// Speak TLS: with whom this authority (a PEM file) vouches for
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"], conflicts_with = "plaintext")]
    pub tls_ca: Option<PathBuf>,
    /// One's own certificate
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_cert"])]
    pub tls_key: Option<PathBuf>,
    /// Without TLS: speak also with other machines than this one. Whoever is in between reads along
    #[arg(long)]
    pub plaintext: bool,
}

impl Credentials {
    /// Reads the files, if there are any.
    pub fn tls(&self) -> Result<Option<Tls>, Failure> {
        match (&self.tls_ca, &self.tls_cert, &self.tls_key) {
            (Some(ca), Some(certificate), Some(key)) => match Tls::read(ca, certificate, key) {
                Ok(tls) => Ok(Some(tls)),
                Err(error) => Err(Failure::usage(error.to_string())),
            },
            _ => Ok(None),
        }
    }
}

impl Reach {
    /// How long to wait for an answer.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// Finds the cluster.
    pub async fn connect(&self) -> Result<Remote, Failure> {
        Ok(Remote::connect(self.at.iter().cloned(), self.options()?).await?)
    }

    /// Finds the cluster for clients that are on this thread only, beside which the driver has to be polled.
    pub async fn connect_here(&self) -> Result<(Remote, Driver), Failure> {
        Ok(Remote::connect_here(self.at.iter().cloned(), self.options()?).await?)
    }

    fn options(&self) -> Result<RemoteOptions, Failure> {
        let mut options = RemoteOptions::default();
        options.deadline = self.deadline();
        options.cluster = self.cluster.clone();
        options.name = "examples/peer".into();
        options.tls = self.credentials.tls()?;
        options.plaintext = self.credentials.plaintext;
        Ok(options)
    }
}

/// Reads `HOST:PORT`. An empty host is this machine.
pub fn address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("an address is HOST:PORT, as in 127.0.0.1:7001")?;
    let port: u16 = port.parse().map_err(|_| format!("`{port}` is no port: an address is HOST:PORT"))?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !is_bracketed {
        return Err(format!("an IPv6 address stands in brackets, as in [::1]:{port}"));
    }
    if host.contains(|it: char| it.is_whitespace() || it == '=' || it == ',') {
        return Err(format!("`{host}` is no host: an address is HOST:PORT"));
    }
    Ok(format!("{}:{port}", if host.is_empty() { "127.0.0.1" } else { host }))
}

/// Reads a whole number in a range, and says which.
pub fn in_range(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let number: u64 = text.parse().map_err(|_| "it is no whole number".to_string())?;
        match (range.contains(&number), *range.end()) {
            (true, _) => Ok(number),
            (false, end) if end >= u64::MAX / 2 => Err(format!("it has to be at least {}", range.start())),
            (false, end) => Err(format!("it has to be {} to {end}", range.start())),
        }
    }
}
