//! The tree as tidy sees it: every text file that belongs to the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::code;

/// Names that are never ours: build output, version control, what tests install for themselves.
const SKIPPED: [&str; 5] = ["target", ".git", ".venv", "__pycache__", "node_modules"];

/// Endings of the files we write as text.
const TEXT: [&str; 14] = [
    "rs", "toml", "md", "sql", "html", "css", "js", "lua", "luau", "py", "service", "cddl", "json",
    "txt",
];

/// One file of the repository.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// As it is on the disk.
    pub(crate) text: String,
}

impl Source {
    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        let in_test_folder = self.path.starts_with("tests/") || self.path.contains("/tests/");
        in_test_folder || self.path.ends_with("/tests.rs")
    }

    /// Lines before the `#[cfg(test)] mod … {` at its end, and lines from there on.
    pub(crate) fn line_counts(&self) -> (usize, usize) {
        let all = self.text.lines().count();
        let outside = code::before_tests(&self.text).lines().count();
        if self.is_test() { (0, all) } else { (outside, all - outside) }
    }

    /// What the product runs: no comments, no string contents, no test module at the end.
    pub(crate) fn product_code(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        code::blank_comments_and_strings(code::before_tests(&self.text))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("the tests crate lies one folder below the root").to_path_buf()
}

/// Every `.rs` file of the workspace.
pub(crate) fn rust_sources() -> Vec<Source> {
    text_files().into_iter().filter(|source| extension(&source.path) == "rs").collect()
}

/// Every text file of the repository, sorted by path.
pub(crate) fn text_files() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The text of the file at `path`, or an empty one if it does not exist.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// The names in the folder at `path`, sorted.
pub(crate) fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder of the repository can be listed");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("its entries can be read").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for name in names_in(folder) {
        let path = folder.join(&name);
        if SKIPPED.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else if is_text(&path) {
            let relative = path.strip_prefix(root).expect("it was found below the root");
            found.push(Source {
                path: relative.to_string_lossy().into_owned(),
                text: fs::read_to_string(&path).expect("our text files are UTF-8"),
            });
        }
    }
}

fn is_text(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => TEXT.iter().any(|known| extension == *known),
        None => path.file_name().is_some_and(|name| name == "run"),
    }
}
