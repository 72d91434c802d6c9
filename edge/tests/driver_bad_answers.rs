//! A Modbus TCP bus against servers that misbehave: the cause is right, the next answer is right,
//! and the other units do not notice.

mod driver_kit;

use std::sync::atomic::Ordering;

use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::LinkState;
use fieldgate_modbus::register::ReadReply;
use fieldgate_model::Cause;

use self::driver_kit::{Bad, Rig, Server, device, poll, registers};

/// Unit 7 is treated badly once: its first poll has `cause` (or none), its next good poll has its
/// own values, and unit 1 never has anything but good ones. The link stays, unless the server
/// closes it.
async fn check(name: &str, bad: Bad, cause: Option<Cause>) {
    let wrong = differs(name, bad, cause).await;
    assert_eq!(wrong, [] as [String; 0]);
}

/// What was not as [`check`] has it.
async fn differs(name: &str, bad: Bad, cause: Option<Cause>) -> Vec<String> {
    let mut wrong = Vec::new();
    let connections = if matches!(bad, Bad::CutAt(_)) { 2 } else { 1 };
    let mut bad = Some(bad);
    let server =
        Server::start(0, move |request| if request[6] == 7 { bad.take() } else { None }).await;
    let mut rig = Rig::start(server.port, vec![device(0, 1, 100), device(1, 7, 100)]);
    let first = rig.frame_of(1).await;
    let got = first.replies[0].1.as_ref().err();
    if got != cause.as_ref() {
        wrong.push(format!("{name}: first {got:?}"));
    }
    if rig.next_good_of(1).await != registers(7) {
        wrong.push(format!("{name}: next"));
    }
    for frame in rig.seen().filter(|frame| frame.replies[0].1 != Ok(registers(1))) {
        wrong.push(format!("{name}: unit 1 {:?}", frame.replies));
    }
    if rig.seen().count() == 0 {
        wrong.push(format!("{name}: unit 1 was not polled"));
    }
    let opened = server.connections.load(Ordering::Relaxed);
    if rig.status.borrow().link != LinkState::Up || opened != connections {
        wrong.push(format!("{name}: {opened} links"));
    }
    wrong
}

#[tokio::test]
async fn a_silent_unit_is_no_answer() {
    check("silence", Bad::Silence, Some(Cause::NoAnswer)).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_given_to_nobody() {
    check("late", Bad::Late, Some(Cause::NoAnswer)).await;
}

#[tokio::test]
async fn a_dripping_answer_is_cut_at_the_total_deadline() {
    let mut bad = Some(Bad::Drip);
    let server = Server::start(0, move |request| if request[6] == 7 { bad.take() } else { None });
    let server = server.await;
    let mut rig = Rig::start(server.port, vec![device(0, 7, 100)]);
    assert_eq!(rig.next_cause_of(0).await, Cause::NoAnswer);
    assert_eq!(rig.next_good_of(0).await, registers(7));
}

#[tokio::test]
async fn a_connection_closed_in_mid_answer_is_malformed() {
    for length in [1, 6, 7, 8, 10, 12] {
        check("cut", Bad::CutAt(length), Some(Cause::Malformed)).await;
    }
}

#[tokio::test]
async fn a_wrong_answer_is_malformed() {
    let rows: [(&str, Bad); 10] = [
        ("other function", Bad::Bytes(&[0, 0, 0, 0, 0, 7, 0, 4, 4, 0, 1, 0, 2])),
        ("other exception function", Bad::Bytes(&[0, 0, 0, 0, 0, 3, 0, 0x84, 2])),
        ("one register short", Bad::Bytes(&[0, 0, 0, 0, 0, 5, 0, 3, 2, 0, 1])),
        ("one register more", Bad::Bytes(&[0, 0, 0, 0, 0, 9, 0, 3, 6, 0, 1, 0, 2, 0, 3])),
        ("no register", Bad::Bytes(&[0, 0, 0, 0, 0, 3, 0, 3, 0])),
        ("odd count", Bad::Bytes(&[0, 0, 0, 0, 0, 6, 0, 3, 3, 0, 1, 0])),
        ("count beyond the frame", Bad::Bytes(&[0, 0, 0, 0, 0, 5, 0, 3, 4, 0, 1])),
        ("wrong unit", Bad::Unit(8)),
        ("length 2", Bad::Bytes(&[0, 0, 0, 0, 0, 2, 0, 3])),
        ("exception without a code", Bad::Bytes(&[0, 0, 0, 0, 0, 2, 0, 0x83])),
    ];
    let mut wrong = Vec::new();
    for (name, bad) in rows {
        wrong.extend(differs(name, bad, Some(Cause::Malformed)).await);
    }
    assert_eq!(wrong, [] as [String; 0]);
}

/// Bytes that belong to no request of ours are passed over; what is missing is the answer.
#[tokio::test]
async fn an_answer_to_nobody_is_given_to_nobody() {
    let rows: [(&str, Bad); 4] = [
        ("wrong transaction id", Bad::Literal(&[9, 9, 0, 0, 0, 7, 7, 3, 4, 0, 1, 0, 2])),
        ("wrong protocol id", Bad::Bytes(&[0, 0, 0, 1, 0, 7, 0, 3, 4, 0, 1, 0, 2])),
        ("length 0", Bad::Bytes(&[0, 0, 0, 0, 0, 0, 0])),
        ("length 1", Bad::Bytes(&[0, 0, 0, 0, 0, 1, 0])),
    ];
    let mut wrong = Vec::new();
    for (name, bad) in rows {
        wrong.extend(differs(name, bad, Some(Cause::NoAnswer)).await);
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[tokio::test]
async fn a_frame_that_announces_more_than_it_brings_ends_with_the_timeout() {
    let bad = Bad::Bytes(&[0, 0, 0, 0, 0xFF, 0xFF, 0, 3, 4, 0, 1, 0, 2]);
    check("length 65535", bad, Some(Cause::NoAnswer)).await;
}

#[tokio::test]
async fn padding_behind_an_answer_is_thrown_away() {
    check("two bytes of CRC", Bad::Extra(&[0xAB, 0xCD]), None).await;
    check("many", Bad::Extra(&[0; 64]), None).await;
    check("another answer", Bad::Extra(&[0, 2, 0, 0, 0, 7, 7, 3, 4, 9, 9, 9, 9]), None).await;
}

#[tokio::test]
async fn an_exception_keeps_its_code() {
    let rows: [(u8, &'static [u8]); 7] = [
        (1, &[0, 0, 0, 0, 0, 3, 0, 0x83, 1]),
        (2, &[0, 0, 0, 0, 0, 3, 0, 0x83, 2]),
        (4, &[0, 0, 0, 0, 0, 3, 0, 0x83, 4]),
        (6, &[0, 0, 0, 0, 0, 3, 0, 0x83, 6]),
        (11, &[0, 0, 0, 0, 0, 3, 0, 0x83, 11]),
        (0, &[0, 0, 0, 0, 0, 3, 0, 0x83, 0]),
        (255, &[0, 0, 0, 0, 0, 3, 0, 0x83, 255]),
    ];
    for (code, bytes) in rows {
        // Busy: asked again a little later.
        let cause = (code != 6).then_some(Cause::Exception(code));
        check(&format!("exception {code}"), Bad::Bytes(bytes), cause).await;
    }
}

#[tokio::test]
async fn a_refused_request_does_not_hide_its_neighbours() {
    let refusal = Bad::Bytes(&[0, 0, 0, 0, 0, 3, 0, 0x83, 2]);
    let server = Server::start(0, move |request| (request[9] == 10).then(|| refusal.clone())).await;
    let mut device = device(0, 1, 100);
    device.requests.extend([poll(10), poll(20)]);
    let mut rig = Rig::start(server.port, vec![device]);
    let frame = rig.frame_of(0).await;
    let replies: Vec<_> = frame.replies.iter().map(|(_, reply)| reply.clone()).collect();
    let good = |start| Ok(ReadReply::Registers(vec![1, start]));
    assert_eq!(replies, [good(0), Err(Cause::Exception(2)), good(20)]);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_link_that_was_closed_for_idling_is_opened_again_without_a_gap() {
    let server = Server::start(0, |_| None).await;
    server.close_after_each.store(true, Ordering::Relaxed);
    let mut rig = Rig::start(server.port, vec![device(0, 1, 50)]);
    for _ in 0..5 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(1)));
    }
    assert!(server.connections.load(Ordering::Relaxed) >= 5);
}

#[tokio::test]
async fn a_host_that_is_away_is_link_down_for_all_and_comes_back() {
    let server = Server::start(0, |_| None).await;
    let port = server.port;
    let mut rig = Rig::start(port, vec![device(0, 1, 50), device(1, 7, 50)]);
    assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(1)));
    server.stop().await;
    for index in [0, 1] {
        assert_eq!(rig.next_cause_of(index).await, Cause::LinkDown);
    }
    assert_eq!(rig.status.borrow().link, LinkState::Down);
    let _server = Server::start(port, |_| None).await;
    for (index, unit) in [(0, 1), (1, 7)] {
        assert_eq!(rig.next_good_of(index).await, registers(unit));
    }
    assert_eq!(rig.status.borrow().link, LinkState::Up);
}

#[tokio::test]
async fn a_unit_that_stays_silent_is_counted_and_delays_nobody_for_long() {
    let server = Server::start(0, |request| (request[6] == 7).then_some(Bad::Silence)).await;
    let started = Clock.now();
    let mut rig = Rig::start(server.port, vec![device(0, 1, 20), device(1, 7, 20)]);
    for _ in 0..60 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(1)));
    }
    let status = rig.status.borrow().clone();
    let [healthy, dead] = status.devices.as_slice() else { panic!("two devices") };
    assert!(healthy.polled.good >= 60);
    assert_eq!(healthy.polled.no_answer, 0);
    // One silence of 200 ms buys 1,800 ms of peace.
    let elapsed = Clock.now().since(started);
    let probes = dead.polled.no_answer;
    assert!((1..=1 + elapsed.0 / 2_000).contains(&probes), "{probes} in {elapsed:?}");
    assert_eq!(dead.polled.good, 0);
}

#[tokio::test]
async fn a_bus_stops_when_its_jobs_are_closed() {
    let server = Server::start(0, |_| None).await;
    let mut rig = Rig::start(server.port, vec![device(0, 1, 50)]);
    rig.frame_of(0).await;
    rig.finished().await;
}

#[tokio::test]
async fn frames_that_nobody_takes_are_skipped_and_counted_and_polling_goes_on() {
    let server = Server::start(0, |_| None).await;
    let mut rig = Rig::start_with_room(2, server.port, vec![device(0, 1, 20)]);
    let skipped = rig.status.wait_for(|status| status.frames_skipped >= 3).await;
    let polls = skipped.expect("the bus runs").devices[0].polled.good;
    assert!(polls >= 5, "{polls}");
    for _ in 0..4 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(1)));
    }
}
