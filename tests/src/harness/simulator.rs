//! `fieldgate simulate` as a process: devices whose values move, and a control port.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::binary;
use super::process::Process;

/// It reads a few profiles and binds.
const START_AT_MOST: Duration = Duration::from_secs(15);

/// The control port answers at once; this is for a loaded machine.
const ANSWER_AT_MOST: Duration = Duration::from_secs(10);

/// A simulator with one device a profile, named like it, with unit ids from 1.
pub struct Simulator {
    process: Process,
    announced: Value,
    listen: String,
    control: String,
}

/// What a simulated device has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that carried the signal `reads`: its last value.
    pub reads: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
}

impl Simulator {
    /// Serves `profiles` (names or files) on a free loopback port.
    pub fn start(name: &str, profiles: &[&str], folder: &Path) -> Result<Self> {
        Self::start_with(name, profiles, &[], folder)
    }

    /// The same, with further `flags` of the verb.
    pub fn start_with(
        name: &str,
        profiles: &[&str],
        flags: &[&str],
        folder: &Path,
    ) -> Result<Self> {
        let usual = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--json"];
        let arguments = ["simulate"].into_iter().chain(profiles.iter().copied());
        let arguments = arguments.chain(usual).chain(flags.iter().copied());
        let mut process = Process::start(name, &binary("fieldgate")?, arguments, folder)?;
        let line = process.first_json_line(START_AT_MOST)?;
        let address = |pointer: &str| -> Result<String> {
            let text = line.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned).with_context(|| format!("`{pointer}` is not in {line}"))
        };
        let (listen, control) = (address("/devices/0/modbus_tcp")?, address("/control")?);
        Ok(Self { process, announced: line, listen, control })
    }

    /// `host:port` of its Modbus TCP server.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Address or path of another way to the devices, named as in a configuration.
    pub fn port(&self, transport: &str) -> Result<&str> {
        let devices = self.announced.get("devices").and_then(Value::as_array);
        let mut ports = devices.into_iter().flatten().filter_map(|device| device.get(transport));
        let port = ports.next().and_then(Value::as_str);
        port.with_context(|| format!("no `{transport}` in {}", self.announced))
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Holds a declared signal at an engineering value.
    pub fn pin(&self, device: &str, signal: &str, value: f64) -> Result<()> {
        self.ask(&json!({"device": device, "signal": signal, "value": value})).map(drop)
    }

    /// Lets a held signal move again.
    pub fn release(&self, device: &str, signal: &str) -> Result<()> {
        self.ask(&json!({"device": device, "signal": signal, "value": null})).map(drop)
    }

    /// Holds a bare register, such as one that only a parser reads, at a word.
    pub fn pin_register(&self, device: &str, register: &str, word: u16) -> Result<()> {
        self.ask(&json!({"device": device, "register": register, "value": word})).map(drop)
    }

    /// A silent device hears, and says nothing.
    pub fn silence(&self, device: &str, is_silent: bool) -> Result<()> {
        self.ask(&json!({"device": device, "silent": is_silent})).map(drop)
    }

    /// What a device has counted since the simulator started.
    pub fn counts(&self, device: &str) -> Result<Counts> {
        let answer = self.ask(&json!({"counts": true}))?;
        let count = |what: &str| answer.pointer(&format!("/counts/{device}/{what}"))?.as_u64();
        let reads = count("reads").with_context(|| format!("no `{device}` in {answer}"))?;
        let writes = count("writes").with_context(|| format!("no writes in {answer}"))?;
        Ok(Counts { reads, writes })
    }

    fn ask(&self, question: &Value) -> Result<Value> {
        let mut stream = TcpStream::connect(&self.control).context("no control port")?;
        stream.set_read_timeout(Some(ANSWER_AT_MOST)).context("cannot set a timeout")?;
        stream.write_all(format!("{question}\n").as_bytes()).context("nobody listens")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).context("the control port is silent")?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("the control port said: {line}"))?;
        if let Some(error) = answer.get("error") {
            bail!("the simulator refused {question}: {error}");
        }
        Ok(answer)
    }
}
