//! From the payload of a resource to its signals, and from a value to the payload of a write.

use std::collections::BTreeSet;

use fieldgate_model::{Cause, Millis, Scale, SignalName, Value, ValueKind};
use fieldgate_rules::payload::compose::compose;
use fieldgate_rules::payload::senml::Time;
use fieldgate_rules::payload::{Field, Format, Pick, PickPlace, Picked, Resource, present, read};
use fieldgate_rules::plan::ReadRules;
use fieldgate_rules::profile::Profile;
use fieldgate_rules::signal::{DataType, SignalSource, SignalSpec, WordOrder};

use ValueKind::{Bool, Float64, Int, Text, Unsigned};

fn profile(format: Format, picks: Vec<(&str, ValueKind, Pick)>) -> Profile {
    let mut resource = Resource::new("/all", format);
    let mut signals = Vec::new();
    for (signal, (name, kind, pick)) in picks.into_iter().enumerate() {
        let place = PickPlace { resource: 0, pick: u16::try_from(signal).expect("few") };
        resource.picks.push(Picked { signal, pick });
        let name = SignalName::new(name).expect("a name");
        signals.push(SignalSpec::new(name, SignalSource::Payload { place, kind }));
    }
    Profile {
        name: "device".to_owned(),
        version: 1,
        title: String::new(),
        source: String::new(),
        resources: vec![resource],
        signals,
        alarms: Vec::new(),
        parser: None,
        tests: Vec::new(),
        every: Millis(1000),
        unverified: BTreeSet::new(),
        reading: ReadRules::default(),
    }
}

/// What came of each signal that the payload speaks of.
fn found(profile: &Profile, code: Option<u16>, bytes: &[u8]) -> Vec<(usize, Result<Value, Cause>)> {
    let readings = read(profile, &profile.resources[0], code, bytes);
    readings
        .into_iter()
        .map(|reading| (reading.signal, reading.value.map_err(|unread| unread.cause)))
        .collect()
}

fn at(pointer: &str) -> Pick {
    Pick::At(pointer.parse().expect(pointer))
}

fn named(name: &str) -> Pick {
    Pick::Record { name: name.to_owned(), field: Field::Value }
}

fn bytes(offset: usize, data: DataType, order: WordOrder) -> Pick {
    Pick::Bytes { offset, data, order }
}

#[test]
fn a_document_gives_what_its_pointers_name_and_a_cause_for_the_rest() {
    let profile = profile(
        Format::Json,
        vec![
            ("energy", Unsigned, at("/meter/energy")),
            ("temp", Float64, at("/t/0")),
            ("gone", Float64, at("/t/1")),
            ("off", Float64, at("/off")),
        ],
    );
    let json = br#"{"meter":{"energy":18446744073709551615},"t":[21.5],"off":null}"#;
    let expected = [
        (0, Ok(Value::Unsigned(u64::MAX))),
        (1, Ok(Value::Float64(21.5))),
        (2, Err(Cause::Malformed)),
        (3, Err(Cause::Null)),
    ];
    for code in [None, Some(50), Some(0), Some(110)] {
        assert_eq!(found(&profile, code, json), expected, "{code:?}");
    }
    // CBOR where JSON was expected has the same values under the same names.
    let cbor = [0xa1, 0x61, b't', 0x81, 0xf9, 0x4d, 0x60];
    assert_eq!(found(&profile, Some(60), &cbor)[1], (1, Ok(Value::Float64(21.5))));
    for (code, bytes) in [(Some(41), &json[..]), (Some(60), json), (None, b"{")] {
        let found = found(&profile, code, bytes);
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|(_, value)| *value == Err(Cause::Malformed)), "{code:?}");
    }
}

#[test]
fn records_find_their_signals_by_the_last_part_of_their_name() {
    let profile = profile(
        Format::SenmlJson,
        vec![("temp", Float64, named("temp")), ("n", Int, named("count"))],
    );
    let pack = br#"[{"bn":"urn:dev:mac:0024befffe804ff1:","n":"temp","t":-2,"v":21.5},
                    {"n":"temp","v":22},{"n":"other","v":1},{"n":"attempt","v":9}]"#;
    let readings = read(&profile, &profile.resources[0], Some(110), pack);
    let found: Vec<_> = readings.iter().map(|its| (its.signal, its.time, &its.value)).collect();
    assert_eq!(
        found,
        [
            (0, Some(Time::Relative(-2000)), &Ok(Value::Float64(21.5))),
            (0, Some(Time::Relative(0)), &Ok(Value::Float64(22.0))),
        ],
        "`n` is not in this pack, and nothing is said of it"
    );
    let none = found_of(&profile, br#"[{"n":"other","v":1}]"#);
    assert_eq!(none, [(0, Err(Cause::Malformed)), (1, Err(Cause::Malformed))]);
    let wrong = found_of(&profile, br#"[{"n":"temp","vs":"warm"}]"#);
    assert_eq!(wrong, [(0, Err(Cause::Malformed))]);
}

fn found_of(profile: &Profile, bytes: &[u8]) -> Vec<(usize, Result<Value, Cause>)> {
    found(profile, None, bytes)
}

#[test]
fn bytes_are_the_declared_types_at_an_offset() {
    let profile = profile(
        Format::Octets,
        vec![
            (
                "first",
                Unsigned,
                bytes(0, DataType::U8(fieldgate_rules::signal::Byte::Low), WordOrder::Abcd),
            ),
            ("word", Int, bytes(1, DataType::I16, WordOrder::Abcd)),
            ("little", Unsigned, bytes(1, DataType::U32, WordOrder::Dcba)),
            ("beyond", Unsigned, bytes(3, DataType::U32, WordOrder::Abcd)),
        ],
    );
    assert_eq!(
        found_of(&profile, &[0xAB, 0xFF, 0xFE, 0x00, 0x01]),
        [
            (0, Ok(Value::Unsigned(0xAB))),
            (1, Ok(Value::Int(-2))),
            (2, Ok(Value::Unsigned(0x0100_FEFF))),
            (3, Err(Cause::Malformed)),
        ]
    );
}

#[test]
fn limits_hold_for_payloads_as_they_do_for_registers() {
    let mut profile = profile(Format::Text, vec![("temp", Float64, Pick::Whole)]);
    profile.signals[0].limits = Some((-40.0, 85.0));
    profile.signals[0].scale = Scale::new(0.1, 0.0).expect("a scale");
    assert_eq!(found_of(&profile, b"850"), [(0, Ok(Value::Float64(850.0)))]);
    assert_eq!(found_of(&profile, b"851"), [(0, Err(Cause::OutOfRange))]);
    assert_eq!(found_of(&profile, b"nan"), [(0, Err(Cause::OutOfRange))]);
}

#[test]
fn what_is_composed_reads_back_as_the_same_value() {
    let little = bytes(0, DataType::U32, WordOrder::Dcba);
    let byte = bytes(0, DataType::U8(fieldgate_rules::signal::Byte::Low), WordOrder::Abcd);
    for (format, kind, pick, value, shown) in [
        (Format::Text, Bool, Pick::Whole, Value::Bool(true), &b"1"[..]),
        (Format::Text, Float64, Pick::Whole, Value::Float64(21.5), b"21.5"),
        (Format::Text, Text, Pick::Whole, Value::Text("auto".to_owned()), b"auto"),
        (
            Format::Json,
            Unsigned,
            at("/a/b~1c"),
            Value::Unsigned(u64::MAX),
            br#"{"a":{"b/c":18446744073709551615}}"#,
        ),
        (Format::Json, Text, Pick::Whole, Value::Text("a\"b".to_owned()), br#""a\"b""#),
        (
            Format::Cbor,
            Int,
            at("/1/-2"),
            Value::Int(-500),
            &[0xa1, 0x01, 0xa1, 0x21, 0x39, 0x01, 0xf3],
        ),
        (Format::Cbor, Bool, Pick::Whole, Value::Bool(false), &[0xf4]),
        (
            Format::SenmlJson,
            Float64,
            named("set"),
            Value::Float64(1.5),
            br#"[{"n":"set","v":1.5}]"#,
        ),
        (Format::SenmlJson, Bool, named("led"), Value::Bool(true), br#"[{"n":"led","vb":true}]"#),
        (
            Format::SenmlCbor,
            Text,
            named("a"),
            Value::Text("x".to_owned()),
            &[0x81, 0xa2, 0x00, 0x61, b'a', 0x03, 0x61, b'x'],
        ),
        (Format::Octets, Unsigned, little, Value::Unsigned(0x0102_0304), &[4, 3, 2, 1]),
        (Format::Octets, Unsigned, byte, Value::Unsigned(200), &[200]),
    ] {
        let profile = profile(format, vec![("set", kind, pick.clone())]);
        let payload = compose(&profile.signals[0], format, &pick, &value).expect("composed");
        assert_eq!(payload, shown, "{format} {value}");
        assert_eq!(found_of(&profile, &payload), [(0, Ok(value))], "{format}");
    }
}

#[test]
fn what_a_device_of_the_profile_would_show_reads_back_as_the_same_values() {
    let values = [Value::Unsigned(u64::MAX), Value::Float64(-21.5), Value::Bool(true)];
    let kinds = [Unsigned, Float64, Bool];
    let names = ["energy", "temp", "on"];
    let pointers = ["/meter/energy", "/meter/t~1c", "/on"];
    let byte = DataType::U8(fieldgate_rules::signal::Byte::Low);
    for format in [Format::Json, Format::Cbor, Format::SenmlJson, Format::SenmlCbor] {
        let pick = |place: usize| match format {
            Format::Json | Format::Cbor => at(pointers[place]),
            Format::SenmlJson | Format::SenmlCbor | Format::Text | Format::Octets => {
                named(names[place])
            }
        };
        let picks = (0..3).map(|place| (names[place], kinds[place], pick(place))).collect();
        let profile = profile(format, picks);
        let bytes = present(&profile.resources[0], &|signal| Some(values[signal].clone()));
        let expected: Vec<_> =
            values.iter().enumerate().map(|(signal, value)| (signal, Ok(value.clone()))).collect();
        assert_eq!(found_of(&profile, &bytes), expected, "{format}: {bytes:02x?}");
    }
    let picks = vec![
        ("a", Unsigned, bytes(3, byte, WordOrder::Abcd)),
        ("b", Int, bytes(0, DataType::I16, WordOrder::Abcd)),
    ];
    let octets = profile(Format::Octets, picks);
    let values = [Value::Unsigned(7), Value::Int(-2)];
    let shown = present(&octets.resources[0], &|signal| Some(values[signal].clone()));
    assert_eq!(shown, [0xFF, 0xFE, 0, 7]);
    let none = present(&octets.resources[0], &|_| None);
    assert_eq!(none, [] as [u8; 0]);
}

#[test]
fn what_the_signal_cannot_be_is_not_composed() {
    let mut profile = profile(Format::Json, vec![("set", Int, at("/set"))]);
    let spec = &mut profile.signals[0];
    spec.limits = Some((0.0, 50.0));
    for (value, why) in [
        (Value::Float64(51.0), "`51` is outside the limits `0` to `50`"),
        (Value::Float64(1.5), "`1.5` is not a value for a signal of kind int"),
        (Value::Text("warm".to_owned()), "`warm` is not a value for a signal of kind int"),
    ] {
        let refused = compose(spec, Format::Json, &at("/set"), &value);
        assert_eq!(refused.map_err(|error| error.to_string()), Err(why.to_owned()));
    }
}
