//! libcoap's clients, which nobody here wrote.

use std::path::Path;

use anyhow::{Context, Result};

use super::process::{Ended, Process};

/// Debian's, without and with DTLS.
const PLAIN: &str = "/usr/bin/coap-client-notls";
const DTLS: &str = "/usr/bin/coap-client-openssl";

/// Runs a client to its end. Its status says nothing: what it was answered stands on its stdout, a
/// refusal by its code on stderr.
pub fn coap_client(folder: &Path, arguments: &[&str]) -> Result<Ended> {
    Process::run(Path::new(PLAIN), arguments, folder)
}

/// The same with DTLS, for `coaps://`.
pub fn coaps_client(folder: &Path, arguments: &[&str]) -> Result<Ended> {
    Process::run(Path::new(DTLS), arguments, folder)
}

/// Posts to `url` from an address of this machine; gives the code of the answer, such as `2.04`.
pub fn coap_post(
    folder: &Path,
    from: &str,
    url: &str,
    format: u16,
    payload: &str,
) -> Result<String> {
    let format = format.to_string();
    let told = ["-v", "7", "-B", "30", "-a", from, "-m", "post", "-t", &format, "-e", payload, url];
    let ended = coap_client(folder, &told)?;
    let told = ended.stdout + &ended.stderr;
    // `v:1 t:ACK c:2.04 i:1f2e {01} [ ]`; the request has the method there.
    let mut codes = told.split_whitespace().filter_map(|word| word.strip_prefix("c:"));
    let is_answer = |code: &&str| code.starts_with(|c: char| c.is_ascii_digit()) && *code != "0.00";
    let code = codes.rfind(is_answer);
    code.map(str::to_owned).with_context(|| format!("no answer in: {told}"))
}
