//! `/v1/signals/{id}/…`: the history of one signal.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use fieldgate_model::{IncarnationId, Millis, Position, UtcMillis};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::{Format, export, negotiate};
use super::fields::{self, Fields, Named, Parameters};
use super::problem::{Problem, ProblemBody};
use super::{cursor, export};
use crate::auth::Caller;
use crate::show;
use crate::state::AppState;
use crate::store::query::{SamplePlace, SampleQuery, SignalId, StoredSample};
use crate::store::{Bucket, Scopes};

/// Samples in a JSON page: half a megabyte.
const LIMIT_MAX: usize = 10_000;

const LIMIT_DEFAULT: usize = 1000;

/// Points of a summary: more than the pixels of a wide screen tell nothing.
const POINTS_MAX: usize = 2000;

const POINTS_DEFAULT: usize = 300;

/// The longest stretch: a year.
const EVERY_MAX_MS: i64 = 366 * 24 * 60 * 60 * 1000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(samples)).routes(routes!(summary))
}

/// One sample.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SampleDto {
    /// `null` while its time is not known.
    pub(super) at: Option<String>,
    /// The engineering value; an integer beyond 2^53 is a string; `null` if the quality is bad.
    pub(super) value: serde_json::Value,
    /// `good`, `uncertain`, or why there is no value.
    pub(super) quality: String,
    /// When the cloud made it durable.
    pub(super) committed_at: String,
}

/// A page of samples.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SamplePageDto {
    items: Vec<SampleDto>,
    /// The cursor of the next page.
    next: Option<String>,
}

/// One stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BucketDto {
    /// Where it begins.
    at: String,
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    /// Samples with a number.
    count: u64,
    /// Samples without a value.
    bad: u64,
}

/// A signal's history, folded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SummaryDto {
    items: Vec<BucketDto>,
    /// How long each stretch is, in milliseconds.
    width_ms: u64,
    /// The range has more samples than a summary reads; what is told ends before it.
    cut: bool,
}

#[utoipa::path(get, path = "/v1/signals/{id}/samples", tag = "signals",
    description = "Ordered by time, then by the gateway's incarnation and position. As JSON, or \
        by `Accept` as `text/csv` or `application/x-ndjson`, which stream the whole range.",
    params(
        ("id" = String, Path, description = "`{gateway}.{device}.{signal}`"),
        ("from" = Option<String>, Query, description = "inclusive; RFC 3339 or milliseconds"),
        ("to" = Option<String>, Query, description = "exclusive; RFC 3339 or milliseconds"),
        ("every" = Option<String>, Query, description = "`30s`, `15m`, `1h`: folded into stretches \
            of this length, as `summary` tells them; then `from` and `to` must be given, and there \
            are no pages"),
        ("limit" = Option<u32>, Query, description = "1 to 10,000; 1,000 if not given; CSV and \
            NDJSON: up to 5,000,000, and everything if not given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("unplaced" = Option<bool>, Query, description = "also samples whose time is not known"),
    ),
    responses(
        (status = 200, content(
            (SamplePageDto = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
    ))]
async fn samples(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    headers: HeaderMap,
    Parameters(mut query): Parameters,
) -> Result<Response, Problem> {
    caller.need(Scopes::READ)?;
    let id = id.parse(|text| SignalId::parse(&text))?;
    let format = negotiate(&headers)?;
    let (from, to) = range(&mut query);
    let most = if format == Format::Json { LIMIT_MAX } else { export::SAMPLES_MAX };
    let limit = query.take("limit", fields::count(most));
    let after = query.take("cursor", |cursor| decode_place(&id, cursor));
    let unplaced = query.take("unplaced", fields::flag).unwrap_or(false);
    let every = query.take("every", fields::duration(EVERY_MAX_MS));
    if let Some(every) = every {
        check_every(&mut query, from, to, every);
    }
    query.finish()?;
    owned_signal(&state, &caller, &id).await?;
    if let Some((every, range)) = every.zip(from.zip(to)) {
        let folded = folded(&state, id, range, Millis(every.unsigned_abs())).await?;
        return Ok(([(VARY, "accept")], folded).into_response());
    }
    let wanted = SampleQuery { signal: id.clone(), from, to, after, unplaced };
    let body = match format {
        Format::Json => {
            let limit = limit.unwrap_or(LIMIT_DEFAULT);
            let page = state.readers.samples(wanted, limit).await?;
            let page = page.ok_or(Problem::NotFound("signal"))?;
            let last = page.samples.last().filter(|_| page.more);
            let next = last.map(|last| encode_place(&id, last.place));
            let items = page.samples.iter().map(sample_dto).collect();
            let page = SamplePageDto { items, next };
            return Ok(([(VARY, "accept")], Json(page)).into_response());
        }
        Format::Csv | Format::Ndjson => export(&state, wanted, limit, format).await?,
    };
    let headers = [(CONTENT_TYPE, format.media()), (VARY, "accept")];
    Ok((headers, Body::from_stream(body)).into_response())
}

#[utoipa::path(get, path = "/v1/signals/{id}/summary", tag = "signals",
    description = "The range in equal stretches, each with what a chart needs; empty ones are \
        left out. Stretches of two minutes or more are whole minutes and begin on one, so that \
        rollups can tell them: the first may begin before `from`, and tells of nothing before it.",
    params(
        ("id" = String, Path, description = "`{gateway}.{device}.{signal}`"),
        ("from" = String, Query, description = "inclusive; RFC 3339 or milliseconds"),
        ("to" = String, Query, description = "exclusive; RFC 3339 or milliseconds"),
        ("points" = Option<u32>, Query, description = "1 to 2,000; 300 if not given"),
    ),
    responses((status = 200, body = SummaryDto), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn summary(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(mut query): Parameters,
) -> Result<Json<SummaryDto>, Problem> {
    caller.need(Scopes::READ)?;
    let id = id.parse(|text| SignalId::parse(&text))?;
    let (from, to) = (query.need("from", fields::time), query.need("to", fields::time));
    let points = query.take("points", fields::count(POINTS_MAX)).unwrap_or(POINTS_DEFAULT);
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        query.wrong("to", "must be after `from`");
    }
    query.finish()?;
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    owned_signal(&state, &caller, &id).await?;
    let span = u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default();
    let width = Millis(span.div_ceil(u64::try_from(points).unwrap_or(u64::MAX)).max(1));
    folded(&state, id, (from, to), width).await
}

async fn folded(
    state: &AppState,
    id: SignalId,
    range: (UtcMillis, UtcMillis),
    width: Millis,
) -> Result<Json<SummaryDto>, Problem> {
    let summary = state.readers.summary(id, range, width).await?;
    let summary = summary.ok_or(Problem::NotFound("signal"))?;
    let items = summary.buckets.iter().map(bucket_dto).collect();
    Ok(Json(SummaryDto { items, width_ms: summary.width.0, cut: summary.cut }))
}

/// Stretches need a range, and there must not be more of them than samples in a page.
fn check_every(query: &mut Fields, from: Option<UtcMillis>, to: Option<UtcMillis>, every: i64) {
    let Some((from, to)) = from.zip(to) else {
        return query.wrong("every", "needs `from` and `to`");
    };
    let stretches = to.0.saturating_sub(from.0).checked_div(every);
    let fits = stretches.and_then(|count| usize::try_from(count).ok());
    if fits.is_none_or(|count| count > LIMIT_MAX) {
        query.wrong("every", format!("makes more than {LIMIT_MAX} stretches of this range"));
    }
}

/// An error unless the signal's gateway is the caller's; in the words of a missing signal.
async fn owned_signal(state: &AppState, caller: &Caller, id: &SignalId) -> Result<(), Problem> {
    let gateway = state.readers.gateway(caller.tenant.clone(), id.gateway.clone()).await?;
    gateway.map(|_| ()).ok_or(Problem::NotFound("signal"))
}

fn range(query: &mut Fields) -> (Option<UtcMillis>, Option<UtcMillis>) {
    let (from, to) = (query.take("from", fields::time), query.take("to", fields::time));
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        query.wrong("to", "must not be before `from`");
    }
    (from, to)
}

pub(super) fn sample_dto(sample: &StoredSample) -> SampleDto {
    let value = sample.value.as_ref();
    SampleDto {
        at: sample.at().map(show::rfc3339),
        value: value.map(|value| show::engineering(value, sample.signal.scale)).unwrap_or_default(),
        quality: sample.quality.to_string(),
        committed_at: show::rfc3339(sample.committed_at),
    }
}

fn bucket_dto(Bucket { at, total }: &Bucket) -> BucketDto {
    let some = |value: f64| (total.count > 0).then_some(value);
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let mean = total.sum / total.count as f64;
    BucketDto {
        at: show::rfc3339(*at),
        min: some(total.min),
        max: some(total.max),
        mean: some(mean),
        first: some(total.first),
        last: some(total.last),
        count: total.count,
        bad: total.bad,
    }
}

fn encode_place(signal: &SignalId, place: SamplePlace) -> String {
    let place = match place {
        SamplePlace::Placed(at, incarnation, position) => {
            format!("{} {incarnation} {}", at.0, position.0)
        }
        SamplePlace::Unplaced(incarnation, position) => format!("- {incarnation} {}", position.0),
    };
    cursor::encode(&format!("samples of {signal}"), &place)
}

fn decode_place(signal: &SignalId, cursor: &serde_json::Value) -> Result<SamplePlace, String> {
    let place = cursor::decode(&format!("samples of {signal}"), cursor)?;
    let mut words = place.split(' ');
    let mut read = || {
        let at = words.next()?;
        let incarnation = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
        let incarnation = IncarnationId(incarnation);
        let position = Position(words.next()?.parse().ok()?);
        match at {
            "-" => Some(SamplePlace::Unplaced(incarnation, position)),
            at => Some(SamplePlace::Placed(UtcMillis(at.parse().ok()?), incarnation, position)),
        }
    };
    read().ok_or_else(|| "is not a cursor of this list".to_owned())
}
