//! Who vouches for whom.

use std::{convert::Infallible, fmt, io, path::Path};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::raft::PeerId;

/// The certificates of one end of a connection: its own, its key, and the authority that vouches for the others.
#[derive(Clone)]
pub struct Tls(Infallible);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// Bytes in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Whom the other end has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    Peer(PeerId),
    AnyPeer,
}

/// What the certificate of the other end says of it.
#[derive(Clone)]
pub(super) struct Credentials;

impl Credentials {
    pub(super) fn unknown() -> Credentials {
        Credentials
    }

    pub(super) fn is_peer(&self, _: PeerId) -> bool {
        true
    }

    pub(super) fn is_client(&self) -> bool {
        true
    }

    pub(super) fn is_admin(&self) -> bool {
        true
    }
}

impl Tls {
    /// Reads the PEM files of the authority, of one's own certificate, and of its key.
    ///
    /// # Errors
    /// A file can't be read, is not what it should be, or is a key that others may read. Or this build lacks
    /// the feature `tls`.
    pub fn read(_ca: &Path, _certificate: &Path, _key: &Path) -> Result<Tls, TlsError> {
        Err(TlsError { what: "this program was built without TLS: build it with --features tls".into() })
    }

    pub(super) async fn accept(&self, _: TcpStream) -> io::Result<(Box<dyn Stream>, Credentials)> {
        match self.0 {}
    }

    pub(super) async fn connect(&self, _: TcpStream, _: Whom) -> io::Result<(Box<dyn Stream>, Credentials)> {
        match self.0 {}
    }
}
