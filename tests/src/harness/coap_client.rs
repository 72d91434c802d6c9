//! libcoap's clients, which nobody here wrote.

use std::path::Path;

use anyhow::Result;

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
