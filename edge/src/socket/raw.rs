//! Registers and coils as they are: one transaction on the live bus.

use std::time::Duration;

use fieldgate_modbus::exception::Exception;
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::live::{RawItems, RawRead};
use super::message::Refusal;
use super::read::device;
use crate::config::DeviceConfig;
use crate::drivers::Job;
use crate::handles::Handles;

/// How long a reading may take, its wait on the bus included: the longest timeout that a bus can
/// have, and a little.
const PATIENCE: Duration = Duration::from_secs(65);

/// Reads what lies at `address` of a device.
pub(super) async fn raw(handles: &Handles, name: &str, address: &str) -> Result<RawRead, Refusal> {
    let device = device(handles, name)?;
    let unit = on_bus(device)?.1;
    let read: ReadRequest =
        address.parse().map_err(|error: fieldgate_modbus::register::AddressError| {
            Refusal::new(error.to_string()).hint(error.hint())
        })?;
    let items = match ask(handles, device, read).await? {
        Ok(ReadReply::Registers(words)) => RawItems::Words(words),
        Ok(ReadReply::Bits(states)) => RawItems::Bits(states),
        Err(Fault::Exception(code)) => RawItems::Exception(code),
        Err(fault) => return Err(Refusal::new(fault_text(fault, unit.0))),
    };
    let at = Address { table: read.table, offset: read.start };
    Ok(RawRead { device: name.to_owned(), unit: unit.0, address: at.to_string(), items })
}

/// The bus of a device and its unit there, or that it has none.
pub(super) fn on_bus(device: &DeviceConfig) -> Result<(usize, UnitId), Refusal> {
    device.place.bus().ok_or_else(|| {
        Refusal::new(format!("device `{}` has resources, and no registers", device.name))
            .hint(format!("`fieldgate read {}` reads its signals", device.name))
    })
}

/// One read of a device over its bus, or why it has no turn there.
pub(super) async fn ask(
    handles: &Handles,
    device: &DeviceConfig,
    read: ReadRequest,
) -> Result<Result<ReadReply, Fault>, Refusal> {
    let stopped = || Refusal::new("the bus has stopped");
    let (bus, unit) = on_bus(device)?;
    let bus = handles.buses.get(bus).ok_or_else(stopped)?;
    let (done, answer) = oneshot::channel();
    let job = Job::Transact { unit, request: Request::Read(read), done };
    let asked = async {
        bus.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    };
    let answer = timeout(PATIENCE, asked).await.map_err(|_| {
        Refusal::new("its turn on the bus did not come in time")
            .hint("`fieldgate status` shows why")
    })??;
    Ok(answer.and_then(|reply| match reply {
        Reply::Read(reply) => Ok(reply),
        Reply::Written | Reply::ServerId(_) | Reply::DeviceId(_) => Err(Fault::Malformed),
    }))
}

/// A fault in words.
pub(crate) fn fault_text(fault: Fault, unit: u8) -> String {
    match fault {
        Fault::NoAnswer => format!("unit {unit} does not answer"),
        Fault::NoLink => "the line cannot be opened".to_owned(),
        Fault::LinkLost => format!("the link broke before unit {unit} answered"),
        Fault::Checksum => format!("what came from unit {unit} has a wrong checksum"),
        Fault::Malformed => format!("the answer of unit {unit} breaks the protocol"),
        Fault::Exception(code) => {
            let name = Exception::from_code(code).name();
            format!("unit {unit} refuses with exception {code}, {name}")
        }
    }
}
