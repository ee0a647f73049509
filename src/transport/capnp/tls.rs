//! Who vouches for whom.

/// The certificates of one end of a connection: its own, its key, and the authority that vouches for the others.
#[derive(Clone)]
pub struct Tls {}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why certificates can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TlsError {
    /// The file, what is wrong with it, what to do.
    pub what: String,
}

impl Tls {
    /// Reads the PEM files of the authority, of one's own certificate, and of its key.
    ///
    /// # Errors
    /// A file can't be read, is not what it should be, or is a key that others may read. Or this build lacks
    /// the feature `tls`.
    pub fn read(
        _ca: &std::path::Path,
        _certificate: &std::path::Path,
        _key: &std::path::Path,
    ) -> Result<Tls, TlsError> {
        todo!()
    }
}
