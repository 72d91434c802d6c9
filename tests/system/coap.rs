//! CoAP devices that nobody here wrote, end to end: aiocoap and libcoap, read, observed, written,
//! killed and pushing.

use std::fs;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{
    Api, Cloud, CloudOptions, CoapServer, Edge, EdgeConfig, Process, Pymodbus, Scratch, binary,
    coap_post, free_udp_port, until,
};
use serde_json::{Value, json};

use crate::rig::{PATIENCE, text};

/// The built-in profile of the firmware examples.
const SENSOR: &str = "demo-coap-sensor";

/// What libcoap's example server has.
const LIBCOAP: &str = r#"
[profile]
name = "dut"
version = 1

[[resource]]
path = "/time"
observe = true

[[signal]]
name = "time"
read = "/time"
kind = "text"

[[signal]]
name = "data"
read = "/example_data"
kind = "int"
write = true

[[signal]]
name = "missing"
read = "/nowhere"
"#;

/// One gateway in one cloud with CoAP devices. Fields are dropped in this order.
struct Field {
    edge: Edge,
    api: Api,
    gateway: String,
    _cloud: Cloud,
    scratch: Scratch,
}

impl Field {
    /// A gateway whose file ends with `rest`.
    fn start(name: &str, rest: &str) -> Result<Self> {
        let scratch = Scratch::new(&format!("fieldgate-{name}"))?;
        let cloud = Cloud::start(&scratch, CloudOptions::default())?;
        let url = format!("mqtts://{}", cloud.mqtt());
        cloud.add_tenant("acme")?;
        let credentials = scratch.folder("gateway")?.join("credentials.toml");
        let gateway = cloud.add_gateway("acme", "roof", &url, &credentials)?;
        let token = cloud.add_token("acme", "read command", "test")?;
        let config = EdgeConfig {
            name: "gateway".to_owned(),
            cloud: Some((url, credentials)),
            rest: rest.to_owned(),
            ..EdgeConfig::default()
        };
        let edge = Edge::start(&scratch, &config)?;
        let api = cloud.api(Some(&token));
        Ok(Self { edge, api, gateway, _cloud: cloud, scratch })
    }

    /// Every sample of a signal of `dut` in the cloud, the oldest first.
    fn samples(&self, signal: &str) -> Result<Vec<Value>> {
        let path = format!("/v1/signals/{}.dut.{signal}/samples", self.gateway);
        let reply = self.api.get_as(&path, "application/x-ndjson")?;
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text);
        reply.text.lines().map(|line| serde_json::from_str(line).context("NDJSON")).collect()
    }

    /// Until the cloud has a sample of this signal that is as `is_it` wants.
    fn arrives(&self, signal: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        until(&format!("a sample of `{signal}`"), PATIENCE, || {
            Ok(self.samples(signal)?.into_iter().find(|sample| is_it(sample)))
        })
    }

    /// Writes by a command, and gives how it ended.
    fn command(&self, signal: &str, value: &Value) -> Result<Value> {
        let body = json!({
            "gateway": self.gateway, "device": "dut", "signal": signal, "value": value,
            "verify": true,
        });
        let command = self.api.post("/v1/commands", &body)?.good("the command")?;
        let path = format!("/v1/commands/{}", text(&command, "id")?);
        until("the end of the command", PATIENCE, || {
            let command = self.api.json(&path)?;
            let is_open = command.get("open").and_then(Value::as_bool);
            Ok((is_open == Some(false)).then_some(command))
        })
    }
}

fn device(profile: &str, at: &str, more: &str) -> String {
    format!(
        "[[device]]\nname = \"dut\"\nprofile = \"{profile}\"\ncoap = \"coap://{at}\"\n\
         every = \"300 ms\"\ntimeout = \"2 s\"\n{more}"
    )
}

fn aiocoap(scratch: &Scratch, arguments: &[&str]) -> Result<Pymodbus> {
    Ok(Pymodbus::start_script("aiocoap_server.py", scratch.path(), arguments)?.0)
}

fn is_good(sample: &Value) -> bool {
    sample.get("quality") == Some(&json!("good"))
}

/// Nothing came late: times never fall. An answer and a notification may come in one millisecond.
fn is_in_order(samples: &[Value]) -> Result<()> {
    let times: Vec<_> = samples.iter().filter_map(|sample| sample.get("at")?.as_str()).collect();
    ensure!(times.len() == samples.len(), "a sample without a time");
    ensure!(times.windows(2).all(|pair| pair[0] <= pair[1]), "not in order: {times:?}");
    Ok(())
}

#[test]
fn a_coap_device_is_read_observed_and_written_from_the_cloud() -> Result<()> {
    let folder = Scratch::new("fieldgate-coap-device")?;
    let server = aiocoap(&folder, &["--tick", "0.2"])?;
    let field = Field::start("coap", &device(SENSOR, server.listen(), ""))?;
    field.arrives("temperature", |sample| sample.get("value") == Some(&json!(21.5)))?;
    field.arrives("hum", |sample| sample.get("value").and_then(Value::as_f64) == Some(43.0))?;

    // The counter is told by the device itself: each of its values comes, and none comes twice.
    until("notifications", PATIENCE, || {
        let status = field.edge.status()?;
        let told = status.pointer("/devices/0/notifications").and_then(Value::as_u64);
        Ok(told.filter(|told| *told > 5))
    })?;
    let counts = until("counted samples", PATIENCE, || {
        let samples = field.samples("count")?;
        Ok((samples.len() > 8).then_some(samples))
    })?;
    let counts: Vec<_> =
        counts.iter().filter_map(|sample| sample.get("value")?.as_u64()).skip(2).collect();
    // Between its registration and what follows a device may leave states out (RFC 7641, 1.3).
    ensure!(counts.is_sorted_by(|one, next| one < next), "counted {counts:?}");
    let last = &counts[counts.len().saturating_sub(5)..];
    ensure!(last.windows(2).all(|pair| pair[0] + 1 == pair[1]), "counted {counts:?}");

    let ended = field.command("led", &json!(true))?;
    ensure!(ended.get("state") == Some(&json!("done")), "the command ended as {ended}");
    field.arrives("led", |sample| sample.get("value") == Some(&json!(true)))?;
    Ok(())
}

#[test]
fn a_host_that_dies_and_comes_back_changes_quality_and_nothing_comes_twice() -> Result<()> {
    let folder = Scratch::new("fieldgate-coap-dies")?;
    let port = free_udp_port()?.to_string();
    let mut server = aiocoap(&folder, &["--port", &port])?;
    let field = Field::start("coap-dies", &device(SENSOR, server.listen(), ""))?;
    field.arrives("count", is_good)?;
    field.arrives("temperature", is_good)?;
    server.process().kill()?;
    for signal in ["temperature", "count"] {
        field.arrives(signal, |sample| {
            let quality = sample.get("quality").and_then(Value::as_str);
            matches!(quality, Some("no_answer" | "link_down"))
        })?;
    }
    // The quality comes with the first poll that fails, the state when it is sure.
    until("the device to be known as silent", PATIENCE, || {
        let status = field.edge.status()?;
        let state = status.pointer("/devices/0/state").and_then(Value::as_str);
        Ok(matches!(state, Some("silent" | "link_down")).then_some(()))
    })?;

    let _again = aiocoap(&folder, &["--port", &port])?;
    for signal in ["temperature", "count"] {
        until(&format!("`{signal}` to be good again"), PATIENCE, || {
            Ok(field.samples(signal)?.last().filter(|sample| is_good(sample)).map(drop))
        })?;
        is_in_order(&field.samples(signal)?)?;
    }
    Ok(())
}

#[test]
fn libcoaps_server_is_read_observed_and_written_and_what_it_lacks_is_named() -> Result<()> {
    let folder = Scratch::new("fieldgate-libcoap")?;
    let server = CoapServer::libcoap(folder.path(), &["-d", "10"])?;
    let scratch = Scratch::new("fieldgate-libcoap-edge")?;
    fs::write(scratch.folder("alone/profiles")?.join("dut.toml"), LIBCOAP)?;
    let rest = device("dut", &server.listen().to_string(), "");
    let config = EdgeConfig { name: "alone".to_owned(), rest, ..EdgeConfig::default() };
    let edge = Edge::start(&scratch, &config)?;
    let observed = "/devices/0/notifications";
    until("notifications of the time", PATIENCE, || {
        let told = edge.status()?.pointer(observed).and_then(Value::as_u64);
        Ok(told.filter(|told| *told > 1))
    })?;
    let explained = edge.verb(&["explain", "dut", "missing"])?;
    ensure!(explained.stdout.contains("coap_4.04"), "explain said: {}", explained.stdout);
    ensure!(explained.stdout.contains("4.04 not found"), "explain said: {}", explained.stdout);

    let dry = edge.verb(&["write", "dut", "data", "17", "--dry-run"])?;
    ensure!(dry.stdout.contains("PUT /example_data text = 17"), "it said: {}", dry.stdout);
    edge.verb(&["write", "dut", "data", "17", "--yes"])?.good("the write")?;
    let read = edge.verb(&["read", "dut", "data", "--json"])?.good("the read")?;
    let read: Value = serde_json::from_str(&read)?;
    ensure!(read.pointer("/signals/0/value") == Some(&json!(17)), "it reads {read}");
    Ok(())
}

#[test]
fn what_a_device_posts_is_durable_before_it_hears_so_and_comes_once() -> Result<()> {
    let port = free_udp_port()?;
    // The device itself is never reached: it only pushes, from an address of its own.
    let rest =
        format!("[coap]\nlisten = \"127.0.0.1:{port}\"\n{}", device(SENSOR, "127.0.0.7", ""));
    let mut field = Field::start("coap-push", &rest)?;
    let url = format!("coap://127.0.0.1:{port}/push");
    let folder = field.scratch.folder("posts")?;
    let pushed = |from: &str, url: &str, payload: &str| coap_post(&folder, from, url, 110, payload);

    // One pack, whose records name their own time: what comes again is known by it.
    let now = fieldgate_tests::harness::now_millis() / 1000 - 60;
    let pack = format!(r#"[{{"n":"temp","bt":{now},"v":20.25}},{{"n":"count","v":7}}]"#);
    for _ in 0..2 {
        ensure!(pushed("127.0.0.7", &url, &pack)? == "2.04", "the pack was not taken");
    }
    field.edge.kill()?;
    field.edge.restart()?;
    field.arrives("pushed_temp", |sample| sample.get("value") == Some(&json!(20.25)))?;
    field.arrives("pushed_count", |sample| sample.get("value") == Some(&json!(7)))?;
    let temps = field.samples("pushed_temp")?;
    ensure!(temps.len() == 1, "one sample was posted twice and stands there as {temps:?}");

    // Nobody else, nothing else, nowhere else.
    ensure!(pushed("127.0.0.8", &url, &pack)?.starts_with('4'), "a stranger was listened to");
    ensure!(pushed("127.0.0.7", &url, "[{]")? == "4.00", "what is no pack was taken");
    let elsewhere = format!("coap://127.0.0.1:{port}/elsewhere");
    ensure!(pushed("127.0.0.7", &elsewhere, &pack)? == "4.04", "another path was taken");
    let status = field.edge.status()?;
    for (counter, least) in
        [("push_unknown_peers", 1), ("push_malformed", 1), ("push_unknown_paths", 1)]
    {
        let count = status.pointer(&format!("/coap/{counter}")).and_then(Value::as_u64);
        ensure!(count >= Some(least), "`{counter}` is {count:?}");
    }
    let last = field.samples("pushed_temp")?;
    ensure!(last.iter().all(is_good), "a refused push changed a signal: {last:?}");
    Ok(())
}

#[test]
fn a_trace_of_a_host_shows_its_datagrams_in_words_and_hex() -> Result<()> {
    let folder = Scratch::new("fieldgate-coap-trace")?;
    let server = aiocoap(&folder, &[])?;
    let scratch = Scratch::new("fieldgate-coap-trace-edge")?;
    let rest = device(SENSOR, server.listen(), "");
    let config = EdgeConfig { name: "alone".to_owned(), rest, ..EdgeConfig::default() };
    let edge = Edge::start(&scratch, &config)?;
    let url = format!("coap://{}", server.listen());
    let traced = edge.verb(&["trace", &url, "--for", "2s"])?.good("the trace")?;
    ensure!(traced.contains("GET /temp, accepts text/plain"), "traced: {traced}");
    ensure!(traced.contains("2.05 content, is text/plain, `21.5`"), "traced: {traced}");
    Ok(())
}

#[test]
fn a_scan_of_a_host_writes_a_profile_that_reads_it() -> Result<()> {
    let folder = Scratch::new("fieldgate-coap-scan")?;
    let server = aiocoap(&folder, &[])?;
    let url = format!("coap://{}", server.listen());
    let fieldgate = binary("fieldgate")?;
    let scanned = Process::run(&fieldgate, ["scan", &url, "--json"], folder.path())?;
    let found: Value = serde_json::from_str(&scanned.good("the scan")?)?;
    let profile = found.pointer("/0/profile").and_then(Value::as_str).context("no profile")?;
    ensure!(profile.contains("path = \"/count\"\nformat = \"text\"\nobserve = true"), "{profile}");

    let scratch = Scratch::new("fieldgate-coap-scanned")?;
    fs::write(scratch.folder("alone/profiles")?.join("my-device.toml"), profile)?;
    let rest = device("my-device", server.listen(), "");
    let config = EdgeConfig { name: "alone".to_owned(), rest, ..EdgeConfig::default() };
    let edge = Edge::start(&scratch, &config)?;
    let read = edge.verb(&["read", "dut", "--json"])?.good("the read")?;
    let read: Value = serde_json::from_str(&read)?;
    let signals = read.get("signals").and_then(Value::as_array).context("no signals")?;
    let of = |name: &str| signals.iter().find(|its| its.get("signal") == Some(&json!(name)));
    for (name, value) in [("temp", json!(21.5)), ("hum", json!(43.0)), ("led", json!(0.0))] {
        let found = of(name).and_then(|its| its.get("value")).cloned();
        ensure!(found == Some(value), "`{name}` is {found:?} in {read}");
    }

    let nobody = format!("coap://127.0.0.1:{}", free_udp_port()?);
    let scanned = Process::run(&fieldgate, ["scan", &nobody], folder.path())?;
    ensure!(scanned.status.code() == Some(1), "nobody was found: {}", scanned.stdout);
    Ok(())
}

#[test]
fn a_simulated_coap_device_is_observed_and_written_on_a_network_that_loses() -> Result<()> {
    let folder = Scratch::new("fieldgate-coap-simulated")?;
    let arguments = [
        "simulate",
        SENSOR,
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--drop",
        "20%",
        "--seed",
        "7",
        "--notify-every",
        "200 ms",
    ];
    let mut simulator =
        Process::start("simulator", &binary("fieldgate")?, arguments, folder.path())?;
    let line = simulator.first_json_line(PATIENCE)?;
    let listen = line.get("listen").and_then(Value::as_str).context("no `listen`")?;
    let scratch = Scratch::new("fieldgate-coap-simulated-edge")?;
    let rest = device(SENSOR, listen, "").replace("\"2 s\"", "\"30 s\"");
    let config = EdgeConfig { name: "alone".to_owned(), rest, ..EdgeConfig::default() };
    let edge = Edge::start(&scratch, &config)?;
    until("notifications", PATIENCE, || {
        let told = edge.status()?.pointer("/devices/0/notifications").and_then(Value::as_u64);
        Ok(told.filter(|told| *told > 5))
    })?;
    edge.verb(&["write", "dut", "led", "on", "--yes"])?.good("the write")?;
    let repeated = edge.status()?.pointer("/coap/retransmissions").and_then(Value::as_u64);
    ensure!(repeated > Some(0), "a fifth is lost, and nothing was repeated: {repeated:?}");
    Ok(())
}
