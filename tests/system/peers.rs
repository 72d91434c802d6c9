//! Real peers: a client nobody here wrote reads our simulator, and our gateway reads servers nobody
//! here wrote, over every transport and through every trap.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{
    Edge, EdgeConfig, Libmodbus, Pymodbus, Scratch, SerialPair, Simulator, mbpoll, until,
};
use serde_json::{Value, json};

use crate::rig::{PATIENCE, alone};

/// Four words that a test pins.
const WORDS: [u16; 4] = [0x1234, 0xFFFE, 0, 17];

/// Reads of a device with a fault: enough that each of them would hit the next answer.
const READS: usize = 6;

/// Which answers are spoilt: not a multiple of the requests of a cycle, so that each of them is.
const EVERY: &str = "7";

fn profile(signals: &[(&str, &str, &str)]) -> String {
    let head = "[profile]\nname = \"dut\"\nversion = 1\n";
    let signal = |(name, read, kind): &(&str, &str, &str)| {
        format!("[[signal]]\nname = \"{name}\"\nread = \"{read}\"\ntype = \"{kind}\"\n")
    };
    signals.iter().fold(head.to_owned(), |profile, row| profile + &signal(row))
}

fn words_profile() -> String {
    profile(&[
        ("w0", "hr:0", "u16"),
        ("w1", "hr:1", "u16"),
        ("w2", "hr:2", "u16"),
        ("w3", "hr:3", "u16"),
    ])
}

/// What pymodbus and its faults are read by.
fn foreign_profile() -> String {
    profile(&[("abcd", "ir:0", "f32"), ("word", "ir:4", "u16"), ("setpoint", "hr:0", "u16")])
}

/// A simulator of `dut` that shows [`WORDS`].
fn simulate(scratch: &Scratch, flags: &[&str]) -> Result<Simulator> {
    let path = scratch.path().join("dut.toml");
    fs::write(&path, words_profile()).context("cannot write a profile")?;
    let path = path.display().to_string();
    let simulator = Simulator::start_with("simulator", &[&path], flags, scratch.path())?;
    for (register, word) in ["hr:0", "hr:1", "hr:2", "hr:3"].into_iter().zip(WORDS) {
        simulator.pin_register("dut", register, word)?;
    }
    Ok(simulator)
}

/// A gateway with the one device `dut` on a bus that `bus` describes.
fn on_bus(scratch: &Scratch, bus: &str, profile: &str) -> Result<Edge> {
    let folder = scratch.folder("alone/profiles")?;
    fs::write(folder.join("dut.toml"), profile).context("cannot write a profile")?;
    let device = "[[device]]\nname = \"dut\"\nprofile = \"dut\"\nbus = \"line\"\nunit = 1";
    let rest = format!("[[bus]]\nname = \"line\"\n{bus}\n{device}\nevery = \"200 ms\"\n");
    Edge::start(scratch, &EdgeConfig { name: "alone".to_owned(), rest, ..EdgeConfig::default() })
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

fn value<'a>(signals: &'a [Value], name: &str) -> Result<&'a Value> {
    let signal = signals.iter().find(|signal| signal.get("signal") == Some(&json!(name)));
    signal.and_then(|signal| signal.get("value")).with_context(|| format!("no `{name}`"))
}

/// Until all of [`words_profile`] is read, and shows what mbpoll showed.
fn reads_the_words(edge: &Edge) -> Result<()> {
    let expected = json!(WORDS);
    until("the words", PATIENCE, || {
        let signals = read(edge)?;
        let values: Vec<_> = signals.iter().filter_map(|signal| signal.get("value")).collect();
        Ok((json!(values) == expected).then_some(()))
    })
}

#[test]
fn mbpoll_and_our_gateway_read_the_same_words_over_tcp() -> Result<()> {
    let scratch = Scratch::new("fieldgate-mbpoll-tcp")?;
    let simulator = simulate(&scratch, &[])?;
    let (host, port) = simulator.listen().split_once(':').context("no port")?;
    let words = mbpoll(scratch.path(), &["-m", "tcp", "-p", port, host], 1, 0, 4)?;
    ensure!(words == WORDS, "mbpoll read {words:?}");
    reads_the_words(&alone(&scratch, simulator.listen(), &words_profile(), "")?)
}

#[test]
fn mbpoll_and_our_gateway_read_the_same_words_over_a_line() -> Result<()> {
    let scratch = Scratch::new("fieldgate-mbpoll-rtu")?;
    let line = scratch.path().join("line").display().to_string();
    let _simulator = simulate(&scratch, &[&format!("--rtu={line}"), "--line", "19200-8N1"])?;
    let target = ["-m", "rtu", "-b", "19200", "-P", "none", &line];
    let words = mbpoll(scratch.path(), &target, 1, 0, 4)?;
    ensure!(words == WORDS, "mbpoll read {words:?}");
    let wrong = ["-m", "rtu", "-b", "9600", "-P", "none", "-o", "0.3", &line];
    let heard = mbpoll(scratch.path(), &wrong, 1, 0, 4);
    ensure!(heard.is_err(), "at another speed it read {heard:?}");
    let bus = format!("modbus_rtu = \"{line}\"\nline = \"19200-8N1\"");
    reads_the_words(&on_bus(&scratch, &bus, &words_profile())?)
}

#[test]
fn our_gateway_reads_the_simulator_over_ascii() -> Result<()> {
    let scratch = Scratch::new("fieldgate-ascii")?;
    let line = scratch.path().join("line").display().to_string();
    let _simulator = simulate(&scratch, &[&format!("--ascii={line}"), "--line", "19200-8N1"])?;
    let bus = format!("modbus_ascii = \"{line}\"\nline = \"19200-8N1\"");
    reads_the_words(&on_bus(&scratch, &bus, &words_profile())?)
}

#[test]
fn our_gateway_reads_the_simulator_through_rtu_over_tcp() -> Result<()> {
    let scratch = Scratch::new("fieldgate-rtu-over-tcp")?;
    let simulator = simulate(&scratch, &["--rtu-over-tcp", "127.0.0.1:0"])?;
    let port = simulator.port("modbus_rtu_over_tcp")?;
    let bus = format!("modbus_rtu_over_tcp = \"{port}\"");
    reads_the_words(&on_bus(&scratch, &bus, &words_profile())?)
}

/// Reads `dut` of a server with a trap a few times; gives how often the trap gave its word.
fn survives(edge: &Edge, trap: Trap) -> Result<usize> {
    let (mut right, mut seen) = (0, 0);
    for turn in 0..READS {
        let signals = read(edge)?;
        for (name, expected) in [("before", 7), ("after", 6_900)] {
            let found = value(&signals, name)?;
            let is_right = *found == json!(expected);
            // What follows an answer that did not come in time may be left out with it.
            let is_excused = trap.counter == Some(LATE) && found.is_null();
            ensure!(is_right || is_excused, "{trap:?}, read {turn}: `{name}` is {found}");
            seen += usize::from(is_right);
        }
        let trapped = value(&signals, "trapped")?;
        let is_right = *trapped == json!(trap.register);
        ensure!(is_right || trapped.is_null(), "{trap:?}, read {turn}: it is {trapped}");
        right += usize::from(is_right);
    }
    ensure!(seen > 0, "{trap:?}: nothing beside it was ever read");
    Ok(right)
}

fn trap_profile(trap: u16) -> String {
    let address = format!("hr:{trap}");
    profile(&[("before", "hr:7", "u16"), ("trapped", &address, "u16"), ("after", "hr:6900", "u16")])
}

/// A trap: where it is, what the bus says beside its address, whether what comes out of it must be
/// right each time, and the counter that tells of it; none where nothing is wrong.
#[derive(Debug, Clone, Copy)]
struct Trap {
    register: u16,
    bus: &'static str,
    is_right: bool,
    counter: Option<&'static str>,
}

/// The counter of answers that came after their time.
const LATE: &str = "/late";

/// The server's traps; a stray byte and another transaction id are one, by transport.
fn traps(before_answer: &'static str) -> [Trap; 7] {
    const SHORT: &str = "timeout = \"300 ms\"";
    let trap = |register, bus, is_right, counter| Trap { register, bus, is_right, counter };
    [
        trap(1_000, "", false, Some("/exceptions/6")),
        trap(2_000, "", true, Some(before_answer)),
        trap(3_000, "", true, None),
        trap(3_000, SHORT, false, Some(LATE)),
        trap(4_000, "", true, None),
        trap(5_000, "", false, Some("/malformed")),
        trap(6_000, "", true, Some("/foreign")),
    ]
}

/// What stands beside the trap is right each time, what comes out of it is right or nothing, and
/// the trap is counted.
fn is_survived(edge: &Edge, trap: Trap) -> Result<()> {
    let right = survives(edge, trap)?;
    ensure!(!trap.is_right || right == READS, "{trap:?}: {right} of {READS}");
    let Some(counter) = trap.counter else { return Ok(()) };
    // Counters are a second old at most.
    until(&format!("a count of {trap:?}"), PATIENCE, || {
        let status = edge.status()?;
        let count = status.pointer(&format!("/buses/0/line{counter}")).and_then(Value::as_u64);
        Ok(count.filter(|count| *count > 0))
    })
    .map(drop)
    .map_err(|error| error.context(format!("{:?}", edge.status())))
}

/// Checks all rows beside each other: each waits most of its time.
fn each<T: Copy + Sync>(
    rows: &[T],
    check: impl Fn(T) -> Result<()> + Copy + Send + Sync,
) -> Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = rows.iter().map(|row| scope.spawn(move || check(*row))).collect();
        running.into_iter().try_for_each(|row| match row.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

#[test]
fn every_trap_of_a_foreign_tcp_server_is_survived_and_counted() -> Result<()> {
    each(&traps("/foreign"), |trap| {
        let scratch = Scratch::new(&format!("fieldgate-trap-{}", trap.register))?;
        let server = Libmodbus::tcp(scratch.path())?;
        let bus = format!("modbus_tcp = \"{}\"\n{}", server.listen(), trap.bus);
        is_survived(&on_bus(&scratch, &bus, &trap_profile(trap.register))?, trap)
    })
}

#[test]
fn every_trap_of_a_foreign_rtu_server_is_survived_and_counted() -> Result<()> {
    each(&traps("/noise_bytes"), |trap| {
        let scratch = Scratch::new(&format!("fieldgate-rtu-trap-{}", trap.register))?;
        let pair = SerialPair::start(scratch.path())?;
        let _server = Libmodbus::rtu(scratch.path(), pair.far(), 19_200)?;
        let port = pair.near().display();
        let bus = format!("modbus_rtu = \"{port}\"\nline = \"19200-8N1\"\n{}", trap.bus);
        is_survived(&on_bus(&scratch, &bus, &trap_profile(trap.register))?, trap)
    })
}

/// pymodbus on one end of a pair, our gateway on the other.
fn pymodbus_on_a_line(
    framer: &str,
    faults: &[&str],
    check: impl Fn(&Edge) -> Result<()>,
) -> Result<()> {
    let scratch = Scratch::new(&format!("fieldgate-pymodbus-{framer}"))?;
    let pair = SerialPair::start(scratch.path())?;
    let far = pair.far().display().to_string();
    let arguments = [&["--serial", &far, "--framer", framer, "--baud", "19200"], faults].concat();
    let _server = Pymodbus::start(scratch.path(), &arguments)?;
    check(&on_bus(&scratch, &bus(framer, pair.near()), &foreign_profile())?)
}

fn bus(framer: &str, port: &Path) -> String {
    let port = port.display();
    format!("modbus_{framer} = \"{port}\"\nline = \"19200-8N1\"\ntimeout = \"300 ms\"")
}

/// The values of [`foreign_profile`].
fn is_right(signals: &[Value]) -> Result<bool> {
    let values = ["abcd", "word", "setpoint"].map(|name| value(signals, name));
    let [abcd, word, setpoint] = values;
    Ok(*abcd? == json!(230.25) && *word? == json!(0x1234) && *setpoint? == json!(7))
}

#[test]
fn pymodbus_is_read_over_rtu_and_ascii() -> Result<()> {
    each(&["rtu", "ascii"], |framer| {
        pymodbus_on_a_line(framer, &[], |edge| {
            until("right values", PATIENCE, || Ok(is_right(&read(edge)?)?.then_some(())))?;
            for _ in 0..READS {
                ensure!(is_right(&read(edge)?)?, "over {framer}: {:?}", read(edge)?);
            }
            Ok(())
        })
    })
}

/// What pymodbus does to its answers, and the counters of which one tells of it.
const SPOILT: [(&str, &[&str]); 3] = [
    ("--truncate", &["timeouts", "checksum", "malformed"]),
    ("--alter", &["checksum"]),
    ("--extend", &["noise_bytes"]),
];

#[test]
fn spoilt_answers_of_pymodbus_never_become_values_and_are_counted() -> Result<()> {
    let rows =
        SPOILT.map(|(fault, counters)| ["rtu", "ascii"].map(|framer| (framer, fault, counters)));
    each(rows.as_flattened(), |(framer, fault, counters)| {
        pymodbus_on_a_line(framer, &[fault, EVERY], |edge| {
            let mut whole = 0;
            until("whole reads between spoilt answers", PATIENCE, || {
                let signals = read(edge)?;
                for (name, expected) in
                    [("abcd", json!(230.25)), ("word", json!(0x1234)), ("setpoint", json!(7))]
                {
                    let found = value(&signals, name)?;
                    let is_good = *found == expected || found.is_null();
                    ensure!(is_good, "{framer} {fault}: `{name}` is {found}");
                }
                whole += usize::from(is_right(&signals)?);
                Ok((whole >= READS).then_some(()))
            })?;
            until(&format!("a count of {fault} over {framer}"), PATIENCE, || {
                let status = edge.status()?;
                let count = |counter: &&str| {
                    status.pointer(&format!("/buses/0/line/{counter}")).and_then(Value::as_u64)
                };
                Ok((counters.iter().filter_map(count).sum::<u64>() > 0).then_some(()))
            })
            .map_err(|error| error.context(format!("{:?}", edge.status())))
        })
    })
}
