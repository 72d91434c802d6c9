//! What to simulate, and why that can fail.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;
use fieldgate_rules::profile::Profile;
use thiserror::Error;

use super::faults::FaultOptions;

/// What to simulate.
#[derive(Debug, Clone, Default)]
pub struct SimulateOptions {
    /// Devices, and the ways to them.
    pub buses: Vec<SimulatedBus>,
    /// Where control connections are accepted, port 0 for any; `None` for nowhere.
    pub control: Option<SocketAddr>,
    /// What goes wrong with every device's answers, until a control line says otherwise.
    pub faults: FaultOptions,
    /// Decides which answers the faults hit; the same number hits the same ones.
    pub seed: u64,
    /// After how long everything falls silent; `None` for never.
    pub die_after: Option<Millis>,
    /// How long that lasts; `None` for ever.
    pub revive_after: Option<Millis>,
    /// Units that hear and say nothing, whether or not there is such a device.
    pub silent_units: BTreeSet<UnitId>,
}

/// Devices and the ways to them.
#[derive(Debug, Clone)]
pub struct SimulatedBus {
    /// The ways to the devices; all lead to the same ones.
    pub doors: Vec<Door>,
    /// Its devices; unit ids differ.
    pub devices: Vec<SimulatedDevice>,
}

/// One way to devices.
#[derive(Debug, Clone)]
pub enum Door {
    /// Modbus TCP on this address, port 0 for any.
    Tcp(SocketAddr),
    /// RTU frames on this TCP address, port 0 for any.
    RtuOverTcp(SocketAddr),
    /// RTU on a pseudo-terminal.
    Rtu(SimulatedLine),
    /// Modbus ASCII on a pseudo-terminal.
    Ascii(SimulatedLine),
}

/// A serial line made of a pseudo-terminal.
#[derive(Debug, Clone)]
pub struct SimulatedLine {
    /// Its speed and form. Parity costs time only: a pseudo-terminal has none.
    pub line: LineSettings,
    /// Whether the client hears its own bytes, as a two-wire adapter without echo suppression.
    pub is_echoing: bool,
    /// A symbolic link to make, or to point anew.
    pub link: Option<PathBuf>,
}

/// One simulated device.
#[derive(Debug, Clone)]
pub struct SimulatedDevice {
    /// What control connections call it; unique among all.
    pub name: String,
    /// Its unit id. Any other is answered with exception 11 on TCP, and with silence on a line.
    pub unit: UnitId,
    /// What it is.
    pub profile: Arc<Profile>,
}

/// Why simulating failed.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// An address cannot be listened on.
    #[error("listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Accepting connections failed.
    #[error("accept on `{address}`")]
    Accept {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A pseudo-terminal, or the link to it, cannot be made.
    #[error("make a serial line{}", .link.as_ref().map(|link| format!(" at `{}`", link.display())).unwrap_or_default())]
    Line {
        /// The link.
        link: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
    /// A pseudo-terminal broke.
    #[error("serve `{path}`")]
    Serve {
        /// What a client opens.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SimulatedDevice {
    /// One device of each profile, with unit ids from `first` on, named like its profile; `name-2`
    /// and so on where a profile comes again.
    pub fn of_profiles(profiles: &[Arc<Profile>], first: UnitId) -> Vec<Self> {
        let mut count_by_name = std::collections::BTreeMap::new();
        let device = |(place, profile): (usize, &Arc<Profile>)| {
            let nth: &mut usize = count_by_name.entry(profile.name.clone()).or_default();
            *nth += 1;
            let name = match *nth {
                1 => profile.name.clone(),
                nth => format!("{}-{nth}", profile.name),
            };
            let unit = u8::try_from(usize::from(first.0) + place).unwrap_or(u8::MAX);
            let unit = UnitId(unit);
            Self { name, unit, profile: Arc::clone(profile) }
        };
        profiles.iter().enumerate().map(device).collect()
    }
}
