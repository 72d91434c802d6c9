//! The example `coap-sensor-linux`: asked by libcoap's client over DTLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use fieldgate_tests::harness::{
    Firmware, Process, Scratch, coap_client, coaps_client, free_udp_port,
};

const EXAMPLE: &str = "coap-sensor-linux";
const IDENTITY: &str = "sensor-1";
const KEY: &str = "0123456789abcdef";

/// It makes a context and binds; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(20);

#[test]
fn libcoap_reads_writes_and_observes_the_linux_example_over_dtls() -> Result<()> {
    let sensor = Sensor::start("fieldgate-firmware-linux")?;
    let rows: [(&str, &[&str], &str); 6] = [
        ("temp", &[], "21.5"),
        ("led", &[], "0"),
        ("led", &["-m", "put", "-e", "1"], ""),
        ("led", &[], "1"),
        ("led", &["-m", "put", "-e", "2"], "4.00"),
        (".well-known/core", &[], "</temp>;ct=0,</sensors>;ct=110,</led>;ct=0,</count>;ct=0;obs"),
    ];
    for (path, arguments, expected) in rows {
        let said = sensor.ask(IDENTITY, KEY, path, arguments)?;
        ensure!(said == expected, "{path} {arguments:?}: {said}");
    }
    let pack = sensor.ask(IDENTITY, KEY, "sensors", &[])?;
    ensure!(pack.starts_with(r#"[{"n":"temp","u":"Cel","v":21.5},{"n":"hum","u":"%RH","v":48.0}"#));
    let observed = sensor.ask(IDENTITY, KEY, "count", &["-s", "5"])?;
    ensure!(observed.len() >= 4, "only `{observed}` was observed");
    Ok(())
}

#[test]
fn the_linux_example_gives_nothing_to_who_lacks_the_key() -> Result<()> {
    let sensor = Sensor::start("fieldgate-firmware-keys")?;
    for (identity, key) in [(IDENTITY, "0123456789abcdeF"), ("sensor-2", KEY)] {
        let said = sensor.ask(identity, key, "temp", &["-B", "3"])?;
        ensure!(!said.contains("21.5"), "{identity} with {key} was answered: {said}");
        // One bad handshake does not spoil the next good one.
        ensure!(sensor.ask(IDENTITY, KEY, "temp", &[])? == "21.5");
    }
    let plain = format!("coap://{}/temp", sensor.address);
    let ended = coap_client(&sensor.folder, &["-B", "3", &plain])?;
    ensure!(!ended.stdout.contains("21.5"), "it was answered in plain: {ended:?}");
    Ok(())
}

/// A running one. Fields are dropped in this order.
struct Sensor {
    _process: Process,
    address: SocketAddr,
    folder: PathBuf,
    _scratch: Scratch,
}

impl Sensor {
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let folder = scratch.folder("sensor")?;
        let program = Firmware::build(EXAMPLE, &[], &folder)?;
        let key = scratch.file("sensor/key", KEY)?.display().to_string();
        let address = SocketAddr::from(([127, 0, 0, 1], free_udp_port()?));
        let port = address.port().to_string();
        let arguments = ["127.0.0.1", &port, IDENTITY, &key];
        let mut process = Process::start("sensor", &program, arguments, &folder)?;
        process.first_json_line(START_AT_MOST)?;
        Ok(Self { _process: process, address, folder, _scratch: scratch })
    }

    /// What libcoap's client prints, on whichever output.
    fn ask(&self, identity: &str, key: &str, path: &str, arguments: &[&str]) -> Result<String> {
        let url = format!("coaps://{}/{path}", self.address);
        let all = [&["-B", "20", "-u", identity, "-k", key], arguments, &[&url]].concat();
        let ended = coaps_client(&self.folder, &all)?;
        Ok(format!("{}{}", ended.stdout, ended.stderr).trim().to_owned())
    }
}
