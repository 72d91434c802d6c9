//! Text to rows of cells (RFC 4180), with commas, semicolons or tabs.

/// Rows of one list: far more than a profile has signals, few enough for any machine.
pub(super) const ROWS_MAX: usize = 50_000;

/// A row and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// The rows that hold anything; lines that begin with `#` are remarks.
///
/// There are at most [`ROWS_MAX`], and one more if the text goes on behind them.
pub(super) fn rows(text: &str) -> Vec<Row> {
    let separator = separator(text);
    let mut rows = Vec::new();
    let mut row = Row { line: 1, cells: Vec::new() };
    let mut cell = String::new();
    let (mut line, mut is_quoted) = (1, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                is_quoted = true;
            }
            '\n' => {
                line += 1;
                if is_quoted {
                    cell.push(' ');
                } else {
                    end_cell(&mut row, &mut cell);
                    end_row(&mut rows, &mut row, line);
                    if rows.len() > ROWS_MAX {
                        return rows;
                    }
                }
            }
            '\r' => {}
            other if other == separator && !is_quoted => end_cell(&mut row, &mut cell),
            other => cell.push(other),
        }
    }
    end_cell(&mut row, &mut cell);
    end_row(&mut rows, &mut row, line);
    rows
}

fn end_cell(row: &mut Row, cell: &mut String) {
    row.cells.push(cell.trim().to_owned());
    cell.clear();
}

fn end_row(rows: &mut Vec<Row>, row: &mut Row, next: usize) {
    let ended = std::mem::replace(row, Row { line: next, cells: Vec::new() });
    let is_remark = ended.cells.first().is_some_and(|cell| cell.starts_with('#'));
    if !is_remark && ended.cells.iter().any(|cell| !cell.is_empty()) {
        rows.push(ended);
    }
}

/// The separator of which the first line has most.
fn separator(text: &str) -> char {
    let is_remark = |line: &&str| line.trim().is_empty() || line.starts_with('#');
    let first = text.lines().find(|line| !is_remark(line)).unwrap_or_default();
    let most = [',', ';', '\t'].into_iter().max_by_key(|separator| {
        // Of as many, the comma.
        (first.matches(*separator).count(), *separator == ',')
    });
    most.unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_by_any_separator_and_keep_their_lines() {
        for (text, expected) in [
            ("a,b\n1,2", vec![(1, vec!["a", "b"]), (2, vec!["1", "2"])]),
            ("a;b,c;d\r\n\r\n1; 2 ;3", vec![(1, vec!["a", "b,c", "d"]), (3, vec!["1", "2", "3"])]),
            ("# x,y\na\tb\n", vec![(2, vec!["a", "b"])]),
            ("a,\"b, \"\"c\"\"\nd\"\n1,2", vec![(1, vec!["a", "b, \"c\" d"]), (3, vec!["1", "2"])]),
            ("", vec![]),
        ] {
            let rows = rows(text);
            let found: Vec<(usize, Vec<&str>)> = rows
                .iter()
                .map(|row| (row.line, row.cells.iter().map(String::as_str).collect()))
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
