//! What must hold of an identity on disk and of the credentials made from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fieldgate_model::{GatewayId, UtcMillis};

use super::*;

const NOW: UtcMillis = UtcMillis(1_790_000_000_000);

/// A folder of its own, removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("fieldgate-identity-{}", new_secret());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the temporary folder is writable");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("identity").join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the test's own folder");
    }
}

fn open(folder: &Folder, names: &[&str]) -> Result<Identity, IdentityError> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Identity::open(&folder.0, &names, NOW)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the identity has made it")
}

#[test]
fn an_identity_survives_a_restart_unchanged() {
    let folder = Folder::new();
    let first = open(&folder, &["cloud.example.com"]).expect("made");
    let server = text(&folder.file("server.pem"));
    let second = open(&folder, &["cloud.example.com"]).expect("opened");
    assert_eq!(first.instance(), second.instance());
    assert_eq!(first.ca(), second.ca());
    assert_eq!(server, text(&folder.file("server.pem")));
}

#[test]
fn other_public_names_issue_the_server_certificate_again_under_the_same_authority() {
    let folder = Folder::new();
    let first = open(&folder, &[]).expect("made");
    let before = text(&folder.file("server.pem"));
    let second = open(&folder, &["192.0.2.7", "Cloud.Example.com"]).expect("opened");
    let after = text(&folder.file("server.pem"));
    assert_ne!(before, after);
    assert!(after.starts_with("names: 127.0.0.1 192.0.2.7 ::1 cloud.example.com localhost\n"));
    assert_eq!(first.ca(), second.ca());
}

#[test]
fn a_damaged_server_certificate_is_issued_again() {
    let folder = Folder::new();
    open(&folder, &[]).expect("made");
    let header = text(&folder.file("server.pem")).lines().next().expect("a header").to_owned();
    fs::write(folder.file("server.pem"), header + "\ngarbage").expect("writable");
    open(&folder, &[]).expect("issued again");
    assert!(text(&folder.file("server.pem")).contains("BEGIN PRIVATE KEY"));
}

#[test]
fn a_lost_or_foreign_authority_key_is_an_error_and_makes_nothing() {
    let (folder, other) = (Folder::new(), Folder::new());
    open(&folder, &[]).expect("made");
    open(&other, &[]).expect("made");
    let ca = text(&folder.file("ca.pem"));
    fs::copy(other.file("ca.key"), folder.file("ca.key")).expect("copied");
    assert!(matches!(open(&folder, &[]), Err(IdentityError::Damaged { .. })));
    fs::remove_file(folder.file("ca.key")).expect("removed");
    assert!(matches!(open(&folder, &[]), Err(IdentityError::Damaged { .. })));
    assert_eq!(ca, text(&folder.file("ca.pem")));
    assert!(!folder.file("ca.key").exists());
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let folder = Folder::new();
    open(&folder, &[]).expect("made");
    for name in ["ca.key", "server.pem"] {
        let mode = fs::metadata(folder.file(name)).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(folder.0.join("identity")).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_public_name_that_is_no_name_is_refused() {
    for name in ["", "two words", "http://x", "a..b"] {
        let refused = open(&Folder::new(), &[name]);
        assert!(matches!(refused, Err(IdentityError::Name(_))), "{name}");
    }
}

#[test]
fn credentials_come_back_from_their_file_and_hide_the_secret() {
    let folder = Folder::new();
    let identity = open(&folder, &[]).expect("made");
    let credentials = Credentials {
        gateway: GatewayId::new("gw1").expect("an id"),
        secret: new_secret(),
        url: String::from("mqtts://cloud.example.com:8883"),
        ca: identity.ca().to_owned(),
    };
    let file = credentials.to_toml();
    assert_eq!(Credentials::parse(&file).expect("its own file"), credentials);
    assert!(!format!("{credentials:?}").contains(&credentials.secret));
    assert!(file.contains("-----BEGIN CERTIFICATE-----\n"), "readable PEM: {file}");
}

#[test]
fn a_wrong_credentials_file_is_refused_without_quoting_it() {
    let wrong = [
        "secret = 'hush'",
        "gateway = 'a/b'\nsecret = 'hush'\nurl = 'u'\nca = 'c'",
        "gateway = 'a'\nsecret = 'hush'\nurl = ''\nca = 'c'",
        "gateway = 'a'\nsecret = 'hush",
    ];
    for text in wrong {
        let error = Credentials::parse(text).expect_err(text).to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn secrets_differ_and_only_the_right_one_matches_its_hash() {
    let (one, two) = (new_secret(), new_secret());
    assert_eq!(one.len(), 64);
    assert_ne!(one, two);
    let hash = secret_hash(one.as_bytes());
    assert!(secret_matches(one.as_bytes(), &hash));
    assert!(!secret_matches(two.as_bytes(), &hash));
    assert!(!secret_matches(b"", &hash));
    // FIPS 180-2 appendix B.1.
    assert_eq!(credentials::hex(&secret_hash(b"abc")).get(..8), Some("ba7816bf"));
}
