//! Feeds what libFuzzer thinks up to one decoder, named in `FIELDGATE_FUZZ_TARGET`.
//!
//! One program for all of them, so that it is linked once. What must hold for any bytes stands with
//! the tests of the decoder's crate, which hold it on every committed file.

#![no_main]

#[path = "../../../shared/modbus/tests/suite/any_bytes.rs"]
mod any_bytes;
#[path = "../../../shared/wire/tests/wire/any_bytes.rs"]
mod any_message;
#[path = "../../../shared/modbus/tests/suite/any_script.rs"]
mod any_script;

use std::sync::OnceLock;

use any_bytes::Pieces;

/// What a decoder is fed with: bytes, and the lengths of the pieces in which they come.
type Target = fn(&[u8], Pieces<'_>);

/// The targets by name: of the Modbus ones, also that of their folder below
/// `shared/modbus/corpus/`.
const TARGETS: [(&str, Target); 7] = [
    ("tcp", any_bytes::tcp),
    ("rtu", any_bytes::rtu),
    ("ascii", any_bytes::ascii),
    ("reply", any_bytes::reply),
    ("request", any_bytes::request),
    ("client", any_script::client),
    ("wire", |bytes, _| any_message::check_all(bytes)),
];

/// Longest pieces: byte by byte, a UART's, a USB adapter's, and whole segments.
const PIECES: [usize; 4] = [1, 3, 64, 700];

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: choose(),
    |bytes: &[u8]| {
        if let Some(target) = TARGET.get() {
            // The input says how it is cut, so that the search finds out what that changes.
            let length = PIECES[usize::from(bytes.last().copied().unwrap_or(0)) % PIECES.len()];
            target(bytes, &mut || length);
        }
    }
);

/// Panics, and so ends the program, if there is no such target: a search of nothing finds nothing.
fn choose() {
    let name = std::env::var("FIELDGATE_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.expect("`FIELDGATE_FUZZ_TARGET` names a target");
    TARGET.get_or_init(|| *target);
}
