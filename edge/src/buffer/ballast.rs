//! `buffer.ballast`: room that is given back when the disk is full, so that what frees room can still
//! be written.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The most that is set aside: several commits that only release and evict.
const BYTES_MAX: u64 = 1024 * 1024;
/// One part in so many of the cap at most.
const PART: u64 = 32;
/// So many times its size must be free on the disk before it is set aside again.
const FREE_TIMES: u64 = 4;

/// The file, and whether the disk has shown that it is full.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    size: u64,
    is_tight: bool,
}

impl Ballast {
    /// Sets it aside, if there is room.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Self {
        let mut ballast = Self { path, size: BYTES_MAX.min(max_bytes / PART), is_tight: false };
        if fs::metadata(&ballast.path).is_ok_and(|meta| meta.len() == ballast.size) {
            return ballast;
        }
        ballast.set_aside();
        ballast
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Bytes that it takes when it is there.
    pub(super) fn room(&self) -> u64 {
        self.size
    }

    /// The disk is full, and was not seen with room since.
    pub(super) fn is_tight(&self) -> bool {
        self.is_tight
    }

    /// The disk is full: gives the room back.
    pub(super) fn drop_it(&mut self) {
        self.is_tight = true;
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!("the disk is full, the ballast is given back"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "the ballast cannot be given back"),
        }
    }

    /// Sets it aside again once the disk has room.
    pub(super) fn restore(&mut self) {
        if self.is_tight && free(&self.path).is_none_or(|free| self.size * FREE_TIMES <= free) {
            self.set_aside();
        }
    }

    fn set_aside(&mut self) {
        let size = usize::try_from(self.size).unwrap_or(0);
        // Written, not left sparse: only what is written takes room.
        let written = File::create(&self.path)
            .and_then(|mut file| file.write_all(&vec![0; size]).and_then(|()| file.sync_all()));
        match written {
            Ok(()) => self.is_tight = false,
            Err(error) => {
                tracing::debug!(%error, "no room for ballast");
                drop(fs::remove_file(&self.path));
            }
        }
    }
}

/// Bytes that are free for us on the disk of the file.
fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
