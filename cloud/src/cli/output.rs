//! What the command line prints: tables and JSON on stdout; talk, errors and hints on stderr.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::store::StoreError;

/// Findings and refusals.
const REFUSED: u8 = 1;

/// Wrong use, as clap has it.
const WRONG_USE: u8 = 2;

/// How data is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// As JSON.
    pub(super) json: bool,
}

impl Output {
    /// `line` for people, `value` with `--json`.
    pub(super) fn one(self, line: &str, value: &serde_json::Value) -> Result<(), Failure> {
        if self.json { json(value) } else { text(&format!("{line}\n")) }
    }

    /// A table for people; with `--json` an array of objects whose keys are the heads. An empty
    /// cell is `null` there.
    pub(super) fn table(self, heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        if self.json {
            let object = |row: &Vec<String>| {
                let cell = |text: &String| match text.as_str() {
                    "" => serde_json::Value::Null,
                    text => text.into(),
                };
                let pairs =
                    heads.iter().zip(row).map(|(head, text)| ((*head).to_owned(), cell(text)));
                serde_json::Value::Object(pairs.collect())
            };
            return json(&rows.iter().map(object).collect());
        }
        text(&layout(heads, rows))
    }
}

fn layout(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> =
        heads.iter().map(|head| head.replace('_', " ").to_uppercase()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heads).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One JSON value on one line.
pub(super) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    text(&format!("{value}\n"))
}

/// Text as it is.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        // `fieldgate-cloud … | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::from(anyhow::Error::from(error))),
    }
}

/// One line on stderr. Where nobody listens, nobody is told.
pub(super) fn talk(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Help and version are data; everything else is wrong use.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    if error.use_stderr() { ExitCode::from(WRONG_USE) } else { ExitCode::SUCCESS }
}

/// Why a verb did not do it, and what may help.
#[derive(Debug)]
pub(super) struct Failure {
    error: anyhow::Error,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// A failure of somebody who used the command wrongly.
    pub(super) fn wrong_use(error: anyhow::Error) -> Self {
        Self { code: WRONG_USE, ..Self::from(error) }
    }

    /// Adds what may help.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Prints the chain and gives the exit status.
    pub(super) fn report(&self) -> ExitCode {
        talk(&format!("error: {}", self.error));
        for cause in self.error.chain().skip(1) {
            talk(&format!("  Caused by: {cause}"));
        }
        if let Some(hint) = &self.hint {
            talk(&format!("hint: {hint}"));
        }
        ExitCode::from(self.code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, hint: None, code: REFUSED }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::NotFound { what: "tenant", .. } => {
                Some("`fieldgate-cloud tenant list` shows the tenants there are")
            }
            StoreError::NotFound { .. }
            | StoreError::Exists { .. }
            | StoreError::State { .. }
            | StoreError::KeyReused(_)
            | StoreError::Full { .. }
            | StoreError::OutOfOrder { .. }
            | StoreError::TooNew { .. }
            | StoreError::OldSqlite(_)
            | StoreError::File { .. }
            | StoreError::Database(_)
            | StoreError::Stopped => None,
        };
        Self { error: error.into(), hint: hint.map(str::to_owned), code: REFUSED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_space_at_the_end_of_a_line() {
        let rows = [vec!["a".to_owned(), String::new()], vec!["longer".to_owned(), "x".to_owned()]];
        assert_eq!(layout(&["id", "seen_at"], &rows), "ID      SEEN AT\na\nlonger  x\n");
    }
}
