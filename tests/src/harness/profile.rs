//! The profiles that the demo and many tests use, and the folder they are written to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// An energy meter of 40 signals; `reads` counts its own reads, `overvoltage` is its alarm.
pub const METER: &str = include_str!("profiles/demo-meter.toml");

/// A pump with a parser; `reads` counts its own reads, `speed_setpoint` can be written.
pub const PUMP: &str = include_str!("profiles/demo-pump.toml");

/// The pump's parser.
pub const PUMP_PARSER: &str = include_str!("profiles/demo-pump.luau");

/// Writes both profiles into `<folder>/profiles`, where a configuration in `folder` finds them.
pub fn write_profiles(folder: &Path) -> Result<PathBuf> {
    let profiles = folder.join("profiles");
    fs::create_dir_all(&profiles)
        .with_context(|| format!("cannot create `{}`", profiles.display()))?;
    let files =
        [("demo-meter.toml", METER), ("demo-pump.toml", PUMP), ("demo-pump.luau", PUMP_PARSER)];
    for (name, text) in files {
        let path = profiles.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(profiles)
}
