//! What certificates say of their bearers.

use super::*;

/// What the host learns of a visitor: peer 2, peer 3, client, admin.
async fn says(host: &Tls, visitor: &Tls) -> [bool; 4] {
    let (met, come) = meet(visitor, Whom::AnyPeer, host).await;
    let theirs = come.unwrap().1;
    assert!(met.unwrap().1.is_peer(PeerId(1)));
    answers(&theirs)
}

fn answers(theirs: &Credentials) -> [bool; 4] {
    [theirs.is_peer(PeerId(2)), theirs.is_peer(PeerId(3)), theirs.is_client(), theirs.is_admin()]
}

#[test]
fn each_is_who_its_names_say() {
    runtime().block_on(async {
        let authority = Authority::new();
        let host = authority.peer(1);
        assert_eq!(says(&host, &authority.peer(2)).await, [true, false, true, false]);
        assert_eq!(says(&host, &authority.peer(3)).await, [false, true, true, false]);
        assert_eq!(says(&host, &authority.peer(23)).await, [false, false, true, false]);
        assert_eq!(says(&host, &authority.client()).await, [false, false, true, false]);
        assert_eq!(says(&host, &authority.admin()).await, [false, false, true, true]);
    });
}

#[test]
fn other_names_say_nothing() {
    runtime().block_on(async {
        let authority = Authority::new();
        let host = authority.peer(1);
        let strange = ["example.org", "10.0.0.1", "administrator", "peer-2.example.org", "*.peer-3"];
        let stranger = authority.tls(&authority.sign(params(&strange, &BOTH)));
        assert_eq!(says(&host, &stranger).await, [false; 4]);

        let admin = authority.sign(params(&["admin"], &[Usage::ClientAuth]));
        assert_eq!(says(&host, &authority.tls(&admin)).await, [false, false, true, true]);

        let mut named = params(&["client"], &[Usage::ClientAuth]);
        named.distinguished_name.push(DnType::CommonName, "admin");
        assert_eq!(says(&host, &authority.tls(&authority.sign(named))).await, [false, false, true, false]);
    });
}

/// An authority that signs what an application sent it, names and all, for `clientAuth`, has made no peer.
#[test]
fn a_peers_names_without_its_usage_make_no_peer() {
    runtime().block_on(async {
        let authority = Authority::new();
        let names = ["peer", "peer-2", "client"];
        let posing = authority.tls(&authority.sign(params(&names, &[Usage::ClientAuth])));
        assert_eq!(says(&authority.peer(1), &posing).await, [false, false, true, false]);

        let names = ["peer", "peer-2"];
        let posing = authority.tls(&authority.sign(params(&names, &[Usage::ClientAuth])));
        assert_eq!(says(&authority.peer(1), &posing).await, [false; 4]);
    });
}

#[test]
fn a_peer_has_both_of_its_names() {
    runtime().block_on(async {
        let authority = Authority::new();
        let half = authority.tls(&authority.sign(params(&["peer-2"], &BOTH)));
        assert_eq!(says(&authority.peer(1), &half).await, [false; 4]);
    });
}

#[test]
fn ones_own_certificate_says_who_one_is() {
    let authority = Authority::new();
    assert_eq!(answers(&authority.peer(3).0.own()), [false, true, true, false]);
    assert_eq!(answers(&authority.admin().0.own()), [false, false, true, true]);
}

#[test]
fn without_tls_nobody_can_be_told_from_anybody() {
    assert_eq!(answers(&Credentials::unknown()), [true; 4]);
    assert_eq!(format!("{:?}", Credentials::unknown()), "unknown");
}

#[test]
fn nothing_secret_is_shown() {
    let authority = Authority::new();
    assert_eq!(format!("{:?}", authority.peer(2)), "Tls");
    assert_eq!(format!("{:?}", authority.peer(2).0.own()), "a peer");
    assert_eq!(format!("{:?}", authority.admin().0.own()), "an operator");
    assert_eq!(format!("{:?}", authority.client().0.own()), "an application");
}
