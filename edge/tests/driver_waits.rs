//! Nothing waits for ever: not for an event that does not come, nor for a line that is gone.

mod driver_kit;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate_edge::clock::Clock;
use fieldgate_edge::config::Endpoint;
use fieldgate_edge::drivers::{Class, DirectLine, Job, WriteResult};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadRequest, Table, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::plan::ReadRules;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::driver_kit::serial::{Cable, Say, good};
use self::driver_kit::{Bad, Rig, Server, as_poll, device, read, registers, setup, tcp};

/// Longer than any test needs, and shorter than anything that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_direct_line_goes_on_after_any_number_of_silent_units() {
    let server = Server::start(0, |request| (request[6] != 90).then_some(Bad::Silence)).await;
    let mut line = DirectLine::open(&tcp(server.port), Millis(1_000)).await.expect("it listens");
    let ask = Request::Read(read(5));
    for unit in 1..40 {
        let asked = timeout(PATIENCE, line.transact(UnitId(unit), &ask, Millis(5)));
        assert_eq!(asked.await, Ok(Err(Fault::NoAnswer)), "unit {unit}");
    }
    let asked = timeout(PATIENCE, line.transact(UnitId(90), &ask, Millis(1_000)));
    assert!(matches!(asked.await, Ok(Ok(Reply::Read(_)))));
}

#[tokio::test]
async fn a_request_that_fits_no_frame_is_answered_on_a_bus_without_polls() {
    let server = Server::start(0, |_| None).await;
    let rig = Rig::start(server.port, Vec::new());
    let (done, answer) = oneshot::channel();
    let request = Request::Read(ReadRequest { count: 0, ..read(5) });
    rig.jobs.send(Job::Transact { unit: UnitId(3), request, done }).await.expect("the bus runs");
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer, Err(Fault::Malformed));
}

#[tokio::test]
async fn who_waits_when_the_line_is_taken_is_told_so() {
    let server = Server::start(0, |request| (request[6] == 7).then_some(Bad::Silence)).await;
    let mut rig = Rig::start(server.port, vec![device(0, 7, 3_600_000)]);
    assert_eq!(rig.next_cause_of(0).await, Cause::NoAnswer);
    // The first is under way while the second waits and the third takes the line.
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (done, answer) = oneshot::channel();
        let (unit, requests) = (UnitId(7), vec![read(0)]);
        let job = Job::Read { unit, requests, class: Class::Command, done };
        rig.jobs.send(job).await.expect("the bus runs");
        answers.push(answer);
    }
    let (granted, grant) = oneshot::channel();
    let (_release, released) = oneshot::channel();
    rig.jobs.send(Job::Take { granted, released }).await.expect("the bus runs");
    timeout(PATIENCE, grant).await.expect("in time").expect("granted");
    let mut causes = Vec::new();
    for answer in answers {
        causes.extend(timeout(PATIENCE, answer).await.expect("in time").expect("an answer"));
    }
    assert_eq!(causes, [Err(Cause::NoAnswer), Err(Cause::LinkDown)]);
    // And the bus ends although the line was never given back.
    rig.finished().await;
}

#[tokio::test]
async fn a_plan_that_changes_at_every_cycle_of_a_full_bus_is_asked_as_it_is() {
    const HOLES: [u8; 3] = [3, 17, 18];
    let server = Server::start(0, |request| {
        let wanted = request[9]..request[9] + request[11];
        let is_refused = HOLES.iter().any(|hole| wanted.contains(hole));
        is_refused.then_some(Bad::Bytes(&[0, 0, 0, 0, 0, 3, 0, 0x83, 2]))
    });
    let server = server.await;
    let mut meter = device(0, 1, 1);
    let single = |start| ReadRequest { table: Table::HoldingRegister, start, count: 1 };
    meter.wanted = (0..40).map(|start| as_poll(single(start))).collect();
    meter.reading = ReadRules::default();
    let mut rig = Rig::start(server.port, vec![meter]);
    let mut holes = 0;
    while holes < HOLES.len() {
        let frame = rig.frame_of(0).await;
        for (request, reply) in &frame.replies {
            let is_sound = matches!(reply, Ok(_) | Err(Cause::Exception(2)));
            assert!(is_sound, "{request:?}: {reply:?}");
        }
        holes = frame.learned.map_or(holes, |learned| learned.code_by_hole.len());
    }
}

#[tokio::test]
async fn a_write_whose_deadline_passes_while_a_late_answer_is_awaited_is_not_sent() {
    let mut cable = Cable::new().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    cable.serve(move |request| {
        noted.lock().expect("nobody panicked").push(request[1]);
        if request[0] == 7 { Vec::new() } else { vec![Say::Bytes(good(request))] }
    });
    let devices = vec![device(0, 1, 50), device(1, 7, 3_600_000)];
    let mut rig = Rig::start_bus(1_024, setup(Endpoint::ModbusRtu(cable.endpoint()), devices));
    assert_eq!(rig.next_cause_of(1).await, Cause::NoAnswer);
    let (done, result) = oneshot::channel();
    let job = Job::Write {
        unit: UnitId(7),
        request: WriteRequest::Register { offset: 5, word: 42 },
        read_back: None,
        deadline: Some(Clock.now() + Millis(80)),
        class: Class::SafetyWrite,
        done,
    };
    rig.jobs.send(job).await.expect("the bus runs");
    let result = timeout(PATIENCE, result).await.expect("in time").expect("an answer");
    assert_eq!(result, WriteResult::Expired);
    for _ in 0..10 {
        assert_eq!(rig.next_good_of(0).await, registers(1));
    }
    assert!(!heard.lock().expect("nobody panicked").contains(&6));
}
