//! What can go wrong with a buffer.

use std::path::PathBuf;

use thiserror::Error;

/// Why the buffer could not do what was asked.
#[derive(Debug, Error)]
pub enum BufferError {
    /// The linked SQLite can lose commits.
    #[error("SQLite {version} can lose commits in WAL mode, 3051003 or later is needed")]
    SqliteTooOld {
        /// As `sqlite3_libversion_number` gives it.
        version: i32,
    },
    /// The folder of the buffer cannot be made.
    #[error("make the buffer's folder `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A damaged file cannot be moved out of the way.
    #[error("move the damaged file `{path}` aside")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite said no.
    #[error("use the database `{path}`")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The buffer's thread cannot be started.
    #[error("start the buffer's thread")]
    Thread {
        /// Why not.
        source: std::io::Error,
    },
    /// The buffer's thread has ended.
    #[error("the buffer has stopped")]
    Stopped,
}
