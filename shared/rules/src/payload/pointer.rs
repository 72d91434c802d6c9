//! JSON pointers (RFC 6901), which lead through CBOR as well.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::node::{Key, Node};

/// The way to one value of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    /// One a level, without their escapes; none means the whole document.
    steps: Vec<String>,
}

/// Why a text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PointerError {
    /// It must be empty or begin with a slash.
    #[error("the pointer `{text}` does not begin with `/`")]
    NoSlash {
        /// What was written.
        text: String,
    },
    /// A tilde is followed by 0 or 1.
    #[error("the pointer `{text}` has a `~` that is neither `~0` nor `~1`")]
    Escape {
        /// What was written.
        text: String,
    },
}

impl Pointer {
    /// The steps, without their escapes.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// What it leads to; `None` if nothing is there.
    ///
    /// A step is a key of a map, or a place in a list. In CBOR a key may be a whole number; a step
    /// means that one where no text key is written like it.
    pub fn find<'a>(&self, document: &'a Node) -> Option<&'a Node> {
        self.steps.iter().try_fold(document, |node, step| match node {
            Node::Map(map) => {
                let by_text = map.get(&Key::Text(step.clone()));
                by_text.or_else(|| map.get(&Key::Int(number(step)?)))
            }
            Node::List(items) => items.get(place(step)?),
            Node::Null
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Float(_)
            | Node::Text(_)
            | Node::Bytes(_) => None,
        })
    }
}

/// A whole number in the one way to write it.
fn number(step: &str) -> Option<i128> {
    let number = step.parse::<i128>().ok()?;
    (number.to_string() == step).then_some(number)
}

/// A place in a list: digits without a leading zero (RFC 6901, section 4).
fn place(step: &str) -> Option<usize> {
    number(step).and_then(|number| usize::try_from(number).ok())
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self { steps: Vec::new() });
        }
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| PointerError::NoSlash { text: text.to_owned() })?;
        let steps = rest.split('/').map(unescape).collect::<Option<_>>();
        steps
            .map(|steps| Self { steps })
            .ok_or_else(|| PointerError::Escape { text: text.to_owned() })
    }
}

fn unescape(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (None, Some(rest)) => ('/', rest),
            (None, None) => return None,
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{cbor, json};

    /// The document and the pointers of RFC 6901, section 5.
    #[test]
    fn the_standards_own_examples_find_what_it_says() {
        let document = json::parse(
            br#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#,
        )
        .expect("JSON");
        let find = |text: &str| text.parse::<Pointer>().expect(text).find(&document).cloned();
        assert_eq!(find(""), Some(document.clone()));
        assert_eq!(find("/foo/0"), Some(Node::Text("bar".to_owned())));
        for (text, expected) in [
            ("/", 0),
            ("/a~1b", 1),
            ("/c%d", 2),
            ("/e^f", 3),
            ("/g|h", 4),
            ("/i\\j", 5),
            ("/k\"l", 6),
            ("/ ", 7),
            ("/m~0n", 8),
        ] {
            assert_eq!(find(text), Some(Node::Int(expected)), "{text}");
            assert_eq!(text.parse::<Pointer>().map(|way| way.to_string()).as_deref(), Ok(text));
        }
        for nothing in ["/foo/2", "/foo/00", "/foo/+1", "/foo/-", "/foo/-1", "/bar", "/foo/0/0"] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_step_finds_a_key_that_is_a_number_unless_a_text_is_written_like_it() {
        let find = |bytes: &[u8], text: &str| {
            let document = cbor::parse(bytes).expect("CBOR");
            text.parse::<Pointer>().expect(text).find(&document).cloned()
        };
        // {1: {-2: 7}}
        let keyed = [0xa1, 0x01, 0xa1, 0x21, 0x07];
        assert_eq!(find(&keyed, "/1/-2"), Some(Node::Int(7)));
        assert_eq!(find(&keyed, "/01/-2"), None);
        // {1: 7, "1": 8}
        assert_eq!(find(&[0xa2, 0x01, 0x07, 0x61, 0x31, 0x08], "/1"), Some(Node::Int(8)));
    }

    #[test]
    fn what_is_no_pointer_says_why() {
        let wrong = |text: &str| text.parse::<Pointer>().expect_err(text).to_string();
        assert_eq!(wrong("temp"), "the pointer `temp` does not begin with `/`");
        for text in ["/~", "/a~2", "/~~0"] {
            assert!(wrong(text).ends_with("neither `~0` nor `~1`"), "{text}");
        }
    }
}
