//! A technician's write: on the same path as the cloud's, and recorded with who it was.

use fieldgate_modbus::frame::{Framing, encode};
use fieldgate_modbus::pdu::encode_request;
use fieldgate_modbus::register::{Address, Table, WriteRequest};
use fieldgate_modbus::request::Request;
use fieldgate_model::{Event, EventRecord, Millis, Value, ValueKind};
use fieldgate_rules::signal::SignalSpec;

use super::live::FramingName;
use super::message::{Refusal, WriteAsk, WriteDone};
use super::read;
use super::trace::framing;
use super::value::{json, spaced};
use crate::command::{self, Sent, Wanted, WriteError};
use crate::config::{DeviceConfig, Place};
use crate::drivers::host::HostWrite;
use crate::handles::Handles;

/// From when on a write must not reach the wire any more: a person who waits longer has turned to
/// something else.
const WRITE_WITHIN: Millis = Millis::from_secs(30);

/// Writes a signal for the user `uid`.
pub(super) async fn write(
    handles: &Handles,
    ask: WriteAsk,
    uid: u32,
) -> Result<WriteDone, Refusal> {
    let device = read::device(handles, &ask.device)?;
    let (signal, spec) = read::signal(device, &ask.signal)?;
    let value = value(&ask.value, spec)?;
    let wanted = Wanted {
        device: &device.name,
        signal: &signal,
        value: &value,
        verify: ask.verify,
        dry_run: ask.dry_run,
        deadline: Some(handles.clock.now() + WRITE_WITHIN),
    };
    let result = command::write(&handles.targets, wanted).await;
    let is_tried = !ask.dry_run
        && match &result {
            Ok(_) => true,
            Err(error) => has_left(error),
        };
    if is_tried {
        let target = format!("{}/{signal}", device.name);
        let done = result.is_ok();
        tracing::info!(uid, target, value = %value, done, "a technician wrote");
        let event = Event::LocalWrite { uid, target, value: value.to_string(), done };
        handles.engine.record(EventRecord { at: handles.clock.now(), event }).await;
    }
    let written = result.map_err(|error| refusal(&error))?;
    Ok(WriteDone {
        device: ask.device,
        signal: ask.signal,
        value: json(&value),
        unit: spec.unit.clone(),
        request: match &written.request {
            Sent::Registers(request) => describe(request),
            Sent::Resource(write) => describe_resource(write),
        },
        frame: frame(handles, device, &written.request),
        done: !ask.dry_run,
        read_back: written.read_back.as_ref().map(json),
    })
}

/// The request as its bytes go over the wire, in hex. The transaction id of Modbus TCP counts up, so
/// another one stands there then.
fn frame(handles: &Handles, device: &DeviceConfig, request: &Sent) -> String {
    let (request, bus, unit) = match (request, device.place) {
        (Sent::Registers(request), Place::Bus { bus, unit }) => (request, bus, unit),
        // Message id and token count up, and the payload is what matters.
        (Sent::Resource(write), _) => return spaced(&write.payload),
        (Sent::Registers(_), Place::Host { .. }) => return String::new(),
    };
    let Some(bus) = handles.config.buses.get(bus) else { return String::new() };
    let framing = match framing(&bus.endpoint) {
        FramingName::Tcp => Framing::Tcp,
        FramingName::Rtu => Framing::Rtu,
        // No bus has it.
        FramingName::Coap => return String::new(),
        FramingName::Ascii => Framing::Ascii,
    };
    let request = Request::Write(request.clone());
    let mut bytes = Vec::new();
    let encoded = encode(framing, 1, unit, &mut bytes, |pdu| encode_request(&request, pdu));
    // What the protocol cannot carry was refused before.
    if encoded.is_ok() { spaced(&bytes) } else { String::new() }
}

/// Whether anything can have reached the device.
fn has_left(error: &WriteError) -> bool {
    match error {
        WriteError::Device(_) | WriteError::Mismatch { .. } | WriteError::Stopped => true,
        WriteError::NoDevice { .. }
        | WriteError::NoSignal { .. }
        | WriteError::Encode(_)
        | WriteError::Unread(_)
        | WriteError::Expired => false,
    }
}

fn refusal(error: &WriteError) -> Refusal {
    let cause = std::error::Error::source(error).map(crate::telemetry::chain);
    let refusal = Refusal { cause, ..Refusal::new(error.to_string()) };
    match error {
        WriteError::Device(_) | WriteError::Stopped => {
            refusal.hint("whether it took effect is not known: read it")
        }
        WriteError::Mismatch { .. } => {
            refusal.hint("the device may limit it, or need some time; `--no-verify` does not look")
        }
        WriteError::Expired => refusal.hint("nothing was written; the bus is busy or down"),
        WriteError::Unread(_) => refusal.hint("nothing was written"),
        WriteError::NoDevice { .. } | WriteError::NoSignal { .. } | WriteError::Encode(_) => {
            refusal
        }
    }
}

/// What was typed, as a value of the signal's kind. Whether it fits is decided where it is encoded.
fn value(text: &str, spec: &SignalSpec) -> Result<Value, Refusal> {
    let text = text.trim();
    if spec.texts.values().any(|word| word == text) {
        return Ok(Value::Text(text.to_owned()));
    }
    match spec.kind() {
        ValueKind::Text => Ok(Value::Text(text.to_owned())),
        ValueKind::Bool => {
            match text {
                "1" | "on" | "true" => Ok(Value::Bool(true)),
                "0" | "off" | "false" => Ok(Value::Bool(false)),
                _ => Err(Refusal::new(format!("`{text}` is neither on nor off"))
                    .hint("write `on` or `off`")),
            }
        }
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => {
            let integer =
                text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Unsigned));
            let float = || text.parse().ok().filter(|float: &f64| float.is_finite());
            integer.ok().or_else(|| float().map(Value::Float64)).ok_or_else(|| {
                Refusal::new(format!("`{text}` is not a number"))
                    .hint("write it with a point, such as `21.5`")
            })
        }
    }
}

/// The same of a resource: `PUT /led text "1"`.
fn describe_resource(write: &HostWrite) -> String {
    let HostWrite { method, path, query, format, payload } = write;
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let payload = match str::from_utf8(payload) {
        Ok(text) => text.to_owned(),
        Err(_) => spaced(payload),
    };
    format!("{method} /{}{query} {format} = {payload}", path.join("/"))
}

/// A request for people who compare it with a manual.
fn describe(request: &WriteRequest) -> String {
    let place = |table, offset| Address { table, offset };
    let words = |words: &[u16]| {
        let words: Vec<String> = words.iter().map(|word| format!("0x{word:04X}")).collect();
        words.join(" ")
    };
    match request {
        WriteRequest::Coil { offset, on } => {
            format!("FC 5 {} = {}", place(Table::Coil, *offset), u8::from(*on))
        }
        WriteRequest::Register { offset, word } => {
            format!("FC 6 {} = {}", place(Table::HoldingRegister, *offset), words(&[*word]))
        }
        WriteRequest::Coils { start, states } => {
            let states: String = states.iter().map(|on| if *on { '1' } else { '0' }).collect();
            format!("FC 15 {} = {states}", place(Table::Coil, *start))
        }
        WriteRequest::Registers { start, words: values } => {
            format!("FC 16 {} = {}", place(Table::HoldingRegister, *start), words(values))
        }
        WriteRequest::MaskRegister { offset, and, or } => {
            let at = place(Table::HoldingRegister, *offset);
            format!("FC 22 {at} and {} or {}", words(&[*and]), words(&[*or]))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fieldgate_model::SignalName;
    use fieldgate_rules::signal::SignalSource;

    use super::*;

    fn spec(kind: ValueKind) -> SignalSpec {
        SignalSpec::new(SignalName::new("signal").expect("a name"), SignalSource::Parser { kind })
    }

    #[test]
    fn what_is_typed_becomes_a_value_of_the_kind() {
        for (text, kind, expected) in [
            ("17", ValueKind::Unsigned, Some(Value::Int(17))),
            ("18446744073709551615", ValueKind::Unsigned, Some(Value::Unsigned(u64::MAX))),
            ("-3", ValueKind::Int, Some(Value::Int(-3))),
            (" 21.5 ", ValueKind::Int, Some(Value::Float64(21.5))),
            ("1e3", ValueKind::Float32, Some(Value::Float64(1000.0))),
            ("nan", ValueKind::Float64, None),
            ("inf", ValueKind::Float64, None),
            ("1,5", ValueKind::Float64, None),
            ("", ValueKind::Int, None),
            ("on", ValueKind::Bool, Some(Value::Bool(true))),
            ("0", ValueKind::Bool, Some(Value::Bool(false))),
            ("2", ValueKind::Bool, None),
            ("17", ValueKind::Text, Some(Value::Text("17".to_owned()))),
        ] {
            assert_eq!(value(text, &spec(kind)).ok(), expected, "`{text}`");
        }
        let texts = BTreeMap::from([(2, "running".to_owned())]);
        let state = SignalSpec { texts, ..spec(ValueKind::Unsigned) };
        assert_eq!(value("running", &state).ok(), Some(Value::Text("running".to_owned())));
        assert_eq!(value("2", &state).ok(), Some(Value::Int(2)));
        assert_eq!(value("walking", &state).ok(), None);
    }

    #[test]
    fn a_request_is_described_with_both_addresses() {
        for (request, expected) in [
            (WriteRequest::Coil { offset: 0, on: true }, "FC 5 co:0 (0x0001) = 1"),
            (WriteRequest::Register { offset: 3, word: 17 }, "FC 6 hr:3 (4x0004) = 0x0011"),
            (
                WriteRequest::Registers { start: 9, words: vec![1, 0xFFFF] },
                "FC 16 hr:9 (4x0010) = 0x0001 0xFFFF",
            ),
            (
                WriteRequest::Coils { start: 1, states: vec![true, false] },
                "FC 15 co:1 (0x0002) = 10",
            ),
        ] {
            assert_eq!(describe(&request), expected);
        }
    }
}
