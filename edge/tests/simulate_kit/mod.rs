//! A simulator for one test, and clients that speak in literal bytes.

#![allow(dead_code, reason = "no test program uses all of it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldgate_edge::config::Library;
use fieldgate_edge::simulate::{Door, SimulateOptions, SimulatedBus, SimulatedDevice, Simulator};
use fieldgate_modbus::register::UnitId;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For what takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A request to a unit that does not exist, answered at once and without faults: whatever came
/// before has been dealt with once its answer is there.
const LAST: [u8; 12] = [0xFF, 0xFF, 0, 0, 0, 6, 9, 3, 0, 0, 0, 1];
const LAST_ANSWER: [u8; 9] = [0xFF, 0xFF, 0, 0, 0, 3, 9, 0x83, 11];

/// A register that can be written.
const WORD: &str = "type = \"u16\"\nwrite = true";
/// Tests run beside each other.
static PATHS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Simulated {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) ports: Vec<(&'static str, String)>,
    pub(crate) announcement: serde_json::Value,
    pub(crate) control: SocketAddr,
    tasks: JoinSet<()>,
}

/// Unit 1: hr:0..9 and co:0..9 can be written; hr:10 counts.
pub(crate) fn device() -> SimulatedDevice {
    let item = |(name, read, rest): (String, String, &str)| {
        format!("[[signal]]\nname = \"{name}\"\nread = \"{read}\"\n{rest}\n")
    };
    let registers = (0..10).map(|offset| (format!("r{offset}"), format!("hr:{offset}"), WORD));
    let coils =
        (0..10).map(|offset| (format!("c{offset}"), format!("co:{offset}"), "write = true"));
    let count = ("reads".to_owned(), "hr:10".to_owned(), "type = \"u16\"");
    let signals: String = registers.chain(coils).chain([count]).map(item).collect();
    let head = "[profile]\nname = \"bench\"\nversion = 1\ntitle = \"Bench\"\n";
    let path = free_path("bench").with_extension("toml");
    std::fs::write(&path, format!("{head}{signals}")).expect("a folder to write to");
    let profile = Library::read(&path).expect("a profile");
    std::fs::remove_file(&path).expect("it was there");
    SimulatedDevice { name: "bench".to_owned(), unit: UnitId(1), profile: Arc::new(profile) }
}

/// A path that nothing lies at.
pub(crate) fn free_path(name: &str) -> PathBuf {
    let nth = PATHS.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("fieldgate-{name}-{}-{nth}", std::process::id()))
}

pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Serves the device behind these doors.
pub(crate) async fn simulate(doors: Vec<Door>, options: SimulateOptions) -> Simulated {
    let buses = vec![SimulatedBus { doors, devices: vec![device()] }];
    let options = SimulateOptions { buses, control: Some(any()), ..options };
    let simulator = Simulator::bind(options).await.expect("free ports");
    let (addresses, ports) = (simulator.addresses(), simulator.ports());
    let announcement = serde_json::from_str(&simulator.announcement()).expect("JSON");
    let control = simulator.control_address().expect("asked for");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { simulator.run().await.expect("it goes on") });
    Simulated { addresses, ports, announcement, control, tasks }
}

impl Simulated {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.expect("it listens")
    }

    /// The answer to one control line.
    pub(crate) async fn control(&self, line: &str) -> serde_json::Value {
        let stream = TcpStream::connect(self.control).await.expect("it listens");
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{line}\n").as_bytes()).await.expect("it takes a line");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("it answers");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Ends it; what it owned is gone then.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Sends a Modbus TCP frame and gives all bytes that come because of it, be they none.
pub(crate) async fn all_of(stream: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
    stream.write_all(&[frame, &LAST].concat()).await.expect("it listens");
    let mut bytes = Vec::new();
    while !bytes.ends_with(&LAST_ANSWER) {
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await;
        assert_ne!(read.expect("an answer in time").expect("it goes on"), 0, "closed: {bytes:?}");
    }
    bytes.truncate(bytes.len() - LAST_ANSWER.len());
    bytes
}

/// The answer's unit and PDU to a unit and PDU over Modbus TCP.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    let length = u8::try_from(request.len()).expect("short");
    let bytes = all_of(stream, &[&[0, 1, 0, 0, 0, length], request].concat()).await;
    bytes.get(6..).map(<[u8]>::to_vec).unwrap_or_default()
}

/// The near end of a serial line.
pub(crate) struct Client(pipe::Receiver);

impl Client {
    pub(crate) fn open(port: &str, baud: u32) -> Self {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(port, flags, Mode::empty()).expect("the line is there");
        let client = Self(pipe::Receiver::from_owned_fd_unchecked(fd).expect("a terminal"));
        client.set_speed(baud);
        client
    }

    pub(crate) fn set_speed(&self, baud: u32) {
        let mut settings = tcgetattr(&self.0).expect("a terminal");
        settings.make_raw();
        settings.set_speed(baud).expect("a speed");
        tcsetattr(&self.0, OptionalActions::Now, &settings).expect("a terminal");
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.0, bytes).expect("a line"), bytes.len());
    }

    /// So many bytes, once they are there.
    pub(crate) async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.expect("an answer in time").expect("it goes on");
        bytes
    }

    /// What comes before the line has been quiet for `quiet`.
    pub(crate) async fn receive_until_quiet(&mut self, quiet: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(read) = timeout(quiet, self.0.read_buf(&mut bytes)).await {
            read.expect("it goes on");
        }
        bytes
    }
}
