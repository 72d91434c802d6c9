//! CoAP peers that nobody here wrote: libcoap's server and client, and a server on aiocoap.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::Process;
use super::repository;
use super::wait::{free_udp_port, until};

/// Python takes a second to load aiocoap; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(30);
/// Between two looks whether a server is there.
const PING_EVERY: Duration = Duration::from_millis(200);
/// An empty confirmable message: whoever speaks CoAP answers it with a reset.
const PING: [u8; 4] = [0x40, 0x00, 0x12, 0x34];

/// A running CoAP server.
pub struct CoapServer {
    process: Process,
    listen: SocketAddr,
}

impl CoapServer {
    /// Starts `coap-server-notls` on a free port; `flags` such as `-d 10` or `-l 30%` come on top.
    pub fn libcoap(folder: &Path, flags: &[&str]) -> Result<Self> {
        Self::libcoap_at(folder, free_udp_port()?, flags)
    }

    /// The same on a port that is known.
    pub fn libcoap_at(folder: &Path, port: u16, flags: &[&str]) -> Result<Self> {
        let number = port.to_string();
        let usual = ["-A", "127.0.0.1", "-p", &number, "-v", "7"];
        let arguments = usual.into_iter().chain(flags.iter().copied());
        let program = Path::new("/usr/bin/coap-server-notls");
        let process = Process::start("coap-server", program, arguments, folder)?;
        Self { process, listen: loopback(port) }.awaited()
    }

    /// Starts `tests/system/aiocoap_server.py`.
    pub fn aiocoap(folder: &Path) -> Result<Self> {
        Self::start_script("aiocoap_server.py", folder)
    }

    /// Starts `tests/system/aiocoap_plugtest.py`.
    pub fn plugtest(folder: &Path) -> Result<Self> {
        Self::start_script("aiocoap_plugtest.py", folder)
    }

    fn start_script(script: &str, folder: &Path) -> Result<Self> {
        let root = repository();
        let python = root.join("tests/.venv/bin/python");
        if !python.is_file() {
            bail!("`tests/.venv` is not there; `tests/run` makes it");
        }
        let script = root.join("tests/system").join(script);
        let mut process = Process::start("aiocoap", &python, [script], folder)?;
        let line = process.first_json_line(START_AT_MOST)?;
        let listen = line.get("listen").and_then(Value::as_str).context("no `listen`")?;
        let listen = listen.parse().context("`listen` is an address")?;
        Self { process, listen }.awaited()
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Until it answers a ping. One that drops datagrams may drop some of them.
    fn awaited(mut self) -> Result<Self> {
        let socket = UdpSocket::bind(loopback(0)).context("no socket")?;
        socket.set_read_timeout(Some(PING_EVERY)).context("no timeout")?;
        until("a CoAP server to answer a ping", START_AT_MOST, || {
            self.process.must_run()?;
            // As long as nobody listens there, both may fail.
            let is_sent = socket.send_to(&PING, self.listen).is_ok();
            let answer = socket.recv_from(&mut [0; 64]).ok();
            Ok(answer.filter(|(length, from)| is_sent && *length == 4 && *from == self.listen))
        })?;
        Ok(self)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
