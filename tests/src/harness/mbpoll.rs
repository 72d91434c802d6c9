//! mbpoll, a Modbus client that nobody here wrote: the second opinion on a server.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::process::Process;

/// Debian's.
const PROGRAM: &str = "/usr/bin/mbpoll";

/// The words of `count` holding registers from a PDU address on. `target` is what mbpoll takes for
/// a server, such as `-m tcp -p 5020 127.0.0.1` or `-m rtu -b 9600 -P none /dev/ttyUSB0`.
pub fn mbpoll(
    folder: &Path,
    target: &[&str],
    unit: u8,
    start: u16,
    count: u16,
) -> Result<Vec<u16>> {
    let [unit, start, count] = [u16::from(unit), start, count].map(|number| number.to_string());
    let usual = ["-1", "-q", "-0", "-t", "4", "-a", &unit, "-r", &start, "-c", &count];
    let arguments = usual.into_iter().chain(target.iter().copied());
    let ended = Process::run(Path::new(PROGRAM), arguments, folder)?;
    if !ended.status.success() {
        bail!("mbpoll ended with {}\n{}{}", ended.status, ended.stdout, ended.stderr);
    }
    // `[7]: <tab>65534 (-2)`
    let words = ended.stdout.lines().filter_map(|line| line.split_once("]:")).map(|(_, word)| {
        let word = word.split_whitespace().next().context("no word behind an address")?;
        word.parse().with_context(|| format!("`{word}` is not a word"))
    });
    words.collect()
}
