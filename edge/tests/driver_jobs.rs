//! Jobs on a live bus: they go before polls, a write reaches the wire once and never too late.

mod driver_kit;

use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::{Class, Job, WriteResult};
use fieldgate_modbus::register::{ReadReply, ReadRequest, UnitId, WriteRequest};
use fieldgate_model::{Cause, Millis};
use tokio::sync::oneshot;

use self::driver_kit::{Bad, Request, Rig, Server, device, read, registers};

const SET_POINT: WriteRequest = WriteRequest::Register { offset: 5, word: 42 };

async fn write(
    rig: &Rig,
    request: WriteRequest,
    read_back: Option<ReadRequest>,
    deadline: Option<Millis>,
) -> WriteResult {
    let (done, result) = oneshot::channel();
    let class = Class::Command;
    let job = Job::Write { unit: UnitId(7), request, read_back, deadline, class, done };
    rig.jobs.send(job).await.expect("the bus runs");
    result.await.expect("the bus answers")
}

fn writes(server: &Server) -> Vec<Request> {
    let requests = server.requests.lock().expect("nobody panicked");
    requests.iter().filter(|request| matches!(request[7], 5 | 6)).copied().collect()
}

#[tokio::test]
async fn a_write_is_acknowledged_and_read_back() {
    let server = Server::start(0, |_| None).await;
    let rig = Rig::start(server.port, vec![device(0, 7, 50)]);
    let deadline = Some(Clock.now() + Millis::from_secs(60));
    let result = write(&rig, SET_POINT, Some(read(5)), deadline).await;
    let read_back = Some(Ok(ReadReply::Registers(vec![7, 5])));
    assert_eq!(result, WriteResult::Written { read_back });
    let [sent] = writes(&server)[..] else { panic!("one write") };
    assert_eq!(sent[6..], [7, 6, 0, 5, 0, 42]);
}

#[tokio::test]
async fn a_write_whose_deadline_has_passed_never_reaches_the_wire() {
    let server = Server::start(0, |_| None).await;
    let mut rig = Rig::start(server.port, vec![device(0, 7, 50)]);
    let result = write(&rig, SET_POINT, None, Some(Clock.now())).await;
    assert_eq!(result, WriteResult::Expired);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    assert_eq!(writes(&server), [] as [Request; 0]);
}

#[tokio::test]
async fn a_write_that_fails_says_why_and_is_not_sent_again() {
    let rows: [(Bad, Cause); 5] = [
        (Bad::Silence, Cause::NoAnswer),
        (Bad::CutAt(0), Cause::LinkDown),
        (Bad::CutAt(9), Cause::Malformed),
        (Bad::Bytes(&[0, 0, 0, 0, 0, 3, 0, 0x86, 4]), Cause::Exception(4)),
        // The echo of another value.
        (Bad::Bytes(&[0, 0, 0, 0, 0, 6, 0, 6, 0, 5, 0, 43]), Cause::Malformed),
    ];
    for (bad, cause) in rows {
        let name = format!("{bad:?}");
        let server = Server::start(0, move |request| (request[7] == 6).then(|| bad.clone())).await;
        let mut rig = Rig::start(server.port, vec![device(0, 7, 50)]);
        assert_eq!(rig.next_good_of(0).await, registers(7), "{name}");
        let result = write(&rig, SET_POINT, Some(read(5)), None).await;
        assert_eq!(result, WriteResult::Failed(cause), "{name}");
        assert_eq!(rig.next_good_of(0).await, registers(7), "{name}");
        assert_eq!(writes(&server).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_read_job_gives_one_answer_a_request_and_stops_asking_the_silent() {
    let server = Server::start(0, |request| (request[9] == 10).then_some(Bad::Silence)).await;
    let mut rig = Rig::start(server.port, vec![device(0, 7, 3_600_000)]);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    let (done, replies) = oneshot::channel();
    let requests = vec![read(1), read(10), read(20)];
    let job = Job::Read { unit: UnitId(3), requests, class: Class::Command, done };
    rig.jobs.send(job).await.expect("the bus runs");
    let replies = replies.await.expect("the bus answers");
    let first = Ok(ReadReply::Registers(vec![3, 1]));
    assert_eq!(replies, [first, Err(Cause::NoAnswer), Err(Cause::NoAnswer)]);
    assert_eq!(server.requests.lock().expect("nobody panicked").len(), 3);
}

#[tokio::test]
async fn a_job_on_a_bus_without_a_host_is_told_so() {
    let server = Server::start(0, |_| None).await;
    let port = server.port;
    server.stop().await;
    let rig = Rig::start(port, vec![device(0, 7, 50)]);
    assert_eq!(write(&rig, SET_POINT, None, None).await, WriteResult::Failed(Cause::LinkDown));
}

#[tokio::test]
async fn a_write_to_a_line_that_is_never_free_waits_for_one_transaction() {
    // Ten devices whose answers drip: together they want several times what the line can give.
    let server = Server::start(0, |request| (request[7] == 3).then_some(Bad::Bytewise)).await;
    let devices = (0..10).zip(1..).map(|(index, unit)| device(index, unit, 50)).collect();
    let mut rig = Rig::start(server.port, devices);
    for index in 0..10 {
        rig.next_good_of(index).await;
    }
    let asked = || server.requests.lock().expect("nobody panicked").len();
    for _ in 0..10 {
        let before = asked();
        let (done, result) = oneshot::channel();
        let (unit, class) = (UnitId(7), Class::Command);
        // A write that never gets its turn ends the test instead of hanging it.
        let deadline = Some(Clock.now() + Millis::from_secs(20));
        let (request, read_back) = (SET_POINT, None);
        let job = Job::Write { unit, request, read_back, deadline, class, done };
        rig.jobs.send(job).await.expect("the bus runs");
        assert_eq!(result.await.expect("an answer"), WriteResult::Written { read_back: None });
        let requests = server.requests.lock().expect("nobody panicked").clone();
        let ahead = requests[before..].iter().take_while(|request| request[7] != 6).count();
        // One may have gone out between the count and the job.
        assert!(ahead <= 1, "{ahead} polls went before the write");
        // The line is full again before the next.
        let full = before + ahead + 3;
        while asked() < full {
            rig.frame_of(0).await;
        }
    }
}
