//! A `SunSpec` device asked on an open line for the models that it has.

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_rules::sunspec::{
    Discovery, DiscoveryEffect, DiscoveryError, Ending, Found, FoundModel,
};

use super::failure::Failure;
use crate::socket::fault_text;

/// Walks over the models; `ask` sends one request and waits for its answer.
pub(super) fn discover(
    mut ask: impl FnMut(&Request) -> Result<Reply, Fault>,
) -> Result<Found, DiscoveryError> {
    let mut discovery = Discovery::resume();
    while let Some(effect) = discovery.poll_effect() {
        match effect {
            DiscoveryEffect::Read(request) => {
                let words = registers(&mut ask, request);
                discovery.handle_answer(words.map(ReadReply::Registers));
            }
            DiscoveryEffect::Done(found) => return found,
        }
    }
    // It has an effect until it is done.
    Err(DiscoveryError::NotSunSpec)
}

/// The registers of every model, in the order of the models.
pub(super) fn contents(
    found: &Found,
    unit: UnitId,
    mut ask: impl FnMut(&Request) -> Result<Reply, Fault>,
) -> Result<Vec<Vec<u16>>, Failure> {
    let model = |model: &FoundModel| {
        let mut all = Vec::new();
        for request in model.reads() {
            all.extend(registers(&mut ask, request).map_err(|fault| {
                let (id, start) = (model.id, model.start);
                Failure::refused(fault_text(fault, unit.0))
                    .while_doing(format!("cannot read model {id} at hr:{start}"))
            })?);
        }
        Ok(all)
    };
    found.models.iter().map(model).collect()
}

/// What ended a walk that did not come to its end, in words.
pub(super) fn broken_off(ending: &Ending, unit: UnitId) -> Option<String> {
    match ending {
        Ending::Marked => None,
        Ending::BrokenOff(at, fault) => Some(format!("{} at hr:{at}", fault_text(*fault, unit.0))),
        Ending::BeyondTable => Some("the next model would lie behind address 65535".to_owned()),
        Ending::TooMany => Some("there are more models than any device has".to_owned()),
    }
}

fn registers(
    ask: &mut impl FnMut(&Request) -> Result<Reply, Fault>,
    request: ReadRequest,
) -> Result<Vec<u16>, Fault> {
    match ask(&Request::Read(request))? {
        Reply::Read(ReadReply::Registers(words)) => Ok(words),
        Reply::Read(ReadReply::Bits(_))
        | Reply::Written
        | Reply::ServerId(_)
        | Reply::DeviceId(_) => Err(Fault::Malformed),
    }
}
