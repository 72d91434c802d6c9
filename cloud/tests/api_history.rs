//! History, commands and live values over HTTP, as a program sees them.

mod api_support;

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use api_support::{BOOT, NOW, Server, catalogue, gateway, sample, tenant, token_text};
use fieldgate_cloud::live::LiveUpdate;
use fieldgate_model::{BootId, UtcMillis, Value};
use serde_json::json;

const PRESSURE: &str = "/v1/signals/g-acme.pump.pressure/samples";

fn accept(server: &Server, path: &str, media: &str) -> api_support::Answer {
    let bearer = format!("Bearer {}", token_text("acme"));
    server.call("GET", path, &[("authorization", &bearer), ("accept", media)], None)
}

#[test]
fn paging_tells_each_sample_once_and_in_order() {
    let server = Server::start();
    let whole = server.get(&format!("{PRESSURE}?limit=10000&unplaced=true"), "acme").json();
    let whole = whole["items"].as_array().expect("items").clone();
    assert_eq!(whole.len(), 7200 + 1 + 5);
    let times: Vec<_> = whole.iter().filter_map(|item| item["at"].as_str()).collect();
    assert_eq!(times.len(), 7201);
    assert!(times.is_sorted());
    assert!(whole[7201..].iter().all(|item| item["at"].is_null()));
    let mut paged = Vec::new();
    let mut next = json!("");
    while let Some(cursor) = next.as_str() {
        let cursor = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let page =
            server.get(&format!("{PRESSURE}?limit=997&unplaced=true{cursor}"), "acme").json();
        paged.extend(page["items"].as_array().expect("items").clone());
        next = page["next"].clone();
    }
    assert_eq!(paged, whole);
}

#[test]
fn a_range_includes_its_start_and_excludes_its_end() {
    let server = Server::start();
    // Second 7 lies on its round second, see the seed.
    let at = |second: i64| BOOT + second * 1000;
    for (from, to, expected) in
        [(at(7), at(7) + 1, 1), (at(7) + 1, at(7) + 2, 0), (at(6), at(7), 0), (at(7), at(7), 0)]
    {
        let page = server.get(&format!("{PRESSURE}?from={from}&to={to}"), "acme").json();
        let count = page["items"].as_array().expect("items").len();
        assert_eq!(count, expected, "{from} {to}");
    }
    let text = "2026-11-22T10:00:07Z";
    let page = server.get(&format!("{PRESSURE}?from={text}&limit=1"), "acme").json();
    assert_eq!(page["items"][0]["at"], "2026-11-22T10:00:07.000Z");
    assert!(server.get(PRESSURE, "acme").json()["next"].is_string());
}

#[test]
fn json_ndjson_and_csv_tell_the_same() {
    let server = Server::start();
    for signal in ["pump.pressure", "meter.energy", "meter.status", "pump.running"] {
        let path = format!("/v1/signals/g-acme.{signal}/samples");
        let page = accept(&server, &format!("{path}?limit=10000"), "application/json").json();
        let items = page["items"].as_array().expect("items");
        let lines = accept(&server, &path, "application/x-ndjson");
        assert_eq!(lines.media, "application/x-ndjson");
        let lines: Vec<serde_json::Value> =
            lines.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(&lines, items, "{signal}");
        let csv = accept(&server, &path, "text/csv");
        assert!(csv.media.starts_with("text/csv"));
        let rows: Vec<&str> = csv.body.trim_end().split("\r\n").collect();
        assert_eq!(rows[0], "at,value,quality,committed_at");
        assert_eq!(rows.len(), items.len() + 1, "{signal}");
        for (row, item) in rows[1..].iter().zip(items) {
            let value = &item["value"];
            let value = match value.as_str() {
                Some(text) if text.contains(',') => format!("\"{}\"", text.replace('"', "\"\"")),
                Some(text) => text.to_owned(),
                None if value.is_null() => String::new(),
                None => value.to_string(),
            };
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            let (at, quality, committed) = (text("at"), text("quality"), text("committed_at"));
            assert_eq!(*row, format!("{at},{value},{quality},{committed}"));
        }
    }
}

#[test]
fn an_integer_of_64_bits_stays_exact() {
    let server = Server::start();
    let page = server.get("/v1/signals/g-acme.meter.energy/samples", "acme").json();
    assert_eq!(page["items"][0]["value"], json!("9007199254740993"));
    assert_eq!(page["items"][1]["value"], json!(42));
    let page = server.get(&format!("{PRESSURE}?limit=1"), "acme").json();
    assert_eq!(page["items"][0]["value"], json!(6.0), "raw 60 at a scale of 0.1");
}

#[test]
fn a_summary_folds_the_range_and_keeps_its_extremes() {
    let server = Server::start();
    let path = PRESSURE.replace("samples", "summary");
    let to = NOW + 60_000;
    let summary = server.get(&format!("{path}?from={BOOT}&to={to}&points=10"), "acme").json();
    let items = summary["items"].as_array().expect("items");
    let count: u64 = items.iter().filter_map(|item| item["count"].as_u64()).sum();
    let bad: u64 = items.iter().filter_map(|item| item["bad"].as_u64()).sum();
    assert_eq!((count, bad), (7200, 1));
    assert_eq!(items[0]["min"], json!(4.0));
    assert_eq!(items[0]["max"], json!(6.0));
}

#[test]
fn samples_are_folded_when_asked_for_every_so_often() {
    let server = Server::start();
    let to = NOW + 60_000;
    let range = format!("{PRESSURE}?from={BOOT}&to={to}");
    let folded = server.get(&format!("{range}&every=15m"), "acme").json();
    assert_eq!(folded["width_ms"], json!(900_000));
    let items = folded["items"].as_array().expect("items");
    let count: u64 = items.iter().filter_map(|item| item["count"].as_u64()).sum();
    assert_eq!(count, 7200);
    assert!(items.iter().all(|item| item["first"].is_number() && item["last"].is_number()));
    for wrong in [format!("{PRESSURE}?every=15m"), format!("{range}&every=1ms")] {
        assert_eq!(server.get(&wrong, "acme").status, 400, "{wrong}");
    }
}

#[test]
fn an_inventory_shows_the_newest_value_of_each_signal() {
    let server = Server::start();
    let gateways = server.get("/v1/gateways", "acme").json();
    assert_eq!(gateways["items"].as_array().expect("items").len(), 1);
    assert_eq!(gateways["items"][0]["active_alarms"], 1);
    let devices = server.get("/v1/gateways/g-acme/devices", "acme").json();
    assert_eq!(devices["items"][1]["name"], "pump");
    let signals = server.get("/v1/gateways/g-acme/signals", "acme").json();
    let by_id = |id: &str| {
        let items = signals["items"].as_array().expect("items").iter();
        items.clone().find(|item| item["id"] == id).expect("the signal").clone()
    };
    let setpoint = by_id("g-acme.pump.setpoint");
    assert_eq!(setpoint["value"], json!(4.5));
    assert_eq!((&setpoint["unit"], &setpoint["writable"]), (&json!("bar"), &json!(true)));
    assert_eq!(by_id("g-acme.pump.pressure")["quality"], "no_answer");
    let alarms = server.get("/v1/alarms?state=active&gateway=g-acme", "acme").json();
    assert_eq!(alarms["items"][0]["alarm"], "pressure_high");
    assert_eq!(server.get("/v1/alarms?state=normal", "acme").json()["items"], json!([]));
}

#[test]
fn usage_and_audit_are_told() {
    let server = Server::start();
    let usage = server.get("/v1/usage", "acme").json();
    assert_eq!(usage["items"][0]["samples"], 14_411);
    let csv = accept(&server, "/v1/usage", "text/csv").body;
    let line = csv.lines().nth(1).expect("a line").to_owned();
    assert!(line.starts_with("acme,g-acme,2026-11-22,122,14411,"), "{line}");
    let audit = server.get("/v1/audit?limit=1", "acme").json();
    assert!(audit["items"][0]["action"].is_string() && audit["next"].is_string(), "{audit}");
    let all = server.get("/v1/usage?all=true", "boss").json();
    assert_eq!(all["items"].as_array().expect("items").len(), 2);
}

#[test]
fn a_key_makes_a_command_once() {
    let server = Server::start();
    let body = json!({"gateway": "g-acme", "device": "pump", "signal": "setpoint", "value": 5.5});
    let bearer = format!("Bearer {}", token_text("acme"));
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("idempotency-key", "key-1"),
    ];
    let send = |body: &serde_json::Value| {
        server.call("POST", "/v1/commands", &headers, Some(&body.to_string()))
    };
    let first = send(&body);
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.json()["value"], json!(5.5));
    let again = send(&body);
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert_eq!(
        server.get("/v1/commands", "acme").json()["items"].as_array().map(Vec::len),
        Some(1)
    );
    let mut other = body.clone();
    other["value"] = json!(6);
    assert_eq!(send(&other).status, 409);
    let waited = server.get(&format!("{}?wait=100ms", first.location), "acme").json();
    assert_eq!(waited["state"], "accepted");
    let cancel = format!("{}/cancel", first.location);
    let cancelled = server.post(&cancel, "acme", &json!({}));
    assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
    assert_eq!(server.post(&cancel, "acme", &json!({})).status, 200, "again is harmless");
}

#[test]
fn a_command_that_cannot_work_is_refused_at_once() {
    let server = Server::start();
    for (field, value, wrong) in [
        ("device", json!("nothing"), "device"),
        ("signal", json!("nothing"), "signal"),
        ("signal", json!("pressure"), "signal"),
        ("value", json!("on"), "value"),
        ("value", json!(true), "value"),
        ("ttl", json!("9d"), "ttl"),
        ("not_after", json!(NOW), "not_after"),
    ] {
        let mut body =
            json!({"gateway": "g-acme", "device": "pump", "signal": "setpoint", "value": 5});
        body[field] = value;
        let answer = server.post("/v1/commands", "acme", &body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["name"], wrong, "{body}");
    }
}

#[test]
fn a_live_stream_begins_with_the_newest_and_goes_on() {
    let server = Server::start();
    let live = server.state.live.clone();
    let update = |at: u64, value: i64| LiveUpdate {
        tenant: tenant("acme"),
        gateway: gateway("g-acme"),
        provisional: true,
        utc_offset: Some(UtcMillis(BOOT)),
        boot: BootId([1; 16]),
        catalogue: Arc::new(catalogue()),
        samples: vec![sample(5, at, Value::Int(value))],
        alarms: Vec::new(),
    };
    live.publish(update(1000, 51));
    let watched = live.watched();
    let bearer = format!("Bearer {}", token_text("acme"));
    let request = ureq::get(format!("{}/v1/gateways/g-acme/live", server.address));
    let answer = request.header("authorization", bearer).call().expect("a stream");
    let mut lines = BufReader::new(answer.into_body().into_reader()).lines();
    let mut next = || loop {
        let told = lines.next().expect("a line").expect("readable");
        if let Some(data) = told.strip_prefix("data: ") {
            return serde_json::from_str::<serde_json::Value>(data).expect("JSON");
        }
    };
    let first = next();
    assert_eq!(first["signal"], "g-acme.pump.pressure");
    assert_eq!(first["value"], json!(5.1));
    assert!(watched.borrow().contains(&gateway("g-acme")));
    let mut stranger = update(2000, 99);
    stranger.gateway = gateway("g-beta");
    live.publish(stranger);
    live.publish(update(2000, 52));
    let second = next();
    assert_eq!(second["value"], json!(5.2));
    assert_eq!(second["provisional"], json!(true));
    assert_eq!(second["at"], "2026-11-22T10:00:02.000Z");
}

#[test]
fn the_service_says_that_it_is_well() {
    let server = Server::start();
    assert_eq!(server.get("/healthz", "").body, "ok\n");
    assert_eq!(server.get("/readyz", "").body, "ready\n");
    server.get("/v1/gateways/g-acme", "acme");
    let page = server.get("/metrics", "");
    assert!(page.media.starts_with("text/plain; version=0.0.4"));
    let expected = "fieldgate_http_requests_total{route=\"/v1/gateways/{id}\",method=\"GET\",status=\"200\"} 1";
    assert!(page.body.contains(expected), "{}", page.body);
}
