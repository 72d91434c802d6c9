//! What a sample costs on the wire.

use std::io::{self, Write as _};

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, IncarnationId, Millis, Position, Quality, Sample,
    SignalIndex, Stream, UtcMillis, Value,
};
use fieldgate_wire::{ENVELOPE_BYTES_MAX, MESSAGE_BYTES_MAX, v1};

use crate::rng::Rng;
use crate::round_trip;

/// An energy meter: 40 slowly varying integers once a second, with some jitter.
fn meter(polls: usize, rng: &mut Rng) -> Vec<Sample> {
    let times: Vec<u64> =
        (0..polls).map(|poll| 86_400_000 + 1000 * poll as u64 + rng.below(8) as u64).collect();
    let mut samples = Vec::new();
    for signal in 0..40 {
        let mut level = 1000 + 97 * i64::from(signal);
        for at in &times {
            level += i64::try_from(rng.below(21)).expect("small") - 10;
            samples.push(Sample {
                signal: SignalIndex(signal),
                at: Millis(*at),
                value: Some(Value::Int(level)),
                quality: Quality::Good,
            });
        }
    }
    samples
}

#[test]
fn a_slowly_varying_sample_costs_less_than_two_bytes() {
    for (polls, bytes_max) in [(25, 2.0), (250, 1.2)] {
        let samples = meter(polls, &mut Rng::new(3));
        let count = samples.len();
        let batch = Batch {
            incarnation: IncarnationId([1; 16]),
            stream: Stream::Samples,
            first: Position(1_000_000),
            next: Position(1_000_000 + count as u64),
            chain: Digest([2; 32]),
            boot: BootId([3; 16]),
            utc_offset: Some(UtcMillis(1_760_000_000_000)),
            content: Content::Samples { catalogue: CatalogueId([4; 32]), samples },
        };
        let bytes = v1::encode_batch(&batch);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        #[expect(clippy::cast_precision_loss, reason = "small numbers, for people")]
        let bytes_per_sample = bytes.len() as f64 / count as f64;
        writeln!(io::stdout().lock(), "{count} samples: {bytes_per_sample:.2} bytes each")
            .expect("stdout is open");
        assert!(bytes_per_sample <= bytes_max, "{bytes_per_sample}");
    }
}

#[test]
fn what_a_sealer_adds_up_is_never_less_than_the_message() {
    for seed in 0..300 {
        let mut batch = round_trip::batch(&mut Rng::new(seed));
        let next = i64::MAX.cast_unsigned();
        let records = batch.next - batch.first;
        (batch.first, batch.next) = (Position(next - records), Position(next));
        batch.utc_offset = Some(UtcMillis(i64::MIN));
        let records: usize = match &batch.content {
            Content::Samples { samples, .. } => samples.iter().map(v1::sample_bytes_max).sum(),
            Content::Events(records) => records.iter().map(v1::event_bytes).sum(),
            Content::Outcomes(records) => records.iter().map(v1::outcome_bytes).sum(),
            Content::Gap(gap) => {
                let minutes = gap.summary.as_ref().map_or(0, |summary| summary.minutes.len());
                32 + minutes * v1::MINUTE_BYTES_MAX
            }
        };
        let bytes = v1::encode_batch(&batch).len();
        assert!(bytes <= ENVELOPE_BYTES_MAX + records, "seed {seed}: {bytes} of {records}");
    }
}
