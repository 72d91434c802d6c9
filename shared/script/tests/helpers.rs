//! The helpers at their edges: what is malformed, too deep, too large or inexact is an error on the
//! script's own line, and nothing of it escapes the limits.

use fieldgate_model::{DeviceName, Millis, Value};
use fieldgate_script::{DeviceState, Fault, Frame, Limits, Parser, Reading, ScriptError};

#[test]
fn what_is_wrong_is_an_error_on_the_scripts_line() {
    for (expression, part) in [
        ("json.decode('')", "json: ends too early at byte 0"),
        ("json.decode('{\"a\":1,\"a\":2}')", "json: has a name twice at byte 11"),
        ("json.decode('[1,]')", "json: has no value at byte 3"),
        ("json.decode('[1] x')", "json: goes on at byte 4"),
        ("json.decode('01')", "json: has no number of JSON"),
        ("json.decode('1.')", "json: has no number of JSON"),
        ("json.decode('1e400')", "json: has a number that is too large"),
        ("json.decode('nul')", "json: has an unknown word"),
        ("json.decode('\"\\\\ud800\"')", "json: has half a character"),
        ("json.decode('\"\\255\"')", "json: is not UTF-8"),
        ("json.decode('\"\\1\"')", "json: has a control character"),
        ("json.decode(('['):rep(33))", "json: is nested too deep"),
        ("json.decode(('{\"a\":'):rep(33))", "json: is nested too deep"),
        ("cbor.decode('')", "cbor: ends too early at byte 0"),
        ("cbor.decode(('\\129'):rep(40) .. '\\1')", "cbor: is nested too deep"),
        ("cbor.decode(('\\192'):rep(40) .. '\\1')", "cbor: is nested too deep"),
        ("cbor.decode('\\1\\1')", "cbor: goes on at byte 1"),
        ("cbor.decode('\\155\\255\\255\\255\\255\\255\\255\\255\\255')", "cbor: ends too early"),
        ("cbor.decode('\\123\\255\\255\\255\\255\\255\\255\\255\\255')", "cbor: ends too early"),
        ("cbor.decode('\\59\\255\\255\\255\\255\\255\\255\\255\\255')", "below 64 bits"),
        ("cbor.decode('\\162\\97a\\1\\97a\\2')", "cbor: has a key twice"),
        ("cbor.decode('\\161\\128\\1')", "cbor: has a key that is no text"),
        ("cbor.decode('\\161\\249\\126\\0\\1')", "cbor: has a key that is no text"),
        ("cbor.decode('\\97\\255')", "cbor: has a text that is not UTF-8"),
        ("cbor.decode('\\95\\97a\\255')", "cbor: has a piece that is no string"),
        ("time.parse('2026-02-29T00:00:00Z')", "time: is not a time of RFC 3339"),
        ("time.parse('2026-01-01T24:00:00Z')", "time: is not a time of RFC 3339"),
        ("time.parse('2026-1-01T00:00:00Z')", "time: is not a time of RFC 3339"),
        ("time.parse('2026-01-01T00:00:00')", "time: is not a time of RFC 3339"),
        ("time.format(1e300)", "time: is outside the years 0 to 9999"),
        ("time.format(0/0)", "1970"),
        ("int.new('12x')", "int: needs an integral number"),
        ("int.new(0.5)", "int: needs an integral number"),
        ("int.new(2^60)", "int: needs an integral number"),
        ("int.new('18446744073709551616')", "int: does not fit into 64 bits"),
        ("int.new('18446744073709551615') + 1", "does not fit into 64 bits"),
        ("int.new('-9223372036854775808') - 1", "does not fit into 64 bits"),
        ("int.new(1) // 0", "divided by zero"),
        ("int.new(1) + {}", "arithmetic on a 64-bit integer and a table"),
        ("bytes.u16('a', 0)", "bytes: 2 bytes from 0 on are past the end of 1 bytes"),
        ("bytes.u16('ab', -1)", "bytes: needs a payload and a place from 0"),
        ("bytes.u16('ab', 0.5)", "bytes: needs a payload and a place from 0"),
        ("bytes.u16(nil, 0)", "bytes: needs a payload"),
        ("bytes.u32('abcd', 0, 'ABDC')", "bytes: the order must be"),
        ("bytes.bcd('\\250', 0)", "bytes: byte 0 is not BCD"),
        ("bytes.from_hex('A')", "bytes: the text is not pairs of hex digits"),
        ("reg.bcd({ [0] = 0xA }, 0)", "reg: register 0 is not BCD"),
        ("reg.text({ [0] = 0x4142 }, 0, 2)", "reg: there is no register 1"),
        ("reg.text({}, 0, 1e9)", "reg: bytes and texts have 1 to 125 registers"),
    ] {
        let source = format!("return function(frame)\n\n return {{ v = {expression} }} end");
        match run(&source) {
            Err(ScriptError { line: Some(3), fault: Fault::Runtime { message }, .. }) => {
                assert!(message.contains(part), "{expression}: {message}");
            }
            Ok(readings) => assert!(part == "1970", "{expression}: {readings:?}"),
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn integers_stay_exact_at_the_ends_of_64_bits() {
    for (expression, expected) in [
        ("int.new('18446744073709551614') + 1", Value::Unsigned(u64::MAX)),
        ("int.new('-9223372036854775807') - 1", Value::Int(i64::MIN)),
        ("-int.new('9223372036854775808')", Value::Int(i64::MIN)),
        (
            "int.new('3037000500') * int.new('3037000500')",
            Value::Unsigned(9_223_372_037_000_250_000),
        ),
        ("int.new(-7) // 2", Value::Int(-4)),
        ("int.new(-7) % 2", Value::Int(1)),
        ("int.new(7) % -2", Value::Int(-1)),
        ("10 - int.new(3)", Value::Int(7)),
        ("int.new('0xFFFFFFFFFFFFFFFF'):bits(0, 63)", Value::Unsigned(u64::MAX)),
        ("int.new(-1):bits(63, 63)", Value::Int(1)),
        ("json.decode('-9223372036854775808')", Value::Int(i64::MIN)),
        ("json.decode('18446744073709551615')", Value::Unsigned(u64::MAX)),
        ("json.decode('9007199254740992')", Value::Int(1 << 53)),
        ("json.decode('\"\\\\ud83d\\\\ude00\"')", Value::Text("\u{1F600}".into())),
        ("cbor.decode('\\27\\255\\255\\255\\255\\255\\255\\255\\255')", Value::Unsigned(u64::MAX)),
        ("cbor.decode('\\59\\127\\255\\255\\255\\255\\255\\255\\255')", Value::Int(i64::MIN)),
        ("cbor.decode('\\193\\26\\0\\0\\0\\5')", Value::Int(5)),
        ("cbor.decode('\\191\\97a\\159\\1\\2\\255\\255').a[2]", Value::Int(2)),
        ("cbor.decode('\\127\\97a\\97b\\255')", Value::Text("ab".into())),
        (
            "cbor.decode('\\251\\64\\9\\33\\251\\84\\68\\45\\24')",
            Value::Float64(std::f64::consts::PI),
        ),
        ("time.parse('1969-12-31T23:59:59.999Z')", Value::Int(-1)),
        ("time.parse('2000-02-29t12:00:00.123456789+00:00')", Value::Int(951_825_600_123)),
        ("time.parse('2016-12-31T23:59:60Z')", Value::Int(1_483_228_800_000)),
        ("time.format(-62167219200000)", Value::Text("0000-01-01T00:00:00.000Z".into())),
        ("bytes.u32(buffer.fromstring('\\1\\2\\3\\4'), 0)", Value::Int(0x0102_0304)),
        ("bytes.crc16_modbus(buffer.fromstring('x\\1\\3\\0\\0\\0\\10'), 1, 6)", Value::Int(0xCDC5)),
    ] {
        let source = format!("return function(frame) return {{ v = {expression} }} end");
        let readings = run(&source).expect(expression);
        assert_eq!(readings[0].value.as_ref(), Some(&expected), "{expression}");
    }
}

#[test]
fn every_helper_is_priced_and_bounded() {
    for body in [
        "local t = ('1,'):rep(100000) while true do json.decode('[' .. t .. '1]') end",
        "local t = '[' .. ('[],'):rep(30000) .. '1]' json.decode(t)",
        "local t = '[' .. ('[],'):rep(30000) .. '1]' pcall(json.decode, t) return {}",
        "local t = '\\159' .. ('\\128'):rep(60000) pcall(cbor.decode, t) return {}",
        "local t = '\\95' .. ('\\64'):rep(120000) while true do pcall(cbor.decode, t) end",
        "local s = ('x'):rep(100000) while true do bytes.crc32(s) end",
        "local s = ('x'):rep(100000) while true do bytes.hex(s) end",
        "local a, b = int.new(5), int.new(6) while true do local x = a < b end",
        "local a = int.new(5) while true do a += 1 end",
        "while true do time.parse('2026-01-01T00:00:00Z') end",
        "while true do pcall(json.decode, '[') end",
    ] {
        let source = format!("return function(frame) {body} end");
        let error = run(&source).expect_err(body);
        assert!(error.is_overrun(), "{body}: {error}");
    }
}

fn run(source: &str) -> Result<Vec<Reading>, ScriptError> {
    let mut parser = Parser::load("x.luau", source, Limits::DEFAULT)?;
    let device = DeviceName::new("meter").expect("a fine name");
    parser.run(&Frame::new(&device, Millis(5000)), &mut DeviceState::default())
}
