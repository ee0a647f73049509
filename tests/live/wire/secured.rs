//! Certificates: nobody is heard, and nobody is spoken with, who does not show the right one.

use std::time::{Duration, SystemTime};

use raft_actors::{
    client::{Remote, RemoteOptions, remote::OperatorError},
    machine::kv::{Answer, Command, Kv},
    raft::PeerId,
    transport::capnp::Tls,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::house::{Live, PATIENCE, Plan};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
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
    fn new() -> Authority {
        let mut params = params(&[], &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: &[&str], usages: &[Usage]) -> Tls {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, usages).signed_by(&key, &self.issuer).unwrap().pem();
        Tls::from_pem(self.pem.as_bytes(), certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn peer(&self, id: u64) -> Tls {
        self.sign(&["peer", &format!("peer-{id}")], &[Usage::ServerAuth, Usage::ClientAuth])
    }

    fn client(&self) -> RemoteOptions {
        options(Some(self.sign(&["client"], &[Usage::ClientAuth])))
    }

    fn admin(&self) -> RemoteOptions {
        options(Some(self.sign(&["client", "admin"], &[Usage::ClientAuth])))
    }
}

fn options(tls: Option<Tls>) -> RemoteOptions {
    let mut options = RemoteOptions::default();
    options.tls = tls;
    options
}

/// Peers that have a certificate each, of these authorities.
async fn start(of: &[(u64, &Authority)]) -> Live {
    let mut live = Live::some(Plan::of(3), &[]).await;
    for (id, authority) in of {
        live.open_as(live.plan.network(&[*id]).tls(authority.peer(*id)), *id).await;
    }
    live
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_with_certificates_elect_and_answer_those_who_have_one() {
    let authority = Authority::new();
    let live = start(&[(1, &authority), (2, &authority), (3, &authority)]).await;
    live.leader().await;
    let at = live.plan.address(1);
    let remote = Remote::connect([at.clone()], authority.client()).await.unwrap();
    let client = remote.client::<Kv>();
    assert_eq!(client.propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(1));
    // An application gives no orders, and an operator does.
    let refused = remote.operator(PeerId(1)).isolate().await;
    assert_eq!(refused, Err(OperatorError::NotAdmin { peer: PeerId(1) }));
    let operator = Remote::connect([at.clone()], authority.admin()).await.unwrap().operator(PeerId(1));
    assert_eq!(operator.status().await.unwrap().status.peer, PeerId(1));
    // Without one, or with one of another authority, nobody is let in.
    for options in [options(None), Authority::new().admin()] {
        let what = Remote::connect([at.clone()], options).await.map(drop).unwrap_err().to_string();
        assert!(what.contains(&at), "{what}");
    }
    live.until("it is told", || !live.told(1, "ConnectionRefused").is_empty()).await;
    live.until_equal(&[1, 2, 3]).await;
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_authority_is_not_spoken_with() {
    let (authority, another) = (Authority::new(), Authority::new());
    let live = start(&[(1, &authority), (2, &authority), (3, &another)]).await;
    live.leader().await;
    let remote = Remote::connect([live.plan.address(1)], authority.client()).await.unwrap();
    let client = remote.client::<Kv>().with_deadline(PATIENCE);
    assert_eq!(client.propose(&Command::append("a", "x")).await.unwrap(), Answer::Length(1));
    for (id, other) in [(1, 3), (3, 1)] {
        let down = format!("PeerDown other={other}");
        let refused = |told: &String| told.contains("what=TLS: ");
        live.until("it is told", || live.told(id, "ConnectionRefused").iter().any(refused)).await;
        live.until("it is told", || live.told(id, &down).len() == 1).await;
    }
    assert_eq!(live.status(3).last.index.0, 1, "it heard nothing");
    live.end().await;
}

/// A certificate names one peer, and its bearer is no other: it is told before anybody turns it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_does_not_start_with_the_certificate_of_another() {
    let (authority, plan) = (Authority::new(), Plan::of(3));
    let refused = plan.start(plan.network(&[3]).tls(authority.peer(2)), 3).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("the certificate is not that of peer 3"), "{refused}");
}
