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

/// Reads `dut` of a server with a trap a few times: what stands beside the trap is right each
/// time, and what comes out of the trap is right or nothing.
fn survives(edge: &Edge, trap: u16) -> Result<usize> {
    let mut right = 0;
    for turn in 0..READS {
        let signals = read(edge)?;
        for (name, expected) in [("before", 7), ("after", 6_900)] {
            let found = value(&signals, name)?;
            ensure!(*found == json!(expected), "trap {trap}, read {turn}: `{name}` is {found}");
        }
        let trapped = value(&signals, "trapped")?;
        let is_right = *trapped == json!(trap);
        ensure!(is_right || trapped.is_null(), "trap {trap}, read {turn}: it is {trapped}");
        right += usize::from(is_right);
    }
    Ok(right)
}

fn trap_profile(trap: u16) -> String {
    let address = format!("hr:{trap}");
    profile(&[("before", "hr:7", "u16"), ("trapped", &address, "u16"), ("after", "hr:6900", "u16")])
}

/// Whether what comes out of a trap must be right each time.
fn must_be_right(trap: u16) -> bool {
    // Exception 6 and a wrong count are no answers.
    ![1_000, 5_000].contains(&trap)
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

const TRAPS: [u16; 6] = [1_000, 2_000, 3_000, 4_000, 5_000, 6_000];

#[test]
fn every_trap_of_a_foreign_tcp_server_is_survived() -> Result<()> {
    each(&TRAPS, |trap| {
        let scratch = Scratch::new(&format!("fieldgate-trap-{trap}"))?;
        let server = Libmodbus::tcp(scratch.path())?;
        let edge = alone(&scratch, server.listen(), &trap_profile(trap), "")?;
        let right = survives(&edge, trap)?;
        ensure!(!must_be_right(trap) || right == READS, "trap {trap}: {right} of {READS}");
        Ok(())
    })
}

#[test]
fn every_trap_of_a_foreign_rtu_server_is_survived() -> Result<()> {
    each(&TRAPS, |trap| {
        let scratch = Scratch::new(&format!("fieldgate-rtu-trap-{trap}"))?;
        let pair = SerialPair::start(scratch.path())?;
        let _server = Libmodbus::rtu(scratch.path(), pair.far(), 19_200)?;
        let bus = format!("modbus_rtu = \"{}\"\nline = \"19200-8N1\"", pair.near().display());
        let edge = on_bus(&scratch, &bus, &trap_profile(trap))?;
        let right = survives(&edge, trap)?;
        ensure!(!must_be_right(trap) || right == READS, "trap {trap}: {right} of {READS}");
        Ok(())
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

#[test]
fn spoilt_answers_of_pymodbus_never_become_values() -> Result<()> {
    let rows = ["--truncate", "--alter", "--extend"]
        .map(|fault| ["rtu", "ascii"].map(|framer| (framer, fault)));
    each(rows.as_flattened(), |(framer, fault)| {
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
            })
        })
    })
}
