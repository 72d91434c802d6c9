//! A temporary folder that goes with its value. With `FIELDGATE_KEEP=1`, and after a panic, it
//! stays to be read.

use std::path::{Path, PathBuf};
use std::thread;
use std::{env, fs};

use anyhow::{Context, Result};

/// A temporary folder.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh one; `name` is the first part of its name.
    pub fn new(name: &str) -> Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let suffix = u64::from_le_bytes(random);
        let path = env::temp_dir().join(format!("{name}-{suffix:016x}"));
        fs::create_dir(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A folder inside it, created.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(path)
    }

    /// Writes a file inside it.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create `{}`", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a failure leaves behind is the evidence; a folder in /tmp harms nobody.
        if !thread::panicking() && env::var_os("FIELDGATE_KEEP").is_none() {
            fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }
}
