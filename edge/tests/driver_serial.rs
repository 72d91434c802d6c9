//! A bus on a serial line, made of pseudo-terminals: what is right on a bad line, and how a port
//! is found, locked, taken and lost.

mod driver_kit;

use std::path::Path;
use std::time::Duration;

use fieldgate_edge::config::Endpoint;
use fieldgate_edge::drivers::{
    BusStatus, DirectLine, Direction, Job, LinkState, OpenError, PortError,
};
use fieldgate_modbus::register::{ReadReply, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::{Cause, Millis};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::driver_kit::serial::{Cable, Say, endpoint, good, sealed};
use self::driver_kit::{Rig, TIMEOUT, device, poll, read, registers, setup};

/// Longer than any test needs.
const PATIENCE: Duration = Duration::from_secs(20);

fn rig(cable: &Cable, devices: Vec<fieldgate_edge::drivers::modbus::BusDevice>) -> Rig {
    Rig::start_bus(1_024, setup(Endpoint::ModbusRtu(cable.endpoint()), devices))
}

/// Waits until the bus tells this of itself.
async fn wait_for(rig: &mut Rig, what: impl FnMut(&BusStatus) -> bool) -> BusStatus {
    let told = timeout(PATIENCE, rig.status.wait_for(what)).await.expect("in time");
    told.expect("the bus runs").clone()
}

/// Unit 7 answers one request as told, and then as it should; unit 1 always does. What comes of
/// the first, and that nothing after it is a wrong value.
async fn check(
    name: &str,
    bad: impl Fn([u8; 8]) -> Vec<Say> + Send + 'static,
    expected: Result<(), Cause>,
) -> BusStatus {
    let mut cable = Cable::new().await;
    let mut bad = Some(bad);
    cable.serve(move |request| match bad.take_if(|_| request[0] == 7) {
        Some(bad) => bad(request),
        None => vec![Say::Bytes(good(request))],
    });
    let mut seventh = device(1, 7, 100);
    seventh.requests.push(poll(10));
    let mut rig = rig(&cable, vec![device(0, 1, 100), seventh]);
    let first = rig.frame_of(1).await;
    assert_eq!(first.replies[0].1.as_ref().map(|_| ()), expected.as_ref().copied(), "{name}");
    let wanted = [ReadReply::Registers(vec![7, 0]), ReadReply::Registers(vec![7, 10])];
    for frame in [first, rig.frame_of(1).await, rig.frame_of(1).await, rig.frame_of(1).await] {
        for ((_, reply), wanted) in frame.replies.iter().zip(&wanted) {
            assert!(reply.as_ref().map_or(true, |reply| reply == wanted), "{name}: {reply:?}");
        }
    }
    assert_eq!(rig.next_good_of(1).await, registers(7), "{name}");
    for frame in rig.seen() {
        assert_eq!(frame.replies[0].1, Ok(registers(1)), "{name}: unit 1");
    }
    let shown = rig.status.borrow().counters.requests;
    wait_for(&mut rig, |status| status.counters.requests > shown).await
}

#[tokio::test]
async fn noise_before_an_answer_is_passed_over() {
    let noisy =
        |request| vec![Say::Bytes([&[0x00, 0xFF, 0x07, 0x55], &good(request)[..]].concat())];
    let status = check("noise", noisy, Ok(())).await;
    assert!(status.counters.noise_bytes >= 3, "{:?}", status.counters);
}

#[tokio::test]
async fn frames_of_other_units_are_passed_over_and_counted() {
    let foreign = |request| {
        let other = sealed(vec![9, 3, 4, 0, 1, 0, 2]);
        vec![Say::Bytes(other), Say::Wait(Duration::from_millis(20)), Say::Bytes(good(request))]
    };
    let status = check("foreign", foreign, Ok(())).await;
    assert_eq!(status.counters.foreign, 1);
}

#[tokio::test]
async fn a_late_answer_is_not_the_answer_to_the_next_question() {
    let late = |request| vec![Say::Wait(TIMEOUT + TIMEOUT / 4), Say::Bytes(good(request))];
    let status = check("late", late, Err(Cause::NoAnswer)).await;
    assert_eq!((status.counters.timeouts, status.link), (1, LinkState::Up));
}

#[tokio::test]
async fn an_answer_with_a_wrong_checksum_is_none() {
    let garbled = |request| {
        let mut bytes = good(request);
        bytes[4] ^= 1;
        vec![Say::Bytes(bytes)]
    };
    let status = check("crc", garbled, Err(Cause::Malformed)).await;
    assert_eq!(status.counters.checksum, 1);
}

#[tokio::test]
async fn an_answer_in_pieces_is_put_together() {
    let pieces = |request| {
        let byte = |byte| [Say::Bytes(vec![byte]), Say::Wait(Duration::from_millis(2))];
        good(request).into_iter().flat_map(byte).collect()
    };
    check("pieces", pieces, Ok(())).await;
}

#[tokio::test]
async fn an_adapter_that_hears_itself_is_no_obstacle() {
    let mut cable = Cable::new().await;
    cable.serve(|request| vec![Say::Bytes(request.to_vec()), Say::Bytes(good(request))]);
    let mut rig = rig(&cable, vec![device(0, 7, 50)]);
    for _ in 0..3 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(7)));
    }
    let status = wait_for(&mut rig, |status| status.counters.echoes >= 3).await;
    assert_eq!(status.counters.timeouts, 0);
}

#[tokio::test]
async fn ascii_is_spoken_as_well() {
    let mut cable = Cable::new().await;
    cable.listen(|heard| {
        let end = heard.windows(2).position(|pair| pair == b"\r\n")? + 2;
        assert_eq!(&heard[..end], b":070300000002F4\r\n");
        Some((end, vec![Say::Bytes(b":07030400070000EB\r\n".to_vec())]))
    });
    let endpoint = Endpoint::ModbusAscii(cable.endpoint());
    let mut rig = Rig::start_bus(1_024, setup(endpoint, vec![device(0, 7, 50)]));
    assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(7)));
}

#[tokio::test]
async fn rtu_is_spoken_over_tcp() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("it listens");
        let mut request = [0; 8];
        while stream.read_exact(&mut request).await.is_ok() {
            stream.write_all(&good(request)).await.expect("it writes");
        }
    });
    let endpoint = Endpoint::ModbusRtuOverTcp { host: "127.0.0.1".to_owned(), port };
    let mut rig = Rig::start_bus(1_024, setup(endpoint, vec![device(0, 7, 50)]));
    for _ in 0..3 {
        assert_eq!(rig.frame_of(0).await.replies[0].1, Ok(registers(7)));
    }
    server.abort();
}

#[tokio::test]
async fn an_adapter_that_comes_back_under_another_name_is_found_by_its_stable_link() {
    let answer = |request| vec![Say::Bytes(good(request))];
    let mut first = Cable::new().await;
    let mut second = Cable::new().await;
    first.serve(answer);
    let stable = second.near.with_file_name("by-id");
    std::os::unix::fs::symlink(&first.near, &stable).expect("a link");
    let setup = setup(Endpoint::ModbusRtu(endpoint(&stable)), vec![device(0, 7, 50)]);
    let mut rig = Rig::start_bus(1_024, setup);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    first.unplug().await;
    let status = wait_for(&mut rig, |status| status.trouble.is_some()).await;
    let trouble = status.trouble.expect("it has");
    let expected = format!("serial port `{}` is not there: ", stable.display());
    assert!(trouble.starts_with(&expected), "{trouble}");
    assert!(trouble.contains("os error 2") && trouble.contains("plugged in"), "{trouble}");
    second.serve(answer);
    std::fs::remove_file(&stable).expect("it is there");
    std::os::unix::fs::symlink(&second.near, &stable).expect("a link");
    assert_eq!(rig.next_good_of(0).await, registers(7));
    assert_eq!(wait_for(&mut rig, |status| status.link == LinkState::Up).await.trouble, None);
}

#[tokio::test]
async fn a_port_in_use_names_its_holder_and_is_free_when_the_holder_ends() {
    let mut cable = Cable::new().await;
    cable.serve(|request| vec![Say::Bytes(good(request))]);
    let mut rig = rig(&cable, vec![device(0, 7, 50)]);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    let endpoint = Endpoint::ModbusRtu(cable.endpoint());
    let refused = DirectLine::open(&endpoint, Millis(1_000)).await.expect_err("it is in use");
    let shown = format!(
        "serial port `{}` is in use by process {} (bus `cabinet`), for 0 min",
        cable.near.display(),
        std::process::id()
    );
    assert_eq!(refused.to_string(), shown);
    rig.finished().await;
    let mut line = DirectLine::open(&endpoint, Millis(1_000)).await.expect("it is free");
    let reply = line.transact(UnitId(7), &Request::Read(read(0)), Millis(1_000)).await;
    assert_eq!(reply, Ok(Reply::Read(registers(7))));
}

#[tokio::test]
async fn a_port_held_by_another_process_names_it() {
    let cable = Cable::new().await;
    let device = std::fs::canonicalize(&cable.near).expect("a device");
    let name = device.display().to_string().trim_start_matches('/').replace('/', "-");
    let lock = Path::new("/run/lock").join(format!("fieldgate-{name}.lock"));
    // Some other gateway on this machine, for which util-linux's flock stands in.
    std::fs::write(&lock, "4711\n0\nbus `north`\n").expect("locks can be written here");
    let mut other = tokio::process::Command::new("flock")
        .args(["-x", &lock.display().to_string(), "sh", "-c", "echo held; exec sleep 60"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("flock is installed");
    let mut held = [0; 5];
    let mut stdout = other.stdout.take().expect("piped");
    tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut held).await.expect("it holds");
    let endpoint = Endpoint::ModbusRtu(cable.endpoint());
    let refused = DirectLine::open(&endpoint, Millis(1_000)).await.expect_err("it is in use");
    assert!(refused.to_string().contains("process 4711 (bus `north`)"), "{refused}");
    assert!(refused.hint().contains("daemon"), "{}", refused.hint());
    other.kill().await.expect("it runs");
    std::fs::remove_file(&lock).expect("it is there");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_what_to_do() {
    let cable = Cable::new().await;
    let open = async |serial| {
        let refused = DirectLine::open(&Endpoint::ModbusRtu(serial), Millis(1_000)).await;
        let refused = refused.expect_err("refused");
        let hint = refused.hint();
        let OpenError::Port(error) = refused else { panic!("of the port: {refused}") };
        (error, hint)
    };
    // A pseudo-terminal has no parity.
    let mut parity = cable.endpoint();
    parity.line = "9600-8E1".parse().expect("a line");
    let (error, hint) = open(parity).await;
    let shown = format!("serial port `{}` refuses `9600-8E1`", cable.near.display());
    assert_eq!((error.to_string(), hint.contains("parity")), (shown, true));
    let (error, hint) = open(endpoint(Path::new("/dev/serial/by-id/none"))).await;
    assert!(matches!(error, PortError::Missing { .. }) && hint.contains("by-id"), "{error:?}");
    let (error, _) = open(endpoint(Path::new("/dev/null"))).await;
    assert!(matches!(error, PortError::NotAPort { .. }), "{error:?}");
    // Nor can it turn a direction.
    let mut kernel = cable.endpoint();
    kernel.rs485 = fieldgate_edge::config::Rs485::Kernel;
    let (error, hint) = open(kernel).await;
    assert!(matches!(error, PortError::Rs485 { .. }) && hint.contains("device tree"), "{error:?}");
}

#[tokio::test]
async fn a_line_that_is_taken_can_be_used_by_another_until_it_is_given_back() {
    let mut cable = Cable::new().await;
    cable.serve(|request| vec![Say::Bytes(good(request))]);
    let mut rig = rig(&cable, vec![device(0, 7, 50)]);
    assert_eq!(rig.next_good_of(0).await, registers(7));
    let (granted, grant) = oneshot::channel();
    let (release, released) = oneshot::channel();
    rig.jobs.send(Job::Take { granted, released }).await.expect("the bus runs");
    timeout(PATIENCE, grant).await.expect("in time").expect("granted");
    let taken = |status: &BusStatus| matches!(status.link, LinkState::Taken { .. });
    wait_for(&mut rig, taken).await;
    let endpoint = Endpoint::ModbusRtu(cable.endpoint());
    let mut line = DirectLine::open(&endpoint, Millis(1_000)).await.expect("it is free");
    line.set_line("9600-8N1".parse().expect("a line")).expect("a speed");
    let reply = line.transact(UnitId(3), &Request::Read(read(5)), Millis(1_000)).await;
    assert_eq!(reply, Ok(Reply::Read(ReadReply::Registers(vec![3, 5]))));
    // Meanwhile nobody waits for an answer, and nobody else gets the line.
    let (done, answer) = oneshot::channel();
    let request = Request::Read(read(0));
    rig.jobs.send(Job::Transact { unit: UnitId(7), request, done }).await.expect("the bus runs");
    let refused = timeout(PATIENCE, answer).await.expect("at once").expect("an answer");
    assert_eq!(refused, Err(fieldgate_modbus::fault::Fault::NoLink));
    drop(line);
    release.send(()).expect("the bus waits for it");
    wait_for(&mut rig, |status| status.link == LinkState::Up).await;
    assert_eq!(rig.next_good_of(0).await, registers(7));
}

#[tokio::test]
async fn who_listens_sees_the_bytes_of_both_ways() {
    let mut cable = Cable::new().await;
    cable.serve(|request| vec![Say::Bytes(good(request))]);
    let mut rig = rig(&cable, vec![device(0, 7, 50)]);
    let mut tap = rig.tap.subscribe();
    assert_eq!(rig.next_good_of(0).await, registers(7));
    let mut frames: Vec<(Direction, Vec<u8>)> = Vec::new();
    while frames.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < 8 + 9 {
        let tapped = timeout(PATIENCE, tap.recv()).await.expect("in time").expect("it sends");
        assert_eq!(&*tapped.bus, "cabinet");
        match frames.last_mut() {
            Some((direction, bytes)) if *direction == tapped.direction => {
                bytes.extend_from_slice(&tapped.bytes);
            }
            Some(_) | None => frames.push((tapped.direction, tapped.bytes.clone())),
        }
    }
    let sent = vec![7, 3, 0, 0, 0, 2, 0xC4, 0x6D];
    let received = sealed(vec![7, 3, 4, 0, 7, 0, 0]);
    assert_eq!(frames, [(Direction::Sent, sent), (Direction::Received, received)]);
}
