//! The certificates that `peer certs` makes are ones that TLS here takes, and say who their bearers are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use raft_actors::transport::capnp::Tls;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, KeyUsage};

#[path = "../../../examples/peer/certs.rs"]
mod certs;

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect()
}

fn read(dir: &Path, whose: &str) -> Tls {
    let [certificate, key] = ["pem", "key"].map(|ending| dir.join(format!("{whose}.{ending}")));
    Tls::read(&dir.join("ca.pem"), &certificate, &key).unwrap()
}

/// Which of these names a certificate has.
fn has_names(dir: &Path, whose: &str, asked: &[&str]) -> Vec<String> {
    let der = CertificateDer::from_pem_file(dir.join(format!("{whose}.pem"))).unwrap();
    let certificate = EndEntityCert::try_from(&der).unwrap();
    let has = |name: &&&str| {
        certificate.verify_is_valid_for_subject_name(&ServerName::try_from(**name).unwrap()).is_ok()
    };
    asked.iter().filter(has).map(|name| name.to_string()).collect()
}

fn is_for(dir: &Path, whose: &str, usage: KeyUsage, at: UnixTime) -> bool {
    let ca = CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap();
    let der = CertificateDer::from_pem_file(dir.join(format!("{whose}.pem"))).unwrap();
    let anchors = [webpki::anchor_from_trusted_cert(&ca).unwrap()];
    let certificate = EndEntityCert::try_from(&der).unwrap();
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    certificate.verify_for_usage(algorithms, &anchors, &[], at, usage, None, None).is_ok()
}

#[test]
fn everybody_gets_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    let made = names(&certs::make(&dir, 2, &["db.example.org".into(), "10.77.0.1".into()]).unwrap());
    let wanted = ["ca", "peer-1", "peer-2", "client", "admin"];
    assert_eq!(made, wanted.map(|it| [format!("{it}.key"), format!("{it}.pem")]).concat());

    let asked =
        ["peer", "peer-1", "peer-2", "client", "admin", "localhost", "db.example.org", "10.77.0.1", "ca"];
    for (whose, its) in [
        ("peer-1", &["peer", "peer-1", "localhost", "db.example.org", "10.77.0.1"][..]),
        ("peer-2", &["peer", "peer-2", "localhost", "db.example.org", "10.77.0.1"]),
        ("client", &["client"]),
        ("admin", &["client", "admin"]),
    ] {
        read(&dir, whose);
        assert_eq!(has_names(&dir, whose, &asked), its);
        let now = UnixTime::now();
        assert!(is_for(&dir, whose, KeyUsage::client_auth(), now));
        assert_eq!(is_for(&dir, whose, KeyUsage::server_auth(), now), whose.starts_with("peer"));
        let years = |n: u64| {
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs() + n * 31_557_600))
        };
        assert!(is_for(&dir, whose, KeyUsage::client_auth(), years(9)));
        assert!(!is_for(&dir, whose, KeyUsage::client_auth(), years(11)));
    }
}

#[cfg(unix)]
#[test]
fn keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in certs::make(&dir, 1, &[]).unwrap() {
        if path.extension().unwrap() == "key" {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn peers_are_added_by_the_authority_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    certs::make(dir.path(), 2, &[]).unwrap();
    let all = || {
        let mut texts: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        texts.sort();
        texts.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = all();
    assert!(certs::make(dir.path(), 2, &[]).unwrap().is_empty());
    assert_eq!(all(), before);

    assert_eq!(names(&certs::make(dir.path(), 3, &[]).unwrap()), ["peer-3.key", "peer-3.pem"]);
    read(dir.path(), "peer-3");
    for old in before {
        assert_eq!(fs::read(&old.1).unwrap(), old.0);
    }
}

#[test]
fn what_is_in_the_way_is_said_and_left_alone() {
    let complaint = |dir: &Path| certs::make(dir, 1, &[]).unwrap_err();
    for (kept, there, lost) in [
        (&["peer-1.pem"][..], "peer-1.pem", "peer-1.key"),
        (&["admin.key"], "admin.key", "admin.pem"),
        (&["ca.pem"], "ca.pem", "ca.key"),
        (&["ca.key"], "ca.key", "ca.pem"),
        (&["client.pem", "client.key"], "client.pem", "ca.pem"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for name in kept {
            fs::write(dir.path().join(name), "mine").unwrap();
        }
        let (there, lost) = (dir.path().join(there), dir.path().join(lost));
        let what = complaint(dir.path());
        let begin =
            format!("{} is there and is not overwritten, and {} is not", there.display(), lost.display());
        assert!(what.starts_with(&begin), "{what}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), kept.len());
        assert_eq!(fs::read(&there).unwrap(), b"mine");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(complaint(&file).starts_with(&format!("the folder {} can't be made", file.display())));
}

/// A link is not written through.
#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(dir.path().join("certs")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.path().join("certs/ca.key")).unwrap();
    let what = certs::make(&dir.path().join("certs"), 1, &[]).unwrap_err();
    assert!(what.contains("is not overwritten"), "{what}");
    assert!(!elsewhere.exists());
}

#[test]
fn another_authority_signs_nothing() {
    let (ours, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certs::make(ours.path(), 1, &[]).unwrap();
    certs::make(foreign.path(), 1, &[]).unwrap();
    fs::copy(foreign.path().join("ca.key"), ours.path().join("ca.key")).unwrap();
    let what = certs::make(ours.path(), 2, &[]).unwrap_err();
    assert!(what.contains("the key beside it is another's"), "{what}");
    assert!(!ours.path().join("peer-2.key").exists() && !ours.path().join("peer-2.pem").exists());

    fs::write(ours.path().join("ca.key"), "nothing").unwrap();
    let what = certs::make(ours.path(), 2, &[]).unwrap_err();
    assert!(what.contains("ca.key is not the key of an authority"), "{what}");
}

#[test]
fn hosts_do_not_say_who_somebody_is() {
    let dir = tempfile::tempdir().unwrap();
    for host in
        ["peer", "client", "admin", "Admin", "peer-2", "PEER-2", "admin.", "*.org", "a:1", "", "a b", "ü"]
    {
        let what = certs::make(dir.path(), 1, &[host.to_string()]).unwrap_err();
        assert!(what.contains(&format!("`{host}`")), "{what}");
    }
    certs::make(dir.path(), 1_001, &[]).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    certs::make(dir.path(), 1, &["::1".into(), "admin.example.org".into(), "localhost".into()]).unwrap();
}
