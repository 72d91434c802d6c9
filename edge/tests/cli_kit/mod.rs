//! Runs `fieldgate` as a real process: verbs to their end, and simulator and daemon beside them.
#![allow(dead_code, reason = "each test file uses its own part of the kit")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

/// Longer than anything takes on a loaded machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A folder of its own, gone when it is dropped.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
}

/// What a verb did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        // Not below `target`: a socket's path has at most 107 bytes.
        let name = format!("fieldgate-cli-{}-{place}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("our folder takes files");
        path
    }

    /// A gateway with the demo's meter and pump behind this address, polled often.
    pub(crate) fn configure(&self, address: &str) -> PathBuf {
        self.write(
            "site.toml",
            &format!(
                r#"
[gateway]
name = "test-site"
[buffer]
path = "data"
flush = "200 ms"
seal_after = "200 ms"
[http]
listen = "127.0.0.1:0"
[[bus]]
name = "cabinet"
modbus_tcp = "{address}"
timeout = "500 ms"
[[device]]
name = "meter"
profile = "demo-meter"
bus = "cabinet"
unit = 1
every = "200 ms"
[[device]]
name = "pump"
profile = "demo-pump"
bus = "cabinet"
unit = 2
"#
            ),
        )
    }

    /// Runs a verb in this folder to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).stdin(Stdio::null()).output();
        Done::from(output.expect("the binary runs"))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
        command.args(args).current_dir(&self.folder);
        for foreign in ["FIELDGATE_CONFIG", "RUST_LOG", "NO_COLOR", "NOTIFY_SOCKET"] {
            command.env_remove(foreign);
        }
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Done {
    /// The data, which must be one JSON document.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("data is UTF-8"),
            err: String::from_utf8(output.stderr).expect("talk is UTF-8"),
        }
    }
}

/// Simulated devices; they end when this is dropped.
pub(crate) struct Simulated {
    child: Child,
    pub(crate) address: String,
    control: String,
}

impl Simulated {
    pub(crate) fn start(site: &Site, profiles: &[&str]) -> Self {
        let mut args = vec!["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        args.push("--json");
        args.extend(profiles);
        let mut child = site.command(&args).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it announces itself");
        let announced: Json = serde_json::from_str(&line).expect("one line of JSON");
        let text = |value: &Json| value.as_str().expect("an address").to_owned();
        let address = text(&announced["devices"][0]["modbus_tcp"]);
        let control = text(&announced["control"]);
        Self { child, address, control }
    }

    /// Sends one control line and gives the answer.
    pub(crate) fn control(&self, line: &str) -> Json {
        let mut stream = TcpStream::connect(&self.control).expect("it listens");
        writeln!(stream, "{line}").expect("it takes a line");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A running daemon; it is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it answers on its socket.
    pub(crate) fn start(site: &Site, config: &Path, log: &str) -> Self {
        let log = site.path(log);
        let file = File::create(&log).expect("our folder takes files");
        let config = config.to_str().expect("a path of ours");
        let child = site.command(&["run", "--config", config]).stderr(file).spawn();
        let socket = site.path("data/fieldgate.sock");
        let daemon = Self { child: child.expect("it starts"), log, socket };
        eventually("the daemon answers", || UnixStream::connect(&daemon.socket).is_ok());
        daemon
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it writes a log")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the daemon ends", || {
            ended = self.child.try_wait().expect("it is our child");
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// Sends these bytes to its socket, and gives all that it answers.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        // The daemon may close before it has read all of what is too long.
        drop(stream.write_all(request));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8(answer).expect("answers are UTF-8")
    }

    /// Status line and body of a page.
    pub(crate) fn get(&self, page: &str) -> (String, String) {
        const MARK: &str = "serving health and metrics address=";
        let mut address = String::new();
        eventually("it listens for HTTP", || {
            let log = self.log();
            let found = log.split_once(MARK).and_then(|(_, rest)| rest.split_whitespace().next());
            found.unwrap_or_default().clone_into(&mut address);
            !address.is_empty()
        });
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}
