//! History as a stream of lines: CSV (RFC 4180) and NDJSON, chosen by `Accept`.
//!
//! # Invariants
//!
//! - A line of NDJSON is the item of the JSON page, to the byte; CSV has the same texts.
//! - An export that cannot be told to its end breaks the connection: a short file never looks whole.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Problem;
use super::samples::sample_dto;
use crate::show;
use crate::state::AppState;
use crate::store::query::{QueryError, Readers, SamplePage, SampleQuery, StoredSample};

/// Samples of one export: two months of a signal at one a second.
pub(super) const SAMPLES_MAX: usize = 5_000_000;

/// Samples that are read at once: some megabytes, and some tens of milliseconds of a reader.
const CHUNK: usize = 20_000;

/// Chunks that wait for a slow client.
const CHUNKS_WAITING: usize = 2;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One object with a page.
    Json,
    /// Lines of text.
    Csv,
    /// Lines of objects.
    Ndjson,
}

impl Format {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Ndjson];

    /// The media type of the answer.
    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Whether a range of `Accept` takes it, and how exactly it names it.
    fn matched(self, range: &str) -> Option<u8> {
        let (names, kind): (&[&str], &str) = match self {
            Self::Json => (&["application/json"], "application/*"),
            Self::Csv => (&["text/csv"], "text/*"),
            Self::Ndjson => (&["application/x-ndjson", "application/ndjson"], "application/*"),
        };
        match range {
            name if names.contains(&name) => Some(2),
            name if name == kind => Some(1),
            "*/*" => Some(0),
            _ => None,
        }
    }
}

/// The form that the caller likes best (RFC 9110, section 12.5.1); JSON if it does not say.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Format, Problem> {
    let accept = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    let weight = |format: Format| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let exactness = format.matched(parts.next()?)?;
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            Some((exactness, quality.map_or(Some(1.0), |quality| quality.parse::<f32>().ok())?))
        });
        // The most exact range speaks for a format, whatever a wildcard says.
        let best = ranges.max_by(|one, other| one.0.cmp(&other.0))?;
        (best.1 > 0.0).then_some(best.1)
    };
    let mut chosen: Option<(Format, f32)> = None;
    for format in Format::ALL {
        if let Some(weight) = weight(format)
            && chosen.is_none_or(|(_, best)| weight > best)
        {
            chosen = Some((format, weight));
        }
    }
    chosen.map(|(format, _)| format).ok_or(Problem::NotAcceptable)
}

/// The lines of an export, in chunks.
pub(super) async fn export(
    state: &AppState,
    query: SampleQuery,
    limit: Option<usize>,
    format: Format,
) -> Result<impl Stream<Item = Result<String, QueryError>> + use<>, Problem> {
    let permit = std::sync::Arc::clone(&state.exports)
        .try_acquire_owned()
        .map_err(|_| Problem::Unavailable("too many exports are running"))?;
    let left = limit.unwrap_or(SAMPLES_MAX);
    let first = state.readers.samples(query.clone(), left.min(CHUNK)).await?;
    let first = first.ok_or(Problem::NotFound("signal"))?;
    let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING);
    let readers = state.readers.clone();
    let cut_is_wanted = limit.is_some();
    // Ends with the client's connection: its receiver goes, and the next send fails.
    tokio::spawn(async move {
        let _permit = permit;
        let told = tell(&readers, query, first, left, cut_is_wanted, format, &chunks).await;
        if let Err(error) = told {
            drop(chunks.send(Err(error)).await);
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn tell(
    readers: &Readers,
    mut query: SampleQuery,
    mut page: SamplePage,
    mut left: usize,
    cut_is_wanted: bool,
    format: Format,
    chunks: &mpsc::Sender<Result<String, QueryError>>,
) -> Result<(), QueryError> {
    let mut head = if format == Format::Csv { "at,value,quality,committed_at\r\n" } else { "" };
    loop {
        let mut text = String::from(head);
        head = "";
        page.samples.iter().for_each(|sample| line(&mut text, format, sample));
        if chunks.send(Ok(text)).await.is_err() {
            return Ok(());
        }
        left = left.saturating_sub(page.samples.len());
        let Some(last) = page.samples.last().filter(|_| page.more) else { return Ok(()) };
        if left == 0 {
            return if cut_is_wanted { Ok(()) } else { Err(QueryError::Busy) };
        }
        query.after = Some(last.place);
        page = match readers.samples(query.clone(), left.min(CHUNK)).await {
            Ok(page) => page.unwrap_or_default(),
            Err(error) => return Err(error),
        };
    }
}

fn line(text: &mut String, format: Format, sample: &StoredSample) {
    let dto = sample_dto(sample);
    match format {
        Format::Json | Format::Ndjson => {
            // Strings and numbers alone: there is nothing that could fail.
            text.push_str(&serde_json::to_string(&dto).unwrap_or_default());
            text.push('\n');
        }
        Format::Csv => {
            let at = dto.at.unwrap_or_default();
            let value = csv_field(&show::plain(&dto.value));
            let (quality, committed) = (dto.quality, dto.committed_at);
            write!(text, "{at},{value},{quality},{committed}\r\n").unwrap_or_default();
        }
    }
}

/// A field of a line, quoted where RFC 4180 wants it.
pub(super) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_best_liked_form_is_chosen() {
        for (accept, expected) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/csv;q=0.5, application/x-ndjson", Some(Format::Ndjson)),
            ("text/*", Some(Format::Csv)),
            ("application/json;q=0, */*", Some(Format::Csv)),
            ("text/html, */*;q=0.1", Some(Format::Json)),
            ("text/html", None),
            ("text/csv;q=nonsense", None),
            (";;,,", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(negotiate(&headers).ok(), expected, "{accept}");
        }
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
