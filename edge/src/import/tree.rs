//! YAML, and JSON as a part of it, as a tree that knows its lines.
//!
//! # Invariants
//!
//! - A tree has at most [`NODES_MAX`] nodes and [`DEPTH_MAX`] levels: a text from anywhere cannot
//!   exhaust the machine. Aliases are refused, so that no text grows while it is read.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// The largest `SunSpec` definition has some 20,000.
const NODES_MAX: usize = 200_000;

/// `SunSpec` definitions have 12 levels.
const DEPTH_MAX: usize = 64;

/// A node and its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) data: Data,
    /// `!include` and its kin; empty if there is none.
    pub(super) tag: String,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// A text; whether it stood in quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<(String, usize, Node)>),
}

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) what: String,
}

/// The first document of a text.
pub(super) fn parse(text: &str) -> Result<Node, Unreadable> {
    let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0 };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => {
                let what = "there is nothing in it".to_owned();
                return Err(Unreadable { line: line(span), what });
            }
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Unreadable> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Unreadable {
                line: error.marker().line().max(1),
                what: format!("cannot be read: {}", error.info()),
            }),
            None => Err(Unreadable { line: 1, what: "ends too early".to_owned() }),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        let line = line(span);
        self.nodes += 1;
        if self.nodes > NODES_MAX || depth > DEPTH_MAX {
            return Err(Unreadable { line, what: "is too large or too deep".to_owned() });
        }
        let (data, tag) = match event {
            Event::Scalar(text, style, _, tag) => {
                (Data::Scalar(text.into_owned(), style != ScalarStyle::Plain), tag)
            }
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Data::List(items), tag)
            }
            Event::MappingStart(_, tag) => (Data::Map(self.entries(depth)?), tag),
            Event::Alias(_) => {
                let what = "refers to another place (`*`), which is not followed".to_owned();
                return Err(Unreadable { line, what });
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                return Err(Unreadable { line, what: "ends too early".to_owned() });
            }
        };
        let tag = tag.map(|tag| tag.suffix.clone()).unwrap_or_default();
        Ok(Node { line, data, tag })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, usize, Node)>, Unreadable> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            match key.data {
                Data::Scalar(name, _) => entries.push((name, key.line, value)),
                Data::List(_) | Data::Map(_) => {
                    let what = "a key is not a word".to_owned();
                    return Err(Unreadable { line: key.line, what });
                }
            }
        }
    }
}

fn line(span: Span) -> usize {
    span.start.line().max(1)
}

impl Node {
    /// The value of a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _, _)| name == key).map(|(_, _, node)| node)
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[(String, usize, Self)] {
        match &self.data {
            Data::Map(entries) => entries,
            Data::Scalar(..) | Data::List(_) => &[],
        }
    }

    /// The items of a list; a single thing counts as a list of one, as Home Assistant has it.
    pub(super) fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            Data::Scalar(text, false) if text.is_empty() || text == "~" || text == "null" => &[],
            Data::Scalar(..) | Data::Map(_) => std::slice::from_ref(self),
        }
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(text, _) => Some(text),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    /// A whole number, decimal or as `0x10`.
    pub(super) fn integer(&self) -> Option<i64> {
        let text = self.text()?.trim();
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// A finite number.
    pub(super) fn number(&self) -> Option<f64> {
        self.text()?.trim().parse::<f64>().ok().filter(|number| number.is_finite())
    }
}
