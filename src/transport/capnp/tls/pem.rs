//! The files that say who one is.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

use super::TlsError;

/// More than certificates and keys take, in bytes: what is longer is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a PEM text should hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Authority,
    Certificate,
    Key,
}

impl Part {
    fn whose(self) -> &'static str {
        match self {
            Part::Authority => "the authority's certificate",
            Part::Certificate => "one's own certificate",
            Part::Key => "the key of one's own certificate",
        }
    }
}

/// A PEM text, and where it is from.
pub(super) struct Pem {
    part: Part,
    file: Option<PathBuf>,
    text: Vec<u8>,
}

impl Pem {
    /// One that was given as it is.
    pub(super) fn of(part: Part, text: &[u8]) -> Pem {
        Pem { part, file: None, text: text.to_vec() }
    }

    /// That of a file.
    pub(super) fn read(part: Part, path: &Path) -> Result<Pem, TlsError> {
        let mut pem = Pem { part, file: Some(path.into()), text: Vec::new() };
        let cant = |error| format!("can't be read ({error}): is it the file of {}?", part.whose());
        let file = File::open(path).map_err(|error| pem.error(cant(error)))?;
        // It is the open file that is asked who may read it: the name could mean another one by now.
        let is_open = is_open_to_others(&file).map_err(|error| pem.error(cant(error)))?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem.text);
        read.map_err(|error| pem.error(cant(error)))?;
        if pem.text.len() as u64 > FILE_BYTES_MAX {
            return Err(pem.error(format!("is too long: is it the file of {}?", part.whose())));
        }
        if part == Part::Key && is_open && pem.key().is_ok() {
            let path = path.display();
            return Err(
                pem.error(format!("is a key that others can read: make it your own by `chmod 600 {path}`"))
            );
        }
        Ok(pem)
    }

    /// What is wrong with it, behind its name.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> TlsError {
        TlsError { what: format!("{} {what}", self.name()) }
    }

    /// The file's name, or which of the texts it is.
    pub(super) fn name(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => format!("the PEM text of {}", self.part.whose()),
        }
    }

    /// The certificates in it: at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(&self.text).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| self.broken(&error))?;
        if !found.is_empty() {
            return Ok(found);
        }
        let instead = match PrivateKeyDer::from_pem_slice(&self.text) {
            Ok(_) => "holds a key and no certificate: are the files mixed up?",
            Err(_) => "holds no certificate: it should have a line `-----BEGIN CERTIFICATE-----`",
        };
        Err(self.error(instead))
    }

    /// The key in it.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| {
            if !matches!(error, Error::NoItemsFound) {
                return self.broken(&error);
            }
            let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
            self.error(if self.text.windows(encrypted.len()).any(|window| window == encrypted) {
                "is encrypted, and nobody is here to be asked: decrypt it by `openssl pkey`"
            } else if CertificateDer::from_pem_slice(&self.text).is_ok() {
                "holds a certificate and no key: are the files mixed up?"
            } else {
                "holds no key: it should have a line `-----BEGIN PRIVATE KEY-----`"
            })
        })
    }

    /// The parser's words may quote what it read, and that may be a key: they are not passed on.
    fn broken(&self, error: &Error) -> TlsError {
        let what = match error {
            Error::MissingSectionEnd { .. } => "it ends before its `-----END` line",
            Error::Base64Decode(_) => "there is something else than base64 between its lines",
            _ => "its `-----BEGIN` line is broken",
        };
        self.error(format!("is no PEM file, {what}: copy it once more"))
    }
}

#[cfg(unix)]
fn is_open_to_others(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.mode() & 0o077 != 0)
}

/// There are no modes to look at.
#[cfg(not(unix))]
fn is_open_to_others(_: &File) -> std::io::Result<bool> {
    Ok(false)
}
