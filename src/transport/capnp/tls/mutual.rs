//! TLS 1.3 with a certificate at each end, by rustls and ring.

use std::{io, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        CertificateError, ClientConfig, CommonState, Error, RootCertStore, ServerConfig,
        client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
        version::TLS13,
    },
};
use webpki::EndEntityCert;

use super::{
    Credentials, PEER, Stream, TlsError,
    pem::{Part, Pem},
};

/// What is spoken inside.
const PROTOCOL: &[u8] = b"raft-actors/1";

/// What it takes to be either end of a connection.
#[derive(Clone)]
pub(super) struct Ends(Arc<Inner>);

struct Inner {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    /// Tells which certificates are those of peers.
    peers: Arc<WebPkiServerVerifier>,
    own: Bearer,
}

impl Ends {
    pub(super) fn read(ca: &Path, certificate: &Path, key: &Path) -> Result<Ends, TlsError> {
        let ca = Pem::read(Part::Authority, ca)?;
        let certificate = Pem::read(Part::Certificate, certificate)?;
        Ends::checked(&ca, &certificate, &Pem::read(Part::Key, key)?)
    }

    pub(super) fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Ends, TlsError> {
        let certificate = Pem::of(Part::Certificate, certificate);
        Ends::checked(&Pem::of(Part::Authority, ca), &certificate, &Pem::of(Part::Key, key))
    }

    /// What others would refuse is better known before than from them.
    fn checked(ca: &Pem, certificate: &Pem, key: &Pem) -> Result<Ends, TlsError> {
        let anchors = anchors(ca)?;
        let visitors = visitors(&anchors).map_err(|error| ca.error(error))?;
        if let Some((own, between)) = certificate.certificates()?.split_first() {
            let vouched = visitors.verify_client_cert(own, between, UnixTime::now());
            vouched.map_err(|error| certificate.error(not_vouched(&error, ca)))?;
        }
        Ends::unchecked(ca, certificate, key)
    }

    /// As [`checked`](Ends::checked), but nobody has looked at one's own certificate yet.
    pub(super) fn unchecked(ca: &Pem, certificate: &Pem, key: &Pem) -> Result<Ends, TlsError> {
        let chain = certificate.certificates()?;
        let cant = |error: Error| match error {
            Error::InconsistentKeys(_) => key.error(format!(
                "is not the key of the certificate in {}: are the files of two bearers mixed up?",
                certificate.name()
            )),
            // Its words may tell of the key.
            Error::General(_) => key.error("holds a key of no kind that is known here: make one anew"),
            error => certificate.error(format!("can't be used ({error}): have it signed anew")),
        };
        let anchors = anchors(ca)?;
        let visitors = visitors(&anchors).map_err(|error| ca.error(error))?;
        let peers = WebPkiServerVerifier::builder_with_provider(anchors.clone(), provider()).build();
        let peers = peers.map_err(|error| ca.error(error))?;

        let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let server = server.map_err(cant)?.with_client_cert_verifier(visitors);
        let mut server = server.with_single_cert(chain.clone(), key.key()?).map_err(cant)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let client = client.map_err(cant)?.with_root_certificates(anchors);
        let mut client = client.with_client_auth_cert(chain.clone(), key.key()?).map_err(cant)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();

        Ok(Ends(Arc::new(Inner {
            own: Bearer::of(&chain, &peers),
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
            peers,
        })))
    }

    pub(super) fn own(&self) -> Credentials {
        Credentials(Some(self.0.own.clone()))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(Box<dyn Stream>, Credentials)> {
        let stream = self.0.acceptor.accept(stream).await.map_err(plainly)?;
        let credentials = self.credentials(stream.get_ref().1);
        Ok((Box::new(stream), credentials))
    }

    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        name: String,
    ) -> io::Result<(Box<dyn Stream>, Credentials)> {
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let stream = self.0.connector.connect(name, stream).await.map_err(plainly)?;
        let credentials = self.credentials(stream.get_ref().1);
        Ok((Box::new(stream), credentials))
    }

    fn credentials(&self, session: &CommonState) -> Credentials {
        Credentials(Some(Bearer::of(session.peer_certificates().unwrap_or_default(), &self.0.peers)))
    }
}

/// Whom a certificate vouches for.
#[derive(Clone)]
pub(super) struct Bearer {
    /// Invariant: the authority vouches for it, or it is one's own. None: there is no certificate, so no name.
    certificate: Option<CertificateDer<'static>>,
    is_peer: bool,
}

impl Bearer {
    /// A peer is who could also listen as one. The end that listens has seen so far only that its visitor may
    /// connect (`clientAuth`), and so may applications.
    fn of(chain: &[CertificateDer<'static>], peers: &WebPkiServerVerifier) -> Bearer {
        let Some((certificate, between)) = chain.split_first() else {
            return Bearer { certificate: None, is_peer: false };
        };
        let is_peer = ServerName::try_from(PEER).is_ok_and(|name| {
            peers.verify_server_cert(certificate, between, &name, &[], UnixTime::now()).is_ok()
        });
        Bearer { certificate: Some(certificate.clone()), is_peer }
    }

    pub(super) fn is_peer(&self) -> bool {
        self.is_peer
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        let (Some(certificate), Ok(name)) = (&self.certificate, ServerName::try_from(name)) else {
            return false;
        };
        EndEntityCert::try_from(certificate)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

/// Which of the kinds of cryptography is used does not depend on what else is in the program.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn anchors(ca: &Pem) -> Result<Arc<RootCertStore>, TlsError> {
    let mut anchors = RootCertStore::empty();
    for certificate in ca.certificates()? {
        let added = anchors.add(certificate);
        added.map_err(|_| ca.error("holds a certificate that can't be understood: copy it once more"))?;
    }
    Ok(Arc::new(anchors))
}

/// Looks at who connects: without a certificate nobody comes in.
fn visitors(anchors: &Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let verifier = WebPkiClientVerifier::builder_with_provider(anchors.clone(), provider()).build();
    verifier.map_err(|error| format!("is of no use: {error}"))
}

/// Why one's own certificate is of no use, and what to do.
fn not_vouched(error: &Error, ca: &Pem) -> String {
    use CertificateError::*;
    match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "has expired: have the authority sign a new one, or look at this machine's clock".into()
        }
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "is not valid yet: wait, or look at this machine's clock".into()
        }
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            format!("is not signed by the authority in {}: use the two that belong together", ca.name())
        }
        Error::InvalidCertificate(InvalidPurpose | InvalidPurposeContext { .. }) => {
            "may not be used to connect: have it signed with the extended key usage `clientAuth`".into()
        }
        error => format!("can't be used ({error}): have the authority in {} sign a new one", ca.name()),
    }
}

/// What went wrong between the two, in words for who has to look after it.
fn plainly(error: io::Error) -> io::Error {
    use CertificateError::*;
    let what = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it hung up during the TLS handshake".into(),
        None => return error,
        Some(Error::InvalidMessage(_)) => {
            "what it says is not TLS: was it started without certificates?".into()
        }
        Some(Error::NoCertificatesPresented) => "it shows no certificate".into(),
        Some(Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            "its certificate is not signed by our authority".into()
        }
        Some(Error::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            "its certificate has expired".into()
        }
        Some(Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            "its certificate is not valid yet".into()
        }
        Some(Error::InvalidCertificate(InvalidPurpose | InvalidPurposeContext { .. })) => {
            "its certificate is not one to listen with, or not one to connect with".into()
        }
        Some(Error::InvalidCertificate(NotValidForNameContext { expected, .. })) => {
            format!("its certificate does not have the name `{}`", expected.to_str())
        }
        Some(Error::AlertReceived(alert)) => {
            format!("it does not take our certificate, or TLS as we speak it: {alert:?}")
        }
        Some(error) => format!("no TLS with it: {error}"),
    };
    io::Error::new(error.kind(), what)
}
