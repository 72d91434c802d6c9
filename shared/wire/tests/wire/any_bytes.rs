//! What holds for any bytes that are taken for a message: they are refused, or they are one that
//! is written and read again alike.
//!
//! `hostile.rs` runs this on mutations of every kind of message; `tests/fuzz/` includes this file
//! and searches for bytes that break it.

use fieldgate_wire::{DecodeError, down_topic, parse_down, parse_up, up_topic, v1};

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
    if let Ok(topic) = core::str::from_utf8(bytes) {
        check_topic(topic);
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
