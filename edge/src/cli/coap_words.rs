//! Datagrams of CoAP in words.

use std::fmt::Write as _;

use crate::drivers::coap::describe::{Kind, Message, OptionNumber};
use crate::drivers::coap::{Code, ContentFormat, Method};

/// Characters of a payload that are shown.
const PAYLOAD_SHOWN: usize = 60;

/// A datagram as a person reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) words: String,
    pub(super) is_request: bool,
    pub(super) is_response: bool,
    pub(super) is_fault: bool,
    /// What request and answer have in common: the token.
    pub(super) key: Vec<u8>,
}

/// What a datagram says.
pub(super) fn describe(bytes: &[u8]) -> Told {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            let words = format!("{} bytes that are no message: {error}", bytes.len());
            let (is_request, is_response) = (false, false);
            return Told { words, is_request, is_response, is_fault: true, key: Vec::new() };
        }
    };
    let kind = match message.kind {
        Kind::Confirmable => "CON",
        Kind::NonConfirmable => "NON",
        Kind::Acknowledgement => "ACK",
        Kind::Reset => "RST",
    };
    let mut words = format!("{kind} {}", message.id.0);
    if message.code != Code::EMPTY {
        words.push(' ');
        words.push_str(&code(message.code));
        target(&mut words, &message);
        options(&mut words, &message);
        payload(&mut words, &message);
    }
    let code = message.code;
    Told {
        words,
        is_request: code.is_request(),
        is_response: code.is_response(),
        is_fault: message.kind == Kind::Reset || (code.is_response() && !code.is_success()),
        key: message.token.bytes().to_vec(),
    }
}

fn code(code: Code) -> String {
    match Method::of(code) {
        Some(method) => method.to_string(),
        None => format!("{code} {}", code.words()).trim_end().to_owned(),
    }
}

/// Path and query of a request.
fn target(words: &mut String, message: &Message) {
    if !message.code.is_request() {
        return;
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let path: Vec<String> = message.options.all(OptionNumber::URI_PATH).map(text).collect();
    let query: Vec<String> = message.options.all(OptionNumber::URI_QUERY).map(text).collect();
    words.push_str(" /");
    words.push_str(&path.join("/"));
    if !query.is_empty() {
        words.push('?');
        words.push_str(&query.join("&"));
    }
}

/// What else matters to whoever looks for a fault.
fn options(words: &mut String, message: &Message) {
    let named = [(OptionNumber::OBSERVE, "observe"), (OptionNumber::MAX_AGE, "max-age")];
    for (number, name) in named {
        if let Some(value) = message.options.uint(number) {
            // Writing to a text does not fail.
            let _ = write!(words, ", {name} {value}");
        }
    }
    for (number, name) in [(OptionNumber::BLOCK1, "block1"), (OptionNumber::BLOCK2, "block2")] {
        if let Some(block) = message.options.uint(number) {
            let (number, more, size) = (block >> 4, block & 8 != 0, 16_u32 << (block & 7).min(6));
            let more = if more { "+" } else { "" };
            let _ = write!(words, ", {name} {number}{more} of {size}");
        }
    }
    for (number, name) in [(OptionNumber::ACCEPT, "accepts"), (OptionNumber::CONTENT_FORMAT, "is")]
    {
        let format = message.options.uint(number).and_then(|value| u16::try_from(value).ok());
        if let Some(format) = format.map(ContentFormat) {
            let _ = write!(words, ", {name} {format}");
        }
    }
}

fn payload(words: &mut String, message: &Message) {
    if message.payload.is_empty() {
        return;
    }
    let text = str::from_utf8(&message.payload).ok();
    match text.filter(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace())) {
        Some(text) => {
            let shown: String = text.chars().take(PAYLOAD_SHOWN).collect();
            let rest = if shown.len() < text.len() { "…" } else { "" };
            let _ = write!(words, ", `{shown}{rest}`");
        }
        None => {
            let _ = write!(words, ", {} bytes", message.payload.len());
        }
    }
}
