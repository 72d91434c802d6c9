//! What devices have taught about reading them, kept over restarts. A lost map is learned again, so
//! a row that cannot be read is no reason for anything but a word in the log.

use std::collections::BTreeMap;
use std::path::Path;

use fieldgate_model::DeviceName;
use fieldgate_rules::plan::HoleMap;
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::FILE;
use super::error::BufferError;

/// The step from the first schema to this table.
pub(super) const SCHEMA: &str = "
CREATE TABLE device_map (
    device  TEXT PRIMARY KEY,
    unit    INTEGER NOT NULL,
    profile TEXT NOT NULL,
    holes   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What one device has taught. It holds for this unit id and version of the profile alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMap {
    /// Its unit id.
    pub unit: u8,
    /// `name@version` of its profile.
    pub profile: String,
    /// The map.
    pub holes: HoleMap,
}

/// The maps that a gateway in `folder` has stored, running or not; none if it never ran.
pub fn stored_maps(folder: &Path) -> Result<BTreeMap<DeviceName, DeviceMap>, BufferError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let read = || {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // The gateway that wrote it may be of before the table.
        if db.table_exists(None, "device_map")? { load(&db) } else { Ok(BTreeMap::new()) }
    };
    read().map_err(|source| BufferError::Database { path: path.clone(), source })
}

pub(super) fn load(db: &Connection) -> rusqlite::Result<BTreeMap<DeviceName, DeviceMap>> {
    let mut statement = db.prepare("SELECT device, unit, profile, holes FROM device_map")?;
    let mut rows = statement.query([])?;
    let mut map_by_device = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (name, holes): (String, String) = (row.get(0)?, row.get(3)?);
        let (unit, profile) = (row.get(1)?, row.get(2)?);
        match (DeviceName::new(name.as_str()), holes.parse::<HoleMap>()) {
            (Ok(device), Ok(holes)) => {
                map_by_device.insert(device, DeviceMap { unit, profile, holes });
            }
            (Ok(_), Err(error)) => tracing::warn!(device = name, %error, "holes are learned again"),
            // A name that is none any more belongs to no device of any configuration.
            (Err(_), Ok(_) | Err(_)) => {}
        }
    }
    Ok(map_by_device)
}

/// Keeps the maps of these devices alone, so that renamed ones do not pile up.
pub(super) fn keep<'a>(
    db: &Connection,
    devices: impl Iterator<Item = &'a DeviceName>,
) -> rusqlite::Result<()> {
    let mut gone = load(db)?;
    for device in devices {
        gone.remove(device);
    }
    for device in gone.into_keys() {
        db.execute("DELETE FROM device_map WHERE device = ?1", [device.as_str()])?;
    }
    Ok(())
}

pub(super) fn save(
    transaction: &Transaction<'_>,
    device: &DeviceName,
    map: &DeviceMap,
) -> rusqlite::Result<()> {
    let DeviceMap { unit, profile, holes } = map;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO device_map (device, unit, profile, holes) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (device) DO UPDATE SET unit = ?2, profile = ?3, holes = ?4",
    )?;
    statement.execute(params![device.as_str(), unit, profile, holes.to_string()])?;
    Ok(())
}
