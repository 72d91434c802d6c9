//! A cursor over bytes that are being decoded: where it is, and what was expected there.

use super::Problem;

/// What is left of a document.
pub(super) struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a document; `what` begins each message.
    pub(super) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Result<u8, Problem> {
        let byte = self.peek().ok_or_else(|| self.wrong("ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    /// The next so many bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// The next bytes that are of a kind.
    pub(super) fn take_while(&mut self, is_kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !is_kind(*byte)).unwrap_or(rest.len());
        self.at += count;
        &rest[..count]
    }

    /// Whether the next byte is `byte`, which is then behind.
    pub(super) fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn wrong(&self, why: &str) -> Problem {
        Problem::Given(format!("{}: {why} at byte {}", self.what, self.at))
    }
}
