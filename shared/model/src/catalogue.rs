//! The catalogue: the immutable list of a gateway's signals that a batch of samples refers to.
//!
//! It is named by the hash of its content, so a change of any title, unit or scale is another
//! catalogue, and an old batch is always read with the list it was written with.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{DeviceName, Scale, SignalName, ValueKind};

/// Place of a signal in its catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalIndex(pub u32);

/// What a gateway can report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    /// The devices, in the order of the configuration.
    pub devices: Vec<CatalogueDevice>,
}

/// One device of a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueDevice {
    /// Its name in the configuration.
    pub name: DeviceName,
    /// Name and version of its profile, `eastron-sdm630@1`.
    pub profile: String,
    /// Its signals, in the order of the profile.
    pub signals: Vec<CatalogueSignal>,
}

/// One signal of a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueSignal {
    /// Its stable key.
    pub name: SignalName,
    /// The type of its raw values.
    pub kind: ValueKind,
    /// Its unit, empty if it has none.
    pub unit: String,
    /// How raw becomes engineering.
    pub scale: Scale,
    /// Whether a command may write it.
    pub writable: bool,
}

impl Catalogue {
    /// The signals in the order of their indices, each with its device.
    pub fn signals(&self) -> impl Iterator<Item = (&CatalogueDevice, &CatalogueSignal)> {
        self.devices.iter().flat_map(|device| device.signals.iter().map(move |s| (device, s)))
    }

    /// The signal at `index` and its device.
    pub fn get(&self, index: SignalIndex) -> Option<(&CatalogueDevice, &CatalogueSignal)> {
        let mut left = usize::try_from(index.0).ok()?;
        for device in &self.devices {
            match device.signals.get(left) {
                Some(signal) => return Some((device, signal)),
                None => left -= device.signals.len(),
            }
        }
        None
    }
}
