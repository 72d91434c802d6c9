//! How big things may be, on every version of the wire.
//!
//! Encoders do not shorten anything, because a digest covers what they write: who makes a text or a
//! batch keeps to these bounds, and decoders refuse what does not.

use alloc::string::String;

/// Largest message. Every common broker takes it without configuration, and firmware can hold it.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most records in one batch that is not a gap: an offline gateway seals no more at once, and it
/// bounds what a few hostile bytes can make a reader allocate (about half a MiB of samples).
pub const RECORDS_MAX: usize = 10_000;

/// Most bytes of a content that was packed: what the largest batch of wide values takes, and all
/// that a few hostile bytes can make a reader allocate.
pub const CONTENT_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// Longest text in a message, other than a value: a line that a person still reads.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Longest text that is a value. A string of 125 registers has 250 bytes; parsers make longer ones.
pub const SAMPLE_TEXT_BYTES_MAX: usize = 4 * 1024;

/// Largest catalogue: more than 40,000 signals, and still no burden to hold in memory while its
/// chunks arrive.
pub const CATALOGUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a catalogue in one chunk; leaves room for the chunk's own fields in a message.
pub const CHUNK_BYTES: usize = 60 * 1024;

/// Largest number in any field that is not a raw value: what every database can store.
pub(crate) const NUMBER_MAX: u64 = i64::MAX as u64;

/// `text`, cut at a character so that it has at most [`TEXT_BYTES_MAX`] bytes.
pub fn clip(mut text: String) -> String {
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clip("ü".repeat(600)), "ü".repeat(512));
        assert_eq!(clip(["x", &"ü".repeat(600)].concat()).len(), 1023);
        assert_eq!(clip(String::from("short")), "short");
        assert_eq!(clip(String::new()), "");
    }
}
