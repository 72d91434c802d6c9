//! The simulator's faults over TCP, seen by a client that looks at bytes.

mod simulate_kit;

use std::time::{Duration, Instant};

use fieldgate_edge::simulate::{Door, FaultOptions, SimulateOptions};
use fieldgate_modbus::register::UnitId;
use fieldgate_model::Millis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use self::simulate_kit::{PATIENCE, Simulated, all_of, any, exchange, simulate};

/// Requests that a share is taken of.
const REQUESTS: u16 = 400;

/// hr:0 and hr:1, once they hold 0x0102 and 0x0304.
const WORDS: [u8; 7] = [1, 3, 4, 1, 2, 3, 4];

/// On an idle machine an answer takes a hundredth of it.
const SILENCE: Duration = Duration::from_millis(100);

const NOTHING: [u8; 0] = [];

async fn over_tcp(options: SimulateOptions) -> Simulated {
    let simulated = simulate(vec![Door::Tcp(any())], options).await;
    let write = [1, 16, 0, 0, 0, 2, 4, 1, 2, 3, 4];
    exchange(&mut simulated.connect().await, &write).await;
    simulated
}

async fn faulty(faults: &str) -> Simulated {
    let simulated = over_tcp(SimulateOptions::default()).await;
    let answer = simulated.control(&format!("{{\"faults\": {faults}}}")).await;
    assert_eq!(answer["ok"], true, "{faults}: {answer}");
    simulated
}

/// What went wrong with an answer.
fn fault(transaction: u16, answer: &[u8]) -> &'static str {
    let [high, low] = transaction.to_be_bytes();
    let good = [&[high, low, 0, 0, 0, 7], WORDS.as_slice()].concat();
    let foreign = [high ^ 0x55, low ^ 0x55, 0, 0, 0, 7, 2, 3, 4, 1, 2, 3, 4];
    if answer == good {
        return "none";
    }
    if answer.is_empty() {
        return "drop";
    }
    if answer == [&foreign, good.as_slice()].concat() {
        return "foreign";
    }
    if answer == [high, low, 0, 0, 0, 3, 1, 0x83, 6] {
        return "busy";
    }
    if answer.len() > good.len() && answer.ends_with(&good) {
        return "noise";
    }
    if answer.ends_with(&WORDS) && answer.starts_with(&foreign[..2]) {
        return "wrong_tid";
    }
    let has_wrong_length = answer.starts_with(&good[..4]) && answer.ends_with(&WORDS);
    if has_wrong_length && answer.len() == good.len() { "crc" } else { "unknown" }
}

/// What happens to each of [`REQUESTS`].
async fn faults_of(name: &str, share: &str, seed: u64) -> (Vec<&'static str>, serde_json::Value) {
    let faults = serde_json::json!({ name: share });
    let faults: FaultOptions = serde_json::from_value(faults).expect("a fault");
    let options = SimulateOptions { seed, ..SimulateOptions::default() };
    let simulated = over_tcp(options).await;
    let line = serde_json::json!({ "device": "bench", "faults": { name: share } });
    assert_eq!(simulated.control(&line.to_string()).await["ok"], true, "{faults:?}");
    let mut stream = simulated.connect().await;
    let mut found = Vec::new();
    for transaction in 1..=REQUESTS {
        let [high, low] = transaction.to_be_bytes();
        let request = [high, low, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2];
        found.push(fault(transaction, &all_of(&mut stream, &request).await));
    }
    let counts = simulated.control(r#"{"counts": true}"#).await;
    (found, counts["counts"]["bench"]["faults"][name].clone())
}

#[tokio::test]
async fn each_fault_hits_its_share_of_the_answers_and_no_other() {
    for name in ["drop", "crc", "noise", "foreign", "wrong_tid", "busy"] {
        let (found, counted) = faults_of(name, "20%", 7).await;
        let hits = found.iter().filter(|fault| **fault == name).count();
        let misses = found.iter().filter(|fault| **fault == "none").count();
        assert_eq!(hits + misses, found.len(), "{name}: {found:?}");
        assert!((60..=100).contains(&hits), "{name}: {hits} of {REQUESTS}");
        assert_eq!(counted, hits, "{name}");
    }
}

#[tokio::test]
async fn the_same_seed_hits_the_same_answers() {
    let first = faults_of("drop", "0.1", 1).await;
    assert_eq!(faults_of("drop", "0.1", 1).await, first);
    assert_ne!(faults_of("drop", "0.1", 2).await, first);
}

#[tokio::test]
async fn a_late_answer_comes_late() {
    let simulated = faulty(r#"{"late": "80ms"}"#).await;
    let started = Instant::now();
    let answer = exchange(&mut simulated.connect().await, &[1, 3, 0, 0, 0, 2]).await;
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(answer, WORDS);
}

#[tokio::test]
async fn a_split_answer_comes_in_pieces() {
    let simulated = faulty(r#"{"split": true}"#).await;
    let mut stream = simulated.connect().await;
    stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2]).await.expect("it listens");
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    while bytes.len() < 13 {
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await;
        read.expect("an answer in time").expect("it goes on");
        pieces += 1;
    }
    assert!(pieces > 1, "{bytes:?} came at once");
    assert_eq!(bytes[6..], WORDS);
}

#[tokio::test]
async fn trailing_bytes_follow_each_frame_as_a_cheap_gateway_sends_them() {
    let simulated = faulty(r#"{"trailing": 3}"#).await;
    let mut stream = simulated.connect().await;
    // The example of FC 3 at unit 1 that reads one register of 0: its CRC is B8 44.
    exchange(&mut stream, &[1, 6, 0, 0, 0, 0]).await;
    let answer = exchange(&mut stream, &[1, 3, 0, 0, 0, 1]).await;
    assert_eq!(answer, [1, 3, 2, 0, 0, 0xB8, 0x44, 0]);
}

#[tokio::test]
async fn exceptions_hit_what_touches_their_range() {
    let faults = r#"{"exceptions": ["2@hr:4..5", "4@hr:8", "3@co:2..3"]}"#;
    let simulated = faulty(faults).await;
    let mut stream = simulated.connect().await;
    let rows: [(&[u8], Option<u8>); 9] = [
        (&[1, 3, 0, 0, 0, 4], None),
        (&[1, 3, 0, 0, 0, 5], Some(2)),
        (&[1, 3, 0, 5, 0, 3], Some(2)),
        (&[1, 3, 0, 6, 0, 2], None),
        (&[1, 3, 0, 6, 0, 3], Some(4)),
        (&[1, 1, 0, 0, 0, 2], None),
        (&[1, 1, 0, 0, 0, 3], Some(3)),
        (&[1, 6, 0, 4, 0, 1], Some(2)),
        (&[1, 6, 0, 6, 0, 1], None),
    ];
    for (request, code) in rows {
        let answer = exchange(&mut stream, request).await;
        let refused = code.map(|code| vec![1, request[1] | 0x80, code]);
        assert_eq!((answer[1] & 0x80 != 0).then_some(answer), refused, "{request:?}");
    }
}

#[tokio::test]
async fn more_registers_than_the_device_takes_are_refused() {
    let simulated = faulty(r#"{"max_registers": 4}"#).await;
    let mut stream = simulated.connect().await;
    assert_eq!(exchange(&mut stream, &[1, 3, 0, 0, 0, 5]).await, [1, 0x83, 3]);
    assert_eq!(exchange(&mut stream, &[1, 3, 0, 0, 0, 2]).await, WORDS);
    assert_eq!(exchange(&mut stream, &[1, 1, 0, 0, 0, 8]).await[1], 1);
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_not_counted() {
    let simulated = faulty(r#"{"drop": "100%"}"#).await;
    let mut stream = simulated.connect().await;
    let count = [1, 3, 0, 10, 0, 1];
    for _ in 0..3 {
        assert_eq!(exchange(&mut stream, &count).await, NOTHING);
    }
    simulated.control(r#"{"faults": {"crc": "100%"}}"#).await;
    assert_ne!(exchange(&mut stream, &count).await, NOTHING);
    simulated.control(r#"{"faults": {}}"#).await;
    assert_eq!(exchange(&mut stream, &count).await, [1, 3, 2, 0, 1]);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_executed() {
    let simulated = faulty(r#"{"drop": "100%"}"#).await;
    let mut stream = simulated.connect().await;
    assert_eq!(exchange(&mut stream, &[1, 6, 0, 0, 0x77, 0x77]).await, NOTHING);
    simulated.control(r#"{"faults": {}}"#).await;
    assert_eq!(exchange(&mut stream, &[1, 3, 0, 0, 0, 1]).await, [1, 3, 2, 0x77, 0x77]);
}

#[tokio::test]
async fn a_silent_unit_says_nothing_where_there_is_no_such_device() {
    let silent_units = [UnitId(7)].into_iter().collect();
    let simulated = over_tcp(SimulateOptions { silent_units, ..SimulateOptions::default() }).await;
    let mut stream = simulated.connect().await;
    assert_eq!(exchange(&mut stream, &[7, 3, 0, 0, 0, 1]).await, NOTHING);
    assert_eq!(exchange(&mut stream, &[8, 3, 0, 0, 0, 1]).await, [8, 0x83, 11]);
}

#[tokio::test]
async fn everything_dies_after_its_time_and_comes_back() {
    let (die_after, revive_after) = (Some(Millis(300)), Some(Millis(1_000)));
    let started = Instant::now();
    let options = SimulateOptions { die_after, revive_after, ..SimulateOptions::default() };
    let simulated = simulate(vec![Door::Tcp(any())], options).await;
    let answers = async || {
        let mut stream = simulated.connect().await;
        stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).await.expect("it listens");
        timeout(SILENCE, stream.read_u8()).await.is_ok()
    };
    while answers().await {
        assert!(started.elapsed() < PATIENCE, "it lives on");
    }
    assert!(started.elapsed() >= Duration::from_millis(300), "it died early");
    while !answers().await {
        assert!(started.elapsed() < PATIENCE, "it stays dead");
    }
    assert!(started.elapsed() >= Duration::from_millis(1_300), "it came back early");
}

#[tokio::test]
async fn a_fault_that_is_none_is_refused_by_name() {
    let simulated = over_tcp(SimulateOptions::default()).await;
    for (faults, error) in [
        (r#"{"drop": "5"}"#, "`5` is not a share"),
        (r#"{"late": "300"}"#, "`300` has no unit"),
        (r#"{"late": "300ms@5"}"#, "`5` is not a share"),
        (r#"{"exceptions": ["2@hr:9..3"]}"#, "`2@hr:9..3` is not an exception code"),
        (r#"{"exceptions": ["0@hr:1"]}"#, "`0@hr:1` is not an exception code"),
        (r#"{"exceptions": ["2@hr:1..ir:3"]}"#, "`2@hr:1..ir:3` is not an exception code"),
        (r#"{"exceptions": ["hr:1"]}"#, "`hr:1` is not an exception code"),
        (r#"{"dropp": "5%"}"#, "unknown field `dropp`"),
    ] {
        let answer = simulated.control(&format!("{{\"faults\": {faults}}}")).await;
        let told = answer["error"].as_str().unwrap_or_default();
        assert!(told.contains(error), "{faults}: {answer}");
    }
    for range in ["2@hr:1..3", "2@1..3", "2@40002..40004", "2@4x0002..3", "2@hr:1..hr:3", "2@hr:1"]
    {
        let line = serde_json::json!({ "faults": { "exceptions": [range] } });
        assert_eq!(simulated.control(&line.to_string()).await["ok"], true, "{range}");
    }
}
