//! A `SunSpec` device that says itself what it is, over Modbus TCP.

use std::os::unix::net::UnixStream;
use std::path::Path;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use fieldgate_rules::sunspec::{Discovery, DiscoveryEffect, Ending, Found, ModelSpec, known};

use super::args::ProfileImportArgs;
use crate::cli::failure::Failure;
use crate::cli::screen::Talk;
use crate::config::{self, Endpoint};
use crate::drivers::DirectLine;
use crate::import::{
    Imported, Note, Options, SunSpecDevice, Weight, model_from_json, sunspec_device,
};

/// For one answer. Inverters behind a data logger take seconds.
const ANSWER_AT_MOST: Millis = Millis::from_secs(5);

/// The unit that inverters have at the factory more often than any other.
const UNIT: UnitId = UnitId(1);

/// A profile of the device at the address that the arguments name.
pub(super) fn import(
    config: &Path,
    args: &ProfileImportArgs,
    options: &Options,
    talk: &mut Talk,
) -> Result<Result<Imported, Vec<Note>>, Failure> {
    refuse_if_owned(config, &args.file)?;
    let unit = options.device.as_ref().map_or(UNIT, |pick| UnitId(pick.unit));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (found, words) = runtime.block_on(async {
        let mut line = connect(&args.file).await?;
        let found = discover(&mut line, unit).await?;
        let mut words = Vec::new();
        for model in &found.models {
            let mut all = Vec::new();
            for request in model.reads() {
                all.extend(read(&mut line, unit, request).await.map_err(|fault| {
                    let what =
                        format!("model {} at {} cannot be read: {fault:?}", model.id, model.start);
                    Failure::refused(what)
                })?);
            }
            words.push(all);
        }
        Ok::<_, Failure>((found, words))
    })?;
    let ids: Vec<String> = found.models.iter().map(|model| model.id.to_string()).collect();
    talk.say(&format!("SunSpec at holding register {}: models {}", found.base, ids.join(", ")));
    let (definitions, mut notes) = definitions(args.models.as_deref(), &found);
    if found.ending != Ending::Marked {
        let what = format!("the walk over the models did not come to its end: {:?}", found.ending);
        notes.push(Note { line: None, weight: Weight::Lost, what });
    }
    let device = SunSpecDevice { found: &found, words: &words, definitions: &definitions };
    Ok(sunspec_device(device, options).map(|mut imported| {
        imported.notes.splice(0..0, notes);
        imported
    }))
}

/// A link that a running gateway holds is not opened beside it: many devices serve one client, and
/// would drop the gateway.
fn refuse_if_owned(config: &Path, address: &str) -> Result<(), Failure> {
    // Without a configuration that can be used no gateway runs by it.
    let Ok(loaded) = config::load(config) else { return Ok(()) };
    let is_here = |endpoint: &Endpoint| match endpoint {
        Endpoint::ModbusTcp { host, port, .. } | Endpoint::ModbusRtuOverTcp { host, port } => {
            format!("{host}:{port}") == address
        }
        Endpoint::ModbusRtu(_) | Endpoint::ModbusAscii(_) => false,
    };
    let bus = loaded.config.buses.iter().find(|bus| is_here(&bus.endpoint));
    match bus {
        Some(bus) if UnixStream::connect(&loaded.config.socket).is_ok() => {
            let what = format!("the running gateway holds `{address}` as its bus `{}`", bus.name);
            Err(Failure::refused(what).hint("stop the gateway for the time of the import"))
        }
        Some(_) | None => Ok(()),
    }
}

async fn connect(address: &str) -> Result<DirectLine, Failure> {
    let hint = "write it as HOST:PORT, such as `192.0.2.7:502`";
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "502"));
    let port = port.parse().map_err(|_| {
        Failure::usage(format!("`{address}` is not the address of a device")).hint(hint)
    })?;
    let endpoint = Endpoint::ModbusTcp { host: host.to_owned(), port, in_flight: 1 };
    DirectLine::open(&endpoint, ANSWER_AT_MOST).await.map_err(|error| {
        Failure::from_error(error).while_doing(format!("cannot reach `{address}`")).hint(hint)
    })
}

async fn discover(line: &mut DirectLine, unit: UnitId) -> Result<Found, Failure> {
    let mut discovery = Discovery::resume();
    while let Some(effect) = discovery.poll_effect() {
        match effect {
            DiscoveryEffect::Read(request) => {
                let words = read(line, unit, request).await;
                discovery.handle_answer(words.map(ReadReply::Registers));
            }
            DiscoveryEffect::Done(found) => {
                return found.map_err(|error| {
                    Failure::from_error(error)
                        .hint("is it the right unit id? name it with `--device`")
                });
            }
        }
    }
    Err(Failure::refused("the walk over the models stopped"))
}

async fn read(
    line: &mut DirectLine,
    unit: UnitId,
    request: ReadRequest,
) -> Result<Vec<u16>, Fault> {
    match line.transact(unit, &Request::Read(request), ANSWER_AT_MOST).await? {
        Reply::Read(ReadReply::Registers(words)) => Ok(words),
        Reply::Read(ReadReply::Bits(_))
        | Reply::Written
        | Reply::ServerId(_)
        | Reply::DeviceId(_) => Err(Fault::Malformed),
    }
}

/// The definitions in a folder that the device needs; what cannot be used becomes a note.
fn definitions(folder: Option<&Path>, found: &Found) -> (Vec<ModelSpec>, Vec<Note>) {
    let (mut definitions, mut notes): (Vec<ModelSpec>, Vec<Note>) = (Vec::new(), Vec::new());
    let Some(folder) = folder else { return (definitions, notes) };
    for model in &found.models {
        if definitions.iter().any(|known| known.id == model.id) {
            continue;
        }
        let file = folder.join(format!("model_{}.json", model.id));
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(_) if known(model.id).is_some() => continue,
            Err(error) => {
                let what = format!("`{}` cannot be read: {error}", file.display());
                notes.push(Note { line: None, weight: Weight::Remark, what });
                continue;
            }
        };
        match model_from_json(&text) {
            Ok(model) => definitions.push(model),
            Err(problems) => {
                notes.extend(problems.into_iter().map(|note| Note {
                    what: format!("`{}`: {}", file.display(), note.what),
                    ..note
                }));
            }
        }
    }
    (definitions, notes)
}
