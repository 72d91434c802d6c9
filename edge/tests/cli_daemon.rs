//! Sessions of a technician with a running daemon and simulated devices, all real processes.

mod cli_kit;

use std::time::{Duration, Instant};

use cli_kit::{Daemon, Done, Simulated, Site, eventually};
use fieldgate_model::{Content, Stream};
use rustix::process::Signal;
use serde_json::{Value as Json, json};

/// What a daemon says at its start after one that did not stop in order.
const UNCLEAN: &str = "the last run did not stop in order";

struct Session {
    // Dropped in this order: first who asks, then who is asked.
    daemon: Daemon,
    devices: Simulated,
    site: Site,
}

impl Session {
    fn start() -> Self {
        let site = Site::new();
        let devices = Simulated::start(&site, &["demo-meter", "demo-pump"]);
        let config = site.configure(&devices.address);
        let daemon = Daemon::start(&site, &config, "first.log");
        let session = Self { daemon, devices, site };
        eventually("both devices give data", || {
            let status = session.json(&["status"]);
            ["meter", "pump"].into_iter().all(|name| {
                let device = device(&status, name);
                device["state"] == "ok" && device["bad_signals"] == 0
            })
        });
        session
    }

    fn run(&self, args: &[&str]) -> Done {
        self.site.run(&[args, &["--config", "site.toml"]].concat())
    }

    fn json(&self, args: &[&str]) -> Json {
        self.run(&[args, &["--json"]].concat()).json()
    }

    /// A verb that must be refused: exit status 1 and what it says.
    fn check_refused(&self, args: &[&str], expected: &str) {
        let done = self.run(args);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{args:?}: {done:?}");
        assert_eq!(done.err, expected, "{args:?}");
    }
}

fn device<'a>(status: &'a Json, name: &str) -> &'a Json {
    let devices = status["devices"].as_array().expect("a list");
    devices.iter().find(|device| device["device"] == name).expect("it is configured")
}

#[test]
fn a_healthy_gateway_reads_on_one_screen() {
    let session = Session::start();
    let done = session.run(&["status"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.out.starts_with("gateway test-site, fieldgate "), "{done:?}");
    assert!(done.out.contains("cloud: none, working alone"), "{done:?}");
    assert!(done.out.lines().count() <= 24, "{done:?}");
}

#[test]
fn a_device_is_read_at_once() {
    let session = Session::start();
    let held = r#"{"device": "demo-meter", "signal": "voltage_l1", "value": 230.5}"#;
    session.devices.control(held);
    let jobs = |status: Json| status["buses"][0]["jobs"].as_u64().expect("a number");
    let before = jobs(session.json(&["status"]));
    let read = session.json(&["read", "meter", "voltage_l1", "serial"]);
    assert_eq!(read["device"], "meter");
    let signal = &read["signals"][0];
    assert_eq!(
        [&signal["signal"], &signal["value"], &signal["unit"], &signal["quality"]],
        [&json!("voltage_l1"), &json!(230.5), &json!("V"), &json!("good")]
    );
    let at = signal["at"].as_str().expect("a time");
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(read["signals"].as_array().expect("a list").len(), 2);
    assert_eq!(jobs(session.json(&["status"])), before + 1, "it went over the live bus");
    let all = session.json(&["read", "meter"]);
    assert_eq!(all["signals"].as_array().expect("a list").len(), 40);
}

#[test]
fn what_a_parser_gives_is_said_to_come_from_the_last_poll() {
    let session = Session::start();
    let done = session.run(&["read", "pump", "speed", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(
        done.err,
        "as they came last, since only a parser or the device itself gives them: all\n"
    );
    assert_eq!(done.json()["signals"][0]["quality"], "good");
}

#[test]
fn a_write_is_verified_and_recorded() {
    let session = Session::start();
    let planned = session.json(&["write", "meter", "setpoint", "42.5", "--dry-run"]);
    assert_eq!(planned["request"], "FC 6 hr:0 (4x0001) = 0x01A9");
    assert_eq!(planned["done"], false);
    let before = session.json(&["read", "meter", "setpoint"]);
    assert_ne!(before["signals"][0]["value"], 42.5, "a dry run writes nothing");

    let done = session.json(&["write", "meter", "setpoint", "42.5", "--yes"]);
    assert_eq!([&done["done"], &done["read_back"]], [&json!(true), &json!(42.5)]);
    let after = session.json(&["read", "meter", "setpoint"]);
    assert_eq!(after["signals"][0]["value"], 42.5);
    let done = session.run(&["write", "meter", "relay", "on", "--yes"]);
    let expected = "wrote true to meter/relay (FC 5 co:0 (0x0001) = 1), reads back true\n";
    assert_eq!((done.code, done.out.as_str()), (Some(0), expected), "{done:?}");

    let log = session.daemon.log();
    let uid = rustix::process::getuid().as_raw();
    let recorded: Vec<&str> =
        log.lines().filter(|line| line.contains("technician wrote")).collect();
    assert_eq!(recorded.len(), 2, "{log}");
    assert!(recorded[0].contains(&format!("uid={uid} target=\"meter/setpoint\"")), "{log}");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason() {
    let session = Session::start();
    for (args, expected) in [
        (
            &["read", "metre"][..],
            "error: there is no device `metre`\nhint: known are `meter`, `pump`\n",
        ),
        (
            &["read", "meter", "voltage"],
            "error: device `meter` has no signal `voltage`\nhint: `fieldgate read meter` shows all\n",
        ),
        (
            &["watch", "metre"],
            "error: there is no device `metre`\nhint: known are `meter`, `pump`\n",
        ),
        (
            &["write", "meter", "setpoint", "1000", "--yes"],
            "error: the value cannot be written\n  \
             Caused by: `1000` is outside the limits `0` to `100`\n",
        ),
        (
            &["write", "meter", "setpoint", "much", "--yes"],
            "error: `much` is not a number\nhint: write it with a point, such as `21.5`\n",
        ),
        (
            &["write", "meter", "voltage_l1", "1", "--yes"],
            "error: the value cannot be written\n  \
             Caused by: signal `voltage_l1` is not writable\n",
        ),
    ] {
        session.check_refused(args, expected);
    }
}

#[test]
fn watching_shows_values_as_they_come() {
    let session = Session::start();
    let done = session.run(&["watch", "meter", "--for", "1500 ms", "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let updates: Vec<Json> =
        done.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert!(updates.iter().all(|update| update["device"] == "meter"));
    let counts: Vec<u64> = updates
        .iter()
        .filter(|update| update["signal"] == "reads")
        .map(|update| update["value"].as_u64().expect("a count"))
        .collect();
    assert!(counts.len() >= 3, "{counts:?}");
    assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
}

#[test]
fn what_is_wrong_comes_first() {
    let session = Session::start();
    session.devices.control(r#"{"device": "demo-pump", "silent": true}"#);
    session.devices.control(r#"{"device": "demo-meter", "signal": "voltage_l1", "value": 260}"#);
    eventually("fault and alarm are seen", || {
        let status = session.json(&["status"]);
        device(&status, "pump")["state"] == "silent" && status["alarms"] != json!([])
    });
    let done = session.run(&["status"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let mut lines = done.out.lines();
    assert_eq!(lines.next(), Some("wrong: device `pump`: unit 2 does not answer"));
    let alarm = lines.next().expect("an alarm");
    assert!(alarm.starts_with("alarm: meter: voltage L1 is 260 V, above 253 V"), "{alarm}");
    let read = session.run(&["read", "pump", "speed"]);
    assert_eq!(read.code, Some(1), "not one value: {read:?}");
    assert_eq!(session.run(&["read", "meter", "voltage_l1"]).code, Some(0), "others go on");
}

#[test]
fn the_socket_answers_nonsense_with_an_error_line_and_lives_on() {
    let session = Session::start();
    let long = [b"{\"version\":1,\"ask\":\"".as_slice(), &vec![b'x'; 40_000]].concat();
    for (request, part) in [
        (b"hello\n".as_slice(), "the request is wrong"),
        (b"\n", "the request is wrong"),
        (b"", "the request is wrong"),
        (b"{\"version\":1}\n", "the request is wrong"),
        (b"{\"version\":1,\"ask\":\"reboot\"}\n", "the request is wrong"),
        (b"{\"version\":1,\"ask\":\"status\",\"more\":1}\n", "the request is wrong"),
        (b"{\"version\":2,\"ask\":\"status\"}\n", "the request has version 2, the daemon speaks 1"),
        (b"\xff\xfe\n", "the request is wrong"),
        (&long, "more than 32768 bytes"),
    ] {
        let answer = session.daemon.raw(request);
        let shown: String = String::from_utf8_lossy(request).chars().take(60).collect();
        assert!(answer.starts_with("{\"error\":{\"what\":"), "{shown}: {answer}");
        assert!(answer.contains(part), "{shown}: {answer}");
        assert_eq!(answer.lines().count(), 1, "{shown}: {answer}");
    }
    assert!(session.daemon.raw(b"{\"version\":1,\"ask\":\"status\"}\n").starts_with("{\"ok\":"));
}

#[test]
fn only_owner_and_group_reach_the_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    let session = Session::start();
    let socket = std::fs::metadata(session.site.path("data/fieldgate.sock")).expect("it is there");
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
}

#[test]
fn health_and_metrics_are_served() {
    let session = Session::start();
    assert_eq!(session.daemon.get("/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(session.daemon.get("/readyz"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    let (head, text) = session.daemon.get("/metrics");
    assert_eq!(head, "HTTP/1.1 200 OK");
    for part in [
        "fieldgate_build_info{version=\"",
        "fieldgate_polls_good_total{device=\"meter\",bus=\"cabinet\"} ",
        "fieldgate_faults_total{device=\"pump\",bus=\"cabinet\",fault=\"no_answer\"} 0\n",
        "fieldgate_buffer_commits_total ",
        "fieldgate_alarms_active 0\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(session.daemon.get("/nothing").0, "HTTP/1.1 404 Not Found");
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused() {
    let session = Session::start();
    let text = std::fs::read_to_string(session.site.path("site.toml")).expect("it is there");
    let other = text.replace("path = \"data\"", "path = \"other\"");
    let socket = session.site.path("data/fieldgate.sock");
    let other = format!("{other}\n[socket]\npath = \"{}\"\n", socket.display());
    session.site.write("other.toml", &other);
    let done = session.site.run(&["run", "--config", "other.toml"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let expected = format!(
        "error: open the socket\n  Caused by: `{}`: a daemon answers there\n",
        socket.display()
    );
    assert!(done.err.ends_with(&expected), "{done:?}");
    assert_eq!(session.run(&["status"]).code, Some(0), "the first one goes on");
}

#[test]
fn sigterm_stops_in_order_within_five_seconds() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut session = Session::start();
        let asked = Instant::now();
        session.daemon.signal(signal);
        assert_eq!(session.daemon.wait().code(), Some(0), "{}", session.daemon.log());
        assert!(asked.elapsed() <= Duration::from_secs(5), "took {:?}", asked.elapsed());
        assert!(!session.site.path("data/fieldgate.sock").exists());

        let config = session.site.path("site.toml");
        let again = Daemon::start(&session.site, &config, "second.log");
        assert!(!again.log().contains(UNCLEAN), "{}", again.log());
    }
}

#[test]
fn after_a_kill_what_was_sealed_is_there_and_the_stop_is_called_unclean() {
    let mut session = Session::start();
    let batches = |status: Json| status["buffer"]["batches"].as_u64().expect("a number");
    eventually("some batches are sealed", || batches(session.json(&["status"])) >= 3);
    let before = batches(session.json(&["status"]));
    session.daemon.signal(Signal::KILL);
    assert_eq!(session.daemon.wait().code(), None);

    let config = session.site.path("site.toml");
    // The socket's file of the killed daemon is still there, and is replaced.
    let again = Daemon::start(&session.site, &config, "second.log");
    let after = batches(session.json(&["status"]));
    assert!(after >= before, "{before} batches before, {after} after");
    assert!(again.log().contains(UNCLEAN), "{}", again.log());
}

#[test]
fn after_a_kill_what_was_only_flushed_is_there_too() {
    let site = Site::new();
    let devices = Simulated::start(&site, &["demo-meter", "demo-pump"]);
    let config = site.configure(&devices.address);
    let text = std::fs::read_to_string(&config).expect("just written");
    site.write("site.toml", &text.replace("seal_after = \"200 ms\"", "seal_after = \"1 min\""));
    let look = || fieldgate_edge::buffer::View::open(&site.path("data"));
    let flushed = || {
        let samples = |content: &Content| match content {
            Content::Samples { samples, .. } => samples.len(),
            Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => 0,
        };
        // While the daemon makes the files there is nothing to look at.
        look().map_or(0, |view| view.unsealed.iter().map(samples).sum::<usize>() as u64)
    };
    let sealed = || -> u64 {
        let lines = look().expect("a buffer").lines().expect("its lines");
        let of_samples = lines.iter().filter(|line| line.stream == Stream::Samples);
        of_samples.map(|line| line.stored.0).sum()
    };

    let mut daemon = Daemon::start(&site, &config, "first.log");
    eventually("some samples are flushed", || flushed() >= 3);
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.wait().code(), None);
    let held = flushed();
    assert!(held >= 3, "{held}");
    assert_eq!(sealed(), 0, "nothing was old enough to be sealed");

    let again = Daemon::start(&site, &config, "second.log");
    // At its start the daemon seals what the last run flushed.
    assert!(sealed() >= held, "{held} flushed, {} sealed", sealed());
    assert!(again.log().contains(UNCLEAN), "{}", again.log());
}

#[test]
fn a_broken_device_is_shown_and_the_rest_runs() {
    let site = Site::new();
    let devices = Simulated::start(&site, &["demo-meter"]);
    let config = site.configure(&devices.address);
    let text = std::fs::read_to_string(&config).expect("just written");
    let broken = text.replace("profile = \"demo-pump\"", "profile = \"demo-pumps\"");
    site.write("site.toml", &broken);
    let daemon = Daemon::start(&site, &config, "log");
    let status = || site.run(&["status", "--config", "site.toml", "--json"]).json();
    eventually("the meter gives data", || device(&status(), "meter")["state"] == "ok");
    assert_eq!(device(&status(), "pump")["state"], "config_error");
    assert!(daemon.log().contains("hint: did you mean `demo-pump`?"), "{}", daemon.log());
    let read = site.run(&["read", "pump", "--config", "site.toml"]);
    assert_eq!(
        (read.code, read.err.as_str()),
        (
            Some(1),
            "error: device `pump` does not run: its configuration is wrong\n  \
             Caused by: [[device]] `profile`: there is no profile `demo-pumps`\n\
             hint: `fieldgate check` says where\n"
        )
    );
}
