//! Register lists: with a header, or with rows `device`, `poll` and `ref` as modpoll has them.

mod header;
mod modpoll;
mod rows;

use super::draft::Draft;
use super::{Imported, Note, Options, Weight};

/// Reads a register list.
pub(super) fn import(text: &str, options: &Options) -> Result<Imported, Vec<Note>> {
    let mut rows = rows::rows(text);
    let mut draft = Draft::new(format!("imported from the register list {}", options.file));
    draft.set_name(stem(&options.file));
    if let Some(beyond) = rows.get(rows::ROWS_MAX) {
        let what = format!("what comes from here on: {} rows are read", rows::ROWS_MAX);
        draft.note(beyond.line, Weight::Lost, what);
        rows.truncate(rows::ROWS_MAX);
    }
    let is_modpoll = rows.iter().any(|row| {
        let first = row.cells.first().map(|cell| cell.to_ascii_lowercase());
        matches!(first.as_deref(), Some("device" | "poll" | "ref")) && row.cells.len() > 2
    });
    if is_modpoll {
        modpoll::read(&rows, options, &mut draft);
    } else {
        header::read(&rows, options, &mut draft);
    }
    draft.finish(options)
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
