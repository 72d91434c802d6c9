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
        // A delay that ended earlier counts; at its very end the sample decides.
        if self.poll_timeout().is_some_and(|due| due < now) {
            self.handle_timeout(now);
        }
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
                self.handle_timeout(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(limit: Limit, deadband: f64, on_delay: u64) -> AlarmRule {
        AlarmRule {
            name: SignalName::new("overvoltage").expect("a name"),
            signal: SignalName::new("voltage").expect("a name"),
            limit,
            deadband,
            on_delay: Millis(on_delay),
            severity: Severity::High,
            message: "${device}/${signal}: ${value} ${unit}, limit ${limit} ${what} ${".to_owned(),
        }
    }

    fn alarm(rule: AlarmRule, stored: StoredAlarm) -> Alarm {
        let device = DeviceName::new("meter").expect("a name");
        Alarm::resume(rule, device, "V".to_owned(), stored)
    }

    /// State, occurrence, transition and value of everything there is to tell.
    fn told(alarm: &mut Alarm) -> Vec<(AlarmState, u64, u64, f64)> {
        std::iter::from_fn(|| alarm.poll_effect())
            .map(|told| (told.state, told.occurrence, told.transition, told.value))
            .collect()
    }

    /// What is told for one sample a second.
    fn check(rule: AlarmRule, values: &[f64], expected: &[(AlarmState, u64, u64, f64)]) {
        let mut alarm = alarm(rule, StoredAlarm::NEVER);
        for (second, value) in (0..).zip(values) {
            alarm.handle_sample(Some(*value), Millis::from_secs(second));
        }
        assert_eq!(told(&mut alarm), expected, "{values:?}");
    }

    use AlarmState::{Active, Normal};

    #[test]
    fn a_limit_is_exclusive_and_a_value_at_it_clears_without_deadband() {
        let high = rule(Limit::High(253.0), 0.0, 0);
        check(high.clone(), &[253.0], &[]);
        check(high.clone(), &[253.1, 253.0], &[(Active, 1, 1, 253.1), (Normal, 1, 2, 253.0)]);
        check(high, &[253.1, 254.0], &[(Active, 1, 1, 253.1)]);
        let low = rule(Limit::Low(1.5), 0.0, 0);
        check(low.clone(), &[1.5], &[]);
        check(
            low,
            &[1.4, 1.5, 1.0],
            &[(Active, 1, 1, 1.4), (Normal, 1, 2, 1.5), (Active, 2, 3, 1.0)],
        );
    }

    #[test]
    fn a_value_that_swings_within_the_deadband_is_one_occurrence() {
        let high = rule(Limit::High(253.0), 2.0, 0);
        check(
            high,
            &[254.0, 252.9, 253.1, 252.0, 251.1, 253.5, 251.0, 252.9, 253.0],
            &[(Active, 1, 1, 254.0), (Normal, 1, 2, 251.0)],
        );
        let low = rule(Limit::Low(1.5), 0.25, 0);
        check(low, &[1.4, 1.6, 1.4, 1.75], &[(Active, 1, 1, 1.4), (Normal, 1, 2, 1.75)]);
    }

    #[test]
    fn an_on_delay_lets_short_peaks_pass() {
        let delayed = rule(Limit::High(253.0), 0.0, 2000);
        check(delayed.clone(), &[254.0, 254.0, 252.0, 254.0, 254.0], &[]);
        check(delayed, &[254.0, 255.0, 256.0, 257.0], &[(Active, 1, 1, 256.0)]);
    }

    #[test]
    fn an_on_delay_ends_by_the_clock_without_another_sample() {
        let mut alarm = alarm(rule(Limit::High(253.0), 0.0, 2000), StoredAlarm::NEVER);
        assert_eq!(alarm.poll_timeout(), None);
        alarm.handle_sample(Some(254.0), Millis(500));
        assert_eq!(alarm.poll_timeout(), Some(Millis(2500)));
        alarm.handle_timeout(Millis(2499));
        assert_eq!(told(&mut alarm), []);
        assert_eq!(alarm.stored(), StoredAlarm::NEVER);
        alarm.handle_timeout(Millis(2500));
        assert_eq!(told(&mut alarm), [(Active, 1, 1, 254.0)]);
        assert_eq!(alarm.poll_timeout(), None);
        assert_eq!(alarm.stored(), StoredAlarm { state: Active, occurrence: 1, transition: 1 });
    }

    #[test]
    fn a_delay_that_ended_before_the_value_came_back_counts() {
        let mut alarm = alarm(rule(Limit::High(253.0), 0.0, 2000), StoredAlarm::NEVER);
        alarm.handle_sample(Some(254.0), Millis(0));
        alarm.handle_sample(Some(250.0), Millis(9000));
        assert_eq!(told(&mut alarm), [(Active, 1, 1, 254.0), (Normal, 1, 2, 250.0)]);
    }

    #[test]
    fn no_value_neither_raises_nor_clears_and_restarts_a_delay() {
        for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            let mut alarm = alarm(rule(Limit::High(253.0), 0.0, 2000), StoredAlarm::NEVER);
            alarm.handle_sample(Some(254.0), Millis(0));
            alarm.handle_sample(nothing, Millis(1000));
            assert_eq!(alarm.poll_timeout(), None);
            alarm.handle_sample(Some(254.0), Millis(1500));
            assert_eq!(alarm.poll_timeout(), Some(Millis(3500)));
            alarm.handle_timeout(Millis(3500));
            alarm.handle_sample(nothing, Millis(4000));
            assert_eq!(told(&mut alarm), [(Active, 1, 1, 254.0)], "{nothing:?}");
            assert_eq!(alarm.stored().state, Active);
        }
    }

    #[test]
    fn a_restart_is_neither_a_new_occurrence_nor_a_return() {
        let stored = StoredAlarm { state: Active, occurrence: 3, transition: 5 };
        let mut still = alarm(rule(Limit::High(253.0), 2.0, 2000), stored);
        still.handle_sample(None, Millis(0));
        still.handle_sample(Some(254.0), Millis(1));
        still.handle_sample(Some(252.0), Millis(2));
        assert_eq!(told(&mut still), []);
        assert_eq!(still.stored(), stored);

        let mut cleared = alarm(rule(Limit::High(253.0), 2.0, 2000), stored);
        cleared.handle_sample(Some(230.0), Millis(0));
        cleared.handle_sample(Some(230.0), Millis(1));
        assert_eq!(told(&mut cleared), [(Normal, 3, 6, 230.0)]);

        let quiet = StoredAlarm { state: Normal, occurrence: 3, transition: 6 };
        let mut again = alarm(rule(Limit::High(253.0), 2.0, 0), quiet);
        again.handle_sample(Some(254.0), Millis(0));
        assert_eq!(told(&mut again), [(Active, 4, 7, 254.0)]);
    }

    #[test]
    fn a_message_has_what_its_template_names_and_keeps_the_rest() {
        let mut alarm = alarm(rule(Limit::High(253.0), 0.0, 0), StoredAlarm::NEVER);
        alarm.handle_sample(Some(254.5), Millis(0));
        let told = alarm.poll_effect().expect("it is active");
        assert_eq!(told.message, "meter/voltage: 254.5 V, limit 253 ${what} ${");
        assert_eq!((told.limit, told.severity), (253.0, Severity::High));
        assert_eq!(told.key, alarm.key());
    }
}
