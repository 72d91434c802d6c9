//! Options of a message: their numbers, what the standard says of each, and the values they carry.
//!
//! # Invariants
//!
//! - An option that is longer than the standard allows, or that comes again where it may come once,
//!   is an option that nobody knows (RFC 7252 sections 5.4.3 and 5.4.5): it is passed over if it is
//!   elective, and makes the message unusable if it is critical.

use core::fmt;

/// Most options in one message. A path of 64 segments is longer than any device has; a datagram of
/// empty options is how to make a decoder allocate.
pub const OPTIONS_MAX: usize = 64;

/// The number of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

impl OptionNumber {
    /// Only if the resource is this one.
    pub const IF_MATCH: Self = Self(1);
    /// The host that was meant.
    pub const URI_HOST: Self = Self(3);
    /// Which representation it is.
    pub const ETAG: Self = Self(4);
    /// Only if there is none.
    pub const IF_NONE_MATCH: Self = Self(5);
    /// Registration, or place of a notification.
    pub const OBSERVE: Self = Self(6);
    /// The port that was meant.
    pub const URI_PORT: Self = Self(7);
    /// Where it was made.
    pub const LOCATION_PATH: Self = Self(8);
    /// One segment of the path.
    pub const URI_PATH: Self = Self(11);
    /// What the payload is.
    pub const CONTENT_FORMAT: Self = Self(12);
    /// How long it holds, in seconds.
    pub const MAX_AGE: Self = Self(14);
    /// One argument.
    pub const URI_QUERY: Self = Self(15);
    /// What the payload of the answer should be.
    pub const ACCEPT: Self = Self(17);
    /// Where it was made, arguments.
    pub const LOCATION_QUERY: Self = Self(20);
    /// Which block of the answer.
    pub const BLOCK2: Self = Self(23);
    /// Which block of the request.
    pub const BLOCK1: Self = Self(27);
    /// How long the whole answer is.
    pub const SIZE2: Self = Self(28);
    /// For whom a proxy asks.
    pub const PROXY_URI: Self = Self(35);
    /// By which protocol.
    pub const PROXY_SCHEME: Self = Self(39);
    /// How long the whole request is, or may be.
    pub const SIZE1: Self = Self(60);

    /// Whoever does not know it must not act on the message.
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// What the standard says of it: shortest and longest value, and whether it may come again.
    const fn rule(self) -> Option<(usize, usize, bool)> {
        match self {
            Self::IF_MATCH => Some((0, 8, true)),
            Self::ETAG => Some((1, 8, true)),
            Self::IF_NONE_MATCH => Some((0, 0, false)),
            Self::URI_PORT | Self::CONTENT_FORMAT | Self::ACCEPT => Some((0, 2, false)),
            Self::LOCATION_PATH | Self::URI_PATH | Self::URI_QUERY | Self::LOCATION_QUERY => {
                Some((0, 255, true))
            }
            Self::MAX_AGE | Self::SIZE1 | Self::SIZE2 => Some((0, 4, false)),
            Self::OBSERVE | Self::BLOCK1 | Self::BLOCK2 => Some((0, 3, false)),
            Self::PROXY_URI => Some((1, 1_034, false)),
            Self::URI_HOST | Self::PROXY_SCHEME => Some((1, 255, false)),
            Self(_) => None,
        }
    }

    /// Its name, or its number.
    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::IF_MATCH => "If-Match",
            Self::URI_HOST => "Uri-Host",
            Self::ETAG => "ETag",
            Self::IF_NONE_MATCH => "If-None-Match",
            Self::OBSERVE => "Observe",
            Self::URI_PORT => "Uri-Port",
            Self::LOCATION_PATH => "Location-Path",
            Self::URI_PATH => "Uri-Path",
            Self::CONTENT_FORMAT => "Content-Format",
            Self::MAX_AGE => "Max-Age",
            Self::URI_QUERY => "Uri-Query",
            Self::ACCEPT => "Accept",
            Self::LOCATION_QUERY => "Location-Query",
            Self::BLOCK2 => "Block2",
            Self::BLOCK1 => "Block1",
            Self::SIZE2 => "Size2",
            Self::PROXY_URI => "Proxy-Uri",
            Self::PROXY_SCHEME => "Proxy-Scheme",
            Self::SIZE1 => "Size1",
            Self(_) => return None,
        })
    }
}

impl fmt::Display for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "option {}", self.0),
        }
    }
}

/// What a payload is, by its registered number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain;charset=utf-8`
    pub const TEXT: Self = Self(0);
    /// `application/link-format`
    pub const LINK_FORMAT: Self = Self(40);
    /// `application/octet-stream`
    pub const OCTET_STREAM: Self = Self(42);
    /// `application/json`
    pub const JSON: Self = Self(50);
    /// `application/cbor`
    pub const CBOR: Self = Self(60);
    /// `application/senml+json`
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor`
    pub const SENML_CBOR: Self = Self(112);

    const NAMED: [(Self, &'static str); 7] = [
        (Self::TEXT, "text/plain"),
        (Self::LINK_FORMAT, "application/link-format"),
        (Self::OCTET_STREAM, "application/octet-stream"),
        (Self::JSON, "application/json"),
        (Self::CBOR, "application/cbor"),
        (Self::SENML_JSON, "application/senml+json"),
        (Self::SENML_CBOR, "application/senml+cbor"),
    ];

    /// The format of a media type that is known here.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(_, known)| *known == name).map(|(format, _)| format)
    }
}

impl fmt::Display for ContentFormat {
    /// Its media type, or its number where that is not known here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(format, _)| format == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "content format {}", self.0),
        }
    }
}

/// The options of a message, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(OptionNumber, Vec<u8>)>);

impl Options {
    /// Adds an option behind those of the same number.
    pub fn add(&mut self, number: OptionNumber, value: impl Into<Vec<u8>>) {
        let place = self.0.partition_point(|(other, _)| *other <= number);
        self.0.insert(place, (number, value.into()));
    }

    /// Adds an option whose value is a number.
    pub fn add_uint(&mut self, number: OptionNumber, value: u32) {
        let bytes = value.to_be_bytes();
        let leading = bytes.iter().take_while(|byte| **byte == 0).count();
        self.add(number, bytes.get(leading..).unwrap_or_default());
    }

    /// Each option with its number.
    pub fn iter(&self) -> impl Iterator<Item = (OptionNumber, &[u8])> {
        self.0.iter().map(|(number, value)| (*number, value.as_slice()))
    }

    /// Each value of an option that has the length that the standard gives it.
    pub fn all(&self, number: OptionNumber) -> impl Iterator<Item = &[u8]> {
        self.known().filter(move |(other, _)| *other == number).map(|(_, value)| value)
    }

    /// The value of an option.
    pub fn first(&self, number: OptionNumber) -> Option<&[u8]> {
        self.all(number).next()
    }

    /// The value of an option as a number.
    pub fn uint(&self, number: OptionNumber) -> Option<u32> {
        let bytes = self.first(number)?;
        let whole = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        u32::try_from(whole).ok()
    }

    /// The first option that must be understood and is not one of `understood`, or is one of them
    /// with a value that it cannot have.
    pub fn unusable(&self, understood: &[OptionNumber]) -> Option<OptionNumber> {
        let critical = self.0.iter().enumerate().filter(|(_, (number, _))| number.is_critical());
        let mut unusable = critical
            .filter(|(place, (number, _))| !understood.contains(number) || !self.is_known(*place));
        unusable.next().map(|(_, (number, _))| *number)
    }

    fn known(&self) -> impl Iterator<Item = (OptionNumber, &[u8])> {
        self.iter().enumerate().filter(|(place, _)| self.is_known(*place)).map(|(_, option)| option)
    }

    fn is_known(&self, place: usize) -> bool {
        let Some((number, value)) = self.0.get(place) else { return false };
        let is_again = place > 0 && self.0.get(place - 1).is_some_and(|(one, _)| one == number);
        number.rule().is_some_and(|(shortest, longest, repeats)| {
            (shortest..=longest).contains(&value.len()) && (repeats || !is_again)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_short_as_it_can_be() {
        for (number, bytes) in
            [(0, &[][..]), (60, &[60]), (256, &[1, 0]), (0xFF_FFFF, &[0xFF, 0xFF, 0xFF])]
        {
            let mut options = Options::default();
            options.add_uint(OptionNumber::MAX_AGE, number);
            assert_eq!(options.first(OptionNumber::MAX_AGE), Some(bytes));
            assert_eq!(options.uint(OptionNumber::MAX_AGE), Some(number));
        }
    }

    #[test]
    fn options_stand_in_the_order_of_their_numbers_and_then_of_their_coming() {
        let mut options = Options::default();
        for (number, value) in [(11, b"b"), (3, b"h"), (11, b"a")] {
            options.add(OptionNumber(number), value.as_slice());
        }
        let found: Vec<_> = options.iter().map(|(number, value)| (number.0, value[0])).collect();
        assert_eq!(found, [(3, b'h'), (11, b'b'), (11, b'a')]);
    }

    #[test]
    fn what_the_standard_does_not_allow_is_an_option_that_nobody_knows() {
        let understood = [OptionNumber::URI_PORT, OptionNumber::URI_PATH];
        for (options, unusable) in [
            (vec![(11, vec![0; 255]), (11, vec![])], None),
            (vec![(11, vec![0; 256])], Some(OptionNumber::URI_PATH)),
            (vec![(7, vec![1, 2])], None),
            (vec![(7, vec![1, 2, 3])], Some(OptionNumber::URI_PORT)),
            (vec![(7, vec![1]), (7, vec![1])], Some(OptionNumber::URI_PORT)),
            (vec![(9, vec![])], Some(OptionNumber(9))),
            (vec![(2_050, vec![0; 20])], None),
        ] {
            let mut found = Options::default();
            for (number, value) in options {
                found.add(OptionNumber(number), value);
            }
            assert_eq!(found.unusable(&understood), unusable, "{found:?}");
        }
        let mut long = Options::default();
        long.add(OptionNumber::MAX_AGE, [1, 2, 3, 4, 5]);
        assert_eq!(long.uint(OptionNumber::MAX_AGE), None, "an elective one is passed over");
    }
}
