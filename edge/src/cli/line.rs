//! A line that a verb works on itself: an endpoint that no gateway owns, or a bus that was taken.
//!
//! # Invariants
//!
//! - What a running gateway owns is never opened beside it: its bus is taken first, and comes back
//!   when this process ends, however it ends.

use std::path::Path;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::line::{LineSettings, Parity};
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use tokio::runtime::Runtime;

use super::args::{LineArgs, Mode, ParityArg};
use super::ask::{Answers, Daemon};
use super::failure::Failure;
use super::screen::Talk;
use super::signals::Stop;
use crate::config::{self, Echo, Endpoint, PortPath, Rs485, SerialEndpoint};
use crate::drivers::{DirectLine, OpenError};
use crate::socket::live::Taken;
use crate::socket::message::Ask;

/// Port of Modbus TCP.
const PORT: u16 = 502;
/// What most devices are set to when they are bought.
const LINE: LineSettings =
    LineSettings { baud: 9_600, data_bits: 8, parity: Parity::None, stop_bits: 1 };
/// How long opening a line may take.
const OPEN_WITHIN: Millis = Millis(3_000);

/// Whom a verb was pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A name of the configuration.
    Name(String),
    /// A place that needs none.
    Endpoint(Endpoint),
}

/// A line that is open.
pub(super) struct OpenLine {
    runtime: Runtime,
    /// None only while it is opened anew.
    line: Option<DirectLine>,
    endpoint: Endpoint,
    taken: Option<Lent>,
    stop: Option<Stop>,
    is_stopped: bool,
}

/// A bus that the gateway has lent; it is given back when this goes.
struct Lent {
    daemon: Daemon,
    bus: String,
    answers: Option<Answers>,
}

/// Tells a name from an endpoint: an endpoint has a scheme or a path, or `-m` says that it is one.
pub(super) fn target(text: &str, args: &LineArgs) -> Result<Target, Failure> {
    let (mode, place) = match text.split_once("://") {
        Some((scheme, place)) => (Some(scheme_mode(scheme, text)?), place),
        None => match text.strip_prefix("ascii:").or_else(|| text.strip_prefix("rtu:")) {
            Some(path) if text.starts_with("ascii:") => (Some(Mode::Ascii), path),
            Some(path) => (Some(Mode::Rtu), path),
            None => (None, text),
        },
    };
    let mode = match (mode.or(args.mode), place.starts_with('/')) {
        (Some(mode), _) => mode,
        (None, true) => Mode::Rtu,
        (None, false) => return Ok(Target::Name(text.to_owned())),
    };
    endpoint(mode, place, args).map(Target::Endpoint)
}

fn scheme_mode(scheme: &str, text: &str) -> Result<Mode, Failure> {
    match scheme {
        "tcp" | "modbus" => Ok(Mode::Tcp),
        "rtu" => Ok(Mode::Rtu),
        "ascii" => Ok(Mode::Ascii),
        "rtu+tcp" | "rtuovertcp" => Ok(Mode::RtuOverTcp),
        _ => Err(Failure::usage(format!("`{text}` is not an endpoint")).hint(
            "write `tcp://HOST:PORT`, `rtu+tcp://HOST:PORT`, `/dev/PORT` or `ascii:/dev/PORT`",
        )),
    }
}

fn endpoint(mode: Mode, place: &str, args: &LineArgs) -> Result<Endpoint, Failure> {
    match mode {
        Mode::Tcp => {
            let (host, port) = host_port(place, args.port)?;
            Ok(Endpoint::ModbusTcp { host, port, in_flight: 1 })
        }
        Mode::RtuOverTcp => {
            let (host, port) = host_port(place, args.port)?;
            Ok(Endpoint::ModbusRtuOverTcp { host, port })
        }
        Mode::Rtu => serial(place, args).map(Endpoint::ModbusRtu),
        Mode::Ascii => serial(place, args).map(Endpoint::ModbusAscii),
    }
}

fn serial(place: &str, args: &LineArgs) -> Result<SerialEndpoint, Failure> {
    let port = PortPath::new(place).ok_or_else(|| {
        Failure::usage(format!("`{place}` is no serial port"))
            .hint("write its whole path, such as `/dev/ttyUSB0` or one of `/dev/serial/by-id`")
    })?;
    Ok(SerialEndpoint { port, line: settings(args)?, rs485: Rs485::Auto, echo: Echo::Auto })
}

/// The line's settings as they were given, letter by letter.
pub(super) fn settings(args: &LineArgs) -> Result<LineSettings, Failure> {
    let base = args.line.unwrap_or(LINE);
    let parity = match args.parity {
        None => base.parity,
        Some(ParityArg::None) => Parity::None,
        Some(ParityArg::Even) => Parity::Even,
        Some(ParityArg::Odd) => Parity::Odd,
    };
    let asked = LineSettings {
        baud: args.baud.unwrap_or(base.baud),
        data_bits: args.databits.unwrap_or(base.data_bits),
        parity,
        stop_bits: args.stopbits.unwrap_or(base.stop_bits),
    };
    // What cannot be written as one setting cannot be one.
    asked
        .to_string()
        .parse::<LineSettings>()
        .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))
}

fn host_port(place: &str, given: Option<u16>) -> Result<(String, u16), Failure> {
    let place = place.trim_end_matches('/');
    let wrong = || {
        Failure::usage(format!("`{place}` is no host and port"))
            .hint("write `192.168.1.20`, `192.168.1.20:502` or `[fe80::1]:502`")
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.rsplit_once(':') {
            // More than one colon and no brackets: an address alone.
            Some((host, _)) if host.contains(':') => (place, None),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(wrong());
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None => given.unwrap_or(PORT),
    };
    Ok((host.to_owned(), port))
}

impl OpenLine {
    /// Opens an endpoint. If the gateway of this configuration has a bus there, that is taken first.
    pub(super) fn open(
        endpoint: Endpoint,
        config: &Path,
        socket: Option<&Path>,
        talk: &mut Talk,
    ) -> Result<Self, Failure> {
        match owner(&endpoint, config) {
            Some((bus, configured)) => {
                let daemon = Daemon::at(socket.map_or(configured, Path::to_owned));
                if daemon.runs() {
                    return Self::take(daemon, &bus, endpoint, talk);
                }
                Self::start(endpoint, None)
            }
            None => Self::start(endpoint, None),
        }
    }

    /// Opens a bus of the configuration, which is taken from the gateway if it runs.
    pub(super) fn open_bus(
        name: &str,
        config: &Path,
        socket: Option<&Path>,
        talk: &mut Talk,
    ) -> Result<Self, Failure> {
        let loaded = super::load(config, talk)?;
        let buses = &loaded.config.buses;
        let Some(bus) = buses.iter().find(|bus| bus.name == name) else {
            let known: Vec<String> = buses.iter().map(|bus| format!("`{}`", bus.name)).collect();
            return Err(Failure::refused(format!("there is no bus `{name}`")).hint(format!(
                "known are {}; an endpoint is written `tcp://HOST:PORT` or `/dev/PORT`",
                known.join(", ")
            )));
        };
        let daemon = Daemon::at(socket.map_or(loaded.config.socket, Path::to_owned));
        if daemon.runs() {
            return Self::take(daemon, name, bus.endpoint.clone(), talk);
        }
        Self::start(bus.endpoint.clone(), None)
    }

    fn take(
        daemon: Daemon,
        bus: &str,
        endpoint: Endpoint,
        talk: &mut Talk,
    ) -> Result<Self, Failure> {
        let mut lent = Lent { daemon, bus: bus.to_owned(), answers: None };
        lent.take()?;
        talk.say(&format!(
            "bus `{bus}` is taken from the gateway; it polls nothing there until this ends"
        ));
        Self::start(endpoint, Some(lent))
    }

    fn start(endpoint: Endpoint, taken: Option<Lent>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut open = Self { runtime, line: None, endpoint, taken, stop: None, is_stopped: false };
        open.reopen()?;
        Ok(open)
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        let opened = self.runtime.block_on(DirectLine::open(&self.endpoint, OPEN_WITHIN));
        self.line = Some(opened.map_err(|error| cannot_open(&self.endpoint, error))?);
        Ok(())
    }

    /// What is open.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks a unit once.
    pub(super) fn transact(
        &mut self,
        unit: UnitId,
        request: &Request,
        timeout: Millis,
    ) -> Result<Reply, Fault> {
        let Some(line) = &mut self.line else { return Err(Fault::NoLink) };
        let asked = line.transact(unit, request, timeout);
        let Some(stop) = &mut self.stop else { return self.runtime.block_on(asked) };
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = asked => Some(answer),
                () = stop.next() => None,
            }
        });
        answer.unwrap_or_else(|| {
            self.is_stopped = true;
            Err(Fault::LinkLost)
        })
    }

    /// From here on SIGINT and SIGTERM end the question that is open, not this process.
    pub(super) fn catch_stop(&mut self) -> Result<(), Failure> {
        let _inside = self.runtime.enter();
        self.stop = Some(Stop::catch()?);
        Ok(())
    }

    /// Whether such a signal came.
    pub(super) const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Closes the link and keeps the bus, for a link of another kind to the same place.
    pub(super) fn close_link(&mut self) {
        self.line = None;
    }

    /// Goes on with other settings of the line. A port that refuses them is closed, and opened anew
    /// with the next ones.
    pub(super) fn set_line(&mut self, line: LineSettings) -> Result<(), Failure> {
        match &mut self.endpoint {
            Endpoint::ModbusRtu(serial) | Endpoint::ModbusAscii(serial) => serial.line = line,
            Endpoint::ModbusTcp { .. } | Endpoint::ModbusRtuOverTcp { .. } => return Ok(()),
        }
        let Some(open) = &mut self.line else { return self.reopen() };
        let set = open.set_line(line);
        set.map_err(|error| {
            self.line = None;
            cannot_open(&self.endpoint, error)
        })
    }

    /// Gives a bus that was taken back for a moment, since the gateway lends it for ten minutes at
    /// a time only.
    pub(super) fn renew(&mut self) -> Result<(), Failure> {
        if let Some(lent) = &mut self.taken {
            self.line = None;
            lent.take()?;
            self.reopen()?;
        }
        Ok(())
    }
}

impl Lent {
    fn take(&mut self) -> Result<(), Failure> {
        // The old loan ends first: the gateway lends a bus once.
        self.answers = None;
        let mut answers = self.daemon.start(Ask::Take { bus: self.bus.clone() })?;
        answers.next::<Taken>(Some(Daemon::patience()))?.ok_or_else(|| {
            Failure::refused(format!("the gateway does not give bus `{}` away", self.bus))
        })?;
        self.answers = Some(answers);
        Ok(())
    }
}

fn cannot_open(endpoint: &Endpoint, error: OpenError) -> Failure {
    let hint = error.hint();
    Failure::from_error(error).while_doing(format!("cannot open `{endpoint}`")).hint(hint)
}

/// The bus of this configuration that is the same place, and the gateway's socket. A configuration
/// that cannot be read owns nothing: this verb needs none.
fn owner(endpoint: &Endpoint, config: &Path) -> Option<(String, std::path::PathBuf)> {
    let loaded = config::load(config).ok()?;
    let bus = loaded.config.buses.iter().find(|bus| is_same_place(&bus.endpoint, endpoint))?;
    Some((bus.name.clone(), loaded.config.socket.clone()))
}

fn is_same_place(one: &Endpoint, other: &Endpoint) -> bool {
    let host = |endpoint: &Endpoint| match endpoint {
        Endpoint::ModbusTcp { host, port, .. } | Endpoint::ModbusRtuOverTcp { host, port } => {
            Some((host.clone(), *port))
        }
        Endpoint::ModbusRtu(_) | Endpoint::ModbusAscii(_) => None,
    };
    let real = |serial: &SerialEndpoint| {
        let path = serial.port.as_path();
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    };
    match (one.serial(), other.serial()) {
        (Some(one), Some(other)) => real(one) == real(other),
        (None, None) => host(one) == host(other),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_told_from_a_name() {
        let mbpoll = LineArgs { mode: Some(Mode::Tcp), port: Some(1502), ..LineArgs::default() };
        let plain = LineArgs::default();
        for (text, args, expected) in [
            ("main-meter", &plain, None),
            ("tcp://10.0.0.7", &plain, Some("modbus_tcp 10.0.0.7:502")),
            ("tcp://meter.local:5020/", &plain, Some("modbus_tcp meter.local:5020")),
            ("tcp://[fe80::1]:503", &plain, Some("modbus_tcp fe80::1:503")),
            ("rtu+tcp://10.0.0.7:4001", &plain, Some("modbus_rtu_over_tcp 10.0.0.7:4001")),
            ("/dev/ttyUSB0", &plain, Some("modbus_rtu /dev/ttyUSB0 9600-8N1")),
            ("ascii:/dev/ttyS1", &plain, Some("modbus_ascii /dev/ttyS1 9600-8N1")),
            ("rtu:///dev/ttyS1", &plain, Some("modbus_rtu /dev/ttyS1 9600-8N1")),
            ("10.0.0.7", &mbpoll, Some("modbus_tcp 10.0.0.7:1502")),
        ] {
            let found = target(text, args).expect(text);
            let expected = expected.map(str::to_owned);
            let shown = match found {
                Target::Name(_) => None,
                Target::Endpoint(endpoint) => Some(endpoint.to_string()),
            };
            assert_eq!(shown, expected, "{text}");
        }
        for wrong in ["http://10.0.0.7", "tcp://", "tcp://a:b", "rtu://ttyUSB0", "ascii:ttyS1"] {
            assert!(target(wrong, &plain).is_err(), "{wrong}");
        }
    }

    #[test]
    fn line_settings_are_taken_letter_by_letter() {
        let given =
            LineArgs { baud: Some(19_200), parity: Some(ParityArg::Even), ..LineArgs::default() };
        assert_eq!(settings(&given).expect("right").to_string(), "19200-8E1");
        let wrong = LineArgs { databits: Some(9), ..LineArgs::default() };
        assert!(settings(&wrong).is_err());
    }
}
