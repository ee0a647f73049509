//! Who vouches for whom.
//!
//! Both ends of a connection show a certificate, and neither goes on before it has seen that one **authority**
//! (CA) vouches for the other's. A cluster has one authority, and an authority one cluster: whoever it vouches
//! for belongs to it. (Its file may hold several certificates, so that one authority can follow another.)
//!
//! Who the bearer of a certificate is, its DNS subject alternative names say:
//!
//! | bearer | names | extended key usage |
//! |---|---|---|
//! | peer 3 | `peer`, `peer-3` | `serverAuth`, `clientAuth` |
//! | an application | `client` | `clientAuth` |
//! | an operator | `client`, `admin` | `clientAuth` |
//!
//! Further names (of hosts, say) do no harm and count for nothing: peers move from host to host, and it is the
//! peer that others mean to reach. The common name counts for nothing either. A peer is one by its names *and*
//! its usage: a certificate for `clientAuth` alone is no peer's whatever its names are, so an authority that
//! signs what applications send it can be told to sign no other usage. Names are matched by webpki, as
//! those of hosts are; nothing here takes certificates apart.
//!
//! What the names are held against: the end that connects knows whom it means to reach, and takes no other
//! ([`Whom`]); the end that listens learns from the [`Credentials`] who came, and has them meet what the
//! handshake of the wire claims.
//!
//! TLS 1.3 and nothing older, with the protocol `raft-actors/1` (ALPN): an end that names protocols must name
//! this one, so that nobody is brought here who meant to speak with something else. No session is resumed:
//! connections are few and last, and who comes back is looked at again, as its certificate may be over. With
//! TLS 1.3 the end that connects is done before the other has looked at its certificate: that it was refused,
//! it learns from its first read.
//!
//! Certificates are looked at when a connection begins, and a connection outlives them. There are no lists of
//! what was revoked: let certificates be short-lived, or change the authority.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod mutual;
#[cfg(feature = "tls")]
mod pem;
#[cfg(all(test, feature = "tls"))]
mod tests;

use std::{fmt, io, path::Path};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

#[cfg(not(feature = "tls"))]
use absent::{Bearer, Ends};
#[cfg(feature = "tls")]
use mutual::{Bearer, Ends};

use crate::raft::PeerId;

/// The certificates of one end of a connection: its own, its key, and the authority that vouches for the
/// others.
///
/// Without the feature `tls` there are none.
#[derive(Clone)]
pub struct Tls(Ends);

/// Shows no secrets.
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

impl Tls {
    /// Reads the PEM files of the authority, of one's own certificate, and of its key. Blocks.
    ///
    /// The file of the certificate may go on with those between it and the authority. The key is not
    /// encrypted, and nobody but the owner of its file may have access to that.
    ///
    /// # Errors
    /// A file can't be read, is not what it should be, or is a key that others may read; or the authority does
    /// not vouch for the certificate, or not at this time. Or this build lacks the feature `tls`.
    pub fn read(ca: &Path, certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        Ends::read(ca, certificate, key).map(Tls)
    }

    /// Takes what [`read`](Tls::read) would find in the files.
    ///
    /// # Errors
    /// As there.
    pub fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        Ends::from_pem(ca, certificate, key).map(Tls)
    }

    /// Whether one's own certificate is that of this peer: otherwise nobody would speak with it.
    pub(crate) fn is_of_peer(&self, peer: PeerId) -> bool {
        self.0.own().is_peer(peer)
    }

    /// Greets who connected. It takes as long as the other end likes: whoever calls this has a deadline.
    ///
    /// # Errors
    /// The other end shows no certificate that the authority vouches for at this time, does not speak TLS
    /// 1.3, or goes away.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(Box<dyn Stream>, Credentials)> {
        self.0.accept(stream).await
    }

    /// Greets whom one connected to. It takes as long as the other end likes: whoever calls this has a
    /// deadline.
    ///
    /// # Errors
    /// The other end is not who it should be, does not speak TLS 1.3, or goes away. That it does not take
    /// one's own certificate, the first read tells.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        whom: Whom,
    ) -> io::Result<(Box<dyn Stream>, Credentials)> {
        self.0.connect(stream, whom.name()).await
    }
}

/// What bytes come from and go to: TCP, with TLS over it or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Stream for T {}

/// Whom the end that connects means to reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// This peer and no other, as peers do among themselves.
    Peer(PeerId),
    /// Whichever peer listens there, as a client does that knows nothing but an address.
    AnyPeer,
}

impl Whom {
    /// The name that the certificate must have.
    fn name(self) -> String {
        match self {
            Whom::Peer(id) => peer_name(id),
            Whom::AnyPeer => PEER.to_string(),
        }
    }
}

/// The name of all peers.
const PEER: &str = "peer";
/// The name of applications and operators.
const CLIENT: &str = "client";
/// The name of operators.
const ADMIN: &str = "admin";

/// The name of one peer.
fn peer_name(id: PeerId) -> String {
    format!("{PEER}-{id}")
}

/// What the certificate of the other end says of it.
///
/// Invariant: there is a bearer unless the connection is plain TCP.
#[derive(Clone)]
pub(super) struct Credentials(Option<Bearer>);

impl Credentials {
    /// Of the other end of plain TCP. Without TLS nobody can be told from anybody, so it may be everybody.
    pub(super) fn unknown() -> Credentials {
        Credentials(None)
    }

    /// Whether it may be this peer.
    pub(super) fn is_peer(&self, id: PeerId) -> bool {
        self.says(|bearer| bearer.is_peer() && bearer.has_name(&peer_name(id)))
    }

    /// Whether it may do what applications do: they, operators and peers may.
    pub(super) fn is_client(&self) -> bool {
        self.says(|bearer| bearer.has_name(CLIENT) || bearer.has_name(ADMIN) || bearer.is_peer())
    }

    /// Whether it may do what operators do.
    pub(super) fn is_admin(&self) -> bool {
        self.says(|bearer| bearer.has_name(ADMIN))
    }

    fn says(&self, what: impl Fn(&Bearer) -> bool) -> bool {
        self.0.as_ref().is_none_or(what)
    }
}

/// Who it may be, for the log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            None => "unknown",
            Some(bearer) if bearer.is_peer() => "a peer",
            Some(_) if self.is_admin() => "an operator",
            Some(_) if self.is_client() => "an application",
            Some(_) => "nobody we know",
        })
    }
}
