//! A technician at work on a live bus, with a running daemon and simulated devices: real processes.

mod cli_kit;

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use cli_kit::{Daemon, Done, Simulated, Site, eventually};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value as Json, json};

struct Session {
    // Dropped in this order: first who asks, then who is asked.
    daemon: Daemon,
    devices: Simulated,
    site: Site,
}

impl Session {
    fn start() -> Self {
        let site = Site::new();
        let devices = Simulated::start(&site, &["demo-meter", "demo-pump", "demo-meter"]);
        devices.control(r#"{"device": "demo-meter", "signal": "voltage_l1", "value": 230.2}"#);
        let config = site.configure(&devices.address);
        let daemon = Daemon::start(&site, &config, "first.log");
        let session = Self { daemon, devices, site };
        eventually("the devices give data", || session.state("meter") == "ok");
        session
    }

    fn run(&self, args: &[&str]) -> Done {
        self.site.run(&[args, &["--config", "site.toml"]].concat())
    }

    fn json(&self, args: &[&str]) -> Json {
        self.run(&[args, &["--json"]].concat()).json()
    }

    fn state(&self, device: &str) -> String {
        let status = self.json(&["status"]);
        let devices = status["devices"].as_array().expect("a list");
        let its = devices.iter().find(|its| its["device"] == device).expect("it is configured");
        its["state"].as_str().expect("a word").to_owned()
    }
}

/// A float of the meter's as a row of registers.
const VOLTAGE: &str = "ir:0 (3x0001)  0x4366 0x3333  230.2\n";

#[test]
fn registers_of_a_device_are_read_with_both_notations() {
    let session = Session::start();
    let done = session.run(&["read", "meter", "ir:0..1", "-t", "3:float", "-B"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), VOLTAGE, ""));
    let read = session.json(&["read", "meter", "30001..30002"]);
    assert_eq!(read["device"], "meter");
    assert_eq!(
        read["registers"][1],
        json!({"address": "ir:1", "reference": "3x0002", "words": ["0x3333"], "value": 13107})
    );
    let bits = session.run(&["read", "meter", "co:0"]);
    assert!(bits.out.starts_with("co:0 (0x0001)"), "{bits:?}");
}

#[test]
fn a_device_that_no_gateway_has_is_read_directly_with_the_letters_of_mbpoll() {
    let site = Site::new();
    let devices = Simulated::start(&site, &["demo-meter"]);
    devices.control(r#"{"device": "demo-meter", "signal": "voltage_l1", "value": 230.2}"#);
    let (host, port) = devices.address.rsplit_once(':').expect("host and port");
    let endpoint = format!("tcp://{}", devices.address);
    for args in [
        &["read", host, "-m", "tcp", "-p", port, "-a", "1", "-t", "3:float", "-B", "-r", "1", "-1"]
            [..],
        &["read", host, "-m", "tcp", "-p", port, "-0", "-r", "0", "-c", "1", "-t", "3:float", "-B"],
        &["read", &endpoint, "-a", "1", "ir:0..1", "-t", "3:float", "-B"],
    ] {
        let done = site.run(args);
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), VOLTAGE, ""));
    }
    // mbpoll's numbers of two registers are CDAB without -B.
    let swapped = site.run(&["read", &endpoint, "-t", "3:float", "-r", "1"]);
    assert_ne!(swapped.out, VOLTAGE, "{swapped:?}");
    let silent = site.run(&["read", &endpoint, "-a", "9", "hr:0", "-o", "0.2"]);
    assert_eq!((silent.code, silent.out.as_str()), (Some(1), ""), "{silent:?}");
    let expected =
        "error: hr:0 (4x0001) is refused: exception 11, gateway target device failed to respond\n";
    assert_eq!(silent.err, expected, "nobody has this unit id");
}

#[test]
fn an_address_that_is_off_by_one_is_found_out() {
    let session = Session::start();
    // The first address behind the last that answers.
    let is_there = |offset: u16| session.run(&["read", "meter", &format!("hr:{offset}")]).code;
    let end = (1..200).find(|offset| is_there(*offset) != Some(0)).expect("it has an end");
    let done = session.run(&["read", "meter", &format!("hr:{end}")]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    let before = end - 1;
    for part in [
        format!(
            "error: hr:{end} (4x{:04}) is refused: exception 2, illegal data address\n",
            end + 1
        ),
        format!("hint: hr:{before} (4x{end:04}) answers: the manual may count from 1\n"),
    ] {
        assert!(done.err.contains(&part), "`{part}` in {done:?}");
    }
}

#[test]
fn a_neighbour_that_answers_is_told_on_either_side() {
    for (refused, asked, error, hint) in [
        (
            "2@ir:0",
            "ir:0",
            "ir:0 (3x0001) is refused: exception 2, illegal data address",
            "ir:1 (3x0002) answers: the manual may count from 0",
        ),
        (
            "2@ir:4..9",
            "3x0005",
            "ir:4 (3x0005) is refused: exception 2, illegal data address",
            "ir:3 (3x0004) answers: the manual may count from 1",
        ),
        (
            "2@ir:0..9",
            "30005",
            "ir:4 (3x0005) is refused: exception 2, illegal data address",
            "its neighbours are refused too; see the table (hr, ir) and the manual",
        ),
    ] {
        let site = Site::new();
        let devices = Simulated::start(&site, &["demo-meter", "--exception", refused]);
        let done = site.run(&["read", &format!("tcp://{}", devices.address), asked]);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
        assert!(done.err.contains(&format!("error: {error}\n")), "`{error}` in {done:?}");
        assert!(done.err.contains(&format!("hint: {hint}\n")), "`{hint}` in {done:?}");
    }
    let site = Site::new();
    let bare = site.run(&["read", "tcp://127.0.0.1:1", "4"]);
    assert_eq!((bare.code, bare.out.as_str()), (Some(2), ""), "a bare number is two addresses");
}

#[test]
fn decoding_marks_what_a_device_would_send() {
    let session = Session::start();
    for args in [&["decode", "meter", "ir:0..1"][..], &["decode", "--words", "0x4366,13107"]] {
        let decoded = session.json(args);
        assert_eq!(decoded["words"], json!(["0x4366", "0x3333"]));
        let values = decoded["values"].as_array().expect("a list");
        let float = |order: &str| {
            values.iter().find(|its| its["type"] == "f32" && its["order"] == order).expect("listed")
        };
        assert_eq!(
            [&float("ABCD")["value"], &float("ABCD")["plausible"]],
            [&json!(230.2), &json!(true)]
        );
        assert_eq!(float("CDAB")["plausible"], false);
    }
    let text = session.run(&["decode", "meter", "ir:0..1", "--plausible"]);
    assert_eq!(text.code, Some(0), "{text:?}");
    let float = text.out.lines().find(|line| line.contains("f32")).expect("it is plausible");
    assert!(float.starts_with('*') && float.contains("ABCD") && float.contains("230.2"), "{float}");
}

#[test]
fn a_trace_shows_question_and_answer_in_words_and_hex_with_timing() {
    let session = Session::start();
    let done = session.run(&["trace", "cabinet", "--unit", "1", "--for", "1500 ms", "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let frames: Vec<Json> =
        done.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let words = |frame: &Json| frame["words"].as_str().expect("words").to_owned();
    let asked = frames.iter().position(|its| its["direction"] == "sent").expect("a request");
    let answer = frames[asked..].iter().find(|its| its["direction"] == "received");
    let (asked, answer) = (&frames[asked], answer.expect("an answer"));
    assert!(words(asked).contains("read "), "{asked}");
    assert!(words(asked).contains("FC ") && words(answer).contains("FC "), "{answer}");
    assert!(answer["since_request_us"].as_u64().is_some_and(|micros| micros > 0), "{answer}");
    assert!(frames.iter().all(|its| its["unit"] == 1), "--unit wants one only");
    let text = session.run(&["trace", "--for", "1500 ms"]);
    assert!(text.out.contains(" cabinet -> ") && text.out.contains(" us\n    "), "{text:?}");
}

#[test]
fn a_capture_is_one_that_wireshark_knows() {
    let session = Session::start();
    let done = session.run(&["trace", "cabinet", "--for", "1500 ms", "--pcap", "cabinet.pcap"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.err.ends_with(" frames in `cabinet.pcap`\n"), "{done:?}");
    let capture = std::fs::read(session.site.path("cabinet.pcap")).expect("it is written");
    assert_eq!(capture[..8], [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0], "libpcap 2.4");
    assert_eq!(capture[20..24], [1, 0, 0, 0], "Ethernet");
    // Every packet has the length that it says, up to the end of the file.
    let (mut at, mut packets) = (24, 0);
    while at < capture.len() {
        let length: [u8; 4] = capture[at + 8..at + 12].try_into().expect("four bytes");
        at += 16 + usize::try_from(u32::from_le_bytes(length)).expect("small");
        packets += 1;
    }
    assert_eq!(at, capture.len());
    assert!(packets >= 2, "{packets}");
}

#[test]
fn a_signal_is_explained_with_the_cause_of_its_silence() {
    let session = Session::start();
    let good = session.run(&["explain", "meter", "voltage_l1"]);
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""), "{good:?}");
    for part in
        ["ir:0 (3x0001)", "0x4366 0x3333", "f32 ABCD", "demo-meter@1", "FC 4", "overvoltage"]
    {
        assert!(good.out.contains(part), "`{part}` in {good:?}");
    }
    session.devices.control(r#"{"device": "demo-meter", "silent": true}"#);
    eventually("its silence is noticed", || session.state("meter") == "silent");
    let bad = session.run(&["explain", "meter", "voltage_l1"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.out.contains("\nno value: unit 1 does not answer\n"), "{bad:?}");
    assert!(bad.out.contains("\nhint: see whether it has power"), "{bad:?}");
    let explained = session.json(&["explain", "meter", "voltage_l1"]);
    assert_eq!(explained["now"]["quality"], "no_answer");
    assert!(explained["device_last_good_at"].is_string(), "{explained}");
}

#[test]
fn a_scan_takes_the_bus_finds_its_units_and_gives_it_back() {
    let session = Session::start();
    let done = session.run(&["scan", "cabinet", "-a", "1:5", "-o", "0.2", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("bus `cabinet` is taken from the gateway"), "{done:?}");
    let scanned = done.json();
    let units: Vec<&Json> =
        scanned["units"].as_array().expect("a list").iter().map(|its| &its["unit"]).collect();
    assert_eq!(units, [1, 2, 3]);
    assert_eq!(scanned["units"][0]["answers"][0], json!(["FC 3", "answers"]));
    assert!(scanned["pipelining"]["in_flight"].as_u64().is_some_and(|most| most >= 1));
    let config = scanned["config"].as_str().expect("TOML");
    assert!(config.contains("unit = 3\n") && config.contains("modbus_tcp = "), "{config}");
    assert!(!session.site.path(".fieldgate-scan.json").exists(), "nothing is left to resume");
    eventually("it polls again", || {
        session.daemon.log().contains("the bus is back") && session.state("meter") == "ok"
    });
    let uid = rustix::process::getuid().as_raw();
    assert!(session.daemon.log().contains(&format!("uid={uid} bus=\"cabinet\"")));

    let table = session.run(&["scan", "cabinet", "-a", "2,9", "-o", "0.2", "--no-pipelining"]);
    let row = table.out.lines().nth(1).expect("a row");
    assert!(row.starts_with("2 ") && row.contains("FC 3"), "{table:?}");
    let nobody = session.run(&["scan", "cabinet", "-a", "9", "-o", "0.2"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (Some(1), ""), "{nobody:?}");
}

#[test]
fn a_scan_that_is_killed_gives_the_bus_back() {
    let session = Session::start();
    let args = ["scan", "cabinet", "-a", "9:247", "--config", "site.toml"];
    let mut scan = session.site.command(&args).stderr(Stdio::null()).spawn().expect("it starts");
    eventually("the bus is taken", || session.daemon.log().contains("has taken the bus"));
    scan.kill().expect("it is our child");
    scan.wait().expect("it is our child");
    eventually("it polls again", || {
        session.daemon.log().contains("the bus is back") && session.state("meter") == "ok"
    });
}

#[test]
fn a_scan_that_was_stopped_goes_on_where_it_was() {
    let site = Site::new();
    // Units that are not there are answered for at once; these cost their time, so that the scan is
    // still under way when it is stopped.
    let silent: Vec<String> = (20..40).map(|unit| format!("--silent-unit={unit}")).collect();
    let silent = silent.iter().map(String::as_str);
    let profiles: Vec<&str> = ["demo-meter", "demo-pump"].into_iter().chain(silent).collect();
    let devices = Simulated::start(&site, &profiles);
    let endpoint = format!("tcp://{}", devices.address);
    let args = ["scan", endpoint.as_str(), "-a", "1,5:60,2", "-o", "0.3"];
    let mut scan = site.command(&args);
    let mut scan = scan.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts");
    let state = site.path(".fieldgate-scan.json");
    let is_under_way = || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        serde_json::from_str::<Json>(&text).is_ok_and(|saved| saved["next"]["unit"] != json!(0))
    };
    eventually("it is under way", is_under_way);
    let pid = rustix::process::Pid::from_child(&scan);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is our child");
    assert_eq!(scan.wait().expect("it is our child").code(), Some(1));
    let other = site.run(&["scan", &endpoint, "-a", "1,2", "--resume"]);
    assert_eq!(other.code, Some(2), "another scan is not resumed: {other:?}");
    let text = std::fs::read_to_string(&state).expect("it is left");
    let mut saved: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(saved["found"][0]["unit"], 1, "{saved}");
    // Near its end, so that the test need not wait for those in between.
    saved["next"]["unit"] = json!(57);
    std::fs::write(&state, saved.to_string()).expect("our folder takes files");
    let done = site.run(&[&args[..], &["--resume", "--json"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let units: Vec<Json> = done.json()["units"].as_array().expect("a list").clone();
    let units: Vec<&Json> = units.iter().map(|its| &its["unit"]).collect();
    assert_eq!(units, [1, 2], "what was found before is part of it");
}

#[test]
fn a_serial_device_of_unknown_speed_is_found_and_read() {
    let site = Site::new();
    let port = site.path("bus");
    let port = port.to_str().expect("a path of ours");
    let link = format!("--rtu={port}");
    let profiles = ["demo-pump", "demo-meter", &link, "--line", "19200-8N1"];
    let devices = Simulated::start(&site, &profiles);
    devices.control(r#"{"device": "demo-meter", "signal": "voltage_l1", "value": 230.2}"#);
    let done = site.run(&["scan", port, "-a", "1:3", "-o", "0.2", "--sweep", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let scanned = done.json();
    let units = scanned["units"].as_array().expect("a list").iter();
    let units: Vec<(&Json, &Json)> = units.map(|its| (&its["unit"], &its["line"])).collect();
    let setting = json!("19200-8N1");
    assert_eq!(units, [(&json!(1), &setting), (&json!(2), &setting)], "{done:?}");
    let config = scanned["config"].as_str().expect("TOML");
    assert!(config.contains("line = \"19200-8N1\""), "{config}");

    let letters =
        ["-b", "19200", "-P", "none", "-a", "2", "-t", "3:float", "-r", "1", "-c", "1", "-B"];
    let read = site.run(&[&["read", port][..], &letters].concat());
    assert_eq!((read.code, read.out.as_str(), read.err.as_str()), (Some(0), VOLTAGE, ""));
}

#[test]
fn a_scan_goes_on_however_many_units_are_silent_before_one_answers() {
    let site = Site::new();
    let port = site.path("bus");
    let port = port.to_str().expect("a path of ours");
    let _devices =
        Simulated::start(&site, &["demo-meter", "--unit", "40", &format!("--rtu={port}")]);
    let done = site.run(&["scan", port, "-a", "10:40", "-o", "0.1", "--json"]);
    assert_eq!(done.json()["units"][0]["unit"], 40, "{done:?}");
}

#[test]
fn a_place_that_the_gateway_owns_is_taken_from_it_for_a_direct_read() {
    let session = Session::start();
    let endpoint = format!("tcp://{}", session.devices.address);
    let done = session.run(&["read", &endpoint, "ir:0..1", "-t", "3:float", "-B"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), VOLTAGE), "{done:?}");
    assert!(done.err.starts_with("bus `cabinet` is taken from the gateway"), "{done:?}");
    eventually("it polls again", || session.daemon.log().contains("the bus is back"));
}

#[test]
fn top_is_one_screen_without_a_terminal() {
    let session = Session::start();
    let done = session.run(&["top", "pump", "--once"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(done.out.lines().count(), 24, "{done:?}");
    assert!(done.out.lines().all(|line| line.chars().count() <= 80), "{done:?}");
    for part in ["test-site", "all is well", "cabinet", "meter", " pump ", "speed"] {
        assert!(done.out.contains(part), "`{part}` in {done:?}");
    }
    assert_eq!(session.json(&["top"])["gateway"], "test-site");
    let other = session.run(&["top", "valve"]);
    assert_eq!(other.err, "error: there is no device `valve`\n", "{other:?}");
}

#[test]
fn a_dry_run_shows_the_frame() {
    let session = Session::start();
    let planned = session.run(&["write", "meter", "setpoint", "42.5", "--dry-run"]);
    let expected = "would write 42.5 kW to meter/setpoint (FC 6 hr:0 (4x0001) = 0x01A9)\n\
                    as 00 01 00 00 00 06 01 06 00 00 01 A9\n";
    assert_eq!((planned.code, planned.out.as_str()), (Some(0), expected), "{planned:?}");
}

#[test]
fn what_does_not_fit_is_refused_or_wrong_use() {
    let session = Session::start();
    for (args, code, part) in [
        (&["read", "metre", "hr:0"][..], 1, "error: there is no device `metre`\n"),
        (&["read", "meter", "hr:9..0"], 2, "error: range `hr:9..0` ends before it starts\n"),
        (&["read", "meter", "hr:0", "-r", "1"], 2, "name two places"),
        (&["read", "meter", "-r", "0"], 2, "there is no reference `0`"),
        (&["read", "meter", "-r", "1", "-c", "126"], 2, "do not go into one read"),
        (&["read", "meter", "-t", "9"], 2, "`9` is no table"),
        (&["read", "tcp://127.0.0.1:1"], 2, "say what to read"),
        (&["read", "tcp://127.0.0.1:1", "hr:0"], 1, "error: "),
        (&["read", "http://127.0.0.1", "hr:0"], 2, "is not an endpoint"),
        (&["read", "tcp://127.0.0.1", "-a", "1,2", "hr:0"], 2, "one unit at a time"),
        (&["scan", "attic"], 1, "error: there is no bus `attic`\nhint: known are `cabinet`"),
        (&["scan", "cabinet", "--sweep"], 2, "a sweep needs a serial line"),
        (&["scan", "cabinet", "--resume"], 2, "cannot resume from"),
        (&["scan", "cabinet", "-a", "300"], 2, "`300` is no unit id"),
        (&["trace", "attic"], 1, "error: there is no bus `attic`\nhint: known are `cabinet`\n"),
        (&["explain", "meter", "colour"], 1, "error: device `meter` has no signal `colour`\n"),
        (&["decode"], 2, "required"),
        (&["decode", "--words", "0xFFFFF"], 2, "is not a register"),
        (&["decode", "meter", "co:0..7"], 2, "bits have no type or order"),
        (&["man", "--out", "nowhere"], 1, "cannot write pages to `nowhere`"),
    ] {
        let done = session.run(args);
        assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{args:?}: {done:?}");
        assert!(done.err.contains(part), "{args:?}: {done:?}");
    }
    assert_eq!(session.state("meter"), "ok", "nothing of this has hurt");
}

#[test]
fn every_verb_has_a_manual_page() {
    let site = Site::new();
    std::fs::create_dir(site.path("man")).expect("our folder takes folders");
    let done = site.run(&["man", "--out", "man"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "", ""));
    for verb in ["", "-scan", "-trace", "-profile-list"] {
        let page = std::fs::read_to_string(site.path(&format!("man/fieldgate{verb}.1")));
        let page = page.expect("a page");
        assert!(page.contains(".SH NAME") && page.contains("Examples:"), "{verb}: {page}");
    }
    assert!(site.run(&["man"]).out.contains(".TH fieldgate 1"));
}

#[test]
fn a_live_screen_that_is_ended_by_a_signal_gives_the_terminal_back() {
    let session = Session::start();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
    let terminal = terminal.expect("it opens");
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("a size");
    let modes = || tcgetattr(&terminal).expect("it is a terminal").local_modes;
    let before = modes();
    let end = || Stdio::from(terminal.try_clone().expect("one more"));
    let mut top = session
        .site
        .command(&["top", "--config", "site.toml"])
        .stdin(end())
        .stdout(end())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let screen = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // Its end is an error (EIO), once nobody has the other side.
        drop(File::from(master).read_to_end(&mut shown));
        String::from_utf8_lossy(&shown).into_owned()
    });
    eventually("keys are taken", || !modes().contains(LocalModes::ICANON));
    kill_process(Pid::from_child(&top), Signal::TERM).expect("it runs");
    let mut ended = None;
    eventually("it ends", || {
        ended = top.try_wait().expect("ours");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    assert_eq!(modes(), before);
    drop(terminal);
    let shown = screen.join().expect("it reads");
    assert!(shown.contains("cabinet"), "{shown:?}");
    assert!(shown.contains("\u{1b}[?1049l"), "the screen before is shown again: {shown:?}");
}
