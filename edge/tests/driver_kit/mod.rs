//! A hand-made Modbus TCP server that can misbehave, and a bus that polls it.
#![allow(dead_code, reason = "each test file uses its own part of the kit")]

pub(crate) mod serial;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate_edge::clock::Clock;
use fieldgate_edge::config::Endpoint;
use fieldgate_edge::drivers::modbus::PollRequest;
use fieldgate_edge::drivers::modbus::{BusChannels, BusDevice, BusSetup, run};
use fieldgate_edge::drivers::{BusStatus, Class, DeviceIndex, Frame, Job, TAPPED_MAX, Tapped};
use fieldgate_modbus::register::{ReadReply, ReadRequest, Table, UnitId};
use fieldgate_model::Millis;
use fieldgate_rules::plan::{HoleMap, LearnedTimes, LinkCost, ReadRules};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Of a transaction: long against a loopback answer, short for a test.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(200);
/// Longer than any test needs; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to answer wrongly.
#[derive(Debug, Clone)]
pub(crate) enum Bad {
    /// These bytes, with the request's transaction id and unit filled in at 0, 1 and 6.
    Bytes(&'static [u8]),
    /// These bytes as they are.
    Literal(&'static [u8]),
    /// The good answer in the name of this unit.
    Unit(u8),
    /// The good answer, and these bytes behind it.
    Extra(&'static [u8]),
    /// The good answer cut to this many bytes, then the end of the connection.
    CutAt(usize),
    /// Nothing.
    Silence,
    /// One byte of the good answer at a time, too slowly to come to an end.
    Drip,
    /// One byte of the good answer at a time, in time.
    Bytewise,
    /// The good answer, after the timeout.
    Late,
}

/// A whole request of a read or a single write.
pub(crate) type Request = [u8; 12];
type Pick = Box<dyn FnMut(Request) -> Option<Bad> + Send>;

/// A server that answers reads with the unit id and the start address in the first two registers,
/// and single writes with their echo.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Close the connection after each answer, as a device with a short idle time does.
    pub(crate) close_after_each: Arc<AtomicBool>,
    /// Every request that arrived whole.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    tasks: JoinSet<()>,
}

impl Server {
    /// A server on `port`, 0 for any. `pick` says how to misbehave to a request, if at all.
    pub(crate) async fn start(
        port: u16,
        pick: impl FnMut(Request) -> Option<Bad> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let mut server = Self {
            port: listener.local_addr().expect("it is bound").port(),
            connections: Arc::default(),
            close_after_each: Arc::default(),
            requests: Arc::default(),
            tasks: JoinSet::new(),
        };
        let pick: Arc<Mutex<Pick>> = Arc::new(Mutex::new(Box::new(pick)));
        let (connections, close_after_each, requests) = (
            Arc::clone(&server.connections),
            Arc::clone(&server.close_after_each),
            Arc::clone(&server.requests),
        );
        server.tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("it listens");
                connections.fetch_add(1, Ordering::Relaxed);
                let pick = Arc::clone(&pick);
                let close_after_each = Arc::clone(&close_after_each);
                let requests = Arc::clone(&requests);
                open.spawn(async move {
                    let mut request = [0; 12];
                    while stream.read_exact(&mut request).await.is_ok() {
                        requests.lock().expect("nobody panicked").push(request);
                        let bad = (pick.lock().expect("nobody panicked"))(request);
                        let went_well = respond(bad, request, &mut stream).await;
                        if !went_well || close_after_each.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
        });
        server
    }

    /// Ends it with all of its connections.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Answers, and says whether the connection goes on.
async fn respond(bad: Option<Bad>, request: Request, stream: &mut TcpStream) -> bool {
    let good = good_answer(request);
    let bytes = match bad {
        None => good,
        Some(Bad::Bytes(bytes)) => {
            let mut bytes = bytes.to_vec();
            bytes[..2].copy_from_slice(&request[..2]);
            bytes[6] = request[6];
            bytes
        }
        Some(Bad::Literal(bytes)) => bytes.to_vec(),
        Some(Bad::Unit(unit)) => [&good[..6], &[unit], &good[7..]].concat(),
        Some(Bad::Extra(bytes)) => [good.as_slice(), bytes].concat(),
        Some(Bad::CutAt(length)) => {
            // The end of the connection follows, whether or not this got out.
            drop(stream.write_all(good.get(..length).expect("shorter than the answer")).await);
            return false;
        }
        Some(Bad::Silence) => return true,
        Some(Bad::Drip) => return drip(&good, TIMEOUT / 4, stream).await,
        Some(Bad::Bytewise) => return drip(&good, TIMEOUT / 100, stream).await,
        Some(Bad::Late) => {
            sleep(TIMEOUT + TIMEOUT / 4).await;
            good
        }
    };
    stream.write_all(&bytes).await.is_ok()
}

async fn drip(bytes: &[u8], pause: Duration, stream: &mut TcpStream) -> bool {
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            return false;
        }
        sleep(pause).await;
    }
    true
}

fn good_answer(request: Request) -> Vec<u8> {
    let [_, _, _, _, _, _, unit, function, start_high, start, _, count] = request;
    let mut answer = request.to_vec();
    if matches!(function, 5 | 6) {
        return answer;
    }
    let mut data = vec![0, unit, start_high, start];
    data.resize(usize::from(count) * 2, 0);
    answer.truncate(8);
    answer[5] = 3 + count * 2;
    answer.push(count * 2);
    answer.extend(data);
    answer
}

/// What [`good_answer`] gives for [`device`].
pub(crate) fn registers(unit: u16) -> ReadReply {
    ReadReply::Registers(vec![unit, 0])
}

/// A device that reads two holding registers from 0.
pub(crate) fn device(index: usize, unit: u8, every: u64) -> BusDevice {
    BusDevice {
        index: DeviceIndex(index),
        unit: UnitId(unit),
        every: Millis(every),
        timeout: Millis(u64::try_from(TIMEOUT.as_millis()).expect("short")),
        wanted: vec![poll(0)],
        reading: apart(),
        holes: HoleMap::default(),
    }
}

/// Each read by itself, so that a test says what goes over the line.
pub(crate) fn apart() -> ReadRules {
    ReadRules { merge: false, ..ReadRules::default() }
}

/// A poll of two holding registers.
pub(crate) fn poll(start: u16) -> PollRequest {
    as_poll(read(start))
}

/// A poll of the usual class.
pub(crate) fn as_poll(request: ReadRequest) -> PollRequest {
    PollRequest { request, class: Class::Poll }
}

/// Two holding registers.
pub(crate) fn read(start: u16) -> ReadRequest {
    ReadRequest { table: Table::HoldingRegister, start, count: 2 }
}

/// A Modbus TCP bus on a loopback port.
pub(crate) fn tcp(port: u16) -> Endpoint {
    Endpoint::ModbusTcp { host: "127.0.0.1".to_owned(), port, in_flight: 1 }
}

/// A bus with the timeout of these tests.
pub(crate) fn setup(endpoint: Endpoint, devices: Vec<BusDevice>) -> BusSetup {
    BusSetup {
        name: "cabinet".into(),
        endpoint,
        timeout: Millis(u64::try_from(TIMEOUT.as_millis()).expect("short")),
        pause: Millis(0),
        dead_share: 10,
        close_after_cycle: false,
        link: LinkCost::tcp(),
        times: LearnedTimes::default(),
        devices,
    }
}

/// A running bus, and what it gives.
pub(crate) struct Rig {
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) status: watch::Receiver<BusStatus>,
    pub(crate) tap: broadcast::Sender<Arc<Tapped>>,
    frames: mpsc::Receiver<Frame>,
    seen: VecDeque<Frame>,
    tasks: JoinSet<()>,
}

impl Rig {
    /// Starts a bus on a loopback port.
    pub(crate) fn start(port: u16, devices: Vec<BusDevice>) -> Self {
        Self::start_with_room(1_024, port, devices)
    }

    /// Starts a bus whose frames have room for so many.
    pub(crate) fn start_with_room(room: usize, port: u16, devices: Vec<BusDevice>) -> Self {
        Self::start_bus(room, setup(tcp(port), devices))
    }

    /// Starts this bus.
    pub(crate) fn start_bus(room: usize, setup: BusSetup) -> Self {
        let (jobs, job_source) = mpsc::channel(8);
        let (frame_sink, frames) = mpsc::channel(room);
        let (status_sink, status) = watch::channel(BusStatus::new(&setup));
        let mut tasks = JoinSet::new();
        let tap = broadcast::Sender::new(TAPPED_MAX);
        let channels = BusChannels {
            jobs: job_source,
            frames: frame_sink,
            status: status_sink,
            tap: tap.clone(),
        };
        tasks.spawn(run(setup, channels, Clock));
        Self { jobs, status, tap, frames, seen: VecDeque::new(), tasks }
    }

    /// The next frame of a device; those of others are kept in [`Rig::seen_of`].
    pub(crate) async fn frame_of(&mut self, index: usize) -> Frame {
        loop {
            let frame = timeout(PATIENCE, self.frames.recv()).await.expect("polling goes on");
            let frame = frame.expect("the bus runs");
            if frame.device == DeviceIndex(index) {
                return frame;
            }
            self.seen.push_back(frame);
        }
    }

    /// The first good answer that a device gives from here on.
    pub(crate) async fn next_good_of(&mut self, index: usize) -> ReadReply {
        loop {
            if let Ok(reply) = &self.frame_of(index).await.replies[0].1 {
                return reply.clone();
            }
        }
    }

    /// The next cause that a device gives from here on.
    pub(crate) async fn next_cause_of(&mut self, index: usize) -> fieldgate_model::Cause {
        loop {
            if let Err(cause) = &self.frame_of(index).await.replies[0].1 {
                return *cause;
            }
        }
    }

    /// Frames of other devices that [`Rig::frame_of`] passed over.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &Frame> {
        self.seen.iter()
    }

    /// Closes the jobs and waits for the bus to end.
    pub(crate) async fn finished(mut self) {
        drop(self.jobs);
        let ended = timeout(PATIENCE, self.tasks.join_next()).await.expect("it stops");
        ended.expect("there is a task").expect("it does not panic");
    }
}
