//! The engine's task: waits for frames, parsers, timers and questions, and feeds the buffer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::{AlarmKey, Cause, Event, EventRecord, Millis};
use fieldgate_rules::alarm::StoredAlarm;
use fieldgate_rules::plan::Image;
use tokio::sync::{mpsc, oneshot, watch};

use super::device::{Device, Found, Now};
use super::parsers::{Content, Parsed, Parsers};
use super::{EngineError, EngineRequest, EngineRequests, ParserRequest, Snapshot, bases};
use crate::buffer::{Buffer, BufferError, DeviceMap, Intake};
use crate::clock::Clock;
use crate::config::DeviceConfig;
use crate::drivers::host::{PayloadFrame, Taken};
use crate::drivers::{DeviceIndex, Frame};

/// Results that parsers may have ready before the engine takes them.
const PARSED_MAX: usize = 256;

/// What the engine needs to know.
pub struct EngineSetup {
    /// The devices, in the order of the configuration.
    pub devices: Vec<DeviceConfig>,
    /// The alarms as they were stored.
    pub alarms: Vec<(AlarmKey, StoredAlarm)>,
    /// How often the buffer flushes.
    pub flush: Millis,
    /// The clock.
    pub clock: Clock,
}

/// What woke the engine.
enum Wake {
    Frame(Option<Frame>),
    Payload(Option<PayloadFrame>),
    Parsed(Option<Parsed>),
    Request(EngineRequest),
    Flush,
    Alarm,
}

struct Task {
    devices: Vec<Device>,
    parsers: Parsers,
    parser_errors: BTreeMap<DeviceIndex, String>,
    skipped: u64,
    duplicates: u64,
    /// What the buffer's thread had no time for: a disk may take half a minute for one sync, and
    /// alarms do not wait for it.
    backlog: Intake,
    buffer: Buffer,
    clock: Clock,
}

/// What the drivers bring.
#[derive(Debug)]
pub struct EngineInputs {
    /// Registers of Modbus devices.
    pub frames: mpsc::Receiver<Frame>,
    /// Payloads of `CoAP` devices.
    pub payloads: mpsc::Receiver<PayloadFrame>,
}

/// Runs until the drivers have closed both inputs, then until the parsers are through. `progress`
/// counts turns, for the watchdog.
pub async fn run(
    setup: EngineSetup,
    inputs: EngineInputs,
    requests: EngineRequests,
    buffer: Buffer,
    progress: watch::Sender<u64>,
) -> Result<(), EngineError> {
    let (results, mut parsed) = mpsc::channel(PARSED_MAX);
    let mut flush = tokio::time::interval(Duration::from_millis(setup.flush.0.max(10)));
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let EngineRequests(mut requests) = requests;
    let mut task = Task::new(setup, Parsers::new(results), buffer)?;
    let EngineInputs { mut frames, mut payloads } = inputs;
    let (mut polling, mut receiving) = (true, true);
    loop {
        let alarm_due = task.alarm_due();
        let wake = tokio::select! {
            biased;
            // First, or a flood of frames would keep everything in memory only.
            _ = flush.tick() => Wake::Flush,
            Some(request) = requests.recv() => Wake::Request(request),
            parsed = parsed.recv() => Wake::Parsed(parsed),
            frame = frames.recv(), if polling => Wake::Frame(frame),
            payload = payloads.recv(), if receiving => Wake::Payload(payload),
            () = tokio::time::sleep(alarm_due.unwrap_or_default()), if alarm_due.is_some() => {
                Wake::Alarm
            }
        };
        progress.send_modify(|turns| *turns += 1);
        let found = match wake {
            Wake::Frame(Some(frame)) => task.handle_frame(frame),
            Wake::Parsed(Some(mut parsed)) => {
                let taken = parsed.taken.take();
                let is_good = parsed.readings.is_ok() && !parsed.is_late();
                let found = task.handle_parsed(parsed);
                task.finish(found, taken.filter(|_| is_good), None).await;
                continue;
            }
            Wake::Payload(Some(frame)) => {
                task.take_payload(frame).await;
                continue;
            }
            // What is in the other one is still to be taken.
            Wake::Frame(None) => {
                polling = false;
                if !receiving {
                    task.parsers.close();
                }
                continue;
            }
            Wake::Payload(None) => {
                receiving = false;
                if !polling {
                    task.parsers.close();
                }
                continue;
            }
            Wake::Parsed(None) => {
                task.finish(Found::default(), None, None).await;
                return Ok(());
            }
            Wake::Request(request) => task.handle_request(request),
            Wake::Alarm => task.handle_alarms(),
            Wake::Flush => {
                if let Err(error) = task.flush().await {
                    tracing::error!(%error, "the buffer cannot flush");
                }
                continue;
            }
        };
        if let Err(error) = task.offer(found) {
            tracing::error!(%error, "samples are lost");
        }
    }
}

/// Why a parser does not get this frame; `None` if it does. What it reads itself must all be there:
/// half of it would give it false zeros. A hole in what the profile declares beside it is a range
/// that is absent from the frame, and no reason to lose the parser's signals for ever.
fn lacking(reads: &[ReadRequest], image: &Image) -> Option<Cause> {
    let missing = reads.iter().find_map(|read| image.missing(*read));
    let replies = || image.replies().iter().map(|(_, reply)| reply);
    let nothing = || {
        let first = replies().find_map(|reply| reply.as_ref().err().copied());
        first.filter(|_| replies().all(Result::is_err))
    };
    missing.or_else(nothing)
}

/// What a parser is told of which resource it has got.
fn resource_name(profile: &fieldgate_rules::profile::Profile, resource: usize) -> String {
    profile.resources.get(resource).map(|resource| resource.path.clone()).unwrap_or_default()
}

impl Task {
    fn new(setup: EngineSetup, mut parsers: Parsers, buffer: Buffer) -> Result<Self, EngineError> {
        let stored: BTreeMap<AlarmKey, StoredAlarm> = setup.alarms.into_iter().collect();
        let counts = setup.devices.iter().map(|device| device.profile.signals.len());
        let mut devices = Vec::new();
        for (device, base) in setup.devices.iter().zip(bases(counts)) {
            if let Some(spec) = &device.profile.parser {
                parsers.start(spec)?;
            }
            devices.push(Device::resume(device, base, &stored));
        }
        let parser_errors = BTreeMap::new();
        Ok(Self {
            devices,
            parsers,
            parser_errors,
            skipped: 0,
            duplicates: 0,
            backlog: Intake::default(),
            buffer,
            clock: setup.clock,
        })
    }

    fn handle_frame(&mut self, frame: Frame) -> Found {
        let mut found = Found::default();
        let Some(device) = self.devices.get_mut(frame.device.0) else { return found };
        if let (Some(holes), Some((_, unit))) = (frame.learned, device.place.bus()) {
            let profile = device.profile.id();
            let map = DeviceMap { unit: unit.0, profile, holes };
            found.maps.insert(device.name.clone(), map);
        }
        let image = Image::new(frame.replies);
        device.handle_image(&image, frame.at, &mut found);
        let profile = device.profile.clone();
        let Some(spec) = &profile.parser else { return found };
        if let Some(cause) = lacking(&spec.reads, &image) {
            device.handle_readings(Err(cause), frame.at, &mut found);
        } else if !self.parsers.hand(
            spec,
            frame.device,
            &device.name,
            frame.at,
            Content::Image(image),
            None,
        ) {
            self.skipped += 1;
        }
        found
    }

    /// Takes a payload, and tells whoever waits for it what became of it: at once, or once its parser
    /// is through.
    async fn take_payload(&mut self, frame: PayloadFrame) {
        let PayloadFrame { device: index, at, answers, mut taken } = frame;
        let is_pushed = taken.is_some();
        let mut found = Found::default();
        let Some(device) = self.devices.get_mut(index.0) else { return };
        let now = Now { at, utc: self.clock.utc() };
        let profile = Arc::clone(&device.profile);
        let mut refused = None;
        for (resource, answer) in answers {
            refused = device.handle_payload(resource, &answer, now, is_pushed, &mut found);
            let (Some(spec), Ok(payload)) = (&profile.parser, answer) else { continue };
            let job = Content::Payload { resource: resource_name(&profile, resource), payload };
            if refused.is_some() && is_pushed {
                continue;
            }
            if !self.parsers.hand(spec, index, &device.name, at, job, taken.take()) {
                self.skipped += 1;
            }
        }
        self.duplicates += found.duplicates;
        self.finish(found, taken, refused).await;
    }

    /// Stores what was found, and tells whoever waits for that.
    async fn finish(
        &mut self,
        found: Found,
        taken: Option<oneshot::Sender<Taken>>,
        refused: Option<String>,
    ) {
        if let Err(error) = self.store(found).await {
            tracing::error!(%error, "samples are lost");
            return;
        }
        let Some(taken) = taken else { return };
        // Whoever waits may have given up.
        drop(taken.send(match refused {
            None => Taken::Stored,
            Some(why) => Taken::Refused { why },
        }));
    }

    fn handle_parsed(&mut self, parsed: Parsed) -> Found {
        let mut found = Found::default();
        if parsed.is_late() {
            self.skipped += 1;
            return found;
        }
        let Some(device) = self.devices.get_mut(parsed.device.0) else { return found };
        device.handle_overruns(parsed.overruns, parsed.at, &mut found);
        let readings = match parsed.readings {
            Ok(readings) => {
                self.parser_errors.remove(&parsed.device);
                Ok(readings)
            }
            Err(failure) => {
                let cause = failure.cause();
                let text = match failure {
                    super::parsers::Failure::Script(error) => error.to_string(),
                    super::parsers::Failure::Disabled => {
                        "disabled after three overruns in a row".to_owned()
                    }
                };
                if self.parser_errors.get(&parsed.device) != Some(&text) {
                    tracing::warn!(device = %device.name, error = text, "the parser failed");
                    self.parser_errors.insert(parsed.device, text);
                }
                Err(cause)
            }
        };
        let unknown = device.handle_readings(readings, parsed.at, &mut found);
        if let Some(name) = unknown.first() {
            self.skipped += unknown.len() as u64;
            let text =
                format!("gives `{name}`, which the profile does not declare `from = \"parser\"`");
            if self.parser_errors.get(&parsed.device) != Some(&text) {
                tracing::warn!(device = %device.name, error = text, "the parser is odd");
                self.parser_errors.insert(parsed.device, text);
            }
        }
        found
    }

    fn handle_request(&self, request: EngineRequest) -> Found {
        match request {
            EngineRequest::Snapshot { since, reply } => {
                let snapshot = self.snapshot(since);
                // Whoever asked may have given up waiting.
                drop(reply.send(snapshot));
                Found::default()
            }
            EngineRequest::Record(event) => Found { events: vec![event], ..Found::default() },
            EngineRequest::Parser(request) => {
                match request {
                    // Whoever asked may have given up waiting.
                    ParserRequest::Files(reply) => drop(reply.send(self.parsers.files())),
                    ParserRequest::Kept { file, reply } => self.parsers.kept(&file, reply),
                    ParserRequest::Swap { file, swap } => self.parsers.swap(&file, swap),
                }
                Found::default()
            }
        }
    }

    fn handle_alarms(&mut self) -> Found {
        let now = self.clock.now();
        let mut found = Found::default();
        for device in &mut self.devices {
            device.handle_timeout(now, &mut found);
        }
        found
    }

    /// How long until an alarm's delay is due; `None` if none runs.
    fn alarm_due(&self) -> Option<Duration> {
        let due = self.devices.iter().filter_map(Device::poll_timeout).min()?;
        Some(Duration::from_millis(due.since(self.clock.now()).0))
    }

    fn snapshot(&self, since: Option<Millis>) -> Snapshot {
        let of = |(index, text): (&DeviceIndex, &String)| {
            self.devices.get(index.0).map(|device| (device.name.clone(), text.clone()))
        };
        Snapshot {
            samples: self.devices.iter().flat_map(|device| device.latest(since)).cloned().collect(),
            alarms: self.devices.iter().flat_map(Device::active_alarms).cloned().collect(),
            parser_errors: self.parser_errors.iter().filter_map(of).collect(),
            skipped: self.skipped,
            duplicates: self.duplicates,
        }
    }

    /// Gives the buffer what was found, and waits until it has it.
    async fn store(&mut self, found: Found) -> Result<(), BufferError> {
        self.keep(found);
        if self.backlog.is_empty() {
            return Ok(());
        }
        self.buffer.append(std::mem::take(&mut self.backlog)).await
    }

    /// Gives the buffer what was found if it has time, else keeps it.
    fn offer(&mut self, found: Found) -> Result<(), BufferError> {
        self.keep(found);
        if !self.backlog.is_empty() {
            let left = self.buffer.try_append(std::mem::take(&mut self.backlog))?;
            self.backlog = left.unwrap_or_default();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BufferError> {
        self.offer(Found::default())?;
        // A tick more would find the thread as busy.
        if self.buffer.is_free() { self.buffer.tick().await } else { Ok(()) }
    }

    fn keep(&mut self, found: Found) {
        let Found { samples, transitions, alarms, mut events, maps, .. } = found;
        let at = self.clock.now();
        for transition in transitions {
            tracing::info!(
                device = %transition.key.device,
                alarm = %transition.key.alarm,
                state = transition.state.as_str(),
                "{}", transition.message
            );
            events.push(EventRecord { at, event: Event::Alarm(transition) });
        }
        let found = Intake { samples, events, alarms, maps, ..Intake::default() };
        self.skipped += self.backlog.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::{ReadReply, Table};

    use super::*;

    #[test]
    fn a_hole_beside_what_a_parser_reads_does_not_keep_the_frame_from_it() {
        let read = |start| ReadRequest { table: Table::HoldingRegister, start, count: 2 };
        let good = |start| (read(start), Ok(ReadReply::Registers(vec![start, 0])));
        let bad = |start, cause| (read(start), Err(cause));
        let (hole, silent) = (Cause::Exception(2), Cause::NoAnswer);
        for (reads, replies, expected) in [
            (vec![read(0)], vec![good(0), bad(10, hole)], None),
            (vec![read(0)], vec![good(0), bad(10, silent)], None),
            (vec![], vec![good(0), bad(10, hole)], None),
            (vec![read(10)], vec![good(0), bad(10, hole)], Some(hole)),
            (vec![read(0), read(10)], vec![good(0), bad(10, silent)], Some(silent)),
            (vec![], vec![bad(0, silent), bad(10, silent)], Some(silent)),
        ] {
            assert_eq!(lacking(&reads, &Image::new(replies.clone())), expected, "{replies:?}");
        }
    }
}
