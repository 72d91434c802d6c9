//! The CoAP examples behind a gateway: polled, observed, written, and heard, up to the cloud's API.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use fieldgate_tests::harness::{Firmware, Process, Scratch, free_udp_port, until};
use serde_json::{Value, json};

use crate::firmware_kit::{Bench, is_about};
use crate::rig::PATIENCE;

/// The devices of both examples, and where their configurations have them.
const DEVICE: &str = "sensor";
const BOARD: &str = "127.0.0.1:5690";
const GATEWAY: &str = "127.0.0.1:5683";
const LINUX: &str = "127.0.0.1:5693";

/// Values in a row that only notifications can bring: polls are 2 s apart, and the count goes on
/// every second.
const IN_A_ROW: usize = 5;

#[test]
fn the_coap_firmware_is_read_observed_written_and_heard_by_the_gateway() -> Result<()> {
    let scratch = Scratch::new("fieldgate-firmware-gateway")?;
    let folder = scratch.folder("board")?;
    let port = free_udp_port()?;
    let variables = [format!("GATEWAY_PORT={port}"), "PUSH_SECONDS=2".to_owned()];
    let variables = variables.each_ref().map(String::as_str);
    let program = Firmware::build("coap-sensor", &variables, &folder)?;
    let (_board, board) = Firmware::on_a_network(&program, &folder)?;
    let gateway = SocketAddr::from(([127, 0, 0, 1], port)).to_string();
    let changes = [(BOARD, board.to_string()), (GATEWAY, gateway)];
    let changes = changes.each_ref().map(|(from, to)| (*from, to.as_str()));
    let bench = Bench::start(&scratch, "coap-sensor", &changes)?;
    is_read_observed_and_written(&bench)?;
    // Reports: what came by itself, and the device has been told that it is durable.
    bench.value(DEVICE, "reported_temperature", |value| is_about(value, 21.5))?;
    bench.value(DEVICE, "reported_count", |value| value.as_u64().is_some())?;
    until("the device to hear that its report was taken", PATIENCE, || {
        let said = std::fs::read_to_string(folder.join("serial.log")).unwrap_or_default();
        Ok(said.contains("report: taken").then_some(()))
    })?;
    let mut edge = bench.edge;
    edge.stop()
}

#[test]
fn the_linux_example_is_read_observed_and_written_by_the_gateway() -> Result<()> {
    let scratch = Scratch::new("fieldgate-firmware-linux-gateway")?;
    let folder = scratch.folder("device")?;
    let program = Firmware::build("coap-sensor-linux", &[], &folder)?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_udp_port()?));
    let port = address.port().to_string();
    let mut sensor = Process::start("sensor", &program, ["127.0.0.1", &port], &folder)?;
    sensor.first_json_line(PATIENCE)?;
    let bench = Bench::start(&scratch, "coap-sensor-linux", &[(LINUX, &address.to_string())])?;
    is_read_observed_and_written(&bench)?;
    let mut edge = bench.edge;
    edge.stop()
}

fn is_read_observed_and_written(bench: &Bench) -> Result<()> {
    bench.value(DEVICE, "temperature", |value| is_about(value, 21.5))?;
    bench.value(DEVICE, "humidity", |value| is_about(value, 48.0))?;
    until("counts in a row, as they are observed", PATIENCE, || {
        let counts = bench.values(DEVICE, "count")?;
        let is_next = |pair: &[u64]| pair[1] == pair[0] + 1;
        let in_a_row = counts.windows(IN_A_ROW).any(|window| window.windows(2).all(is_next));
        Ok(in_a_row.then_some(()))
    })?;
    let led = bench.value(DEVICE, "led", |value| !value.is_null())?;
    ensure!(led == json!(false), "the lamp is {led} at the start");
    bench.command(DEVICE, "led", &Value::Bool(true))?;
    bench.value(DEVICE, "led", |value| *value == json!(true)).map(drop)
}
