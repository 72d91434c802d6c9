//! Links of a server to its resources (RFC 6690), as `/.well-known/core` gives them.
//!
//! # Invariants
//!
//! - What is taken is bounded, and any text ends in links or in the place of what is wrong.

use thiserror::Error;

/// Where a server lists its resources.
pub const WELL_KNOWN_CORE: [&str; 2] = [".well-known", "core"];
/// Most links of one server: sixteen times what the largest known device lists.
pub const LINKS_MAX: usize = 1_024;
/// Most attributes of one link: RFC 6690 and its registry have a dozen.
const ATTRIBUTES_MAX: usize = 32;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, as it was written.
    pub target: String,
    /// What it says about that, in the order in which it does.
    pub attributes: Vec<Attribute>,
}

/// One thing that a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, such as `rt`.
    pub name: String,
    /// Nothing for those that are what they are, such as `obs`.
    pub value: Option<String>,
}

/// A path and a query that a target means on its own server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Segments.
    pub path: Vec<String>,
    /// Arguments.
    pub query: Vec<String>,
}

/// Why a text is no list of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("byte {at}: {fault}")]
pub struct LinkError {
    /// Where, from 0.
    pub at: usize,
    /// What.
    pub fault: LinkFault,
}

/// What is wrong with a list of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum LinkFault {
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    Text,
    /// A target stands in `<` and `>`.
    #[error("a link begins with `<` and its target ends with `>`")]
    Target,
    /// Behind a link comes `;`, `,` or the end.
    #[error("`;`, `,` or the end was expected")]
    Separator,
    /// An attribute has a name.
    #[error("the name of an attribute was expected")]
    Name,
    /// A quote that does not end.
    #[error("a quote does not end")]
    Quote,
    /// More than is taken.
    #[error("more than {LINKS_MAX} links, or {ATTRIBUTES_MAX} attributes of one")]
    TooMany,
}

impl Link {
    /// The value of the first attribute of this name; the empty text if it has none.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| attribute.name == name);
        found.map(|attribute| attribute.value.as_deref().unwrap_or_default())
    }

    /// What kind of resource it is (`rt`).
    pub fn resource_types(&self) -> impl Iterator<Item = &str> {
        self.attribute("rt").unwrap_or_default().split_ascii_whitespace()
    }

    /// What it can be had as (`ct`), by number.
    pub fn content_formats(&self) -> impl Iterator<Item = u16> {
        let formats = self.attribute("ct").unwrap_or_default().split_ascii_whitespace();
        formats.filter_map(|number| number.parse().ok())
    }

    /// It says that it can be observed.
    pub fn is_observable(&self) -> bool {
        self.attribute("obs").is_some()
    }

    /// How long it says to be, in bytes.
    pub fn size(&self) -> Option<usize> {
        self.attribute("sz")?.parse().ok()
    }

    /// Where it is on the server that lists it; nothing if it is elsewhere, or has no such name.
    pub fn place(&self) -> Option<Place> {
        let rest = self.target.strip_prefix('/')?;
        // `//host/…` is somebody else.
        if rest.starts_with('/') {
            return None;
        }
        let (path, query) =
            rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let segments = path.split('/').filter(|_| !path.is_empty());
        let path: Vec<String> = segments.map(unescape).collect::<Option<_>>()?;
        if path.iter().any(|segment| segment == "." || segment == "..") {
            return None;
        }
        let arguments = query.into_iter().flat_map(|query| query.split('&'));
        Some(Place { path, query: arguments.map(unescape).collect::<Option<_>>()? })
    }
}

/// The text behind escapes such as `%2F`; nothing if one is none, or the result is not UTF-8.
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => (digit(*high)? << 4 | digit(*low)?, behind),
            (b'%', _) => return None,
            (other, behind) => (*other, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The links of a payload.
pub fn parse(payload: &[u8]) -> Result<Vec<Link>, LinkError> {
    let text = core::str::from_utf8(payload)
        .map_err(|error| LinkError { at: error.valid_up_to(), fault: LinkFault::Text })?;
    let mut parser = Parser { text, at: 0 };
    let mut links = Vec::new();
    parser.skip_space();
    while !parser.rest().is_empty() {
        if links.len() == LINKS_MAX {
            return Err(parser.error(LinkFault::TooMany));
        }
        links.push(parser.link()?);
        if !parser.rest().is_empty() && !parser.take(',') {
            return Err(parser.error(LinkFault::Separator));
        }
        parser.skip_space();
    }
    Ok(links)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn link(&mut self) -> Result<Link, LinkError> {
        if !self.take('<') {
            return Err(self.error(LinkFault::Target));
        }
        let target = self.until(|c| c == '>' || c == '<').to_owned();
        if !self.take('>') {
            return Err(self.error(LinkFault::Target));
        }
        let mut attributes = Vec::new();
        self.skip_space();
        while self.take(';') {
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(self.error(LinkFault::TooMany));
            }
            self.skip_space();
            attributes.push(self.attribute()?);
            self.skip_space();
        }
        Ok(Link { target, attributes })
    }

    fn attribute(&mut self) -> Result<Attribute, LinkError> {
        let name =
            self.until(|c| matches!(c, '=' | ';' | ',' | '"') || c.is_whitespace()).to_owned();
        if name.is_empty() {
            return Err(self.error(LinkFault::Name));
        }
        let value = if self.take('=') { Some(self.value()?) } else { None };
        Ok(Attribute { name, value })
    }

    fn value(&mut self) -> Result<String, LinkError> {
        if !self.take('"') {
            return Ok(self.until(|c| matches!(c, ';' | ',') || c.is_whitespace()).to_owned());
        }
        let (opened, mut value) = (self.at, String::new());
        let mut characters = self.rest().char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        Err(LinkError { at: opened, fault: LinkFault::Quote })
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.rest().starts_with(wanted);
        self.at += if is_there { wanted.len_utf8() } else { 0 };
        is_there
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, fault: LinkFault) -> LinkError {
        LinkError { at: self.at, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &[&str], query: &[&str]) -> Place {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Place { path: owned(path), query: owned(query) }
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        let text = "</sensors>;ct=40;title=\"Sensor \\\"Index\\\"\",</sensors/temp>;rt=\"temperature-c x\";\
                    if=\"sensor\";obs;ct=\"0 50\";sz=12,\n<http://www.example.com/s>;anchor=\"/s\"";
        let links = parse(text.as_bytes()).expect("links");
        assert_eq!(links.len(), 3);
        assert_eq!(links[0].attribute("title"), Some("Sensor \"Index\""));
        assert_eq!(links[1].resource_types().collect::<Vec<_>>(), ["temperature-c", "x"]);
        assert_eq!(links[1].content_formats().collect::<Vec<_>>(), [0, 50]);
        assert_eq!((links[1].is_observable(), links[1].size()), (true, Some(12)));
        assert_eq!(links[1].place(), Some(place(&["sensors", "temp"], &[])));
        assert_eq!((links[2].is_observable(), links[2].place()), (false, None));
    }

    #[test]
    fn a_place_is_on_its_own_server_and_never_above_it() {
        for (target, expected) in [
            ("/", Some(place(&[], &[]))),
            ("/a%2Fb/%C3%A4?x=1&y", Some(place(&["a/b", "ä"], &["x=1", "y"]))),
            ("/a//b", Some(place(&["a", "", "b"], &[]))),
            ("/../etc", None),
            ("/a/%2e%2e/b", None),
            ("/%f", None),
            ("/%ff", None),
            ("//host/a", None),
            ("a", None),
            ("coap://host/a", None),
        ] {
            let link = Link { target: target.to_owned(), attributes: Vec::new() };
            assert_eq!(link.place(), expected, "{target}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, at, fault) in [
            (&b"\xFF"[..], 0, LinkFault::Text),
            (b"</a", 3, LinkFault::Target),
            (b"</a>x", 4, LinkFault::Separator),
            (b"</a>;=1", 5, LinkFault::Name),
            (b"</a>;", 5, LinkFault::Name),
            (b"</a>;t=\"x", 8, LinkFault::Quote),
            (b"</a>,b", 5, LinkFault::Target),
        ] {
            assert_eq!(parse(text), Err(LinkError { at, fault }), "{text:?}");
        }
        assert_eq!(parse(b" "), Ok(Vec::new()));
        assert!(parse(&b"</>,".repeat(LINKS_MAX)).is_ok());
        let error = parse(&b"</>,".repeat(LINKS_MAX + 1)).expect_err("too many");
        assert_eq!(error.fault, LinkFault::TooMany);
        let many = [b"</>".to_vec(), b";a".repeat(ATTRIBUTES_MAX + 1)].concat();
        assert_eq!(parse(&many).expect_err("too many").fault, LinkFault::TooMany);
    }
}
