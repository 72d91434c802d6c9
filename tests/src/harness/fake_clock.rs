//! A time of day that is wrong, for a process of its own: libfaketime shifts what the C library tells
//! of the wall clock and leaves the monotonic clocks alone.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Debian's package puts the library.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A wall clock that can be set while the process runs.
pub struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    /// One that is `seconds` off.
    pub fn new(folder: &Path, seconds: i64) -> Result<Self> {
        let clock = Self { file: folder.join("faketime") };
        clock.set(seconds)?;
        Ok(clock)
    }

    /// Sets it to be `seconds` off; the process sees it within a second.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n")).context("cannot write a time")?;
        fs::rename(&fresh, &self.file).context("cannot set the time")
    }

    /// The environment of a process that lives by it.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", LIBRARY.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}
