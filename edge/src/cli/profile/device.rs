//! A `SunSpec` device that says itself what it is, on any line that `read` takes.

use std::path::Path;

use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::Request;
use fieldgate_model::Millis;
use fieldgate_rules::sunspec::{Found, ModelSpec, known};

use super::args::ProfileImportArgs;
use crate::cli::args::{LineArgs, Mode};
use crate::cli::failure::Failure;
use crate::cli::line::{self, OpenLine, Target};
use crate::cli::raw::UnitList;
use crate::cli::screen::Talk;
use crate::cli::sunspec;
use crate::import::{
    Imported, Note, Options, SunSpecDevice, Weight, model_from_json, sunspec_device,
};

/// For one answer. Inverters behind a data logger take seconds.
const ANSWER_AT_MOST: Millis = Millis::from_secs(5);

/// The unit that inverters have at the factory more often than any other.
const UNIT: UnitId = UnitId(1);

/// A profile of the device at the place that the arguments name. A bus that a running gateway owns
/// is taken from it meanwhile.
pub(super) fn import(
    config: &Path,
    args: &ProfileImportArgs,
    options: &Options,
    talk: &mut Talk,
) -> Result<Result<Imported, Vec<Note>>, Failure> {
    let unit = unit(args, options)?;
    let mut line = match target(&args.file, &args.line)? {
        Target::Name(bus) => OpenLine::open_bus(&bus, config, args.socket.as_deref(), talk)?,
        Target::Endpoint(endpoint) => {
            OpenLine::open(endpoint, config, args.socket.as_deref(), talk)?
        }
    };
    let timeout = args.line.timeout.unwrap_or(ANSWER_AT_MOST);
    let mut ask = |request: &Request| line.transact(unit, request, timeout);
    let found = sunspec::discover(&mut ask).map_err(|error| {
        Failure::from_error(error)
            .while_doing(format!("cannot ask unit {unit} for its models"))
            .hint("is it the right unit id? name it with `-a`; `fieldgate scan` finds it")
    })?;
    let words = sunspec::contents(&found, unit, &mut ask)?;
    // The gateway may poll again while the profile is made.
    drop(line);
    let ids: Vec<String> = found.models.iter().map(|model| model.id.to_string()).collect();
    talk.say(&format!("SunSpec at hr:{}: models {}", found.base, ids.join(", ")));
    let (definitions, mut notes) = definitions(args.models.as_deref(), &found);
    if let Some(why) = sunspec::broken_off(&found.ending, unit) {
        let what = format!("the walk over the models did not come to its end: {why}");
        notes.push(Note { line: None, weight: Weight::Lost, what });
    }
    let device = SunSpecDevice { found: &found, words: &words, definitions: &definitions };
    Ok(sunspec_device(device, options).map(|mut imported| {
        imported.notes.splice(0..0, notes);
        imported
    }))
}

/// The one unit that is asked.
fn unit(args: &ProfileImportArgs, options: &Options) -> Result<UnitId, Failure> {
    match (args.line.units.as_ref().map(UnitList::units), &options.device) {
        (None, None) => Ok(UNIT),
        (None, Some(pick)) => Ok(UnitId(pick.unit)),
        (Some([unit]), _) => Ok(UnitId(*unit)),
        (Some(_), _) => Err(Failure::usage("a profile is made of one device: name one unit id")),
    }
}

/// A host with a dot or a port needs no scheme here; a bus has neither in its name.
fn target(text: &str, args: &LineArgs) -> Result<Target, Failure> {
    match line::target(text, args)? {
        Target::Name(host) if host.contains(['.', ':']) => {
            line::target(&host, &LineArgs { mode: Some(Mode::Tcp), ..args.clone() })
        }
        found @ (Target::Name(_) | Target::Endpoint(_)) => Ok(found),
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
