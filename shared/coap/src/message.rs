//! One message: four bytes of header, a token, options and a payload (RFC 7252 section 3).
//!
//! # Invariants
//!
//! - What [`Message::decode`] takes, coap-lite takes in the same way; what coap-lite lets pass and
//!   the standard does not, is refused before.
//! - Decoding takes memory in proportion to what came.

use core::fmt;

use coap_lite::{CoapOption, MessageType, Packet};
use thiserror::Error;

use crate::code::Code;
use crate::option::{OPTIONS_MAX, OptionNumber, Options};

/// Longest datagram that is taken: blocks have 1,024 bytes, but a peer on one Ethernet may send a
/// little more in one piece.
pub const DATAGRAM_MAX: usize = 4_096;
/// Longest datagram that is sent: a block of 1,024 bytes and its options, on any path that carries
/// IPv6 (RFC 7252 section 4.6).
pub const SENT_MAX: usize = 1_232;

const HEADER: usize = 4;
const TOKEN_MAX: usize = 8;
const PAYLOAD_MARKER: u8 = 0xFF;

/// How a message is sent, and what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Repeated until it is acknowledged.
    Confirmable,
    /// Sent once.
    NonConfirmable,
    /// Answers a confirmable one.
    Acknowledgement,
    /// Refuses either.
    Reset,
}

/// What an acknowledgement and its message have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u16);

/// What a response and its request have in common: up to eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    bytes: [u8; TOKEN_MAX],
    length: u8,
}

impl Token {
    /// A token of eight bytes.
    pub const fn new(bytes: [u8; TOKEN_MAX]) -> Self {
        Self { bytes, length: 8 }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn of(bytes: &[u8]) -> Self {
        let mut token = Self::default();
        token.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        token.length = u8::try_from(bytes.len().min(TOKEN_MAX)).unwrap_or(8);
        token
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How it is sent.
    pub kind: Kind,
    /// What it is.
    pub code: Code,
    /// Which it is.
    pub id: MessageId,
    /// Which request it belongs to.
    pub token: Token,
    /// What it says beside its payload.
    pub options: Options,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not even a header.
    #[error("shorter than a header")]
    Short,
    /// Longer than any that is taken.
    #[error("longer than {DATAGRAM_MAX} bytes")]
    Long,
    /// Of a version to come: to be ignored without a word.
    #[error("not version 1")]
    Version,
    /// The header says what the rest does not keep. A confirmable one is answered with a reset.
    #[error("message {} is malformed: {fault}", id.0)]
    Format {
        /// How it was sent.
        kind: Kind,
        /// Which it is.
        id: MessageId,
        /// What is wrong.
        fault: FormatFault,
    },
}

/// What is wrong with the format of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum FormatFault {
    /// Nine bytes or more are reserved.
    #[error("a token of {0} bytes")]
    TokenLength(u8),
    /// It ends inside the token or an option.
    #[error("it ends too early")]
    Truncated,
    /// A delta or a length of 15.
    #[error("a reserved option header")]
    OptionHeader,
    /// A number beyond 65,535.
    #[error("an option number that is too high")]
    OptionNumber,
    /// More than [`OPTIONS_MAX`].
    #[error("more than {OPTIONS_MAX} options")]
    TooManyOptions,
    /// A marker and nothing behind it.
    #[error("a payload marker without a payload")]
    EmptyPayload,
    /// An empty message that is not empty.
    #[error("an empty message with something in it")]
    NotEmpty,
    /// Classes 1, 6 and 7.
    #[error("the reserved code {0}")]
    Code(Code),
}

/// Why a message cannot become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the message is longer than {SENT_MAX} bytes")]
pub struct EncodeError;

impl Message {
    /// A message without code, token and anything else.
    pub fn empty(kind: Kind, id: MessageId) -> Self {
        let (code, token) = (Code::EMPTY, Token::default());
        Self { kind, code, id, token, options: Options::default(), payload: Vec::new() }
    }

    /// The message that these bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((&[first, code, high, low], rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(DecodeError::Short);
        };
        if bytes.len() > DATAGRAM_MAX {
            return Err(DecodeError::Long);
        }
        if first >> 6 != 1 {
            return Err(DecodeError::Version);
        }
        let (kind, id) = (kind_of(first), MessageId(u16::from_be_bytes([high, low])));
        let malformed = |fault| DecodeError::Format { kind, id, fault };
        check(first & 0x0F, Code(code), rest).map_err(malformed)?;
        // All that coap-lite refuses has been refused; this is what it calls what is left.
        let packet = Packet::from_bytes(bytes).map_err(|_| malformed(FormatFault::Truncated))?;
        let mut options = Options::default();
        for (number, values) in packet.options() {
            for value in values {
                options.add(OptionNumber(*number), value.as_slice());
            }
        }
        let token = Token::of(packet.get_token());
        Ok(Self { kind, code: Code(code), id, token, options, payload: packet.payload })
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut packet = Packet::new();
        packet.header.set_version(1);
        packet.header.set_type(match self.kind {
            Kind::Confirmable => MessageType::Confirmable,
            Kind::NonConfirmable => MessageType::NonConfirmable,
            Kind::Acknowledgement => MessageType::Acknowledgement,
            Kind::Reset => MessageType::Reset,
        });
        packet.header.code = self.code.0.into();
        packet.header.message_id = self.id.0;
        packet.set_token(self.token.bytes().to_vec());
        for (number, value) in self.options.iter() {
            packet.add_option(CoapOption::from(number.0), value.to_vec());
        }
        packet.payload.clone_from(&self.payload);
        packet.to_bytes_with_limit(SENT_MAX).map_err(|_| EncodeError)
    }
}

fn kind_of(first: u8) -> Kind {
    match first >> 4 & 3 {
        0 => Kind::Confirmable,
        1 => Kind::NonConfirmable,
        2 => Kind::Acknowledgement,
        3.. => Kind::Reset,
    }
}

/// What coap-lite lets pass, or would first allocate for.
fn check(token_length: u8, code: Code, rest: &[u8]) -> Result<(), FormatFault> {
    if usize::from(token_length) > TOKEN_MAX {
        return Err(FormatFault::TokenLength(token_length));
    }
    if code == Code::EMPTY {
        let is_empty = token_length == 0 && rest.is_empty();
        return if is_empty { Ok(()) } else { Err(FormatFault::NotEmpty) };
    }
    if !code.is_request() && !code.is_response() {
        return Err(FormatFault::Code(code));
    }
    let mut rest = rest.get(usize::from(token_length)..).ok_or(FormatFault::Truncated)?;
    let (mut number, mut count) = (0_u32, 0);
    while let Some((&header, behind)) = rest.split_first() {
        if header == PAYLOAD_MARKER {
            return if behind.is_empty() { Err(FormatFault::EmptyPayload) } else { Ok(()) };
        }
        let (delta, behind) = extended(header >> 4, behind)?;
        let (length, behind) = extended(header & 0x0F, behind)?;
        number += delta;
        count += 1;
        if number > u32::from(u16::MAX) {
            return Err(FormatFault::OptionNumber);
        }
        if count > OPTIONS_MAX {
            return Err(FormatFault::TooManyOptions);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest = behind.get(length..).ok_or(FormatFault::Truncated)?;
    }
    Ok(())
}

/// A delta or length whose nibble may say that it stands in the next one or two bytes.
fn extended(nibble: u8, rest: &[u8]) -> Result<(u32, &[u8]), FormatFault> {
    match (nibble, rest) {
        (0..=12, rest) => Ok((u32::from(nibble), rest)),
        (13, [one, rest @ ..]) => Ok((u32::from(*one) + 13, rest)),
        (14, [high, low, rest @ ..]) => {
            Ok((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest))
        }
        (13 | 14, _) => Err(FormatFault::Truncated),
        (15.., _) => Err(FormatFault::OptionHeader),
    }
}
