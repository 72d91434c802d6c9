//! The floor on disk: a file with one number, replaced as a whole, so that a machine without a
//! battery does not begin each day in 1970.
//!
//! # Invariants
//!
//! - A file that is missing, cut or nonsense is no floor, and never a reason not to start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use fieldgate_model::UtcMillis;

/// Its name in the buffer's folder.
pub(super) const FILE: &str = "clock-floor";
/// More than any number of milliseconds takes.
const BYTES_MAX: u64 = 32;

/// The floor that the last run left, if there is one.
pub(super) fn load(path: &Path) -> Option<UtcMillis> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.len() <= BYTES_MAX)?;
    let text = meta.is_file().then(|| fs::read_to_string(path).ok())??;
    text.strip_suffix('\n')?.parse().ok().map(UtcMillis)
}

/// Replaces the floor. A disk that refuses costs nothing but an older floor.
pub(super) fn save(path: &Path, floor: UtcMillis) {
    if let Err(error) = replace(path, floor) {
        tracing::warn!(path = %path.display(), %error, "cannot keep the clock's floor");
    }
}

fn replace(path: &Path, floor: UtcMillis) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{}", floor.0)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_anything_else_is_no_floor() {
        let mut folder = std::env::temp_dir();
        folder.push(format!("fieldgate-floor-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(FILE);
        assert_eq!(load(&path), None);
        for floor in [UtcMillis(1_795_910_400_000), UtcMillis(4_294_967_296_000)] {
            save(&path, floor);
            assert_eq!(load(&path), Some(floor));
        }
        for bad in ["", "1795910400000", "x\n", &format!("{}\n", "9".repeat(40))] {
            fs::write(&path, bad).expect("a file");
            assert_eq!(load(&path), None, "{bad:?}");
        }
        fs::remove_dir_all(&folder).expect("an own folder");
    }
}
