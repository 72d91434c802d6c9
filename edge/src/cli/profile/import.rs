//! `fieldgate profile import`: a profile of what other tools have.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::Serialize;

use super::args::{From, ProfileImportArgs};
use super::device;
use crate::cli::failure::{Exit, Failure};
use crate::cli::format::count;
use crate::cli::profile_tests;
use crate::cli::screen::{self, Talk};
use crate::config::Library;
use crate::import::{self, Format, Imported, Note, Options, Pick, Weight};

/// Longest text that is read; a register list of a large machine has a few hundred kilobytes.
const TEXT_MAX: u64 = 4 << 20;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    profile: Option<&'a str>,
    signals: usize,
    notes: Vec<PrintedNote<'a>>,
}

#[derive(Debug, Serialize)]
struct PrintedNote<'a> {
    line: Option<usize>,
    weight: &'static str,
    what: &'a str,
}

/// Makes the profile, checks that it loads, and writes it.
pub(super) fn import(
    config: &Path,
    args: &ProfileImportArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let options = options(args)?;
    let made = match args.from {
        From::Csv => import::import(Format::Csv, &text(&args.file)?, &options),
        From::Telegraf => import::import(Format::Telegraf, &text(&args.file)?, &options),
        From::HomeAssistant => import::import(Format::HomeAssistant, &text(&args.file)?, &options),
        From::Sunspec => import::import(Format::SunSpec, &text(&args.file)?, &options),
        From::SunspecDevice => device::import(config, args, &options, talk)?,
    };
    let imported = match made {
        Ok(imported) => imported,
        Err(notes) => {
            tell(&notes, args.json, talk);
            if args.json {
                print(None, &notes)?;
            }
            let what = format!("cannot make a profile of `{}`", args.file);
            return Err(Failure::refused(what).exiting(Exit::Usage));
        }
    };
    let file = args.output.as_deref().unwrap_or(Path::new("imported.toml"));
    let profile = Library::parse(file, imported.toml.clone()).map_err(|problems| {
        talk.problems(&problems);
        Failure::refused("the profile that was made cannot be used")
            .hint("the lines above are those of the profile; correct what they come from")
    })?;
    debug_assert!(profile_tests::failures(&profile).is_empty(), "it has no tests");
    tell(&imported.notes, args.json, talk);
    if let Some(file) = &args.output {
        write(file, &imported.toml)?;
        let signals = count(imported.signals, "signal");
        talk.say(&format!("wrote `{}`: {}, {signals}", file.display(), profile.id()));
    }
    if args.json {
        print(Some(&imported), &imported.notes)?;
    } else if args.output.is_none() {
        screen::print(&imported.toml)?;
    }
    let lost = imported.notes.iter().any(|note| note.weight == Weight::Lost);
    Ok(if lost { Exit::Findings } else { Exit::Good })
}

fn options(args: &ProfileImportArgs) -> Result<Options, Failure> {
    let file =
        Path::new(&args.file).file_name().map_or(String::new(), |name| name.display().to_string());
    let device = args.device.as_deref().map(pick).transpose()?;
    let name = args.name.clone();
    Ok(Options { name, device, file, one_based: args.one_based, at: args.at })
}

fn pick(text: &str) -> Result<Pick, Failure> {
    let (bus, unit) = match text.rsplit_once('/') {
        Some((bus, unit)) => (Some(bus.to_owned()), unit),
        None => (None, text),
    };
    let unit = unit.parse::<u8>().map_err(|_| {
        Failure::usage(format!("`{text}` is not a device"))
            .hint("write its unit id, 0 to 255, as in `--device 3` or `--device cabinet/3`")
    })?;
    Ok(Pick { bus, unit })
}

/// The text of a file; of standard input for `-`.
fn text(file: &str) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::from_error(error).while_doing(format!("cannot read `{file}`")).exiting(Exit::Usage)
    };
    let mut bytes = Vec::new();
    if file == "-" {
        std::io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        let opened = std::fs::File::open(file).map_err(cannot)?;
        opened.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if bytes.len() as u64 > TEXT_MAX {
        return Err(Failure::usage(format!("`{file}` has more than 4 MiB")));
    }
    // Spreadsheets of older machines write ISO 8859-1, in which every byte is a letter.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect()))
}

fn tell(notes: &[Note], is_json: bool, talk: &mut Talk) {
    if !is_json {
        for note in notes {
            talk.say(&note.to_string());
        }
    }
}

fn print(imported: Option<&Imported>, notes: &[Note]) -> Result<(), Failure> {
    let printed = |note: &'_ Note| (note.line, weight(note.weight));
    let notes = notes.iter().map(|note| {
        let (line, weight) = printed(note);
        PrintedNote { line, weight, what: &note.what }
    });
    screen::print_json(&Printed {
        profile: imported.map(|imported| imported.toml.as_str()),
        signals: imported.map_or(0, |imported| imported.signals),
        notes: notes.collect(),
    })
}

const fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Remark => "remark",
        Weight::Setting => "setting",
        Weight::Lost => "lost",
    }
}

/// A profile that somebody has worked on is worth more than one that is made in a second.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failure = Failure::from_error(error)
            .while_doing(format!("cannot write `{}`", file.display()))
            .exiting(Exit::Usage);
        if exists { failure.hint("name another file, or move that one away") } else { failure }
    })
}
