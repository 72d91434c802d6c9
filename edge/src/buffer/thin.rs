//! Thinning, pure: what is left of samples that have to give way is a line of figures for each signal
//! and minute.

use std::collections::BTreeMap;

use fieldgate_model::{
    CatalogueId, Gap, GapReason, Millis, Minute, Sample, SignalIndex, Summary, Value,
};
use fieldgate_wire::{ENVELOPE_BYTES_MAX, MESSAGE_BYTES_MAX, MINUTE_BYTES_MAX};

/// A minute of monotonic time, in milliseconds.
const MINUTE: u64 = 60_000;
/// Minutes of signals that fit one message, beside the gap itself.
const MINUTES_MAX: usize = (MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX - 32) / MINUTE_BYTES_MAX;

/// Figures of batches that lie one behind the other, as they are added.
#[derive(Debug, Default)]
pub(super) struct Thinning {
    catalogue: Option<CatalogueId>,
    minute_by_name: BTreeMap<(u64, SignalIndex), Figures>,
    span: Option<(Millis, Millis)>,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    samples: u64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Thinning {
    /// Adds a batch if it goes with what is here: the same catalogue, and room in the message.
    pub(super) fn add(&mut self, catalogue: CatalogueId, samples: &[Sample]) -> bool {
        if self.catalogue.is_some_and(|other| other != catalogue) {
            return false;
        }
        let mut minute_by_name = self.minute_by_name.clone();
        for sample in samples {
            let Some(value) = sample.value.as_ref().and_then(figure) else { continue };
            let name = (sample.at.0 / MINUTE, sample.signal);
            let none = Figures { samples: 0, min: value, max: value, sum: 0.0 };
            let figures = minute_by_name.entry(name).or_insert(none);
            figures.samples += 1;
            figures.min = figures.min.min(value);
            figures.max = figures.max.max(value);
            figures.sum += value;
        }
        if minute_by_name.len() > MINUTES_MAX {
            return false;
        }
        for at in samples.iter().map(|sample| sample.at) {
            self.span = Some(self.span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
        }
        (self.catalogue, self.minute_by_name) = (Some(catalogue), minute_by_name);
        true
    }

    /// The gap that takes their place.
    pub(super) fn gap(&self) -> Gap {
        let (from, to) = self.span.unwrap_or_default();
        let minutes = self.minute_by_name.iter().filter_map(minute).collect();
        let summary = self.catalogue.map(|catalogue| Summary { catalogue, minutes });
        Gap { reason: GapReason::BufferFull, from, to, summary }
    }
}

/// The value as a number that can be compared and added.
#[expect(clippy::cast_precision_loss, reason = "a mean of large counters need not be exact")]
fn figure(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Bool(on) => f64::from(u8::from(*on)),
        Value::Int(int) => *int as f64,
        Value::Unsigned(unsigned) => *unsigned as f64,
        Value::Float32(float) => f64::from(*float),
        Value::Float64(float) => *float,
        Value::Text(_) => return None,
    };
    number.is_finite().then_some(number)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mean")]
fn minute((&(minute, signal), figures): (&(u64, SignalIndex), &Figures)) -> Option<Minute> {
    let Figures { samples, min, max, sum } = *figures;
    // Within its bounds whatever adding up has rounded, and as short on the wire as a mean may be.
    let mean = (sum / samples as f64).clamp(min, max);
    let short = f64::from(mean as f32);
    let mean = if min <= short && short <= max { short } else { mean };
    let is_finite = mean.is_finite();
    is_finite.then_some(Minute { signal, at: Millis(minute * MINUTE), samples, min, max, mean })
}

#[cfg(test)]
mod tests {
    use fieldgate_model::{Cause, Quality};

    use super::*;

    const CATALOGUE: CatalogueId = CatalogueId([7; 32]);

    fn sample(signal: u32, at: u64, value: Option<Value>) -> Sample {
        let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::NoAnswer) };
        Sample { signal: SignalIndex(signal), at: Millis(at), value, quality }
    }

    #[test]
    fn each_signal_and_minute_leaves_its_figures() {
        let unsigned = |value| Some(Value::Unsigned(value));
        let mut thinning = Thinning::default();
        assert!(thinning.add(
            CATALOGUE,
            &[
                sample(0, 59_000, unsigned(7)),
                sample(0, 60_000, unsigned(1)),
                sample(0, 61_000, unsigned(2)),
                sample(1, 60_000, None),
                sample(2, 60_000, Some(Value::Text("x".into()))),
            ]
        ));
        assert!(thinning.add(
            CATALOGUE,
            &[
                sample(0, 119_999, unsigned(6)),
                sample(3, 60_001, Some(Value::Float64(f64::INFINITY))),
            ]
        ));
        assert!(!thinning.add(CatalogueId([8; 32]), &[]), "another catalogue, another gap");
        let gap = thinning.gap();
        assert_eq!((gap.from, gap.to), (Millis(59_000), Millis(119_999)));
        let minute = |at, samples, min, max, mean| Minute {
            signal: SignalIndex(0),
            at: Millis(at),
            samples,
            min,
            max,
            mean,
        };
        let minutes = vec![minute(0, 1, 7.0, 7.0, 7.0), minute(60_000, 3, 1.0, 6.0, 3.0)];
        assert_eq!(gap.summary, Some(Summary { catalogue: CATALOGUE, minutes }));
    }

    #[test]
    fn what_would_not_fit_a_message_waits_for_the_next_gap() {
        let mut thinning = Thinning::default();
        let of = |signals: std::ops::Range<u32>| -> Vec<Sample> {
            signals.map(|signal| sample(signal, 0, Some(Value::Float64(0.1)))).collect()
        };
        assert!(thinning.add(CATALOGUE, &of(0..1_000)));
        assert!(!thinning.add(CATALOGUE, &of(1_000..2_000)));
        assert_eq!(thinning.gap().summary.map(|summary| summary.minutes.len()), Some(1_000));
    }
}
