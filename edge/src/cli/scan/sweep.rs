//! In which order a scan looks where, how long that takes, and where it goes on.

use std::path::Path;

use fieldgate_modbus::line::LineSettings;
use fieldgate_model::Millis;
use serde::{Deserialize, Serialize};

use super::probe::Found;
use crate::cli::failure::Failure;

/// The settings that devices are sold with, the common ones first.
const COMMON: [&str; 20] = [
    "9600-8N1",
    "19200-8E1",
    "9600-8E1",
    "19200-8N1",
    "38400-8N1",
    "115200-8N1",
    "57600-8N1",
    "4800-8N1",
    "2400-8N1",
    "38400-8E1",
    "115200-8E1",
    "57600-8E1",
    "4800-8E1",
    "2400-8E1",
    "9600-8O1",
    "19200-8O1",
    "9600-8N2",
    "19200-8N2",
    "1200-8N1",
    "1200-8E1",
];

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Which of the settings.
    pub(super) setting: usize,
    /// Which of the units.
    pub(super) unit: usize,
}

/// What is looked at: each unit at each setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Of the line; one that is `None` on a link without any.
    pub(super) settings: Vec<Option<LineSettings>>,
    /// Unit ids in the order in which they are asked.
    pub(super) units: Vec<u8>,
}

/// What an interrupted scan leaves behind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Of which endpoint, without the line's settings.
    pub(super) endpoint: String,
    /// The settings and units that it goes through.
    settings: Vec<String>,
    units: Vec<u8>,
    /// What comes next.
    pub(super) next: Place,
    /// What was found so far.
    pub(super) found: Vec<Found>,
}

impl Sweep {
    /// On a serial line: the given setting, and the others after it if it is to be swept. Unit 0 is
    /// for broadcasts there and answers nobody.
    pub(super) fn serial(given: LineSettings, is_sweep: bool, units: Option<&[u8]>) -> Self {
        let mut settings = vec![given];
        if is_sweep {
            for line in COMMON.iter().filter_map(|text| text.parse::<LineSettings>().ok()) {
                if !settings.contains(&line) {
                    settings.push(line);
                }
            }
        }
        let units = units.map_or_else(|| (1..=247).collect(), <[u8]>::to_vec);
        Self { settings: settings.into_iter().map(Some).collect(), units }
    }

    /// On TCP: the ids that stand for the device itself come first.
    pub(super) fn tcp(units: Option<&[u8]>) -> Self {
        let all = || [1, 255, 0].into_iter().chain(2..=247).collect();
        Self { settings: vec![None], units: units.map_or_else(all, <[u8]>::to_vec) }
    }

    /// The place after this one; none after the last.
    pub(super) fn after(&self, place: Place) -> Option<Place> {
        if place.unit + 1 < self.units.len() {
            return Some(Place { unit: place.unit + 1, ..place });
        }
        self.next_setting(place)
    }

    /// The first place at the next setting.
    pub(super) fn next_setting(&self, place: Place) -> Option<Place> {
        let setting = place.setting + 1;
        (setting < self.settings.len()).then_some(Place { setting, unit: 0 })
    }

    /// Units that are still to be asked, `place` included.
    pub(super) fn left(&self, place: Place) -> usize {
        let all = self.settings.len() * self.units.len();
        all.saturating_sub(place.setting * self.units.len() + place.unit)
    }

    /// How long the rest takes if nobody answers: what a silent unit costs, for each of them.
    pub(super) fn time_left(&self, place: Place, timeout: Millis) -> Millis {
        Millis(timeout.0 * u64::try_from(self.left(place)).unwrap_or(u64::MAX / 1_000_000))
    }

    fn setting_texts(&self) -> Vec<String> {
        let text = |line: &Option<LineSettings>| line.map(|line| line.to_string());
        self.settings.iter().map(|line| text(line).unwrap_or_default()).collect()
    }
}

impl Saved {
    pub(super) fn new(endpoint: &str, sweep: &Sweep, next: Place, found: &[Found]) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            settings: sweep.setting_texts(),
            units: sweep.units.clone(),
            next,
            found: found.to_vec(),
        }
    }

    /// Reads what an interrupted scan has left, if it was this very scan.
    pub(super) fn read(path: &Path, endpoint: &str, sweep: &Sweep) -> Result<Self, Failure> {
        let cannot = |why: Failure| {
            why.while_doing(format!("cannot resume from `{}`", path.display()))
                .exiting(crate::cli::failure::Exit::Usage)
        };
        let text = std::fs::read(path).map_err(|error| cannot(Failure::from_error(error)))?;
        let saved: Self =
            serde_json::from_slice(&text).map_err(|error| cannot(Failure::from_error(error)))?;
        if saved.endpoint != endpoint {
            let what = format!("it is of a scan of `{}`", saved.endpoint);
            return Err(cannot(Failure::usage(what)));
        }
        if saved.settings != sweep.setting_texts() || saved.units != sweep.units {
            let what = "it is of a scan of other units or settings";
            return Err(cannot(Failure::usage(what)).hint("give the same options as before"));
        }
        Ok(saved)
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        std::fs::write(&beside, serde_json::to_vec(self)?)?;
        std::fs::rename(&beside, path)
    }
}

/// How long a silent unit is waited for at these settings if nothing is said: what the longest
/// answer that a scan asks for takes on the line, and time for the device to think.
pub(super) fn timeout(line: Option<LineSettings>) -> Millis {
    /// A slow device with a display to serve; most answer within 50 ms.
    const THINKING: Millis = Millis(200);
    /// Bytes of question and first answer: FC 3 of one register.
    const FRAME_BYTES: u64 = 16;
    match line {
        Some(line) => Millis(THINKING.0 + line.time_us(FRAME_BYTES).div_ceil(1_000)),
        // A gateway behind it may have a serial line of its own.
        None => Millis(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LineSettings {
        text.parse().expect("a line")
    }

    #[test]
    fn a_sweep_starts_with_the_given_setting_and_has_each_once() {
        let sweep = Sweep::serial(line("19200-8E1"), true, None);
        assert_eq!(sweep.settings.len(), COMMON.len());
        assert_eq!(sweep.settings[..2], [Some(line("19200-8E1")), Some(line("9600-8N1"))]);
        assert_eq!((sweep.units.first(), sweep.units.last()), (Some(&1), Some(&247)));
        assert_eq!(Sweep::serial(line("300-7O2"), true, None).settings.len(), COMMON.len() + 1);
    }

    #[test]
    fn a_scan_goes_through_the_units_of_a_setting_before_the_next() {
        let sweep = Sweep::serial(line("9600-8N1"), true, Some(&[1, 5]));
        let first = Place { setting: 0, unit: 0 };
        let second = sweep.after(first).expect("another unit");
        assert_eq!(second, Place { setting: 0, unit: 1 });
        assert_eq!(sweep.after(second), Some(Place { setting: 1, unit: 0 }));
        let last = Place { setting: COMMON.len() - 1, unit: 1 };
        assert_eq!((sweep.after(last), sweep.left(last)), (None, 1));
        assert_eq!(sweep.time_left(last, Millis(200)), Millis(200));
    }

    #[test]
    fn on_tcp_the_ids_of_the_host_itself_come_first() {
        let units = Sweep::tcp(None).units;
        assert_eq!((&units[..4], units.len()), (&[1, 255, 0, 2][..], 249));
    }

    #[test]
    fn a_scan_goes_on_only_as_the_one_it_was() {
        let folder = std::env::temp_dir().join(format!("fieldgate-scan-{}", std::process::id()));
        let sweep = Sweep::tcp(Some(&[1, 2, 3]));
        let next = Place { setting: 0, unit: 2 };
        Saved::new("modbus_tcp a:502", &sweep, next, &[]).write(&folder).expect("a file");
        let saved = Saved::read(&folder, "modbus_tcp a:502", &sweep).expect("the same scan");
        assert_eq!(saved.next, next);
        assert!(Saved::read(&folder, "modbus_tcp b:502", &sweep).is_err());
        assert!(Saved::read(&folder, "modbus_tcp a:502", &Sweep::tcp(None)).is_err());
        std::fs::remove_file(&folder).expect("it is there");
    }
}
