//! Reads one TOML table field by field and remembers everything that is wrong with it.
//!
//! Serde's derive stops at the first error of a table; an installer who mistyped three fields wants
//! to hear of all three at once. So tables are read by hand, with their lines, and only their
//! leaves by serde. A field that nobody asked for is a problem.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::{Problem, Scope};
use crate::lines::Lines;

/// A configuration of 500 devices has some 100 KiB; a mistaken path may name anything.
const TEXT_MAX: u64 = 4 << 20;

/// A file and its text.
#[derive(Debug)]
pub(super) struct Source {
    file: PathBuf,
    text: String,
    lines: Lines,
}

/// A value and the line it stands in.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Fields<'s> {
    source: &'s Source,
    /// As the file writes it, `[[device]]`; empty for the file itself.
    title: &'static str,
    line: usize,
    table: DeTable<'s>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
    scope: Scope,
}

impl Wrong {
    pub(super) fn new(what: impl Display) -> Self {
        Self { what: what.to_string(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Source {
    pub(super) fn new(file: &Path, text: String) -> Self {
        Self { file: file.to_owned(), lines: Lines::of(&text), text }
    }

    /// The file's text; the problem is fatal.
    pub(super) fn read_text(file: &Path) -> Result<String, Problem> {
        let what = match read_bounded(file) {
            Ok(Some(text)) => return Ok(text),
            Ok(None) => format!("has more than {} MiB", TEXT_MAX >> 20),
            Err(error) => format!("cannot be read: {error}"),
        };
        Err(Problem { file: file.to_owned(), line: None, what, hint: None, scope: Scope::Fatal })
    }

    /// The file's table, or everything that is wrong with its syntax.
    pub(super) fn parse(&self, scope: &Scope) -> Result<Fields<'_>, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Ok(self.fields("", table, scope.clone()));
        }
        let problem = |error: &toml::de::Error| Problem {
            file: self.file.clone(),
            line: error.span().map(|span| self.lines.at(span.start)),
            what: format!("not valid TOML: {}", error.message()),
            hint: None,
            scope: scope.clone(),
        };
        let mut problems: Vec<Problem> = errors.iter().map(problem).collect();
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }

    fn fields<'s>(
        &'s self,
        title: &'static str,
        table: Spanned<DeTable<'s>>,
        scope: Scope,
    ) -> Fields<'s> {
        let line = self.lines.at(table.span().start);
        let table = table.into_inner();
        Fields { source: self, title, line, table, known: Vec::new(), problems: Vec::new(), scope }
    }
}

/// The text of a file; `None` if it has too much.
fn read_bounded(file: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = File::open(file)?.take(TEXT_MAX + 1).read_to_string(&mut text)?;
    Ok((read as u64 <= TEXT_MAX).then_some(text))
}

impl<'s> Fields<'s> {
    /// The line of the table's header.
    pub(super) const fn line(&self) -> usize {
        self.line
    }

    /// The line of a field, or of the table if it is not there.
    pub(super) fn line_of(&self, key: &str) -> usize {
        let found = self.table.get_key_value(key);
        found.map_or(self.line, |(key, _)| self.source.lines.at(key.span().start))
    }

    /// Names what does not run because of the problems found from here on.
    pub(super) fn set_scope(&mut self, scope: Scope) {
        self.scope = scope;
    }

    /// Whether the table has this field.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the table has this field, and it is a text.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// The text of a field, if it is there and a text; the field is not taken.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key)?.get_ref().as_str()
    }

    /// A field that may be missing.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Found<T>> {
        let (line, value) = self.remove(key)?;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Found { value, line }),
            Err(error) => {
                self.wrong(line, Wrong::new(format!("`{key}`: {}", error.message())));
                None
            }
        }
    }

    /// A field that must be there.
    pub(super) fn require<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Found<T>> {
        self.expect(key);
        self.take(key)
    }

    /// A text that may be missing and means something.
    pub(super) fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Found<T>> {
        let Found { value, line } = self.take::<String>(key)?;
        match parse(&value) {
            Ok(value) => Some(Found { value, line }),
            Err(wrong) => {
                self.wrong(line, Wrong { what: format!("`{key}`: {}", wrong.what), ..wrong });
                None
            }
        }
    }

    /// A text that means something and is only looked at if `is_read`: the field is known either
    /// way.
    pub(super) fn parse_if<T>(
        &mut self,
        is_read: bool,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if is_read {
            return self.parse(key, parse).map(|found| found.value);
        }
        self.remove(key);
        None
    }

    /// A text that must be there and means something.
    pub(super) fn parse_required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Found<T>> {
        self.expect(key);
        self.parse(key, parse)
    }

    /// A table that may be missing.
    pub(super) fn table(&mut self, key: &'static str, title: &'static str) -> Option<Self> {
        let (line, value) = self.remove(key)?;
        self.as_table(line, title, value)
    }

    /// An array of tables that may be missing.
    pub(super) fn tables(&mut self, key: &'static str, title: &'static str) -> Vec<Self> {
        let Some((line, value)) = self.remove(key) else { return Vec::new() };
        let DeValue::Array(values) = value.into_inner() else {
            self.wrong(
                line,
                Wrong::new(format!("`{key}` is not a list of tables"))
                    .hint(format!("write each as `{title}`")),
            );
            return Vec::new();
        };
        values.into_iter().filter_map(|value| self.as_table(line, title, value)).collect()
    }

    /// The entries of a table whose keys are free.
    pub(super) fn entries(self) -> (Vec<(String, Found<DeValue<'s>>)>, Vec<Problem>) {
        let source = self.source;
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'s>>)| {
            let line = source.lines.at(key.span().start);
            let key: toml::de::DeString<'s> = key.into_inner();
            (key.into_owned(), Found { value: value.into_inner(), line })
        };
        (self.table.into_iter().map(entry).collect(), self.problems)
    }

    /// Remembers a problem in a line of this table.
    pub(super) fn wrong(&mut self, line: usize, Wrong { what, hint }: Wrong) {
        let title = self.title;
        let what = if title.is_empty() { what } else { format!("{title} {what}") };
        let file = self.source.file.clone();
        let scope = self.scope.clone();
        self.problems.push(Problem { file, line: Some(line), what, hint, scope });
    }

    /// Takes in what was wrong with a table inside of this one.
    pub(super) fn add(&mut self, found: Vec<Problem>) {
        self.problems.extend(found);
    }

    /// For each device, by name and line, the problem that another one has its name.
    pub(super) fn twins(&self, devices: &[(&str, usize)]) -> Vec<Option<Problem>> {
        let problem = |(name, line): &(&str, usize)| {
            let (_, other) = devices.iter().find(|(n, l)| n == name && l != line)?;
            Some(Problem {
                file: self.source.file.clone(),
                line: Some(*line),
                what: format!("[[device]] has the name `{name}` of the device in line {other}"),
                hint: Some("give each device a name of its own".to_owned()),
                scope: Scope::Device((*name).to_owned()),
            })
        };
        devices.iter().map(problem).collect()
    }

    /// Everything that was wrong, fields that nobody asked for included.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let unknown: Vec<_> = self
            .table
            .keys()
            .map(|key| (self.source.lines.at(key.span().start), key.get_ref().to_string()))
            .collect();
        for (line, key) in unknown {
            let mut wrong = Wrong::new(format!("has an unknown field `{key}`"));
            wrong.hint = nearest(&key, self.known.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| Some(format!("known fields are {}", list(&self.known))));
            self.wrong(line, wrong);
        }
        self.problems
    }

    fn remove(&mut self, key: &'static str) -> Option<(usize, Spanned<DeValue<'s>>)> {
        self.known.push(key);
        let (key, value) = self.table.remove_entry(key)?;
        Some((self.source.lines.at(key.span().start), value))
    }

    fn expect(&mut self, key: &'static str) {
        if !self.table.contains_key(key) {
            let line = self.line;
            self.wrong(line, Wrong::new(format!("has no `{key}`")));
        }
    }

    fn as_table(
        &mut self,
        line: usize,
        title: &'static str,
        value: Spanned<DeValue<'s>>,
    ) -> Option<Self> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let table = Spanned::new(span, table);
                Some(self.source.fields(title, table, self.scope.clone()))
            }
            other @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)) => {
                let kind = other.type_str();
                self.wrong(line, Wrong::new(format!("{title} is a table, not a {kind}")));
                None
            }
        }
    }
}

/// The known word that `word` is probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let close = |distance: &usize| *distance <= 1 + word.chars().count() / 4;
    let distances = known.into_iter().map(|known| (distance(word, known), known));
    distances.filter(|(distance, _)| close(distance)).min().map(|(_, known)| known)
}

/// How many letters must be changed, added, removed or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Words in backticks, joined by commas.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    quoted.join(", ")
}
