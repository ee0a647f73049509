//! Files that are not what they should be, and what is said about them.

use std::{fs, path::PathBuf};

use super::*;

struct Files {
    _folder: tempfile::TempDir,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(authority: &Authority, own: &Signed) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let files = Files {
            ca: write("ca.pem", &authority.pem),
            certificate: write("peer-1.pem", &own.certificate),
            key: write("peer-1.key", &own.key),
            _folder: folder,
        };
        files.open_key_to(0o600);
        files
    }

    fn new() -> Files {
        let authority = Authority::new();
        let own = authority.sign(params(&["peer", "peer-1"], &BOTH));
        Files::of(&authority, &own)
    }

    fn open_key_to(&self, mode: u32) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&self.key, fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
    }

    fn read(&self) -> Result<Tls, TlsError> {
        Tls::read(&self.ca, &self.certificate, &self.key)
    }

    /// The error, which begins with the name of the file that is to blame.
    fn complaint(&self, blamed: &Path) -> String {
        let what = self.read().map(|_| ()).unwrap_err().to_string();
        let rest = what.strip_prefix(&format!("{} ", blamed.display()));
        rest.unwrap_or_else(|| panic!("{} is to blame: {what}", blamed.display())).to_string()
    }
}

#[test]
fn what_is_in_order_is_read() {
    let files = Files::new();
    assert!(files.read().unwrap().0.own().is_peer(PeerId(1)));
    files.open_key_to(0o400);
    files.read().unwrap();
}

#[cfg(unix)]
#[test]
fn a_key_is_its_owners_alone() {
    let files = Files::new();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o660, 0o666, 0o777] {
        files.open_key_to(mode);
        let path = files.key.display();
        assert_eq!(
            files.complaint(&files.key),
            format!("is a key that others can read: make it your own by `chmod 600 {path}`"),
            "{mode:o}"
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    for (which, whose) in
        ["the authority's certificate", "one's own certificate", "the key of one's own certificate"]
            .into_iter()
            .enumerate()
    {
        let files = Files::new();
        let path = [&files.ca, &files.certificate, &files.key][which];
        fs::remove_file(path).unwrap();
        let complaint = files.complaint(path);
        assert!(complaint.starts_with("can't be read (No such file"), "{complaint}");
        assert!(complaint.ends_with(&format!("is it the file of {whose}?")), "{complaint}");
        fs::create_dir(path).unwrap();
        files.open_key_to(0o700);
        assert!(files.complaint(path).contains("can't be read"));
    }
}

#[test]
fn garbage_is_named() {
    let bytes: Vec<u8> = (0..4_000u32).map(|n| (n * n % 251) as u8).collect();
    for garbage in [&b""[..], b"nothing to see\n", &bytes] {
        for which in 0..3 {
            let files = Files::new();
            let path = [&files.ca, &files.certificate, &files.key][which];
            fs::write(path, garbage).unwrap();
            let what = if which == 2 { "holds no key" } else { "holds no certificate" };
            let complaint = files.complaint(path);
            assert!(complaint.starts_with(what), "{complaint}");
        }
    }
}

#[test]
fn a_torn_file_is_named_and_not_quoted() {
    for which in 0..3 {
        let files = Files::new();
        let path = [&files.ca, &files.certificate, &files.key][which];
        let whole = fs::read_to_string(path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
        assert!(files.complaint(path).starts_with("is no PEM file, it ends before"));

        let line = whole.lines().nth(1).unwrap();
        fs::write(path, whole.replacen(line, &format!("{line}?secret!"), 1)).unwrap();
        let complaint = files.complaint(path);
        assert_eq!(
            complaint,
            "is no PEM file, there is something else than base64 between its lines: copy it once more"
        );

        // It is PEM, and what is in it is none of ours.
        let label = whole.lines().next().unwrap().trim_matches('-').trim_start_matches("BEGIN ");
        fs::write(path, format!("-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----\n")).unwrap();
        let complaint = files.complaint(path);
        assert!(!complaint.contains("c2Vj") && !complaint.contains("secret"), "{complaint}");
    }
}

#[test]
fn what_never_ends_is_not_read_to_its_end() {
    let files = Files::new();
    fs::write(&files.ca, vec![b'\n'; 3 << 20]).unwrap();
    assert_eq!(files.complaint(&files.ca), "is too long: is it the file of the authority's certificate?");
}

#[test]
fn files_that_are_mixed_up_are_told_apart() {
    let mut files = Files::new();
    std::mem::swap(&mut files.certificate, &mut files.key);
    let complaint = files.complaint(&files.certificate);
    assert_eq!(complaint, "holds a key and no certificate: are the files mixed up?");
    let mut files = Files::new();
    files.key = files.certificate.clone();
    assert_eq!(files.complaint(&files.key), "holds a certificate and no key: are the files mixed up?");

    let authority = Authority::new();
    let own = authority.sign(params(&["peer", "peer-1"], &BOTH));
    let files = Files::of(&authority, &own);
    fs::write(&files.key, &own.certificate).unwrap();
    assert_eq!(files.complaint(&files.key), "holds a certificate and no key: are the files mixed up?");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&files.key, encrypted).unwrap();
    assert!(files.complaint(&files.key).starts_with("is encrypted"));

    let another = authority.sign(params(&["peer", "peer-2"], &BOTH));
    fs::write(&files.key, &another.key).unwrap();
    assert_eq!(
        files.complaint(&files.key),
        format!(
            "is not the key of the certificate in {}: are the files of two bearers mixed up?",
            files.certificate.display()
        )
    );
}

#[test]
fn what_others_would_refuse_is_known_before() {
    let authority = Authority::new();
    let ca = |files: &Files| files.ca.display().to_string();

    let files = Files::of(&authority, &Authority::new().sign(params(&["peer", "peer-1"], &BOTH)));
    assert_eq!(
        files.complaint(&files.certificate),
        format!("is not signed by the authority in {}: use the two that belong together", ca(&files))
    );

    let mut over = params(&["peer", "peer-1"], &BOTH);
    over.not_before = (SystemTime::now() - 3 * DAY).into();
    over.not_after = (SystemTime::now() - DAY).into();
    let files = Files::of(&authority, &authority.sign(over));
    assert!(files.complaint(&files.certificate).starts_with("has expired"));

    let mut early = params(&["peer", "peer-1"], &BOTH);
    early.not_before = (SystemTime::now() + DAY).into();
    let files = Files::of(&authority, &authority.sign(early));
    assert!(files.complaint(&files.certificate).starts_with("is not valid yet"));

    let files = Files::of(&authority, &authority.sign(params(&["peer", "peer-1"], &[Usage::ServerAuth])));
    assert!(files.complaint(&files.certificate).starts_with("may not be used to connect"));
}

#[test]
fn texts_that_are_no_files_are_named_too() {
    let complaint =
        |ca: &[u8], own: &[u8], key: &[u8]| Tls::from_pem(ca, own, key).map(|_| ()).unwrap_err().what;
    let authority = Authority::new();
    let own = authority.sign(params(&["peer", "peer-1"], &BOTH));
    let (ca, own, key) = (authority.pem.as_bytes(), own.certificate.as_bytes(), own.key.as_bytes());
    assert!(complaint(b"", own, key).starts_with("the PEM text of the authority's certificate holds no"));
    assert!(complaint(ca, b"", key).starts_with("the PEM text of one's own certificate holds no"));
    assert!(complaint(ca, own, b"").starts_with("the PEM text of the key of one's own certificate holds no"));
}
