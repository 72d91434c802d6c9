//! Owner of all simulated devices: answers requests and control lines, one after the other.

use std::collections::BTreeSet;

use fieldgate_modbus::register::{Address, UnitId};
use fieldgate_model::Millis;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::control::{Line, LineError, value_of};
use super::device::Device;
use super::faults::{Fate, Wire};
use super::frame::Framing;
use super::pdu::{self, Wanted};
use crate::clock::Clock;

/// An answer, and what happens to it on its way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) pdu: Vec<u8>,
    pub(super) wire: Wire,
}

/// Something that a connection wants.
#[derive(Debug)]
pub(super) enum Ask {
    Modbus {
        bus: usize,
        framing: Framing,
        unit: UnitId,
        pdu: Vec<u8>,
        /// Nothing means silence.
        done: oneshot::Sender<Option<Answer>>,
    },
    Control {
        line: String,
        done: oneshot::Sender<String>,
    },
}

/// All simulated devices, by bus.
pub(super) struct World {
    pub(super) buses: Vec<Vec<Device>>,
    pub(super) silent_units: BTreeSet<UnitId>,
    pub(super) life: Life,
    pub(super) clock: Clock,
    pub(super) started: Millis,
}

/// When everything falls silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) die_after: Option<Millis>,
    pub(super) revive_after: Option<Millis>,
}

impl Life {
    /// Whether all is silent at this time after the start.
    fn is_over(self, time: Millis) -> bool {
        let Some(death) = self.die_after else { return false };
        let revival = self.revive_after.map(|after| death + after);
        death <= time && revival.is_none_or(|revival| time < revival)
    }
}

impl World {
    /// Answers until nobody can ask any more.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Modbus { bus, framing, unit, pdu, done } => {
                    let time = self.clock.now().since(self.started);
                    // The connection may have ended meanwhile.
                    drop(done.send(self.serve(bus, framing, unit, &pdu, time)));
                }
                Ask::Control { line, done } => {
                    let answer = match self.control(&line) {
                        Ok(answer) => answer,
                        Err(error) => json!({ "error": error.to_string() }),
                    };
                    drop(done.send(answer.to_string()));
                }
            }
        }
    }

    fn serve(
        &mut self,
        bus: usize,
        framing: Framing,
        unit: UnitId,
        request: &[u8],
        time: Millis,
    ) -> Option<Answer> {
        if self.life.is_over(time) || self.silent_units.contains(&unit) {
            return None;
        }
        let is_gateway = framing == Framing::Tcp;
        let devices = &mut self.buses[bus];
        if unit == UnitId(0) && !is_gateway {
            // All obey a broadcast, and none may answer it.
            for device in devices {
                drop(perform(device, request, time));
            }
            return None;
        }
        match devices.iter_mut().find(|device| device.unit == unit) {
            Some(device) => answer(device, framing, request, time),
            // As a gateway does whose line has nobody at this address.
            None if is_gateway => {
                let pdu = pdu::exception(request, pdu::NOBODY_THERE);
                Some(Answer { pdu, wire: Wire::default() })
            }
            None => None,
        }
    }

    fn control(&mut self, line: &str) -> Result<serde_json::Value, LineError> {
        let line: Line = serde_json::from_str(line)?;
        if line.counts {
            return Ok(self.counts());
        }
        let mut devices = self.buses.iter_mut().flatten();
        let name = match (line.device, &line.faults) {
            (Some(name), _) => name,
            (None, Some(faults)) => {
                devices.for_each(|device| device.faults.set(faults.clone()));
                return Ok(json!({ "ok": true }));
            }
            (None, None) => return Err(LineError::Nothing),
        };
        let device = devices.find(|device| device.name == name);
        let device = device.ok_or(LineError::NoDevice(name))?;
        let value = line.value;
        match (line.signal, line.register, line.silent, line.faults) {
            (Some(signal), None, None, None) => {
                let value = value.map(|value| value_of(&value).ok_or(LineError::Value(value)));
                device.pin(&signal, value.transpose()?.as_ref())?;
            }
            (None, Some(register), None, None) => {
                let address = register.parse::<Address>().ok();
                let word = value.and_then(|value| u16::try_from(value.as_u64()?).ok());
                let (Some(address), Some(word)) = (address, word) else {
                    return Err(LineError::Register(register));
                };
                device.pin_words(address.table, address.offset, &[word]);
            }
            (None, None, Some(is_silent), None) => device.is_silent = is_silent,
            (None, None, None, Some(faults)) => device.faults.set(faults),
            (_, _, _, _) => return Err(LineError::Nothing),
        }
        Ok(json!({ "ok": true }))
    }

    fn counts(&self) -> serde_json::Value {
        let count = |device: &Device| {
            let counts = json!({
                "reads": device.reads,
                "requests": device.requests,
                "writes": device.writes,
                "faults": device.faults.counts(),
            });
            (device.name.clone(), counts)
        };
        let counts: serde_json::Map<_, _> = self.buses.iter().flatten().map(count).collect();
        json!({ "counts": counts })
    }
}

/// What a device answers, if anything gets out.
fn answer(device: &mut Device, framing: Framing, request: &[u8], time: Millis) -> Option<Answer> {
    if device.is_silent {
        return None;
    }
    let (reads, requests) = (device.reads, device.requests);
    let (pdu, wire) = match device.faults.draw(framing) {
        Fate::Busy(wire) => (pdu::exception(request, pdu::BUSY), Some(wire)),
        Fate::Dropped => (served(device, request, time), None),
        Fate::Served(wire) => (served(device, request, time), Some(wire)),
    };
    // A read that the asker learns nothing from is none.
    if wire.as_ref().is_none_or(Wire::is_useless) {
        (device.reads, device.requests) = (reads, requests);
    }
    Some(Answer { pdu, wire: wire? })
}

fn served(device: &mut Device, request: &[u8], time: Millis) -> Vec<u8> {
    perform(device, request, time).unwrap_or_else(|code| pdu::exception(request, code))
}

/// Does what a request wants; gives the answer, or the exception code.
fn perform(device: &mut Device, request: &[u8], time: Millis) -> Result<Vec<u8>, u8> {
    let wanted = pdu::wanted(request)?;
    let ranges = wanted.ranges();
    if let Some(code) = ranges.into_iter().find_map(|range| device.faults.refusal(range)) {
        return Err(code);
    }
    let function = request.first().copied().unwrap_or_default();
    match wanted {
        Wanted::Read(read) => Ok(pdu::read_answer(function, &device.read(read, time)?)),
        Wanted::Write(write) => {
            device.write(&write, time)?;
            Ok(pdu::write_answer(request))
        }
        Wanted::ReadWrite { read, write } => {
            device.write(&write, time)?;
            Ok(pdu::read_answer(function, &device.read(read, time)?))
        }
        Wanted::ServerId => Ok(pdu::server_id(&device.profile.id())),
        Wanted::DeviceId { level, object } => pdu::device_id(level, object, &device.identity()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_ends_and_may_go_on() {
        let check = |die, revive, time, expected| {
            let millis = |seconds: Option<u64>| seconds.map(Millis::from_secs);
            let life = Life { die_after: millis(die), revive_after: millis(revive) };
            assert_eq!(life.is_over(Millis::from_secs(time)), expected, "{life:?} at {time} s");
        };
        check(None, Some(1), 100, false);
        check(Some(60), None, 59, false);
        check(Some(60), None, 60, true);
        check(Some(60), None, 6_000, true);
        check(Some(60), Some(10), 69, true);
        check(Some(60), Some(10), 70, false);
    }
}
