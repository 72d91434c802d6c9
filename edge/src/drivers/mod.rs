//! Drivers: one task per bus owns the line, polls its devices and does the jobs it is given.
//!
//! A bus gives [`Frame`]s to the engine and takes [`Job`]s from commands and from the technician.
//! Whoever listens on its [`Tap`] sees every byte that goes over the line.

pub mod coap;
pub mod host;
pub mod modbus;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::plan::HoleMap;
use fieldgate_rules::schedule::Jitter;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use fieldgate_rules::schedule::Class;

pub use self::modbus::direct::DirectLine;
pub use self::modbus::{OpenError, PortError};
pub use self::status::{BusStatus, DeviceStatus, LinkState};

/// Frames that a listener may be behind before it loses the oldest: ten seconds of a serial line. Each
/// bus has the places for them from the start, 40 bytes each, so a thousand would be most of what an
/// idle bus takes.
pub const TAPPED_MAX: usize = 256;

/// Stands for the unit of what has none: the devices of a host are all there or all away.
pub const NO_UNIT: UnitId = UnitId(0);

/// Place of a device in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub usize);

/// One poll of one device: every request of its plan with its answer.
#[derive(Debug)]
pub struct Frame {
    /// Which device.
    pub device: DeviceIndex,
    /// When the last answer arrived.
    pub at: Millis,
    /// In the order of the plan. A request that was not made for want of a link has its cause.
    pub replies: Vec<(ReadRequest, Result<ReadReply, Cause>)>,
    /// What the device has taught about reading it, after each change of it.
    pub learned: Option<HoleMap>,
}

/// Something to do on the bus beside its polls.
#[derive(Debug)]
pub enum Job {
    /// Read now, whatever the poll interval.
    Read {
        /// Whom to ask.
        unit: UnitId,
        /// What to read.
        requests: Vec<ReadRequest>,
        /// What it may go before.
        class: Class,
        /// Where the answers go, in the order of `requests`.
        done: oneshot::Sender<Vec<Result<ReadReply, Cause>>>,
    },
    /// Write, and read back if asked.
    Write {
        /// Whom to tell.
        unit: UnitId,
        /// What to write.
        request: WriteRequest,
        /// What to read afterwards.
        read_back: Option<ReadRequest>,
        /// Monotonic time from which on it must not reach the wire any more.
        deadline: Option<Millis>,
        /// What it may go before.
        class: Class,
        /// Where the result goes.
        done: oneshot::Sender<WriteResult>,
    },
    /// Any one transaction, as soon as a command would be done.
    Transact {
        /// Whom to ask.
        unit: UnitId,
        /// What to ask.
        request: Request,
        /// Where the answer goes.
        done: oneshot::Sender<Result<Reply, Fault>>,
    },
    /// Close the port and poll nothing, so that somebody else may use the line: until `released`
    /// resolves or is dropped, ten minutes at most.
    Take {
        /// Told when the port is closed. If nobody hears it, the bus goes on at once.
        granted: oneshot::Sender<()>,
        /// Ends it.
        released: oneshot::Receiver<()>,
    },
}

/// What became of a [`Job::Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteResult {
    /// Its deadline had passed when its turn came; nothing was written.
    Expired,
    /// The device or the bus said no, or nothing.
    Failed(Cause),
    /// The device acknowledged it.
    Written {
        /// The answer to the read-back, if one was asked for.
        read_back: Option<Result<ReadReply, Cause>>,
    },
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the gateway to the line.
    Sent,
    /// From the line to the gateway.
    Received,
}

/// Bytes as they went over the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// The bus's name in the configuration.
    pub bus: Arc<str>,
    /// When, monotonic.
    pub at: Millis,
    /// Which way.
    pub direction: Direction,
    /// Whom from or to, where one socket serves all.
    pub peer: Option<SocketAddr>,
    /// One request, or what one look at the line brought: a part of an answer or several.
    pub bytes: Vec<u8>,
    /// Microseconds since the bytes before; 0 for the first.
    pub gap_us: u64,
}

/// What listens on a bus. Who lags loses the oldest frames and is told how many.
pub type Tap = broadcast::Receiver<Arc<Tapped>>;

/// Chance for a back-off; nothing but a failure uses it.
fn jitter(outcome: Result<(), Fault>) -> Jitter {
    let mut byte = [u8::MAX / 2];
    if outcome.is_err() && getrandom::fill(&mut byte).is_err() {
        return Jitter(u8::MAX / 2);
    }
    Jitter(byte[0])
}

/// How to reach a running bus.
#[derive(Debug, Clone)]
pub struct BusHandle {
    /// What it is to do.
    pub jobs: mpsc::Sender<Job>,
    /// How it is.
    pub status: watch::Receiver<BusStatus>,
    /// What goes over its line; subscribe to listen.
    pub tap: broadcast::Sender<Arc<Tapped>>,
}
