//! What one device's answers mean: decoding, the report policy and the alarms. Pure.
//!
//! # Invariants
//!
//! - The newest sample of every signal is known, stored or not.
//! - A failing poll stores one change of quality a signal, not a row a cycle.
//! - Every sample passes its alarms before it is stored, so an alarm and the value that raised it
//!   lie in the same commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use fieldgate_model::{
    AlarmKey, AlarmTransition, Cause, DeviceName, EventRecord, Millis, Quality, Sample, Severity,
    SignalIndex, SignalName, UtcMillis, Value,
};
use fieldgate_rules::alarm::{Alarm, AlarmRule, Limit, StoredAlarm};
use fieldgate_rules::decode::{accept, decode};
use fieldgate_rules::payload::{self, senml::Time};
use fieldgate_rules::plan::Image;
use fieldgate_rules::profile::Profile;
use fieldgate_rules::signal::{Report, SignalSource};
use fieldgate_script::{Reading, ScriptError, fit};

use super::parsers::OVERRUNS_MAX;
use crate::buffer::DeviceMap;
use crate::config::{DeviceConfig, PARSER_ALARM, Place};
use crate::drivers::host::Payload;

/// How far a device's clock may be ahead of ours and still be believed, in milliseconds: what NTP
/// without a good server leaves.
const SKEW_MAX: i64 = 2_000;
/// Moments that are remembered of one device: a day of a sample a minute, sixteen bytes each.
const SEEN_MAX: usize = 1_440;

/// What a device's answer has led to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) samples: Vec<Sample>,
    pub(super) transitions: Vec<AlarmTransition>,
    pub(super) alarms: BTreeMap<AlarmKey, StoredAlarm>,
    pub(super) events: Vec<EventRecord>,
    pub(super) maps: BTreeMap<DeviceName, DeviceMap>,
    /// Samples that had come before.
    pub(super) duplicates: u64,
}

/// One device as the engine sees it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: DeviceName,
    pub(super) profile: Arc<Profile>,
    pub(super) place: Place,
    /// Place of its first signal in the catalogue.
    base: u32,
    signals: Vec<Signal>,
    alarms: Vec<Watched>,
    /// Raised while its parser is disabled; `None` without a parser.
    parser: Option<Watched>,
    seen: Seen,
}

#[derive(Debug, Clone, Default)]
struct Signal {
    latest: Option<Sample>,
    stored: Option<Sample>,
}

#[derive(Debug)]
struct Watched {
    signal: usize,
    alarm: Alarm,
    last: Option<AlarmTransition>,
}

impl Device {
    /// The device with its alarms as they were stored.
    pub(super) fn resume(
        config: &DeviceConfig,
        base: SignalIndex,
        stored: &BTreeMap<AlarmKey, StoredAlarm>,
    ) -> Self {
        let (name, profile) = (config.name.clone(), Arc::clone(&config.profile));
        let watch = |rule: &AlarmRule| {
            let (signal, spec) = profile.signal(&rule.signal)?;
            let key = AlarmKey { device: name.clone(), alarm: rule.name.clone() };
            let stored = stored.get(&key).copied().unwrap_or(StoredAlarm::NEVER);
            let alarm = Alarm::resume(rule.clone(), name.clone(), spec.unit.clone(), stored);
            Some(Watched { signal, alarm, last: None })
        };
        let alarms = profile.alarms.iter().filter_map(&watch).collect();
        let parser = parser_rule(&profile).as_ref().and_then(watch);
        let signals = vec![Signal::default(); profile.signals.len()];
        Self {
            name,
            profile,
            place: config.place,
            base: base.0,
            signals,
            alarms,
            parser,
            seen: Seen::default(),
        }
    }

    /// Takes the declared signals out of an answer.
    pub(super) fn handle_image(&mut self, image: &Image, at: Millis, found: &mut Found) {
        let profile = Arc::clone(&self.profile);
        for (place, spec) in profile.signals.iter().enumerate() {
            match spec.source {
                SignalSource::Registers { .. }
                | SignalSource::Bit { .. }
                | SignalSource::RegisterBit { .. }
                | SignalSource::RegisterBits { .. } => {
                    let (value, quality) = split(decode(spec, image));
                    self.take(place, at, value, quality, found);
                }
                SignalSource::Payload { .. } | SignalSource::Parser { .. } => {}
            }
        }
    }

    /// Takes the signals of a resource out of its payload, or the cause why there is none. With
    /// `is_pushed` a payload that says nothing changes nothing. Gives why it says nothing, if so.
    pub(super) fn handle_payload(
        &mut self,
        resource: usize,
        answer: &Result<Payload, Cause>,
        now: Now,
        is_pushed: bool,
        found: &mut Found,
    ) -> Option<String> {
        let profile = Arc::clone(&self.profile);
        let its = profile.resources.get(resource)?;
        let payload = match answer {
            Ok(payload) => payload,
            Err(cause) => {
                for picked in &its.picks {
                    self.take(picked.signal, now.at, None, Quality::Bad(*cause), found);
                }
                return None;
            }
        };
        let readings = payload::read(&profile, its, payload.format, &payload.bytes);
        let is_good = readings.iter().any(|reading| reading.value.is_ok());
        let why =
            readings.iter().find_map(|reading| Some(reading.value.as_ref().err()?.why.clone()));
        if is_pushed && !is_good && !its.picks.is_empty() {
            return Some(why.unwrap_or_else(|| "it has no signal in it".to_owned()));
        }
        for payload::Reading { signal, time, value } in readings {
            if let Some(Time::Absolute(millis)) = time
                && !self.seen.is_first(signal, millis)
            {
                found.duplicates += 1;
                continue;
            }
            let (at, is_placed) = now.place(time);
            match value {
                Ok(value) if is_placed => self.take(signal, at, Some(value), Quality::Good, found),
                Ok(value) => self.take(signal, at, Some(value), Quality::Uncertain, found),
                Err(unread) => self.take(signal, at, None, Quality::Bad(unread.cause), found),
            }
        }
        why.filter(|_| !is_good)
    }

    /// Takes the parser's signals; gives the names that the profile does not declare.
    pub(super) fn handle_readings(
        &mut self,
        readings: Result<Vec<Reading>, Cause>,
        at: Millis,
        found: &mut Found,
    ) -> Vec<String> {
        let profile = Arc::clone(&self.profile);
        let readings = match readings {
            Ok(readings) => readings,
            Err(cause) => {
                for (place, spec) in profile.signals.iter().enumerate() {
                    if matches!(spec.source, SignalSource::Parser { .. }) {
                        self.take(place, at, None, Quality::Bad(cause), found);
                    }
                }
                return Vec::new();
            }
        };
        let mut unknown = Vec::new();
        for reading in readings {
            let declared = profile.signal(&reading.name);
            let Some((place, spec)) =
                declared.filter(|(_, spec)| matches!(spec.source, SignalSource::Parser { .. }))
            else {
                unknown.push(reading.name.to_string());
                continue;
            };
            let at = reading.at.unwrap_or(at).min(at);
            let fitted = reading
                .value
                .map(|value| fit(value, spec.kind()).and_then(|value| accept(spec, value)));
            match fitted {
                Some(Ok(value)) => self.take(place, at, Some(value), reading.quality, found),
                Some(Err(cause)) => self.take(place, at, None, Quality::Bad(cause), found),
                None => self.take(place, at, None, reading.quality, found),
            }
        }
        unknown
    }

    /// Takes how often in a row its parser has overrun its limits.
    pub(super) fn handle_overruns(&mut self, overruns: u32, at: Millis, found: &mut Found) {
        if let Some(watched) = &mut self.parser {
            watched.alarm.handle_sample(Some(f64::from(overruns)), at);
            watched.drain(found);
        }
    }

    /// Does what the alarms' delays are due for.
    pub(super) fn handle_timeout(&mut self, now: Millis, found: &mut Found) {
        for watched in &mut self.alarms {
            watched.alarm.handle_timeout(now);
            watched.drain(found);
        }
    }

    /// When to call [`Device::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        self.alarms.iter().filter_map(|watched| watched.alarm.poll_timeout()).min()
    }

    /// The newest samples taken after `since`, all without it.
    pub(super) fn latest(&self, since: Option<Millis>) -> impl Iterator<Item = &Sample> {
        let newer = move |sample: &&Sample| since.is_none_or(|since| since < sample.at);
        self.signals.iter().filter_map(|signal| signal.latest.as_ref()).filter(newer)
    }

    /// The last transitions of the alarms that are active.
    pub(super) fn active_alarms(&self) -> impl Iterator<Item = &AlarmTransition> {
        let active = |last: &&AlarmTransition| match last.state {
            fieldgate_model::AlarmState::Active => true,
            fieldgate_model::AlarmState::Normal => false,
        };
        let all = self.alarms.iter().chain(&self.parser);
        all.filter_map(|watched| watched.last.as_ref()).filter(active)
    }

    fn take(
        &mut self,
        place: usize,
        at: Millis,
        value: Option<Value>,
        quality: Quality,
        found: &mut Found,
    ) {
        let spec = &self.profile.signals[place];
        let number = value.as_ref().and_then(|value| spec.number(value));
        let offset = u32::try_from(place).unwrap_or(u32::MAX);
        let sample = Sample { signal: SignalIndex(self.base + offset), at, value, quality };
        for watched in self.alarms.iter_mut().filter(|watched| watched.signal == place) {
            watched.alarm.handle_sample(number, at);
            watched.drain(found);
        }
        let signal = &mut self.signals[place];
        let stored = signal.stored.as_ref();
        if stored.is_none_or(|stored| is_news(stored, &sample, spec.report, |v| spec.number(v))) {
            signal.stored = Some(sample.clone());
            found.samples.push(sample.clone());
        }
        signal.latest = Some(sample);
    }
}

impl Watched {
    fn drain(&mut self, found: &mut Found) {
        while let Some(transition) = self.alarm.poll_effect() {
            found.alarms.insert(self.alarm.key(), self.alarm.stored());
            self.last = Some(transition.clone());
            found.transitions.push(transition);
        }
    }
}

/// The alarm of a disabled parser, on the first of its signals. Its value is the number of overruns
/// in a row.
fn parser_rule(profile: &Profile) -> Option<AlarmRule> {
    let mut signals = profile.signals.iter();
    let first = signals.find(|signal| matches!(signal.source, SignalSource::Parser { .. }))?;
    let file = &profile.parser.as_ref()?.file;
    Some(AlarmRule {
        name: SignalName::new(PARSER_ALARM).ok()?,
        signal: first.name.clone(),
        limit: Limit::High(f64::from(OVERRUNS_MAX - 1)),
        // One good frame is no overrun in a row.
        deadband: f64::from(OVERRUNS_MAX - 1),
        on_delay: Millis(0),
        severity: Severity::High,
        message: format!(
            "parser `{file}` of ${{device}} is disabled: ${{value}} overruns of its limits in a row"
        ),
    })
}

/// When a payload arrived, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Millis,
    pub(super) utc: UtcMillis,
}

impl Now {
    /// The moment that a payload names, on the clock of this boot; the arrival, and `false`, if it is
    /// later than that or before the machine started: then one of the two clocks is wrong.
    fn place(self, time: Option<Time>) -> (Millis, bool) {
        let back = match time {
            None => return (self.at, true),
            Some(Time::Relative(millis)) => millis.saturating_neg(),
            Some(Time::Absolute(millis)) => self.utc.0.saturating_sub(millis),
        };
        let is_soon = (-SKEW_MAX..0).contains(&back);
        let back = u64::try_from(back).or(if is_soon { Ok(0) } else { Err(()) });
        match back.ok().and_then(|back| self.at.0.checked_sub(back)) {
            Some(at) => (Millis(at), true),
            None => (self.at, false),
        }
    }
}

/// The moments whose samples were taken, of signals that come with a time of their own: what a
/// device sends again because it did not hear the answer is known by them.
#[derive(Debug, Default)]
struct Seen {
    known: BTreeSet<(usize, i64)>,
    order: VecDeque<(usize, i64)>,
}

impl Seen {
    fn is_first(&mut self, signal: usize, millis: i64) -> bool {
        if !self.known.insert((signal, millis)) {
            return false;
        }
        self.order.push_back((signal, millis));
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The cause that stands for a parser's failure.
pub(super) fn cause_of(error: &ScriptError) -> Cause {
    error.cause()
}

fn split(decoded: Result<Value, Cause>) -> (Option<Value>, Quality) {
    match decoded {
        Ok(value) => (Some(value), Quality::Good),
        Err(cause) => (None, Quality::Bad(cause)),
    }
}

/// Whether a sample says anything that the stored one does not.
fn is_news(
    stored: &Sample,
    sample: &Sample,
    report: Report,
    number: impl Fn(&Value) -> Option<f64>,
) -> bool {
    if stored.quality != sample.quality {
        return true;
    }
    match (&stored.value, &sample.value, report) {
        (None, None, _) => false,
        (Some(old), Some(new), Report::OnChange { deadband, max_silence }) => {
            let moved = match (number(old), number(new)) {
                (Some(old), Some(new)) => (old - new).abs() > deadband,
                (Some(_) | None, Some(_) | None) => old != new,
            };
            moved || sample.at.since(stored.at) >= max_silence
        }
        (Some(_), Some(_), Report::Always) | (Some(_), None, _) | (None, Some(_), _) => true,
    }
}
