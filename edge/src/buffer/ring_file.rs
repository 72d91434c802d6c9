//! `buffer.ring`: the ring on a disk. One write and one sync a record, into a file that never grows.
//!
//! # Invariants
//!
//! - A record counts once its sync has returned. A sync that failed is never repeated: whoever gets
//!   the error gives this file up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fieldgate_ring::{BLOCK_BYTES, PairId, Recovery, Ring};

use super::aside::with;

/// The largest file that is looked at as a ring: ours have 8 MiB at most.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The open ring.
#[derive(Debug)]
pub(super) struct RingFile {
    file: File,
    path: PathBuf,
    ring: Ring,
    identity: Identity,
}

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Why a record is not durable.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The database has to take something first.
    Full,
    /// The disk refuses; nobody knows what of the record is there.
    Io(io::Error),
}

impl Identity {
    /// Of the file that stands there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self { device: meta.dev(), inode: meta.ino() })
    }
}

/// When the file came into being, where the file system knows: a copy or a restored backup is
/// younger than what it is a copy of.
pub(super) fn born(path: &Path) -> Option<i64> {
    let created = fs::metadata(path).and_then(|meta| meta.created()).ok()?;
    let since = created.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// The file's bytes; `None` if there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

impl RingFile {
    /// A ring of so many blocks that begins with this record; what stood there is replaced.
    pub(super) fn create(
        path: &Path,
        pair: PairId,
        blocks: usize,
        sequence: u64,
        body: &[u8],
    ) -> io::Result<Self> {
        let (ring, image) = Ring::create(pair, blocks, sequence, body);
        // Written whole before it is in place, so that there is never half a ring.
        let beside = with(path, ".new");
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(&image).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, path));
        if let Err(error) = written {
            // Half a ring would only take the room that others need now.
            drop(fs::remove_file(&beside));
            return Err(error);
        }
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Self::open(path, ring)
    }

    /// Goes on behind what was found in the file.
    pub(super) fn resume(path: &Path, recovery: &Recovery, taken: u64) -> io::Result<Self> {
        Self::open(path, Ring::resume(recovery, taken))
    }

    fn open(path: &Path, ring: Ring) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let identity = Identity::of(path)?;
        Ok(Self { file, path: path.to_owned(), ring, identity })
    }

    /// Makes a record durable; gives its number.
    pub(super) fn append(&mut self, body: &[u8]) -> Result<u64, AppendError> {
        let prepared = self.ring.prepare(body).map_err(|_| AppendError::Full)?;
        for write in &prepared.writes {
            self.file.write_all_at(&write.bytes, write.offset).map_err(AppendError::Io)?;
        }
        self.file.sync_data().map_err(AppendError::Io)?;
        self.ring.synced(&prepared);
        Ok(prepared.sequence)
    }

    /// The database has durably taken everything through this record.
    pub(super) fn taken(&mut self, through: u64) {
        self.ring.taken(through);
    }

    /// Whether so much waits for the database that it should take it.
    pub(super) fn is_half_full(&self) -> bool {
        self.ring.blocks() / 2 <= self.ring.live()
    }

    /// The number of the newest record.
    pub(super) fn newest(&self) -> u64 {
        self.ring.newest()
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        (self.ring.blocks() * BLOCK_BYTES) as u64
    }

    /// Whether the file still stands where it was, whole.
    pub(super) fn is_in_place(&self) -> bool {
        let whole = fs::metadata(&self.path).is_ok_and(|meta| meta.len() == self.bytes());
        whole && Identity::of(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}
