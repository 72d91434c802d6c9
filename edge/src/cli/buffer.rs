//! `fieldgate buffer`: what lies in the buffer, whether it is sound, and what can be saved of a
//! damaged one. Nothing here writes to a buffer, and the gateway may run meanwhile.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fieldgate_model::Content;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::format::{bytes, table};
use super::screen::{self, Talk};
use crate::buffer::{Seen, View, files};

/// Verbs about the buffer.
#[derive(Debug, Subcommand)]
pub(super) enum BufferVerb {
    /// Show the buffer's files and how far each stream is sealed and released
    #[command(after_help = "\
Examples:
  fieldgate buffer stat
  fieldgate buffer stat --json | jq '.lines[] | select(.unreleased > 0)'")]
    Stat(BufferArgs),
    /// Check every batch against the hash chain of its stream, and the ring
    #[command(after_help = "\
Examples:
  fieldgate buffer verify
  fieldgate buffer verify --json

Exit status: 0 everything is as it was sealed, 1 something is damaged or missing.")]
    Verify(BufferArgs),
    /// Print what can be read of a damaged database, each batch checked by its chain
    #[command(after_help = "\
Examples:
  fieldgate buffer salvage /var/lib/fieldgate/buffer.db.damaged-0 > salvaged.ndjson
  fieldgate buffer salvage buffer.db.damaged-0 | jq -c 'select(.proven)'

One JSON object a record. `proven` says that the batch fits the chain of the one before it. Records
that the cloud has already are among them: their incarnation, stream and position name them.")]
    Salvage(SalvageArgs),
}

#[derive(Debug, Args)]
pub(super) struct BufferArgs {
    /// The buffer's folder; as in the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    pub(super) folder: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SalvageArgs {
    /// The damaged file.
    pub(super) file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Stat {
    files: Vec<FileStat>,
    lines: Vec<LineStat>,
    unsealed: usize,
    ring_newest: u64,
    ring_live: u64,
}

#[derive(Debug, Serialize)]
struct FileStat {
    file: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct LineStat {
    incarnation: String,
    stream: &'static str,
    first: u64,
    released: u64,
    stored: u64,
    unreleased: u64,
}

#[derive(Debug, Default, Serialize)]
struct Verified {
    batches: u64,
    gaps: u64,
    unproven: u64,
    damaged: Vec<String>,
    ring_torn: bool,
    ring_missing: u64,
}

pub(super) fn perform(config: &Path, verb: &BufferVerb, talk: &mut Talk) -> Result<Exit, Failure> {
    match verb {
        BufferVerb::Stat(args) => stat(&folder(config, args.folder.as_ref(), talk)?, args.json),
        BufferVerb::Verify(args) => verify(&folder(config, args.folder.as_ref(), talk)?, args.json),
        BufferVerb::Salvage(args) => salvage(&args.file, talk),
    }
}

/// The buffer's folder, as it was given or as the configuration has it.
pub(super) fn folder(
    config: &Path,
    given: Option<&PathBuf>,
    talk: &mut Talk,
) -> Result<PathBuf, Failure> {
    match given {
        Some(folder) => Ok(folder.clone()),
        None => Ok(super::load(config, talk)?.config.buffer.path),
    }
}

/// The buffer in a folder.
pub(super) fn look(folder: &Path) -> Result<View, Failure> {
    View::open(folder).map_err(|error| {
        Failure::from_error(error).hint("has a gateway run there? name another with `--folder`")
    })
}

fn stat(folder: &Path, json: bool) -> Result<Exit, Failure> {
    let view = look(folder)?;
    let file = |(file, bytes)| FileStat { file, bytes };
    let lines = view.lines().map_err(Failure::from_error)?.into_iter().map(|line| LineStat {
        incarnation: line.incarnation.to_string(),
        stream: line.stream.as_str(),
        first: line.first.0,
        released: line.released.0,
        stored: line.stored.0,
        unreleased: line.stored - line.released,
    });
    let stat = Stat {
        files: files(folder).into_iter().map(file).collect(),
        lines: lines.collect(),
        unsealed: view.unsealed.iter().map(records).sum(),
        ring_newest: view.ring.newest,
        ring_live: view.ring.live,
    };
    if json {
        screen::print_json(&stat)?;
        return Ok(Exit::Good);
    }
    let files = stat.files.iter().map(|file| vec![file.file.clone(), bytes(file.bytes)]);
    let ring = format!(
        "ring: record {}, {} not in the database; {} records not sealed\n",
        stat.ring_newest, stat.ring_live, stat.unsealed
    );
    let head = ["incarnation", "stream", "first", "released", "stored", "to send"];
    let head = vec![head.map(str::to_owned).to_vec()];
    let row = |line: &LineStat| {
        let short = line.incarnation.chars().take(8).collect();
        let numbers = [line.first, line.released, line.stored, line.unreleased];
        let mut row: Vec<String> = vec![short, line.stream.to_owned()];
        row.extend(numbers.iter().map(u64::to_string));
        row
    };
    let lines = table(head.into_iter().chain(stat.lines.iter().map(row)));
    screen::print(&(table(files) + &ring + &lines))?;
    Ok(Exit::Good)
}

fn verify(folder: &Path, json: bool) -> Result<Exit, Failure> {
    let view = look(folder)?;
    let mut found = Verified {
        ring_torn: view.ring.is_torn,
        ring_missing: view.ring.missing,
        ..Verified::default()
    };
    view.each(|seen| match seen {
        Seen::Sound(batch) if matches!(batch.content, Content::Gap(_)) => found.gaps += 1,
        Seen::Sound(_) => found.batches += 1,
        Seen::Unproven(_) => found.unproven += 1,
        Seen::Damaged { incarnation, stream, first } => {
            found.damaged.push(format!("{} {first} of {incarnation}", stream.as_str()));
        }
    })
    .map_err(Failure::from_error)?;
    let is_sound = found.damaged.is_empty()
        && found.unproven == 0
        && found.ring_missing == 0
        && !found.ring_torn;
    if json {
        screen::print_json(&found)?;
    } else {
        let mut lines = vec![format!(
            "{} batches fit their chains, {} gaps, {} that nothing vouches for",
            found.batches, found.gaps, found.unproven
        )];
        lines.extend(found.damaged.iter().map(|damaged| format!("damaged: {damaged}")));
        if found.ring_torn {
            let torn = "ring: something behind its newest record is torn or damaged";
            lines.push(torn.to_owned());
        }
        if found.ring_missing > 0 {
            lines.push(format!("ring: {} records are missing", found.ring_missing));
        }
        let text = lines.join("\n") + "\n";
        screen::print(&text)?;
    }
    Ok(if is_sound { Exit::Good } else { Exit::Findings })
}

fn salvage(file: &Path, talk: &mut Talk) -> Result<Exit, Failure> {
    let view = View::open_file(file).map_err(Failure::from_error)?;
    let mut out = std::io::stdout().lock();
    let (mut proven, mut unproven, mut damaged) = (0_u64, 0_u64, 0_u64);
    let mut written = Ok(());
    let walked = view.each(|seen| {
        let (batch, is_proven) = match seen {
            Seen::Sound(batch) => (batch, true),
            Seen::Unproven(batch) => (batch, false),
            Seen::Damaged { .. } => {
                damaged += 1;
                return;
            }
        };
        if matches!(batch.content, Content::Gap(_)) {
            return;
        }
        *(if is_proven { &mut proven } else { &mut unproven }) += batch.next - batch.first;
        if written.is_ok() {
            let lines = super::history::salvaged(&batch, is_proven);
            written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
        }
    });
    walked.map_err(Failure::from_error)?;
    written?;
    talk.say(&format!(
        "{proven} records proven, {unproven} without proof, {damaged} batches not readable"
    ));
    Ok(if unproven + damaged == 0 { Exit::Good } else { Exit::Findings })
}

fn records(content: &Content) -> usize {
    match content {
        Content::Samples { samples, .. } => samples.len(),
        Content::Events(records) => records.len(),
        Content::Outcomes(records) => records.len(),
        Content::Gap(_) => 0,
    }
}
