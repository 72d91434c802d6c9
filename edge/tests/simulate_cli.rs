//! `fieldgate simulate` as a command: what it announces, and every way to use it wrongly.

mod cli_kit;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use cli_kit::Site;

/// A simulator that ends with the test, and what it announced.
struct Announced(Child, serde_json::Value);

fn announced(site: &Site, args: &[&str]) -> Announced {
    let args = [&["simulate", "--json"], args].concat();
    let mut child = site.command(&args).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut line).expect("it announces itself");
    Announced(child, serde_json::from_str(&line).expect("one line of JSON"))
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn many_devices_stand_behind_one_address_or_each_behind_its_own() {
    let site = Site::new();
    let any = ["demo-meter", "demo-pump", "--count", "5", "--listen", "127.0.0.1:0"];
    let rows = [(&any[..], [1, 2, 3, 4, 5], 1), (&[&any[..], &["--separate"]].concat(), [1; 5], 5)];
    for (args, units, ports) in rows {
        let announced = announced(&site, args);
        let devices = announced.1["devices"].as_array().expect("devices").clone();
        let names: Vec<_> = devices.iter().map(|device| device["device"].clone()).collect();
        assert_eq!(
            names,
            ["demo-meter", "demo-pump", "demo-meter-2", "demo-pump-2", "demo-meter-3"]
        );
        let found: Vec<_> = devices.iter().map(|device| device["unit"].clone()).collect();
        assert_eq!(found, units);
        let found: std::collections::BTreeSet<_> =
            devices.iter().map(|device| device["modbus_tcp"].as_str()).collect();
        assert_eq!(found.len(), ports);
    }
}

#[test]
fn all_ways_to_a_device_are_announced() {
    let site = Site::new();
    let link = site.path("line").display().to_string();
    let args = ["demo-meter", "--rtu-over-tcp", "127.0.0.1:0", "--ascii", "--line", "19200-8E1"];
    let announced = announced(&site, &[&args[..], &[&format!("--rtu={link}")]].concat());
    let devices = announced.1["devices"].as_array().expect("devices").clone();
    let ways: Vec<_> = devices.iter().map(|device| device["transport"].clone()).collect();
    assert_eq!(ways, ["modbus_rtu_over_tcp", "modbus_rtu", "modbus_ascii"]);
    assert_eq!(devices[1]["port"], link.as_str());
    assert_eq!(devices[1]["line"], "19200-8E1");
    assert!(site.path("line").is_symlink());
}

#[test]
fn wrong_use_says_what_to_write_instead() {
    let site = Site::new();
    for (args, part) in [
        (&["--drop", "5"][..], "`5` is not a share; write `5%` or `0.05`"),
        (&["--late", "300"], "`300` has no unit"),
        (&["--exception", "2"], "write `2@hr:100..110`"),
        (&["--line", "9600"], "such as `9600-8N1`"),
        (&["--revive-after", "1s"], "--die-after"),
        (&["--separate", "--rtu"], "cannot be used with"),
        (&["--count", "248"], "with `--separate`"),
        (&["--separate", "--count", "2", "--listen", "127.0.0.1:65535"], "begin at a lower one"),
    ] {
        let done = site.run(&[&["simulate", "demo-meter"], args].concat());
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
        assert!(done.err.contains(part), "{args:?}: {done:?}");
    }
}

#[test]
fn a_file_in_the_place_of_a_link_is_named() {
    let site = Site::new();
    site.write("mine", "precious");
    let link = site.path("mine").display().to_string();
    let done = site.run(&["simulate", "demo-meter", &format!("--rtu={link}")]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let expected =
        format!("error: make a serial line at `{link}`\n  Caused by: File exists (os error 17)\n");
    assert_eq!(done.err, expected);
}
