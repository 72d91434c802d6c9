//! The parsers of the running gateway: the frames that they keep, and their files anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::message::Refusal;
use super::value::hex;
use crate::config::read_parser;
use crate::engine::{Blocks, Comparison, KeptFrame};
use crate::handles::Handles;

/// How long a parser may take to answer: what waits in its queue, and a comparison.
const PATIENCE: Duration = Duration::from_mins(1);

/// A frame as people write it, and as the gateway hands it out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FrameText {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    /// Milliseconds since the gateway booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    #[serde(skip_serializing_if = "TableText::is_empty")]
    pub(crate) hr: TableText<u16>,
    #[serde(skip_serializing_if = "TableText::is_empty")]
    pub(crate) ir: TableText<u16>,
    #[serde(skip_serializing_if = "TableText::is_empty")]
    pub(crate) co: TableText<bool>,
    #[serde(skip_serializing_if = "TableText::is_empty")]
    pub(crate) di: TableText<bool>,
    /// The path of the resource that the payload is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<String>,
    /// The same for bytes that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<u16>,
    /// The state that it came with; only parsers read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Items from address 0 on, or by the address of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a list of items, or an object of address to list")]
pub(crate) enum TableText<T> {
    List(Vec<T>),
    ByAddress(BTreeMap<String, Vec<T>>),
}

impl<T> Default for TableText<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T> TableText<T> {
    fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::ByAddress(blocks) => blocks.is_empty(),
        }
    }

    fn of(blocks: Vec<(u16, Vec<T>)>) -> Self {
        let blocks = blocks.into_iter();
        Self::ByAddress(blocks.map(|(start, items)| (start.to_string(), items)).collect())
    }
}

impl From<KeptFrame> for FrameText {
    fn from(kept: KeptFrame) -> Self {
        let Blocks { hr, ir, co, di, resource, payload, format } = kept.blocks;
        Self {
            device: Some(kept.device.to_string()),
            at: Some(kept.at.0),
            hr: TableText::of(hr),
            ir: TableText::of(ir),
            co: TableText::of(co),
            di: TableText::of(di),
            resource,
            payload: None,
            payload_hex: payload.map(|bytes| hex(&bytes)),
            format,
            state: (!kept.state.is_empty()).then(|| hex(&kept.state.to_bytes())),
            error: kept.error,
        }
    }
}

/// How a parser's file was taken anew.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParserReloaded {
    pub(crate) file: String,
    pub(crate) reloaded: bool,
    /// Frames that were kept to compare on.
    pub(crate) frames: usize,
    pub(crate) compared: usize,
    /// Frames with the same outcome.
    pub(crate) same: usize,
    pub(crate) differences: Vec<Difference>,
    /// Why it was refused, or would have been.
    pub(crate) failures: Vec<String>,
}

/// A signal whose value is another one by the new file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub(crate) frame: String,
    pub(crate) signal: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// The frames that a parser keeps, those that failed first.
pub(super) async fn frames(handles: &Handles, file: &str) -> Result<Vec<FrameText>, Refusal> {
    let asked = handles.engine.kept_frames(file.to_owned());
    match timeout(PATIENCE, asked).await {
        Ok(Some(kept)) => Ok(kept.into_iter().map(FrameText::from).collect()),
        Ok(None) | Err(_) => Err(absent(handles, file).await),
    }
}

/// Reads a parser's file anew and has the running one become it.
pub(super) async fn reload(
    handles: &Handles,
    file: &str,
    force: bool,
    uid: u32,
) -> Result<ParserReloaded, Refusal> {
    let (folder, name) = (handles.config.profiles.clone(), file.to_owned());
    let read = tokio::task::spawn_blocking(move || read_parser(&folder, &name)).await;
    let source = match read {
        Ok(Ok(source)) => source,
        Ok(Err(why)) => return Err(unreadable(&handles.config.profiles, file, &why)),
        Err(error) => return Err(Refusal::new(format!("the file was not read: {error}"))),
    };
    let asked = handles.engine.swap_parser(file.to_owned(), source, force);
    let Ok(Some(comparison)) = timeout(PATIENCE, asked).await else {
        return Err(absent(handles, file).await);
    };
    if comparison.swapped {
        tracing::warn!(parser = file, uid, force, "a parser was reloaded");
    } else {
        tracing::info!(parser = file, uid, "a parser was refused");
    }
    Ok(reloaded(file, comparison))
}

fn unreadable(folder: &Path, file: &str, why: &str) -> Refusal {
    Refusal::new(format!("the parser `{file}` {why}"))
        .hint(format!("it is read from the folder of profiles, `{}`", folder.display()))
}

/// Why a parser did not answer.
async fn absent(handles: &Handles, file: &str) -> Refusal {
    let files = handles.engine.parser_files().await;
    if files.iter().any(|running| running == file) {
        return Refusal::new(format!("the parser `{file}` is too busy to answer"))
            .hint("try again");
    }
    let refusal = Refusal::new(format!("no parser `{file}` runs on this gateway"));
    if files.is_empty() { refusal } else { refusal.hint(format!("running: {}", files.join(", "))) }
}

fn reloaded(file: &str, comparison: Comparison) -> ParserReloaded {
    let Comparison { swapped, frames, compared, same, differences, failures } = comparison;
    let differences = differences.into_iter().map(|found| Difference {
        frame: found.frame,
        signal: found.signal,
        old: found.old,
        new: found.new,
    });
    ParserReloaded {
        file: file.to_owned(),
        reloaded: swapped,
        frames,
        compared,
        same,
        differences: differences.collect(),
        failures,
    }
}
