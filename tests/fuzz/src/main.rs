//! Feeds what libFuzzer thinks up to one decoder, named in `FIELDGATE_FUZZ_TARGET`.
//!
//! One program for all of them, so that it is linked once. What must hold for any bytes stands with
//! the tests of the decoder's crate, which hold it on every committed file.

#![no_main]

#[path = "../../../shared/modbus/tests/suite/any_bytes.rs"]
mod any_bytes;
#[path = "../../../shared/coap/tests/suite/any_bytes.rs"]
mod any_datagram;
#[path = "../../../shared/wire/tests/wire/any_bytes.rs"]
mod any_message;
#[path = "../../../shared/rules/tests/payload/any_bytes.rs"]
mod any_payload;
#[path = "../../../shared/modbus/tests/suite/any_script.rs"]
mod any_script;
// The importers as they stand: the whole edge, with its database and its script engine, would take
// many minutes to build with counters.
#[expect(unused_imports, reason = "the edge uses more of it")]
#[path = "../../../edge/src/import/mod.rs"]
mod import;
#[path = "../../../edge/src/lines.rs"]
mod lines;
mod link;
mod session;

use std::sync::OnceLock;

use any_bytes::Pieces;
use import::{Format, Options};

/// What a decoder is fed with: bytes, and the lengths of the pieces in which they come.
type Target = fn(&[u8], Pieces<'_>);

/// The targets by name: of the Modbus and CoAP ones, also that of their folder below
/// `shared/modbus/corpus/` or `shared/coap/corpus/`.
const TARGETS: [(&str, Target); 19] = [
    ("tcp", any_bytes::tcp),
    ("rtu", any_bytes::rtu),
    ("ascii", any_bytes::ascii),
    ("reply", any_bytes::reply),
    ("request", any_bytes::request),
    ("client", any_script::client),
    ("wire", |bytes, _| any_message::check_all(bytes)),
    ("message", |bytes, _| any_datagram::message(bytes)),
    ("links", |bytes, _| any_datagram::links(bytes)),
    ("datagrams", |bytes, _| any_datagram::datagrams(bytes)),
    ("mqtt", session::mqtt),
    ("json", |bytes, _| any_payload::any_json(bytes)),
    ("cbor", |bytes, _| any_payload::any_cbor(bytes)),
    ("senml", |bytes, _| any_payload::any_senml(bytes)),
    ("pointer", |bytes, _| any_payload::any_pointer(bytes)),
    ("csv", |bytes, _| import_any(Format::Csv, bytes)),
    ("telegraf", |bytes, _| import_any(Format::Telegraf, bytes)),
    ("home-assistant", |bytes, _| import_any(Format::HomeAssistant, bytes)),
    ("sunspec", |bytes, _| import_any(Format::SunSpec, bytes)),
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

/// Any text ends in a profile that is TOML, or in a reason, and in a bounded number of words.
fn import_any(format: Format, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match import::import(format, &text, &Options::default()) {
        Ok(imported) => {
            assert!(imported.toml.parse::<toml::Table>().is_ok(), "{}", imported.toml);
            assert!((1..=5_000).contains(&imported.signals), "{}", imported.signals);
        }
        Err(notes) => assert!(!notes.is_empty(), "there is no reason"),
    }
}

/// Panics, and so ends the program, if there is no such target: a search of nothing finds nothing.
fn choose() {
    let name = std::env::var("FIELDGATE_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.expect("`FIELDGATE_FUZZ_TARGET` names a target");
    TARGET.get_or_init(|| *target);
}
