//! CoAP programs that nobody here wrote: libcoap's server and client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Process;
use super::wait::{free_port, until};

/// Until it answers: it opens a socket and no more.
const START_AT_MOST: Duration = Duration::from_secs(20);

/// A running `coap-server-notls` of libcoap, with its example resources.
pub struct LibcoapServer {
    process: Process,
    port: u16,
}

impl LibcoapServer {
    /// Starts one on a free port of 127.0.0.1.
    pub fn start(folder: &Path) -> Result<Self> {
        // Nobody tells which of the free UDP ports is taken next; the TCP ones are as good a guess.
        let port = free_port()?;
        let arguments = ["-A", "127.0.0.1", "-p", &port.to_string(), "-d", "10"].map(str::to_owned);
        let program = Path::new("coap-server-notls");
        let process = Process::start("coap-server", program, arguments, folder)?;
        let url = format!("coap://127.0.0.1:{port}/.well-known/core");
        until("libcoap's server", START_AT_MOST, || {
            let ended = client(folder, &["-B", "1", "-m", "get", &url])?;
            Ok(ended.contains("</time>").then_some(()))
        })?;
        Ok(Self { process, port })
    }

    /// `host:port`.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// What libcoap's client prints, the messages that it sends and gets included if `-v 7` is among the
/// arguments.
pub fn client(folder: &Path, arguments: &[&str]) -> Result<String> {
    let ended = Process::run(Path::new("coap-client-notls"), arguments, folder)
        .context("`coap-client-notls` cannot be run; `tests/run` installs it")?;
    Ok(ended.stdout + &ended.stderr)
}

/// Posts to `url` from an address of this machine; gives the code of the answer, such as `2.04`.
pub fn post(folder: &Path, from: &str, url: &str, format: u16, payload: &str) -> Result<String> {
    let format = format.to_string();
    let arguments = ["-v", "7", "-B", "30", "-a", from, "-m", "post", "-t", &format, "-e", payload];
    let told = client(folder, &[&arguments[..], &[url]].concat())?;
    // `v:1 t:ACK c:2.04 i:1f2e {01} [ ]`; the request has the method there.
    let codes = told.split_whitespace().filter_map(|word| word.strip_prefix("c:"));
    let code =
        codes.filter(|code| code.starts_with(|c: char| c.is_ascii_digit()) && *code != "0.00");
    code.last().map(str::to_owned).with_context(|| format!("no answer in: {told}"))
}
