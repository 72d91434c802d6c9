//! What goes over the socket. Daemon and command line come from one binary, so this is version 1 of
//! a private protocol; the version is there for the case that they do not.

use serde::{Deserialize, Serialize};

/// The only version so far.
pub(crate) const VERSION: u32 = 1;

/// What a connection asks, in its first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) ask: Ask,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// How the gateway is.
    Status,
    /// A reading at once.
    #[serde(rename_all = "snake_case")]
    Read {
        /// Whom to ask.
        device: String,
        /// Which signals; all without any.
        signals: Vec<String>,
    },
    /// A write.
    Write(WriteAsk),
    /// Some items of a table, as they are.
    #[serde(rename_all = "snake_case")]
    Raw {
        /// Whom to ask.
        device: String,
        /// What, such as `hr:0..9`.
        address: String,
    },
    /// The newest values of a device, without asking it.
    #[serde(rename_all = "snake_case")]
    Values {
        /// Of whom.
        device: String,
    },
    /// All about one signal.
    #[serde(rename_all = "snake_case")]
    Explain {
        /// Of whom.
        device: String,
        /// Which.
        signal: String,
    },
    /// How the uplink is.
    Sync,
    /// The commands of the cloud that arrived last.
    #[serde(rename_all = "snake_case")]
    Commands {
        /// How many.
        count: u32,
    },
    /// One command of the cloud.
    #[serde(rename_all = "snake_case")]
    Command {
        /// Its id.
        id: String,
    },
    /// The frames on the buses, until the connection is closed.
    #[serde(rename_all = "snake_case")]
    Trace {
        /// One bus only.
        bus: Option<String>,
    },
    /// The bus itself, until the connection is closed: the gateway closes its port meanwhile.
    #[serde(rename_all = "snake_case")]
    Take {
        /// Which.
        bus: String,
    },
    /// The frames that a parser keeps.
    #[serde(rename_all = "snake_case")]
    ParserFrames {
        /// Its file.
        file: String,
    },
    /// Take a parser's file anew.
    #[serde(rename_all = "snake_case")]
    ParserReload {
        /// Its file.
        file: String,
        /// Even if it fails on frames that the present one does not fail on.
        force: bool,
    },
    /// Values as they come in, until the connection is closed.
    #[serde(rename_all = "snake_case")]
    Watch {
        /// One device only.
        device: Option<String>,
    },
}

/// What to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteAsk {
    pub(crate) device: String,
    pub(crate) signal: String,
    /// As it was typed, in the signal's unit.
    pub(crate) value: String,
    /// Read back and compare.
    pub(crate) verify: bool,
    /// Say what would be sent, send nothing.
    pub(crate) dry_run: bool,
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// Why there is none.
    Error(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) cause: Option<String>,
    pub(crate) hint: Option<String>,
}

/// One signal of one device at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SignalNow {
    pub(crate) signal: String,
    /// Engineering value; null exactly when the quality is bad. Integers beyond 2^53 are strings.
    pub(crate) value: serde_json::Value,
    /// What the profile calls that value, if it has a word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    pub(crate) unit: String,
    /// `good`, `uncertain`, or the cause of a bad one.
    pub(crate) quality: String,
    /// RFC 3339, UTC, milliseconds; null if there is no sample yet.
    pub(crate) at: Option<String>,
}

/// The answer to [`Ask::Read`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeviceNow {
    pub(crate) device: String,
    pub(crate) signals: Vec<SignalNow>,
    /// The signals among them that were not read at once but come from the last poll, since only
    /// the parser can tell them.
    pub(crate) polled: Vec<String>,
}

/// A line of the answer to [`Ask::Watch`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) device: String,
    #[serde(flatten)]
    pub(crate) now: SignalNow,
}

/// The answer to [`Ask::Write`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WriteDone {
    pub(crate) device: String,
    pub(crate) signal: String,
    pub(crate) value: serde_json::Value,
    pub(crate) unit: String,
    /// What goes over the wire.
    pub(crate) request: String,
    /// The same as bytes in hex.
    pub(crate) frame: String,
    /// Whether it went there.
    pub(crate) done: bool,
    pub(crate) read_back: Option<serde_json::Value>,
}

/// The answer to [`Ask::Status`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) gateway: String,
    pub(crate) software: String,
    pub(crate) uptime_ms: u64,
    /// What is wrong, in sentences, the worst first.
    pub(crate) wrong: Vec<String>,
    pub(crate) alarms: Vec<AlarmNow>,
    pub(crate) devices: Vec<DeviceStatus>,
    pub(crate) buses: Vec<BusStatus>,
    /// What CoAP has done; none if nothing speaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coap: Option<CoapStatus>,
    pub(crate) buffer: BufferStatus,
    pub(crate) cloud: CloudStatus,
    pub(crate) clock: ClockNow,
}

/// What is known of the time of day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClockNow {
    /// `believed`, `unset` or `doubted`.
    pub(crate) system: String,
    /// The time of day as the gateway would label a sample; none while nobody has told it.
    pub(crate) utc: Option<String>,
    /// How often the system clock was stepped since the start.
    pub(crate) steps: u64,
}

/// An alarm that is active.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AlarmNow {
    pub(crate) device: String,
    pub(crate) alarm: String,
    pub(crate) severity: String,
    pub(crate) message: String,
}

/// A device.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeviceStatus {
    pub(crate) device: String,
    pub(crate) bus: String,
    /// 0 where there is none.
    pub(crate) unit: u8,
    pub(crate) profile: String,
    pub(crate) state: DeviceState,
    /// Signals without a value.
    pub(crate) bad_signals: usize,
    pub(crate) signals: usize,
    pub(crate) polls: u64,
    pub(crate) good: u64,
    pub(crate) missed: u64,
    pub(crate) no_answer: u64,
    pub(crate) link_faults: u64,
    pub(crate) malformed: u64,
    /// Modbus exceptions, or refusals of `CoAP`, of all codes.
    pub(crate) exceptions: u64,
    /// Resources that tell of their changes by themselves.
    #[serde(default)]
    pub(crate) observed: usize,
    /// What they have told.
    #[serde(default)]
    pub(crate) notifications: u64,
    pub(crate) last_good_at: Option<String>,
}

/// How a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceState {
    /// It gives data.
    Ok,
    /// It was not polled yet.
    Waiting,
    /// It answers, and gives no data.
    Failing,
    /// It does not answer.
    Silent,
    /// Its bus cannot be reached.
    LinkDown,
    /// Its part of the configuration is wrong; it is not polled.
    ConfigError,
}

/// A bus.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BusStatus {
    pub(crate) bus: String,
    /// `untried`, `up`, `down` or `taken`.
    pub(crate) link: String,
    /// Why it could not be reached when last tried, and what to do.
    pub(crate) trouble: Option<String>,
    /// Share of the last minute in which something was under way, in percent.
    pub(crate) load_percent: f64,
    /// Share of the last minute that silence and garbage took, in percent.
    pub(crate) dead_percent: f64,
    pub(crate) jobs: u64,
    pub(crate) frames_skipped: u64,
    pub(crate) line: LineStatus,
}

/// What a line has done right and wrong since the start.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LineStatus {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) timeouts: u64,
    pub(crate) checksum: u64,
    pub(crate) malformed: u64,
    pub(crate) links_lost: u64,
    /// Answers after their deadline, thrown away.
    pub(crate) late: u64,
    /// Frames of others.
    pub(crate) foreign: u64,
    pub(crate) echoes: u64,
    pub(crate) noise_bytes: u64,
    /// Bytes on TCP that belonged to no frame.
    pub(crate) stray_bytes: u64,
    /// Exceptions by code.
    pub(crate) exceptions: std::collections::BTreeMap<u8, u64>,
}

/// What went over all CoAP endpoints since the start, and what devices pushed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct CoapStatus {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) notifications: u64,
    pub(crate) datagrams_sent: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) retransmissions: u64,
    pub(crate) timeouts: u64,
    pub(crate) duplicates: u64,
    pub(crate) malformed: u64,
    pub(crate) foreign: u64,
    pub(crate) observations_lost: u64,
    /// Pushes that are stored.
    pub(crate) pushed: u64,
    pub(crate) push_unknown_peers: u64,
    pub(crate) push_unknown_paths: u64,
    pub(crate) push_malformed: u64,
    /// Told to come back: too many at a time, too often, or no room on disk.
    pub(crate) push_put_off: u64,
    /// Samples with a time of their own that had come before.
    pub(crate) samples_again: u64,
}

/// The buffer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BufferStatus {
    pub(crate) bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) batches: u64,
    pub(crate) unsealed: u64,
    pub(crate) dropped: u64,
    pub(crate) commits: u64,
    /// Bytes that the whole daemon has sent towards its disks since it started.
    #[serde(default)]
    pub(crate) written_bytes: u64,
    /// The same a day, at the pace so far.
    #[serde(default)]
    pub(crate) written_bytes_per_day: u64,
    pub(crate) failing: Option<String>,
}

/// The uplink.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CloudStatus {
    /// `none` is configured, `no_identity`, `disconnected`, `connected`, or `welcomed`.
    pub(crate) state: String,
    pub(crate) contested: bool,
    pub(crate) withheld: bool,
    pub(crate) backlog: u64,
    pub(crate) acked_at: Option<String>,
}

impl Refusal {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl<T> From<Result<T, Refusal>> for Answer<T> {
    fn from(result: Result<T, Refusal>) -> Self {
        match result {
            Ok(answer) => Self::Ok(answer),
            Err(refusal) => Self::Error(refusal),
        }
    }
}

impl DeviceState {
    /// The word for it on screens.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Silent => "silent",
            Self::LinkDown => "link down",
            Self::ConfigError => "config error",
        }
    }
}
