//! Configuration: one TOML file and a folder of profiles become types that cannot be wrong.
//!
//! # Invariants
//!
//! - All problems are found in one run, each with its file, line, what is wrong and what to do.
//! - A wrong device, bus or profile disables the devices that need it and nothing else; a wrong
//!   `[gateway]`, `[cloud]`, `[buffer]`, `[http]` or `[socket]`, and a file that is not TOML, start
//!   nothing.
//! - Relative paths are relative to the folder of the configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldgate_modbus::register::UnitId;
use fieldgate_model::{Catalogue, CatalogueDevice, DeviceName, Millis};
use fieldgate_rules::plan::LinkCost;
use fieldgate_rules::profile::Profile;

mod bus_file;
mod coap_file;
mod device_file;
mod endpoint;
mod fields;
mod file;
mod library;
mod problem;
mod profile_file;
mod reading_file;
mod resource_file;
mod signal_file;
mod signals_file;
mod source_file;
mod test_file;
#[cfg(test)]
mod tests;
mod units;
mod write_file;

pub(crate) use coap_file::parse_url as parse_coap_url;
pub use endpoint::{Echo, Endpoint, PortPath, Rs485, SerialEndpoint};
pub use library::Library;
pub use problem::{Problem, Scope};
pub use units::{UnitError, parse_duration, parse_size};

/// The alarm that a device has while its parser is disabled; no profile may have one of this name.
pub const PARSER_ALARM: &str = "parser_disabled";

/// Patience shorter than this ends before any answer.
const TIMEOUT_MIN: Millis = Millis(10);
/// Longer than any patience for an answer; a deeper wait is a dead device.
const TIMEOUT_MAX: Millis = Millis::from_secs(60);

/// A configuration that runs, with what is wrong at its edges.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub config: Config,
    /// Everything that is wrong, none of it fatal; those of broken devices are among them.
    pub problems: Vec<Problem>,
}

/// What the daemon runs.
#[derive(Debug)]
pub struct Config {
    /// The gateway itself.
    pub gateway: GatewayConfig,
    /// Its cloud; `None` if it works alone.
    pub cloud: Option<CloudConfig>,
    /// Its buffer.
    pub buffer: BufferConfig,
    /// Where health and metrics are served, if anywhere.
    pub http: Option<SocketAddr>,
    /// Path of the technician's unix socket.
    pub socket: PathBuf,
    /// The folder of profiles and parsers; it may not be there.
    pub profiles: PathBuf,
    /// The buses, in the order of the file.
    pub buses: Vec<BusConfig>,
    /// The hosts that devices name by `coap`, each once.
    pub hosts: Vec<HostConfig>,
    /// How `CoAP` devices reach the gateway.
    pub coap: CoapConfig,
    /// The devices that run, in the order of the file.
    pub devices: Vec<DeviceConfig>,
    /// The devices that do not run.
    pub broken: Vec<BrokenDevice>,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Its label for people; its identity is elsewhere.
    pub name: String,
}

/// `[cloud]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// Where it is.
    pub url: CloudUrl,
    /// The file with id, secret and CA; `credentials.toml` in the buffer's folder by default.
    pub credentials: PathBuf,
    /// Samples of a backlog that go up in a second.
    pub history_rate: u64,
}

/// `mqtts://host:port` or `mqtt://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudUrl {
    /// Whether the link is encrypted.
    pub tls: bool,
    /// Name or address, without the brackets of an IPv6 one.
    pub host: String,
    /// TCP port; 8883 with TLS and 1883 without by default.
    pub port: u16,
}

/// `[buffer]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferConfig {
    /// The folder of both databases.
    pub path: PathBuf,
    /// Hard cap of the folder in bytes, WAL and free pages included.
    pub max_bytes: u64,
    /// How long a sample may lie in memory only: the loss window on a power cut.
    pub flush: Millis,
    /// How long a flushed sample may wait for its batch.
    pub seal_after: Millis,
}

/// `[[bus]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusConfig {
    /// Its name; unique.
    pub name: String,
    /// What it is.
    pub endpoint: Endpoint,
    /// How long an answer may take where the device does not say.
    pub timeout: Millis,
    /// Shortest quiet time between an answer and the next request, beside what the line needs.
    pub pause: Millis,
    /// Most of the bus's time that silent units may take, in percent.
    pub dead_share: u8,
    /// Close the link whenever nothing is due, for hosts that serve one client at a time.
    pub close_after_cycle: bool,
}

impl BusConfig {
    /// What its requests cost, its pause between them included.
    pub const fn cost(&self) -> LinkCost {
        let pause_us = self.pause.0.saturating_mul(1000);
        match &self.endpoint {
            Endpoint::ModbusTcp { .. } | Endpoint::ModbusRtuOverTcp { .. } => LinkCost::tcp(),
            Endpoint::ModbusRtu(serial) => LinkCost::rtu(serial.line),
            Endpoint::ModbusAscii(serial) => LinkCost::ascii(serial.line),
        }
        .slower(pause_us)
    }
}

/// `[[device]]`.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Its name; unique.
    pub name: DeviceName,
    /// Its type.
    pub profile: Arc<Profile>,
    /// Where it is.
    pub place: Place,
    /// Poll interval.
    pub every: Millis,
    /// How long an answer of it may take; as on its bus by default.
    pub timeout: Millis,
}

/// Where a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a bus.
    Bus {
        /// Place of the bus in [`Config::buses`].
        bus: usize,
        /// Its address there.
        unit: UnitId,
    },
    /// At a host of its own, or one that it shares with others of its name and port.
    Host {
        /// Place of the host in [`Config::hosts`].
        host: usize,
    },
}

/// A host that speaks `CoAP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Name or address, without the brackets of an IPv6 one.
    pub host: String,
    /// UDP port; 5683 by default, 5684 with a key.
    pub port: u16,
    /// The key for DTLS; nothing for `coap://`.
    pub psk: Option<PskConfig>,
}

/// A key that only we and a device know, by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PskConfig {
    /// The name under which both know it; it is no secret.
    pub identity: String,
    /// Where it lies.
    pub key: KeyPlace,
}

/// Where a key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file of its own.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// Among the credentials that systemd hands to the service.
    Credential(String),
}

/// `[coap]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoapConfig {
    /// Where devices send what they push; nowhere by default.
    pub listen: Option<SocketAddr>,
    /// The same with DTLS.
    pub listen_secure: Option<SocketAddr>,
}

impl Place {
    /// The bus and the unit there, if it is on one.
    pub const fn bus(self) -> Option<(usize, UnitId)> {
        match self {
            Self::Bus { bus, unit } => Some((bus, unit)),
            Self::Host { .. } => None,
        }
    }

    /// The host, if it is at one.
    pub const fn host(self) -> Option<usize> {
        match self {
            Self::Bus { .. } => None,
            Self::Host { host } => Some(host),
        }
    }
}

impl HostConfig {
    /// Its URL, which stands for its name everywhere.
    pub fn url(&self) -> String {
        let Self { host, port, psk } = self;
        let scheme = if psk.is_some() { "coaps" } else { "coap" };
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

/// A device that does not run.
#[derive(Debug, Clone)]
pub struct BrokenDevice {
    /// As in the file, or its place such as `device 3` if it has no usable name.
    pub name: String,
    /// Its profile as in the file, empty if it names none.
    pub profile: String,
    /// Why; never empty.
    pub problems: Vec<Problem>,
}

/// Reads a configuration and every profile in its folder, used or not. An error lists all problems,
/// the fatal ones among them.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    file::load(path)
}

/// A parser's text from the folder of profiles, or why there is none.
pub(crate) fn read_parser(folder: &Path, file: &str) -> Result<String, String> {
    if !is_plain(file) {
        return Err("must be the name of a file beside the profiles".to_owned());
    }
    fields::Source::read_text(&folder.join(file)).map_err(|problem| problem.what)
}

/// Whether it names a file of a folder, and none of another.
fn is_plain(file: &str) -> bool {
    !file.is_empty() && !file.starts_with('.') && !file.contains(['/', '\\'])
}

impl Config {
    /// The gateway's signals. Devices stand as in [`Config::devices`]; the broken ones follow, with
    /// no signals.
    pub fn catalogue(&self) -> Catalogue {
        let good =
            self.devices.iter().map(|device| device.profile.catalogue_device(device.name.clone()));
        let broken = self.broken.iter().filter_map(|device| {
            let name = DeviceName::new(device.name.as_str()).ok()?;
            Some(CatalogueDevice { name, profile: device.profile.clone(), signals: Vec::new() })
        });
        Catalogue { devices: good.chain(broken).collect() }
    }
}
