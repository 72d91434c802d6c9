//! What a sample costs on the wire, and how fast it is written and read, beside other forms.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fieldgate_model::{Batch, Content};
use fieldgate_pack::Zstd;
use fieldgate_wire::{decode_batch_packed, encode_batch, encode_batch_packed, leaf};
use serde_json::{Value, json};

use super::fleet::Sealer;
use super::poll::{as_f64, round};

/// Signals and samples a batch: the default seal of two seconds at one poll a second, and the sizes
/// that aims are told of.
const SHAPES: [(u32, u32); 5] = [(40, 80), (40, 1_000), (200, 1_000), (40, 10_000), (200, 10_000)];

pub(super) fn run(length: Duration) -> Value {
    // Four things are timed in each shape; what is asked for is for all of them together.
    let each = (length / 20).min(Duration::from_secs(1));
    let mut figures = serde_json::Map::new();
    for (signals, samples) in SHAPES {
        let batch = Sealer::new(1, signals, samples).seal();
        let count = as_f64(batch.next - batch.first);
        let mut codec = Zstd::new();
        let packed = encode_batch_packed(&batch, &mut codec);
        let bytes = |length: usize| round(as_f64(length as u64) / count);
        figures.insert(
            format!("{signals} signals, {samples} samples a batch"),
            json!({
                "bytes_per_sample": {
                    "packed": bytes(packed.len()),
                    "columns_alone": bytes(encode_batch(&batch).len()),
                    "protobuf_doubles": bytes(protobuf(&batch)),
                    "json": bytes(json_bytes(&batch)),
                },
                "million_samples_per_s_core": {
                    "encode": speed(count, each, || {
                        black_box(encode_batch_packed(&batch, &mut codec));
                    }),
                    "decode": speed(count, each, || {
                        let read = decode_batch_packed(&packed, &mut Zstd::new());
                        assert!(black_box(read).is_ok(), "what was encoded is read");
                    }),
                    "leaf": speed(count, each, || {
                        black_box(leaf(&batch));
                    }),
                },
            }),
        );
    }
    Value::Object(figures)
}

fn speed(samples: f64, length: Duration, mut work: impl FnMut()) -> f64 {
    let (started, mut rounds) = (Instant::now(), 0_u64);
    while started.elapsed() < length || rounds == 0 {
        work();
        rounds += 1;
    }
    round(samples * as_f64(rounds) / started.elapsed().as_secs_f64() / 1e6)
}

/// As a message of repeated points (signal, time, double) would take it: three tags, and the fields
/// as protobuf has them.
fn protobuf(batch: &Batch) -> usize {
    let varint = |number: u64| (64 - number.max(1).leading_zeros() as usize).div_ceil(7);
    let samples = samples(batch);
    samples.map(|(signal, at, _)| 2 + 1 + varint(signal) + 1 + varint(at) + 1 + 8).sum()
}

fn json_bytes(batch: &Batch) -> usize {
    let text = |(signal, at, value): (u64, u64, f64)| {
        format!("{{\"signal\":\"s{signal}\",\"at\":{at},\"value\":{value}}},").len()
    };
    samples(batch).map(text).sum()
}

fn samples(batch: &Batch) -> impl Iterator<Item = (u64, u64, f64)> {
    let samples = match &batch.content {
        Content::Samples { samples, .. } => samples.as_slice(),
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => &[],
    };
    let offset = batch.utc_offset.map_or(0, |offset| offset.0.cast_unsigned());
    samples.iter().map(move |sample| {
        let value = sample.value.as_ref().and_then(fieldgate_model::Value::as_f64);
        (u64::from(sample.signal.0), offset + sample.at.0, value.unwrap_or_default() / 10.0)
    })
}
