//! What a scan has found: a table, and a configuration to start from.

use fieldgate_modbus::line::LineSettings;
use serde::Serialize;

use super::pipelining::Probed;
use super::probe::{Found, SunSpec};
use crate::cli::failure::Failure;
use crate::cli::format::table;
use crate::cli::screen::{self, Talk};
use crate::config::Endpoint;

/// From so many units with one and the same face on, it is one device that answers for all.
const ECHOES_MIN: usize = 16;

#[derive(Serialize)]
struct Printed<'a> {
    endpoint: String,
    units: &'a [Found],
    pipelining: Option<Probed>,
    /// TOML to start a configuration from.
    config: String,
}

/// Prints what was found.
pub(super) fn report(
    endpoint: &Endpoint,
    found: &[Found],
    pipelining: Option<Probed>,
    is_json: bool,
    talk: &mut Talk,
) -> Result<(), Failure> {
    let config = config(endpoint, found, pipelining);
    if is_json {
        let endpoint = endpoint.to_string();
        return screen::print_json(&Printed { endpoint, units: found, pipelining, config });
    }
    remarks(found, pipelining, talk);
    for its in one_each(found) {
        if let Some(SunSpec { base, models }) = &its.sunspec {
            talk.say(&format!(
                "unit {} says itself what it measures (SunSpec at hr:{base}, {}); its profile: {}",
                its.unit,
                models_text(models),
                import(endpoint, its)
            ));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    screen::print(&table(rows(found)))?;
    screen::print(&format!("\n{config}"))
}

fn remarks(found: &[Found], pipelining: Option<Probed>, talk: &mut Talk) {
    if found.is_empty() {
        talk.say("nobody answered");
        return;
    }
    if let Some(unit) = found.iter().find(|found| found.is_garbled) {
        talk.say(&format!(
            "unit {} answers garbled: another speed or parity, two devices with one id, or noise",
            unit.unit
        ));
    }
    if is_one_device(found) {
        talk.say(
            "every unit id gets the same answers: this is one device that does not look at it",
        );
    }
    if let Some(Probed { in_flight, rate_single, rate }) = pipelining {
        talk.say(&match in_flight {
            1 => format!("one request at a time is right for it ({rate_single} a second)"),
            _ => format!(
                "with {in_flight} requests under way it answers {rate} a second, one by one \
                 {rate_single}: `in_flight = {in_flight}`"
            ),
        });
    }
}

fn is_one_device(found: &[Found]) -> bool {
    let same = |pair: &[Found]| {
        pair.iter()
            .map(|its| (&its.answers, &its.identification))
            .collect::<Vec<_>>()
            .windows(2)
            .all(|two| two[0] == two[1])
    };
    found.len() >= ECHOES_MIN && same(found)
}

/// All of them, or the first if they are one device.
fn one_each(found: &[Found]) -> &[Found] {
    if is_one_device(found) { &found[..1] } else { found }
}

fn models_text(models: &[u16]) -> String {
    let ids: Vec<String> = models.iter().map(ToString::to_string).collect();
    match ids.len() {
        0 => "no models".to_owned(),
        1 => format!("model {}", ids.concat()),
        _ => format!("models {}", ids.join(", ")),
    }
}

/// The command that makes a profile of what the device says.
fn import(endpoint: &Endpoint, found: &Found) -> String {
    let place = match endpoint {
        Endpoint::ModbusTcp { host, port, .. } => format!("tcp://{}", at(host, *port)),
        Endpoint::ModbusRtuOverTcp { host, port } => format!("rtu+tcp://{}", at(host, *port)),
        Endpoint::ModbusRtu(serial) => format!("{}{}", serial.port, line_option(found)),
        Endpoint::ModbusAscii(serial) => format!("ascii:{}{}", serial.port, line_option(found)),
    };
    let (unit, name) = (found.unit, name(found));
    format!(
        "fieldgate profile import --from sunspec-device {place} -a {unit} --name {name} \
         -o profiles/{name}.toml"
    )
}

fn line_option(found: &Found) -> String {
    found.line.as_ref().map(|line| format!(" --line {line}")).unwrap_or_default()
}

fn name(found: &Found) -> String {
    format!("sunspec-{}", found.unit)
}

fn rows(found: &[Found]) -> Vec<Vec<String>> {
    let heading = ["UNIT", "line", "answer", "said", "identification"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|found| {
        let said = found.answers.iter().map(|(asked, said)| match said.as_str() {
            "answers" => asked.clone(),
            said => format!("{asked} {said}"),
        });
        let sunspec =
            found.sunspec.as_ref().map(|its| format!("SunSpec {}", models_text(&its.models)));
        let said = said.chain(sunspec);
        vec![
            found.unit.to_string(),
            found.line.clone().unwrap_or_else(|| "-".to_owned()),
            millis(found.response_us),
            said.collect::<Vec<_>>().join(", "),
            found.identity(),
        ]
    }));
    rows
}

/// Microseconds in the unit that keeps them short.
fn millis(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        _ => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
    }
}

/// A configuration with what was found; the profiles are the person's to choose.
fn config(endpoint: &Endpoint, found: &[Found], pipelining: Option<Probed>) -> String {
    let line = found.iter().find(|found| !found.is_garbled).and_then(|found| found.line.clone());
    let mut parts = vec!["[[bus]]\nname = \"line\"\n".to_owned(), bus(endpoint, line.as_deref())];
    if let Some(Probed { in_flight, .. }) = pipelining.filter(|probed| probed.in_flight > 1) {
        parts.push(format!("in_flight = {in_flight}\n"));
    }
    parts.extend(one_each(found).iter().map(|found| {
        let (unit, identity) = (found.unit, found.identity());
        let remark = if identity.is_empty() { String::new() } else { format!(" # {identity}") };
        let profile = found.sunspec.as_ref().map(|_| name(found)).unwrap_or_default();
        format!(
            "\n[[device]]\nname = \"device-{unit}\"\nbus = \"line\"\nunit = {unit}\n\
             profile = \"{profile}\"{remark}\n"
        )
    }));
    parts.concat()
}

fn bus(endpoint: &Endpoint, line: Option<&str>) -> String {
    let line = |given: LineSettings| line.map_or_else(|| given.to_string(), str::to_owned);
    match endpoint {
        Endpoint::ModbusTcp { host, port, .. } => format!("modbus_tcp = \"{}\"\n", at(host, *port)),
        Endpoint::ModbusRtuOverTcp { host, port } => {
            format!("modbus_rtu_over_tcp = \"{}\"\n", at(host, *port))
        }
        Endpoint::ModbusRtu(serial) => {
            format!(
                "modbus_rtu = {{ port = \"{}\", line = \"{}\" }}\n",
                serial.port,
                line(serial.line)
            )
        }
        Endpoint::ModbusAscii(serial) => {
            format!(
                "modbus_ascii = {{ port = \"{}\", line = \"{}\" }}\n",
                serial.port,
                line(serial.line)
            )
        }
    }
}

fn at(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
