//! Owner of all simulated devices: answers requests and control lines, one after the other.

use std::net::SocketAddr;

use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_model::{Millis, Value};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_modbus::{ExceptionCode, Request, Response};

use super::device::{Device, PinError, Refusal};
use crate::clock::Clock;

/// What a server gives back: nothing means silence.
pub(super) type Served = Result<Option<Response>, ExceptionCode>;

/// Something that a connection wants.
pub(super) enum Ask {
    Modbus { bus: usize, unit: UnitId, request: Request<'static>, done: oneshot::Sender<Served> },
    Control { line: String, done: oneshot::Sender<String> },
}

/// All simulated devices, by bus.
pub(super) struct World {
    pub(super) buses: Vec<Vec<Device>>,
    pub(super) clock: Clock,
    pub(super) started: Millis,
}

/// One line of a control connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    counts: bool,
    device: Option<String>,
    signal: Option<String>,
    register: Option<String>,
    /// Absent or null lets a signal move again.
    value: Option<serde_json::Value>,
    silent: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("no device `{0}`")]
    NoDevice(String),
    #[error("`{0}` is not a value")]
    Value(serde_json::Value),
    #[error("`{0}` is not a register, or its value not a word")]
    Register(String),
    #[error("nothing asked: give `counts`, or `device` with `signal`, `register` or `silent`")]
    Nothing,
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl World {
    /// Answers until nobody can ask any more.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Modbus { bus, unit, request, done } => {
                    let time = self.clock.now().since(self.started);
                    // The connection may have ended meanwhile.
                    drop(done.send(self.serve(bus, unit, &request, time)));
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

    fn serve(&mut self, bus: usize, unit: UnitId, request: &Request<'_>, time: Millis) -> Served {
        let device = self.buses[bus].iter_mut().find(|device| device.unit == unit);
        // As a gateway does whose serial line has nobody at this address.
        let device = device.ok_or(ExceptionCode::GatewayTargetDevice)?;
        if device.is_silent {
            return Ok(None);
        }
        let asked = wanted(request).ok_or(ExceptionCode::IllegalFunction)?;
        let response = match asked {
            Wanted::Read(read) => match (read.table, device.read(read, time)?) {
                (Table::Coil, ReadReply::Bits(bits)) => Response::ReadCoils(bits),
                (Table::DiscreteInput, ReadReply::Bits(bits)) => Response::ReadDiscreteInputs(bits),
                (Table::InputRegister, ReadReply::Registers(words)) => {
                    Response::ReadInputRegisters(words)
                }
                (Table::HoldingRegister, ReadReply::Registers(words)) => {
                    Response::ReadHoldingRegisters(words)
                }
                (_, ReadReply::Bits(_) | ReadReply::Registers(_)) => {
                    return Err(ExceptionCode::ServerDeviceFailure);
                }
            },
            Wanted::Write(write) => {
                device.write(&write, time)?;
                match write {
                    WriteRequest::Coil { offset, on } => Response::WriteSingleCoil(offset, on),
                    WriteRequest::Register { offset, word } => {
                        Response::WriteSingleRegister(offset, word)
                    }
                    WriteRequest::Coils { start, states } => {
                        Response::WriteMultipleCoils(start, length(states.len()))
                    }
                    WriteRequest::Registers { start, words } => {
                        Response::WriteMultipleRegisters(start, length(words.len()))
                    }
                    WriteRequest::MaskRegister { offset, and, or } => {
                        Response::MaskWriteRegister(offset, and, or)
                    }
                }
            }
        };
        Ok(Some(response))
    }

    fn control(&mut self, line: &str) -> Result<serde_json::Value, LineError> {
        let line: Line = serde_json::from_str(line)?;
        if line.counts {
            return Ok(self.counts());
        }
        let name = line.device.ok_or(LineError::Nothing)?;
        let mut devices = self.buses.iter_mut().flatten();
        let device = devices.find(|device| device.name == name);
        let device = device.ok_or(LineError::NoDevice(name))?;
        let value = line.value;
        match (line.signal, line.register, line.silent) {
            (Some(signal), None, None) => {
                let value = value.map(|value| value_of(&value).ok_or(LineError::Value(value)));
                device.pin(&signal, value.transpose()?.as_ref())?;
            }
            (None, Some(register), None) => {
                let address = register.parse::<Address>().ok();
                let word = value.and_then(|value| u16::try_from(value.as_u64()?).ok());
                let (Some(address), Some(word)) = (address, word) else {
                    return Err(LineError::Register(register));
                };
                device.pin_words(address.table, address.offset, &[word]);
            }
            (None, None, Some(is_silent)) => device.is_silent = is_silent,
            (_, _, _) => return Err(LineError::Nothing),
        }
        Ok(json!({ "ok": true }))
    }

    fn counts(&self) -> serde_json::Value {
        let count = |device: &Device| {
            let counts = json!({
                "reads": device.reads,
                "requests": device.requests,
                "writes": device.writes,
            });
            (device.name.clone(), counts)
        };
        let counts: serde_json::Map<_, _> = self.buses.iter().flatten().map(count).collect();
        json!({ "counts": counts })
    }

    /// What is served where, for whoever is to connect.
    pub(super) fn listing(&self, addresses: &[SocketAddr]) -> serde_json::Value {
        let buses = self.buses.iter().zip(addresses);
        let devices = buses.flat_map(|(devices, address)| {
            devices.iter().map(move |device| {
                json!({
                    "device": device.name,
                    "profile": device.profile.id(),
                    "modbus_tcp": address.to_string(),
                    "unit": device.unit.0,
                })
            })
        });
        devices.collect()
    }
}

/// What a request wants of a device.
enum Wanted {
    Read(ReadRequest),
    Write(WriteRequest),
}

/// `None` for the functions that no profile uses.
fn wanted(request: &Request<'_>) -> Option<Wanted> {
    let read = |table, start: &u16, count: &u16| {
        Some(Wanted::Read(ReadRequest { table, start: *start, count: *count }))
    };
    match request {
        Request::ReadCoils(start, count) => read(Table::Coil, start, count),
        Request::ReadDiscreteInputs(start, count) => read(Table::DiscreteInput, start, count),
        Request::ReadInputRegisters(start, count) => read(Table::InputRegister, start, count),
        Request::ReadHoldingRegisters(start, count) => read(Table::HoldingRegister, start, count),
        Request::WriteSingleCoil(offset, on) => {
            Some(Wanted::Write(WriteRequest::Coil { offset: *offset, on: *on }))
        }
        Request::WriteSingleRegister(offset, word) => {
            Some(Wanted::Write(WriteRequest::Register { offset: *offset, word: *word }))
        }
        Request::WriteMultipleCoils(start, states) => {
            Some(Wanted::Write(WriteRequest::Coils { start: *start, states: states.to_vec() }))
        }
        Request::WriteMultipleRegisters(start, words) => {
            Some(Wanted::Write(WriteRequest::Registers { start: *start, words: words.to_vec() }))
        }
        Request::MaskWriteRegister(offset, and, or) => {
            let (offset, and, or) = (*offset, *and, *or);
            Some(Wanted::Write(WriteRequest::MaskRegister { offset, and, or }))
        }
        Request::ReportServerId
        | Request::ReadWriteMultipleRegisters(..)
        | Request::ReadDeviceIdentification(..)
        | Request::Custom(..) => None,
    }
}

/// A frame holds fewer than 2,000 items.
fn length(items: usize) -> u16 {
    u16::try_from(items).unwrap_or(u16::MAX)
}

fn value_of(value: &serde_json::Value) -> Option<Value> {
    if let Some(on) = value.as_bool() {
        return Some(Value::Bool(on));
    }
    if let Some(text) = value.as_str() {
        return Some(Value::Text(text.to_owned()));
    }
    let unsigned = value.as_u64().map(Value::Unsigned);
    unsigned.or(value.as_i64().map(Value::Int)).or(value.as_f64().map(Value::Float64))
}

impl From<Refusal> for ExceptionCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Address => Self::IllegalDataAddress,
            Refusal::Value => Self::IllegalDataValue,
        }
    }
}
