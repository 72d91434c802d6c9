//! A whole HTTP face on a free port, over a database that the store itself has filled.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this")]

use std::path::PathBuf;
use std::sync::Arc;

use fieldgate_cloud::auth;
use fieldgate_cloud::clock::Clock;
use fieldgate_cloud::live::Live;
use fieldgate_cloud::metrics::Metrics;
use fieldgate_cloud::state::AppState;
use fieldgate_cloud::store::query::Readers;
use fieldgate_cloud::store::{
    AlarmChange, BatchState, Commit, DATABASE_FILE, NewConsoleLink, NewTenant, NewToken, Scopes,
    SqliteStore, Store, Writer,
};
use fieldgate_model::{
    AlarmKey, AlarmState, AlarmTransition, Batch, BootId, Catalogue, CatalogueDevice,
    CatalogueSignal, Cause, Content, DeviceName, Digest, GatewayId, IncarnationId, Millis,
    Position, Quality, Sample, Scale, Severity, SignalIndex, SignalName, Stream, TenantId,
    UtcMillis, Value, ValueKind,
};
use fieldgate_wire::{catalogue_id, v1};
use tokio::runtime::Runtime;

/// 2026-11-22T12:00:00Z, and what the service's clock always says.
pub const NOW: i64 = 1_795_348_800_000;

/// UTC of the boot of the seeded gateways: two hours before.
pub const BOOT: i64 = NOW - 7_200_000;

/// A running HTTP face. Its database goes when it goes.
pub struct Server {
    pub address: String,
    pub state: AppState,
    pub runtime: Runtime,
    folder: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub media: String,
    pub location: String,
    pub cookie: String,
    pub authenticate: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    pub fn start() -> Self {
        let name = auth::random_hex::<8>().expect("random bytes");
        let folder = std::env::temp_dir().join(format!("fieldgate-api-{name}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(DATABASE_FILE);
        let mut store = SqliteStore::open(&path).expect("a database");
        seed(&mut store);
        let (writer, _thread) = Writer::start(store).expect("a writer");
        let readers = Readers::open(&path, 2).expect("readers");
        let clock = Clock::new(|| UtcMillis(NOW));
        let metrics = Arc::new(Metrics::default());
        let state = AppState::new(writer, readers, Live::new(), metrics, clock);
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let router = fieldgate_cloud::http::router(state.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, state, runtime, folder }
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, &[("authorization", &bearer(token))], None)
    }

    pub fn post(&self, path: &str, token: &str, body: &serde_json::Value) -> Answer {
        let headers = [("authorization", &*bearer(token)), ("content-type", "application/json")];
        self.call("POST", path, &headers, Some(&body.to_string()))
    }

    pub fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent: ureq::Agent = config.build().into();
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let request = request.body(body.unwrap_or_default().to_owned()).expect("a request");
        let mut answer = agent.run(request).expect("an answer");
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (media, location) = (header("content-type"), header("location"));
        let (cookie, authenticate) = (header("set-cookie"), header("www-authenticate"));
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().expect("a body");
        Answer { status, media, location, cookie, authenticate, body }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The folder is under the system's temporary folder: leaving it would be no failure.
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn bearer(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("Bearer {}", token_text(token)) }
}

/// The text of a seeded token.
pub fn token_text(id: &str) -> String {
    format!("fgt_{id}_{}", "0".repeat(64))
}

pub fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("an id")
}

pub fn gateway(id: &str) -> GatewayId {
    GatewayId::new(id).expect("an id")
}

/// Tenants `acme` and `beta`, a token of each (named as the tenant), `acme-reader` that may only
/// read, and `boss` that manages; a gateway with history each, `g-acme` and `g-beta`.
fn seed(store: &mut SqliteStore) {
    let now = UtcMillis(NOW);
    for id in ["acme", "beta"] {
        let tenant = NewTenant { id: tenant(id), name: format!("{id} Ltd"), parent: None };
        store.add_tenant(&tenant, "test", now).expect("a tenant");
    }
    let most = Scopes::READ.union(Scopes::COMMAND).union(Scopes::ADMIN);
    for (id, of, scopes) in [
        ("acme", "acme", most),
        ("acme-reader", "acme", Scopes::READ),
        ("beta", "beta", most),
        ("boss", "management", most.union(Scopes::MANAGEMENT)),
    ] {
        let hash = auth::hash(&token_text(id));
        let (id, tenant) = (id.to_owned(), tenant(of));
        let name = id.clone();
        let token = NewToken { id, tenant, name, hash, scopes, expires_at: None };
        store.add_token(&token, "test", now).expect("a token");
    }
    for id in ["acme", "beta"] {
        let gateway = gateway(&format!("g-{id}"));
        let name = format!("pump-house-{id}");
        store.add_gateway(&tenant(id), &gateway, &name, &[7; 32], "test", now).expect("a gateway");
        let list = catalogue();
        let body = v1::encode_catalogue(&list);
        store.save_catalogue(&gateway, &catalogue_id(&list), &body).expect("a catalogue");
        let link = NewConsoleLink {
            hash: auth::hash(&format!("link-{id}")),
            tenant: tenant(id),
            scopes: Scopes::READ.union(Scopes::COMMAND),
            expires_at: UtcMillis(NOW + 60_000),
        };
        store.add_console_link(&link, "test", now).expect("a link");
        let commits = history(id, &gateway);
        store.commit(&commits, now).expect("history");
    }
}

pub fn catalogue() -> Catalogue {
    let signal = |name: &str, kind, unit: &str, scale, writable| CatalogueSignal {
        name: SignalName::new(name).expect("a name"),
        kind,
        unit: unit.to_owned(),
        scale,
        writable,
    };
    let tenth = Scale::new(0.1, 0.0).expect("a scale");
    let device = |name: &str, profile: &str, signals| CatalogueDevice {
        name: DeviceName::new(name).expect("a name"),
        profile: profile.to_owned(),
        signals,
    };
    Catalogue {
        devices: vec![
            device(
                "meter",
                "eastron-sdm630@1",
                vec![
                    signal("voltage_l1", ValueKind::Float32, "V", Scale::IDENTITY, false),
                    signal("energy", ValueKind::Unsigned, "Wh", Scale::IDENTITY, false),
                    signal("status", ValueKind::Text, "", Scale::IDENTITY, false),
                ],
            ),
            device(
                "pump",
                "grundfos-cue@2",
                vec![
                    signal("setpoint", ValueKind::Int, "bar", tenth, true),
                    signal("running", ValueKind::Bool, "", Scale::IDENTITY, true),
                    signal("pressure", ValueKind::Int, "bar", tenth, false),
                ],
            ),
        ],
    }
}

/// Samples of one batch, by signal and then by arrival.
pub fn batch(
    incarnation: u8,
    first: u64,
    utc_offset: Option<UtcMillis>,
    samples: Vec<Sample>,
) -> Batch {
    let next = Position(first + u64::try_from(samples.len()).expect("few"));
    Batch {
        incarnation: IncarnationId([incarnation; 16]),
        stream: Stream::Samples,
        first: Position(first),
        next,
        chain: Digest([1; 32]),
        boot: BootId([1; 16]),
        utc_offset,
        content: Content::Samples { catalogue: catalogue_id(&catalogue()), samples },
    }
}

pub fn sample(signal: u32, at: u64, value: Value) -> Sample {
    let (signal, at) = (SignalIndex(signal), Millis(at));
    Sample { signal, at, value: Some(value), quality: Quality::Good }
}

pub fn commit(of: &str, gateway: &GatewayId, batch: &Batch) -> Commit {
    let times: Vec<Millis> = match &batch.content {
        Content::Samples { samples, .. } => samples.iter().map(|sample| sample.at).collect(),
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => Vec::new(),
    };
    let ends = times.iter().min().copied().zip(times.iter().max().copied());
    let span = batch.utc_offset.zip(ends);
    Commit {
        tenant: tenant(of),
        gateway: gateway.clone(),
        incarnation: batch.incarnation,
        stream: batch.stream,
        first: batch.first,
        next: batch.next,
        chain: batch.chain,
        catalogue: Some(catalogue_id(&catalogue())),
        boot: batch.boot,
        mono: None,
        anchors: Vec::new(),
        span: span.map(|(offset, (from, to))| (offset + from, offset + to)),
        state: BatchState::Readable,
        samples: batch.next - batch.first,
        events: 0,
        alarms: Vec::new(),
        closings: Vec::new(),
        steps: Vec::new(),
        local_writes: Vec::new(),
        body: v1::encode_batch(batch),
    }
}

/// 7,200 seconds of `pressure` and `voltage_l1`, in batches of a minute, some of which overlap; one
/// batch whose time is not known; integers that JSON readers would round; an active alarm.
fn history(of: &str, gateway: &GatewayId) -> Vec<Commit> {
    let mut commits = Vec::new();
    let mut first = 0;
    let offset = Some(UtcMillis(BOOT));
    for minute in 0..120_u64 {
        // A late tail: the last ten seconds of a minute reach into the next one.
        let seconds = (minute * 60)..(minute * 60 + 60);
        let at = |second: u64| second * 1000 + (second % 7) * 1500;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "small numbers"
        )]
        let voltage = |second: u64| (230.0 + (second as f64 / 300.0).sin() * 4.0) as f32;
        let mut samples: Vec<Sample> = seconds
            .clone()
            .map(|second| sample(0, at(second), Value::Float32(voltage(second))))
            .collect();
        samples.extend(seconds.map(|second| {
            let wave = i64::try_from(second % 600).expect("small");
            sample(5, at(second), Value::Int(40 + (wave - 300).abs() / 15))
        }));
        let sealed = batch(1, first, offset, samples);
        first = sealed.next.0;
        commits.push(commit(of, gateway, &sealed));
    }
    let exact = vec![
        sample(1, 7_190_000, Value::Unsigned((1 << 53) + 1)),
        sample(1, 7_191_000, Value::Unsigned(42)),
        sample(2, 7_191_000, Value::Text("run, \"auto\"".to_owned())),
        sample(3, 7_191_000, Value::Int(45)),
        sample(4, 7_191_000, Value::Bool(true)),
        Sample {
            signal: SignalIndex(5),
            at: Millis(7_219_000),
            value: None,
            quality: Quality::Bad(Cause::NoAnswer),
        },
    ];
    let sealed = batch(1, first, offset, exact);
    let mut last = commit(of, gateway, &sealed);
    last.alarms = vec![alarm()];
    commits.push(last);
    let unplaced = (0..5).map(|n| sample(5, n * 1000, Value::Int(1))).collect();
    commits.push(commit(of, gateway, &batch(2, 0, None, unplaced)));
    commits
}

fn alarm() -> AlarmChange {
    let name = |text: &str| SignalName::new(text).expect("a name");
    AlarmChange {
        transition: AlarmTransition {
            key: AlarmKey {
                device: DeviceName::new("pump").expect("a name"),
                alarm: name("pressure_high"),
            },
            occurrence: 3,
            transition: 5,
            state: AlarmState::Active,
            severity: Severity::High,
            signal: name("pressure"),
            value: 6.1,
            limit: 6.0,
            message: "Pressure 6.1 bar above 6.0 bar".to_owned(),
        },
        at: Some(UtcMillis(NOW - 120_000)),
    }
}
