//! Bad input, row by row, and everything that ships.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use fieldgate_modbus::register::Table;

use super::*;

pub(super) const GOOD: &str = r#"[gateway]
name = "pump-house-3"
[buffer]
path = "data"
[[bus]]
name = "cabinet"
modbus_tcp = "127.0.0.1:5020"
[[device]]
name = "meter"
profile = "eastron-sdm630"
bus = "cabinet"
unit = 1
"#;

/// A folder of its own, gone with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-config-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.0.join("profiles")).expect("temporary folder");
        folder
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).expect("temporary file");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("temporary folder is ours");
    }
}

/// `file:line: what` of each problem, with the folder left out.
pub(super) fn lines(folder: &Folder, problems: &[Problem]) -> Vec<String> {
    let text = |problem: &Problem| {
        let file = problem.file.strip_prefix(&folder.0).unwrap_or(&problem.file).display();
        let line = problem.line.map(|line| line.to_string()).unwrap_or_default();
        format!("{file}:{line}: {}", problem.what)
    };
    problems.iter().map(text).collect()
}

/// The fatal file has these problems, and nothing starts.
fn check_fatal(text: &str, expected: &[&str]) {
    let folder = Folder::new();
    let problems = load(&folder.write("gate.toml", text)).expect_err(text);
    assert_eq!(lines(&folder, &problems), expected, "{text}");
    assert!(problems.iter().any(|problem| problem.scope == Scope::Fatal), "{text}");
}

/// With this device behind a good one, only the good one runs, for these reasons.
fn check_device(device: &str, expected: &[&str]) {
    let folder = Folder::new();
    let text = format!("{GOOD}[[device]]\n{device}");
    let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
    assert_eq!(lines(&folder, &loaded.problems), expected, "{device}");
    assert_eq!(loaded.config.devices.len(), 1, "{device}");
    assert_eq!(loaded.config.broken.len(), 1, "{device}");
    assert_eq!(loaded.config.broken[0].problems, loaded.problems);
}

#[test]
fn a_good_file_has_the_defaults_that_its_documentation_promises() {
    let folder = Folder::new();
    let loaded = load(&folder.write("gate.toml", GOOD)).expect("good");
    assert_eq!(loaded.problems, []);
    let config = loaded.config;
    assert_eq!(config.cloud, None);
    assert_eq!(config.http, None);
    assert_eq!(config.socket, folder.0.join("data/fieldgate.sock"));
    assert_eq!(
        config.buffer,
        BufferConfig {
            path: folder.0.join("data"),
            max_bytes: 512 << 20,
            flush: Millis(1000),
            seal_after: Millis(2000),
        }
    );
    let endpoint = Endpoint::ModbusTcp { host: "127.0.0.1".to_owned(), port: 5020, in_flight: 1 };
    let bus = BusConfig {
        name: "cabinet".to_owned(),
        endpoint,
        timeout: Millis(1000),
        pause: Millis(0),
        dead_share: 10,
        close_after_cycle: false,
    };
    assert_eq!(config.buses, [bus]);
    assert_eq!(config.devices[0].place, Place::Bus { bus: 0, unit: UnitId(1) });
    assert_eq!((config.devices[0].every, config.devices[0].timeout), (Millis(1000), Millis(1000)));
    assert_eq!(config.catalogue().devices[0].profile, "eastron-sdm630@1");
}

#[test]
fn the_example_says_what_a_gateway_does() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("fieldgate.example.toml");
    let loaded = load(&example).expect("the example is good");
    assert_eq!(loaded.problems, []);
    let url = CloudUrl { tls: true, host: "cloud.example.com".to_owned(), port: 8883 };
    let credentials = PathBuf::from("/var/lib/fieldgate/credentials.toml");
    let cloud = CloudConfig { url, credentials, history_rate: 250_000 };
    assert_eq!(loaded.config.cloud, Some(cloud));
    assert_eq!(loaded.config.devices.len(), 2);
    assert_eq!(loaded.config.devices[1].every, Millis(200));
}

#[test]
fn what_concerns_the_whole_gateway_starts_nothing() {
    for (text, expected) in [
        ("", &["gate.toml:1: has no `[gateway]`"][..]),
        (
            "[gateway]\nname = \"a\"\nname = \"b\"\nx = = 1\n",
            &[
                "gate.toml:3: not valid TOML: duplicate key",
                "gate.toml:4: not valid TOML: extra `=`, expected nothing",
                "gate.toml:4: not valid TOML: unexpected key or value, expected newline, `#`",
            ],
        ),
        (
            "[gateway]\nnam = \"a\"\n",
            &[
                "gate.toml:1: [gateway] has no `name`",
                "gate.toml:2: [gateway] has an unknown field `nam`",
            ],
        ),
        (
            "[gateway]\nname = 7\n[bufer]\npath = \"x\"\n",
            &[
                "gate.toml:2: [gateway] `name`: invalid type: integer `7`, expected a string",
                "gate.toml:3: has an unknown field `bufer`",
            ],
        ),
        (
            "[gateway]\nname = \"a\"\nprofiles = \"nowhere\"\n[buffer]\nmax_bytes = \"1 MiB\"\nflush = \"1 sec\"\nseal_after = 2\n",
            &[
                "gate.toml:5: [buffer] `max_bytes`: must be at least 8 MiB",
                "gate.toml:6: [buffer] `flush`: `sec` is not a unit of time",
                "gate.toml:7: [buffer] `seal_after`: invalid type: integer `2`, expected a string",
            ],
        ),
        (
            "[gateway]\nname = \"a\"\n[cloud]\nurl = \"https://x\"\ntoken = 1\n[http]\nlisten = \"9273\"\n[socket]\npath = \"\"\n",
            &[
                "gate.toml:4: [cloud] `url`: `https` is not a way to the cloud",
                "gate.toml:5: [cloud] has an unknown field `token`",
                "gate.toml:7: [http] `listen`: `9273` is not an address and a port",
                "gate.toml:9: [socket] `path`: must not be empty",
            ],
        ),
        ("[gateway]\nname = \"a\"\n[cloud]\n", &["gate.toml:3: [cloud] has no `url`"]),
    ] {
        if text.contains("nowhere") {
            let folder = Folder::new();
            let problems = load(&folder.write("gate.toml", text)).expect_err(text);
            let lines = lines(&folder, &problems);
            assert!(lines[0].starts_with("gate.toml:3: [gateway] `profiles`: there is no folder"));
            assert_eq!(&lines[1..], expected);
        } else {
            check_fatal(text, expected);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_starts_nothing() {
    let folder = Folder::new();
    let problems = load(&folder.0.join("none.toml")).expect_err("there is none");
    assert_eq!(lines(&folder, &problems).len(), 1);
    assert!(problems[0].what.starts_with("cannot be read: "), "{problems:?}");
    assert_eq!(problems[0].scope, Scope::Fatal);
}

#[test]
fn a_wrong_device_is_broken_and_the_rest_runs() {
    const REST: &str = "profile = \"demo-meter\"\nbus = \"cabinet\"\nunit = 2\n";
    for (device, expected) in [
        (
            format!("name = \"b\"\n{REST}evry = \"1 s\"\n"),
            &["gate.toml:18: [[device]] has an unknown field `evry`"][..],
        ),
        (
            "name = \"b\"\nprofile = \"demo-metr\"\nbus = \"cabient\"\nunit = 248\nevery = \"0 s\"\n".to_owned(),
            &[
                "gate.toml:15: [[device]] `profile`: there is no profile `demo-metr`",
                "gate.toml:16: [[device]] `bus`: there is no bus `cabient`",
                "gate.toml:17: [[device]] unit id `248` is not one of 1 to 247, nor 0 or 255 on TCP",
                "gate.toml:18: [[device]] `every`: `0 s` is not between 10 ms and 86400 s",
            ],
        ),
        (
            String::new(),
            &[
                "gate.toml:13: [[device]] has no `name`",
                "gate.toml:13: [[device]] has no `profile`",
                "gate.toml:13: [[device]] has no `bus`",
                "gate.toml:13: [[device]] has no `unit`",
            ],
        ),
        (
            format!("name = \"main meter\"\n{REST}"),
            &["gate.toml:14: [[device]] `name`: `main meter` may use A-Z, a-z, 0-9, `_` and `-`, not ` `"],
        ),
        (
            format!("name = \"b\"\n{REST}slave = 2\n"),
            &["gate.toml:17: [[device]] has both `unit` and `slave`"],
        ),
        (
            format!("name = \"b\"\n{REST}every = 1\n"),
            &["gate.toml:18: [[device]] `every`: invalid type: integer `1`, expected a string"],
        ),
        (
            format!("name = \"b\"\n{REST}timeout = \"1 ms\"\n"),
            &["gate.toml:18: [[device]] `timeout`: `1 ms` is not between 10 ms and 60 s"],
        ),
    ] {
        check_device(&device, expected);
    }
}

#[test]
fn a_device_may_be_given_more_or_less_time_than_its_bus_gives() {
    let folder = Folder::new();
    let bus = "127.0.0.1:5020\"\ntimeout = \"2 s\"";
    let own = "[[device]]\nname = \"b\"\nprofile = \"demo-pump\"\nbus = \"cabinet\"\n\
               unit = 2\ntimeout = \"300 ms\"\n";
    let text = format!("{}{own}", GOOD.replace("127.0.0.1:5020\"", bus));
    let loaded = load(&folder.write("gate.toml", &text)).expect("good");
    assert_eq!(loaded.problems, []);
    let times: Vec<Millis> = loaded.config.devices.iter().map(|device| device.timeout).collect();
    assert_eq!(times, [Millis(2000), Millis(300)]);
}

#[test]
fn a_unit_id_is_one_that_its_bus_can_have() {
    const SERIAL: &str = "\"/dev/ttyS0\"\nline = \"9600-8N1\"";
    let rtu = format!("modbus_rtu = {SERIAL}");
    let ascii = format!("modbus_ascii = {SERIAL}");
    let over = "modbus_rtu_over_tcp = \"127.0.0.1:5020\"";
    let on_serial = |unit| format!("unit id `{unit}` is not one of 1 to 247, as on a serial line");
    let nowhere = |unit| format!("unit id `{unit}` is not one of 1 to 247, nor 0 or 255 on TCP");
    for (bus, unit, expected) in [
        ("modbus_tcp = \"127.0.0.1:5020\"", 0, None),
        ("modbus_tcp = \"127.0.0.1:5020\"", 255, None),
        (&rtu, 247, None),
        (&rtu, 0, Some(on_serial(0))),
        (&rtu, 255, Some(on_serial(255))),
        (&rtu, 248, Some(nowhere(248))),
        (&ascii, 0, Some(on_serial(0))),
        (over, 255, Some(on_serial(255))),
    ] {
        let folder = Folder::new();
        let text = GOOD.replace("modbus_tcp = \"127.0.0.1:5020\"", bus);
        let text = text.replace("unit = 1\n", &format!("unit = {unit}\n"));
        let loaded = load(&folder.write("gate.toml", &text)).expect("the gateway starts");
        let told: Vec<&str> = loaded.problems.iter().map(|problem| problem.what.as_str()).collect();
        let expected = expected.map(|what| format!("[[device]] {what}"));
        assert_eq!(told, expected.as_deref().as_slice(), "{bus}, unit {unit}");
    }
}

#[test]
fn a_mistyped_name_is_answered_with_the_one_that_was_meant() {
    let folder = Folder::new();
    let device = "name = \"b\"\nprofile = \"demo-metr\"\nbus = \"cabient\"\nunti = 2\n";
    let text = format!("{GOOD}[[device]]\n{device}");
    let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
    let hints: Vec<_> = loaded.problems.iter().filter_map(|p| p.hint.as_deref()).collect();
    for hint in ["did you mean `demo-meter`?", "did you mean `cabinet`?", "did you mean `unit`?"] {
        assert!(hints.contains(&hint), "{hint} in {hints:?}");
    }
    let shown = loaded.problems[1].to_string();
    assert!(
        shown.contains("gate.toml:15: ") && shown.contains("\n  hint: did you mean"),
        "{shown}"
    );
}

#[test]
fn devices_of_one_name_are_one_broken_device() {
    let folder = Folder::new();
    let twin =
        "[[device]]\nname = \"meter\"\nprofile = \"demo-meter\"\nbus = \"cabinet\"\nslave = 2\n";
    let other = twin.replace("\"meter\"", "\"other\"");
    let file = folder.write("gate.toml", &format!("{GOOD}{twin}{other}"));
    let loaded = load(&file).expect("the rest runs");
    assert_eq!(
        lines(&folder, &loaded.problems),
        [
            "gate.toml:8: [[device]] has the name `meter` of the device in line 13",
            "gate.toml:13: [[device]] has the name `meter` of the device in line 8",
        ]
    );
    let catalogue = loaded.config.catalogue();
    let names: Vec<_> =
        catalogue.devices.iter().map(|d| (d.name.as_str(), d.signals.len())).collect();
    assert_eq!(names, [("other", 40), ("meter", 0)]);
}

#[test]
fn a_wrong_bus_breaks_its_devices_alone() {
    for (bus, expected) in [
        (
            "name = \"b\"\nmodbus_tcp = \"host:99999\"\n",
            "`modbus_tcp`: `host:99999` has no port from 1 to 65535",
        ),
        (
            "name = \"b\"\nmodbus_tcp = \"::1:502\"\n",
            "`modbus_tcp`: `::1:502` is an IPv6 address without brackets",
        ),
        ("name = \"b\"\nmodbus_tcp = \":502\"\n", "`modbus_tcp`: `:502` names no host"),
        (
            "name = \"b\"\nmodbus_rtu = 1\nmodbus_tcp = \"h\"\n",
            "is several things at once: `modbus_tcp`, `modbus_rtu`",
        ),
        ("name = \"b\"\nbaud = 9600\nmodbus_tcp = \"h\"\n", "has an unknown field `baud`"),
        ("name = \"b\"\n", "does not say what it is"),
        ("name = \"b\"\nmodbus_rtu = 1\n", "modbus_rtu is a table, not a integer"),
        ("name = \"b\"\nmodbus_rtu = \"/dev/ttyS0\"\n", "has no `line`"),
        (
            "name = \"b\"\nmodbus_rtu = \"ttyS0\"\nline = \"9600-8N1\"\n",
            "`modbus_rtu`: `ttyS0` is not the path of a port",
        ),
        (
            "name = \"b\"\nmodbus_ascii = \"/dev/ttyS0\"\nline = \"9600\"\n",
            "`line`: `9600` is not a line setting",
        ),
        (
            "name = \"b\"\nmodbus_rtu = \"/dev/ttyS0\"\nline = \"9600-8N1\"\nin_flight = 2\n",
            "has an unknown field `in_flight`",
        ),
        (
            "name = \"b\"\nmodbus_tcp = \"h\"\nin_flight = 17\n",
            "`in_flight`: 17 is not from 1 to 16",
        ),
        (
            "name = \"b\"\nmodbus_tcp = \"h\"\ndead_share = \"0 %\"\n",
            "`dead_share`: `0 %` is not from 1 % to 50 %",
        ),
        (
            "name = \"b\"\nmodbus_tcp = \"h\"\ntimeout = \"2 min\"\n",
            "`timeout`: `2 min` is not between 10 ms and 60 s",
        ),
    ] {
        let folder = Folder::new();
        let device = "[[device]]\nname = \"x\"\nprofile = \"demo-pump\"\nbus = \"b\"\nunit = 1\n";
        let text = format!("{GOOD}[[bus]]\n{bus}{device}");
        let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
        let lines: Vec<_> = loaded.problems.iter().map(|p| p.what.as_str()).collect();
        let expected = format!("[[bus]] {expected}");
        assert_eq!(lines, [expected.as_str(), "[[device]] `bus`: `b` cannot be used"], "{bus}");
        assert_eq!(loaded.config.devices.len(), 1);
    }
}

#[test]
fn a_serial_bus_is_a_table_or_a_port_with_its_settings_beside_it() {
    let table = "modbus_rtu = { port = \"/dev/serial/by-id/a\", line = \"9600-8N1\", \
                 rs485 = \"kernel\", echo = \"yes\" }\n";
    let beside = "modbus_rtu = \"/dev/serial/by-id/a\"\nline = \"9600 8n1\"\n\
                  rs485 = \"kernel\"\necho = \"yes\"\n";
    for text in [table, beside] {
        let folder = Folder::new();
        let good = GOOD.replace("modbus_tcp = \"127.0.0.1:5020\"\n", text);
        let loaded = load(&folder.write("gate.toml", &good)).expect("good");
        assert_eq!(loaded.problems, [], "{text}");
        let endpoint = Endpoint::ModbusRtu(SerialEndpoint {
            port: PortPath::new("/dev/serial/by-id/a").expect("absolute"),
            line: "9600-8N1".parse().expect("a line"),
            rs485: Rs485::Kernel,
            echo: Echo::Expect,
        });
        assert_eq!(loaded.config.buses[0].endpoint, endpoint, "{text}");
        let shown = "modbus_rtu /dev/serial/by-id/a 9600-8N1";
        assert_eq!(loaded.config.buses[0].endpoint.to_string(), shown);
    }
}

#[test]
fn everything_that_is_wrong_with_a_port_is_found_at_once() {
    let folder = Folder::new();
    let table = "modbus_rtu = { port = \"ttyS0\", line = \"x\", rs485 = \"on\", baud = 1 }\n";
    let good = GOOD.replace("modbus_tcp = \"127.0.0.1:5020\"\n", table);
    let loaded = load(&folder.write("gate.toml", &good)).expect("the gateway runs");
    let whats: Vec<_> = loaded.problems.iter().map(|problem| problem.what.as_str()).collect();
    let expected = [
        "modbus_rtu `port`: `ttyS0` is not the path of a port",
        "modbus_rtu `line`: `x` is not a line setting",
        "modbus_rtu `rs485`: `on` is none of `auto`, `kernel`, `off`",
        "modbus_rtu has an unknown field `baud`",
        "[[device]] `bus`: `cabinet` cannot be used",
    ];
    assert_eq!(whats, expected);
}

#[test]
fn two_buses_on_one_port_are_found_out_under_whatever_names() {
    let folder = Folder::new();
    let port = folder.write("port", "");
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(&port, &link).expect("a link");
    let bus = |name: &str, path: &Path| {
        format!(
            "[[bus]]\nname = \"{name}\"\nmodbus_rtu = \"{}\"\nline = \"9600-8N1\"\n",
            path.display()
        )
    };
    let text = format!("{GOOD}{}{}", bus("b", &port), bus("c", &link));
    let loaded = load(&folder.write("gate.toml", &text)).expect("the rest runs");
    let whats: Vec<_> = loaded.problems.iter().map(|problem| problem.what.clone()).collect();
    assert_eq!(whats, [format!("[[bus]] has the port `{}` of bus `b`", link.display())]);
}

#[test]
fn a_host_and_port_are_read_as_people_write_them() {
    for (text, host, port) in [
        ("10.0.0.7:5020", "10.0.0.7", 5020),
        ("plc.local", "plc.local", 502),
        ("[fe80::1]:1502", "fe80::1", 1502),
        ("[::1]", "::1", 502),
    ] {
        let folder = Folder::new();
        let good = GOOD.replace("127.0.0.1:5020", text);
        let loaded = load(&folder.write("gate.toml", &good)).expect("good");
        let endpoint = Endpoint::ModbusTcp { host: host.to_owned(), port, in_flight: 1 };
        assert_eq!(loaded.config.buses[0].endpoint, endpoint, "{text}");
    }
}

/// A profile of this text in the folder has these problems.
pub(super) fn check_profile(text: &str, expected: &[&str]) {
    let folder = Folder::new();
    folder.write("profiles/mine.toml", text);
    let good = GOOD.replace("eastron-sdm630", "mine");
    let loaded = load(&folder.write("gate.toml", &good)).expect("the gateway runs");
    let lines = lines(&folder, &loaded.problems);
    assert_eq!(lines[0], "gate.toml:10: [[device]] `profile`: `mine` cannot be used", "{text}");
    let expected: Vec<String> =
        expected.iter().map(|line| format!("profiles/mine.toml:{line}")).collect();
    assert_eq!(&lines[1..], expected, "{text}");
    assert_eq!(loaded.config.devices.len(), 0);
}

/// How the profiles of the rows begin; the first signal's fields follow from line 6 on.
const HEAD: &str = "[profile]\nname = \"mine\"\nversion = 1\n[[signal]]\nname = \"a\"\n";

#[test]
fn a_wrong_signal_says_everything_that_is_wrong_with_it() {
    for (rest, expected) in [
        (
            "read = \"hr:65536\"\ntype = \"u16\"\n",
            &["6: [[signal]] `read`: address `hr:65536` is beyond the end of its table"][..],
        ),
        (
            "read = \"hr:65535\"\ntype = \"f32\"\n",
            &["6: [[signal]] `read`: f32 at hr:65535 (4x65536) goes beyond address 65535"],
        ),
        (
            "read = \"100\"\ntype = \"u16\"\n",
            &["6: [[signal]] `read`: address `100` names no table"],
        ),
        (
            "read = \"hr:0\"\ntype = \"u17\"\norder = \"ABDC\"\nscale = 0\n",
            &[
                "7: [[signal]] `type`: `u17` is not a type",
                "8: [[signal]] `order`: `ABDC` is not a word order",
                "9: [[signal]] scale must be a finite number other than 0",
            ],
        ),
        ("read = \"hr:0\"\n", &["6: [[signal]] has no `type`"]),
        ("read = \"hr:0/16\"\n", &["6: [[signal]] `read`: `16` is not a bit of a register"]),
        (
            "read = \"co:0\"\ntype = \"u16\"\n",
            &["6: [[signal]] `read`: co:0 (0x0001) is a single bit, so its type is `bit`"],
        ),
        (
            "read = \"ir:0\"\ntype = \"u16\"\nwrite = true\n",
            &[
                "8: [[signal]] `write`: ir:0 (3x0001) cannot be written, only holding registers and coils can",
            ],
        ),
        (
            "read = \"hr:0\"\ntype = \"u32\"\nwrite = { fc = \"single\" }\n",
            &["8: [[signal]] `write`: FC 6 writes one register, not u32"],
        ),
        (
            "read = \"hr:0\"\ntype = \"u16\"\nwrite = { function = 6 }\n",
            &["8: [[signal]] `write`: expected true, false or { fc = \"multiple\" }"],
        ),
        (
            "read = \"hr:0\"\ntype = \"i16\"\nnull = [-32769]\nlimits = [5, 1]\n",
            &[
                "8: [[signal]] `null`: `-32769` has no 16 bits",
                "9: [[signal]] `limits` must be two numbers, the smaller first",
            ],
        ),
        ("from = \"parser\"\n", &["4: [[signal]] `a` comes from a parser, and there is none"]),
        (
            "read = \"hr:0\"\ntype = \"string\"\nregisters = 126\n",
            &["8: [[signal]] a `string` needs `registers`, from 1 to 125"],
        ),
    ] {
        check_profile(&format!("{HEAD}{rest}"), expected);
    }
}

#[test]
fn a_wrong_profile_says_everything_that_is_wrong_with_it() {
    for (rest, expected) in [
        (
            "read = \"hr:0\"\ntype = \"u16\"\n[[signal]]\nname = \"a\"\nread = \"hr:1\"\ntype = \"u16\"\n",
            &["8: [[signal]] has the name `a` of another signal"][..],
        ),
        (
            "read = \"hr:0\"\ntype = \"u16\"\n[[alarm]]\nname = \"x\"\nsignal = \"b\"\nhigh = 1\nlow = 0\nseverity = \"loud\"\n",
            &[
                "8: [[alarm]] needs either `high` or `low`, a finite number",
                "10: [[alarm]] `signal`: there is no signal `b`",
                "13: [[alarm]] `severity`: `loud` is not a severity",
            ],
        ),
        (
            "read = \"hr:0\"\ntype = \"u16\"\n[[test]]\nregisters = { \"co:0\" = [1], \"hr:0\" = [65536] }\nexpect = { b = 1, a = { quality = \"bad\" } }\n",
            &[
                "9: [[test]] `registers` `co:0`: co:0 (0x0001) does not belong here",
                "9: [[test]] `registers` `hr:0`: `65536` is not a word of 16 bits",
                "10: [[test]] `a`: `bad` is not a quality",
                "10: [[test]] there is no signal `b`",
            ],
        ),
    ] {
        check_profile(&format!("{HEAD}{rest}"), expected);
    }
    check_profile(
        "[profile]\nname = \"mine\"\nversion = 1\nparser = \"../x.luau\"\n",
        &[
            "1: has no `[[signal]]` that can be used",
            "4: [profile] `parser`: `../x.luau` must be the name of a file beside the profile",
        ],
    );
    check_profile("x", &["1: not valid TOML: key with no value, expected `=`"]);
}

#[test]
fn every_shipped_profile_loads_and_passes_its_own_tests() {
    let library = Library::shipped();
    for (name, profile) in library.iter() {
        let profile = profile.as_ref().unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert_eq!(profile.name, *name);
        assert_eq!(profile.run_tests(), [], "{name}");
        assert!(!profile.tests.is_empty(), "{name}");
    }
    assert_eq!(library.iter().count(), 11);
    let meter = library.get("demo-meter").and_then(|meter| meter.as_ref().ok()).expect("shipped");
    assert_eq!(meter.signals.len(), 40);
    let plan: Vec<_> = meter.plan().iter().map(|read| (read.table, read.count)).collect();
    assert_eq!(plan, [(Table::Coil, 1), (Table::InputRegister, 76), (Table::HoldingRegister, 1)]);
    let tested: usize = meter.tests[0].expect.len();
    assert_eq!(tested, 40, "the first test covers every signal");
}

#[test]
fn a_test_that_does_not_hold_is_told_with_both_values() {
    let folder = Folder::new();
    let text = "[profile]\nname = \"mine\"\nversion = 1\n[[signal]]\nname = \"a\"\nread = \"hr:0\"\ntype = \"u16\"\nscale = 0.1\n[[test]]\nregisters = { \"hr:0\" = [2302] }\nexpect = { a = 230.3 }\n";
    let profile = Library::read(&folder.write("mine.toml", text)).expect("well formed");
    let failures: Vec<_> = profile.run_tests().iter().map(ToString::to_string).collect();
    assert_eq!(failures, ["test 1: signal `a` must be `230.3`, is `230.2`"]);
}

#[test]
fn a_profile_in_the_folder_stands_before_one_in_the_binary() {
    let folder = Folder::new();
    let text = "[profile]\nname = \"eastron-sdm630\"\nversion = 7\n[[signal]]\nname = \"a\"\nread = \"hr:0\"\ntype = \"u16\"\n";
    folder.write("profiles/own.toml", text);
    let loaded = load(&folder.write("gate.toml", GOOD)).expect("good");
    assert_eq!(loaded.config.devices[0].profile.version, 7);
}
