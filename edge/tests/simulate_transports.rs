//! The simulator's functions and transports: RTU over TCP, and RTU and ASCII on a line that takes
//! its time.

mod simulate_kit;

use std::time::{Duration, Instant};

use fieldgate_edge::simulate::{Door, SimulateOptions, SimulatedLine, Simulator};
use fieldgate_modbus::line::LineSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use self::simulate_kit::{Client, PATIENCE, Simulated, any, exchange, free_path, simulate};

/// Write hr:0 and hr:1 of unit 1 with 0x0102 and 0x0304, and read them.
const WRITE: [u8; 13] = [1, 16, 0, 0, 0, 2, 4, 1, 2, 3, 4, 0x52, 0xA0];
const READ: [u8; 8] = [1, 3, 0, 0, 0, 2, 0xC4, 0x0B];
const WORDS: [u8; 9] = [1, 3, 4, 1, 2, 3, 4, 0x5B, 0x3C];

const NOTHING: [u8; 0] = [];

/// Longer than the pause between bytes at the slowest speed used here.
const QUIET: Duration = Duration::from_millis(150);

fn line(settings: &str) -> SimulatedLine {
    SimulatedLine { line: settings.parse().expect("line settings"), is_echoing: false, link: None }
}

async fn on_line(door: Door) -> (Simulated, String) {
    let simulated = simulate(vec![door], SimulateOptions::default()).await;
    let port = simulated.ports[0].1.clone();
    (simulated, port)
}

#[tokio::test]
async fn every_function_is_answered_as_specified() {
    let simulated = simulate(vec![Door::Tcp(any())], SimulateOptions::default()).await;
    let mut stream = simulated.connect().await;
    let rows: [(&str, &[u8], &[u8]); 12] = [
        ("write coils", &[1, 15, 0, 0, 0, 10, 2, 0xCD, 0x01], &[1, 15, 0, 0, 0, 10]),
        ("read coils", &[1, 1, 0, 0, 0, 10], &[1, 1, 2, 0xCD, 0x01]),
        ("write registers", &[1, 16, 0, 0, 0, 2, 4, 0, 0x12, 0, 2], &[1, 16, 0, 0, 0, 2]),
        ("mask", &[1, 22, 0, 0, 0, 0xF2, 0, 0x25], &[1, 22, 0, 0, 0, 0xF2, 0, 0x25]),
        ("read", &[1, 3, 0, 0, 0, 2], &[1, 3, 4, 0, 0x17, 0, 2]),
        // What is read has been written before.
        ("read and write", &[1, 23, 0, 0, 0, 2, 0, 1, 0, 1, 2, 9, 9], &[1, 23, 4, 0, 0x17, 9, 9]),
        ("server id", &[1, 17], b"\x01\x11\x09\x46\xFFbench@1"),
        ("one object", &[1, 43, 14, 4, 1], b"\x01\x2B\x0E\x04\x82\0\0\x01\x01\x05bench"),
        ("no such object", &[1, 43, 14, 4, 3], &[1, 0xAB, 2]),
        ("lying count", &[1, 16, 0, 0, 0x80, 1, 2, 0, 1], &[1, 0x90, 3]),
        ("coil that is neither", &[1, 5, 0, 0, 1, 0], &[1, 0x85, 3]),
        ("unknown", &[1, 0x41], &[1, 0xC1, 1]),
    ];
    for (name, request, expected) in rows {
        assert_eq!(exchange(&mut stream, request).await, expected, "{name}");
    }
    let basic = exchange(&mut stream, &[1, 43, 14, 1, 0]).await;
    assert_eq!(
        basic,
        b"\x01\x2B\x0E\x01\x82\0\0\x03\0\x13Fieldgate simulator\x01\x05bench\x02\x011"
    );
}

#[tokio::test]
async fn rtu_is_served_over_tcp_and_noise_ends_with_a_pause() {
    let simulated = simulate(vec![Door::RtuOverTcp(any())], SimulateOptions::default()).await;
    let mut stream = simulated.connect().await;
    let mut ask = async |request: &[u8], length| {
        stream.write_all(request).await.expect("it listens");
        let mut answer = vec![0; length];
        let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.expect("an answer in time").expect("it goes on");
        answer
    };
    assert_eq!(ask(&WRITE, 8).await, [1, 16, 0, 0, 0, 2, 0x41, 0xC8]);
    assert_eq!(ask(&READ, 9).await, WORDS);
    // Two at once, as a client that pipelines sends them.
    assert_eq!(ask(&[READ, READ].concat(), 18).await, [WORDS, WORDS].concat());
    // A wrong checksum, an unknown unit: silence. Noise swallows what follows without a pause.
    for request in [[1, 3, 0, 0, 0, 2, 0xC4, 0x0C], [9, 3, 0, 0, 0, 2, 0xC5, 0x43]] {
        let mut stream = simulated.connect().await;
        stream.write_all(&request).await.expect("it listens");
        timeout(QUIET, stream.read_u8()).await.expect_err("an answer to what nobody asked");
        stream.write_all(&READ).await.expect("it listens");
        let mut answer = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("open");
        assert_eq!(answer, WORDS);
    }
}

#[tokio::test]
async fn a_line_takes_its_time() {
    let settings: LineSettings = "9600-8N1".parse().expect("line settings");
    let (_simulated, port) = on_line(Door::Rtu(line("9600-8N1"))).await;
    let mut client = Client::open(&port, 9_600);
    client.send(&WRITE);
    client.receive(8).await;
    let started = Instant::now();
    client.send(&READ);
    let answer = client.receive(9).await;
    let on_line = Duration::from_micros(settings.time_us(8 + 9) + settings.frame_gap_us());
    assert!(started.elapsed() >= on_line, "{:?} instead of {on_line:?}", started.elapsed());
    assert_eq!(answer, WORDS);
}

#[tokio::test]
async fn another_speed_makes_garbage_of_both_directions() {
    let (simulated, port) = on_line(Door::Rtu(line("9600-8N1"))).await;
    let mut client = Client::open(&port, 9_600);
    client.send(&WRITE);
    client.receive(8).await;
    // What it asks at another speed is not understood.
    for baud in [4_800, 19_200, 38_400] {
        client.set_speed(baud);
        client.send(&READ);
        assert_eq!(client.receive_until_quiet(QUIET).await, NOTHING, "{baud}");
    }
    // What is answered at another speed is not either: the request is understood, and then the
    // speed changed.
    client.set_speed(9_600);
    simulated.control(r#"{"faults": {"late": "200ms"}}"#).await;
    client.send(&READ);
    while simulated.control(r#"{"counts": true}"#).await["counts"]["bench"]["faults"]["late"] != 1 {
    }
    client.set_speed(19_200);
    let garbage = client.receive_until_quiet(3 * QUIET).await;
    assert!(!garbage.is_empty());
    assert_ne!(garbage, WORDS);
    client.set_speed(9_600);
    client.send(&READ);
    assert_eq!(client.receive(9).await, WORDS);
}

#[tokio::test]
async fn ascii_is_served_on_a_line() {
    let (simulated, port) = on_line(Door::Ascii(line("115200-8N1"))).await;
    assert_eq!(simulated.announcement["devices"][0]["transport"], "modbus_ascii");
    assert_eq!(simulated.announcement["devices"][0]["modbus_ascii"], port);
    assert_eq!(simulated.announcement["devices"][0]["line"], "115200-8N1");
    let mut client = Client::open(&port, 115_200);
    client.send(b":01060000123EA9\r\n");
    assert_eq!(client.receive(17).await, b":01060000123EA9\r\n");
    client.send(b":010300000001FA\r\n:010300000001FB\r\n");
    assert_eq!(client.receive(15).await, b":010302123EAA\r\n");
}

#[tokio::test]
async fn a_broadcast_is_obeyed_and_not_answered() {
    let (_simulated, port) = on_line(Door::Rtu(line("115200-8N1"))).await;
    let mut client = Client::open(&port, 115_200);
    client.send(&[0, 16, 0, 0, 0, 2, 4, 1, 2, 3, 4, 0x56, 0x5C]);
    assert_eq!(client.receive_until_quiet(QUIET).await, NOTHING);
    client.send(&READ);
    assert_eq!(client.receive(9).await, WORDS);
}

#[tokio::test]
async fn an_echo_comes_before_the_answer() {
    let door = Door::Rtu(SimulatedLine { is_echoing: true, ..line("115200-8N1") });
    let (_simulated, port) = on_line(door).await;
    let mut client = Client::open(&port, 115_200);
    client.send(&WRITE);
    assert_eq!(client.receive(13).await, WRITE);
    assert_eq!(client.receive(8).await, [1, 16, 0, 0, 0, 2, 0x41, 0xC8]);
}

#[tokio::test]
async fn a_line_outlives_its_clients() {
    let (_simulated, port) = on_line(Door::Rtu(line("115200-8N1"))).await;
    for _ in 0..3 {
        let mut client = Client::open(&port, 115_200);
        client.send(&WRITE);
        assert_eq!(client.receive(8).await, [1, 16, 0, 0, 0, 2, 0x41, 0xC8]);
    }
}

#[tokio::test]
async fn a_link_is_pointed_anew_and_goes_with_its_line() {
    let link = free_path("link");
    let linked = || SimulatedLine { link: Some(link.clone()), ..line("115200-8N1") };
    let (first, port) = on_line(Door::Rtu(linked())).await;
    assert_eq!(port, link.display().to_string());
    let before = std::fs::read_link(&link).expect("a link");
    let (second, _) = on_line(Door::Rtu(linked())).await;
    assert_ne!(std::fs::read_link(&link).expect("a link"), before);
    // It is not the first's any more, so its end leaves it alone.
    first.stop().await;
    let mut client = Client::open(&port, 115_200);
    client.send(&WRITE);
    client.receive(8).await;
    second.stop().await;
    assert!(std::fs::symlink_metadata(&link).is_err(), "the link is still there");
}

#[tokio::test]
async fn what_is_no_link_is_left_alone() {
    let path = free_path("file");
    std::fs::write(&path, "mine").expect("a folder to write to");
    let door = Door::Rtu(SimulatedLine { link: Some(path.clone()), ..line("9600-8N1") });
    let devices = vec![simulate_kit::device()];
    let buses = vec![fieldgate_edge::simulate::SimulatedBus { doors: vec![door], devices }];
    let options = SimulateOptions { buses, ..SimulateOptions::default() };
    let error = Simulator::bind(options).await.err().expect("a file is in the way");
    assert_eq!(error.to_string(), format!("make a serial line at `{}`", path.display()));
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "mine");
    std::fs::remove_file(&path).expect("it was there");
}
