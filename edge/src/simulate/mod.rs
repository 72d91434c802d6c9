//! `fieldgate simulate`: Modbus and CoAP devices made from profiles, for trying out, rehearsing and tests.
//!
//! Values move, plausibly and the same in each run; writable registers keep what is written. A
//! signal called `reads`, declared on registers of its own, counts the answers served.
//!
//! Requests come in over TCP, RTU over TCP, or RTU and ASCII on a pseudo-terminal that keeps a
//! line's time. Their PDUs are decoded by tokio-modbus and framed by code of this module's own, so
//! that the client it is tried with shares no codec with it.
//!
//! A control connection takes one JSON object a line and answers each with one:
//!
//! ```text
//! {"device": "meter", "signal": "voltage_l1", "value": 260}   hold it there; null lets it go
//! {"device": "pump", "register": "hr:3", "value": 17}         the same for a bare register
//! {"device": "meter", "silent": true}                         hear, and say nothing
//! {"device": "meter", "faults": {"drop": "5%", "late": "300ms@10%", "exceptions": ["2@hr:7"]}}
//! {"faults": {}}                                              all devices are faultless again
//! {"counts": true}                     answers, writes and faults so far, by device
//! ```
//!
//! # Invariants
//!
//! - Any bytes are answered, refused or ignored: none ends the simulator.

mod chance;
mod coap;
mod connection;
mod control;
mod device;
mod faults;
mod frame;
mod options;
mod pdu;
mod pty;
mod uart;
mod wave;
mod world;

use std::io;
use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::chance::{Share, ShareError};
pub use self::coap::{CoapDevice, CoapOptions};
use self::connection::{Medium, Port};
use self::device::Device;
pub use self::faults::{FaultError, FaultOptions, Late, Refused};
use self::frame::Framing;
pub use self::options::{
    Door, SimulateError, SimulateOptions, SimulatedBus, SimulatedDevice, SimulatedLine,
};
use self::pty::Pty;
use self::world::{Life, World};
use crate::clock::Clock;

/// Requests that wait for the devices' one owner; a connection that finds it full waits.
const ASKS_MAX: usize = 64;
/// Connections to one address at a time, more than any real gateway takes; further ones are closed.
const CONNECTIONS_MAX: usize = 256;

/// Simulated devices that listen, but do not answer before [`Simulator::run`].
pub struct Simulator {
    world: World,
    entrances: Vec<Entrance>,
    control: Option<(TcpListener, SocketAddr)>,
}

/// An open [`Door`].
struct Entrance {
    bus: usize,
    framing: Framing,
    way: Way,
}

enum Way {
    Stream(TcpListener, SocketAddr),
    Line(Pty),
}

impl Simulator {
    /// Starts to listen, and makes the serial lines.
    pub async fn bind(options: SimulateOptions) -> Result<Self, SimulateError> {
        let SimulateOptions { faults, seed, die_after, revive_after, silent_units, .. } = options;
        let mut entrances = Vec::new();
        let mut buses = Vec::new();
        for (bus, SimulatedBus { doors, devices }) in options.buses.into_iter().enumerate() {
            for door in doors {
                let (framing, way) = open(door).await?;
                entrances.push(Entrance { bus, framing, way });
            }
            let device = |device| Device::new(device, faults.clone(), seed);
            buses.push(devices.into_iter().map(device).collect());
        }
        let control = match options.control {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let life = Life { die_after, revive_after };
        let world = World { buses, silent_units, life, clock: Clock, started: Clock.now() };
        Ok(Self { world, entrances, control })
    }

    /// Where each TCP door listens, in the order of the options.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |entrance: &Entrance| match &entrance.way {
            Way::Stream(_, address) => Some(*address),
            Way::Line(_) => None,
        };
        self.entrances.iter().filter_map(address).collect()
    }

    /// Each way to the devices, in the order of the options: the key that a configuration has for
    /// it (`modbus_tcp`…), and the address or path.
    pub fn ports(&self) -> Vec<(&'static str, String)> {
        self.entrances.iter().map(|entrance| (entrance.transport(), entrance.port())).collect()
    }

    /// Where control connections are accepted.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|(_, address)| *address)
    }

    /// What is served where, as one line of JSON: `{"devices": [{"device", "profile", "unit",
    /// "transport", "port", "line"}…], "control": …}`. The transport is named as in a
    /// configuration, and is once more the key of the port.
    pub fn announcement(&self) -> String {
        let control = self.control_address().map(|address| address.to_string());
        let devices: Vec<_> = self.entrances.iter().flat_map(|way| self.listing(way)).collect();
        json!({ "devices": devices, "control": control }).to_string()
    }

    fn listing(&self, entrance: &Entrance) -> impl Iterator<Item = serde_json::Value> {
        let (transport, port) = (entrance.transport(), entrance.port());
        let line = match &entrance.way {
            Way::Stream(..) => None,
            Way::Line(pty) => Some(pty.line().to_string()),
        };
        self.world.buses[entrance.bus].iter().map(move |device| {
            json!({
                "device": device.name,
                "profile": device.profile.id(),
                "unit": device.unit.0,
                "transport": transport,
                "port": port,
                "line": line,
                transport: port,
            })
        })
    }

    /// Answers until something fails; dropping the future ends it.
    pub async fn run(self) -> Result<(), SimulateError> {
        let (asks, source) = mpsc::channel(ASKS_MAX);
        let mut tasks = JoinSet::new();
        for Entrance { bus, framing, way } in self.entrances {
            let port = Port { bus, framing, asks: asks.clone() };
            match way {
                Way::Stream(listener, address) => tasks.spawn(accept(listener, address, port)),
                Way::Line(pty) => tasks.spawn(serve_line(pty, port)),
            };
        }
        if let Some((listener, address)) = self.control {
            tasks.spawn(control::accept(listener, address, asks));
        }
        tokio::select! {
            () = self.world.run(source) => Ok(()),
            Some(ended) = tasks.join_next() => ended.unwrap_or(Ok(())),
        }
    }
}

impl Entrance {
    fn transport(&self) -> &'static str {
        match (&self.way, self.framing) {
            (Way::Stream(..), Framing::Tcp) => "modbus_tcp",
            (Way::Stream(..), Framing::Rtu | Framing::Ascii) => "modbus_rtu_over_tcp",
            (Way::Line(_), Framing::Ascii) => "modbus_ascii",
            (Way::Line(_), Framing::Rtu | Framing::Tcp) => "modbus_rtu",
        }
    }

    fn port(&self) -> String {
        match &self.way {
            Way::Stream(_, address) => address.to_string(),
            Way::Line(pty) => pty.path().display().to_string(),
        }
    }
}

async fn open(door: Door) -> Result<(Framing, Way), SimulateError> {
    let (framing, line) = match door {
        Door::Tcp(address) | Door::RtuOverTcp(address) => {
            let is_tcp = matches!(door, Door::Tcp(_));
            let (listener, address) = listen(address).await?;
            let framing = if is_tcp { Framing::Tcp } else { Framing::Rtu };
            return Ok((framing, Way::Stream(listener, address)));
        }
        Door::Rtu(line) => (Framing::Rtu, line),
        Door::Ascii(line) => (Framing::Ascii, line),
    };
    let SimulatedLine { line, is_echoing, link } = line;
    let pty = Pty::open(line, is_echoing, link.clone());
    let pty = pty.map_err(|source| SimulateError::Line { link, source })?;
    Ok((framing, Way::Line(pty)))
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulateError> {
    let failed = |source| SimulateError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    port: Port,
) -> Result<(), SimulateError> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| SimulateError::Accept { address, source })?;
        while connections.try_join_next().is_some() {}
        // An answer is one small segment.
        if connections.len() < CONNECTIONS_MAX && stream.set_nodelay(true).is_ok() {
            let port = port.clone();
            connections.spawn(async move {
                let ended = connection::serve(Medium::Stream(stream), port).await;
                log_end(ended);
            });
        }
    }
}

fn log_end(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn serve_line(pty: Pty, port: Port) -> Result<(), SimulateError> {
    let path = pty.path().to_path_buf();
    let served = connection::serve(Medium::Line(pty), port).await;
    served.map_err(|source| SimulateError::Serve { path, source })
}
