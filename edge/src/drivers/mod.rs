//! Drivers: one task per bus owns the line, polls its devices and does the jobs it is given.
//!
//! A bus gives [`Frame`]s to the engine and takes [`Job`]s from commands and from the technician.

pub mod modbus_tcp;

use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId, WriteRequest};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::plan::HoleMap;
use tokio::sync::oneshot;

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

/// Something to do on the bus between two polls; it goes before any poll that is due.
#[derive(Debug)]
pub enum Job {
    /// Read now, whatever the poll interval.
    Read {
        /// Whom to ask.
        unit: UnitId,
        /// What to read.
        requests: Vec<ReadRequest>,
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
        /// Where the result goes.
        done: oneshot::Sender<WriteResult>,
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
