//! The simulator, asked in literal frames and polled by the real bus.

mod driver_kit;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use fieldgate_edge::drivers::modbus::BusDevice;
use fieldgate_edge::drivers::{Class, DeviceIndex, Job, WriteResult};
use fieldgate_edge::simulate::{Door, SimulateOptions, SimulatedBus, SimulatedDevice, Simulator};
use fieldgate_modbus::register::{Address, ReadReply, ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_model::{Millis, Scale, SignalName, Value};
use fieldgate_rules::decode::decode;
use fieldgate_rules::plan::{HoleMap, Image, ReadRules};
use fieldgate_rules::profile::{ParserSpec, Profile};
use fieldgate_rules::signal::{DataType, SignalSource, SignalSpec, WordOrder, WriteSpec};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::driver_kit::Rig;

fn signal(name: &str, source: SignalSource, unit: &str) -> SignalSpec {
    let name = SignalName::new(name).expect("a name");
    SignalSpec { unit: unit.to_owned(), ..SignalSpec::new(name, source) }
}

fn holding(offset: u16, data: DataType, order: WordOrder) -> SignalSource {
    let address = Address { table: Table::HoldingRegister, offset };
    SignalSource::Registers { address, data, order }
}

fn profile(name: &str, signals: Vec<SignalSpec>, parser: Option<ParserSpec>) -> Arc<Profile> {
    Arc::new(Profile {
        name: name.to_owned(),
        version: 1,
        title: name.to_owned(),
        source: String::new(),
        signals,
        alarms: Vec::new(),
        parser,
        tests: Vec::new(),
        every: Millis(1_000),
        resources: Vec::new(),
        unverified: BTreeSet::new(),
        reading: ReadRules::default(),
    })
}

/// hr:0 voltage, hr:2 frequency in centihertz, hr:3 set-point, hr:4 count, co:0 valve.
fn meter() -> Arc<Profile> {
    let mut frequency = signal("frequency", holding(2, DataType::U16, WordOrder::Abcd), "Hz");
    frequency.scale = Scale::new(0.01, 0.0).expect("a scale");
    let mut set_point = signal("set_point", holding(3, DataType::U16, WordOrder::Abcd), "°C");
    set_point.writable = Some(WriteSpec::default());
    let coil = SignalSource::Bit { address: Address { table: Table::Coil, offset: 0 } };
    let mut valve = signal("valve", coil, "");
    valve.writable = Some(WriteSpec::default());
    let signals = vec![
        signal("voltage", holding(0, DataType::F32, WordOrder::Cdab), "V"),
        frequency,
        set_point,
        signal("reads", holding(4, DataType::U32, WordOrder::Abcd), ""),
        valve,
    ];
    profile("meter", signals, None)
}

/// hr:0 to hr:9 for its parser.
fn pump() -> Arc<Profile> {
    let reads = vec![ReadRequest { table: Table::HoldingRegister, start: 0, count: 10 }];
    let parser = ParserSpec { file: "pump.luau".to_owned(), source: String::new(), reads };
    profile("pump", Vec::new(), Some(parser))
}

struct Simulated {
    address: SocketAddr,
    control: SocketAddr,
    announcement: String,
    _tasks: JoinSet<()>,
}

async fn simulate() -> Simulated {
    let device = |unit, profile: Arc<Profile>| SimulatedDevice {
        name: profile.name.clone(),
        unit: UnitId(unit),
        profile,
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let devices = vec![device(1, meter()), device(2, pump())];
    let buses = vec![SimulatedBus { doors: vec![Door::Tcp(any)], devices }];
    let options = SimulateOptions { buses, control: Some(any), ..SimulateOptions::default() };
    let simulator = Simulator::bind(options);
    let simulator = simulator.await.expect("free ports");
    let address = simulator.addresses()[0];
    let control = simulator.control_address().expect("asked for");
    let announcement = simulator.announcement();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { simulator.run().await.expect("it goes on") });
    Simulated { address, control, announcement, _tasks: tasks }
}

/// Sends a frame and gives the answer's bytes.
async fn exchange(stream: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
    stream.write_all(frame).await.expect("it listens");
    let mut header = [0; 6];
    stream.read_exact(&mut header).await.expect("an answer");
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.expect("a whole answer");
    [&header, rest.as_slice()].concat()
}

async fn control(simulated: &Simulated, line: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(simulated.control).await.expect("listens"));
    stream.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    let mut answer = String::new();
    stream.read_line(&mut answer).await.expect("an answer");
    answer.trim_end().to_owned()
}

#[tokio::test]
async fn what_does_not_exist_is_refused_as_a_device_would() {
    let simulated = simulate().await;
    let mut stream = TcpStream::connect(simulated.address).await.expect("it listens");
    let rows: [(&str, &[u8], &[u8]); 9] = [
        ("unknown unit", &[0, 1, 0, 0, 0, 6, 9, 3, 0, 0, 0, 1], &[9, 0x83, 11]),
        ("unknown register", &[0, 2, 0, 0, 0, 6, 1, 3, 0, 9, 0, 1], &[1, 0x83, 2]),
        ("partly unknown", &[0, 3, 0, 0, 0, 6, 1, 3, 0, 5, 0, 2], &[1, 0x83, 2]),
        ("other table", &[0, 4, 0, 0, 0, 6, 1, 4, 0, 0, 0, 1], &[1, 0x84, 2]),
        ("nothing", &[0, 5, 0, 0, 0, 6, 1, 3, 0, 0, 0, 0], &[1, 0x83, 3]),
        ("too much", &[0, 6, 0, 0, 0, 6, 1, 3, 0, 0, 0, 126], &[1, 0x83, 3]),
        ("read-only register", &[0, 7, 0, 0, 0, 6, 1, 6, 0, 0, 0, 1], &[1, 0x86, 2]),
        ("beyond the end", &[0, 8, 0, 0, 0, 6, 1, 3, 255, 255, 0, 2], &[1, 0x83, 2]),
        ("unknown function", &[0, 9, 0, 0, 0, 2, 1, 65], &[1, 0xC1, 1]),
    ];
    for (name, frame, expected) in rows {
        let answer = exchange(&mut stream, frame).await;
        assert_eq!(answer[..6], [&frame[..5], &[3]].concat(), "{name}");
        assert_eq!(answer[6..], *expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_written_is_what_is_read() {
    let simulated = simulate().await;
    let mut stream = TcpStream::connect(simulated.address).await.expect("it listens");
    let rows: [(&[u8], &[u8], &[u8]); 4] = [
        // FC 6 to hr:3, FC 16 to hr:3, FC 5 to co:0, FC 16 to the pump's hr:8.
        (&[1, 6, 0, 3, 0, 42], &[1, 3, 0, 3, 0, 1], &[1, 3, 2, 0, 42]),
        (&[1, 16, 0, 3, 0, 1, 2, 0, 43], &[1, 3, 0, 3, 0, 1], &[1, 3, 2, 0, 43]),
        (&[1, 5, 0, 0, 255, 0], &[1, 1, 0, 0, 0, 1], &[1, 1, 1, 1]),
        (&[2, 16, 0, 8, 0, 2, 4, 0, 1, 0, 2], &[2, 3, 0, 8, 0, 2], &[2, 3, 4, 0, 1, 0, 2]),
    ];
    for (write, read, expected) in rows {
        for (pdu, expected) in [(write, &write[..6]), (read, expected)] {
            let length = u8::try_from(pdu.len()).expect("short");
            let answer = exchange(&mut stream, &[&[0, 1, 0, 0, 0, length], pdu].concat()).await;
            assert_eq!(answer[6..], *expected, "{pdu:?}");
        }
    }
}

fn polled(profile: &Profile) -> BusDevice {
    BusDevice {
        index: DeviceIndex(0),
        unit: UnitId(1),
        every: Millis(20),
        timeout: Millis(1_000),
        wanted: profile.plan().into_iter().map(driver_kit::as_poll).collect(),
        reading: driver_kit::apart(),
        holes: HoleMap::default(),
    }
}

fn value(profile: &Profile, name: &str, image: &Image) -> Value {
    let name = SignalName::new(name).expect("a name");
    let (_, spec) = profile.signal(&name).expect("a signal");
    let raw = decode(spec, image).expect("a value");
    spec.engineering(&raw)
}

#[tokio::test]
async fn values_are_plausible_and_the_count_tells_every_answer() {
    let simulated = simulate().await;
    let profile = meter();
    let mut rig = Rig::start(simulated.address.port(), vec![polled(&profile)]);
    for count in 1..=20 {
        let image = Image::new(rig.frame_of(0).await.replies);
        assert_eq!(value(&profile, "reads", &image), Value::Unsigned(count));
        let voltage = value(&profile, "voltage", &image).as_f64().expect("a number");
        assert!((220.0..240.0).contains(&voltage), "{voltage} V");
        let frequency = value(&profile, "frequency", &image).as_f64().expect("a number");
        assert!((49.9..50.1).contains(&frequency), "{frequency} Hz");
    }
    let counts = control(&simulated, r#"{"counts":true}"#).await;
    let counts: serde_json::Value = serde_json::from_str(&counts).expect("JSON");
    let reads = counts["counts"]["meter"]["reads"].as_u64();
    assert!(reads >= Some(20), "{counts}");
    assert_eq!(counts["counts"]["pump"]["requests"], 0);
}

#[tokio::test]
async fn a_pinned_signal_stays_until_it_is_let_go() {
    let simulated = simulate().await;
    let profile = meter();
    let mut rig = Rig::start(simulated.address.port(), vec![polled(&profile)]);
    let pin = r#"{"device":"meter","signal":"voltage","value":260}"#;
    assert_eq!(control(&simulated, pin).await, r#"{"ok":true}"#);
    // The first frame may have been read before.
    rig.frame_of(0).await;
    for _ in 0..3 {
        let image = Image::new(rig.frame_of(0).await.replies);
        assert_eq!(value(&profile, "voltage", &image), Value::Float32(260.0));
    }
    let free = r#"{"device":"meter","signal":"voltage","value":null}"#;
    assert_eq!(control(&simulated, free).await, r#"{"ok":true}"#);
    rig.frame_of(0).await;
    let image = Image::new(rig.frame_of(0).await.replies);
    assert_ne!(value(&profile, "voltage", &image), Value::Float32(260.0));
}

#[tokio::test]
async fn a_device_can_be_made_silent_and_comes_back() {
    let simulated = simulate().await;
    let mut rig = Rig::start(simulated.address.port(), vec![polled(&meter())]);
    rig.next_good_of(0).await;
    let line = |silent| format!(r#"{{"device":"meter","silent":{silent}}}"#);
    assert_eq!(control(&simulated, &line(true)).await, r#"{"ok":true}"#);
    assert_eq!(rig.next_cause_of(0).await, fieldgate_model::Cause::NoAnswer);
    assert_eq!(control(&simulated, &line(false)).await, r#"{"ok":true}"#);
    rig.next_good_of(0).await;
}

#[tokio::test]
async fn a_write_job_is_verified_by_its_read_back() {
    let simulated = simulate().await;
    let rig = Rig::start(simulated.address.port(), vec![polled(&meter())]);
    let (done, result) = oneshot::channel();
    let job = Job::Write {
        unit: UnitId(1),
        request: WriteRequest::Register { offset: 3, word: 65 },
        read_back: Some(ReadRequest { table: Table::HoldingRegister, start: 3, count: 1 }),
        deadline: None,
        class: Class::Command,
        done,
    };
    rig.jobs.send(job).await.expect("the bus runs");
    let read_back = Some(Ok(ReadReply::Registers(vec![65])));
    assert_eq!(result.await.expect("an answer"), WriteResult::Written { read_back });
}

#[tokio::test]
async fn a_wrong_control_line_is_answered_with_what_is_wrong() {
    let simulated = simulate().await;
    let rows = [
        ("", "EOF while parsing a value at line 2 column 0"),
        (
            "{}",
            "nothing asked: give `counts`, or `device` with `signal`, `register`, `silent` or `faults`",
        ),
        (r#"{"device":"x","silent":true}"#, "no device `x`"),
        (r#"{"device":"meter","signal":"x","value":1}"#, "device `meter` has no signal `x`"),
        (
            r#"{"device":"meter","signal":"set_point","value":70000}"#,
            "signal `set_point` cannot show `70000`",
        ),
        (r#"{"device":"meter","signal":"voltage","value":[1]}"#, "`[1]` is not a value"),
        (
            r#"{"device":"meter","register":"hr:3","value":70000}"#,
            "`hr:3` is not a register, or its value not a word",
        ),
    ];
    for (line, error) in rows {
        let answer: serde_json::Value =
            serde_json::from_str(&control(&simulated, line).await).expect("JSON");
        assert_eq!(answer["error"], error, "{line}");
    }
}

#[tokio::test]
async fn the_announcement_names_every_device_and_where_it_is() {
    let simulated = simulate().await;
    let told: serde_json::Value = serde_json::from_str(&simulated.announcement).expect("JSON");
    assert_eq!(told["control"], simulated.control.to_string());
    assert_eq!(told["devices"][1]["profile"], "pump@1");
    assert_eq!(told["devices"][1]["unit"], 2);
    for place in [0, 1] {
        assert_eq!(told["devices"][place]["modbus_tcp"], simulated.address.to_string());
    }
    assert_eq!(told["devices"].as_array().map(Vec::len), Some(2));
}
