//! The example `modbus-rtu-sensor` on an emulated Cortex-M3: read and written from the cloud, and
//! asked byte by byte what its framing and its exceptions promise.

use std::time::Duration;

use anyhow::{Result, ensure};
use fieldgate_modbus::crc::crc16;
use fieldgate_tests::harness::{Firmware, RawSerial, Scratch, mbpoll};
use serde_json::json;

use crate::firmware_kit::{Bench, is_about};

const EXAMPLE: &str = "modbus-rtu-sensor";

/// Where the example's configuration has its port.
const PORT: &str = "/tmp/fieldgate-sensor";

/// An answer comes within 10 ms on an idle machine.
const ANSWER_AT_MOST: Duration = Duration::from_secs(2);

/// Longer than the 4 ms of silence that end a frame at 9600 Bd, even as an emulator keeps time (with
/// it, no frame with such a gap was ever taken for one); shorter than the 40 ms a rest is waited for.
const GAP: Duration = Duration::from_millis(20);

/// A busy machine makes some gaps too long and some answers too late, but not as often as this.
const TRIES: usize = 20;

#[test]
fn the_modbus_firmware_is_read_and_written_from_the_cloud() -> Result<()> {
    let scratch = Scratch::new("fieldgate-firmware-modbus")?;
    let folder = scratch.folder("board")?;
    let program = Firmware::build(EXAMPLE, &[], &folder)?;
    let (_board, port) = Firmware::on_a_terminal(&program, &folder)?;
    let bench = Bench::start(&scratch, EXAMPLE, &[(PORT, &port.display().to_string())])?;
    let read = |signal: &str, expected: f64| {
        bench.value("sensor", signal, |value| is_about(value, expected)).map(drop)
    };
    read("temperature", 21.5)?;
    read("humidity", 48.0)?;
    read("setpoint", 22.0)?;
    let at_least = |count: u64| move |value: &serde_json::Value| value.as_u64() >= Some(count);
    bench.value("sensor", "uptime", at_least(2))?;
    // Function 6 for one register, function 16 for two.
    bench.command("sensor", "setpoint", &json!(-12.5))?;
    bench.command("sensor", "temperature_offset", &json!(1.5))?;
    read("setpoint", -12.5)?;
    read("temperature", 23.0)?;
    let mut edge = bench.edge;
    edge.stop()
}

#[test]
fn the_modbus_firmware_refuses_what_the_standard_has_it_refuse() -> Result<()> {
    let mut sensor = Sensor::start("fieldgate-firmware-exceptions")?;
    let rows: [(&str, &[u8], &[u8]); 11] = [
        ("a function that it lacks", &[1, 2, 0, 0, 0, 1], &[1, 0x82, 1]),
        ("a register behind the last", &[1, 4, 0, 7, 0, 1], &[1, 0x84, 2]),
        ("a range that ends behind the last", &[1, 3, 0, 3, 0, 2], &[1, 0x83, 2]),
        ("no register at all", &[1, 3, 0, 0, 0, 0], &[1, 0x83, 3]),
        ("more registers than fit into a frame", &[1, 4, 0, 0, 0, 126], &[1, 0x84, 3]),
        ("a value out of its bounds", &[1, 6, 0, 0, 0x7F, 0xFF], &[1, 0x86, 3]),
        ("one half of a value", &[1, 6, 0, 2, 0, 1], &[1, 0x86, 2]),
        ("a byte count that does not fit", &[1, 16, 0, 0, 0, 2, 2, 0, 1], &[1, 0x90, 3]),
        // The first word alone would be good: nothing of the write may remain.
        ("a bad word behind a good one", &[1, 16, 0, 0, 0, 2, 4, 0, 9, 0, 9], &[1, 0x90, 3]),
        ("nothing, to be read after all this", &[1, 3, 0, 0, 0, 2], &[1, 3, 4, 0, 220, 0, 0]),
        ("a write of one", &[1, 6, 0, 1, 0, 1], &[1, 6, 0, 1, 0, 1]),
    ];
    for (what, request, expected) in rows {
        let answer = sensor.ask(&[&framed(request)])?;
        ensure!(answer == framed(expected), "{what}: {answer:02x?}");
    }
    // A client that nobody here wrote agrees.
    let port = sensor.path.clone();
    drop(sensor.port);
    let words = mbpoll(&sensor.folder, &["-m", "rtu", "-b", "9600", "-P", "none", &port], 1, 0, 4)?;
    ensure!(words == [220, 1, 0, 0], "{words:?}");
    Ok(())
}

#[test]
fn the_modbus_firmware_waits_for_the_rest_of_a_request() -> Result<()> {
    let mut sensor = Sensor::start("fieldgate-firmware-gap")?;
    let request = framed(&[1, 4, 0, 0, 0, 1]);
    let (first, rest) = request.split_at(3);
    sensor.succeeds("a request in two lumps", &[first, rest])
}

#[test]
fn the_modbus_firmware_is_not_held_up_by_frames_of_others() -> Result<()> {
    let mut sensor = Sensor::start("fieldgate-firmware-foreign")?;
    // An answer of one register is shorter than the request that it looks like, and this one has no
    // check sum that would say that it is whole.
    let mut foreign = framed(&[2, 4, 2, 0, 17]);
    foreign[4] ^= 1;
    let request = framed(&[1, 4, 0, 0, 0, 1]);
    sensor.succeeds("a request behind a spoilt answer of another", &[&foreign, &request])
}

#[test]
fn the_modbus_firmware_is_silent_to_noise_and_to_all_and_counts_what_is_spoilt() -> Result<()> {
    let mut sensor = Sensor::start("fieldgate-firmware-noise")?;
    let mut spoilt = framed(&[1, 4, 0, 0, 0, 1]);
    spoilt[3] ^= 1;
    // A write to all is obeyed, and none of the three is answered: what comes is the last's answer.
    let to_all = framed(&[0, 6, 0, 1, 0, 1]);
    let request = framed(&[1, 3, 0, 1, 0, 1]);
    let expected = framed(&[1, 3, 2, 0, 1]);
    let pieces: [&[u8]; 4] = [&spoilt, &[0x55; 300], &to_all, &request];
    let answers = (0..TRIES).map(|_| sensor.ask(&pieces));
    let right = answers.filter(|answer| answer.as_ref().is_ok_and(|bytes| *bytes == expected));
    ensure!(right.count() > 0, "the write to all was not seen, or something else was answered");
    let counted = sensor.ask(&[&framed(&[1, 4, 0, 6, 0, 1])])?;
    let count = u16::from_be_bytes([counted[3], counted[4]]);
    ensure!(count >= 2, "{count} spoilt frames were counted");
    Ok(())
}

/// A board whose port is ours, byte by byte.
struct Sensor {
    port: RawSerial,
    path: String,
    folder: std::path::PathBuf,
    _board: Firmware,
    _scratch: Scratch,
}

impl Sensor {
    /// Boots one and waits until it answers: QEMU sees only after a second that a terminal is open.
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let folder = scratch.folder("board")?;
        let program = Firmware::build(EXAMPLE, &[], &folder)?;
        let (board, path) = Firmware::on_a_terminal(&program, &folder)?;
        let port = RawSerial::open(&path)?;
        let path = path.display().to_string();
        let mut sensor = Self { port, path, folder, _board: board, _scratch: scratch };
        sensor.succeeds("a first request", &[&framed(&[1, 4, 0, 0, 0, 1])])?;
        Ok(sensor)
    }

    /// The frame that comes back; empty if none does.
    fn ask(&mut self, pieces: &[&[u8]]) -> Result<Vec<u8>> {
        self.port.forget()?;
        self.port.send(pieces, GAP)?;
        self.port.receive(ANSWER_AT_MOST, |bytes| bytes.len() >= 5 && crc16(bytes) == 0)
    }

    /// The temperature comes back at least once.
    fn succeeds(&mut self, what: &str, pieces: &[&[u8]]) -> Result<()> {
        let expected = framed(&[1, 4, 2, 0, 215]);
        for _ in 0..TRIES {
            if self.ask(pieces)? == expected {
                return Ok(());
            }
        }
        anyhow::bail!("{what} was not answered once in {TRIES} tries")
    }
}

/// A frame with its check sum.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    frame.extend_from_slice(&crc16(bytes).to_le_bytes());
    frame
}
