//! What people complain of in other gateways, tried on the whole of ours: a daemon, its socket and
//! its verbs. `edge/docs/bad-lines.md` says which complaint each of these tests answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Edge, EdgeConfig, Pymodbus, Scratch, Simulator, until};
use serde_json::{Value, json};

use crate::rig::{PATIENCE, alone};

/// Between closing a connection and its end being seen lies a moment; a client that holds on to
/// its connection holds on for longer.
const HANDOVER: Duration = Duration::from_secs(1);

fn signal(name: &str, read: &str, kind: &str, more: &str) -> String {
    format!("[[signal]]\nname = \"{name}\"\nread = \"{read}\"\ntype = \"{kind}\"\n{more}\n")
}

fn profile(signals: &[String]) -> String {
    format!("[profile]\nname = \"dut\"\nversion = 1\n{}", signals.concat())
}

/// The signals of `dut`, read at once over the live bus.
fn read(edge: &Edge) -> Result<Vec<Value>> {
    // A signal without a value is a finding, and then the status is 1.
    let ended = edge.verb(&["read", "dut", "--json"])?;
    let answer: Value = serde_json::from_str(&ended.stdout)
        .with_context(|| format!("read said: {}{}", ended.stdout, ended.stderr))?;
    let signals = answer.get("signals").and_then(Value::as_array).cloned();
    signals.with_context(|| format!("no `signals` in {answer}"))
}

/// Name, value and quality of each.
fn rows(signals: &[Value]) -> Value {
    let row = |signal: &Value| json!([signal["signal"], signal["value"], signal["quality"]]);
    signals.iter().map(row).collect()
}

fn counter(status: &Value, pointer: &str) -> u64 {
    status.pointer(&format!("/buses/0/line/{pointer}")).and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn a_devices_own_word_for_no_value_is_never_a_number() -> Result<()> {
    let scratch = Scratch::new("fieldgate-null")?;
    let text = profile(&[
        signal("temp", "hr:0", "i16", "scale = 0.1\nnull = \"0x8000\""),
        signal("energy", "hr:1", "u32", "null = \"0xFFFFFFFF\""),
        signal("swapped", "hr:3", "i32", "order = \"CDAB\"\nnull = \"0x80000000\""),
        signal("power", "hr:5", "f32", "null = \"0x7FC00000\""),
        // A float that is none has no value even if nobody has said so.
        signal("unsaid", "hr:7", "f32", ""),
    ]);
    let path = scratch.path().join("dut.toml");
    fs::write(&path, &text).context("cannot write a profile")?;
    let path = path.display().to_string();
    let simulator = Simulator::start("simulator", &[&path], scratch.path())?;
    let pin = |words: [u16; 9]| {
        (0..).zip(words).try_for_each(|(register, word)| {
            simulator.pin_register("dut", &format!("hr:{register}"), word)
        })
    };
    pin([0x8000, 0xFFFF, 0xFFFF, 0, 0x8000, 0x7FC0, 0, 0x7FC0, 0])?;
    let edge = alone(&scratch, simulator.listen(), &text, "")?;
    let expected = json!([
        ["temp", null, "null"],
        ["energy", null, "null"],
        ["swapped", null, "null"],
        ["power", null, "null"],
        ["unsaid", null, "out_of_range"],
    ]);
    let found = rows(&read(&edge)?);
    ensure!(found == expected, "{found}");
    // What was polled is kept as it was read.
    let explained = until("a polled null", PATIENCE, || {
        let explained = edge.verb(&["explain", "dut", "temp", "--json"])?;
        let explained: Value = serde_json::from_str(&explained.stdout).context("JSON")?;
        Ok(explained["now"]["quality"].is_string().then_some(explained))
    })?;
    let now = &explained["now"];
    ensure!(now["value"].is_null() && now["quality"] == "null", "{explained}");

    // Their neighbours are values like any other.
    pin([0x8001, 0xFFFF, 0xFFFE, 1, 0x8000, 0x4366, 0x4000, 0x4366, 0x4000])?;
    let expected = json!([
        ["temp", -3276.7, "good"],
        ["energy", 4_294_967_294_u32, "good"],
        ["swapped", -2_147_483_647, "good"],
        ["power", 230.25, "good"],
        ["unsaid", 230.25, "good"],
    ]);
    let found = rows(&read(&edge)?);
    ensure!(found == expected, "{found}");
    Ok(())
}

#[test]
fn a_server_that_refuses_a_function_is_written_with_the_other_and_asked_once() -> Result<()> {
    let text = profile(&[signal("setpoint", "hr:0", "u16", "write = true")]);
    // Function 6 is the usual one for one register, so that only its refusal is ever heard.
    for (refused, refusals) in [("6", 1), ("16", 0)] {
        let scratch = Scratch::new(&format!("fieldgate-refuse-{refused}"))?;
        let server = Pymodbus::start(scratch.path(), &["--refuse-function", refused])?;
        let edge = alone(&scratch, server.listen(), &text, "")?;
        for value in ["42", "43", "44"] {
            edge.verb(&["write", "dut", "setpoint", value, "--yes"])?.good("write")?;
            let found = rows(&read(&edge)?);
            let number: u64 = value.parse().context("a number")?;
            ensure!(found == json!([["setpoint", number, "good"]]), "{refused}: {found}");
        }
        let asked = counter(&edge.status()?, "requests");
        let status = until("counters from after the writes", PATIENCE, || {
            let status = edge.status()?;
            Ok((counter(&status, "requests") > asked + 20).then_some(status))
        })?;
        let counted = counter(&status, "exceptions/1");
        ensure!(counted == refusals, "function {refused} was refused {counted} times");
    }
    Ok(())
}

#[test]
fn a_second_gateway_on_a_port_is_told_who_has_it_and_gets_it_next() -> Result<()> {
    let scratch = Scratch::new("fieldgate-two")?;
    let text = profile(&[signal("word", "hr:0", "u16", "")]);
    let path = scratch.path().join("dut.toml");
    fs::write(&path, &text).context("cannot write a profile")?;
    let path = path.display().to_string();
    let line = scratch.path().join("line").display().to_string();
    let flags = [format!("--rtu={line}"), "--line=19200-8N1".to_owned()];
    let flags = flags.each_ref().map(String::as_str);
    let simulator = Simulator::start_with("simulator", &[&path], &flags, scratch.path())?;
    simulator.pin_register("dut", "hr:0", 17)?;
    let gateway = |name: &str| -> Result<Edge> {
        let folder = scratch.folder(&format!("{name}/profiles"))?;
        fs::write(folder.join("dut.toml"), &text).context("cannot write a profile")?;
        let rest = format!(
            "[[bus]]\nname = \"{name}-line\"\nmodbus_rtu = \"{line}\"\nline = \"19200-8N1\"\n\
             [[device]]\nname = \"dut\"\nprofile = \"dut\"\nbus = \"{name}-line\"\nunit = 1\n\
             every = \"100 ms\"\n"
        );
        let config = EdgeConfig { name: name.to_owned(), rest, ..EdgeConfig::default() };
        Edge::start(&scratch, &config)
    };
    let good = json!([["word", 17, "good"]]);
    let mut first = gateway("north")?;
    until("a value", PATIENCE, || Ok((rows(&read(&first)?) == good).then_some(())))?;
    let second = gateway("south")?;
    let expected = format!(
        "serial port `{line}` is in use by process {} (bus `north-line`)",
        first.process().id()
    );
    until(&expected, PATIENCE, || {
        let status = second.status()?;
        let trouble = status.pointer("/buses/0/trouble").and_then(Value::as_str);
        Ok(trouble.filter(|trouble| trouble.starts_with(&expected)).map(drop))
    })
    .map_err(|error| error.context(format!("{:?}", second.status())))?;
    let found = rows(&read(&second)?);
    ensure!(found == json!([["word", null, "link_down"]]), "{found}");
    for _ in 0..5 {
        let found = rows(&read(&first)?);
        ensure!(found == good, "the first gateway was disturbed: {found}");
    }
    first.stop()?;
    until("the second's turn", PATIENCE, || Ok((rows(&read(&second)?) == good).then_some(())))
}

/// What a [`Narrow`] server has seen.
#[derive(Debug, Default)]
struct Seen {
    /// First register and count of each read.
    reads: Vec<(u16, u16)>,
    /// Clients that came while another was there.
    turned_away: usize,
}

/// A Modbus TCP device with room for one client, of whom there are many in the field. Its holding
/// registers hold their own addresses. It goes with the process.
struct Narrow {
    listen: String,
    seen: Arc<Mutex<Seen>>,
}

impl Narrow {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        let listen = listener.local_addr().context("it is bound")?.to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            let mut client: Option<JoinHandle<()>> = None;
            for stream in listener.incoming().map_while(Result::ok) {
                let until = Instant::now() + HANDOVER;
                while client.as_ref().is_some_and(|client| !client.is_finished()) {
                    if Instant::now() > until {
                        break;
                    }
                    thread::park_timeout(Duration::from_millis(5));
                }
                if client.as_ref().is_none_or(JoinHandle::is_finished) {
                    let shared = Arc::clone(&shared);
                    client = Some(thread::spawn(move || serve(stream, &shared)));
                } else {
                    lock(&shared).turned_away += 1;
                }
            }
        });
        Ok(Self { listen, seen })
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers reads of holding registers and single writes until the client goes.
fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) {
    let mut request = [0; 12];
    while stream.read_exact(&mut request).is_ok() {
        let [_, _, _, _, _, _, unit, function, a, b, c, d] = request;
        let mut answer = request.to_vec();
        if function == 3 {
            let (start, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            lock(seen).reads.push((start, count));
            answer.truncate(4);
            answer.extend((3 + 2 * count).to_be_bytes());
            answer.extend([unit, function, d * 2]);
            answer.extend((start..start + count).flat_map(u16::to_be_bytes));
        }
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
}

#[test]
fn a_device_with_room_for_one_client_serves_gateway_and_technician() -> Result<()> {
    let scratch = Scratch::new("fieldgate-narrow")?;
    let server = Narrow::start()?;
    let text = profile(&[signal("word", "hr:17", "u16", "write = { verify = false }")]);
    // A second device behind the same address, as meters behind a gateway are.
    let more = "[[device]]\nname = \"other\"\nprofile = \"dut\"\nbus = \"bus-1\"\nunit = 2\n\
                every = \"100 ms\"\n";
    let edge = alone(&scratch, &server.listen, &text, more)?;
    let found = rows(&read(&edge)?);
    ensure!(found == json!([["word", 17, "good"]]), "{found}");
    edge.verb(&["read", "other", "--json"])?.good("the other device")?;
    edge.verb(&["write", "dut", "word", "5", "--yes"])?.good("a write")?;
    edge.verb(&["read", "dut", "hr:0..3"])?.good("bare registers")?;
    let place = format!("tcp://{}", server.listen);
    let direct = edge.verb(&["read", &place, "-a", "1", "hr:5"])?.good("a direct read")?;
    ensure!(direct.contains("0x0005"), "{direct}");
    until("polls after that", PATIENCE, || {
        let found = rows(&read(&edge)?);
        Ok((found == json!([["word", 17, "good"]])).then_some(()))
    })?;
    let seen = lock(&server.seen);
    ensure!(seen.turned_away == 0, "{} connections too many", seen.turned_away);
    Ok(())
}

#[test]
fn registers_beside_each_other_are_one_request() -> Result<()> {
    let scratch = Scratch::new("fieldgate-merge")?;
    let server = Narrow::start()?;
    // Eighty values in a row, and one behind a gap that costs less than a request of its own.
    let mut signals: Vec<String> =
        (0..80).map(|at| signal(&format!("s{at}"), &format!("hr:{at}"), "u16", "")).collect();
    signals.push(signal("last", "hr:90", "u16", ""));
    let edge = alone(&scratch, &server.listen, &profile(&signals), "")?;
    until("ten polls", PATIENCE, || Ok((lock(&server.seen).reads.len() >= 10).then_some(())))?;
    let polls = lock(&server.seen).reads.clone();
    ensure!(polls.iter().all(|read| *read == (0, 91)), "{polls:?}");
    let found = read(&edge)?;
    let is_right = |(at, signal): (usize, &Value)| {
        signal["value"] == json!(if at == 80 { 90 } else { at }) && signal["quality"] == "good"
    };
    ensure!(found.len() == 81 && found.iter().enumerate().all(is_right), "{found:?}");
    Ok(())
}
