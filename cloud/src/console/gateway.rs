//! One gateway: its devices with live values, its alarms, a chart, and commands.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use fieldgate_model::{AlarmState, Catalogue, GatewayId, Quality, Scale, UtcMillis};

use super::fleet::GatewayRow;
use super::session::{caller, failed, notice, render};
use super::words;
use crate::auth::Caller;
use crate::state::AppState;
use crate::store::query::{AlarmView, Filter, GatewayView, QueryError, SignalId, SignalKey};
use crate::store::{CommandView, Scopes};

/// Alarms and commands on the page; the API has the rest.
const ROWS_MAX: usize = 10;

#[derive(Template)]
#[template(path = "gateway.html")]
struct Page {
    tenant: String,
    gateway: GatewayRow,
    alarms: Vec<AlarmRow>,
    devices: Vec<DeviceCard>,
    writable: Vec<SignalRow>,
    may_command: bool,
    commands: Vec<CommandRow>,
}

struct AlarmRow {
    key: String,
    severity: String,
    message: String,
    device: String,
    signal: String,
    at: String,
    ago: String,
}

struct DeviceCard {
    name: String,
    profile: String,
    signals: Vec<SignalRow>,
}

#[derive(Clone)]
struct SignalRow {
    id: String,
    device: String,
    name: String,
    kind: &'static str,
    unit: String,
    writable: bool,
    value: String,
    /// The API's word; a person reads it with spaces. Empty if good.
    quality: String,
    bad: bool,
    at: String,
    ago: String,
}

struct CommandRow {
    id: String,
    device: String,
    signal: String,
    value: String,
    unit: String,
    read_back: String,
    state: &'static str,
    open: bool,
    by: String,
    at: String,
    ago: String,
    reason: String,
}

/// The newest of a signal: value as text, quality, time.
type Newest = BTreeMap<SignalKey, (String, Quality, Option<UtcMillis>)>;

pub(super) async fn page(
    State(state): State<AppState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let caller = match caller(&state, &headers, &uri).await {
        Ok(caller) => caller,
        Err(page) => return page,
    };
    let row = match GatewayId::new(id) {
        Ok(id) => state.readers.gateway(caller.tenant.clone(), id).await,
        Err(_) => Ok(None),
    };
    let made = match row {
        Ok(Some(row)) => make(&state, &caller, row).await,
        Ok(None) => {
            let text = "It does not exist, or it is not yours.";
            return notice(StatusCode::NOT_FOUND, "There is no such gateway", text, false);
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(page) => render(StatusCode::OK, &page),
        Err(error) => {
            tracing::error!(%error, "gateway page failed");
            failed()
        }
    }
}

async fn make(state: &AppState, caller: &Caller, row: GatewayView) -> Result<Page, QueryError> {
    let id = row.id.clone();
    let now = state.clock.now();
    let of_gateway = Filter { gateway: Some(id.clone()), limit: ROWS_MAX, ..Filter::default() };
    let active = Filter { alarm_state: Some(AlarmState::Active), ..of_gateway.clone() };
    let alarms = state.readers.alarms(caller.tenant.clone(), active).await?;
    let commands = state.readers.commands(caller.tenant.clone(), of_gateway).await?;
    let catalogue = state.readers.catalogue(id.clone()).await?.unwrap_or_default();
    let newest = newest(state, &id).await?;
    let devices = device_cards(&id, &catalogue, &newest, now);
    let signals = devices.iter().flat_map(|device| &device.signals);
    Ok(Page {
        tenant: caller.tenant.to_string(),
        writable: signals.filter(|signal| signal.writable).cloned().collect(),
        gateway: GatewayRow::new(state, row),
        alarms: alarms.into_iter().map(|alarm| alarm_row(alarm, now)).collect(),
        devices,
        may_command: caller.scopes.contains(Scopes::COMMAND),
        commands: commands.into_iter().map(|row| command_row(row, &catalogue, now)).collect(),
    })
}

async fn newest(state: &AppState, gateway: &GatewayId) -> Result<Newest, QueryError> {
    let stored = state.readers.newest(gateway.clone()).await?;
    let stored = stored.into_iter().map(|(key, sample)| {
        let value = words::value(sample.value.as_ref(), sample.signal.scale);
        (key, (value, sample.quality, sample.at()))
    });
    let mut newest: Newest = stored.collect();
    for sample in state.live.latest(gateway) {
        let value = words::value(sample.value.as_ref(), sample.signal.scale);
        newest.insert(sample.key.clone(), (value, sample.quality, sample.at));
    }
    Ok(newest)
}

fn device_cards(
    gateway: &GatewayId,
    catalogue: &Catalogue,
    newest: &Newest,
    now: UtcMillis,
) -> Vec<DeviceCard> {
    let cards = catalogue.devices.iter().map(|device| {
        let signals = device.signals.iter().map(|signal| {
            let key = SignalKey { device: device.name.clone(), signal: signal.name.clone() };
            let known = newest.get(&key);
            let at = known.and_then(|(_, _, at)| *at);
            let quality = known.map(|(_, quality, _)| *quality);
            SignalRow {
                id: SignalId { gateway: gateway.clone(), key }.to_string(),
                device: device.name.to_string(),
                name: signal.name.to_string(),
                kind: signal.kind.as_str(),
                unit: signal.unit.clone(),
                writable: signal.writable,
                value: known.map_or_else(|| "–".to_owned(), |(value, ..)| value.clone()),
                quality: quality
                    .filter(|quality| *quality != Quality::Good)
                    .map(|quality| quality.to_string())
                    .unwrap_or_default(),
                bad: matches!(quality, Some(Quality::Bad(_))),
                at: words::at(at),
                ago: words::ago(at, now),
            }
        });
        DeviceCard {
            name: device.name.to_string(),
            profile: device.profile.clone(),
            signals: signals.collect(),
        }
    });
    cards.collect()
}

fn alarm_row(alarm: AlarmView, now: UtcMillis) -> AlarmRow {
    AlarmRow {
        key: format!("{}/{}", alarm.device, alarm.alarm),
        severity: alarm.severity,
        message: alarm.message,
        device: alarm.device,
        signal: alarm.signal,
        at: words::at(alarm.raised_at),
        ago: words::ago(alarm.raised_at, now),
    }
}

fn command_row(command: CommandView, catalogue: &Catalogue, now: UtcMillis) -> CommandRow {
    let mut devices = catalogue.devices.iter();
    let device = devices.find(|device| device.name.as_str() == command.device);
    let mut signals = device.into_iter().flat_map(|device| &device.signals);
    let signal = signals.find(|signal| signal.name.as_str() == command.signal);
    CommandRow {
        unit: signal.map(|signal| signal.unit.clone()).unwrap_or_default(),
        read_back: command
            .read_back
            .as_ref()
            .map(|value| words::value(Some(value), Scale::IDENTITY))
            .unwrap_or_default(),
        id: command.id.to_string(),
        device: command.device,
        signal: command.signal,
        value: words::value(Some(&command.value), Scale::IDENTITY),
        state: command.state.as_str(),
        open: command.state.is_open(),
        by: command.created_by,
        at: words::at(Some(command.created_at)),
        ago: words::ago(Some(command.created_at), now),
        // Backticks are for terminals.
        reason: command.reason.unwrap_or_default().replace('`', ""),
    }
}
