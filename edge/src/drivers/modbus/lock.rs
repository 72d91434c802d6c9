//! A lock file that says who holds a serial port, so that who comes second is told.
//!
//! The kernel's own exclusive mode keeps others out and cannot say who is in; and it does not hold
//! against root. So a file named after the device is locked first (flock), and holds the holder's
//! process and purpose. A lock ends with its process, however that ends; the file stays.

use core::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fieldgate_model::UtcMillis;
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::clock::Clock;

/// Where Linux keeps locks of ports; world-writable on Debian.
const FOLDER: &str = "/run/lock";
/// No holder's words are longer; a file that somebody has filled is not read to its end.
const TEXT_MAX: u64 = 512;

/// A lock that is held; it ends when dropped.
#[derive(Debug)]
pub(super) struct PortLock {
    /// `None` if no folder for locks can be written: the kernel's exclusive mode is left then.
    _file: Option<File>,
}

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// What for, such as ``bus `cabinet` ``.
    pub purpose: String,
    /// Since when.
    pub since: UtcMillis,
}

/// Why a port cannot be locked: somebody holds it, who may not have said who they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held(pub(super) Option<Holder>);

impl PortLock {
    /// Locks `device`, a path without links, for `purpose`.
    pub(super) fn take(device: &Path, purpose: &str) -> Result<Self, Held> {
        Self::take_in(&folders(), device, purpose)
    }

    fn take_in(folders: &[PathBuf], device: &Path, purpose: &str) -> Result<Self, Held> {
        let mut ours = None;
        // A process that cannot write the first folder has left its lock in the second.
        for folder in folders {
            let Ok(mut file) = open(&folder.join(file_name(device))) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(Held(read(&mut file)));
            }
            if ours.is_none() {
                let holder = Holder {
                    pid: std::process::id(),
                    purpose: purpose.to_owned(),
                    since: Clock.utc(),
                };
                // A file of another user can be locked and not written; what it says is then old.
                drop(write(&mut file, &holder));
                ours = Some(file);
            }
        }
        Ok(Self { _file: ours })
    }
}

/// `process 812 (bus `cabinet`), for 5 min`
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = Clock.utc().0.saturating_sub(self.since.0).max(0) / 60_000;
        write!(f, "process {} ({}), for {minutes} min", self.pid, self.purpose)
    }
}

/// The folders that may hold locks, the one that all users share first.
fn folders() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    [Some(PathBuf::from(FOLDER)), own, Some(std::env::temp_dir())].into_iter().flatten().collect()
}

/// `fieldgate-dev-ttyUSB0.lock`
fn file_name(device: &Path) -> String {
    let parts = device.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => name.to_str(),
        std::path::Component::Prefix(_)
        | std::path::Component::RootDir
        | std::path::Component::CurDir
        | std::path::Component::ParentDir => None,
    });
    format!("fieldgate-{}.lock", parts.collect::<Vec<_>>().join("-"))
}

/// Opens the file as well as we may; it is made for all users, whoever makes it first.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    // Without O_CREAT first: in a sticky folder it fails on the file of another user.
    let existing =
        |write| OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    let mut found = existing(true);
    if found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        found = existing(false);
    }
    if !found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return found;
    }
    let made =
        OpenOptions::new().read(true).write(true).create_new(true).custom_flags(flags).open(path);
    match made {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(0o666))?;
            Ok(file)
        }
        // Somebody else was faster by a moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing(true),
        Err(error) => Err(error),
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok()?;
    let since = UtcMillis(lines.next()?.parse().ok()?);
    Some(Holder { pid, since, purpose: lines.next()?.to_owned() })
}

fn write(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}\n{}\n{}\n", holder.pid, holder.since.0, holder.purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_by_the_name_of_the_first() {
        let folder = std::env::temp_dir().join(format!("fieldgate-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let folders = [folder.join("missing"), folder.clone()];
        let take = |purpose| PortLock::take_in(&folders, Path::new("/dev/ttyX0"), purpose);
        let first = take("bus `cabinet`").expect("free");
        let Err(Held(Some(holder))) = take("scan") else { panic!("it is held") };
        assert_eq!((holder.pid, holder.purpose.as_str()), (std::process::id(), "bus `cabinet`"));
        let shown = format!("process {} (bus `cabinet`), for 0 min", std::process::id());
        assert_eq!(holder.to_string(), shown);
        drop(first);
        take("scan").expect("free again");
        assert!(folder.join("fieldgate-dev-ttyX0.lock").exists());
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn a_lock_without_a_folder_is_no_obstacle() {
        PortLock::take_in(&[PathBuf::from("/nowhere")], Path::new("/dev/ttyX0"), "x")
            .expect("free");
    }
}
