//! A device that refuses some registers, on a real Modbus TCP server: its other values go on, what
//! is learned survives a restart, and a repaired register comes back.

mod cli_kit;

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cli_kit::{Daemon, Site, eventually};
use fieldgate_edge::clock::Clock;
use fieldgate_edge::config::Endpoint;
use fieldgate_edge::drivers::modbus::PollRequest;
use fieldgate_edge::drivers::modbus::{BusChannels, BusDevice, BusSetup, run};
use fieldgate_edge::drivers::{BusStatus, DeviceIndex, Frame, Job, TAPPED_MAX};
use fieldgate_modbus::register::{ReadRequest, Table, UnitId};
use fieldgate_model::{Cause, Millis};
use fieldgate_rules::plan::{HoleMap, Image, LearnedTimes, LinkCost, ReadRules};
use fieldgate_rules::schedule::Class;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

/// Longer than any test needs; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);
/// Registers of the meter, from 0.
const REGISTERS: u16 = 40;
/// The one that it has not.
const HOLE: u16 = 17;

/// A meter whose registers hold their own address.
#[derive(Debug, Clone, Default)]
struct Meter {
    holes: Arc<Mutex<BTreeSet<u16>>>,
    /// Every read so far, and whether it was refused.
    reads: Arc<Mutex<Vec<(u16, u16, bool)>>>,
}

impl Service for Meter {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, SlaveRequest { request, .. }: Self::Request) -> Self::Future {
        let Request::ReadHoldingRegisters(start, count) = request else {
            return ready(Err(ExceptionCode::IllegalFunction));
        };
        let range = start..start + count;
        let is_refused = lock(&self.holes).iter().any(|hole| range.contains(hole));
        lock(&self.reads).push((start, count, is_refused));
        ready(if is_refused {
            Err(ExceptionCode::IllegalDataAddress)
        } else {
            Ok(Response::ReadHoldingRegisters(range.collect()))
        })
    }
}

impl Meter {
    fn with_a_hole() -> Self {
        let meter = Self::default();
        lock(&meter.holes).insert(HOLE);
        meter
    }

    /// Reads since the last call, and how many of them were refused.
    fn take_reads(&self) -> (usize, usize) {
        let reads = std::mem::take(&mut *lock(&self.reads));
        (reads.len(), reads.iter().filter(|(.., is_refused)| *is_refused).count())
    }

    async fn serve(&self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let meter = self.clone();
        tasks.spawn(async move {
            let on_connected = |stream, _peer| ready(Ok(Some((meter.clone(), stream))));
            drop(Server::new(listener).serve(&on_connected, |_error| {}).await);
        });
        address
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().expect("nobody panicked")
}

fn read(start: u16) -> ReadRequest {
    ReadRequest { table: Table::HoldingRegister, start, count: 1 }
}

/// A bus with the meter on it.
struct Rig {
    frames: mpsc::Receiver<Frame>,
    /// What was learned last.
    holes: Option<HoleMap>,
    _jobs: mpsc::Sender<Job>,
    _tasks: JoinSet<()>,
}

impl Rig {
    fn start(address: SocketAddr, holes: HoleMap, times: LearnedTimes) -> Self {
        let wanted = |start| PollRequest { request: read(start), class: Class::Poll };
        let device = BusDevice {
            index: DeviceIndex(0),
            unit: UnitId(1),
            every: Millis(10),
            timeout: Millis(1_000),
            wanted: (0..REGISTERS).map(wanted).collect(),
            reading: ReadRules::default(),
            holes,
        };
        let (host, port) = (address.ip().to_string(), address.port());
        let setup = BusSetup {
            name: "cabinet".into(),
            endpoint: Endpoint::ModbusTcp { host, port, in_flight: 1 },
            timeout: Millis(1_000),
            pause: Millis(0),
            dead_share: 10,
            close_after_cycle: false,
            link: LinkCost::tcp(),
            times,
            devices: vec![device],
        };
        let (jobs, job_source) = mpsc::channel(8);
        let (frame_sink, frames) = mpsc::channel(1_024);
        let status = watch::Sender::new(BusStatus::new(&setup));
        let tap = broadcast::Sender::new(TAPPED_MAX);
        let channels = BusChannels { jobs: job_source, frames: frame_sink, status, tap };
        let mut tasks = JoinSet::new();
        tasks.spawn(run(setup, channels, Clock));
        Self { frames, holes: None, _jobs: jobs, _tasks: tasks }
    }

    /// The registers that the next cycle brings, and why it does not bring the others.
    async fn cycle(&mut self) -> (usize, BTreeSet<Cause>) {
        let frame = timeout(PATIENCE, self.frames.recv()).await.expect("polling goes on");
        let frame = frame.expect("the bus runs");
        self.holes = frame.learned.or(self.holes.take());
        let image = Image::new(frame.replies);
        let values =
            (0..REGISTERS).map(|start| (start, image.registers(Table::HoldingRegister, start, 1)));
        let mut good = 0;
        let mut causes = BTreeSet::new();
        for (start, value) in values {
            match value {
                Ok(words) => {
                    assert_eq!(words, [start]);
                    good += 1;
                }
                Err(cause) => drop(causes.insert(cause)),
            }
        }
        (good, causes)
    }
}

const REFUSED: Cause = Cause::Exception(2);

#[tokio::test]
async fn one_register_that_is_missing_hides_no_other_and_comes_back_when_it_is_there() {
    let mut tasks = JoinSet::new();
    let meter = Meter::with_a_hole();
    let address = meter.serve(&mut tasks).await;
    let mut rig = Rig::start(address, HoleMap::default(), LearnedTimes::default());
    let mut delivered = Vec::new();
    for _ in 0..10 {
        let (good, causes) = rig.cycle().await;
        assert_eq!(causes, [REFUSED].into());
        delivered.push(good);
    }
    assert_eq!(delivered, [0, 20, 30, 35, 37, 39, 39, 39, 39, 39]);
    let learned = rig.holes.take().expect("a hole was found");
    assert_eq!(learned.to_string(), "holes 1\nhole hr:17..17 2\n");
    drop(rig);

    // As after a restart: nothing is refused again.
    meter.take_reads();
    let mut rig = Rig::start(address, learned.clone(), LearnedTimes::default());
    for _ in 0..3 {
        assert_eq!(rig.cycle().await, (39, [REFUSED].into()));
    }
    let (reads, refused) = meter.take_reads();
    assert!(reads >= 6 && refused == 0, "{reads} reads, {refused} refused");
    drop(rig);

    // Somebody repairs the meter, and the hole is tried again.
    let times = LearnedTimes { probe_after_min: Millis(50), probe_after_max: Millis(100) };
    let mut rig = Rig::start(address, learned, times);
    while meter.take_reads().1 == 0 {
        assert_eq!(rig.cycle().await, (39, [REFUSED].into()), "a probe disturbs nobody");
    }
    lock(&meter.holes).clear();
    while rig.cycle().await.0 < usize::from(REGISTERS) {}
    assert_eq!(rig.holes, Some(HoleMap::default()));
    meter.take_reads();
    rig.cycle().await;
    rig.cycle().await;
    let reads = lock(&meter.reads).clone();
    assert!(reads.contains(&(0, REGISTERS, false)), "{reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_killed_does_not_search_for_the_same_hole_again() {
    let mut tasks = JoinSet::new();
    let meter = Meter::with_a_hole();
    let address = meter.serve(&mut tasks).await;
    let site = Site::new();
    std::fs::create_dir(site.path("profiles")).expect("our folder");
    let signal = |start| format!("[[signal]]\nname = \"r{start}\"\nread = \"hr:{start}\"\n");
    let signals = (0..REGISTERS).map(|start| signal(start) + "type = \"u16\"\n");
    let profile = "[profile]\nname = \"meter\"\nversion = 1\n".to_owned();
    site.write("profiles/meter.toml", &(profile + &signals.collect::<String>()));
    let config = site.write(
        "site.toml",
        &format!(
            "[gateway]\nname = \"x\"\n[buffer]\npath = \"data\"\nflush = \"100 ms\"\n\
             [[bus]]\nname = \"b\"\nmodbus_tcp = \"{address}\"\n\
             [[device]]\nname = \"meter\"\nprofile = \"meter\"\nbus = \"b\"\nunit = 1\nevery = \"20 ms\"\n"
        ),
    );
    let mut daemon = Daemon::start(&site, &config, "first.log");
    let plan = || site.run(&["plan", "--config", "site.toml"]).out;
    eventually("the hole is learned", || plan().contains("hole hr:17 (4x0018): exception_2"));
    daemon.signal(Signal::KILL);
    daemon.wait();

    meter.take_reads();
    let daemon = Daemon::start(&site, &config, "second.log");
    eventually("it polls", || lock(&meter.reads).len() > 20);
    assert_eq!(meter.take_reads().1, 0);
    let read = site.run(&["read", "meter", "r16", "r17", "r18", "--config", "site.toml"]);
    assert!(read.out.contains("exception_2"), "{read:?}");
    drop(daemon);
}
