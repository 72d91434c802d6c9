//! Bytes that nobody meant: each file of `corpus/`, and a bounded number of mutations of each.
//!
//! A file that ever broke a target is added to its folder.

use crate::any_bytes;
use crate::rng::Rng;

/// Of each file: enough to meet each length field in a second's time on two slow cores.
const MUTATIONS: usize = 1_000;

/// Runs `target` on every file of `corpus/<name>` and on mutations of it.
fn run(name: &str, target: fn(&[u8])) {
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{folder} is nearly empty");
    for (seed, path) in (1..).zip(paths) {
        let file = read(&path);
        target(&file);
        let mut rng = Rng::new(seed);
        for _ in 0..MUTATIONS {
            target(&mutated(&file, &mut rng));
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
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.byte(),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => drop(bytes.splice(at..at, rng.bytes(24))),
        }
    }
    bytes
}

#[test]
fn a_datagram_of_any_bytes_is_a_message_or_a_reason() {
    run("message", any_bytes::message);
}

#[test]
fn a_text_of_any_bytes_is_links_or_a_reason() {
    run("links", any_bytes::links);
}

#[test]
fn whatever_comes_from_whomever_each_request_ends_once_and_nothing_is_left() {
    run("datagrams", any_bytes::datagrams);
}
