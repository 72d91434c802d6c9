//! Files that cannot be trusted: moved out of the way whole, never repaired in place, never a
//! reason not to go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::BufferError;

/// Damaged files of one name that are kept for salvage: the newest ones.
const KEPT_MAX: usize = 2;
/// What belongs to a file under its name with more behind it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Moves the file, and its WAL if it has one, to `…damaged-N`; says where to.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, BufferError> {
    let number = oldest(path);
    for suffix in SUFFIXES {
        let (from, to) = (with(path, suffix), with(&damaged(path, number), suffix));
        // Of the one that makes room; a WAL of another file would be taken for this one's.
        if to.exists() {
            fs::remove_file(&to)
                .map_err(|source| BufferError::SetAside { path: to.clone(), source })?;
        }
        if from.exists() {
            fs::rename(&from, &to)
                .map_err(|source| BufferError::SetAside { path: from, source })?;
        }
    }
    Ok(damaged(path, number))
}

/// A number that is free, or whose file has lain there longest.
fn oldest(path: &Path) -> usize {
    let age = |number: &usize| {
        let modified = fs::metadata(damaged(path, *number)).and_then(|meta| meta.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    (0..KEPT_MAX).min_by_key(age).unwrap_or(0)
}

fn damaged(path: &Path, number: usize) -> PathBuf {
    with(path, &format!(".damaged-{number}"))
}

/// The path with something behind its name.
pub(super) fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
