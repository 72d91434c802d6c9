//! `/v1/gateways/{id}/live`: what changes, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use fieldgate_model::{AlarmTransition, GatewayId};
use serde_json::json;
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::{Named, Parameters};
use super::gateways::owned;
use super::problem::{Problem, ProblemBody};
use crate::auth::Caller;
use crate::live::{Live, LiveNews, LiveSample, Watching};
use crate::metrics::Metrics;
use crate::show;
use crate::state::AppState;
use crate::store::Scopes;
use crate::store::query::SignalId;

/// A comment this often, so that proxies with a minute's patience keep the stream open.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A stream ends after this; the browser opens another, whose session is looked at again.
const STREAM_MAX: Duration = Duration::from_mins(15);

/// Streams at once: a thousand screens, each some kilobytes of buffers.
const STREAMS_MAX: u64 = 1000;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(live))
}

#[utoipa::path(get, path = "/v1/gateways/{id}/live", tag = "gateways",
    description = "Events `sample` {signal, value, unit, quality, at, provisional}, `alarm`, \
        `restamped` {gateway} when better anchors of the time of day have moved its history, \
        and `missed` where the reader was too slow: the newest values follow, alarms are to be \
        read again. Begins with the newest values. Ends after 15 minutes: connect again.",
    params(("id" = String, Path, description = "the gateway")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 404, body = ProblemBody)))]
async fn live(
    State(state): State<AppState>,
    caller: Caller,
    id: Named,
    Parameters(query): Parameters,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    caller.need(Scopes::READ)?;
    query.finish()?;
    let gateway = owned(&state, &caller, id.parse(GatewayId::new)?).await?.id;
    if state.metrics.live_streams.get() >= STREAMS_MAX {
        return Err(Problem::Unavailable("too many live streams are open"));
    }
    let events = Viewer::new(&state, gateway);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// One open stream.
struct Viewer {
    gateway: GatewayId,
    live: Live,
    metrics: Arc<Metrics>,
    opened: Instant,
    news: BroadcastStream<Arc<LiveNews>>,
    /// At most what one update holds, or one snapshot.
    waiting: VecDeque<Event>,
    _watching: Watching,
}

impl Stream for Viewer {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(news) = ready!(Pin::new(&mut self.news).poll_next(context)) else {
                return Poll::Ready(None);
            };
            match self.events(news) {
                Some(events) => self.waiting.extend(events),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Viewer {
    fn new(state: &AppState, gateway: GatewayId) -> Self {
        state.metrics.live_streams.up();
        let watching = state.live.watch(&gateway);
        // Subscribed before the snapshot, so that nothing falls between the two.
        let news = BroadcastStream::new(state.live.subscribe());
        let mut viewer = Self {
            gateway,
            live: state.live.clone(),
            metrics: Arc::clone(&state.metrics),
            opened: Instant::now(),
            news,
            waiting: VecDeque::new(),
            _watching: watching,
        };
        viewer.waiting = viewer.snapshot().into();
        viewer
    }

    fn snapshot(&self) -> Vec<Event> {
        let latest = self.live.latest(&self.gateway);
        latest.iter().map(|sample| sample_event(&self.gateway, sample)).collect()
    }

    /// What a message means for this viewer; `None` ends the stream.
    fn events(&self, news: Result<Arc<LiveNews>, BroadcastStreamRecvError>) -> Option<Vec<Event>> {
        if self.opened.elapsed() > STREAM_MAX {
            return None;
        }
        let news = match news {
            Ok(news) => news,
            Err(BroadcastStreamRecvError::Lagged(updates)) => {
                // A snapshot has no alarms: whoever shows them has to read them again.
                let data = json!({ "updates": updates }).to_string();
                let mut events = vec![Event::default().event("missed").data(data)];
                events.extend(self.snapshot());
                return Some(events);
            }
        };
        if news.gateway != self.gateway {
            return Some(Vec::new());
        }
        let samples = news.samples.iter().map(|sample| sample_event(&self.gateway, sample));
        let alarms = news.alarms.iter();
        let alarms = alarms.map(|alarm| alarm_event(&self.gateway, alarm, news.provisional));
        let restamped = news.restamped.then(|| {
            let data = json!({ "gateway": self.gateway.to_string() }).to_string();
            Event::default().event("restamped").data(data)
        });
        Some(samples.chain(alarms).chain(restamped).collect())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.metrics.live_streams.down();
    }
}

fn sample_event(gateway: &GatewayId, sample: &LiveSample) -> Event {
    let id = SignalId { gateway: gateway.clone(), key: sample.key.clone() };
    let value = sample.value.as_ref().map(|value| show::engineering(value, sample.signal.scale));
    let data = json!({
        "signal": id.to_string(),
        "value": value,
        "unit": sample.signal.unit,
        "quality": sample.quality.to_string(),
        "at": sample.at.map(show::rfc3339),
        "provisional": sample.provisional,
    });
    Event::default().event("sample").data(data.to_string())
}

fn alarm_event(gateway: &GatewayId, alarm: &AlarmTransition, provisional: bool) -> Event {
    let data = json!({
        "gateway": gateway.to_string(),
        "device": alarm.key.device.to_string(),
        "alarm": alarm.key.alarm.to_string(),
        "occurrence": alarm.occurrence,
        "transition": alarm.transition,
        "state": alarm.state.as_str(),
        "severity": alarm.severity.as_str(),
        "signal": alarm.signal.to_string(),
        "value": alarm.value,
        "limit": alarm.limit,
        "message": alarm.message,
        "provisional": provisional,
    });
    Event::default().event("alarm").data(data.to_string())
}
