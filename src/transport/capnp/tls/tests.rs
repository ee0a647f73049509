use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::{
    pem::{Part, Pem},
    *,
};

mod credentials;
mod files;
mod handshake;

const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);
const BOTH: [Usage; 2] = [Usage::ServerAuth, Usage::ClientAuth];

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
struct Signed {
    certificate: String,
    key: String,
}

fn params(names: &[&str], usages: &[Usage]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = usages.to_vec();
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    params
}

impl Authority {
    /// All have the same name: it is the key that counts.
    fn new() -> Authority {
        let mut params = params(&[], &[]);
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn peer(&self, id: u64) -> Tls {
        let name = format!("peer-{id}");
        self.tls(&self.sign(params(&["peer", &name, "localhost"], &BOTH)))
    }

    fn client(&self) -> Tls {
        self.tls(&self.sign(params(&["client"], &[Usage::ClientAuth])))
    }

    fn admin(&self) -> Tls {
        self.tls(&self.sign(params(&["client", "admin"], &[Usage::ClientAuth])))
    }

    fn tls(&self, own: &Signed) -> Tls {
        Tls::from_pem(self.pem.as_bytes(), own.certificate.as_bytes(), own.key.as_bytes()).unwrap()
    }

    /// For an end that does not look at what it shows.
    fn careless(&self, own: &Signed) -> Tls {
        let certificate = Pem::of(Part::Certificate, own.certificate.as_bytes());
        let key = Pem::of(Part::Key, own.key.as_bytes());
        let ca = Pem::of(Part::Authority, self.pem.as_bytes());
        Tls(Ends::unchecked(&ca, &certificate, &key).unwrap())
    }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (visitor, host) = tokio::join!(TcpStream::connect(address), listener.accept());
    (visitor.unwrap(), host.unwrap().0)
}

type Met = io::Result<(Box<dyn Stream>, Credentials)>;

/// What each end has of the handshake. Who fails hangs up, as its caller would.
async fn meet(visitor: &Tls, whom: Whom, host: &Tls) -> (Met, Met) {
    let (to, from) = sockets().await;
    let both = async { tokio::join!(visitor.connect(to, whom), host.accept(from)) };
    timeout(PATIENCE, both).await.expect("a handshake ends")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The error, in words.
fn refused(met: Met) -> String {
    match met {
        Ok((_, credentials)) => panic!("met {credentials:?}"),
        Err(error) => error.to_string(),
    }
}
