//! The store in one SQLite file.

use std::path::Path;

use super::StoreError;

/// The store in one SQLite file.
pub struct SqliteStore;

impl SqliteStore {
    /// Opens the database at `path`; creates or upgrades it, private to its owner.
    pub fn open(_path: &Path) -> Result<Self, StoreError> {
        Err(StoreError::Stopped)
    }
}
