//! Who comes in, and who is taken for whom, over real sockets.

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::TLS13,
    },
};

use super::*;

/// The visitor learns of it when it reads, if not before.
async fn sees_the_end(met: Met) {
    if let Ok((mut stream, _)) = met {
        let read = timeout(PATIENCE, stream.read_u8()).await.expect("a refusal ends the connection");
        assert!(read.is_err());
    }
}

/// What a host says of a visitor that it refuses.
async fn turned_away(host: &Tls, visitor: &Tls) -> String {
    let (met, come) = meet(visitor, Whom::AnyPeer, host).await;
    let words = refused(come);
    sees_the_end(met).await;
    words
}

#[test]
fn two_of_one_authority_speak() {
    runtime().block_on(async {
        let authority = Authority::new();
        let (met, come) = meet(&authority.peer(1), Whom::Peer(PeerId(2)), &authority.peer(2)).await;
        let ((mut here, host), (mut there, visitor)) = (met.unwrap(), come.unwrap());
        assert!(host.is_peer(PeerId(2)) && visitor.is_peer(PeerId(1)));

        let mut heard = [0; 5];
        here.write_all(b"hello").await.unwrap();
        here.flush().await.unwrap();
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        there.write_all(b"world").await.unwrap();
        there.flush().await.unwrap();
        here.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"world");

        here.shutdown().await.unwrap();
        assert_eq!(there.read(&mut heard).await.unwrap(), 0);
    });
}

#[test]
fn a_chain_leads_to_the_authority() {
    runtime().block_on(async {
        let authority = Authority::new();
        let mut between = params(&[], &[]);
        between.distinguished_name.push(DnType::CommonName, "in between");
        between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = between.signed_by(&key, &authority.issuer).unwrap().pem();
        let between = Authority { pem: pem.clone(), issuer: Issuer::new(between, key) };

        let mut own = between.sign(params(&["peer", "peer-2"], &BOTH));
        own.certificate += &pem;
        let (met, come) = meet(&authority.tls(&own), Whom::AnyPeer, &authority.peer(1)).await;
        assert!(come.unwrap().1.is_peer(PeerId(2)));
        assert!(met.is_ok());
    });
}

#[test]
fn two_authorities_may_follow_each_other() {
    runtime().block_on(async {
        let (old, new) = (Authority::new(), Authority::new());
        let own = old.sign(params(&["peer", "peer-1"], &BOTH));
        let both = [old.pem.as_bytes(), new.pem.as_bytes()].concat();
        let host = Tls::from_pem(&both, own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
        let next = new.sign(params(&["peer", "peer-2"], &BOTH));
        let visitor = Tls::from_pem(&both, next.certificate.as_bytes(), next.key.as_bytes()).unwrap();
        let (met, come) = meet(&visitor, Whom::Peer(PeerId(1)), &host).await;
        assert!(met.is_ok() && come.unwrap().1.is_peer(PeerId(2)));
    });
}

#[test]
fn nobody_comes_in_without_a_certificate() {
    runtime().block_on(async {
        let authority = Authority::new();
        let mut anchors = RootCertStore::empty();
        anchors.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(anchors);
        let (to, from) = sockets().await;
        let connector = TlsConnector::from(std::sync::Arc::new(client.with_no_client_auth()));
        let host = authority.peer(1);
        let name = ServerName::try_from("peer").unwrap();
        let both = async { tokio::join!(connector.connect(name, to), host.accept(from)) };
        let (met, come) = timeout(PATIENCE, both).await.unwrap();
        assert_eq!(refused(come), "it shows no certificate");
        sees_the_end(met.map(|stream| (Box::new(stream) as _, Credentials::unknown()))).await;
    });
}

#[test]
fn another_authority_counts_for_nothing() {
    runtime().block_on(async {
        let (ours, foreign) = (Authority::new(), Authority::new());
        let stranger = foreign.sign(params(&["peer", "peer-2"], &BOTH));
        let (met, come) = meet(&ours.peer(1), Whom::AnyPeer, &foreign.peer(2)).await;
        assert_eq!(refused(met), "its certificate is not signed by our authority");
        assert!(refused(come).starts_with("it does not take our certificate"));
        // A visitor that takes us for what we are, and is none of us.
        let words = turned_away(&ours.peer(1), &ours.careless(&stranger)).await;
        assert_eq!(words, "its certificate is not signed by our authority");
    });
}

/// What a certificate is for is for the authority to say: who has one can't make another.
#[test]
fn a_bearer_is_no_authority() {
    runtime().block_on(async {
        let authority = Authority::new();
        let own = params(&["client"], &[Usage::ClientAuth]);
        let key = KeyPair::generate().unwrap();
        let pem = own.signed_by(&key, &authority.issuer).unwrap().pem();
        let bearer = Authority { pem: pem.clone(), issuer: Issuer::new(own, key) };
        let mut forged = bearer.sign(params(&["peer", "peer-3"], &BOTH));
        forged.certificate += &pem;
        let words = turned_away(&authority.peer(1), &authority.careless(&forged)).await;
        assert!(words.starts_with("no TLS with it: invalid peer certificate"), "{words}");
    });
}

#[test]
fn a_certificate_has_its_time() {
    runtime().block_on(async {
        let authority = Authority::new();
        let mut over = params(&["peer", "peer-2"], &BOTH);
        over.not_before = (SystemTime::now() - 3 * DAY).into();
        over.not_after = (SystemTime::now() - DAY).into();
        let mut early = params(&["peer", "peer-2"], &BOTH);
        early.not_before = (SystemTime::now() + DAY).into();
        early.not_after = (SystemTime::now() + 3 * DAY).into();

        for (own, words) in [
            (authority.sign(over), "its certificate has expired"),
            (authority.sign(early), "its certificate is not valid yet"),
        ] {
            let bearer = authority.careless(&own);
            assert_eq!(turned_away(&authority.peer(1), &bearer).await, words);
            let (met, come) = meet(&authority.peer(1), Whom::AnyPeer, &bearer).await;
            assert_eq!(refused(met), words);
            assert!(come.is_err());
        }
    });
}

#[test]
fn who_may_only_connect_can_not_listen() {
    runtime().block_on(async {
        let authority = Authority::new();
        let posing = authority.sign(params(&["peer", "peer-2"], &[Usage::ClientAuth]));
        let (met, come) = meet(&authority.client(), Whom::AnyPeer, &authority.tls(&posing)).await;
        assert_eq!(refused(met), "its certificate is not one to listen with, or not one to connect with");
        assert!(come.is_err());
        let (met, _) = meet(&authority.client(), Whom::AnyPeer, &authority.admin()).await;
        refused(met);
    });
}

#[test]
fn who_may_only_listen_can_not_connect() {
    runtime().block_on(async {
        let authority = Authority::new();
        let own = authority.sign(params(&["peer", "peer-2"], &[Usage::ServerAuth]));
        let words = turned_away(&authority.peer(1), &authority.careless(&own)).await;
        assert_eq!(words, "its certificate is not one to listen with, or not one to connect with");
    });
}

#[test]
fn peer_2_is_not_peer_3() {
    runtime().block_on(async {
        let authority = Authority::new();
        for other in [2, 33] {
            let host = authority.peer(other);
            let (met, come) = meet(&authority.peer(1), Whom::Peer(PeerId(3)), &host).await;
            assert_eq!(refused(met), "its certificate does not have the name `peer-3`");
            assert!(refused(come).starts_with("it does not take our certificate"));
        }
        // Nor is one by being any peer, or any peer by being one.
        let half = authority.tls(&authority.sign(params(&["peer"], &BOTH)));
        refused(meet(&authority.peer(1), Whom::Peer(PeerId(3)), &half).await.0);
        let half = authority.tls(&authority.sign(params(&["peer-3"], &BOTH)));
        refused(meet(&authority.peer(1), Whom::AnyPeer, &half).await.0);
    });
}

#[test]
fn what_is_no_tls_ends_at_once() {
    runtime().block_on(async {
        let authority = Authority::new();
        // The first frame of Cap'n Proto: one segment of three words.
        for plain in [&[0, 0, 0, 0, 3, 0, 0, 0][..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64]] {
            let (mut to, from) = sockets().await;
            to.write_all(plain).await.unwrap();
            let come = timeout(PATIENCE, authority.peer(1).accept(from)).await.expect("not a hang");
            assert_eq!(refused(come), "what it says is not TLS: was it started without certificates?");
            let mut rest = Vec::new();
            let _ = timeout(PATIENCE, to.read_to_end(&mut rest)).await.expect("it is hung up on");
        }
        // And the other way round.
        let (to, mut from) = sockets().await;
        from.write_all(&[0, 0, 0, 0, 3, 0, 0, 0]).await.unwrap();
        let met = timeout(PATIENCE, authority.peer(1).connect(to, Whom::AnyPeer)).await.expect("not a hang");
        assert_eq!(refused(met), "what it says is not TLS: was it started without certificates?");
    });
}

#[test]
fn who_hangs_up_is_not_waited_for() {
    runtime().block_on(async {
        let (to, from) = sockets().await;
        drop(to);
        let come = timeout(PATIENCE, Authority::new().peer(1).accept(from)).await.expect("not a hang");
        assert_eq!(refused(come), "it hung up during the TLS handshake");
    });
}

/// Who means to speak another protocol is not listened to; who names none is.
#[test]
fn the_protocol_inside_has_a_name() {
    runtime().block_on(async {
        let authority = Authority::new();
        let own = authority.sign(params(&["client"], &[Usage::ClientAuth]));
        for (protocols, welcome) in
            [(vec![b"h2".to_vec()], false), (vec![b"raft-actors/1".to_vec()], true), (vec![], true)]
        {
            let mut anchors = RootCertStore::empty();
            anchors.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let mut client = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_root_certificates(anchors)
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap(),
                )
                .unwrap();
            client.alpn_protocols = protocols;
            let (to, from) = sockets().await;
            let connector = TlsConnector::from(std::sync::Arc::new(client));
            let host = authority.peer(1);
            let name = ServerName::try_from("peer-1").unwrap();
            let both = async { tokio::join!(connector.connect(name, to), host.accept(from)) };
            let (met, come) = timeout(PATIENCE, both).await.unwrap();
            assert_eq!((met.is_ok(), come.is_ok()), (welcome, welcome));
        }
    });
}
