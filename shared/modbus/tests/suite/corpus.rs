//! Bytes that nobody meant: each file of `corpus/`, and a bounded number of mutations of each.
//!
//! A file that ever broke a target is added to its folder.

use crate::any_bytes::{self, Pieces};
use crate::any_script;
use crate::rng::Rng;

/// Of each file: enough to meet each length field in seconds' time on two slow cores.
const MUTATIONS: usize = 2_000;
/// No input grows beyond what a shell reads at once.
const INPUT_MAX: usize = 4_096;
/// Longest pieces: byte by byte, a UART's, a USB adapter's, and whole segments.
const PIECES: [usize; 4] = [1, 3, 64, 700];

/// Runs `target` on every file of `corpus/<name>` and on mutations of it.
fn run(name: &str, target: fn(&[u8], Pieces<'_>)) {
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{folder} is nearly empty");
    for (seed, path) in (1..).zip(paths) {
        let file = read(&path);
        for length in PIECES {
            target(&file, &mut || length);
        }
        let mut rng = Rng::new(seed);
        for _ in 0..MUTATIONS {
            let bytes = mutated(&file, &mut rng);
            let longest = PIECES[rng.below(PIECES.len())];
            target(&bytes, &mut || 1 + rng.below(longest));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the corpus of a test is files")]
fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).expect("the file can be read")
}

/// One to four changes: a bit, a byte, a piece cut out, doubled or put in.
fn mutated(file: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let to = (at + rng.below(9)).min(bytes.len());
        match rng.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.byte(),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][rng.below(6)],
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => drop(bytes.splice(at..at, rng.bytes(24))),
        }
    }
    bytes.truncate(INPUT_MAX);
    bytes
}

#[test]
fn a_tcp_stream_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("tcp", any_bytes::tcp);
}

#[test]
fn an_rtu_line_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("rtu", any_bytes::rtu);
}

#[test]
fn an_ascii_line_of_any_bytes_holds_little_and_comes_back_to_its_frames() {
    run("ascii", any_bytes::ascii);
}

#[test]
fn a_reply_of_any_bytes_is_read_as_what_it_says_or_refused() {
    run("reply", any_bytes::reply);
}

#[test]
fn a_request_of_any_bytes_is_read_as_what_it_says_or_refused() {
    run("request", any_bytes::request);
}

#[test]
fn whatever_happens_on_a_line_each_transaction_ends_once_and_in_time() {
    run("client", any_script::client);
}
