//! `fieldgate history`: what the gateway holds of a device, sent or not, from its buffer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use fieldgate_model::{
    Batch, Catalogue, CatalogueId, Content, Millis, SignalIndex, UtcMillis, Value,
};
use serde_json::{Value as Json, json};

use super::buffer::{folder, look};
use super::failure::{Exit, Failure};
use super::format::table;
use super::screen::{self, Talk};
use crate::buffer::Seen;
use crate::clock::Clock;
use crate::config::parse_duration;
use crate::socket::value::{json as value_json, rfc3339};

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// A device, or one of its signals: `DEVICE` or `DEVICE/SIGNAL`.
    what: String,
    /// Only what is younger than this, such as `1 h`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    last: Option<Millis>,
    /// Only what is not older than this time: milliseconds since 1970 in UTC.
    #[arg(long, value_name = "MILLIS")]
    from: Option<i64>,
    /// Only what is older than this time: milliseconds since 1970 in UTC.
    #[arg(long, value_name = "MILLIS")]
    to: Option<i64>,
    /// The buffer's folder; as in the configuration file by default.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values.
    #[arg(long)]
    csv: bool,
}

fn duration(text: &str) -> Result<Millis, String> {
    parse_duration(text).map_err(|error| format!("{error}; {}", error.hint()))
}

/// One value, or the figures of a minute that was thinned.
struct Row {
    at: UtcMillis,
    signal: String,
    unit: String,
    value: Json,
    quality: String,
    /// Smallest and greatest of a minute.
    range: Option<(Json, Json)>,
}

/// Shows what is held, oldest first.
pub(super) fn history(config: &Path, args: &HistoryArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let folder = folder(config, args.folder.as_ref(), talk)?;
    let view = look(&folder)?;
    let catalogues = view.catalogues().map_err(Failure::from_error)?;
    let (device, signal) = match args.what.split_once('/') {
        Some((device, signal)) => (device, Some(signal)),
        None => (args.what.as_str(), None),
    };
    let is_wanted = |row: &Row| {
        args.from.is_none_or(|from| from <= row.at.0)
            && args.to.is_none_or(|to| row.at.0 < to)
            && args.last.is_none_or(|last| (Clock.utc() - last) <= row.at)
    };
    let (mut rows, mut undated) = (Vec::new(), 0_u64);
    let mut take = |batch: &Batch| {
        // Without an idea of UTC nothing can be said of when; the cloud places it later.
        let Some(offset) = batch.utc_offset else {
            undated += batch.next - batch.first;
            return;
        };
        let found = rows_of(batch, offset, &catalogues, device, signal);
        rows.extend(found.into_iter().filter(is_wanted));
    };
    view.each(|seen| match seen {
        Seen::Sound(batch) | Seen::Unproven(batch) => take(&batch),
        Seen::Damaged { .. } => {}
    })
    .map_err(Failure::from_error)?;
    rows.sort_by_key(|row| row.at);
    if undated > 0 {
        talk.say(&format!("{undated} records are of a time of which no UTC is known"));
    }
    if rows.is_empty() {
        let hint = "`fieldgate buffer stat` shows what is held, `fieldgate status` the devices";
        return Err(Failure::refused(format!("nothing of `{}` is held", args.what)).hint(hint));
    }
    screen::print(&if args.json {
        let lines: Vec<String> = rows.iter().map(|row| json_row(row).to_string()).collect();
        lines.join("\n") + "\n"
    } else if args.csv {
        csv(&rows)
    } else {
        table(rows.iter().map(text_row))
    })?;
    Ok(Exit::Good)
}

fn rows_of(
    batch: &Batch,
    offset: UtcMillis,
    catalogues: &BTreeMap<CatalogueId, Catalogue>,
    device: &str,
    signal: Option<&str>,
) -> Vec<Row> {
    let find = |catalogue: &CatalogueId, index: SignalIndex| {
        let (of, found) = catalogues.get(catalogue)?.get(index)?;
        let is_it =
            of.name.as_str() == device && signal.is_none_or(|signal| signal == found.name.as_str());
        is_it.then_some(found)
    };
    match &batch.content {
        Content::Samples { catalogue, samples } => samples
            .iter()
            .filter_map(|sample| {
                let found = find(catalogue, sample.signal)?;
                let scaled = |raw: &Value| match found.scale.apply(raw) {
                    Some(number) if !found.scale.is_identity() => Value::Float64(number),
                    Some(_) | None => raw.clone(),
                };
                Some(Row {
                    at: offset + sample.at,
                    signal: found.name.to_string(),
                    unit: found.unit.clone(),
                    value: sample.value.as_ref().map_or(Json::Null, |raw| value_json(&scaled(raw))),
                    quality: sample.quality.to_string(),
                    range: None,
                })
            })
            .collect(),
        Content::Gap(gap) => gap
            .summary
            .iter()
            .flat_map(|summary| summary.minutes.iter().map(|minute| (summary.catalogue, minute)))
            .filter_map(|(catalogue, minute)| {
                let found = find(&catalogue, minute.signal)?;
                let scaled = |raw: f64| {
                    let number = found.scale.apply(&Value::Float64(raw)).unwrap_or(raw);
                    value_json(&Value::Float64(number))
                };
                Some(Row {
                    at: offset + minute.at,
                    signal: found.name.to_string(),
                    unit: found.unit.clone(),
                    value: scaled(minute.mean),
                    quality: format!("mean of {}", minute.samples),
                    range: Some((scaled(minute.min), scaled(minute.max))),
                })
            })
            .collect(),
        Content::Events(_) | Content::Outcomes(_) => Vec::new(),
    }
}

fn json_row(row: &Row) -> Json {
    let mut object = json!({
        "at": rfc3339(row.at), "signal": row.signal, "value": row.value, "unit": row.unit,
        "quality": row.quality,
    });
    if let (Some((min, max)), Some(object)) = (&row.range, object.as_object_mut()) {
        object.insert("min".to_owned(), min.clone());
        object.insert("max".to_owned(), max.clone());
    }
    object
}

fn text_row(row: &Row) -> Vec<String> {
    let quality = match &row.range {
        Some((min, max)) => format!("{}, {min} to {max}", row.quality),
        None => row.quality.clone(),
    };
    vec![
        rfc3339(row.at),
        row.signal.clone(),
        format!("{} {}", plain(&row.value), row.unit),
        quality,
    ]
}

fn csv(rows: &[Row]) -> String {
    let mut text = "at,signal,value,unit,quality,min,max\n".to_owned();
    for row in rows {
        let (min, max) = row
            .range
            .as_ref()
            .map_or((String::new(), String::new()), |(min, max)| (plain(min), plain(max)));
        let fields = [
            rfc3339(row.at),
            row.signal.clone(),
            plain(&row.value),
            row.unit.clone(),
            row.quality.clone(),
            min,
            max,
        ];
        text.push_str(&fields.map(|field| quoted(&field)).join(","));
        text.push('\n');
    }
    text
}

/// A field of CSV (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

/// The records of a batch, one JSON object each, with their names.
pub(super) fn salvaged(batch: &Batch, is_proven: bool) -> Vec<String> {
    let name = |offset: usize| {
        json!({
            "incarnation": batch.incarnation.to_string(), "stream": batch.stream.as_str(),
            "position": batch.first.0 + offset as u64, "proven": is_proven,
            "boot": batch.boot.to_string(), "utc_offset": batch.utc_offset.map(|offset| offset.0),
        })
    };
    let with = |(offset, fields): (usize, Json)| {
        let mut record = name(offset);
        if let (Some(record), Json::Object(fields)) = (record.as_object_mut(), fields) {
            record.extend(fields);
        }
        record.to_string()
    };
    let fields: Vec<Json> = match &batch.content {
        Content::Samples { catalogue, samples } => samples
            .iter()
            .map(|sample| {
                json!({
                    "catalogue": catalogue.to_string(), "signal": sample.signal.0,
                    "at": sample.at.0, "quality": sample.quality.to_string(),
                    "value": sample.value.as_ref().map_or(Json::Null, value_json),
                })
            })
            .collect(),
        Content::Events(records) => records
            .iter()
            .map(|record| json!({ "at": record.at.0, "event": format!("{:?}", record.event) }))
            .collect(),
        Content::Outcomes(records) => records
            .iter()
            .map(|record| {
                let outcome = format!("{:?}", record.outcome);
                json!({ "at": record.at.0, "command": record.command.as_str(), "outcome": outcome })
            })
            .collect(),
        Content::Gap(_) => Vec::new(),
    };
    fields.into_iter().enumerate().map(with).collect()
}
