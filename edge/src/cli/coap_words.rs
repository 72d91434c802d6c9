//! Datagrams of CoAP in words.

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
    let mut words = vec![format!("{kind} {}", message.id.0)];
    if message.code != Code::EMPTY {
        let target = target(&message).unwrap_or_default();
        words[0] = format!("{} {}{target}", words[0], code(message.code));
        words.extend(options(&message));
        words.extend(payload(&message));
    }
    let words = words.join(", ");
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
fn target(message: &Message) -> Option<String> {
    if !message.code.is_request() {
        return None;
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let path: Vec<String> = message.options.all(OptionNumber::URI_PATH).map(text).collect();
    let query: Vec<String> = message.options.all(OptionNumber::URI_QUERY).map(text).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    Some(format!(" /{}{query}", path.join("/")))
}

/// What else matters to whoever looks for a fault.
fn options(message: &Message) -> Vec<String> {
    let number = |number| message.options.uint(number);
    let named = [(OptionNumber::OBSERVE, "observe"), (OptionNumber::MAX_AGE, "max-age")];
    let named = named.into_iter().filter_map(|(at, name)| Some(format!("{name} {}", number(at)?)));
    let blocks = [(OptionNumber::BLOCK1, "block1"), (OptionNumber::BLOCK2, "block2")];
    let blocks = blocks.into_iter().filter_map(|(at, name)| {
        let block = number(at)?;
        let (place, size) = (block >> 4, 16_u32 << (block & 7).min(6));
        let more = if block & 8 != 0 { "+" } else { "" };
        Some(format!("{name} {place}{more} of {size}"))
    });
    let formats = [(OptionNumber::ACCEPT, "accepts"), (OptionNumber::CONTENT_FORMAT, "is")];
    let formats = formats.into_iter().filter_map(|(at, name)| {
        let format = u16::try_from(number(at)?).ok()?;
        Some(format!("{name} {}", ContentFormat(format)))
    });
    named.chain(blocks).chain(formats).collect()
}

fn payload(message: &Message) -> Option<String> {
    if message.payload.is_empty() {
        return None;
    }
    let text = str::from_utf8(&message.payload).ok();
    match text.filter(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace())) {
        Some(text) => {
            let shown: String = text.chars().take(PAYLOAD_SHOWN).collect();
            let rest = if shown.len() < text.len() { "…" } else { "" };
            Some(format!("`{shown}{rest}`"))
        }
        None => Some(format!("{} bytes", message.payload.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_told_as_what_it_asks_or_answers() {
        for (bytes, words, is_fault) in [
            (
                &[
                    0x48, 0x01, 0x5E, 0x77, 1, 2, 3, 4, 5, 6, 7, 8, 0xB4, b't', b'e', b'm', b'p',
                    0x60,
                ][..],
                "CON 24183 GET /temp, accepts text/plain",
                false,
            ),
            (
                &[
                    0x48, 0x45, 0xD6, 0xEE, 1, 2, 3, 4, 5, 6, 7, 8, 0x61, 0x09, 0x60, 0xFF, b'2',
                    b'7',
                ],
                "CON 55022 2.05 content, observe 9, is text/plain, `27`",
                false,
            ),
            (&[0x60, 0x84, 0x00, 0x01], "ACK 1 4.04 not found", true),
            (&[0x70, 0x00, 0x00, 0x02], "RST 2", true),
            (&[0x60, 0x00, 0x00, 0x03], "ACK 3", false),
            (&[0x40], "1 bytes that are no message: shorter than a header", true),
        ] {
            let told = describe(bytes);
            assert_eq!((told.words.as_str(), told.is_fault), (words, is_fault));
        }
    }
}
