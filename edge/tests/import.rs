//! Importers: a text from another tool, to a profile that loads and means the same.

use std::path::Path;

use fieldgate_edge::config::Library;
use fieldgate_edge::import::{Format, Imported, Note, Options, Pick, Weight, import};
use fieldgate_rules::profile::Profile;

fn options() -> Options {
    Options { file: "given.txt".to_owned(), ..Options::default() }
}

fn take(format: Format, text: &str, options: &Options) -> Imported {
    match import(format, text, options) {
        Ok(imported) => imported,
        Err(notes) => panic!("{notes:#?}"),
    }
}

/// The profile of a text with these tests behind it; it must load, and its tests must pass.
fn check(imported: &Imported, tests: &str) -> Profile {
    let text = format!("{}\n{tests}", imported.toml);
    match Library::parse(Path::new("imported.toml"), text.clone()) {
        Ok(profile) => {
            let failures: Vec<_> = profile.run_tests().iter().map(ToString::to_string).collect();
            assert!(failures.is_empty(), "{failures:#?}\n{text}");
            assert_eq!(profile.signals.len(), imported.signals);
            profile
        }
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

fn lines(notes: &[Note], weight: Weight) -> Vec<(usize, &str)> {
    let notes = notes.iter().filter(|note| note.weight == weight);
    notes.map(|note| (note.line.unwrap_or(0), note.what.as_str())).collect()
}

#[test]
fn a_register_list_with_a_header_is_read_in_any_spelling() {
    let text = "\
Name;Description;Register;Type;Word Order;Unit;Scale;Offset;R/W;Colour
Voltage L1;Line to neutral;40001;Float32;;V;;;R;red
Energy;;40003;UINT32;CDAB;kWh;0.01;;R;
Set point;;400010;int16;;degC;0.1;-40;R/W;
Status bit;;0x0001;bool;;;;;;
Broken;;40020;u128;;;;;;
No address;;;u16;;;;;;
";
    let imported = take(Format::Csv, text, &options());
    let profile = check(
        &imported,
        r#"
[[test]]
registers = { "hr:0" = ["0x4366", "0x3333", "0x0001", "0x0002"], "hr:9" = [650] }
coils = { "co:1" = [true] }
expect = { voltage_l1 = 230.2, Energy = 1310.73, set_point = 25.0, status_bit = true }
"#,
    );
    assert_eq!(profile.name, "given");
    let [voltage, _, set_point, _] = profile.signals.as_slice() else { panic!("{profile:?}") };
    assert_eq!((voltage.title.as_str(), voltage.unit.as_str()), ("Line to neutral", "V"));
    assert_eq!(set_point.unit, "°C");
    assert!(set_point.writable.is_some() && voltage.writable.is_none());
    assert_eq!(lines(&imported.notes, Weight::Setting), [(1, "column `Colour`")]);
    assert_eq!(
        lines(&imported.notes, Weight::Lost),
        [(6, "`Broken`: `u128` is not a type that is known"), (7, "`No address`: has no address")]
    );
}

#[test]
fn bare_numbers_count_from_where_the_person_says() {
    let text = "name,address,table,type\na,100,input,u16\n";
    for (one_based, at) in [(false, 100), (true, 99)] {
        let imported = take(Format::Csv, text, &Options { one_based, ..options() });
        let checked =
            format!("[[test]]\nregisters = {{ \"ir:{at}\" = [7] }}\nexpect = {{ a = 7 }}\n");
        check(&imported, &checked);
        let [(0, remark)] = lines(&imported.notes, Weight::Remark)[..] else { panic!() };
        assert!(remark.contains(if one_based { "from 1" } else { "from 0" }), "{remark}");
    }
}

#[test]
fn modpolls_rows_are_read_with_the_table_and_order_of_their_poll() {
    let text = "\
device,SDM120M,1,,,
poll,input_register,0,2,BE_BE,
ref,voltage,0,float32,r,Volts
poll,holding_register,40000,8,BE_LE
ref,counter,40001,uint32,rw,,0.001
ref,serial,40003,string4,r
ref,flags,40005,bool16,r
poll,coil,0,16,BE_BE
ref,relay,3,bool,rw
";
    let imported = take(Format::Csv, text, &options());
    let profile = check(
        &imported,
        r#"
[[test]]
registers = { "ir:0" = ["0x4366", "0x3333"], "hr:40001" = [2, 1, "0x4142", "0x4344"] }
coils = { "co:3" = [true] }
expect = { voltage = 230.2, counter = 65.538, serial = "ABCD", relay = true }
"#,
    );
    assert_eq!(profile.name, "SDM120M");
    let lost = lines(&imported.notes, Weight::Lost);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost.first().map(|(line, _)| *line), Some(7));
}

const TELEGRAF: &str = r#"
[[inputs.modbus]]
  name = "Pump"
  controller = "tcp://localhost:502"
  timeout = "1s"
  configuration_type = "request"

  [[inputs.modbus.request]]
    slave_id = 1
    byte_order = "CDAB"
    register = "holding"
    fields = [
      { address=0, name="voltage", type="INT16", scale=0.1 },
      { address=1, name="current", type="UINT32", scale=0.001, measurement="A" },
      { address=3, name="unused", type="UINT32", omit=true },
      { address=5, name="level", type="FLOAT32" },
      { address=7, name="high", type="UINT8H" },
      { address=8, name="alarm", type="BIT", bit=3 },
      { address=9, name="label", type="STRING", length=2 },
      { address=70000, name="nowhere", type="INT16" },
      { address=12, name="odd", type="INT128" },
    ]

  [[inputs.modbus.request]]
    slave_id = 1
    register = "coil"
    fields = [ { address=4, name="motor" } ]

  [[inputs.modbus.request]]
    slave_id = 7
    register = "input"
    fields = [ { address=0, name="other", type="UINT16" } ]
"#;

#[test]
fn telegrafs_requests_become_the_signals_of_one_device() {
    let imported = take(Format::Telegraf, TELEGRAF, &options());
    let profile = check(
        &imported,
        r#"
[[test]]
registers = { "hr:0" = ["0xFFF6", 2, 1, 0, 0, 0, "0x3F80", "0xAB12", 8, "0x4243", "0x4445"] }
coils = { "co:4" = [true] }
expect = { voltage = -1.0, current = 65.538, level = 1.0, high = 171, alarm = true, label = "BCDE", motor = true }
"#,
    );
    assert_eq!(profile.name, "Pump");
    let lost = lines(&imported.notes, Weight::Lost);
    let at: Vec<usize> = lost.iter().map(|(line, _)| *line).collect();
    assert_eq!(at, [20, 21, 29], "{lost:?}");
    let settings = lines(&imported.notes, Weight::Setting);
    assert!(settings.contains(&(14, "`measurement` of `current`")), "{settings:?}");
    assert!(settings.iter().any(|(line, what)| *line == 4 && what.contains("controller")));

    let pick = Some(Pick { bus: None, unit: 7 });
    let other = take(Format::Telegraf, TELEGRAF, &Options { device: pick, ..options() });
    check(&other, "[[test]]\nregisters = { \"ir:0\" = [9] }\nexpect = { other = 9 }\n");
    assert_eq!(other.signals, 1);
}

#[test]
fn telegrafs_older_style_says_its_width_by_its_addresses() {
    let text = r#"
[[inputs.modbus]]
  slave_id = 1
  controller = "file:///dev/ttyUSB0"
  discrete_inputs = [ { name = "start", address = [0] } ]
  holding_registers = [
    { name = "power_factor", byte_order = "AB", data_type = "FIXED", scale=0.01, address = [8] },
    { name = "energy", byte_order = "ABCD", data_type = "FIXED", scale=0.001, address = [5,6] },
    { name = "power", byte_order = "CDAB", data_type = "UFIXED", scale=0.1, address = [3,4] },
    { name = "temp", byte_order = "BADC", data_type = "FLOAT32-IEEE", scale=1.0, address = [10,11] },
    { name = "gap", byte_order = "ABCD", data_type = "INT32", scale=1.0, address = [20,22] },
  ]
"#;
    let imported = take(Format::Telegraf, text, &options());
    check(
        &imported,
        r#"
[[test]]
discrete_inputs = { "di:0" = [true] }
registers = { "hr:3" = [5, 0, "0xFFFF", "0xFC18", 0, "0xFFF6"], "hr:10" = ["0x803F", 0] }
expect = { start = true, power_factor = -0.1, energy = -1.0, power = 0.5, temp = 1.0 }
"#,
    );
    assert_eq!(
        lines(&imported.notes, Weight::Lost),
        [(11, "`gap`: its registers do not lie in a row")]
    );
}

const HOME_ASSISTANT: &str = "\
# the heating
modbus:
  - name: cabinet
    type: tcp
    host: 192.0.2.5
    port: 502
    sensors:
      - name: Outside temperature
        slave: 1
        address: 10
        input_type: input
        data_type: int16
        scale: 0.1
        precision: 1
        unit_of_measurement: °C
        nan_value: 0x8000
        scan_interval: 15
      - name: Energy
        slave: 1
        address: 0x20
        data_type: uint32
        swap: word
        scan_interval: 60
      - name: Odd
        slave: 1
        address: 30
        data_type: custom
        structure: \">4hf\"
      - name: Default
        slave: 1
        address: 40
    switches:
      - name: Pump
        slave: 1
        address: 5
        write_type: coil
      - name: Mode
        slave: 1
        address: 6
        command_on: 3
        command_off: 2
        verify:
    binary_sensors:
      - name: Door
        slave: 1
        address: 7
        input_type: discrete_input
        device_class: door
      - name: Elsewhere
        slave: 2
        address: 7
";

#[test]
fn home_assistants_entities_become_the_signals_of_one_device() {
    let imported = take(Format::HomeAssistant, HOME_ASSISTANT, &options());
    let profile = check(
        &imported,
        r#"
[[test]]
registers = { "ir:10" = ["0xFFF6"], "hr:32" = [2, 1], "hr:40" = ["0xFFFF"], "hr:6" = [3] }
coils = { "co:5" = [true] }
discrete_inputs = { "di:7" = [true] }
[test.expect]
outside_temperature = -1.0
Energy = 65538
Default = -1
Mode = 3
Pump = true
Door = true

[[test]]
registers = { "ir:10" = ["0x8000"] }
expect = { outside_temperature = { quality = "null" } }
"#,
    );
    assert_eq!(profile.name, "cabinet-1");
    let lost = lines(&imported.notes, Weight::Lost);
    let at: Vec<usize> = lost.iter().map(|(line, _)| *line).collect();
    assert_eq!(at, [24, 49], "{lost:?}");
    let settings = lines(&imported.notes, Weight::Setting);
    assert!(settings.contains(&(17, "`scan_interval`, 2 times")), "{settings:?}");
    for key in ["host", "precision", "device_class", "verify"] {
        assert!(settings.iter().any(|(_, what)| what.contains(key)), "{key}: {settings:?}");
    }
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    for (format, text, line, word) in [
        (Format::Csv, "", None, "no signal"),
        (Format::Csv, "a,b\n1,2\n", Some(1), "`address`"),
        (Format::Telegraf, "[[inputs.modbus]\n", Some(1), "TOML"),
        (Format::Telegraf, "[agent]\n", None, "no signal"),
        (Format::HomeAssistant, "modbus:\n  - a: [1\n", Some(3), "read"),
        (Format::HomeAssistant, "modbus: !include modbus.yaml\n", Some(1), "another file"),
        (Format::HomeAssistant, "a: &a [1]\nb: *a\n", Some(2), "refers"),
        (Format::SunSpec, "{\"id\": 1}", Some(1), "`group`"),
        (
            Format::SunSpec,
            "{\"id\": 1, \"group\": {\"name\": \"a\",\n\"points\": [{\"name\": \"X\", \"type\": \"int7\"}]}}",
            Some(2),
            "int7",
        ),
    ] {
        let notes = import(format, text, &options()).expect_err("it cannot be read");
        let found = notes.iter().any(|note| note.line == line && note.what.contains(word));
        assert!(found, "{format:?} {text:?}: {notes:#?}");
    }
}

#[test]
fn any_text_ends_in_a_profile_or_a_reason() {
    // Every prefix of what is right, and every text with one letter of another kind in it.
    let texts = [
        (Format::Csv, "name,address,type,scale\na,40001,u16,0.1\n\"b\"\"\",hr:3,string,\n"),
        (Format::Csv, "device,a,1\npoll,coil,0,2,BE_BE\nref,b,0,bool,rw,V,1\n"),
        (Format::Telegraf, TELEGRAF),
        (Format::HomeAssistant, HOME_ASSISTANT),
    ];
    for (format, text) in texts {
        for (at, _) in text.char_indices() {
            let (before, behind) = text.split_at(at);
            for text in
                [before.to_owned(), format!("{before}\"{behind}"), format!("{before}9{behind}")]
            {
                if let Ok(imported) = import(format, &text, &options()) {
                    assert!(imported.signals > 0);
                }
            }
        }
    }
}

#[test]
fn a_row_that_no_profile_can_hold_is_left_out_and_the_others_stay() {
    let telegraf = "[[inputs.modbus]]\n[[inputs.modbus.request]]\nslave_id = 1\nfields = [
{ address = 1, name = \"bit\", type = \"BIT\", bit = -5 },
{ address = 2, name = \"text\", type = \"STRING\" },
{ address = 3, name = \"long\", type = \"STRING\", length = 9999 },
{ address = 4, name = \"scale\", type = \"INT16\", scale = 0.0 },
{ address = 65535, name = \"end\", type = \"INT32\" },
{ address = 6, name = \"good\", type = \"INT16\" },
]\n";
    let home_assistant = "modbus:\n- name: h\n  switches:\n  - {name: a, address: 0, command_on: 0}
  - {name: b, address: 1, command_on: -1}\n  sensors:\n  - {name: good, address: 9}\n";
    let csv = "name,address,type,null,scale\na,hr:1,u16,0xFFFFFFFF,\nb,hr:2,u16,,1e300\ngood,hr:3,u16,,\n";
    for (format, text, lost) in [
        (Format::Telegraf, telegraf, vec![5, 6, 7, 8, 9]),
        (Format::HomeAssistant, home_assistant, vec![4, 5]),
        (Format::Csv, csv, vec![2, 3]),
    ] {
        let imported = take(format, text, &options());
        let found: Vec<usize> =
            lines(&imported.notes, Weight::Lost).iter().map(|(line, _)| *line).collect();
        assert_eq!(found, lost, "{:#?}", imported.notes);
        let profile = check(&imported, "");
        assert_eq!(profile.signals.len(), 1, "{}", imported.toml);
    }
}

#[test]
fn a_text_that_asks_for_millions_of_signals_gets_as_many_as_a_profile_holds() {
    let repeated = "  - {name: a, address: 0, slave: 1, slave_count: 65535}\n".repeat(500);
    let nested = "{\"id\": 1, \"group\": {\"name\": \"a\", \"groups\": [{\"name\": \"b\", \
        \"count\": 65535, \"groups\": [{\"name\": \"c\", \"count\": 65535, \"points\": \
        [{\"name\": \"p\", \"type\": \"uint16\"}]}]}]}}";
    let fields = "{ address = 1, name = \"a\", type = \"INT16\" },\n".repeat(40_000);
    for (format, text) in [
        (Format::Csv, format!("name,address\n{}", "a,1\n".repeat(1_000_000))),
        (Format::HomeAssistant, format!("modbus:\n- name: h\n  sensors:\n{repeated}")),
        (Format::SunSpec, nested.to_owned()),
        (
            Format::Telegraf,
            format!("[[inputs.modbus]]\n[[inputs.modbus.request]]\nfields = [\n{fields}]\n"),
        ),
    ] {
        let imported = take(format, &text, &options());
        assert_eq!(imported.signals, 5_000, "{format:?}");
        assert!(imported.notes.len() < 1_100, "{format:?}: {}", imported.notes.len());
        assert!(imported.notes.iter().any(|note| note.weight == Weight::Lost), "{format:?}");
        check(&imported, "");
    }
}

#[test]
fn what_the_search_for_breaking_texts_starts_from_and_has_found_is_read() {
    for (folder, format) in [
        ("csv", Format::Csv),
        ("telegraf", Format::Telegraf),
        ("home-assistant", Format::HomeAssistant),
        ("sunspec", Format::SunSpec),
    ] {
        let folder = format!("{}/tests/import_corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(&folder).expect("the corpus is there") {
            let path = entry.expect("a file has a name").path();
            let bytes = std::fs::read(&path).expect("a file can be read");
            let text = String::from_utf8_lossy(&bytes);
            match import(format, &text, &options()) {
                Ok(imported) => drop(check(&imported, "")),
                Err(notes) => assert!(!notes.is_empty(), "{}", path.display()),
            }
        }
    }
}
