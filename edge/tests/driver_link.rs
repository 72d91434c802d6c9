//! One TCP link for all units: shared, pipelined, closed between cycles if that is wanted.

mod driver_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fieldgate_edge::config::Endpoint;
use fieldgate_edge::drivers::{DirectLine, Job, LinkState, OpenError};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadReply, UnitId, WriteRequest};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Cause, Millis};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use self::driver_kit::{Bad, Rig, Server, device, poll, read, registers, setup, tcp};

/// Longer than any test needs.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_silent_unit_costs_the_others_neither_the_link_nor_their_polls() {
    let server = Server::start(0, |request| (request[6] == 7).then_some(Bad::Silence)).await;
    let devices = vec![device(0, 1, 100), device(1, 7, 100), device(2, 3, 100)];
    let mut rig = Rig::start(server.port, devices);
    assert_eq!(rig.next_cause_of(1).await, Cause::NoAnswer);
    for _ in 0..10 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(1)));
    }
    for frame in rig.seen().filter(|frame| frame.device.0 == 2) {
        assert_eq!(frame.replies[0].1, Ok(registers(3)));
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    assert_eq!(rig.status.borrow().link, LinkState::Up);
}

#[tokio::test]
async fn a_device_that_is_given_more_time_than_its_bus_gives_may_take_it() {
    let server = Server::start(0, |request| (request[6] != 1).then_some(Bad::Late)).await;
    let mut patient = device(0, 7, 100);
    patient.timeout = patient.timeout + patient.timeout;
    let mut rig = Rig::start(server.port, vec![patient, device(1, 3, 100)]);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    assert_eq!(rig.next_cause_of(1).await, Cause::NoAnswer);
    // A job's unit has the time of its device as well.
    let (done, answer) = oneshot::channel();
    let request = Request::Read(read(0));
    rig.jobs.send(Job::Transact { unit: UnitId(7), request, done }).await.expect("the bus runs");
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer, Ok(Reply::Read(registers(7))));
}

#[tokio::test]
async fn a_device_that_is_given_less_time_than_its_bus_gives_is_given_up_sooner() {
    let server = Server::start(0, |_| Some(Bad::Late)).await;
    let mut hasty = setup(tcp(server.port), vec![device(0, 7, 100)]);
    hasty.timeout = Millis(60_000);
    let mut rig = Rig::start_bus(1_024, hasty);
    assert_eq!(rig.next_cause_of(0).await, Cause::NoAnswer);
}

#[tokio::test]
async fn what_a_bus_did_last_is_shown_though_nothing_follows() {
    let server = Server::start(0, |_| None).await;
    let mut rig = Rig::start(server.port, Vec::new());
    let (done, answer) = oneshot::channel();
    let request = Request::Read(read(0));
    rig.jobs.send(Job::Transact { unit: UnitId(7), request, done }).await.expect("the bus runs");
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer, Ok(Reply::Read(registers(7))));
    let told = rig.status.wait_for(|status| status.counters.answers == 1);
    timeout(PATIENCE, told).await.expect("in time").expect("the bus runs");
}

#[tokio::test]
async fn a_late_answer_is_counted_and_the_link_goes_on() {
    let mut late = Some(Bad::Late);
    let server =
        Server::start(0, move |request| if request[6] == 7 { late.take() } else { None }).await;
    let mut seventh = device(0, 7, 100);
    seventh.wanted.push(poll(10));
    let mut rig = Rig::start(server.port, vec![seventh]);
    let first = rig.frame_of(0).await;
    assert_eq!(first.replies[0].1, Err(Cause::NoAnswer));
    loop {
        let frame = rig.frame_of(0).await;
        let replies: Vec<_> = frame.replies.iter().map(|(_, reply)| reply.clone()).collect();
        let wanted = [ReadReply::Registers(vec![7, 0]), ReadReply::Registers(vec![7, 10])];
        for (reply, wanted) in replies.iter().zip(&wanted) {
            assert!(reply.as_ref().is_err() || reply.as_ref() == Ok(wanted), "{replies:?}");
        }
        if replies.iter().all(Result::is_ok) {
            break;
        }
    }
    let told = rig.status.wait_for(|status| status.counters.late == 1);
    timeout(PATIENCE, told).await.expect("in time").expect("the bus runs");
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_put_together() {
    let mut bad = Some(Bad::Bytewise);
    let server = Server::start(0, move |_| bad.take()).await;
    let mut rig = Rig::start(server.port, vec![device(0, 7, 50)]);
    for _ in 0..3 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(7)));
    }
}

#[tokio::test]
async fn four_requests_are_under_way_where_the_host_takes_four() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let most = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&most);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("it listens");
        let mut requests = vec![0; 12];
        // Takes its time, and then answers all that has come, the last first.
        while stream.read_exact(&mut requests[..12]).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
            requests.resize(16 * 12, 0);
            let more = stream.try_read(&mut requests[12..]).unwrap_or(0);
            requests.truncate(12 + more);
            counted.fetch_max(requests.len() / 12, Ordering::Relaxed);
            let mut answers = Vec::new();
            for request in requests.chunks_exact(12).rev() {
                answers.extend(&request[..4]);
                answers.extend([0, 7, request[6], 3, 4, 0, request[6], 0, request[9]]);
            }
            stream.write_all(&answers).await.expect("it writes");
        }
    });
    let endpoint = Endpoint::ModbusTcp { host: "127.0.0.1".to_owned(), port, in_flight: 4 };
    let mut all = device(0, 7, 50);
    all.wanted.extend([poll(10), poll(20), poll(30)]);
    let mut rig = Rig::start_bus(1_024, setup(endpoint, vec![all]));
    for _ in 0..5 {
        let frame = rig.frame_of(0).await;
        let replies: Vec<_> = frame.replies.into_iter().map(|(_, reply)| reply).collect();
        let good = |start| Ok(ReadReply::Registers(vec![7, start]));
        assert_eq!(replies, [good(0), good(10), good(20), good(30)]);
    }
    assert_eq!(most.load(Ordering::Relaxed), 4);
    server.abort();
}

#[tokio::test]
async fn a_link_is_closed_between_cycles_where_that_is_wanted() {
    let server = Server::start(0, |_| None).await;
    let mut bus = setup(tcp(server.port), vec![device(0, 7, 50)]);
    bus.close_after_cycle = true;
    let mut rig = Rig::start_bus(1_024, bus);
    for _ in 0..4 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(7)));
    }
    assert!(server.connections.load(Ordering::Relaxed) >= 4);
    assert_eq!(rig.status.borrow().link, LinkState::Up);
}

#[tokio::test]
async fn any_transaction_can_be_asked_of_a_running_bus() {
    let server = Server::start(0, |_| None).await;
    let rig = Rig::start(server.port, vec![device(0, 7, 50)]);
    let transact = async |request| {
        let (done, answer) = oneshot::channel();
        let job = Job::Transact { unit: UnitId(3), request, done };
        rig.jobs.send(job).await.expect("the bus runs");
        timeout(PATIENCE, answer).await.expect("in time").expect("an answer")
    };
    let reply = transact(Request::Read(read(5))).await;
    assert_eq!(reply, Ok(Reply::Read(ReadReply::Registers(vec![3, 5]))));
    let write = WriteRequest::Coil { offset: 1, on: true };
    assert_eq!(transact(Request::Write(write)).await, Ok(Reply::Written));
}

#[tokio::test]
async fn a_direct_line_survives_a_silent_unit_and_a_closed_link() {
    let server = Server::start(0, |request| (request[6] == 9).then_some(Bad::Silence)).await;
    let port = server.port;
    let mut line = DirectLine::open(&tcp(port), Millis(1_000)).await.expect("it listens");
    let ask = Request::Read(read(5));
    let good = |unit| Ok(Reply::Read(ReadReply::Registers(vec![unit, 5])));
    assert_eq!(line.transact(UnitId(9), &ask, Millis(50)).await, Err(Fault::NoAnswer));
    assert_eq!(line.transact(UnitId(1), &ask, Millis(1_000)).await, good(1));
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    server.close_after_each.store(true, Ordering::Relaxed);
    assert_eq!(line.transact(UnitId(2), &ask, Millis(1_000)).await, good(2));
    server.stop().await;
    // The end of the link may be noticed before the request goes out, or by it.
    let fault = line.transact(UnitId(1), &ask, Millis(1_000)).await;
    assert!(matches!(fault, Err(Fault::LinkLost | Fault::NoLink)), "{fault:?}");
    let refused = DirectLine::open(&tcp(port), Millis(1_000)).await.expect_err("nobody listens");
    assert!(matches!(&refused, OpenError::Connect { .. }), "{refused}");
    assert_eq!(refused.to_string(), format!("cannot connect to `127.0.0.1:{port}`"));
}
