//! What goes to the person: talk on standard error, data on standard output, colours only where
//! they are seen.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use super::failure::Failure;
use crate::config::Problem;

/// Colours and weights of the terminal (ECMA-48, select graphic rendition).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// Headings.
    Bold,
    /// What is wrong.
    Red,
    /// What to do.
    Cyan,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Red => "1;31",
            Self::Cyan => "36",
        }
    }
}

/// Standard error.
#[derive(Debug)]
pub(super) struct Talk {
    out: std::io::Stderr,
    is_coloured: bool,
}

impl Talk {
    pub(super) fn start() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let out = std::io::stderr();
        Self { is_coloured: is_wanted && out.is_terminal(), out }
    }

    /// A remark.
    pub(super) fn say(&mut self, text: &str) {
        // If nobody can be told, nobody can be told that either.
        drop(writeln!(self.out, "{text}"));
    }

    /// Everything that is wrong with a configuration.
    pub(super) fn problems(&mut self, problems: &[Problem]) {
        for problem in problems {
            self.say(&problem.to_string());
        }
    }

    /// The error that ends a verb.
    pub(super) fn failure(&mut self, failure: &Failure) {
        let mut causes = failure.causes();
        let label = paint(self.is_coloured, Style::Red, "error:");
        self.say(&format!("{label} {}", causes.next().unwrap_or_default()));
        for cause in causes {
            self.say(&format!("  Caused by: {cause}"));
        }
        if let Some(hint) = failure.advice() {
            let label = paint(self.is_coloured, Style::Cyan, "hint:");
            self.say(&format!("{label} {hint}"));
        }
    }
}

/// Whether colours are wanted and seen on standard output.
pub(super) fn data_is_coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stdout().is_terminal()
}

/// `text` in a style, or as it is without colours.
pub(super) fn paint(is_coloured: bool, style: Style, text: &str) -> String {
    if is_coloured && style != Style::Plain {
        format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
    } else {
        text.to_owned()
    }
}

/// Text on standard output, whole.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// One line of JSON on standard output.
pub(super) fn print_json(data: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(data).map_err(Failure::from_error)?;
    print(&format!("{text}\n"))
}
