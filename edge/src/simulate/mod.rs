//! `fieldgate simulate`: Modbus TCP devices made from profiles, for trying out and for tests.
//!
//! Values move, plausibly and the same in each run; writable registers keep what is written. A
//! signal called `reads`, declared on registers of its own, counts the answers served.
//!
//! A control connection takes one JSON object a line and answers each with one:
//!
//! ```text
//! {"device": "meter", "signal": "voltage_l1", "value": 260}   hold it there; null lets it go
//! {"device": "pump", "register": "hr:3", "value": 17}         the same for a bare register
//! {"device": "meter", "silent": true}                         hear, and say nothing
//! {"counts": true}                                            answers and writes served, by device
//! ```

mod device;
mod wave;
mod world;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use fieldgate_modbus::register::UnitId;
use fieldgate_rules::profile::Profile;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, SlaveRequest};

use self::device::Device;
use self::world::{Ask, Served, World};
use crate::clock::Clock;

/// Requests that wait for the devices' one owner; a connection that finds it full waits.
const ASKS_MAX: usize = 64;
/// Longest control line in bytes; the longest that makes sense has about 200.
const CONTROL_LINE_MAX: u64 = 4_096;
/// Control connections at a time: a person and a test or two; further ones are closed.
const CONTROL_CONNECTIONS_MAX: usize = 8;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// What listens where.
    pub buses: Vec<SimulatedBus>,
    /// Where control connections are accepted, port 0 for any; `None` for nowhere.
    pub control: Option<SocketAddr>,
}

/// Devices behind one address.
#[derive(Debug, Clone)]
pub struct SimulatedBus {
    /// Where to listen, port 0 for any.
    pub listen: SocketAddr,
    /// Its devices; unit ids differ.
    pub devices: Vec<SimulatedDevice>,
}

/// One simulated device.
#[derive(Debug, Clone)]
pub struct SimulatedDevice {
    /// What control connections call it; unique among all.
    pub name: String,
    /// Its unit id; any other is answered with exception 11.
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
}

/// Simulated devices that listen, but do not answer before [`Simulator::run`].
pub struct Simulator {
    world: World,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    control: Option<(TcpListener, SocketAddr)>,
}

impl SimulatedBus {
    /// One device of each profile, with unit ids from 1, named like its profile; `name-2` and so
    /// on where a profile comes again.
    pub fn of_profiles(listen: SocketAddr, profiles: &[Arc<Profile>]) -> Self {
        let device = |(place, profile): (usize, &Arc<Profile>)| {
            let before = profiles.iter().take(place);
            let nth = 1 + before.filter(|other| other.name == profile.name).count();
            let name = match nth {
                1 => profile.name.clone(),
                nth => format!("{}-{nth}", profile.name),
            };
            let unit = UnitId(u8::try_from(place + 1).unwrap_or(u8::MAX));
            SimulatedDevice { name, unit, profile: Arc::clone(profile) }
        };
        Self { listen, devices: profiles.iter().enumerate().map(device).collect() }
    }
}

impl Simulator {
    /// Starts to listen.
    pub async fn bind(options: SimulateOptions) -> Result<Self, SimulateError> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        let mut buses = Vec::new();
        for bus in options.buses {
            let (listener, address) = listen(bus.listen).await?;
            listeners.push(listener);
            addresses.push(address);
            let device =
                |device: SimulatedDevice| Device::new(device.name, device.unit, device.profile);
            buses.push(bus.devices.into_iter().map(device).collect());
        }
        let control = match options.control {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let world = World { buses, clock: Clock, started: Clock.now() };
        Ok(Self { world, listeners, addresses, control })
    }

    /// Where each bus listens, in the order of the options.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where control connections are accepted.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|(_, address)| *address)
    }

    /// What listens where, as one line of JSON: `{"devices": [{"device", "profile",
    /// "modbus_tcp", "unit"}…], "control": …}`.
    pub fn announcement(&self) -> String {
        let control = self.control_address().map(|address| address.to_string());
        let devices = self.world.listing(&self.addresses);
        serde_json::json!({ "devices": devices, "control": control }).to_string()
    }

    /// Answers until something fails; dropping the future ends it.
    pub async fn run(self) -> Result<(), SimulateError> {
        let (asks, source) = mpsc::channel(ASKS_MAX);
        let mut tasks = JoinSet::new();
        for (bus, (listener, address)) in self.listeners.into_iter().zip(self.addresses).enumerate()
        {
            tasks.spawn(serve(listener, address, Port { bus, asks: asks.clone() }));
        }
        if let Some((listener, address)) = self.control {
            tasks.spawn(accept_control(listener, address, asks));
        }
        tokio::select! {
            () = self.world.run(source) => Ok(()),
            Some(ended) = tasks.join_next() => ended.unwrap_or(Ok(())),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulateError> {
    let failed = |source| SimulateError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The way from one listening port to the devices behind it.
#[derive(Clone)]
struct Port {
    bus: usize,
    asks: mpsc::Sender<Ask>,
}

impl Service for Port {
    type Request = SlaveRequest<'static>;
    type Response = Option<tokio_modbus::Response>;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Served> + Send>>;

    fn call(&self, SlaveRequest { slave, request }: Self::Request) -> Self::Future {
        let Self { bus, asks } = self.clone();
        Box::pin(async move {
            let (done, served) = oneshot::channel();
            let ask = Ask::Modbus { bus, unit: UnitId(slave), request, done };
            // Without the devices' owner everything is about to end.
            if asks.send(ask).await.is_err() {
                return Ok(None);
            }
            served.await.unwrap_or(Ok(None))
        })
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    port: Port,
) -> Result<(), SimulateError> {
    let on_connected = |stream: TcpStream, _peer| {
        let port = port.clone();
        async move {
            // An answer is one small segment.
            Ok(stream.set_nodelay(true).is_ok().then_some((port, stream)))
        }
    };
    let on_error = |error: io::Error| tracing::debug!(%error, "connection ended");
    let served = Server::new(listener).serve(&on_connected, on_error).await;
    served.map_err(|source| SimulateError::Accept { address, source })
}

async fn accept_control(
    listener: TcpListener,
    address: SocketAddr,
    asks: mpsc::Sender<Ask>,
) -> Result<(), SimulateError> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| SimulateError::Accept { address, source })?;
        while connections.try_join_next().is_some() {}
        if connections.len() < CONTROL_CONNECTIONS_MAX {
            connections.spawn(control(stream, asks.clone()));
        }
    }
}

/// Serves one control connection until either side has had enough.
async fn control(mut stream: TcpStream, asks: mpsc::Sender<Ask>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let length = (&mut reader).take(CONTROL_LINE_MAX).read_line(&mut line).await?;
        if length == 0 || !line.ends_with('\n') {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        if asks.send(Ask::Control { line, done }).await.is_err() {
            return Ok(());
        }
        let Ok(answer) = answer.await else { return Ok(()) };
        writer.write_all(answer.as_bytes()).await?;
        writer.write_all(b"\n").await?;
    }
}
