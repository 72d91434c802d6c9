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
    /// Another process has the buffer.
    #[error("the buffer in `{path}` is in use by another process")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The lock cannot be taken.
    #[error("lock the buffer with `{path}`")]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A later version has written the file; it is left as it is.
    #[error("`{path}` has format {version}, this version knows up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A later version has written a record of the ring; it is left as it is.
    #[error("`{path}` has a record that this version cannot read")]
    NewerRing {
        /// The file.
        path: PathBuf,
    },
    /// A damaged file cannot be moved out of the way.
    #[error("move the damaged file `{path}` aside")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The ring cannot be read or written.
    #[error("use the ring `{path}`")]
    Ring {
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

impl BufferError {
    /// Whether what is there is not what was written.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Database { source, .. } => super::file::is_damage(source),
            Self::SqliteTooOld { .. }
            | Self::Folder { .. }
            | Self::InUse { .. }
            | Self::Lock { .. }
            | Self::Newer { .. }
            | Self::NewerRing { .. }
            | Self::SetAside { .. }
            | Self::Ring { .. }
            | Self::Thread { .. }
            | Self::Stopped => false,
        }
    }

    /// Whether a gateway had better not start: what is there is another's, or from the future.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::SqliteTooOld { .. }
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::NewerRing { .. } => true,
            Self::Folder { .. }
            | Self::Lock { .. }
            | Self::SetAside { .. }
            | Self::Ring { .. }
            | Self::Database { .. }
            | Self::Thread { .. }
            | Self::Stopped => false,
        }
    }
}
