//! Threshold alarms: one pure machine per alarm.
//!
//! # Invariants
//!
//! - Limits are exclusive: a high alarm is true above its limit, never at it. It is false again at
//!   `limit - deadband` and below, so a value exactly at the limit clears it when the deadband is 0.
//!   Low alarms are the mirror image.
//! - It becomes active when the condition has been true for the whole on-delay.
//! - No value never raises and never clears. It restarts a running on-delay: what nobody saw cannot
//!   count as true.
//! - A condition that is still true after a restart is the same occurrence; one that cleared
//!   meanwhile makes one return.

use std::collections::VecDeque;

use fieldgate_model::{
    AlarmKey, AlarmState, AlarmTransition, DeviceName, Millis, Severity, SignalName,
};

/// What a profile says about one alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmRule {
    /// Its name in the profile.
    pub name: SignalName,
    /// The signal it watches.
    pub signal: SignalName,
    /// When its condition is true.
    pub limit: Limit,
    /// How far the value must come back behind the limit, in the signal's unit; not negative.
    pub deadband: f64,
    /// How long the condition must be true.
    pub on_delay: Millis,
    /// How urgent it is.
    pub severity: Severity,
    /// Message with `${device}`, `${signal}`, `${value}`, `${unit}`, `${limit}`.
    pub message: String,
}

/// The limit of an alarm, in the signal's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// True above it.
    High(f64),
    /// True below it.
    Low(f64),
}

/// What of an alarm must survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAlarm {
    /// Its state.
    pub state: AlarmState,
    /// How often its condition became true.
    pub occurrence: u64,
    /// How many transitions it has made.
    pub transition: u64,
}

impl StoredAlarm {
    /// An alarm that never was.
    pub const NEVER: Self = Self { state: AlarmState::Normal, occurrence: 0, transition: 0 };
}

/// One alarm of one device.
#[derive(Debug)]
pub struct Alarm {
    rule: AlarmRule,
    device: DeviceName,
    unit: String,
    phase: Phase,
    occurrence: u64,
    transition: u64,
    effects: VecDeque<AlarmTransition>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Normal,
    /// The condition is true, the on-delay runs.
    Pending {
        due: Millis,
        value: f64,
    },
    Active,
}

impl Alarm {
    /// The alarm as it was stored, or [`StoredAlarm::NEVER`]. `unit` is that of the signal.
    pub const fn resume(
        rule: AlarmRule,
        device: DeviceName,
        unit: String,
        stored: StoredAlarm,
    ) -> Self {
        let phase = match stored.state {
            AlarmState::Normal => Phase::Normal,
            AlarmState::Active => Phase::Active,
        };
        let StoredAlarm { occurrence, transition, .. } = stored;
        Self { rule, device, unit, phase, occurrence, transition, effects: VecDeque::new() }
    }

    /// Takes the signal's engineering value; `None` if its quality is bad.
    pub fn handle_sample(&mut self, value: Option<f64>, now: Millis) {
        self.handle_timeout(now);
        let Some(value) = value.filter(|value| value.is_finite()) else {
            if let Phase::Pending { .. } = self.phase {
                self.phase = Phase::Normal;
            }
            return;
        };
        match self.phase {
            Phase::Normal if self.rule.is_true(value) => {
                let due = now + self.rule.on_delay;
                self.phase = Phase::Pending { due, value };
                self.handle_timeout(now);
            }
            Phase::Pending { due, .. } if self.rule.is_true(value) => {
                self.phase = Phase::Pending { due, value };
            }
            Phase::Pending { .. } => self.phase = Phase::Normal,
            Phase::Active if self.rule.is_back(value) => {
                self.phase = Phase::Normal;
                self.tell(AlarmState::Normal, value);
            }
            Phase::Normal | Phase::Active => {}
        }
    }

    /// Lets an on-delay end.
    pub fn handle_timeout(&mut self, now: Millis) {
        if let Phase::Pending { due, value } = self.phase
            && due <= now
        {
            self.phase = Phase::Active;
            self.occurrence += 1;
            self.tell(AlarmState::Active, value);
        }
    }

    /// When [`Self::handle_timeout`] has something to do. Changes with every handled sample.
    pub const fn poll_timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Pending { due, .. } => Some(due),
            Phase::Normal | Phase::Active => None,
        }
    }

    /// The next transition to tell, oldest first. Store [`Self::stored`] with it.
    pub fn poll_effect(&mut self) -> Option<AlarmTransition> {
        self.effects.pop_front()
    }

    /// What must survive a restart.
    pub const fn stored(&self) -> StoredAlarm {
        let state = match self.phase {
            Phase::Normal | Phase::Pending { .. } => AlarmState::Normal,
            Phase::Active => AlarmState::Active,
        };
        StoredAlarm { state, occurrence: self.occurrence, transition: self.transition }
    }

    /// Its rule.
    pub const fn rule(&self) -> &AlarmRule {
        &self.rule
    }

    /// Its name.
    pub fn key(&self) -> AlarmKey {
        AlarmKey { device: self.device.clone(), alarm: self.rule.name.clone() }
    }

    fn tell(&mut self, state: AlarmState, value: f64) {
        self.transition += 1;
        self.effects.push_back(AlarmTransition {
            key: self.key(),
            occurrence: self.occurrence,
            transition: self.transition,
            state,
            severity: self.rule.severity,
            signal: self.rule.signal.clone(),
            value,
            limit: self.rule.limit.value(),
            message: self.rule.render(&self.device, &self.unit, value),
        });
    }
}

impl Limit {
    /// The number.
    pub const fn value(self) -> f64 {
        match self {
            Self::High(limit) | Self::Low(limit) => limit,
        }
    }
}

impl AlarmRule {
    /// Whether the condition is true.
    fn is_true(&self, value: f64) -> bool {
        match self.limit {
            Limit::High(limit) => value > limit,
            Limit::Low(limit) => value < limit,
        }
    }

    /// Whether an active alarm returns.
    fn is_back(&self, value: f64) -> bool {
        match self.limit {
            Limit::High(limit) => value <= limit - self.deadband,
            Limit::Low(limit) => value >= limit + self.deadband,
        }
    }

    /// The message for a person; what is not a known placeholder stays as it is.
    fn render(&self, device: &DeviceName, unit: &str, value: f64) -> String {
        let mut message = String::with_capacity(self.message.len() + 16);
        let mut rest = self.message.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            message.push_str(before);
            let known = after.split_once('}').and_then(|(name, after)| {
                let text = match name {
                    "device" => device.to_string(),
                    "signal" => self.signal.to_string(),
                    "value" => value.to_string(),
                    "unit" => unit.to_owned(),
                    "limit" => self.limit.value().to_string(),
                    _ => return None,
                };
                Some((text, after))
            });
            let (text, after) = known.unwrap_or_else(|| ("${".to_owned(), after));
            message.push_str(&text);
            rest = after;
        }
        message.push_str(rest);
        message
    }
}
