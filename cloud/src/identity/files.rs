//! Files that hold secrets: whole or not there, and readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::IdentityError;

/// Makes `folder` and its parents, closed to everybody else.
pub(super) fn make_folder(folder: &Path) -> Result<(), IdentityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| failed("create", folder, source))
}

/// The text of the file, or `None` when there is no such file.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Writes the file durably, mode 0600, so that a crash leaves the old content or the whole of it.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), IdentityError> {
    write_renamed(path, text).map_err(|source| failed("write", path, source))
}

fn write_renamed(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    // A draft left by a crash may have been made with another mode.
    match fs::remove_file(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File { verb, path: path.to_owned(), source }
}
