//! Sessions of an operator at the command line: data, talk and exit status.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::support::TempDir;

/// Runs a verb; gives status, stdout and stderr.
fn cloud(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fieldgate-cloud"))
        .arg("--data")
        .arg(folder.path().join("data"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_first_session_makes_a_tenant_a_token_and_a_gateway() {
    let folder = TempDir::new();
    let (status, out, talk) = cloud(&folder, &["tenant", "add", "acme", "--name", "Acme Pumps"]);
    assert_eq!((status, out.as_str()), (0, "acme\n"));
    assert!(talk.starts_with("made `"), "{talk}");
    let (status, out, _) = cloud(
        &folder,
        &["token", "add", "--tenant", "acme", "--scopes", "read command", "x", "--json"],
    );
    assert_eq!(status, 0);
    let token = json(&out);
    assert!(token["token"].as_str().is_some_and(|text| text.starts_with("fgt_")), "{token}");
    assert_eq!(token["scopes"], "read command");
    let file = folder.path().join("credentials.toml");
    let path = file.to_str().expect("UTF-8");
    let url = "mqtts://cloud.example.com:8883";
    let add = ["gateway", "add", "--tenant", "acme", "p1", "--url", url, "--out", path];
    let (status, out, talk) = cloud(&folder, &add);
    assert_eq!(status, 0, "{talk}");
    let credentials = std::fs::read_to_string(&file).expect("the file is there");
    let mode = std::fs::metadata(&file).expect("the file is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(credentials.contains(&format!("gateway = \"{}\"", out.trim())), "{credentials}");
    let (status, _, talk) = cloud(&folder, &add);
    assert_eq!(status, 1, "the file is not overwritten");
    assert!(talk.starts_with("error: cannot write"), "{talk}");
    let (_, out, _) = cloud(&folder, &["gateway", "list", "--json"]);
    assert_eq!(json(&out).as_array().map(Vec::len), Some(1), "{out}");
    let (status, out, _) = cloud(&folder, &["token", "revoke", "--tenant", "acme", "nope"]);
    assert_eq!((status, out.as_str()), (1, ""));
    let (status, _, talk) = cloud(&folder, &["check"]);
    assert_eq!(status, 0, "{talk}");
}

#[test]
fn bad_use_is_refused_with_the_right_status() {
    let folder = TempDir::new();
    for (arguments, status, word) in [
        (&["tenant", "add", "a/b"][..], 2, "may use"),
        (&["token", "add", "--tenant", "acme", "--scopes", "write", "x"], 2, "no scope `write`"),
        (&["token", "add", "x"], 2, "--tenant"),
        (&["nonsense"], 2, "nonsense"),
        (&["serve", "--mqtt-plain", "0.0.0.0:0", "--http", "127.0.0.1:0"], 2, "hint: "),
        (&["serve", "--broker", "nonsense", "--http", "127.0.0.1:0"], 2, "mqtt"),
        (&["serve", "--broker", "mqtt://h", "--mqtt", "127.0.0.1:0"], 2, "--mqtt"),
        (&["check"], 1, ""),
        (&["tenant", "suspend", "nobody"], 1, "hint: "),
        (&["gateway", "add", "--tenant", "management", "g"], 1, "--url"),
        (&["console-link", "--tenant", "nobody"], 1, "no tenant `nobody`"),
    ] {
        let (found, out, talk) = cloud(&folder, arguments);
        assert_eq!(found, status, "{arguments:?}: {talk}");
        assert!(talk.contains(word), "{arguments:?}: {talk}");
        assert!(out.is_empty() || arguments == ["check"], "{arguments:?}: {out}");
    }
}

#[test]
fn completions_and_help_are_data() {
    let folder = TempDir::new();
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = cloud(&folder, &["completions", shell]);
        assert_eq!(status, 0);
        assert!(out.contains("console-link"), "{shell}");
    }
    let (status, out, _) = cloud(&folder, &["--help"]);
    assert_eq!(status, 0);
    assert!(out.contains("Examples:"), "{out}");
}

#[test]
fn the_service_says_where_it_listens_keeps_others_out_and_stops_when_told() {
    let folder = TempDir::new();
    let data = folder.path().join("data");
    let serve = ["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json", "--data"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldgate-cloud"))
        .args(serve)
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line comes");
    let address = json(&line)["mqtt"].as_str().expect("an address").to_owned();
    let (status, _, talk) =
        cloud(&folder, &["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    assert_eq!(status, 1);
    assert!(talk.contains("in use by another `serve`"), "{talk}");
    // The verbs know where it listens.
    let (_, out, _) = cloud(&folder, &["gateway", "add", "--tenant", "management", "g", "--json"]);
    assert_eq!(json(&out)["url"], format!("mqtts://{address}"));
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
    let begun = std::time::Instant::now();
    assert!(child.wait().expect("it ends").success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}
