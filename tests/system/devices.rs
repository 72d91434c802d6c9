//! A Modbus TCP device that nobody here wrote, read and written over the live bus.

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Edge, Pymodbus, Scratch, until};
use serde_json::{Value, json};

use crate::rig::{PATIENCE, alone};

const PROFILE: &str = r#"
[profile]
name = "dut"
version = 1

[[signal]]
name = "abcd"
read = "ir:0"
type = "f32"

[[signal]]
name = "cdab"
read = "ir:2"
type = "f32"
order = "CDAB"

[[signal]]
name = "word"
read = "30005"
type = "u16"

[[signal]]
name = "setpoint"
read = "hr:0"
type = "u16"
write = true

[[signal]]
name = "negative"
read = "4x0002"
type = "i32"

[[signal]]
name = "missing"
read = "hr:120"
type = "u16"

[[signal]]
name = "coil"
read = "co:0"
write = true

[[signal]]
name = "input"
read = "di:1"
"#;

#[test]
fn a_foreign_server_is_read_in_every_table_and_word_order() -> Result<()> {
    let scratch = Scratch::new("fieldgate-tables")?;
    let server = Pymodbus::start(scratch.path(), &[])?;
    let edge = alone(&scratch, server.listen(), PROFILE, "")?;
    let values = read(&edge)?;
    let rows = [
        ("abcd", json!(230.25)),
        ("cdab", json!(230.25)),
        ("word", json!(0x1234)),
        ("setpoint", json!(7)),
        ("negative", json!(-123_456)),
        ("coil", json!(true)),
        ("input", json!(false)),
    ];
    for (signal, expected) in rows {
        let found = find(&values, signal)?;
        ensure!(found.get("value") == Some(&expected), "`{signal}`: {found}, not {expected}");
        ensure!(found.get("quality") == Some(&json!("good")), "`{signal}`: {found}");
    }
    Ok(())
}

#[test]
fn an_exception_spoils_its_own_signal_and_no_other() -> Result<()> {
    let scratch = Scratch::new("fieldgate-exception")?;
    let server = Pymodbus::start(scratch.path(), &[])?;
    let edge = alone(&scratch, server.listen(), PROFILE, "")?;
    let values = read(&edge)?;
    let missing = find(&values, "missing")?;
    ensure!(missing.get("value") == Some(&Value::Null), "a value from nowhere: {missing}");
    let quality = missing.get("quality").and_then(Value::as_str).unwrap_or_default();
    ensure!(quality.contains("exception"), "the quality does not say why: {missing}");
    ensure!(find(&values, "setpoint")?.get("quality") == Some(&json!("good")), "{values:?}");
    Ok(())
}

#[test]
fn a_write_reaches_the_device_and_is_read_back() -> Result<()> {
    let scratch = Scratch::new("fieldgate-write")?;
    let server = Pymodbus::start(scratch.path(), &[])?;
    let edge = alone(&scratch, server.listen(), PROFILE, "")?;
    edge.verb(&["write", "dut", "setpoint", "42", "--yes"])?.good("write")?;
    edge.verb(&["write", "dut", "coil", "off", "--yes"])?.good("write")?;
    let values = read(&edge)?;
    ensure!(find(&values, "setpoint")?.get("value") == Some(&json!(42)), "{values:?}");
    ensure!(find(&values, "coil")?.get("value") == Some(&json!(false)), "{values:?}");
    let refused = edge.verb(&["write", "dut", "negative", "1", "--yes"])?;
    ensure!(refused.status.code() == Some(1), "a signal without `write` was written: {refused:?}");
    Ok(())
}

#[test]
fn a_server_that_closes_in_mid_answer_is_read_again() -> Result<()> {
    let scratch = Scratch::new("fieldgate-close")?;
    let server = Pymodbus::start(scratch.path(), &["--close-after", "7"])?;
    let edge = alone(&scratch, server.listen(), PROFILE, "")?;
    // Several breaks lie within so many reads; each time the values come back, and are right.
    let mut good = 0;
    until("good values between the breaks", PATIENCE, || {
        let values = read(&edge)?;
        let word = find(&values, "word")?;
        if word.get("quality") == Some(&json!("good")) {
            ensure!(word.get("value") == Some(&json!(0x1234)), "a wrong value: {word}");
            good += 1;
        }
        Ok((good >= 10).then_some(()))
    })
}

fn read(edge: &Edge) -> Result<Vec<Value>> {
    // A signal without a value is a finding, and then the status is 1.
    let ended = edge.verb(&["read", "dut", "--json"])?;
    let answer: Value = serde_json::from_str(&ended.stdout)
        .with_context(|| format!("read said: {}{}", ended.stdout, ended.stderr))?;
    let signals = answer.get("signals").and_then(Value::as_array).cloned();
    signals.with_context(|| format!("no `signals` in {answer}"))
}

fn find<'a>(values: &'a [Value], signal: &str) -> Result<&'a Value> {
    let found = values.iter().find(|value| value.get("signal") == Some(&json!(signal)));
    found.with_context(|| format!("no `{signal}` in {values:?}"))
}
