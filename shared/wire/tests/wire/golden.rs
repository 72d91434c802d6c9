//! The golden bytes: what version 1 looks like, and that it is still read.
//!
//! Each kind has a file of hex, which is what counts, and a note with the same bytes in CBOR's
//! diagnostic notation (RFC 8949, section 8), which is for people. A mismatch prints both as they
//! would have to be; nothing writes them.

use core::fmt::Write as _;

use crate::{notation, specimen};

macro_rules! golden {
    ($($name:literal),+ $(,)?) => {
        /// Name, hex and note of each.
        const GOLDEN: &[(&str, &str, &str)] = &[$((
            $name,
            include_str!(concat!("../../golden/v1/", $name, ".hex")),
            include_str!(concat!("../../golden/v1/", $name, ".txt")),
        )),+];
    };
}

golden!(
    "hello",
    "batch_samples",
    "batch_events",
    "batch_outcomes",
    "batch_gap",
    "batch_thinned",
    "catalogue",
    "catalogue_chunk",
    "answer_stale",
    "answer_command",
    "present",
    "welcome",
    "ack",
    "need",
    "pause",
    "command",
    "watch",
    "refuse",
    "hello_doubt",
    "welcome_readopted",
    "batch_steps",
);

#[test]
fn every_message_is_written_as_it_was_first() {
    let specimens = specimen::all();
    assert!(specimens.iter().map(|s| s.name).eq(GOLDEN.iter().map(|(name, _, _)| *name)));
    let mut wrong = String::new();
    for (specimen, (name, golden, _)) in specimens.iter().zip(GOLDEN) {
        let hex = hex(&specimen.bytes);
        if *golden != hex {
            writeln!(wrong, "golden/v1/{name}.hex would be:\n{hex}").expect("a string takes all");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn golden_bytes_are_read_and_written_again_unchanged() {
    for (specimen, (name, golden, _)) in specimen::all().iter().zip(GOLDEN) {
        let bytes = bytes(golden);
        assert_eq!((specimen.again)(&bytes), Ok(bytes), "{name}");
    }
}

#[test]
fn every_note_shows_the_golden_bytes() {
    let mut wrong = String::new();
    for (name, golden, note) in GOLDEN {
        let shown = notation::show(&bytes(golden));
        if !note.ends_with(&format!("\n\n{shown}\n")) {
            writeln!(wrong, "golden/v1/{name}.txt would end with:\n{shown}\n-----")
                .expect("a string takes all");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(hex, "{byte:02x}").expect("a string takes all");
        }
        hex.push('\n');
    }
    hex
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("golden hex")).collect()
}
