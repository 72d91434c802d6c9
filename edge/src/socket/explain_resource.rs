//! What is explained of a signal that lies in a resource, and in no register.

use fieldgate_model::Cause;
use fieldgate_rules::payload::{self, Format};
use fieldgate_rules::signal::{SignalSource, SignalSpec};

use super::message::Refusal;
use super::read::fetch;
use super::value::spaced;
use crate::config::DeviceConfig;
use crate::drivers::coap::Code;
use crate::drivers::host::Payload;
use crate::handles::Handles;

/// Bytes of a payload that are shown; what follows is counted.
const SHOWN_MAX: usize = 256;

/// A look at a resource.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Path and format.
    pub(super) place: Option<String>,
    /// How it is asked for.
    pub(super) request: Option<String>,
    /// What it answered just now: the payload, as text where it is one.
    pub(super) words: Option<Vec<String>>,
    /// Why it did not, or why there is no value in it.
    pub(super) fault: Option<String>,
}

/// Asks for the resource of a signal, and says what is in it.
pub(super) async fn look(
    handles: &Handles,
    device: &DeviceConfig,
    spec: &SignalSpec,
) -> Result<Look, Refusal> {
    let profile = &device.profile;
    let (Some((place, resource, pick)), Some(host)) = (profile.picked(spec), device.place.host())
    else {
        return Ok(Look::default());
    };
    let path = &resource.path;
    let mut look = Look {
        place: Some(format!("{path} in {}, {pick}", resource.format)),
        request: Some(match (resource.push, resource.observe) {
            (true, _) => format!("sent by the device to {path} of the gateway"),
            (false, true) => format!("GET {path}, observed where the device can"),
            (false, false) => format!("{} {path}", method(resource.method)),
        }),
        ..Look::default()
    };
    if resource.push {
        return Ok(look);
    }
    match fetch(handles, host, device, &[place]).await?.pop() {
        Some(Ok(payload)) => {
            let readings = payload::read(profile, resource, payload.format, &payload.bytes);
            let its = readings.into_iter().rev().find(|reading| {
                profile.signals.get(reading.signal).is_some_and(|its| its.name == spec.name)
            });
            look.fault = match its.map(|reading| reading.value) {
                Some(Ok(_)) => None,
                Some(Err(unread)) => Some(unread.why),
                None => Some("the payload does not name it".to_owned()),
            };
            look.words = Some(shown(&payload, resource.format));
        }
        Some(Err(cause)) => look.fault = Some(fault(cause)),
        None => {}
    }
    Ok(look)
}

const fn method(method: payload::Method) -> &'static str {
    match method {
        payload::Method::Get => "GET",
        payload::Method::Post => "POST",
    }
}

/// A payload as text where it is one, or in hex.
fn shown(payload: &Payload, format: Format) -> Vec<String> {
    let bytes = payload.bytes.get(..SHOWN_MAX).unwrap_or(&payload.bytes);
    let rest = payload.bytes.len() - bytes.len();
    let text = match format.told(payload.format).unwrap_or(format) {
        Format::Text | Format::Json | Format::SenmlJson => str::from_utf8(bytes).ok(),
        Format::Octets | Format::Cbor | Format::SenmlCbor => None,
    };
    let text = text.filter(|text| !text.contains(|c: char| c.is_control() && c != '\n'));
    let mut words = vec![text.map_or_else(|| spaced(bytes), str::to_owned)];
    if rest > 0 {
        words.push(format!("and {rest} bytes more"));
    }
    words
}

/// A cause in words.
fn fault(cause: Cause) -> String {
    match cause {
        Cause::Refused(code) => refusal(code),
        Cause::NoAnswer => "the device does not answer".to_owned(),
        Cause::LinkDown => "the host cannot be reached".to_owned(),
        Cause::Malformed
        | Cause::Null
        | Cause::OutOfRange
        | Cause::Script
        | Cause::ScriptLimit
        | Cause::ConfigError
        | Cause::Exception(_) => cause.to_string(),
    }
}

/// What a refusal means.
pub(super) fn refusal(code: u8) -> String {
    let code = Code(code);
    format!("the device refuses with {code} {}", code.words()).trim_end().to_owned()
}

/// What to do about it.
pub(super) const fn refusal_hint(code: u8) -> &'static str {
    match Code(code) {
        Code::NOT_FOUND => "the path is another one: `fieldgate scan` lists those that there are",
        Code::UNAUTHORIZED | Code::FORBIDDEN => "the device wants a key, or another one",
        Code::METHOD_NOT_ALLOWED => "the device has the resource, and does not allow that",
        Code::NOT_ACCEPTABLE | Code::UNSUPPORTED_FORMAT => {
            "the device has another format: see `format` of the resource"
        }
        Code::UNAVAILABLE | Code::TOO_MANY_REQUESTS => "the device is busy; it is asked again",
        _ => "the device's manual may explain this code",
    }
}

/// What the value is.
pub(super) fn data_text(source: &SignalSource) -> String {
    format!("a value of kind {}", source.kind().as_str())
}
