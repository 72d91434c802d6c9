//! The examples of RFC 8428, as they stand there, and what it says must be refused.

use fieldgate_rules::payload::Node;
use fieldgate_rules::payload::senml::{Record, SenmlError, Time, from_cbor, from_json};

fn record(name: &str, unit: Option<&str>, value: Node, time: Time) -> Record {
    let unit = unit.map(str::to_owned);
    Record { name: name.to_owned(), unit, value: Some(value), sum: None, time }
}

fn json(text: &str) -> Vec<Record> {
    from_json(text.as_bytes()).expect(text)
}

const NOW: Time = Time::Relative(0);

#[test]
fn a_single_datapoint() {
    let pack = json(r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#);
    let name = "urn:dev:ow:10e2073a01080063";
    assert_eq!(pack, [record(name, Some("Cel"), Node::Float(23.1), NOW)]);
}

#[test]
fn multiple_datapoints_share_a_base_name() {
    let pack = json(
        r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
            {"n":"current","u":"A","v":1.2}]"#,
    );
    let base = "urn:dev:ow:10e2073a01080063:";
    assert_eq!(
        pack,
        [
            record(&format!("{base}voltage"), Some("V"), Node::Float(120.1), NOW),
            record(&format!("{base}current"), Some("A"), Node::Float(1.2), NOW),
        ]
    );
}

/// The second example of section 5.1.2, and the same pack in CBOR as section 6 has it.
#[test]
fn base_time_and_unit_hold_until_a_record_says_otherwise() {
    let pack = json(
        r#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,
             "n":"voltage","u":"V","v":120.1},
            {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},
            {"n":"current","t":-3,"v":1.4},{"n":"current","t":-2,"v":1.5},
            {"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]"#,
    );
    let base = 1_276_020_076_001;
    let current = |back: i64, value| {
        let time = Time::Absolute(base - 1000 * back);
        record("urn:dev:ow:10e2073a0108006:current", Some("A"), Node::Float(value), time)
    };
    let voltage = "urn:dev:ow:10e2073a0108006:voltage";
    let expected = [
        record(voltage, Some("V"), Node::Float(120.1), Time::Absolute(base)),
        current(5, 1.2),
        current(4, 1.3),
        current(3, 1.4),
        current(2, 1.5),
        current(1, 1.6),
        current(0, 1.7),
    ];
    assert_eq!(pack, expected);

    let mut cbor = vec![0x87, 0xa7, 0x21, 0x78, 0x1b];
    cbor.extend(b"urn:dev:ow:10e2073a0108006:");
    cbor.extend([0x22, 0xfb, 0x41, 0xd3, 0x03, 0xa1, 0x5b, 0x00, 0x10, 0x62]);
    cbor.extend([0x23, 0x61, 0x41, 0x20, 0x05, 0x00, 0x67]);
    cbor.extend(b"voltage");
    cbor.extend([0x01, 0x61, 0x56, 0x02, 0xfb, 0x40, 0x5e, 0x06, 0x66, 0x66, 0x66, 0x66, 0x66]);
    for (time, value) in [(0x24, 1.2_f64), (0x23, 1.3), (0x22, 1.4), (0x21, 1.5), (0x20, 1.6)] {
        cbor.extend([0xa3, 0x00, 0x67]);
        cbor.extend(b"current");
        cbor.extend([0x06, time, 0x02, 0xfb]);
        cbor.extend(value.to_be_bytes());
    }
    cbor.extend([0xa3, 0x00, 0x67]);
    cbor.extend(b"current");
    cbor.extend([0x06, 0x00, 0x02, 0xfb]);
    cbor.extend(1.7_f64.to_be_bytes());
    assert_eq!(from_cbor(&cbor).as_deref(), Ok(&expected[..]));
}

/// Section 5.1.3: an empty name, and times that are added to the base.
#[test]
fn a_base_name_alone_is_a_name() {
    let pack = json(
        r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
            {"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3}]"#,
    );
    let name = "urn:dev:ow:10e2073a01080063";
    let base = 1_320_067_464_000;
    assert_eq!(
        pack,
        [
            record(name, Some("%RH"), Node::Int(20), Time::Absolute(base)),
            record(name, Some("lon"), Node::Float(24.306_21), Time::Absolute(base)),
            record(name, Some("lat"), Node::Float(60.079_65), Time::Absolute(base)),
            record(name, Some("%RH"), Node::Float(20.3), Time::Absolute(base + 60_000)),
        ]
    );
}

/// Sections 5.1.5 to 5.1.7: other types, several devices, an actuator.
#[test]
fn text_bits_and_bytes_are_values_too() {
    let pack = json(
        r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
            {"n":"label","vs":"Machine Room"},{"n":"open","vb":false},
            {"n":"nfc-reader","vd":"aGkgCg"}]"#,
    );
    let values: Vec<_> = pack.into_iter().filter_map(|record| record.value).collect();
    let text = |text: &str| Node::Text(text.to_owned());
    assert_eq!(
        values,
        [Node::Float(23.1), text("Machine Room"), Node::Bool(false), text("aGkgCg")]
    );

    let pack = json(
        r#"[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":27.2},
            {"n":"humidity","u":"%RH","v":80},
            {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
            {"n":"humidity","u":"%RH","v":67}]"#,
    );
    let names: Vec<_> = pack.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "2001:db8::2/temperature",
            "2001:db8::2/humidity",
            "2001:db8::1/temperature",
            "2001:db8::1/humidity"
        ]
    );
    let pack = json(r#"[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"led","vb":true}]"#);
    assert_eq!(pack.len(), 1, "a record of base fields alone is none");
}

#[test]
fn base_values_and_sums_are_added_and_whole_numbers_stay_exact() {
    let pack = json(
        r#"[{"bv":18446744073709551000,"bs":100,"n":"a","v":615},{"n":"a","v":0.5,"s":-1},
            {"n":"b","vs":"x"},{"bv":0,"bs":0,"n":"c","s":7}]"#,
    );
    let sums: Vec<_> = pack.iter().map(|record| record.sum.clone()).collect();
    let int = |int: i128| Some(Node::Int(int));
    assert_eq!(sums, [int(100), int(99), int(100), int(7)]);
    assert_eq!(pack[0].value, int(u64::MAX.into()));
    assert_eq!(pack[1].value, Some(Node::Float(18_446_744_073_709_551_000.5)));
    assert_eq!(pack[3].value, None);
}

#[test]
fn times_below_two_to_the_28th_count_from_now() {
    let pack = json(
        r#"[{"n":"a","t":-0.25,"v":1},{"n":"a","t":268435455,"v":1},{"n":"a","t":268435456,"v":1}]"#,
    );
    let times: Vec<_> = pack.iter().map(|record| record.time).collect();
    assert_eq!(
        times,
        [Time::Relative(-250), Time::Relative(268_435_455_000), Time::Absolute(268_435_456_000)]
    );
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_record() {
    for (text, why) in [
        (r#"{"n":"a","v":1}"#, "the pack is a map, not a list of records"),
        ("[1]", "record 1 of the pack is a whole number, not a map"),
        (
            r#"[{"n":"a","v":1},{"n":"a","v":1,"foo_":2}]"#,
            "record 2 of the pack has the field `foo_`, which must be understood",
        ),
        (
            r#"[{"bver":11,"n":"a","v":1}]"#,
            "record 1 of the pack is of version 11, and 10 is understood",
        ),
        (r#"[{"v":1}]"#, "record 1 of the pack has no name"),
        (
            r#"[{"n":":a","v":1}]"#,
            "record 1 of the pack has a name that begins with neither a letter nor a digit",
        ),
        (r#"[{"n":"a b","v":1}]"#, "record 1 of the pack has ' ' in its name"),
        (r#"[{"n":"a","v":1,"vb":true}]"#, "record 1 of the pack has two values"),
        (r#"[{"n":"a"}]"#, "record 1 of the pack has neither a value nor a sum"),
        (r#"[{"n":"a","v":"1"}]"#, "record 1 of the pack has text as `v`, not a number"),
        (r#"[{"n":1,"v":1}]"#, "record 1 of the pack has a whole number as `n`, not text"),
        (r#"[{"n":"a","t":1e300,"v":1}]"#, "record 1 of the pack has a `t` that no clock tells"),
    ] {
        let refused = from_json(text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(refused, Err(why.to_owned()), "{text}");
    }
    assert!(matches!(from_json(b"[{"), Err(SenmlError::Document(_))));
    // {0: "a", "n": "a", 2: 1}: one field under both of its labels.
    let twice = [0x81, 0xa3, 0x00, 0x61, 0x61, 0x61, 0x6e, 0x61, 0x61, 0x02, 0x01];
    let refused = from_cbor(&twice).map_err(|error| error.to_string());
    assert_eq!(refused, Err("record 1 of the pack has `n` under both of its labels".to_owned()));
    let unknown = json(r#"[{"n":"a","v":1,"foo":2}]"#);
    assert_eq!(unknown.len(), 1, "a field that need not be understood is none of our business");
}
