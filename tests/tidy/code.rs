//! Just enough of Rust's lexical shape to look at code without being fooled by its comments.

/// `text` up to the `#[cfg(test)]` whose module is written out at the end of the file.
pub(crate) fn before_tests(text: &str) -> &str {
    let mut start = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let opens = lines.peek().is_some_and(|next| next.starts_with("mod ") && next.contains('{'));
        if line.trim_end() == "#[cfg(test)]" && opens {
            return text.get(..start).expect("a line starts on a character");
        }
        start += line.len();
    }
    text
}

/// `text` with every comment and the inside of every string literal blanked; lines stay lines.
pub(crate) fn blank_comments_and_strings(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match (characters[at], characters.get(at + 1)) {
            ('/', Some('/')) => find(&characters, at, "\n"),
            ('/', Some('*')) => find(&characters, at + 2, "*/") + 2,
            ('"', _) => string_end(&characters, at + 1),
            ('r', Some('"' | '#')) if !follows_word(&characters, at) => raw_end(&characters, at),
            ('\'', Some(next)) => char_end(&characters, at, *next),
            _ => at,
        };
        if end == at {
            out.push(characters[at]);
            at += 1;
            continue;
        }
        // The quotes stay, so that a call still shows that it has an argument.
        let blanked = &characters[at..end.min(characters.len())];
        out.extend(blanked.iter().map(|c| if matches!(c, '\n' | '"') { *c } else { ' ' }));
        at = end;
    }
    out
}

/// The text between the parenthesis or brace at the start of `text` and the one that closes it.
pub(crate) fn inside(text: &str, open: char, close: char) -> &str {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return text.get(open.len_utf8()..at).unwrap_or_default();
        }
    }
    text
}

fn follows_word(characters: &[char], at: usize) -> bool {
    at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_')
}

fn find(characters: &[char], from: usize, needle: &str) -> usize {
    let needle: Vec<char> = needle.chars().collect();
    (from..characters.len())
        .find(|at| characters[*at..].starts_with(&needle))
        .unwrap_or(characters.len())
}

fn string_end(characters: &[char], from: usize) -> usize {
    let mut at = from;
    while at < characters.len() && characters[at] != '"' {
        at += if characters[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of `r"…"` or `r#"…"#`; `at` itself when it is a raw identifier.
fn raw_end(characters: &[char], at: usize) -> usize {
    let hashes = characters[at + 1..].iter().take_while(|c| **c == '#').count();
    if characters.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    find(characters, at + 2 + hashes, &closing) + closing.len()
}

/// The end of a character literal; `at` itself when it is a lifetime.
fn char_end(characters: &[char], at: usize, next: char) -> usize {
    if next == '\\' {
        return find(characters, at + 3, "'") + 1;
    }
    if characters.get(at + 2) == Some(&'\'') { at + 3 } else { at }
}

#[test]
fn comments_and_strings_are_blanked_and_nothing_else() {
    let rows = [
        ("a // b\nc", "a     \nc"),
        ("a /* b */ c", "a         c"),
        ("x(\"a//\\\"b\") // c", "x(\"    \" \")     "),
        ("x(r#\"a\"b\"#)y", "x(  \" \" \" )y"),
        ("'\"' + 'a' + b'\\'' &'a str", " \"  +     + b     &'a str"),
    ];
    for (text, expected) in rows {
        assert_eq!(blank_comments_and_strings(text), expected, "of `{text}`");
    }
}

#[test]
fn only_a_test_module_that_is_written_out_ends_the_product_code() {
    assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
    assert_eq!(
        before_tests("a\n#[cfg(test)]\nmod tests;\nb\n"),
        "a\n#[cfg(test)]\nmod tests;\nb\n"
    );
}
