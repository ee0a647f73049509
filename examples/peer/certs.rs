//! Certificates for a cluster: of an authority made for it, for its peers, and for who uses it.
//!
//! ```text
//! ca.pem      the authority          every peer and every client has it
//! ca.key      its key                keep it: more peers need it, and whoever has it can be everybody
//! peer-1.pem  peer-1.key   ...       for peer 1 and nobody else
//! client.pem  client.key             for applications
//! admin.pem   admin.key              for operators
//! ```
//!
//! It is an authority to try things with: all of it is valid for ten years, and nobody can take back a key
//! that got lost. A cluster that matters has an authority that somebody looks after; what its certificates
//! have to say is written in `src/transport/capnp/tls.rs`.
//!
//! Nothing is ever overwritten. What is there stays, and what is missing is made, signed by the authority
//! that is there: so peers are added by asking for more of them.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use raft_actors::transport::capnp::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// Ten years, and the days that leap years add to them.
const VALID: Duration = Duration::from_secs((10 * 365 + 3) * 24 * 3_600);
/// More than anybody tries: a slip of the finger makes no million files.
const PEERS_MAX: u64 = 1_000;
/// The files of the authority, but for their endings.
const AUTHORITY: &str = "ca";

/// Makes what is missing of the certificates and keys of so many peers, numbered from 1, an application and
/// an operator. Tells which files it made: none if all of them are there.
///
/// `hosts` are names and addresses, besides `localhost`, for the certificates of the peers that are made now:
/// for tools that look for them, as peers and their clients do not.
///
/// # Errors
/// In a sentence: what is in the way, and what to do about it.
pub fn make(dir: &Path, peers: u64, hosts: &[String]) -> Result<Vec<PathBuf>, String> {
    if peers > PEERS_MAX {
        return Err(format!("{peers} peers are too many: at most {PEERS_MAX}"));
    }
    hosts.iter().try_for_each(|host| is_a_host(host))?;
    make_folder(dir)?;

    let has_authority = are_there(dir, AUTHORITY)?;
    let mut missing = Vec::new();
    for bearer in bearers(peers, hosts) {
        if !are_there(dir, &bearer.file)? {
            missing.push(bearer);
        } else if !has_authority {
            return Err(format!(
                "{} is there and is not overwritten, and {} is not, which goes with it: put that and its key \
                 back, or name an empty folder",
                certificate_of(dir, &bearer.file).display(),
                certificate_of(dir, AUTHORITY).display()
            ));
        }
    }
    let mut made = Vec::new();
    let authority = match has_authority {
        true => Authority::read(dir)?,
        false => Authority::make(dir, &mut made)?,
    };
    for bearer in &missing {
        authority.sign(bearer, &mut made)?;
    }
    Ok(made)
}

/// Who gets a certificate.
struct Bearer {
    /// Of its files, but for their endings.
    file: String,
    names: Vec<String>,
    usages: Vec<Usage>,
}

fn bearers(peers: u64, hosts: &[String]) -> Vec<Bearer> {
    let text = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let peer = |id| {
        let file = format!("peer-{id}");
        let names = [&text(&["peer", &file, "localhost"]), hosts].concat();
        Bearer { file, names, usages: vec![Usage::ServerAuth, Usage::ClientAuth] }
    };
    let client = |names: &[&str], file: &str| Bearer {
        file: file.into(),
        names: text(names),
        usages: vec![Usage::ClientAuth],
    };
    let mut bearers: Vec<Bearer> = (1..=peers).map(peer).collect();
    bearers.push(client(&["client"], "client"));
    bearers.push(client(&["client", "admin"], "admin"));
    bearers
}

struct Authority {
    dir: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn make(dir: &Path, made: &mut Vec<PathBuf>) -> Result<Authority, String> {
        let key = KeyPair::generate().map_err(|error| format!("no key can be made: {error}"))?;
        let pem = Self::params().self_signed(&key);
        let pem = pem.map_err(|error| format!("no authority can be made: {error}"))?.pem();
        write_pair(dir, AUTHORITY, &pem, &key, made)?;
        Ok(Authority { dir: dir.into(), pem, issuer: Issuer::new(Self::params(), key) })
    }

    /// It has the name that is always given here, so its key is all that must be read. Whether it is one that
    /// was made here shows when it signs.
    fn read(dir: &Path) -> Result<Authority, String> {
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path);
            text.map_err(|error| format!("{} can't be read ({error})", path.display()))
        };
        let pem = read(certificate_of(dir, AUTHORITY))?;
        // What is wrong with a key is not said: it may be said with pieces of it.
        let key = KeyPair::from_pem(&read(key_of(dir, AUTHORITY))?).map_err(|_| {
            format!("{} is not the key of an authority: put it back", key_of(dir, AUTHORITY).display())
        })?;
        Ok(Authority { dir: dir.into(), pem, issuer: Issuer::new(Self::params(), key) })
    }

    fn params() -> CertificateParams {
        let mut params = valid_from_now();
        params.distinguished_name.push(DnType::CommonName, "raft-actors test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn sign(&self, bearer: &Bearer, made: &mut Vec<PathBuf>) -> Result<(), String> {
        let cant = |error| format!("no certificate can be made for {}: {error}", bearer.file);
        let mut params = CertificateParams::new(bearer.names.clone()).map_err(cant)?;
        let valid = valid_from_now();
        (params.not_before, params.not_after) = (valid.not_before, valid.not_after);
        params.distinguished_name.push(DnType::CommonName, bearer.file.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = bearer.usages.clone();
        let key = KeyPair::generate().map_err(cant)?;
        let pem = params.signed_by(&key, &self.issuer).map_err(cant)?.pem();

        let usable = Tls::from_pem(self.pem.as_bytes(), pem.as_bytes(), key.serialize_pem().as_bytes());
        usable.map_err(|error| {
            let ca = certificate_of(&self.dir, AUTHORITY);
            format!(
                "the authority in {} was not made here, or the key beside it is another's: name an empty \
                 folder ({error})",
                ca.display()
            )
        })?;
        write_pair(&self.dir, &bearer.file, &pem, &key, made)
    }
}

/// An hour ago already: the clocks of hosts differ.
fn valid_from_now() -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - HOUR).into();
    params.not_after = (now + VALID).into();
    params
}

/// A host of one of these names would make every peer an operator, or another peer.
fn is_a_host(host: &str) -> Result<(), String> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let name = host.to_ascii_lowercase();
    if ["peer", "client", "admin"].contains(&name.as_str()) || name.starts_with("peer-") {
        return Err(format!(
            "`{host}` can't be the name of a host here: in certificates it says who somebody is"
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match name.split('.').all(|label| !label.is_empty() && label.chars().all(fits)) {
        true => Ok(()),
        false => Err(format!("`{host}` is neither the name nor the address of a host (without a port)")),
    }
}

fn certificate_of(dir: &Path, file: &str) -> PathBuf {
    dir.join(format!("{file}.pem"))
}

fn key_of(dir: &Path, file: &str) -> PathBuf {
    dir.join(format!("{file}.key"))
}

/// Whether a certificate and its key are there: one without the other is of no use.
fn are_there(dir: &Path, file: &str) -> Result<bool, String> {
    // A link that leads nowhere is something, too, and is not written through.
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let (certificate, key) = (certificate_of(dir, file), key_of(dir, file));
    let half = |one: &Path, other: &Path| {
        let (one, other) = (one.display(), other.display());
        Err(format!(
            "{one} is there and is not overwritten, and {other} is not: put that back, or remove {one}"
        ))
    };
    match (is_there(&certificate), is_there(&key)) {
        (true, false) => half(&certificate, &key),
        (false, true) => half(&key, &certificate),
        (certificate, _) => Ok(certificate),
    }
}

fn write_pair(
    dir: &Path,
    file: &str,
    pem: &str,
    key: &KeyPair,
    made: &mut Vec<PathBuf>,
) -> Result<(), String> {
    for (path, text, mode) in
        [(key_of(dir, file), key.serialize_pem().as_str(), 0o600), (certificate_of(dir, file), pem, 0o644)]
    {
        write_new(&path, text, mode).map_err(|error| format!("{} can't be made: {error}", path.display()))?;
        made.push(path);
    }
    Ok(())
}

/// Writes a file that was not there, which nobody else can read at any time if its mode says so.
fn write_new(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let _ = mode;
    options.open(path)?.write_all(text.as_bytes())
}

fn make_folder(dir: &Path) -> Result<(), String> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| format!("the folder {} can't be made: {error}", dir.display()))
}
