//! What holds for any bytes that are taken for a message: they are refused, or they are one that
//! is written and read again alike.
//!
//! `hostile.rs` runs this on mutations of every kind of message; `tests/fuzz/` includes this file
//! and searches for bytes that break it.

use fieldgate_wire::{
    CATALOGUE_BYTES_MAX, DecodeError, Decompress, Reassembly, down_topic, leaf, parse_down,
    parse_up, up_topic, v1,
};

/// Reads a message and writes it again.
pub(crate) type Again = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Each kind of message by the beginning of its golden files' names.
const MESSAGES: [(&str, Again); 13] = [
    ("hello", |b| v1::decode_hello(b).map(|m| v1::encode_hello(&m))),
    ("batch", |b| v1::decode_batch(b).map(|m| v1::encode_batch(&m))),
    ("catalogue_chunk", |b| v1::decode_catalogue_chunk(b).map(|m| v1::encode_catalogue_chunk(&m))),
    ("catalogue", |b| v1::decode_catalogue(b).map(|m| v1::encode_catalogue(&m))),
    ("answer", |b| v1::decode_answer(b).map(|m| v1::encode_answer(&m))),
    ("present", |b| v1::decode_present(b).map(|m| v1::encode_present(&m))),
    ("welcome", |b| v1::decode_welcome(b).map(|m| v1::encode_welcome(&m))),
    ("ack", |b| v1::decode_ack(b).map(|m| v1::encode_ack(&m))),
    ("need", |b| v1::decode_need(b).map(|m| v1::encode_need(&m))),
    ("pause", |b| v1::decode_pause(b).map(|m| v1::encode_pause(&m))),
    ("command", |b| v1::decode_command(b).map(|m| v1::encode_command(&m))),
    ("watch", |b| v1::decode_watch(b).map(|m| v1::encode_watch(&m))),
    ("refuse", |b| v1::decode_refuse(b).map(|m| v1::encode_refuse(&m))),
];

/// How messages of the kind that `name` begins with are read and written again.
pub(crate) fn again(name: &str) -> Again {
    let found = MESSAGES.iter().find(|(kind, _)| name.starts_with(kind));
    found.expect("a kind of message").1
}

/// Takes `bytes` for a message of `name`'s kind; whether they are one.
pub(crate) fn check(name: &str, bytes: &[u8]) -> bool {
    let again = again(name);
    let Ok(once) = again(bytes) else { return false };
    assert_eq!(again(&once).as_ref(), Ok(&once), "{name} from {bytes:02x?}");
    true
}

/// Takes `bytes` for a message of every kind, and for a topic.
pub(crate) fn check_all(bytes: &[u8]) {
    for (name, _) in MESSAGES {
        check(name, bytes);
    }
    check_envelope(bytes);
    check_chunks(bytes);
    if let Ok(topic) = core::str::from_utf8(bytes) {
        check_topic(topic);
    }
}

/// A codec that packs nothing: what is declared is what is there.
struct Plain;

impl Decompress for Plain {
    fn decompress(&mut self, packed: &[u8], length: usize) -> Option<Vec<u8>> {
        (packed.len() == length).then(|| packed.to_vec())
    }
}

/// An envelope is custody whatever it holds: its content is refused, or opens to what it says.
fn check_envelope(bytes: &[u8]) {
    let Ok(envelope) = v1::decode_envelope(bytes) else { return };
    assert!(envelope.first < envelope.next, "{envelope:?}");
    for opened in [envelope.open(), envelope.open_packed(&mut Plain)] {
        let Ok(batch) = opened else { continue };
        assert_eq!((batch.first, batch.next), (envelope.first, envelope.next));
        assert!(envelope.is_gap || leaf(&batch) == leaf(&batch.clone()));
    }
}

/// Takes `bytes` for chunks of a catalogue, one after another, each behind its length: what comes
/// of them has the name that they bear.
fn check_chunks(mut bytes: &[u8]) {
    let mut reassembly: Option<Reassembly> = None;
    while let Some(([high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        let Ok(chunk) = v1::decode_catalogue_chunk(message) else { continue };
        let reassembly = reassembly.get_or_insert_with(|| Reassembly::new(chunk.catalogue));
        if let Ok(Some(whole)) = reassembly.handle_chunk(chunk) {
            assert!(whole.len() <= CATALOGUE_BYTES_MAX);
            if let Ok(catalogue) = v1::decode_catalogue(&whole) {
                // Written again it may be shorter, and then has another name.
                assert!(v1::encode_catalogue(&catalogue).len() <= whole.len());
            }
        }
    }
}

/// Whether `topic` is understood; one that is, is the only one that says what it says.
pub(crate) fn check_topic(topic: &str) -> bool {
    let up = parse_up(topic).map(|(gateway, kind)| up_topic(&gateway, kind));
    let down = parse_down(topic).map(|(gateway, kind)| down_topic(&gateway, kind));
    let understood: Vec<String> = up.into_iter().chain(down).collect();
    assert!(understood.iter().all(|again| again == topic), "{understood:?} from {topic:?}");
    !understood.is_empty()
}
